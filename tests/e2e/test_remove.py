"""`remove` of a cluster whose agents are down, from a real etcd, and what they make of an empty store then (docs/command-line.md)."""
import json
import signal

import pytest

from rest import SCOPE
from rig import ETCD_TIMES, wait_for

ASKED = f"{SCOPE}\nYes I am aware\n"


@pytest.mark.parametrize("store", ["etcd3", pytest.param("etcd", marks=pytest.mark.rest)])
def test_remove_and_begin_again(make_rig, store):
    rig = make_rig(store=store, **ETCD_TIMES)
    rig.start_all()
    rig.wait_healthy()
    leader = rig.leader()
    system = json.loads(rig.http(leader.rest_address, "/patroni")[1])["database_system_identifier"]
    rig.sql(leader, "CREATE TABLE kept AS SELECT 1 AS i")
    wait_for("all have it", lambda: all(rig.sql(n, "SELECT i FROM kept") == "1" for n in rig.replicas()), 20)
    answer = rig.ctl("remove", SCOPE, check=False, stdin=ASKED + leader.name + "\n")
    assert answer.returncode == 1 and "and its agent lives: stop the agents first\n" in answer.stderr
    for node in [*rig.replicas(), leader]:
        node.kill_agent(signal.SIGTERM)
    wait_for("all are down", lambda: all(n.agent_pid() is None and n.postmaster_pid() is None for n in rig.nodes.values()), 60)
    wait_for("nobody leads", lambda: rig.leader() is None, 30)
    said = rig.ctl("remove", SCOPE, "--dry-run").stdout
    assert "\n  initialize\n" in said and rig.etcd.get("initialize") == system
    answer = rig.ctl("remove", SCOPE, stdin=ASKED)
    assert answer.stderr == "" and "specify the leader name" not in answer.stdout
    assert rig.etcd.get("initialize") == "" and rig.etcd.get("config") == ""
    assert rig.ctl("list").stdout.startswith("+ Cluster: postgres (uninitialized) ")
    assert rig.ctl("remove", SCOPE, stdin=ASKED).returncode == 0, "once more does no harm"
    for node in [leader, *(n for n in rig.nodes.values() if n is not leader)]:
        node.start_agent()
    rig.wait_healthy(timeout=120)
    assert rig.etcd.get("initialize") == system and rig.sql(rig.leader(), "SELECT i FROM kept") == "1"
