"""The picture of a log: who did what, in the order of the log, as inline SVG.

One lane per party, from left to right the entries.  Above the lanes a rail of runs, each a bar from
its order to its end, and a flag at every finding.  A short log shows each entry as a mark of its
own shape; a long one is cut into equal stretches, in which every lane shows how many entries of
which kind, so that a picture has the same size for twenty entries and for a million.

Not here: judgement; it draws what the report says.  Invariants: same report, same bytes; no colour
comes from here, only classes (the page's style has one set for light, one for dark, and shapes
differ besides); a failure is never hidden behind something else.
"""

from __future__ import annotations

import bisect
import collections
import dataclasses
import enum
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from stayput.audit.markup import Markup, element, join
from stayput.audit.moments import day, moment, time_of_day
from stayput.audit.report import AuditReport, RunAccount, Severity

EACH_ENTRY_UP_TO: Final = 120
"""Entries of a log that is drawn entry by entry: 7 units each, as wide as the smallest mark."""

STRETCHES: Final = 80
"""Into how many columns a longer log is cut."""

MOST_LANES: Final = 14
"""Lanes; of a role with very many parties the last ones share a lane."""

MOST_TRACKS: Final = 4
"""Tracks of runs above the lanes, drawn one by one while they fit; then runs are counted."""

_WIDTH: Final = 1000
_LEFT: Final = 168  # room for names
_RIGHT: Final = 16
_LANE: Final = 34
_FOOT: Final = 5  # from the bottom of a lane to what its columns stand on
_TRACK: Final = 13
_NAME: Final = 22  # characters of a name that fit

_ROLES: Final = ("user", "holder", "coordinator", "checker", "auditor")


class Mark(enum.Enum):
    """What an entry is, with the words of the legend."""

    MEMBERS = "members, keys, freeze"
    PROPOSED = "proposed"
    APPROVED = "approved"
    SEALED = "sealed"
    ORDERED = "run ordered"
    DELETED = "deletion receipt"
    CONTRIBUTED = "encrypted part"
    SUMMED = "sum formed"
    EXCHANGED = "blinded, encrypted, handed over, returned for a join"
    JUDGED = "counts judged"
    RELEASED = "released"
    REFUSED = "refused, revoked, failed"

    @property
    def kind(self) -> str:
        """The class that colours it; a long log is counted by these."""
        return _KINDS[self]


_KINDS: Final[Mapping[Mark, str]] = {
    Mark.MEMBERS: "agreed",
    Mark.PROPOSED: "agreed",
    Mark.APPROVED: "agreed",
    Mark.SEALED: "agreed",
    Mark.ORDERED: "agreed",
    Mark.DELETED: "deleted",
    Mark.CONTRIBUTED: "worked",
    Mark.SUMMED: "worked",
    Mark.EXCHANGED: "worked",
    Mark.JUDGED: "agreed",
    Mark.RELEASED: "released",
    Mark.REFUSED: "refused",
}

_STACK: Final = ("worked", "deleted", "agreed", "released", "refused")
_STACK_WORDS: Final = {
    "worked": "encrypted parts and sums, steps of joins",
    "deleted": "deletion receipts",
    "agreed": "proposed, approved, sealed, ordered, judged",
    "released": "released",
    "refused": "refused, revoked, failed",
}


@dataclasses.dataclass(frozen=True, slots=True)
class Placed:
    """One entry of the log on the picture."""

    entry: int
    time: int
    actor: str
    mark: Mark


def place_entries(report: AuditReport) -> list[Placed]:
    """Every entry that the report speaks of, in the order of the log, each once."""
    placed: dict[int, Placed] = {}
    for each in _placed(report):
        placed.setdefault(each.entry, each)
    return [placed[entry] for entry in sorted(placed)]


def _placed(report: AuditReport) -> Iterator[Placed]:
    """Scenarios and runs know what an entry meant; what they leave out is in the timeline."""
    for scenario in report.scenarios:
        one = scenario.proposed
        yield Placed(one.entry, one.time, one.party, Mark.PROPOSED)
        for act in scenario.approvals:
            yield Placed(act.entry, act.time, act.party, Mark.APPROVED)
        for act in (*scenario.refusals, *scenario.revocations):
            yield Placed(act.entry, act.time, act.party, Mark.REFUSED)
        if scenario.sealed is not None:
            act = scenario.sealed
            yield Placed(act.entry, act.time, act.party, Mark.SEALED)
    coordinator = next((p.name for p in report.parties if p.role == "coordinator"), "")
    for run in report.runs:
        yield from _placed_of_run(run, coordinator)
    for event in report.timeline:
        yield Placed(event.entry, event.time, event.actor, Mark.MEMBERS)


def _placed_of_run(run: RunAccount, coordinator: str) -> Iterator[Placed]:
    yield Placed(run.ordered.entry, run.ordered.time, run.ordered.party, Mark.ORDERED)
    for step in run.exchanges:
        yield Placed(step.entry, step.time, step.party, Mark.EXCHANGED)
    for receipt in run.every_receipt:
        mark = Mark.DELETED if receipt.outcome == "destroyed" else Mark.REFUSED
        yield Placed(receipt.entry, receipt.ended, receipt.holder, mark)
    for part in run.contributions:
        yield Placed(part.entry, part.time, part.holder, Mark.CONTRIBUTED)
    for total in run.sums:
        yield Placed(total.entry, total.time, coordinator, Mark.SUMMED)
    if run.verdict is not None:
        yield Placed(run.verdict.entry, run.verdict.time, run.verdict.party, Mark.JUDGED)
    if run.ended is not None:
        mark = Mark.RELEASED if run.outcome == "released" else Mark.REFUSED
        yield Placed(run.ended.entry, run.ended.time, run.ended.party, mark)


def draw_log(report: AuditReport) -> Markup:
    """The picture with its legend, as a ``<figure>``."""
    placed = place_entries(report)
    detailed = report.log.size <= EACH_ENTRY_UP_TO
    canvas = _Canvas(report, placed)
    label = (
        f"{_count(report.log.size, 'entry', 'entries')} of the log, one lane for each of "
        f"{_count(len(canvas.lanes), 'party', 'parties')}, in the order of the log"
    )
    body = canvas.entries() if detailed else canvas.stretches()
    drawing = element(
        "svg",
        element("title", label, id="picture-title"),
        element("desc", _describe(report), id="picture-desc"),
        canvas.grid(),
        canvas.runs(),
        body,
        canvas.findings(),
        viewBox=f"0 0 {_WIDTH} {canvas.height}",
        role="img",
        aria_labelledby="picture-title",
        aria_describedby="picture-desc",
        class_="picture",
    )
    scroll = element(
        "div", drawing, class_="scroll", tabindex=0, role="region", aria_label="Picture of the log"
    )
    return element("figure", scroll, _legend(placed, detailed), id="picture")


def _describe(report: AuditReport) -> str:
    outcomes = collections.Counter(run.outcome for run in report.runs)
    return (
        f"{_count(len(report.scenarios), 'scenario', 'scenarios')}, "
        f"{_count(len(report.runs), 'run', 'runs')}: {outcomes['released']} released, "
        f"{outcomes['failed']} failed, {outcomes['open']} open. "
        "The tables below say the same in words."
    )


class _Canvas:
    """Where things are: lanes from top to bottom, entries from left to right."""

    def __init__(self, report: AuditReport, placed: Sequence[Placed]) -> None:
        self.report = report
        self.placed = placed
        self.size = max(report.log.size, 1)
        self.lanes, self._row_of = _lanes(report, placed)
        self._tracks = _tracks(report.runs) if self.size <= EACH_ENTRY_UP_TO else []
        rail = max(len(self._tracks), 1) * _TRACK if len(self._tracks) <= MOST_TRACKS else 30
        self.rail = 22
        self.top = self.rail + rail + 12
        self.bottom = self.top + _LANE * len(self.lanes)
        self.height = self.bottom + 46

    def x(self, entry: float) -> float:
        """The middle of an entry."""
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * (entry + 0.5) / self.size

    def y(self, actor: str) -> float:
        """The middle of a party's lane."""
        row = self._row_of[actor]
        return self.top + _LANE * (row + 0.5)

    # --- what stands still ------------------------------------------------------------------------

    def grid(self) -> Markup:
        """Lanes with names, and the two scales: entries and time."""
        parts = []
        detailed = self.size <= EACH_ENTRY_UP_TO
        for row, name in enumerate(self.lanes):
            middle = self.top + _LANE * (row + 0.5)
            ground = middle if detailed else self.top + _LANE * (row + 1) - _FOOT
            parts += [
                element(
                    "line",
                    x1=_LEFT,
                    x2=_WIDTH - _RIGHT,
                    y1=_n(ground),
                    y2=_n(ground),
                    class_="lane",
                ),
                _text(_short(name), _LEFT - 14, middle + 4, "name", anchor="end"),
            ]
        return join(*parts, self._scales())

    def _scales(self) -> Iterator[Markup]:
        entries = [one.entry for one in self.placed]
        previous = ""
        for entry in _ticks(self.size):
            x = self.x(entry)
            yield element(
                "line", x1=_n(x), x2=_n(x), y1=self.rail, y2=self.bottom + 6, class_="tick"
            )
            anchor = "start" if entry == 0 else "end" if x > _WIDTH - 60 else "middle"
            yield _text(f"{entry:,}", x, self.bottom + 20, "scale", anchor=anchor)
            at = bisect.bisect_right(entries, entry) - 1
            if at < 0:
                continue
            when = self.placed[at].time
            words = day(when) if day(when) != previous else time_of_day(when)
            previous = day(when)
            yield _text(words, x, self.bottom + 36, "scale", anchor=anchor)
        yield _text("entry", _LEFT - 14, self.bottom + 20, "scale", anchor="end")
        yield _text("time (UTC)", _LEFT - 14, self.bottom + 36, "scale", anchor="end")

    def runs(self) -> Markup:
        """A bar per run, or how many runs ended how, per stretch."""
        base = self.top - 12
        label = _text("runs", _LEFT - 14, base - 2, "name quiet", anchor="end")
        if self._tracks and len(self._tracks) <= MOST_TRACKS:
            return join(label, (self._run_bars()))
        return join(label, self._run_counts(base))

    def _run_bars(self) -> Iterator[Markup]:
        for row, track in enumerate(self._tracks):
            y = self.rail + row * _TRACK
            for run in track:
                start, end = self.x(run.ordered.entry), self.x(_end(run, self.size))
                title = element("title", f"run {run.run[:12]}: {run.outcome}")
                yield element(
                    "rect",
                    title,
                    x=_n(start - 4),
                    y=_n(y + 2),
                    width=_n(max(end - start, 0) + 8),
                    height=_TRACK - 5,
                    rx=4,
                    class_=f"run {_outcome(run)}",
                )

    def _run_counts(self, base: float) -> Iterator[Markup]:
        counts: collections.Counter[tuple[int, str]] = collections.Counter()
        for run in self.report.runs:
            counts[self._column(_end(run, self.size)), _outcome(run)] += 1
        totals: collections.Counter[int] = collections.Counter()
        for (column, _), count in counts.items():
            totals[column] += count
        most = max(totals.values(), default=1)
        width = self._column_width
        for column in sorted(totals):
            bottom = base
            for outcome in ("released", "open", "refused"):
                count = counts[column, outcome]
                if not count:
                    continue
                height = max(26 * count / most, 2)
                bottom -= height
                yield element(
                    "rect",
                    element("title", f"{count} runs {_OUTCOME_WORDS[outcome]}"),
                    x=_n(_LEFT + column * width + 0.5),
                    y=_n(bottom),
                    width=_n(width - 1),
                    height=_n(height),
                    class_=f"run {outcome}",
                )

    # --- what happened ----------------------------------------------------------------------------

    def entries(self) -> Markup:
        """A mark for each entry; failures last, so that nothing covers them."""
        ordered = sorted(self.placed, key=lambda one: one.mark is Mark.REFUSED)
        return join(self._mark(one) for one in ordered)

    def _mark(self, one: Placed) -> Markup:
        words = f"entry {one.entry:,}: {one.mark.value}, {one.actor}, {moment(one.time)}"
        title = element("title", words)
        place = f"translate({_n(self.x(one.entry))} {_n(self.y(one.actor))})"
        return element("g", title, _glyph(one.mark), transform=place, class_=one.mark.kind)

    @property
    def _column_width(self) -> float:
        return (_WIDTH - _LEFT - _RIGHT) / STRETCHES

    def _column(self, entry: int) -> int:
        return min(entry * STRETCHES // self.size, STRETCHES - 1)

    def stretches(self) -> Markup:
        """How many entries of which kind, per lane and stretch; heights compare within a lane."""
        counts: collections.Counter[tuple[int, int, str]] = collections.Counter()
        for one in self.placed:
            counts[self._row_of[one.actor], self._column(one.entry), one.mark.kind] += 1
        totals: collections.Counter[tuple[int, int]] = collections.Counter()
        for (row, column, _), count in counts.items():
            totals[row, column] += count
        most: dict[int, int] = {}
        for (row, _), count in totals.items():
            most[row] = max(most.get(row, 1), count)
        return join(
            join(self._stack(row, column, counts, most[row])) for row, column in sorted(totals)
        )

    def _stack(
        self,
        row: int,
        column: int,
        counts: Mapping[tuple[int, int, str], int],
        most: int,
    ) -> Iterator[Markup]:
        bottom: float = self.top + _LANE * (row + 1) - _FOOT
        for kind in _STACK:
            count = counts.get((row, column, kind), 0)
            if not count:
                continue
            # A single failure among thousands of parts still shows.
            height = max((_LANE - 10) * count / most, 2 if kind in ("refused", "released") else 1)
            bottom -= height
            yield element(
                "rect",
                element("title", f"{count} × {_STACK_WORDS[kind]}"),
                x=_n(_LEFT + column * self._column_width + 0.5),
                y=_n(bottom),
                width=_n(self._column_width - 1),
                height=_n(height),
                class_=kind,
            )

    def findings(self) -> Markup:
        """A flag above the entry of every finding."""
        flags: dict[int, Severity] = {}
        for finding in self.report.findings:
            if finding.entry is None:
                continue
            place = finding.entry if self.size <= EACH_ENTRY_UP_TO else self._column(finding.entry)
            if flags.get(place) is not Severity.VIOLATION:
                flags[place] = finding.severity
        return join(self._flag(place, severity) for place, severity in sorted(flags.items()))

    def _flag(self, place: int, severity: Severity) -> Markup:
        if self.size <= EACH_ENTRY_UP_TO:
            x = self.x(place)
        else:
            x = _LEFT + (place + 0.5) * self._column_width
        return element(
            "g",
            element("title", severity.value),
            element("line", x1=0, x2=0, y1=4, y2=_n(self.bottom), class_="pole"),
            element("path", d="M0 2h13l-4 5 4 5H0z"),
            transform=f"translate({_n(x)} 2)",
            class_=f"flag {severity.value}",
        )


# --- pieces ---------------------------------------------------------------------------------------

_OUTCOME_WORDS: Final = {"released": "released", "open": "open", "refused": "failed"}


def _outcome(run: RunAccount) -> str:
    return {"released": "released", "failed": "refused"}.get(run.outcome, "open")


def _end(run: RunAccount, size: int) -> int:
    if run.ended is not None:
        return run.ended.entry
    return size - 1


def _lanes(report: AuditReport, placed: Sequence[Placed]) -> tuple[list[str], dict[str, int]]:
    """The lanes' names, and the row of each party that did something, in the order of the story.

    Of a role with very many parties the first have lanes of their own, the others one together.
    """
    acted = {one.actor for one in placed}
    roles = {party.name: party.role for party in report.parties}
    groups: dict[str, list[str]] = {role: [] for role in (*_ROLES, "")}
    for name in sorted(acted):
        role = roles.get(name, "")
        groups[role if role in groups else ""].append(name)
    spare = len(acted) - MOST_LANES
    largest = max(groups, key=lambda role: len(groups[role]))
    if spare > 0:
        return _with_shared(groups, largest, max(len(groups[largest]) - spare - 1, 1))
    names = [name for group in groups.values() for name in group]
    return names or [""], {name: row for row, name in enumerate(names)}


def _with_shared(
    groups: Mapping[str, list[str]], role: str, kept: int
) -> tuple[list[str], dict[str, int]]:
    lanes: list[str] = []
    rows: dict[str, int] = {}
    for group, names in groups.items():
        for place, name in enumerate(names):
            if group == role and place > kept:
                rows[name] = len(lanes) - 1
                continue
            rows[name] = len(lanes)
            shared = group == role and place == kept
            lanes.append(f"{len(names) - kept} more {role}s" if shared else name)
    return lanes, rows


def _tracks(runs: Sequence[RunAccount]) -> list[list[RunAccount]]:
    """Runs on as few tracks as hold them without overlap."""
    tracks: list[list[RunAccount]] = []
    ends: list[int] = []
    for run in sorted(runs, key=lambda run: run.ordered.entry):
        end = run.ended.entry if run.ended is not None else 1 << 62
        free = next((i for i, last in enumerate(ends) if last < run.ordered.entry), None)
        if free is None:
            tracks.append([run])
            ends.append(end)
        else:
            tracks[free].append(run)
            ends[free] = end
    return tracks


def _ticks(size: int) -> list[int]:
    """Round entry numbers, five to ten of them."""
    step = 1
    while size / step > 9:
        step = step * 5 // 2 if str(step).startswith("2") else step * 2
    return list(range(0, size, step))


def _glyph(mark: Mark) -> Markup:
    """A shape around the origin; no two kinds of entry have the same one."""
    shapes: dict[Mark, tuple[Markup, ...]] = {
        Mark.MEMBERS: (element("path", d="M-1.5-7h3v14h-3z"),),
        Mark.PROPOSED: (element("circle", r=5, class_="ring"),),
        Mark.APPROVED: (
            element("circle", r="6.5"),
            element("path", d="M-3 .2l2.2 2.4L3.2-2.4", class_="inner"),
        ),
        Mark.SEALED: (element("path", d="M0-8.5L8.5 0 0 8.5-8.5 0z"),),
        Mark.ORDERED: (element("path", d="M-5-6.5L7 0-5 6.5z"),),
        Mark.DELETED: (
            element("circle", r="5.5", class_="ring"),
            element("path", d="M-2.6 0h5.2", class_="stroke"),
        ),
        Mark.CONTRIBUTED: (element("circle", r=3),),
        Mark.SUMMED: (element("path", d="M-4.5-4.5h9v9h-9z"),),
        Mark.EXCHANGED: (
            element("circle", r="2.2", cx="-3.2"),
            element("circle", r="2.2", cx="3.2"),
        ),
        Mark.JUDGED: (
            element("path", d="M-3.4-6h6.8L6.9 0 3.4 6h-6.8L-6.9 0z", class_="ring"),
            element("circle", r="1.8"),
        ),
        Mark.RELEASED: (
            element("path", d="M0-9.5L8.4-4.8v9.6L0 9.5-8.4 4.8v-9.6z"),
            element("path", d="M-3.6 .2l2.7 2.9L4-3", class_="inner"),
        ),
        Mark.REFUSED: (element("path", d="M-5-5L5 5M5-5L-5 5", class_="cross"),),
    }
    return join(*shapes[mark])


def _legend(placed: Sequence[Placed], detailed: bool) -> Markup:
    seen = {one.mark for one in placed}
    items = []
    if detailed:
        for mark in Mark:
            if mark in seen:
                items.append(_legend_item(_glyph(mark), mark.kind, mark.value))
    else:
        block = element("path", d="M-6-6h12v12h-12z")
        for kind in reversed(_STACK):
            if any(mark.kind == kind for mark in seen):
                items.append(_legend_item(block, kind, _STACK_WORDS[kind]))
    order = "Order is the order of the log; times are the signers' own clocks."
    caption = (
        order
        if detailed
        else f"Each column is one of {STRETCHES} equal stretches of the log. Heights compare "
        f"within a lane. {order}"
    )
    return element("figcaption", element("ul", items, class_="legend"), element("p", caption))


def _legend_item(glyph: Markup, kind: str, words: str) -> Markup:
    icon = element(
        "svg",
        element("g", glyph, class_=kind),
        viewBox="-11 -11 22 22",
        width=18,
        height=18,
        aria_hidden="true",
        class_="icon",
    )
    return element("li", icon, words)


def _text(words: str, x: float, y: float, kind: str, *, anchor: str = "middle") -> Markup:
    return element("text", words, x=_n(x), y=_n(y), text_anchor=anchor, class_=kind)


def _short(name: str) -> str:
    return name if len(name) <= _NAME else name[: _NAME - 1] + "…"


def _n(value: float) -> str:
    """A coordinate in at most one decimal: the same text on every machine."""
    return f"{value:.1f}".removesuffix(".0")


def _count(number: int, one: str, more: str) -> str:
    return f"{number:,} {one if number == 1 else more}"
