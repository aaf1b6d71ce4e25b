"""The directory guard: each part of I10 for itself."""
import pytest

from checkers import directory, made
from checkers.made import record


def event(name, at=15, what="unlink", node="a"):
    return record("directory", node=node, at=at, event=what, name=name)


def act(action="rewind", **fields):
    base = dict(node="a", action=action, begin=10, end=20, reason="diverged", epoch="1f:9", own_epoch="1f:4", holds=False, primary="b", primary_epoch="1f:9",
                primary_system="77", system="77", seen=9, allowed="use_pg_rewind", ahead=0, recorded=None)
    return record("destruction", **dict(base, **fields))


GOOD = {
    "a rewind": [act(), event("base"), event("pg_wal", what="rename")],
    "a clone into nothing": [act("clone", empty=True, system=None, own_epoch=None, allowed=None), event("base", what="create")],
    "a clone that failed and tidied up": [act("clone", empty=True, system=None, primary=None), event("base", what="rmdir")],
    "everyday files": [event("postmaster.pid"), event("backup_label.old"), event("standby.signal"), event("pg_internal.init"), event("pg_hba.conf"),
                       event("postgresql.conf", what="rename")],
    "ahead, and written down": [act(ahead=4096, recorded=True)],
    "not ended yet": [act(end=None), event("base", 500)],
    "initdb in an empty one": [act("initdb", empty=True, primary=None, allowed=None)],
    "the primary is newer": [act(primary_epoch="1f:12")],
    "a recovered cluster's primary": [act(primary_epoch="2a:3")],
    "what is made is not destroyed": [event("base", what="create")],
}
BAD = {
    "without a word": ([event("base")], "nobody said so", "unlink of base on a"),
    "before the action": ([act(), event("pg_wal", 5)], "nobody said so", "unlink of pg_wal on a"),
    "after the action": ([act(), event("global", 25, "rename")], "nobody said so", "rename of global"),
    "on another node": ([act(), event("PG_VERSION", node="b")], "nobody said so", "PG_VERSION on b"),
    "the whole of it": ([event(".", what="gone")], "nobody said so", "gone of ."),
    "a holder": ([act(holds=True)], "holds the lease", "rewind on a, because diverged"),
    "the last holder": ([act(own_epoch="1f:9")], "held the newest epoch", "1f:9"),
    "nobody there": ([act(primary=None)], "no primary seen", "rewind on a"),
    "an old primary": ([act(primary_epoch="1f:8")], "an older primary", "b is of 1f:8, and this node knows 1f:9"),
    "a primary of no epoch": ([act(primary_epoch=None)], "an older primary", "b is of None"),
    "a foreign primary": ([act(primary_system="78")], "another system", "b has 78, the directory 77"),
    "seen before": ([act(begin=2000, end=2010, seen=900)], "seen too long ago", "rewind on a"),
    "never seen": ([act(seen=None)], "seen too long ago", "rewind on a"),
    "nobody allowed it": ([act(allowed=None)], "not allowed", "rewind on a"),
    "ahead, and not written down": ([act("remove", ahead=4096)], "loss not recorded", "4096 bytes"),
    "a copy over data": ([act("clone", empty=False)], "not empty", "clone on a"),
    "initdb over data": ([act("initdb", empty=False)], "not empty", "initdb on a"),
}


@pytest.mark.parametrize("name", GOOD)
def test_takes(name):
    made.accepted(directory, GOOD[name])


@pytest.mark.parametrize("name", BAD)
def test_refuses(name):
    made.only(directory, *BAD[name])


def test_every_condition_is_needed():
    made.all_conditions(directory, BAD)
