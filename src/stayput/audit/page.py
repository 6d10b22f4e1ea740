"""The report as one page for people: an HTML file that needs nothing but a browser.

For lawyers, data protection officers and auditors: the verdict first, then a picture, then every
table.  The page runs no script, loads nothing, and says so to the browser (Content Security Policy
with the digest of its own style); it is read on a screen, on a telephone, on paper, or aloud.

Not here: any check.  The page shows an :class:`~stayput.audit.report.AuditReport` and is itself no
evidence: whoever doubts it runs the audit again.  Invariants: same report, same bytes (no clock);
everything that came from a log is text and stays text (:mod:`~stayput.audit.markup`); nothing is
left out silently, a long table says what it does not show, and never leaves out a failure before it
leaves out a success.
"""

from __future__ import annotations

import base64
import collections
import dataclasses
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, TypeVar

from stayput.audit.markup import Content, Markup, element, join
from stayput.audit.moments import duration, moment
from stayput.audit.page_style import STYLE
from stayput.audit.picture import draw_log
from stayput.audit.report import (
    Act,
    AuditReport,
    CosignedAt,
    Event,
    Finding,
    Metering,
    ReceiptAccount,
    RunAccount,
    ScenarioAccount,
    Severity,
    Verdict,
)

MOST_ROWS: Final = 250
"""Rows of a table: more than a person reads; the page stays a few hundred kilobytes."""

MOST_SCENARIOS: Final = 25
"""Scenarios told one by one."""

_T = TypeVar("_T")


def render_page(report: AuditReport) -> bytes:
    """The whole page, UTF-8."""
    name = _consortium(report)
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_policy()),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", name="referrer", content="no-referrer"),
        element("meta", name="robots", content="noindex, nofollow"),
        element("title", f"Review of the log of {name}: {_answer(report)}"),
        element("link", rel="icon", href="data:,"),  # or a browser asks the server for one
        element("style", Markup(STYLE)),
    )
    main = element(
        "main",
        _picture(report),
        _findings(report),
        _scenarios(report),
        _receipts(report),
        _metering(report),
        _timeline(report),
        _identity(report),
        _limits(report),
        id="main",
    )
    body = element(
        "body",
        element("a", "To the findings", href="#findings", class_="skip"),
        _header(report, name),
        main,
        _footer(),
    )
    page = join(Markup("<!doctype html>\n"), element("html", head, body, lang="en"), "\n")
    return page.encode("utf-8")


def _policy() -> str:
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode("ascii")
    return (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


# --- the answer -----------------------------------------------------------------------------------


def _answer(report: AuditReport) -> str:
    return "the log stands" if report.verdict is Verdict.PASS else "the log does not stand"


def _header(report: AuditReport, name: str) -> Markup:
    passed = report.verdict is Verdict.PASS
    verdict = element(
        "section",
        element(
            "p",
            "The log stands." if passed else "The log does not stand.",
            class_="answer",
            id="verdict",
        ),
        _grounds(report) if passed else _objections(report),
        class_=f"verdict {report.verdict.value}",
        aria_labelledby="verdict",
    )
    return element(
        "header",
        element("h1", "Review of the log of ", element("strong", name)),
        verdict,
        _key_figures(report),
    )


def _grounds(report: AuditReport) -> Markup:
    log = report.log
    read = (
        f"{'The one entry was' if log.size == 1 else f'All {log.size:,} entries were'} read and "
        f"checked again, from {moment(log.started)} to "
        f"{moment(log.last)}. Every signature holds, every step was allowed when it was taken, and "
        "the entries are exactly those for which the final checkpoint was signed."
    )
    released = sum(run.outcome == "released" for run in report.runs)
    if released:
        which = "The one released result" if released == 1 else f"Each of the {released:,} results"
        meaning = (
            f"{which} answers a question that every data holder in it had approved, and was "
            "checked before it was released."
        )
    else:
        meaning = "No result was released."
    notices = sum(finding.severity is Severity.NOTICE for finding in report.findings)
    caution = join(
        "It is a statement about the log. ",
        element("a", "What it does not show", href="#limits"),
        " is below",
        join(
            "; there ",
            "is one notice" if notices == 1 else f"are {notices:,} notices",
            " to ",
            element("a", "read", href="#findings"),
            ".",
        )
        if notices
        else ".",
    )
    return join(element("p", read), element("p", meaning), element("p", caution, class_="caution"))


def _objections(report: AuditReport) -> Markup:
    violations = [one for one in report.findings if one.severity is Severity.VIOLATION]
    first = violations[0]
    more = len(violations) - 1
    where = "" if first.entry is None else f"Entry {first.entry:,}: "
    return join(
        element("p", where, first.message, "" if first.message.endswith(".") else "."),
        element(
            "p",
            element("a", _count(more, "more violation", "more violations"), href="#findings"),
            " below.",
        )
        if more
        else None,
        element(
            "p",
            "Nothing on this page may be relied on without an explanation of that. What follows is "
            "what the log claims, as far as it could be read. Keep the file, and ask another "
            "member for its copy.",
            class_="caution",
        ),
    )


def _key_figures(report: AuditReport) -> Markup:
    outcomes = collections.Counter(run.outcome for run in report.runs)
    kept = collections.Counter(receipt.outcome for receipt in report.receipts)
    phases = collections.Counter(scenario.phase for scenario in report.scenarios)
    figures = (
        ("Scenarios", len(report.scenarios), _parts(phases)),
        ("Results released", outcomes["released"], _of(outcomes, "failed", "open")),
        (
            "Deletion receipts",
            sum(kept.values()),
            "none failed" if not kept["failed"] else f"{kept['failed']:,} failed",
        ),
        ("Cosigners", len(report.log.cosigned), "of the final checkpoint"),
        ("Entries", report.log.size, f"by {len(report.parties):,} members"),
    )
    return element(
        "dl",
        (
            element(
                "div",
                element("dt", label),
                element("dd", f"{number:,}", element("small", detail) if detail else None),
            )
            for label, number, detail in figures
        ),
        class_="figures",
    )


def _parts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{counts[key]:,} {key}" for key in sorted(counts) if counts[key])


def _of(counts: Mapping[str, int], *keys: str) -> str:
    return ", ".join(f"{counts[key]:,} {key}" for key in keys)


# --- sections -------------------------------------------------------------------------------------


def _section(
    anchor: str, title: str, lead: Content, *content: Content | Iterable[Content]
) -> Markup:
    return element(
        "section",
        element("h2", title, id=anchor),
        element("p", lead) if lead else None,
        *content,
        aria_labelledby=anchor,
    )


def _picture(report: AuditReport) -> Markup:
    lead = "Every entry of the log, by the party that signed it, from the first to the last."
    return _section("what-happened", "What happened", lead, draw_log(report))


def _findings(report: AuditReport) -> Markup:
    if not report.findings:
        return _section("findings", "Findings", "None. Every entry was accepted.")
    ordered = sorted(
        report.findings,
        key=lambda one: (
            one.severity is not Severity.VIOLATION,
            -1 if one.entry is None else one.entry,
        ),
    )
    shown, hidden = ordered[:MOST_ROWS], len(ordered) - MOST_ROWS
    rows = [_finding_row(one) for one in shown]
    if hidden > 0:
        rows.append(_gap(hidden, "findings", 4))
    return _section(
        "findings",
        "Findings",
        "A violation condemns the log. A notice is for a person to read and weigh.",
        _table(
            "Violations first, then in the order of the log.",
            ("Entry", "n"),
            ("Kind", ""),
            ("Finding", ""),
            ("Rule or file", ""),
            rows=rows,
        ),
    )


def _finding_row(finding: Finding) -> Markup:
    tag = _tag(finding.severity.value, "bad" if finding.severity is Severity.VIOLATION else "warn")
    return _row(
        "whole log" if finding.entry is None else _number(finding.entry),
        tag,
        finding.message,
        join(
            finding.clause,
            " " if finding.clause and finding.member else "",
            element("code", finding.member) if finding.member else None,
        ),
        kinds=("n", "", "", ""),
    )


def _scenarios(report: AuditReport) -> Markup:
    lead = (
        "A scenario is one reviewed question. Its text goes to its parties and is not in the log; "
        "what identifies it here is its digest. Compare it with the scenario that you were given."
    )
    if not report.scenarios:
        return _section("scenarios", "Scenarios, approvals and runs", "None was proposed.")
    troubled = {run.scenario for run in report.runs if run.outcome != "released"}
    troubled |= {one.scenario for one in report.scenarios if one.phase in _TROUBLED}
    shown = _choose(report.scenarios, MOST_SCENARIOS, lambda one: one.scenario in troubled)
    names = {one.scenario for one in shown}
    theirs = [run for run in report.runs if run.scenario in names]
    runs: dict[str, list[RunAccount]] = collections.defaultdict(list)
    for run in _choose(theirs, MOST_ROWS, lambda run: run.outcome != "released"):
        runs[run.scenario].append(run)
    totals = collections.Counter(run.scenario for run in report.runs)
    return _section(
        "scenarios",
        "Scenarios, approvals and runs",
        lead,
        [_scenario(one, runs[one.scenario], totals[one.scenario]) for one in shown],
        _other_scenarios(report, names, troubled - names),
    )


def _other_scenarios(report: AuditReport, shown: set[str], troubled: set[str]) -> Markup | None:
    hidden = len(report.scenarios) - len(shown)
    if not hidden:
        return None
    runs = [run for run in report.runs if run.scenario not in shown]
    words = (
        f"{_count(hidden, 'further scenario', 'further scenarios')} with "
        f"{_count(len(runs), 'run', 'runs')} "
    )
    words += "is" if hidden == 1 else "are"
    words += " not shown here"
    if troubled:
        words += f", {len(troubled):,} of them with a refusal or a run without a result"
    return element("p", f"{words}. stayput audit --json has them all.")


_TROUBLED: Final = frozenset({"refused", "revoked"})
_PHASES: Final = {"sealed": "good", "used up": "good", "refused": "bad", "revoked": "bad"}


def _scenario(scenario: ScenarioAccount, runs: Sequence[RunAccount], total: int) -> Markup:
    heading = element(
        "h3", "Scenario ", _hash(scenario.scenario), " ", _tag(scenario.phase, _PHASES)
    )
    facts = (
        ("Asked by", join(scenario.proposed.party, ", ", _at(scenario.proposed))),
        ("Data holders", ", ".join(scenario.holders)),
        ("Checked by", scenario.checker),
        (
            "Limits",
            f"{_count(scenario.runs_allowed, 'run', 'runs')} ({scenario.runs_ordered:,} ordered), "
            f"until {moment(scenario.valid_until)}; "
            f"every released cell comes from at least {scenario.min_holders} holders, or has every "
            "holder's noise in it",
        ),
        ("Digest", _hash(scenario.scenario, whole=True)),
    )
    return element(
        "article",
        heading,
        _facts(facts),
        _decisions(scenario),
        _runs(runs, total),
        class_="scenario",
    )


def _decisions(scenario: ScenarioAccount) -> Markup:
    rows = [
        *((act, "approved", "good") for act in scenario.approvals),
        *((act, "refused", "bad") for act in scenario.refusals),
        *((act, "revoked", "bad") for act in scenario.revocations),
    ]
    if scenario.sealed is not None:
        rows.append((scenario.sealed, "sealed", "good"))
    rows.sort(key=lambda row: row[0].entry)
    decided = {act.party for act in (*scenario.approvals, *scenario.refusals)}
    waiting = [holder for holder in scenario.holders if holder not in decided]
    caption = "Decisions of the holders, and the sealing that followed when all had approved."
    if waiting:
        caption += f" No decision by {', '.join(waiting)}."
    return _table(
        caption,
        ("Entry", "n"),
        ("Party", ""),
        ("Decision", ""),
        ("Time", "when"),
        rows=[
            _row(
                _number(act.entry),
                act.party,
                join(_tag(words, colour), f" {_words(act.reason)}" if act.reason else None),
                moment(act.time),
                kinds=("n", "", "", "when"),
            )
            for act, words, colour in rows
        ],
    )


def _runs(runs: Sequence[RunAccount], total: int) -> Markup:
    if not total:
        return element("p", "No run was ordered.", class_="lead")
    rows = [_run_row(run) for run in runs]
    if total > len(runs):
        rows.append(_gap(total - len(runs), "runs", 7))
    return _table(
        "Runs. A result counts as witnessed when every holder that took part has cosigned a "
        "checkpoint that contains its release.",
        ("Run", ""),
        ("Ordered", "n"),
        ("Parts", "n"),
        ("Receipts", "n"),
        ("Counts judged", "n"),
        ("Outcome", ""),
        ("Witnessed by all", ""),
        rows=rows,
    )


def _run_row(run: RunAccount) -> Markup:
    bad = sum(receipt.outcome != "destroyed" for receipt in run.every_receipt)
    wanted = len(run.participants) * run.rounds
    outcome = join(
        _tag(run.outcome, {"released": "good", "failed": "bad"}),
        f" {_words(run.reason)}" if run.reason else None,
        join(" ", _at(run.ended)) if run.ended is not None else None,
    )
    if run.outcome != "released":
        witnessed: Content = "–"
    elif run.cosigned_size:
        witnessed = f"at size {run.cosigned_size:,}"
    else:
        witnessed = _tag("no", "warn")
    return _row(
        _hash(run.run),
        _number(run.ordered.entry),
        f"{len(run.contributions):,} of {wanted:,}",
        join(f"{len(run.every_receipt):,} of {run.receipts_due:,}", _failed(bad)),
        "–" if run.verdict is None else _number(run.verdict.entry),
        outcome,
        witnessed,
        kinds=("", "n", "n", "n", "n", "", ""),
    )


def _failed(bad: int) -> Markup | None:
    return join(" ", _tag(f"{bad} failed", "bad")) if bad else None


# --- deletion receipts ----------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, slots=True)
class _Wording:
    """What a receipt says beside who and when; most receipts of a log say the same."""

    method: str
    outcome: str
    passed: tuple[str, ...]
    failed: tuple[str, ...]
    not_covered: tuple[str, ...]


def _receipts(report: AuditReport) -> Markup:
    receipts = report.receipts
    lead = (
        "Rows that a holder's node had staged for a run, and what the node attests about their "
        "destruction; of a run over a join also the encrypted rows that the coordinator had. A "
        "receipt is its signer's statement, in a log that it cannot rewrite alone. It is not a "
        "proof that no copy exists."
    )
    if not receipts:
        return _section("receipts", "Deletion receipts", "None: nothing was staged.")
    missing = [
        (run, holder)
        for run in report.runs
        for holder in run.participants
        if holder not in {receipt.holder for receipt in run.receipts}
    ]
    wordings: dict[_Wording, str] = {}
    for receipt in receipts:
        wording = _wording(receipt)
        if wording not in wordings:
            wordings[wording] = _letters(len(wordings))
    shown = _choose(receipts, MOST_ROWS, lambda one: one.outcome != "destroyed")
    rows = [_receipt_row(one, wordings[_wording(one)]) for one in shown]
    if len(receipts) > len(shown):
        rows.append(_gap(len(receipts) - len(shown), "receipts", 7))
    return _section(
        "receipts",
        "Deletion receipts",
        lead,
        [_wording_block(name, wording, len(wordings)) for wording, name in wordings.items()],
        _missing(missing),
        _table(
            f"{_count(len(receipts), 'receipt', 'receipts')}, in the order of the log.",
            ("Entry", "n"),
            ("Of", ""),
            ("Run", ""),
            ("Outcome", ""),
            ("Says", ""),
            ("Rows were staged for", "n"),
            ("Until", "when"),
            rows=rows,
        ),
    )


def _wording(receipt: ReceiptAccount) -> _Wording:
    return _Wording(
        receipt.method, receipt.outcome, receipt.passed, receipt.failed, receipt.not_covered
    )


def _letters(index: int) -> str:
    """A, B, … Z, AA, AB …"""
    name = ""
    index += 1
    while index:
        index, rest = divmod(index - 1, 26)
        name = chr(ord("A") + rest) + name
    return name


def _wording_block(name: str, wording: _Wording, count: int) -> Markup:
    heading = f"What receipt {name} says" if count > 1 else f"What each receipt says ({name})"
    return join(
        element("h3", heading),
        _facts(
            (
                ("Staging", _phrase(wording.method)),
                ("Outcome", _tag(wording.outcome, {"destroyed": "good", "failed": "bad"})),
                ("Checks passed", _checks(wording.passed)),
                ("Checks failed", _checks(wording.failed)),
                ("Does not cover", _checks(wording.not_covered)),
            )
        ),
    )


def _checks(codes: Sequence[str]) -> Markup:
    if not codes:
        return join("none")
    items = [element("li", _phrase(code)) for code in codes]
    return element("ul", items, class_="plain checks")


def _missing(missing: Sequence[tuple[RunAccount, str]]) -> Markup | None:
    if not missing:
        return None
    kinds = collections.Counter(run.outcome for run, _ in missing)
    words = (
        f"No receipt from {_count(len(missing), 'holder of a run', 'holders of runs')}: "
        f"{_of(kinds, *sorted(kinds))}. A holder that staged nothing gives none."
    )
    return element("p", words)


def _receipt_row(receipt: ReceiptAccount, says: str) -> Markup:
    return _row(
        _number(receipt.entry),
        receipt.holder,
        _hash(receipt.run),
        _tag(receipt.outcome, {"destroyed": "good", "failed": "bad"}),
        says,
        duration(receipt.seconds),
        moment(receipt.ended),
        kinds=("n", "", "", "", "", "n", "when"),
    )


# --- metering, timeline, identity -----------------------------------------------------------------


def _metering(report: AuditReport) -> Markup:
    lead = "What each data user asked and each holder contributed: the base of a settlement."
    users = [one for one in report.metering if one.role == "user"]
    holders = [one for one in report.metering if one.role == "holder"]
    return _section(
        "metering",
        "Who used what",
        lead if users or holders else "Nothing was used yet.",
        _users(users) if users else None,
        _holders(holders) if holders else None,
    )


def _users(users: Sequence[Metering]) -> Markup:
    return _table(
        "Data users.",
        ("Data user", ""),
        ("Runs ordered", "n"),
        ("Results released", "n"),
        ("Runs failed", "n"),
        rows=[
            _row(
                one.party,
                f"{one.ordered:,}",
                f"{one.released:,}",
                f"{one.failed:,}",
                kinds=("", "n", "n", "n"),
            )
            for one in users
        ],
    )


def _holders(holders: Sequence[Metering]) -> Markup:
    return _table(
        "Data holders.",
        ("Data holder", ""),
        ("Runs taken part in", "n"),
        ("Released", "n"),
        ("Failed", "n"),
        ("Encrypted parts", "n"),
        ("Deletion receipts", "n"),
        ("Rows staged for", "n"),
        rows=[
            _row(
                one.party,
                f"{one.took_part:,}",
                f"{one.released:,}",
                f"{one.failed:,}",
                f"{one.contributions:,}",
                f"{one.receipts:,}",
                duration(one.staging_seconds),
                kinds=("", "n", "n", "n", "n", "n", "n"),
            )
            for one in holders
        ],
    )


_CONDEMNED: Final = frozenset({"RunFailed", "ScenarioRevoked", "LogFrozen", "KeysRotated"})


def _timeline(report: AuditReport) -> Markup:
    found = {one.entry for one in report.findings}

    def matters(event: Event) -> bool:
        return event.kind in _CONDEMNED or event.entry in found

    shown = _choose(report.timeline, MOST_ROWS, matters)
    rows = []
    for event in shown:
        rows.append(
            element(
                "tr",
                element("td", _number(event.entry), class_="n"),
                element("td", moment(event.time), class_="when"),
                element("td", event.actor),
                element("td", event.sentence),
                id=f"entry-{event.entry}",
            )
        )
    if len(report.timeline) > len(shown):
        rows.append(_gap(len(report.timeline) - len(shown), "entries", 4))
    return _section(
        "timeline",
        "The log, entry by entry",
        "Decisions and outcomes. Parts, sums and receipts stand with their runs. Times are those "
        "that the signers wrote, from their own clocks.",
        _table(
            f"{_count(len(report.timeline), 'entry', 'entries')}, in the order of the log.",
            ("Entry", "n"),
            ("Time", "when"),
            ("Party", ""),
            ("What it did", ""),
            rows=rows,
        ),
    )


def _identity(report: AuditReport) -> Markup:
    log = report.log
    facts = (
        ("Origin", element("code", log.origin)),
        ("Entries", f"{log.size:,}"),
        ("Root", element("code", log.root)),
        ("Member list", element("code", log.fingerprint)),
    )
    lead = join(
        "Ask another member for its checkpoint (",
        element("code", "stayput log verify"),
        " prints it). If it has the same number of entries and the same root, both of you hold the "
        "same history.",
    )
    cosigners = [
        _row(*_cosigner(one), moment(one.time), kinds=("", "", "when")) for one in log.cosigned
    ]
    parties = [_row(one.name, _words(one.role), element("code", one.key)) for one in report.parties]
    return _section(
        "identity",
        "Which log this is",
        lead,
        _facts(facts),
        _table(
            "Cosigners of the final checkpoint. Their times come from clocks other than the log's.",
            ("Cosigner", ""),
            ("States", ""),
            ("Time", "when"),
            rows=cosigners,
        )
        if cosigners
        else element("p", "Nobody has cosigned the final checkpoint."),
        _table(
            "Members, with the fingerprints of their signing keys.",
            ("Member", ""),
            ("Role", ""),
            ("Key", ""),
            rows=parties,
        ),
    )


_STATEMENTS: Final = {
    "witness": "has seen one history that only grew",
    "auditor": "holds all entries; each obeyed the rules",
}


def _cosigner(cosigned: CosignedAt) -> tuple[Markup, str]:
    """Members cosign as ``<consortium>.stayput/<statement>/<member>``; others have other names."""
    _, _, rest = cosigned.name.partition("/")
    statement, _, member = rest.partition("/")
    if member and statement in _STATEMENTS:
        name = join(element("strong", member), " ", element("code", cosigned.name))
        return name, _STATEMENTS[statement]
    return element("code", cosigned.name), "has seen one history that only grew"


_LIMITS: Final = (
    "Whether a holder's data are true or complete. A holder can lie about its own data.",
    "The words of a scenario, its parameters, and any result. The log holds digests and salted "
    "commitments only; the parties have the documents.",
    "That no copy of staged rows exists anywhere. A deletion receipt is a signed statement that "
    "names the checks that were done, and lists what it does not cover.",
    "Anything after the last entry. An approval may have been revoked since: ask a holder for a "
    "newer checkpoint.",
    "A release outside of the log. No log can prevent it; here the nodes send values, and the "
    "checker opens them, only against entries of this log.",
    "When something happened, by an independent clock. Only cosigners' times are a third party's.",
    "Anything against all cosigners and the coordinator together. If all of them wrote a second "
    "history, it would look as good as this one.",
    "Whether a released statistic is anonymous in the eyes of the law. That was for the reviewers "
    "of the scenario to judge.",
)


def _limits(report: AuditReport) -> Markup:
    del report
    return _section(
        "limits",
        "What this review does not show",
        None,
        element("ul", [element("li", words) for words in _LIMITS], class_="plain"),
    )


def _footer() -> Markup:
    return element(
        "footer",
        element(
            "p",
            "Made by Stayput from a review pack, without a network. This page is a rendering, no "
            "evidence: whoever doubts it runs ",
            element("code", "stayput audit"),
            " on the same pack, with a policy file of their own.",
        ),
    )


# --- pieces ---------------------------------------------------------------------------------------

_PHRASES: Final = {
    "process_memory": "in the memory of one confined process that wrote no file",
    "process_reaped": "the staging process ended and was reaped",
    "no_files_left": "no file was left",
    "no_open_descriptors": "no descriptor stayed open",
    "no_core_dump": "no core dump was written",
    "no_mount_left": "no mount was left",
    "confined_by_landlock": "the kernel confined the process (Landlock)",
    "late_sweep": "swept late, when the node started again",
    "source_system": "the holder's source system",
    "backups": "its backups",
    "snapshots": "snapshots of disk or machine",
    "swap": "swap",
    "page_cache": "the page cache of files that were read",
    "row_hashes": "keyed hashes of rows, encrypted, that the node keeps to compare later answers",
}


def _words(code: str) -> str:
    return code.replace("_", " ")


def _phrase(code: str) -> str:
    return _PHRASES.get(code, _words(code))


def _consortium(report: AuditReport) -> str:
    """``pets.stayput`` is the log of the consortium pets."""
    return report.log.origin.removesuffix(".stayput") or report.log.origin


def _number(entry: int) -> str:
    return f"{entry:,}"


def _at(act: Act) -> Markup:
    return element("span", f"entry {act.entry:,}, {moment(act.time)}", class_="when")


def _hash(digest: str, *, whole: bool = False) -> Markup:
    """The first twelve digits; the whole of it where it is to be compared."""
    shown = digest if whole or len(digest) <= 12 else digest[:12]
    if shown == digest:
        return element("code", shown)
    return element("code", shown, title=digest, class_="hash")


def _tag(words: str, colour: str | Mapping[str, str]) -> Markup:
    kind = colour if isinstance(colour, str) else colour.get(words, "")
    return element("span", words, class_=f"tag {kind}".strip())


def _facts(facts: Iterable[tuple[str, Content]]) -> Markup:
    pairs = [join(element("dt", label), element("dd", value)) for label, value in facts]
    return element("dl", pairs, class_="facts")


def _row(*cells: Content, kinds: Sequence[str] | None = None) -> Markup:
    classes = kinds or [""] * len(cells)
    return element(
        "tr",
        (
            element("td", cell, class_=kind or None)
            for cell, kind in zip(cells, classes, strict=True)
        ),
    )


def _gap(hidden: int, what: str, columns: int) -> Markup:
    words = f"{hidden:,} {what} are not shown here; stayput audit --json has them all."
    return element("tr", element("td", words, colspan=columns), class_="gap")


def _table(caption: str, *columns: tuple[str, str], rows: Sequence[Markup]) -> Markup:
    """A table that scrolls by itself in a narrow window, reachable with the keyboard."""
    head = element(
        "tr", (element("th", words, scope="col", class_=kind or None) for words, kind in columns)
    )
    table = element(
        "table", element("caption", caption), element("thead", head), element("tbody", rows)
    )
    return element("div", table, class_="scroll", tabindex=0, role="region", aria_label=caption)


def _choose(items: Sequence[_T], limit: int, matters: Callable[[_T], bool]) -> list[_T]:
    """At most ``limit`` of them, in their order: those that matter before others, newer first."""
    if len(items) <= limit:
        return list(items)
    places = sorted(range(len(items)), key=lambda place: (not matters(items[place]), -place))
    return [items[place] for place in sorted(places[:limit])]


def _count(number: int, one: str, more: str) -> str:
    return f"{number:,} {one if number == 1 else more}"
