"""A second agent under the name of a member that lives: it is told where that one is and ends, and the primary notices nothing."""
import os
import shutil
import signal
import time

import pytest

import checks
from rig import TIMES, wait_for

STORES = ["raft", "etcd3", pytest.param("etcd", marks=pytest.mark.rest)]


def take_name(r, node, name):
    """What a copied file does: another name, own addresses, and (on raft) a directory that knows no group."""
    r.write_config(node)
    with open(node.config) as f:
        text = f.read()
    assert f"name: {node.name}\n" in text
    with open(node.config, "w") as f:
        f.write(text.replace(f"name: {node.name}\n", f"name: {name}\n"))
    shutil.rmtree(os.path.join(node.home, "raft"), ignore_errors=True)
    state = os.path.join(node.home, "user", ".pgquorum")
    shutil.rmtree(state, ignore_errors=True)


def stop(node):
    node.kill_agent(signal.SIGTERM)
    wait_for("it has stopped", lambda: node.agent_pid() is None and node.postmaster_pid() is None, 30)


@pytest.mark.parametrize("store", STORES)
def test_name_of_the_living_primary(make_rig, store):
    r = make_rig(store=store, **TIMES[store])
    r.start_all()
    r.wait_healthy()
    old, (second, _) = r.leader(), r.replicas()
    agent = old.agent_pid()
    stop(second)
    take_name(r, second, old.name)
    length = len(second.log_text())
    since = time.monotonic()
    inside = r.writer("inside", old.address, read_write=False, host=old.name)
    wait_for("it writes", lambda: os.path.exists(inside.out) and any(e["result"] == "ok" for e in checks.read(inside)), 10)
    second.start_agent()
    wait_for("it was started", lambda: len(second.log_text()) > length, 10)
    wait_for("it gives up", lambda: second.agent_pid() is None, 30)
    time.sleep(TIMES[store].get("ttl", 3) + 1)
    told = second.log_text()[length:]
    assert f"another agent runs under the name '{old.name}'" in told and old.address in told, told
    assert r.leader() is old and old.agent_pid() == agent
    assert checks.gap(checks.read(inside), since) < 1
    assert f"another agent runs under the name" not in old.log_text() and "lease lost" not in old.log_text()


@pytest.mark.parametrize("store", STORES)
def test_node_that_was_made_anew(make_rig, store):
    """It has its name, and nothing else of before: the name is free when its old record has ended."""
    r = make_rig(store=store, **TIMES[store])
    r.start_all()
    r.wait_healthy()
    old = r.leader()
    old.kill_node()
    shutil.rmtree(old.data_dir)
    take_name(r, old, old.name)
    old.start_agent()
    r.wait_healthy(timeout=90)
    assert "another agent runs under" not in old.log_text()
