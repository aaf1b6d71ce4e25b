"""Registers and watches: the searches are tested in tests/e2e; here that they are given the right records, and the log of the members beside them."""
import pytest

from checkers import made, register, watch
from checkers.made import record


def op(kind, begin, result="ok", key="k", end=None, **fields):
    return record("register", op=kind, key=key, begin=begin, end=begin + 1 if end is None else end, result=result, **fields)


REGISTER_GOOD = {
    "one after the other": [op("write", 0, value="a"), op("read", 2, value="a"), op("cas", 4, expected="a", value="b"), op("read", 6, value="b")],
    "unknown outcomes stay open": [op("write", 0, value="a"), op("write", 2, "unknown", value="b"), op("read", 4, value="a"), op("read", 9, value="b")],
    "an unknown one without an end": [op("write", 0, value="a"), record("register", op="write", key="k", begin=2, result="unknown", value="b"),
                                      op("read", 4, value="a")],
    "keys apart": [op("write", 0, value="a"), op("read", 2, value=None, key="other")],
    "transactions are no register's": [op("write", 0, value="a"), record("register", op="txn", begin=1, end=2, result="ok", changes=[["x", "1"]])],
    "a swap that was not compared": [op("write", 0, value="a"), op("refused", 2, "fail", expected="a", value="b"), op("read", 4, value="a")],
}
REGISTER_BAD = {
    "stale": ([op("write", 0, value="a"), op("write", 2, value="b"), op("read", 4, value="a")], "not linearizable", "k: cannot have happened"),
    "two swaps of one value": ([op("write", 0, value="a"), op("cas", 2, expected="a", value="b", end=9), op("cas", 3, expected="a", value="c", end=8)],
                               "not linearizable", "k:"),
    "refused although it fitted": ([op("write", 0, value="a"), op("cas", 2, "fail", expected="a", value="b", seen="a")], "not linearizable",
                                   "refused though"),
    "one key of two": ([op("write", 0, value="a"), op("write", 0, value="a", key="l"), op("read", 2, value=None, key="l")], "not linearizable", "l: "),
}


@pytest.mark.parametrize("name", REGISTER_GOOD)
def test_register_takes(name):
    made.accepted(register, REGISTER_GOOD[name])


@pytest.mark.parametrize("name", REGISTER_BAD)
def test_register_refuses(name):
    made.only(register, *REGISTER_BAD[name])


def test_register_of_too_many_operations_is_undecided():
    found = register.check(made.history(*[op("write", n, value=str(n)) for n in range(500)]))
    assert found.verdict == "undecided" and "k: 500 operations" in found.undecided[0]


def event(revision, key, value):
    return {"revision": revision, "key": key, "value": value}


def session(watcher="w", number=1, start=1):
    return record("session", watcher=watcher, session=number, node="a", **{"from": start})


def batch(at, *events, watcher="w", number=1):
    return record("batch", watcher=watcher, session=number, at=at, header=events[-1]["revision"], events=list(events))


def wrote(begin, revision, key, value):
    return op("write", begin, key=key, value=value, revision=revision, changes=[[key, value]])


def applied(index, *events):
    return record("applied", node="a", cut=1, index=index, term=1, type="command", digest="d", events=list(events))


def page(begin, revision, found, result="ok"):
    return record("page", begin=begin, end=begin + 1, result=result, revision=revision, linearizable=True, found=found)


STORY = [wrote(0, 2, "k", "1"), wrote(10, 3, "k", "2"), session(), batch(1, event(2, "k", "1")), batch(11, event(3, "k", "2"))]
LOG = [applied(5, event(2, "k", "1")), applied(6, event(3, "k", "2"))]
WATCH_GOOD = {
    "a page of it": STORY + [page(12, 3, {"k": ["2", 3]})],
    "a page that nobody was given": STORY + [page(12, 3, {"k": ["1", 2]}, result="unknown"), page(12, None, None)],
    "one story": STORY,
    "and the log has it": STORY + LOG,
    "other keys of the log are nobody's": STORY + LOG + [applied(7, event(4, "/db/postgres/leader", "a"))],
    "the log was read in part": STORY + LOG[1:],
    "the log goes on": STORY + LOG + [applied(7, event(4, "k", "3"))],
    "two watchers": STORY + [session("v", start=3), batch(12, event(3, "k", "2"), watcher="v")],
}
WATCH_BAD = {
    "a page that never was": (STORY + [page(12, 3, {"k": ["1", 2]})], "story", "read at revision 3"),
    "lost": (STORY[:3] + STORY[4:], "story", "acknowledged at revision 2"),
    "came twice": (STORY + [batch(12, event(3, "k", "2"))], "story", "revision 3 came again"),
    "another value than was applied": (STORY + [LOG[0], applied(6, event(3, "k", "9"))], "not applied", "k = '2', and the log has '9'"),
    "nothing of it was applied": (STORY + [LOG[0], applied(6, event(4, "x", "9"))], "not applied", "revision 3: k = '2', and the log has nothing"),
    "applied and not shown": (STORY[:2] + [wrote(20, 5, "k", "4"), session(), batch(1, event(2, "k", "1")), batch(11, event(3, "k", "2")),
                                           batch(21, event(5, "k", "4"))] + LOG + [applied(7, event(4, "k", "3")), applied(8, event(5, "k", "4"))],
                              "not shown", "revision 4: k = '3'"),
}


@pytest.mark.parametrize("name", WATCH_GOOD)
def test_watch_takes(name):
    made.accepted(watch, WATCH_GOOD[name])


@pytest.mark.parametrize("name", WATCH_BAD)
def test_watch_refuses(name):
    records, condition, text = WATCH_BAD[name]
    found = watch.check(made.history(*records))
    assert made.conditions(found) == {condition}, [str(f) for f in found.faults]
    assert any(text in str(f) for f in found.faults), [str(f) for f in found.faults]


def test_every_condition_is_needed():
    made.all_conditions(register, REGISTER_BAD)
    made.all_conditions(watch, WATCH_BAD)


def test_a_batch_of_no_watch_is_undecided():
    assert watch.check(made.history(*STORY, batch(30, event(9, "k", "9"), number=2))).undecided
