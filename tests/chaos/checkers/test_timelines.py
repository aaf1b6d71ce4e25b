"""Timelines: numbers, files, the record, and where the nodes stand."""
import pytest

from checkers import made, timelines
from checkers.made import record

TWO, THREE = {"2": [[1, 250, "none"]]}, {"2": [[1, 250, "none"]], "3": [[1, 250, "none"], [2, 400, "none"]]}


def at(node, timeline, files, role="standby", lsn=500, when=99):
    return record("timelines", node=node, at=when, timeline=timeline, role=role, files=files, lsn=lsn)


def promoted(node, when, timeline, origin, lsn, **fields):
    return record("promotion", node=node, at=when, timeline=timeline, from_timeline=origin, lsn=lsn, **fields)


def recorded(*entries, when=98):
    return record("recorded", at=when, entries=[list(e) for e in entries])


MADE = [promoted("b", 10, 2, 1, 250, planned=2), promoted("c", 50, 3, 2, 400)]
REST = [at("c", 3, THREE, "primary"), at("b", 3, THREE), at("a", 3, THREE), recorded((1, 250, "none", "when", "b"), (2, 400, "none"))]
GOOD = {
    "two promotions at one position": [at("b", 3, {"3": [[1, 250, ""], [2, 250, ""]]}, "primary")],
    "nothing has happened": [at("a", 1, {}, "primary"), at("b", 1, {}), recorded()],
    "two promotions": MADE + REST,
    "a number was passed over": [promoted("b", 10, 5, 1, 250, planned=5), at("b", 5, {"5": [[1, 250, ""]], "4": [[1, 250, "skipped"]]}, "primary")],
    "a standby is behind, on the branch": [at("b", 2, TWO, "primary"), at("a", 1, {}, lsn=250)],
    "was primary, and follows": [at("a", 1, {}, "primary", when=5), at("a", 2, TWO), at("b", 2, TWO, "primary")],
    "a log that was read twice": MADE + MADE[:1] + REST,
    "reasons may differ": [at("b", 2, TWO, "primary"), at("a", 2, {"2": [[1, 250, "another"]]})],
    "the record of before": MADE + REST + [recorded((1, 250), when=20)],
}
BAD = {
    "two make one number at once": (MADE[:1] + [promoted("c", 10, 2, 1, 250)], "made twice", "timeline 2 by b and by c"),
    "one parent twice": ([at("b", 3, {"3": [[1, 250, ""], [1, 300, ""]]}, "primary")], "not in order", "timeline 3 on b"),
    "two make one number": (MADE[:1] + [promoted("c", 20, 2, 1, 250)], "made twice", "timeline 2 by b and by c"),
    "one makes it again": (MADE[:1] + [promoted("b", 20, 2, 1, 250)], "made twice", "timeline 2 by b and by b"),
    "a lower number": ([promoted("b", 10, 5, 1, 250), promoted("c", 20, 4, 1, 250)], "not above", "timeline 4 by c from 1, after 5"),
    "not above its own": ([promoted("b", 10, 2, 2, 250)], "not above", "timeline 2 by b from 2"),
    "another than planned": ([promoted("b", 10, 2, 1, 250, planned=3)], "not as planned", "b made 2 instead of 3"),
    "two switch points": ([at("b", 2, TWO, "primary"), at("a", 2, {"2": [[1, 240, ""]]})], "two histories", "timeline 2 on b [(1, 250)] and on a [(1, 240)]"),
    "two parents": ([at("b", 3, {"3": [[2, 250, ""]]}, "primary"), at("a", 3, {"3": [[1, 250, ""]]})], "two histories", "timeline 3"),
    "elsewhere than the log says": ([promoted("b", 10, 2, 1, 260), at("b", 2, TWO, "primary")], "left elsewhere", "from 1 at 260, and the file says (1, 250)"),
    "positions go back": ([at("b", 3, {"3": [[1, 250, ""], [2, 240, ""]]}, "primary")], "not in order", "timeline 3 on b"),
    "a parent that is younger": ([at("b", 3, {"3": [[4, 250, ""]]}, "primary")], "not in order", "[(4, 250)]"),
    "one is missing in the store": (MADE + REST[:3] + [recorded((1, 250))], "unknown to the store", "[(1, 250)], and c has [(1, 250), (2, 400)]"),
    "another position in the store": ([at("b", 2, TWO, "primary"), recorded((1, 251))], "unknown to the store", "(1, 251)"),
    "behind the switch": ([at("b", 2, TWO, "primary"), at("a", 1, {}, lsn=251)], "off the branch", "a is on timeline 1 at 251; the history of b left it at 250"),
    "on another timeline": ([at("c", 3, {"3": [[1, 250, ""]]}, "primary"), at("a", 2, TWO, lsn=260)], "off the branch", "c never was on it"),
    "ahead of the primary": ([at("a", 1, {}, "primary"), at("b", 2, TWO)], "off the branch", "b is on timeline 2"),
    "two at the end": ([at("a", 1, {}, "primary"), at("b", 2, TWO, "primary")], "two primaries", "a, b"),
}


@pytest.mark.parametrize("name", GOOD)
def test_takes(name):
    made.accepted(timelines, GOOD[name])


@pytest.mark.parametrize("name", BAD)
def test_refuses(name):
    made.only(timelines, *BAD[name])


def test_every_condition_is_needed():
    made.all_conditions(timelines, BAD)


def test_without_the_primarys_own_file_nothing_is_sure():
    assert timelines.check(made.history(at("b", 2, {}, "primary"), at("a", 1, {}))).verdict == "undecided"
