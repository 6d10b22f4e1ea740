"""A data user who asks twice: answers that are fine alone, and together are about few.

Real keys, real encryption, real SQL; everybody but the data user is honest.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from attacks.lying import World
from pets import HOLDERS, TEXT, Row

from stayput.disclosure import Reason
from stayput.errors import ScenarioError
from stayput.scenario_file import parse_scenario_file

POLICY = "output: {min_count: 10, min_holders: 3, dominance: none, group_percent: none}\n"


def world_of(root: Path, statements: dict[str, str], rows: dict[str, list[Row]]) -> World:
    text = re.sub(r"(?s)statements:.*", "statements:\n", TEXT)
    for name, sql in statements.items():
        text += f"  {name}:\n    sql: {sql}\n"
    world = World(root, text + POLICY)
    for holder in HOLDERS:
        world.stagers[holder].rows = rows[holder]
    return world


def ask(world: World, statement: str) -> list[Any]:
    """The table, or what is left of it: one tuple per row."""
    run = world.client.run(world.scenario, statement)
    world.settle()
    rows = run.wait().table.to_pylist()
    return [
        tuple(value for name, value in row.items() if not name.endswith("__withheld"))
        for row in rows
    ]


def pets(number: int, age: int = 5, colour: str = "red") -> list[Row]:
    return [(colour, age, 10)] * number


def test_all_minus_one(tmp_path: Path) -> None:
    rows = dict.fromkeys(HOLDERS, pets(20))
    rows["north"] = [*pets(20), *pets(1, age=25)]
    statements = {
        "everybody": "SELECT COUNT(*) AS pets, SUM(age) AS years FROM pets",
        "young": "SELECT COUNT(*) AS pets, SUM(age) AS years FROM pets WHERE age < 20",
    }
    world = world_of(tmp_path, statements, rows)
    assert ask(world, "everybody")[0][0] == 61
    assert ask(world, "young") == [(None, None)]
    (reason, *_) = world.checker.reasons(list(world.checker.replica.session.runs)[1])[0]
    assert reason is Reason.ISOLATING
    world.close()


def test_the_four_answers(tmp_path: Path) -> None:
    """No two of A+B+x, B+C, A+C and A differ in few rows; together they give x away."""
    rows = {h: pets(20, 1) + pets(20, 2) + pets(20, 3) for h in HOLDERS}
    rows["south"] = [*rows["south"], *pets(1, 4)]
    where = {"abx": "1, 2, 4", "bc": "2, 3", "ac": "1, 3", "a": "1"}
    statements = {
        name: f"SELECT COUNT(*) AS pets FROM pets WHERE age IN ({ages})"
        for name, ages in where.items()
    }
    world = world_of(tmp_path, statements, rows)
    assert [ask(world, name)[0][0] for name in where] == [121, 120, 120, None]
    world.close()


def test_snapshot_plus_one(tmp_path: Path) -> None:
    """The same question before and after one row came; and after it went again."""
    rows = dict.fromkeys(HOLDERS, pets(20))
    world = world_of(tmp_path, {"all": "SELECT COUNT(*) AS pets, SUM(age) AS y FROM pets"}, rows)
    assert ask(world, "all") == [(60, 300)]
    world.stagers["west"].rows = [*pets(20), *pets(1, age=7)]
    assert ask(world, "all") == [(None, None)]
    world.stagers["west"].rows = pets(20)
    assert ask(world, "all") == [(60, 300)]
    # Enough rows, but all of them one holder's: the difference would be that holder's part.
    world.stagers["west"].rows = pets(60)
    assert ask(world, "all") == [(None, None)]
    for holder in HOLDERS:
        world.stagers[holder].rows = pets(70)
    assert ask(world, "all") == [(210, 1050)]
    world.close()


TWO = TEXT.replace("holders: [north, south, west]", "holders: [north, south]").replace(
    "at: [north, south, west]", "at: [north, south]"
)
NUMBER = "SELECT COUNT(*) AS pets FROM pets"
ALL = "SELECT COUNT(*) AS pets, SUM(age) AS years FROM pets"


def scenario_of(text: str, statements: dict[str, str], policy: str = POLICY) -> str:
    text = re.sub(r"(?s)statements:.*", "statements:\n", text)
    return text + "".join(f"  {n}:\n    sql: {sql}\n" for n, sql in statements.items()) + policy


def released(world: World, scenario: bytes, statement: str, client: Any = None) -> Any:
    client = client or world.client
    run = client.run(scenario, statement)
    world.settle()
    return run.wait().table.to_pylist()[0]["pets"]


@pytest.mark.parametrize("fewer_first", [True, False])
def test_one_holder_fewer(tmp_path: Path, fewer_first: bool) -> None:
    """The same question in a scenario of three and in one of two: the difference is west's part.

    Of the smaller scenario west knows nothing, so the others have to say that this is too close.
    """
    rows = dict.fromkeys(HOLDERS, pets(40))
    world = world_of(tmp_path, {"all": ALL}, rows)
    pair = POLICY.replace("min_holders: 3", "min_holders: 2")
    two = world.client.propose(scenario_of(TWO, {"all": ALL}, pair))
    world.approve(world.client.scenario(two))
    first, second = (two, world.scenario) if fewer_first else (world.scenario, two)
    assert released(world, first, "all") == (80 if fewer_first else 120)
    assert released(world, second, "all") is None
    world.close()


class TwoUsers(World):
    def __init__(self, root: Path, text: str) -> None:
        self.rival: Any = None
        super().__init__(root, text)
        self.rival = self.start_client("rival")

    users = ("rival",)


def test_two_data_users_in_league(tmp_path: Path) -> None:
    """Each has its own scenario; neither asks anything that is wrong alone."""
    rows = dict.fromkeys(HOLDERS, pets(40))
    rows["south"] = [*pets(40), *pets(2, age=29)]
    text = scenario_of(TEXT, {"all": ALL})
    world = TwoUsers(tmp_path, text)
    for holder in HOLDERS:
        world.stagers[holder].rows = rows[holder]
    young = {"young": f"{ALL} WHERE age < 29"}
    theirs = world.rival.propose(
        scenario_of(TEXT.replace("data_user: asker", "data_user: rival"), young)
    )
    world.approve(world.rival.scenario(theirs))
    assert released(world, theirs, "young", world.rival) == 120
    assert released(world, world.scenario, "all") is None
    world.close()


def test_renamed_copies_reordered_and_equal_predicates(tmp_path: Path) -> None:
    """A copy is the same rows, however it is written, and one that differs in a row is found among
    many."""
    rows = dict.fromkeys(HOLDERS, pets(20) + pets(20, 12))
    rows["west"] = [*rows["west"], *pets(1, 13)]
    same = [
        "age < 13",
        "NOT (age >= 13)",
        "13 > age",
        "age BETWEEN 0 AND 12",
        "age < 13 AND age < 20",
        "age <= 12 OR age <= 5",
        "age // 13 = 0",
        "age + 7 < 20",
    ]
    statements = {f"copy_{i}": f"{NUMBER} WHERE {where}" for i, where in enumerate(same)}
    statements["more"] = f"{NUMBER} WHERE age < 14"
    world = world_of(tmp_path, statements, rows)
    assert [ask(world, f"copy_{i}")[0][0] for i in range(len(same))] == [120] * len(same)
    assert ask(world, "more") == [(None,)]
    world.close()


@pytest.mark.parametrize("chosen", ["hash(age) = 1", "rowid = 7", "row_number() OVER () = 7"])
def test_rows_are_not_chosen_by_number_or_hash(chosen: str) -> None:
    with pytest.raises(ScenarioError):
        parse_scenario_file(scenario_of(TEXT, {"one": f"{ALL} WHERE {chosen}"}), nonce=bytes(16))


def test_the_sum_of_two_parts_is_not_the_whole(tmp_path: Path) -> None:
    """50 % and 49 % of all leave a rest: a large one may follow, a small one may not."""
    few = pets(100, 1) + pets(98, 2) + pets(2, 3)
    many = pets(100, 11) + pets(96, 12) + pets(4, 13)
    statements = {
        "a": f"{NUMBER} WHERE age = 1",
        "b": f"{NUMBER} WHERE age = 2",
        "few": f"{NUMBER} WHERE age < 10",
        "c": f"{NUMBER} WHERE age = 11",
        "d": f"{NUMBER} WHERE age = 12",
        "many": f"{NUMBER} WHERE age > 10",
    }
    world = world_of(tmp_path, statements, dict.fromkeys(HOLDERS, few + many))
    assert [ask(world, name)[0][0] for name in statements] == [300, 294, None, 300, 288, 600]
    world.close()


def test_two_questions_at_once(tmp_path: Path) -> None:
    """Ordered before either is answered; the one judged later is compared with the other."""
    rows = dict.fromkeys(HOLDERS, pets(20))
    rows["north"] = [*pets(20), *pets(1, age=25)]
    world = world_of(tmp_path, {"all": ALL, "young": f"{ALL} WHERE age < 20"}, rows)
    runs = [world.client.run(world.scenario, name) for name in ("all", "young")]
    world.settle()
    answers = [run.wait().table.to_pylist()[0]["pets"] for run in runs]
    assert answers.count(None) == 1
    world.close()


def test_a_lineage_is_destroyed(tmp_path: Path) -> None:
    """Then nothing is compared with what was before, and nothing of the rows is left."""
    rows = dict.fromkeys(HOLDERS, pets(20))
    world = world_of(tmp_path, {"all": ALL}, rows)
    assert ask(world, "all") == [(60, 300)]
    world.stagers["west"].rows = [*pets(20), *pets(1, age=7)]
    for holder in HOLDERS:
        assert world._ledgers[holder].lineages.destroy("pets") == 1
        assert world._ledgers[holder].lineages.answers("pets") == {}
    assert ask(world, "all") == [(61, 307)]
    world.close()


def test_a_stored_answer_is_free(tmp_path: Path) -> None:
    rows = dict.fromkeys(HOLDERS, pets(20))
    world = world_of(tmp_path, {"all": ALL, "young": f"{ALL} WHERE age < 20"}, rows)
    assert world.client.answered(world.scenario, "all") is None
    run = world.client.run(world.scenario, "all")
    world.settle()
    first = run.wait()
    charged = [world._ledgers[h].charged(world.scenario) for h in HOLDERS]
    size = world.client.replica.size
    world.stagers["west"].rows = pets(21)
    again = world.client.ask(world.scenario, "all")
    assert again.checked.result == first.checked.result
    assert [world._ledgers[h].charged(world.scenario) for h in HOLDERS] == charged == [1] * 3
    assert world.client.replica.size == size
    assert world.client.answered(world.scenario, "young") is None
    world.close()


def test_percentiles_with_shifted_bins(tmp_path: Path) -> None:
    """Bins of age and of age + 3 differ in a row that neither shows: its bin is withheld, too."""
    rows = {holder: pets(20, 5) + pets(30, 14) for holder in HOLDERS}
    rows["west"] = [*rows["west"], *pets(1, 8)]
    statements = {
        name: f"SELECT COUNT(*) AS n, APPROX_PERCENTILE({what}, 0.7, 10) AS p FROM pets"
        for name, what in (("plain", "age"), ("shifted", "age + 3"), ("again", "age"))
    }
    world = world_of(tmp_path, statements, rows)
    assert ask(world, "plain") == [(151, 10, 19)]
    assert ask(world, "shifted") == [(151, 3, 33)]  # all that is declared
    assert ask(world, "again") == [(151, 10, 19)]
    kinds = [set(world.checker.reasons(run)[0]) for run in world.checker.replica.session.runs]
    assert [Reason.ISOLATING in found for found in kinds] == [False, True, False]
    world.close()


# --- people who have several rows -----------------------------------------------------------------

PEOPLE = TEXT.replace("    max_rows: 1000\n", "    max_rows: 1000\n    unit: age\n")


def crowd(first: int, last: int, weight: int = 10) -> list[Row]:
    """Two rows of each person; ``age`` is the person here."""
    return [("red", person, weight) for person in range(first, last) for _ in range(2)]


def world_of_people(root: Path, statements: dict[str, str]) -> World:
    text = re.sub(r"(?s)statements:.*", "statements:\n", PEOPLE)
    text += "".join(f"  {name}:\n    sql: {sql}\n" for name, sql in statements.items())
    return World(root, text + POLICY)


def test_a_difference_of_one_person_who_has_many_rows(tmp_path: Path) -> None:
    """Fifteen rows at three holders, all of one person; and as many rows of many people."""
    world = world_of_people(
        tmp_path,
        {
            "all": "SELECT colour, COUNT(*) AS n FROM pets GROUP BY colour",
            "but_one": "SELECT colour, COUNT(*) AS n FROM pets WHERE weight < 5 GROUP BY colour",
            "but_some": "SELECT colour, COUNT(*) AS n FROM pets WHERE weight < 9 GROUP BY colour",
        },
    )
    for holder in HOLDERS:
        alone = [("red", 30, 60)] * 5
        some = [("red", person, 95) for person in range(12)]
        world.stagers[holder].rows = [*crowd(0, 20), *alone, *some]
    everybody = 3 * (40 + 5 + 12)
    assert ask(world, "all")[0] == ("red", everybody)
    # Of 36 rows, of twelve people.
    assert ask(world, "but_some")[0] == ("red", everybody - 36)
    # Of 51 rows besides the first answer, but beside the second of 15, of one.
    assert ask(world, "but_one")[0] == ("red", None)
    world.close()


def test_new_rows_of_one_person(tmp_path: Path) -> None:
    """The same question again: one person came with 15 rows, then ten people with one each."""
    world = world_of_people(tmp_path, {"all": "SELECT COUNT(*) AS n FROM pets"})
    for holder in HOLDERS:
        world.stagers[holder].rows = crowd(0, 20)
    assert ask(world, "all") == [(120,)]
    for holder in HOLDERS:
        world.stagers[holder].rows = [*crowd(0, 20), *[("red", 30, 10)] * 5]
    assert ask(world, "all") == [(None,)]
    for holder in HOLDERS:
        world.stagers[holder].rows = [*crowd(0, 20), *crowd(20, 30)]
    assert ask(world, "all") == [(180,)]
    world.close()
