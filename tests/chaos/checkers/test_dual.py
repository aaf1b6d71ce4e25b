"""Two writers: what is certain is refused, what may be an answer under way is not."""
import pytest

from checkers import dual, made
from checkers.made import health, ok, record

GOOD = {
    "begun when the other had just answered": [ok("v", 1, 10, "b", 2, end=11), ok("w", 1, 11)],
    "one after the other": [ok("w", 1, 0), ok("w", 2, 10), ok("v", 1, 20, "b", 2)],
    "an answer that comes late": [ok("w", 1, 0, end=50), ok("v", 1, 20, "b", 2)],
    "computed before the other had answered": [ok("w", 1, 0, end=50, computed=10), ok("v", 1, 9, "b", 2, end=11)],
    "begun before the other had answered": [ok("w", 1, 20), ok("v", 1, 19, "b", 2, end=25)],
    "back again on a timeline of its own": [ok("w", 1, 0), ok("v", 1, 10, "b", 2), ok("w", 2, 20, "a", 3), ok("w", 3, 30, "a", 3)],
    "on its own next timeline": [ok("w", 1, 0), ok("w", 2, 10, "a", 2), ok("w", 3, 20, "a", 1)],
    "unknown outcomes say nothing": [ok("w", 1, 0), ok("v", 1, 10, "b", 2), ok("w", 2, 20, result="unknown"), ok("w", 3, 30, result="fail")],
    "health in turns": [health("a", 0), health("a", 10, 503), health("b", 12, timeline=2), health("b", 20, 503, 2), health("a", 30, timeline=3)],
    "an answer to a question of before": [health("a", 0, end=40), health("b", 10, timeline=2)],
    "no answer between two of them": [health("a", 0), health("a", 5, None, None), health("b", 12, timeline=2)],
    "a 503 between, and no timelines": [health("a", 0, timeline=None), health("a", 4, 503, None), health("b", 8, timeline=None),
                                       health("a", 12, timeline=None)],
    "deposed": [ok("w", 1, 0), ok("v", 1, 10, "b", 2), ok("w", 2, 20), record("exception", why="depose", begin=5, end=30, node="a")],
    "paused": [health("a", 0), health("b", 10, timeline=2), health("a", 20), record("exception", why="unfenced", begin=5, end=30, node="a")],
}
BAD = {
    "in turns, and every timeline is told": ([health("a", 0), health("b", 5, timeline=2), health("a", 10)], "late health", "a on timeline 1"),
    "in turns, and only the second is told": ([health("a", 0, timeline=None), health("b", 5, timeline=2), health("a", 10, timeline=None)], "healthy in turns", "a, then b"),
    "in turns, and only the second is not told": ([health("a", 0), health("b", 5, timeline=None), health("a", 10)], "healthy in turns", "a, then b"),
    "written after the next": ([ok("w", 1, 0), ok("v", 1, 10, "b", 2), ok("w", 2, 12)], "late write", "a on timeline 1, 1.0 ms after b on timeline 2"),
    "computed after the next had answered": ([ok("w", 1, 0, end=50, computed=20), ok("v", 1, 10, "b", 2)], "late write", "a on timeline 1, 9.0 ms after b"),
    "warned counts as written": ([ok("v", 1, 10, "b", 2), ok("w", 2, 20, result="warned")], "late write", "9.0 ms after b"),
    "the third after the second": ([ok("w", 1, 0), ok("v", 1, 10, "b", 2), ok("u", 1, 20, "c", 3), ok("v", 2, 30, "b", 2)], "late write", "after c"),
    "two timelines on": ([ok("u", 1, 10, "c", 5), ok("w", 1, 20, "a", 1)], "late write", "after c on timeline 5"),
    "after the exception": ([ok("v", 1, 10, "b", 2), ok("w", 2, 20), ok("w", 3, 40),
                             record("exception", why="depose", begin=5, end=30, node="a")], "late write", "29.0 ms"),
    "healthy after the next has written": ([health("a", 0), ok("v", 1, 10, "b", 2), health("a", 20)], "late health", "after b on timeline 2"),
    "healthy after the next is": ([health("b", 10, timeline=2), health("a", 20)], "late health", "9.0 ms after b"),
    "one number, two writers": ([ok("w", 1, 0), ok("v", 1, 10, "b", 1)], "one timeline, two writers", "a and b on timeline 1"),
    "one number, two healthy": ([health("a", 0), health("b", 10)], "one timeline, two healthy", "a and b on timeline 1"),
    "in turns": ([health("a", 0, timeline=None), health("b", 5, timeline=None), health("a", 10, timeline=None)], "healthy in turns", "a, then b, then a"),
}


@pytest.mark.parametrize("name", GOOD)
def test_takes(name):
    made.accepted(dual, GOOD[name])


@pytest.mark.parametrize("name", BAD)
def test_refuses(name):
    made.only(dual, *BAD[name])


def test_every_condition_is_needed():
    made.all_conditions(dual, BAD)


def test_overlap_is_measured_without_what_is_excused():
    records = [ok("v", 1, 10, "b", 2), ok("w", 1, 20), ok("w", 2, 41), record("exception", why="depose", begin=5, end=30, node="a")]
    numbers = dual.check(made.history(*records)).numbers
    assert (numbers["overlap_ms"], numbers["excused_ms"], numbers["excused"]) == (11.0, 19.0, 1)


def test_of_nothing_nothing_is_said():
    assert dual.check(made.history()).verdict == "nothing"


def test_a_hundred_thousand_writes_take_seconds():
    records = [ok("w", n, n, "ab"[n // 50000], 1 + n // 50000) for n in range(100_000)]
    assert made.accepted(dual, records).looked == 100_000
