"""The set checker: what may be missing, and what may not."""
import pytest

from checkers import made, sets
from checkers.made import ok, record


def table(cycle, begin, rows, node="a", role="primary", timeline=1):
    return record("table", cycle=cycle, begin=begin, end=begin + 1, node=node, role=role, timeline=timeline, rows=[list(r) for r in rows])


def row(writer, n, timeline=1, lsn=0):
    return (writer, n, timeline, lsn)


def cycle(number, begin, end, **fields):
    return record("cycle", cycle=number, fault="cut", begin=begin, injected=begin, healed=end, end=end, bounds={}, **fields)


A = [ok("w", 1, 0, lsn=100), ok("w", 2, 10, lsn=200), ok("w", 3, 20, lsn=300)]
GOOD = {
    "all there": (A + [table(1, 90, [row("w", 1), row("w", 2), row("w", 3)])], {}),
    "open outcomes, there or not": ([ok("w", 1, 0, result="unknown"), ok("w", 2, 0, result="warned"), ok("w", 3, 0, result="unknown"),
                                     ok("w", 4, 0, result="warned"), table(1, 90, [row("w", 1), row("w", 2)])], {"mode": "quorum", "strict": True}),
    "an unknown one comes late": ([ok("w", 1, 0, result="unknown"), table(1, 90, []), table(2, 190, [row("w", 1)])], {}),
    "a begun one may be there": ([record("write", writer="w", n=1, begin=0, result="invoke"), table(1, 90, [row("w", 1)])], {}),
    "not acknowledged yet when it was read": (A[:1] + [ok("w", 2, 89, end=95), table(1, 90, [row("w", 1)])], {}),
    "acknowledged at the very moment it was read": (A[:1] + [ok("w", 2, 80, end=90), table(1, 90, [row("w", 1)])], {}),
    "much is lost, and positions are not told": (
        [ok("w", n, n * 1000) for n in range(10)] + [table(1, 90000, [row("w", 0)], "b", timeline=2)], {}),
    "much is lost, and the position of the first is not told": (
        [ok("w", n, n * 1000, lsn=n * 500 if n > 5 else None) for n in range(10)] + [table(1, 90000, [row("w", 0)], "b", timeline=2)], {}),
    "much is lost, and the position of one of them is not told": (
        [ok("w", n, n * 1000, lsn=n * 100 if n != 1 else None) for n in range(10)] + [table(1, 90000, [row("w", 0)], "b", timeline=2)], {}),
    "on a timeline that is not told": ([dict(ok("w", 1, 0), timeline=None), ok("w", 2, 10), table(1, 90, [row("w", 2)], "b", timeline=2)], {}),
    "the end is lost": (A + [ok("v", 1, 50, "b", 2, 210), table(1, 90, [row("w", 1), row("v", 1, 2)], "b", timeline=2)], {}),
    "beside the last that is kept": (A + [ok("u", 1, 5, end=12, lsn=150), table(1, 90, [row("w", 1), row("w", 2)], "b", timeline=2)], {}),
    "a local commit in a strict mode": ([ok("w", 1, 0, commit="local"), table(1, 90, [row("v", 1, 2)], "b", timeline=2), ok("v", 1, 50, "b", 2)],
                                        {"mode": "quorum", "strict": True}),
    "lost in a cycle that may lose": (A + [cycle(1, 5, 80), table(1, 90, [row("w", 1), row("w", 2)], "b", timeline=2)], {}),
    "lost for good": (A + [table(1, 90, [row("w", 1), row("w", 2)], "b", timeline=2), table(2, 190, [row("w", 1), row("w", 2)], "b", timeline=2)], {}),
    "as much as was written since the last position": (
        [ok("w", n, n * 100, lsn=n * 500) for n in range(10)] + [table(1, 9000, [row("w", 0)], "b", timeline=2)], {}),
    "a standby has it later than the primary was read": (
        A[:1] + [ok("w", 2, 91), table(1, 90, [row("w", 1)]), table(1, 95, [row("w", 1), row("w", 2)], "b", "standby")], {}),
}
BAD = {
    "nobody wrote it": ([table(1, 90, [row("x", 9)])], "phantom", "('x', 9) on a after cycle 1"),
    "it failed": ([ok("w", 1, 0, result="fail"), table(1, 90, [row("w", 1)])], "failed and there", "('w', 1) on a"),
    "twice": ([A[0], table(1, 90, [row("w", 1), row("w", 1)])], "twice", "('w', 1)"),
    "lost in a strict mode": (A + [table(1, 90, [row("w", 1), row("w", 2)], "b", timeline=2)], "lost", "('w', 3) is not on b", {"mode": "quorum"}),
    "lost on a standby alone": (A + [table(1, 90, [row("w", 1), row("w", 2), row("w", 3)], "b", timeline=2),
                                     table(1, 90, [row("w", 1), row("w", 2)], "c", "standby", 2)], "lost", "('w', 3) is not on c", {"mode": "sync"}),
    "remote_apply counts": ([ok("w", 1, 0, commit="remote_apply"), table(1, 90, [], "b", timeline=2)], "lost", "('w', 1)", {"mode": "sync"}),
    "no failover": (A + [table(1, 90, [row("w", 1), row("w", 2)])], "lost without a failover", "timeline 1 as well"),
    "no failover, and from the middle": (A + [table(1, 90, [row("w", 1), row("w", 3)])], "lost without a failover", "('w', 2)"),
    "switchover": (A + [cycle(1, 5, 80, lossless=True), table(1, 90, [row("w", 1), row("w", 2)], "b", timeline=2)], "lost in a lossless cycle", "('w', 3)"),
    "from the middle": (A + [table(1, 90, [row("w", 1), row("w", 3)], "b", timeline=2)], "lost before what is kept", "('w', 2) of a on timeline 1"),
    "from the middle, by another client": (A + [ok("u", 1, 5, end=7, lsn=150), table(1, 90, [row("w", 1), row("w", 2), row("w", 3)], "b", timeline=2)],
                                           "lost before what is kept", "('u', 1)"),
    "too much": ([ok("w", n, n * 1000, lsn=n * 500) for n in range(10)] + [table(1, 90000, [row("w", 0)], "b", timeline=2)], "lost too much",
                 "2000 bytes of a on timeline 1, at most 1000"),
    "seen and gone": ([ok("w", 1, 0, result="unknown"), table(1, 90, [row("w", 1)]), table(2, 190, [])], "vanished", "('w', 1) was on a after cycle 1"),
    "back again": ([ok("w", 1, 0, result="unknown"), table(1, 90, [], "b", timeline=2), table(2, 190, [row("w", 1)], "c", timeline=3)], "resurrected",
                   "was not on b after cycle 1 and is on c after cycle 2"),
    "back again on a standby": ([ok("w", 1, 0, result="warned"), table(1, 90, [], "b", timeline=2), table(2, 190, [], "b", timeline=2),
                                 table(2, 191, [row("w", 1)], "a", "standby", 1)], "resurrected", "is on a after cycle 2"),
    "another branch": ([ok("w", 1, 0, end=89, result="unknown"), table(1, 85, [], "b", timeline=2), table(1, 95, [row("w", 1)], "a", "standby", 2)],
                       "diverged", "('w', 1) of timeline 1 is on a"),
}


@pytest.mark.parametrize("name", GOOD)
def test_takes(name):
    records, fields = GOOD[name]
    if all(not r.get("rows") for r in records):
        assert sets.check(made.history(*records, **fields)).verdict == "nothing"
    else:
        made.accepted(sets, records, **fields)


@pytest.mark.parametrize("name", BAD)
def test_refuses(name):
    records, condition, text = BAD[name][:3]
    made.only(sets, records, condition, text, **(BAD[name][3] if len(BAD[name]) > 3 else {}))


def test_every_condition_is_needed():
    made.all_conditions(sets, BAD)


def test_an_acknowledged_row_that_comes_back_is_both_lost_and_resurrected():
    records = A[:1] + [table(1, 90, [], "b", timeline=2), table(2, 190, [row("w", 1)], "c", timeline=3)]
    assert made.conditions(sets.check(made.history(*records, mode="quorum"))) == {"lost", "resurrected"}


def test_says_how_much_was_lost():
    numbers = sets.check(made.history(*GOOD["the end is lost"][0])).numbers
    assert (numbers["ok"], numbers["lost"], numbers["tables"]) == (4, 2, 1)


def test_a_hundred_thousand_rows_take_seconds():
    records = [ok("w", n, n, lsn=n * 10) for n in range(100_000)]
    rows = [row("w", n, 1, n * 10) for n in range(100_000)]
    records += [table(1, 200_000, rows, node, role) for node, role in (("a", "primary"), ("b", "standby"), ("c", "standby"))]
    assert made.accepted(sets, records).looked == 300_000
