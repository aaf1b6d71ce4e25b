"""Raft logs of members against each other."""
import pytest

from checkers import made, raft_logs
from checkers.made import record

RESULT = {"code": 0, "succeeded": True, "repeated": False, "revision": 2}


def entry(node, index, term=1, digest=None, cut=1, **fields):
    return record("applied", node=node, cut=cut, index=index, term=term, type="command", digest=digest or f"d{index}.{term}", **dict({"result": RESULT}, **fields))


def log(node, first, last, terms=None, cut=1, begin=None, states=True, committed=None, **changed):
    """Entries first..last; `terms`: {index: term} from that index on; `changed`: fields of entry iINDEX."""
    term, entries = 1, []
    for i in range(first, last + 1):
        term = (terms or {}).get(i, term)
        entries.append(entry(node, i, term, cut=cut, **changed.get(f"i{i}", {})))
    return [record("applied_from", node=node, cut=cut, index=first - 1, term=1, state=f"s{first - 1}" if states else begin or "x"), *entries,
            record("applied_to", node=node, cut=cut, index=last, state=f"s{last}.{term}" if last >= first else f"s{first - 1}", committed=committed)]


GOOD = {
    "in a snapshot of one of them": log("a", 1, 9) + log("b", 1, 9, i5={"result": None}),
    "three alike": log("a", 1, 9) + log("b", 1, 9) + log("c", 1, 9),
    "one is behind": log("a", 1, 9) + log("b", 1, 5),
    "one begins later": log("a", 1, 9) + log("b", 6, 9, begin="s5"),
    "an end that was never committed": log("a", 1, 9, {8: 2}) + log("b", 1, 9, {8: 3}),
    "... and was written over": log("a", 1, 9, {8: 2}) + log("a", 1, 9, {8: 3}, cut=2),
    "nothing in common": log("a", 1, 5) + log("b", 7, 9),
    "it goes on": log("a", 1, 5, committed=5) + log("a", 1, 9, cut=2),
    "compacted since": log("a", 1, 5, committed=5) + log("a", 4, 9, cut=2, begin="s3"),
}
BAD = {
    "other bytes at the last": (log("a", 1, 9) + log("b", 1, 9, i9={"digest": "x"}), "no match", "entry 9"),
    "the last that was committed": (log("a", 1, 5, {5: 2}, committed=5) + log("b", 1, 9, {5: 3}, cut=2), "committed and gone", "entry 5"),
    "a hole": ([e for e in log("a", 1, 9) if e.get("index") != 5 or e["kind"] != "applied"], "hole", "a, cut 1: 6 after 4"),
    "a lower term": (log("a", 1, 9, {4: 3, 6: 2}), "term went back", "entry 6 of term 2 after 3"),
    "other bytes": (log("a", 1, 9) + log("b", 1, 9, i5={"digest": "x"}), "no match", "entry 5 of a, cut 1 and of b, cut 1, which agree at 9"),
    "another term below": (log("a", 1, 9, {3: 2}) + log("b", 1, 9, {4: 2}), "no match", "entry 3"),
    "another result": (log("a", 1, 9) + log("b", 1, 9, i5={"result": dict(RESULT, revision=3)}), "other result", "entry 5"),
    "other events": (log("a", 1, 9) + log("b", 1, 9, i5={"events": [{"revision": 2, "key": "k", "value": "v"}]}), "other result", "and 1 on b"),
    "another state at the end": (log("a", 1, 9) + log("b", 1, 9)[:-1] + [record("applied_to", node="b", cut=1, index=9, state="y")], "other state", "after entry 9"),
    "another state where one begins": (log("a", 1, 9, i5={"state": "y"}) + log("b", 6, 9), "other state", "after entry 5: y on a, cut 1, s5 on b"),
    "written over although it was committed": (log("a", 1, 5, {4: 2}, committed=5) + log("b", 1, 9, {4: 3}, cut=2), "committed and gone", "entry 4, committed on a, cut 1"),
    "less than before": (log("a", 1, 9, committed=9) + log("a", 1, 7, cut=2), "went back", "a, cut 2 ends at 7, and 9 was committed at cut 1"),
}


@pytest.mark.parametrize("name", GOOD)
def test_takes(name):
    made.accepted(raft_logs, GOOD[name])


@pytest.mark.parametrize("name", BAD)
def test_refuses(name):
    made.only(raft_logs, *BAD[name])


def test_every_condition_is_needed():
    made.all_conditions(raft_logs, BAD)


def test_a_hundred_thousand_entries_take_seconds():
    made.accepted(raft_logs, [r for node in "abc" for r in log(node, 1, 33_400)])
