"""Lists: orders of transactions that explain what was read, and circles that nothing explains."""
import random

import pytest

from checkers import append, made
from checkers.made import record


def t(begin, *operations, endpoint="primary", result="ok", end=None, timeline=1, client=None, session=1, node=None):
    """Operations are ("x", [1, 2]) for a read and ("x", 3) for an append."""
    steps = [["read", k, v] if v is None or isinstance(v, list) else ["append", k, v] for k, v in operations]
    return record("append", client=client or f"c{begin}", session=session, n=round(begin * 10), begin=begin, end=begin + 1 if end is None else end, result=result,
                  endpoint=endpoint, timeline=timeline, node=node or ("a" if endpoint == "primary" else "b"), operations=steps)


def standby(begin, *operations, **fields):
    return t(begin, *operations, endpoint="standby", **dict({"timeline": None}, **fields))


BESIDE = {"end": 100}  # overlaps everything
QUORUM = {"mode": "quorum", "strict": True}
GOOD = {
    "begun when the other had just ended": ([t(0, ("x", 1), end=10), t(10, ("x", [])), t(20, ("x", [1]))], {}),
    "two asynchronous failovers": ([t(0, ("x", 1)), t(5, ("x", [1])), t(20, ("x", 3), timeline=2), t(30, ("x", [3]), timeline=2), t(40, ("x", 4), timeline=3),
                                    t(50, ("x", [4]), timeline=3)], {}),
    "one after the other": ([t(0, ("x", 1)), t(10, ("x", [1]), ("x", 2)), t(20, ("x", [1, 2]))], {}),
    "reads its own": ([t(0, ("x", 1), ("x", [1]), ("x", 2), ("x", [1, 2]))], {}),
    "an open one seen late": ([t(0, ("x", 1), result="unknown"), t(10, ("x", [])), t(20, ("x", [1]))], {}),
    "a rolled back one is not there": ([t(0, ("x", 1), result="fail"), t(10, ("x", []))], {}),
    "beside each other": ([t(0, ("x", 1), **BESIDE), t(1, ("x", []), **BESIDE), t(2, ("x", [1]), **BESIDE)], {}),
    "write skew, which snapshots allow": ([t(0, ("x", []), ("y", 1), **BESIDE), t(1, ("y", []), ("x", 2), **BESIDE), t(200, ("x", [2]), ("y", [1]))], {}),
    "a read that was not answered": ([t(0, ("x", 1)), t(10, ("x", None), ("y", 2))], {}),
    "a standby is behind": ([t(0, ("x", 1)), t(10, ("x", 2)), standby(20, ("x", [1])), t(30, ("x", [1, 2]))], QUORUM),
    "a long fork on standbys": ([t(0, ("x", 1), **BESIDE), t(1, ("y", 2), **BESIDE), standby(2, ("x", [1]), ("y", []), **BESIDE),
                                 standby(3, ("x", []), ("y", [2]), **BESIDE)], QUORUM),
    "a standby in a session goes on": ([t(0, ("x", 1)), standby(10, ("x", []), client="s"), standby(20, ("x", [1]), client="s")], QUORUM),
    "another standby may be further behind": ([t(0, ("x", 1)), standby(10, ("x", [1]), client="s"), standby(20, ("x", []), client="s", node="c")], QUORUM),
    "an asynchronous failover": ([t(0, ("x", 1)), t(10, ("x", 2)), t(15, ("x", [1, 2])), t(20, ("x", 3), timeline=2), t(30, ("x", [1, 3]), timeline=2)], {}),
    "shown without being acknowledged, and gone": ([t(0, ("x", 1)), t(10, ("x", 2), result="warned"), t(15, ("x", [1, 2])),
                                                   t(20, ("x", 3), timeline=2), t(30, ("x", [1, 3]), timeline=2)], QUORUM),
    "an old primary's reads, where two may write": ([t(0, ("x", 1)), t(10, ("x", 2), timeline=2), t(20, ("x", [1])), t(30, ("x", [1, 2]), timeline=2),
                                                    record("exception", why="depose", begin=5, end=25)], QUORUM),
}
BAD = {
    "wrote over one whose other write it does not see": ([t(0, ("x", []), ("y", 1), **BESIDE), t(1, ("x", 2), ("y", 3), **BESIDE), t(200, ("y", [3, 1]), ("x", [2]))],
                                                         "G-single", "-ww->"),
    "never appended": ([t(0, ("x", [7]))], "phantom", "'x': 7"),
    "rolled back and read": ([t(0, ("x", 1), result="fail"), t(10, ("x", [1]))], "G1a", "'x': 1"),
    "a version in between": ([t(0, ("x", 1), ("x", 2), **BESIDE), t(10, ("x", [1]))], "G1b", "ends with 1, after which its transaction appended 2"),
    "not its own": ([t(0, ("x", 1), ("x", []))], "internal", "'x' is [] for who has appended [1]"),
    "two versions in one": ([t(0, ("x", 1), **BESIDE), t(1, ("x", []), ("x", [1]), **BESIDE)], "internal", "'x' is [] and then [1]"),
    "an element twice": ([t(0, ("x", 1)), t(10, ("x", [1, 1]))], "twice", "'x': 1"),
    "two orders": ([t(0, ("x", 1), **BESIDE), t(1, ("x", 2), **BESIDE), t(200, ("x", [1, 2])), t(300, ("x", [2, 1]))], "incompatible orders", "'x' is"),
    "acknowledged and in no read": ([t(0, ("x", 1)), t(10, ("x", []))], "lost append", "'x': [1]"),
    "gone after a failover": ([t(0, ("x", 1)), t(10, ("x", 2)), t(15, ("x", [1, 2])), t(30, ("x", [1]), timeline=2)], "lost append",
                              "'x' had [2] on timeline 1, and on 2 not", QUORUM),
    "before it was there": ([standby(0, ("x", [1])), t(10, ("x", 1))], "future read", "'x': 1", QUORUM),
    "in a circle of writes": ([t(0, ("x", 1), ("y", 2), **BESIDE), t(1, ("x", 3), ("y", 4), **BESIDE), t(200, ("x", [1, 3])), t(201, ("y", [4, 2]))], "G0", "-ww->"),
    "each saw the other": ([t(0, ("x", 1), ("y", [2]), **BESIDE), t(1, ("y", 2), ("x", [1]), **BESIDE)], "G1c", "-wr->"),
    "one over the other": ([t(0, ("x", 1)), t(10, ("x", [1]), ("x", 2), **BESIDE), t(11, ("x", [1]), ("x", 3), **BESIDE), t(200, ("x", [1, 2, 3]))],
                           "lost update", "-rw->"),
    "half of a transaction": ([t(0, ("x", 1), ("y", 2), **BESIDE), t(1, ("x", [1]), ("y", []), **BESIDE), t(200, ("y", [2]))], "G-single", "-rw->"),
    "a long fork on the primary": ([t(0, ("x", 1), **BESIDE), t(1, ("y", 2), **BESIDE), t(2, ("x", [1]), ("y", []), **BESIDE), t(3, ("x", []), ("y", [2]), **BESIDE)],
                                   "G-nonadjacent", "-rw->"),
    "stale on the primary": ([t(0, ("x", 1)), t(10, ("x", [])), t(5, ("x", [1]), **BESIDE)], "real time", "-rw->"),
    "stale after a failover": ([t(0, ("x", 1)), t(10, ("x", 2), timeline=2), t(20, ("x", [1])), t(30, ("x", [1, 2]), timeline=2)], "real time", "-rw->", QUORUM),
    "half of a transaction on a standby": ([t(0, ("x", 1), ("y", 2)), standby(10, ("x", [1]), ("y", [])), t(20, ("y", [2]))], "G-single on a standby", "-rw->", QUORUM),
    "a later one without the earlier": ([t(0, ("x", 1)), t(10, ("y", 2)), standby(20, ("y", [2]), ("x", [])), t(30, ("x", [1]))], "G-single on a standby",
                                        "-rw->", QUORUM),
    "a standby's session goes back": ([t(0, ("x", 1)), standby(10, ("x", [1]), client="s"), standby(20, ("x", []), client="s")], "G-single on a standby", "-so->",
                                      QUORUM),
}


@pytest.mark.parametrize("name", GOOD)
def test_takes(name):
    made.accepted(append, GOOD[name][0], **GOOD[name][1])


@pytest.mark.parametrize("name", BAD)
def test_refuses(name):
    records, condition, text = BAD[name][:3]
    made.only(append, records, condition, text, **(BAD[name][3] if len(BAD[name]) > 3 else {}))


def test_every_condition_is_needed():
    made.all_conditions(append, BAD)


def test_an_acknowledged_one_that_was_seen_and_is_gone_after_a_failover_is_told_twice():
    records = [t(0, ("x", 1)), t(10, ("x", 2)), t(15, ("x", [1, 2])), t(20, ("x", 3), timeline=2), t(30, ("x", [1, 3]), timeline=2)]
    assert made.conditions(append.check(made.history(*records, **QUORUM))) == {"incompatible orders", "lost append"}


def test_elements_are_unique():
    with pytest.raises(ValueError, match="record 3: 1 is appended to 'x' a second time"):
        append.check(made.history(t(0, ("x", 1)), t(10, ("x", 1))))


def serial(count, seed, keys=50, length=20):
    """Snapshots that were taken one after the other, each somewhere inside its time; some never hear of their end."""
    draw, state, records = random.Random(seed), {}, []
    for n in range(count):
        operations = []
        for key in {f"{draw.randrange(keys)}.{n // (keys * length)}" for _ in range(draw.randrange(1, 4))}:
            have = state.setdefault(key, [])
            operations.append((key, list(have)))
            if draw.random() < 0.6:
                have.append(n * 10 + len(operations))
                operations.append((key, have[-1]))
        made_t = t(n - draw.random() * 5, *operations, end=n + draw.random() * 5, result="ok" if draw.random() < 0.95 else "unknown")
        records.append(dict(made_t, n=n, client=f"c{n}", begin=max(0, made_t["begin"])))
    return records


def test_takes_what_snapshots_one_after_the_other_give():
    for seed in range(10):
        made.accepted(append, serial(300, seed))


def test_refuses_one_read_that_was_spoiled():
    """Any read of an early version in place of a late one."""
    for seed in range(20):
        records = serial(300, seed)
        readers = [(r, o) for r in records[200:] for o in r["operations"] if r["result"] == "ok" and o[0] == "read" and len(o[2]) > 3]
        _, operation = random.Random(seed).choice(readers)
        operation[2] = operation[2][:1]
        assert append.check(made.history(*records)).verdict == "bad", f"seed {seed}"


def test_a_hundred_thousand_operations_take_seconds():
    records = serial(33_000, 1)
    assert sum(len(r["operations"]) for r in records) > 100_000
    made.accepted(append, records)
