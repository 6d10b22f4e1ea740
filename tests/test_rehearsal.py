"""A rehearsal runs the real pipeline and says that what comes out is synthetic."""

from __future__ import annotations

import pytest
from pets import TEXT

from stayput.errors import InvalidInput, ScenarioError
from stayput.rehearsal import rehearse


def test_a_rehearsal_answers_on_synthetic_rows() -> None:
    stages: list[str] = []
    table = rehearse(TEXT, "by_colour", {"youngest": 3}, rows=300, progress=stages.append)
    assert table.synthetic
    frame = table.to_arrow()
    assert frame.schema.metadata[b"stayput.synthetic"] == b"true"
    rows = {row["colour"]: row for row in frame.to_pylist()}
    assert {"red", "green", "blue", "white"} <= set(rows)
    for colour in ("red", "green", "blue", "white"):
        assert 10 <= rows[colour]["pets"] <= 900
        assert -100 <= rows[colour]["mean"] <= 100
    assert "result checked and released" in stages


def test_neither_expiry_nor_what_people_decide_is_rehearsed() -> None:
    """Over since long, held, authorised and a new version: the numbers come out all the same."""
    governed = TEXT.replace("2099-12-31", "2020-12-31")
    governed = governed.replace("min_holders: 3,", "min_holders: 3, review: always,")
    governed += "authorisation: {centralised: bureau}\nreplaces: an-earlier-one\n"
    stages: list[str] = []
    table = rehearse(governed, "numbers", {}, rows=50, progress=stages.append)
    assert table.synthetic
    assert "authorities, review of results and earlier versions are not rehearsed" in stages


def test_few_rows_are_withheld_in_a_rehearsal_too() -> None:
    table = rehearse(TEXT, "numbers", {}, rows=2)
    assert all(row["pets"] is None for row in table.to_arrow().to_pylist())


def test_a_rehearsal_shows_what_the_noise_does() -> None:
    """The distance that it tells is that to its own synthetic rows, and as large as was told."""
    stages: list[str] = []
    text = TEXT.replace("output: {min_count: 10, min_holders: 3, min_difference: none}", NOISE)
    table = rehearse(text, "by_colour", {"youngest": 3}, rows=1000, progress=stages.append)
    assert (table.synthetic, table.noisy) == (True, True)
    told = [stage for stage in stages if stage.startswith("noise moved")]
    assert [line.split()[2] for line in told] == ["pets", "mean", "sd"]
    (error,) = [column.error for column in table.columns if column.name == "pets"]
    most = float(told[0].split(", by ")[1].split()[0])
    assert 0 <= most < 3 * int(error)
    assert float(told[2].split(", by ")[1].split()[0]) > 0, "exact would be as if without noise"


NOISE = "privacy: {mechanism: gaussian, rho: 0.1}"


@pytest.mark.parametrize(
    ("statement", "parameters"),
    [("nothing", {}), ("by_colour", {}), ("by_colour", {"youngest": 11}), ("numbers", {"x": 1})],
)
def test_a_question_outside_the_scenario_is_refused(
    statement: str, parameters: dict[str, int]
) -> None:
    with pytest.raises(InvalidInput):
        rehearse(TEXT, statement, parameters, rows=20)


def test_a_mistake_in_the_text_is_told_with_its_line() -> None:
    with pytest.raises(ScenarioError) as caught:
        rehearse(TEXT.replace("min_count", "min_cuont"), "numbers", {})
    assert caught.value.line > 0
    assert "min_count" in caught.value.hint
