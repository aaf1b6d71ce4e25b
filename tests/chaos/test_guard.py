"""What the guard of data directories sees, and what is made of the agents' words."""
import os
import shutil
import sys
import types

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "e2e")]
import evidence  # noqa: E402
import guard  # noqa: E402
import history  # noqa: E402


@pytest.fixture
def node(tmp_path):
    made = types.SimpleNamespace(name="n", data_dir=str(tmp_path / "home/data"), log=str(tmp_path / "log"))
    os.makedirs(os.path.join(made.data_dir, "base"))
    return made


@pytest.fixture
def watching(node, tmp_path):
    """The guard, and what it has seen by now as (event, name)."""
    path = str(tmp_path / "history")
    made = guard.Guard(history.Recorder(path))
    made.watch(node)

    def seen():
        made.drain()
        with open(path) as f:
            return [(r["event"], r["name"]) for r in map(history.json.loads, f)]
    yield made, seen
    made.stop()


def test_what_goes_from_the_top_is_seen_and_what_goes_below_is_not(watching, node):
    _, seen = watching
    os.mkdir(os.path.join(node.data_dir, "base/5"))
    os.rmdir(os.path.join(node.data_dir, "base/5"))
    open(os.path.join(node.data_dir, "PG_VERSION"), "w").close()
    os.unlink(os.path.join(node.data_dir, "PG_VERSION"))
    os.rename(os.path.join(node.data_dir, "base"), os.path.join(node.data_dir, "old"))
    os.rmdir(os.path.join(node.data_dir, "old"))
    assert seen() == [("create", "PG_VERSION"), ("unlink", "PG_VERSION"), ("rename", "base"), ("create", "old"), ("rmdir", "old")]


def test_a_directory_that_goes_and_comes_is_watched_on(watching, node):
    _, seen = watching
    shutil.rmtree(node.data_dir)
    os.mkdir(node.data_dir)
    seen()
    os.mkdir(os.path.join(node.data_dir, "global"))
    os.rmdir(os.path.join(node.data_dir, "global"))
    assert seen() == [("rmdir", "base"), ("gone", "."), ("create", "."), ("create", "global"), ("rmdir", "global")]


def test_what_the_rig_does_itself_is_not_written_down(watching, node):
    made, seen = watching
    with made.set_aside(node):
        os.rmdir(os.path.join(node.data_dir, "base"))
    os.mkdir(os.path.join(node.data_dir, "base"))
    assert seen() == [("create", "base")]


START = "2026-11-29 15:00:00,000 INFO: agent 'n' of cluster 'postgres' started\n"
LONG_AGO = -10**20  # the times below may be from before this machine was started, where its clock begins
BEGINS = ("2026-11-29 15:00:{:02},000 INFO: data directory: {} begins: data={} system=77 timeline=1 lsn=0/3000060 epoch=1f:9 own={} holds=0"
          " leader=m leader_epoch=1f:9 cluster=77 allowed={}\n")
ENDED = "2026-11-29 15:00:{:02},000 INFO: data directory: {} has ended: {}\n"


def said(node, *lines):
    with open(node.log, "w") as f:
        f.write("".join((START,) + lines))
    return evidence.destructions(node)


def seconds(found):
    return [None if d["end"] is None else round((d["end"] - d["begin"] - evidence.LATE_NS) / 1e9, 1) for d in found]


def test_a_rewind_is_told_with_what_was_known(node):
    [found] = said(node, BEGINS.format(10, "rewind", 1, 0, "use_pg_rewind"), ENDED.format(12, "rewind", "done"))
    assert seconds([found]) == [2.0]
    assert (found["action"], found["holds"], found["own_epoch"], found["epoch"], found["allowed"]) == ("rewind", False, None, "1f:9", "use_pg_rewind")
    assert (found["primary"], found["primary_epoch"], found["primary_system"], found["system"]) == ("m", "1f:9", "77", "77")
    assert (found["ahead"], found["recorded"], found["empty"]) == (1, True, False)


def test_an_own_newest_epoch_and_a_missing_permission_are_told(node):
    [found] = said(node, BEGINS.format(10, "remove", 1, 1, "-"))
    assert (found["own_epoch"], found["allowed"], found["end"]) == ("1f:9", None, None)


def test_a_copy_into_nothing_has_no_data(node):
    [found] = said(node, BEGINS.format(10, "clone", 0, 0, "-"))
    assert (found["empty"], found["system"], found["ahead"]) == (True, None, 0)


def test_a_job_ends_with_its_agent_or_with_the_next(node):
    found = said(node, BEGINS.format(10, "clone", 0, 0, "-"), START.replace("15:00:00", "15:00:14"), BEGINS.format(20, "rewind", 1, 0, "x"),
                 BEGINS.format(23, "rewind", 1, 0, "x"))
    assert seconds(found)[0] == 4.0 and round((found[1]["end"] - found[1]["begin"]) / 1e9, 1) == 3.0 and found[2]["end"] is None


def test_the_time_of_a_job_lasts_until_the_agent_goes_on(node):
    """What the job says of itself is no end of it."""
    runs = "2026-11-29 15:00:10,000 INFO: job_runs: running pg_rewind (wait)\n"
    said(node, runs, BEGINS.format(11, "rewind", 1, 0, "x"), ENDED.format(15, "rewind", "done"))
    assert evidence.job_ms(node, LONG_AGO) == 5000
