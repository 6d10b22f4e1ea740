"""The page: what it says, that it is safe, whole, the same every time, and readable."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import itertools
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from audit.reports import Log, digest, empty_report, long_report, short_report

from stayput.audit.moments import duration, moment, rfc3339
from stayput.audit.page import MOST_ROWS, render_page
from stayput.audit.page_style import STYLE
from stayput.audit.picture import Mark, place_entries
from stayput.audit.report import AuditReport, Finding, Severity

BAD = Finding(Severity.VIOLATION, "not every holder has approved", 31, "S-4")
NOTICE = Finding(Severity.NOTICE, "a run has been open for 3 days", 44)
VOID = {"meta", "link", "br"}


class Outline(HTMLParser):
    """An independent reader of the page: a tree that closes, its tables, headings, ids, links."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.headings: list[tuple[int, str]] = []
        self.tables: list[dict[str, Any]] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {key: value or "" for key, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)
        if re.fullmatch("h[1-6]", tag):
            self.headings.append((int(tag[1]), ""))
        if tag == "table":
            self.tables.append({"caption": "", "columns": 0, "rows": [], "scopes": []})
        if tag == "tr" and "tbody" in self.open:
            self.tables[-1]["rows"].append([])
        if tag == "td":
            self.tables[-1]["rows"][-1].append("")
        if tag == "th":
            self.tables[-1]["columns"] += 1
            self.tables[-1]["scopes"].append(dict(attrs).get("scope"))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {key: value or "" for key, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data: str) -> None:
        if "style" in self.open:
            return
        self.words.append(data)
        if self.headings and re.fullmatch("h[1-6]", self.open[-1] if self.open else ""):
            level, text = self.headings[-1]
            self.headings[-1] = (level, text + data)
        if "caption" in self.open:
            self.tables[-1]["caption"] += data
        if "td" in self.open:
            self.tables[-1]["rows"][-1][-1] += data

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())

    def table(self, caption: str) -> list[list[str]]:
        found = [table for table in self.tables if table["caption"].startswith(caption)]
        assert len(found) == 1, [table["caption"] for table in self.tables]
        rows: list[list[str]] = found[0]["rows"]
        return rows


def outline(report: AuditReport) -> Outline:
    reader = Outline()
    reader.feed(render_page(report).decode("utf-8"))
    reader.close()
    assert reader.open == []
    return reader


REPORTS = {
    "short": short_report(),
    "failed": short_report(BAD, NOTICE),
    "empty": empty_report(),
    "long": long_report(300),
    "wide": long_report(3, holders=40),
}


# --- what it says ---------------------------------------------------------------------------------


def test_the_verdict_comes_first() -> None:
    text = outline(short_report()).text
    assert "The log stands." in text
    assert text.index("The log stands.") < text.index("What happened")
    assert "All 60 entries were read and checked again" in text
    assert "Each of the 2 results answers a question" in text
    assert "does not stand" not in text


def test_a_violation_condemns_and_says_where() -> None:
    page = outline(short_report(NOTICE, BAD))
    assert "The log does not stand." in page.text
    assert "Entry 31: not every holder has approved." in page.text
    assert "Nothing on this page may be relied on" in page.text
    assert page.table("Violations first") == [
        ["31", "violation", "not every holder has approved", "S-4"],
        ["44", "notice", "a run has been open for 3 days", ""],
    ]


def test_a_notice_alone_does_not_condemn() -> None:
    text = outline(short_report(NOTICE)).text
    assert "The log stands." in text
    assert "there is one notice to read" in text


def test_a_finding_about_a_file_of_the_pack() -> None:
    page = outline(short_report(Finding(Severity.VIOLATION, "no such tile", None, "", "tile/0/x")))
    assert page.table("Violations first") == [
        ["whole log", "violation", "no such tile", "tile/0/x"]
    ]


def test_scenarios_approvals_and_runs() -> None:
    report = short_report()
    page = outline(report)
    first, second = report.scenarios
    for scenario in (first, second):
        assert scenario.scenario in page.text
    decisions = [t["rows"] for t in page.tables if t["caption"].startswith("Decisions")]
    assert [[row[1], row[2]] for row in decisions[0]] == [
        ["ewr", "approved"],
        ["jfk", "approved"],
        ["lga", "approved"],
        ["coordinator", "sealed"],
    ]
    assert decisions[1][2][1:3] == ["lga", "refused legal"]
    rows = page.table("Runs.")
    assert [row[0] for row in rows] == [run.run[:12] for run in report.runs]
    assert [row[5].split(" ")[0] for row in rows] == [
        *("released", "failed", "released"),
        *("failed", "open"),
    ]
    assert rows[0][1:5] == ["6", "6 of 6", "3 of 3", "14"]
    assert rows[3][3] == "3 of 3 1 failed"
    assert rows[0][6] == "at size 20"


def test_a_release_that_not_all_holders_cosigned_says_no() -> None:
    report = short_report()
    runs = tuple(dataclasses.replace(run, cosigned_size=0) for run in report.runs)
    rows = outline(dataclasses.replace(report, runs=runs)).table("Runs.")
    assert [row[6] for row in rows] == ["no", "–", "no", "–", "–"]


def test_receipts_with_passed_failed_and_not_covered() -> None:
    report = short_report()
    page = outline(report)
    rows = page.table("15 receipts")
    assert [int(row[0]) for row in rows] == [receipt.entry for receipt in report.receipts]
    assert [row[4] for row in rows if row[3] == "failed"] == ["B"]
    assert {row[4] for row in rows if row[3] == "destroyed"} == {"A"}
    said = page.text.split("What receipt B says")[1].split("15 receipts")[0]
    assert "Checks failed no file was left" in said or "Checks failedno file was left" in said
    assert "the holder's source system" in said
    # The run that a failed deletion ended has no receipt missing; every other run has all.
    assert "No receipt from" not in page.text


def test_missing_receipts_are_said() -> None:
    report = short_report()
    runs = (dataclasses.replace(report.runs[0], receipts=()), *report.runs[1:])
    text = outline(dataclasses.replace(report, runs=runs)).text
    assert "No receipt from 3 holders of runs: 3 released." in text


def test_metering() -> None:
    page = outline(short_report())
    assert page.table("Data users.") == [
        ["planning", "0", "0", "0"],
        ["port-authority", "5", "2", "2"],
    ]
    assert page.table("Data holders.")[2] == ["lga", "5", "2", "2", "6", "5", "30 s"]


def test_timeline_is_the_reports_own() -> None:
    report = short_report()
    page = outline(report)
    rows = page.table("20 entries")
    assert [(int(row[0]), row[2], row[3]) for row in rows] == [
        (event.entry, event.actor, event.sentence) for event in report.timeline
    ]
    assert {"tr"} == {tag for tag, at in page.tags if at.get("id", "").startswith("entry-")}


def test_cosigners_and_what_to_compare() -> None:
    report = short_report()
    page = outline(report)
    rows = page.table("Cosigners")
    assert rows[0][0] == "ewr airports.stayput/auditor/ewr"
    assert rows[0][1] == "holds all entries; each obeyed the rules"
    assert rows[1][1] == "has seen one history that only grew"
    for value in (report.log.root, report.log.fingerprint, report.log.origin):
        assert value in page.text
    assert "What this review does not show" in page.text
    assert "by an independent clock" in page.text


def test_without_cosigners_it_says_so() -> None:
    report = short_report()
    log = dataclasses.replace(report.log, cosigned=())
    assert "Nobody has cosigned" in outline(dataclasses.replace(report, log=log)).text


def test_a_cosigner_from_elsewhere_keeps_its_name() -> None:
    report = short_report()
    other = dataclasses.replace(report.log.cosigned[0], name="witness.example.org/w1")
    log = dataclasses.replace(report.log, cosigned=(other,))
    page = outline(dataclasses.replace(report, log=log))
    assert page.table("Cosigners")[0][0] == "witness.example.org/w1"


def test_an_empty_log() -> None:
    text = outline(empty_report()).text
    assert "The one entry was read" in text
    assert "No result was released." in text
    assert "None was proposed." in text


# --- long logs ------------------------------------------------------------------------------------


def test_a_long_log_makes_a_page_of_bounded_size_and_says_what_it_leaves_out() -> None:
    report = long_report(2000)
    page = render_page(report)
    assert len(page) < 700_000
    read = outline(report)
    rows = read.table("6,000 receipts")
    assert len(rows) == MOST_ROWS + 1
    assert rows[-1] == [
        f"{6000 - MOST_ROWS:,} receipts are not shown here; stayput audit --json has them all."
    ]
    assert re.search(r"75 further scenarios with 1,500 runs are not shown here", read.text)


def test_failures_are_shown_before_successes() -> None:
    report = long_report(1000)
    read = outline(report)
    failed = [run.run[:12] for run in report.runs if run.outcome == "failed"]
    shown = {
        row[0]
        for table in read.tables
        if table["caption"].startswith("Runs.")
        for row in table["rows"]
    }
    assert len(failed) == 20
    assert set(failed) <= shown


def test_a_failed_receipt_is_never_hidden() -> None:
    log = Log()
    scenario = log.scenario()
    log.run(scenario, fails="deletion_failed")
    for _ in range(200):
        log.run(scenario)
    report = log.report()
    rows = outline(report).table("603 receipts")
    assert [row[0] for row in rows if row[3:4] == ["failed"]] == [
        str(one.entry) for one in report.receipts if one.outcome == "failed"
    ]


# --- the picture ----------------------------------------------------------------------------------


def test_every_entry_is_on_the_picture_once() -> None:
    placed = place_entries(short_report())
    assert [one.entry for one in placed] == list(range(60))
    kinds = {mark: sum(one.mark is mark for one in placed) for mark in Mark}
    assert kinds == {
        Mark.MEMBERS: 1,
        Mark.PROPOSED: 2,
        Mark.APPROVED: 5,
        Mark.SEALED: 1,
        Mark.ORDERED: 5,
        Mark.DELETED: 14,
        Mark.CONTRIBUTED: 20,
        Mark.SUMMED: 5,
        Mark.EXCHANGED: 0,
        Mark.JUDGED: 2,
        Mark.RELEASED: 2,
        Mark.REFUSED: 3,  # a scenario, a run, a deletion
    }


def test_a_short_log_has_a_mark_per_entry_and_a_lane_per_party() -> None:
    page = render_page(short_report()).decode()
    picture = page.split('<figure id="picture">')[1].split("</figure>")[0]
    assert picture.count("<title>entry ") == 60
    for name in ("port-authority", "planning", "ewr", "coordinator", "statistics-office"):
        assert f">{name}</text>" in picture
    assert picture.count('class="run released"') == 2
    assert picture.count('class="run refused"') == 2
    assert picture.count('class="run open"') == 1


def test_a_long_log_counts_all_entries() -> None:
    report = long_report(300)
    picture = render_page(report).decode().split('<figure id="picture">')[1].split("</figure>")[0]
    counted = sum(int(n) for n in re.findall(r"<title>(\d+) × ", picture))
    assert counted == report.log.size
    runs = sum(int(n) for n in re.findall(r"<title>(\d+) runs ", picture))
    assert runs == 300


def test_the_picture_does_not_grow_with_the_log() -> None:
    for runs in (500, 2500):
        page = render_page(long_report(runs)).decode()
        assert len(page.split("<figure ")[1].split("</figure>")[0]) < 200_000


def test_many_holders_share_a_lane_and_nobody_else_does() -> None:
    page = render_page(long_report(3, holders=40)).decode()
    assert ">30 more holders</text>" in page
    for name in ("coordinator", "statistics-office", "port-authority"):
        assert f">{name}</text>" in page


def test_a_finding_has_its_flag() -> None:
    page = render_page(short_report(BAD, NOTICE)).decode()
    assert page.count('class="flag violation"') == 1
    assert page.count('class="flag notice"') == 1
    assert 'class="flag' not in render_page(short_report()).decode()


# --- safe -----------------------------------------------------------------------------------------

CANARY = "<script>document.title='owned'</script>\"'><img src=x onerror=alert(1)>\u202e"


def poisoned(value: Any, path: tuple[str, ...] = ()) -> Any:
    """The same report with the canary in every text field, whatever it is for."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        changed = {
            field.name: poisoned(getattr(value, field.name), (*path, field.name))
            for field in dataclasses.fields(value)
        }
        return type(value)(**changed)
    if isinstance(value, tuple):
        return tuple(poisoned(item, path) for item in value)
    if isinstance(value, str):
        return CANARY + digest(path)[:6] if path[-1] not in ("outcome", "phase") else CANARY
    return value


def test_no_field_can_become_markup() -> None:
    report = poisoned(short_report(BAD, NOTICE))
    page = render_page(report).decode()
    assert "<script" not in page
    assert "<img" not in page
    assert "\u202e" not in page
    reader = outline(report)
    allowed = {tag for tag, _ in outline(short_report(BAD, NOTICE)).tags}
    assert {tag for tag, _ in reader.tags} <= allowed
    assert not any(name.startswith("on") for _, at in reader.tags for name in at)
    assert "<script>document.title='owned'</script>" in reader.text  # as text, to be read


@pytest.mark.parametrize("name", REPORTS)
def test_it_loads_nothing_and_runs_nothing(name: str) -> None:
    page = outline(REPORTS[name])
    for tag, attributes in page.tags:
        assert tag not in {"script", "img", "iframe", "object", "embed", "form", "input", "base"}
        assert not {"src", "srcset", "style", "action"} & set(attributes)
        if "href" in attributes:
            assert attributes["href"] == "data:," or attributes["href"].startswith("#")
    assert "url(" not in STYLE
    assert "@import" not in STYLE
    assert "http" not in render_page(REPORTS[name]).decode().replace("http-equiv", "")


def test_the_policy_allows_its_own_style_and_nothing_else() -> None:
    page = render_page(short_report()).decode()
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]+)"', page)
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL)
    assert policy
    assert style
    directives = dict(
        part.strip().split(" ", 1) for part in policy[1].replace("&#x27;", "'").split(";")
    )
    digest_of_style = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert directives == {
        "default-src": "'none'",
        "style-src": f"'sha256-{digest_of_style}'",
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    assert page.index("Content-Security-Policy") < page.index("<style>")


# --- readable -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", REPORTS)
def test_headings_captions_and_ids(name: str) -> None:
    page = outline(REPORTS[name])
    levels = [level for level, _ in page.headings]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    for table in page.tables:
        assert table["caption"].strip()
        assert set(table["scopes"]) == {"col"}
        for row in table["rows"]:
            assert len(row) in (1, table["columns"])
    ids = [at["id"] for _, at in page.tags if "id" in at]
    assert len(ids) == len(set(ids))
    for _, attributes in page.tags:
        if attributes.get("href", "").startswith("#"):
            assert attributes["href"][1:] in ids
        for reference in attributes.get("aria-labelledby", "").split():
            assert reference in ids
    assert page.tags[0] == ("html", {"lang": "en"})


def luminance(colour: str) -> float:
    """WCAG 2.2, relative luminance."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_the_contrast_formula() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)  # WebAIM's example


SCHEMES = [
    dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block))
    for block in re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL)
]


@pytest.mark.parametrize("scheme", SCHEMES, ids=["light", "dark", "print"])
def test_colours_can_be_read(scheme: dict[str, str]) -> None:
    assert len(SCHEMES) == 3
    texts = ("ink", "quiet", "agreed")
    for ground in ("paper", "sheet", "tint", "good-tint", "bad-tint", "warn-tint"):
        for name in texts:
            assert contrast(scheme[name], scheme[ground]) >= 4.5, (name, ground)
    for name in ("good", "bad", "warn"):
        assert contrast(scheme[name], scheme[f"{name}-tint"]) >= 4.5, name
    for name in ("agreed", "deleted", "good", "bad", "warn"):  # marks that carry meaning: 3 to 1
        assert contrast(scheme[name], scheme["paper"]) >= 3, name


# --- the same every time --------------------------------------------------------------------------


def test_same_report_same_bytes() -> None:
    assert render_page(short_report(BAD)) == render_page(short_report(BAD))
    assert render_page(short_report(BAD)) != render_page(short_report())


def test_moments() -> None:
    assert moment(0) == "1970-01-01 00:00:00 UTC"
    assert moment(1_793_700_000) == "2026-11-03 10:00:00 UTC"
    assert rfc3339(1_793_700_000) == "2026-11-03T10:00:00Z"
    assert moment(1 << 62) == f"{1 << 62} s"
    assert [duration(s) for s in (0, 59, 65, 3600, 8045)] == [
        "0 s",
        "59 s",
        "1 min 05 s",
        "1 h 00 min",
        "2 h 14 min",
    ]
