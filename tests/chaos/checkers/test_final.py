"""The end of a run: what a whole cluster is like, and each way not to be one."""
import pytest

from checkers import final, made
from checkers.made import record

EXPECTED = record("expected", members=["a", "b", "c"], sync=0, slots={}, tables=["writes"])


def node(name, role="standby", **fields):
    base = dict(node=name, at=99, state="running", role=role, timeline=2, lsn=500, streams_from=None if role == "primary" else "a", tables={"writes": "x"},
                amcheck=[], checksum_failures=0, slots=[], sync_names="", system="77")
    return record("final", **dict(base, **fields))


def slots(*names):
    return [{"name": n, "type": "physical", "active": True} for n in names]


def whole(expected=EXPECTED, **changed):
    """Three nodes; `changed`: fields of one of them."""
    roles = {"a": "primary", "b": "standby", "c": "standby"}
    return [expected] + [node(n, **dict({"role": r}, **changed.get(n, {}))) for n, r in roles.items()]


def wanted(**fields):
    return dict(EXPECTED, **fields)


GOOD = {
    "whole": (whole(), {}),
    "with the slots of members": (whole(a={"slots": slots("b", "c")}, b={"slots": slots("a", "c")}), {}),
    "a cascade": (whole(c={"streams_from": "b"}), {}),
    "one synchronous": (whole(wanted(sync=1), a={"sync_names": '"b"'}), {"mode": "sync"}),
    "a quorum": (whole(wanted(sync=2), a={"sync_names": 'ANY 1 ("b","c")'}), {"mode": "quorum"}),
    "first of": (whole(wanted(sync=2), a={"sync_names": "2 (b, c)"}), {"mode": "sync"}),
    "strict, and nobody is there": (whole(a={"sync_names": "*"}), {"mode": "sync", "strict": True}),
    "a permanent slot": (whole(wanted(slots={"primary": ["keep"]}), a={"slots": slots("keep", "b")}), {}),
}
BAD = {
    "one is not there": (whole()[:3], "missing", "c"),
    "one does not run": (whole(c={"state": "starting"}), "not running", "c is starting"),
    "nobody leads": (whole(a={"role": "standby", "streams_from": "b"}), "primaries", "0: none"),
    "two lead": (whole(b={"role": "primary"}), "primaries", "2: a, b"),
    "left behind": (whole(c={"timeline": 1}), "timeline", "c is on 1, and a on 2"),
    "does not stream": (whole(c={"streams_from": None}), "streams from nobody", "c"),
    "a circle": (whole(b={"streams_from": "c"}, c={"streams_from": "b"}), "streams in a circle", "b from c"),
    "from a stranger": (whole(b={"streams_from": "x"}), "streams in a circle", "b from x"),
    "another content": (whole(c={"tables": {"writes": "y"}}), "other data", "writes on c: y, and on a: x"),
    "no table": (whole(c={"tables": {}}), "other data", "writes on c: None"),
    "no table anywhere": (whole(wanted(tables=["writes", "lists"])), "other data", "lists on a"),
    "an index": (whole(b={"amcheck": ["item order invariant violated"]}), "amcheck", "b: item order"),
    "a page": (whole(b={"checksum_failures": 2}), "checksums", "b: 2"),
    "a slot of nobody": (whole(a={"slots": slots("b", "old")}), "stray slot", "old on a"),
    "its own slot": (whole(b={"slots": slots("b")}), "stray slot", "b on b"),
    "a permanent slot is gone": (whole(wanted(slots={"standby": ["keep"]}), b={"slots": slots("keep")}), "slot missing", "keep on c"),
    "nobody is synchronous": (whole(wanted(sync=1)), "synchronous", "'' on a, and 1 standbys"),
    "too many are": (whole(a={"sync_names": "b"}), "synchronous", "'b' on a, and 0"),
    "a stranger is": (whole(wanted(sync=1), a={"sync_names": '"x"'}), "synchronous", "x"),
    "itself is": (whole(wanted(sync=1), a={"sync_names": '"a"'}), "synchronous", "a"),
    "anybody is, and it is not strict": (whole(a={"sync_names": "*"}), "synchronous", "'*'"),
    "of another cluster": (whole(c={"system": "78"}), "another system", "c has 78, a 77"),
}


@pytest.mark.parametrize("name", GOOD)
def test_takes(name):
    made.accepted(final, GOOD[name][0], **GOOD[name][1])


@pytest.mark.parametrize("name", BAD)
def test_refuses(name):
    made.only(final, *BAD[name])


def test_every_condition_is_needed():
    made.all_conditions(final, BAD)


def test_without_what_is_expected_nothing_is_sure():
    assert final.check(made.history(node("a", "primary"))).verdict == "undecided"
    assert final.check(made.history()).verdict == "nothing"
