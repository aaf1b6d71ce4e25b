"""What three members of a real Patroni on three witnesses of ours do first of all, once. What else they do is in on_ours.py."""
import subprocess

from mixed import lists_agree
from rig import NODES, PATRONI_DEBIAN, wait_for

TIMES = {"ttl": 20, "loop_wait": 2, "retry_timeout": 5}


def everywhere(r, count):
    """The rows that there are by now are on each member."""
    def seen(node):
        try:
            return r.sql(node, "SELECT count(*) FROM smoke") == str(count)
        except subprocess.SubprocessError:
            return False
    for node in r.nodes.values():
        wait_for(f"{count} rows on {node.name}", lambda n=node: seen(n), 30)


def lives(make_rig, api, program=PATRONI_DEBIAN, **settings):
    """Made from nothing, a row everywhere, a switchover to the one that is named, another row, and both commands tell the same."""
    r = make_rig(store=api, etcd_members=3, ours=True, patroni=tuple(NODES), program=program, **TIMES, **settings)
    r.start_all()
    r.wait_healthy(timeout=90)
    old, named = r.leader(), r.replicas()[0]
    r.sql(old, "CREATE TABLE smoke (n int); INSERT INTO smoke VALUES (1)")
    everywhere(r, 1)
    answer = r.patronictl("switchover", "--leader", old.name, "--candidate", named.name, "--force")
    assert f'Successfully switched over to "{named.name}"' in answer.stdout, answer.stdout + answer.stderr
    r.wait_healthy()
    assert r.leader() is named and r.etcd.get("leader") == named.name
    r.sql(named, "INSERT INTO smoke VALUES (2)")
    everywhere(r, 2)
    wait_for("both lists say the same", lambda: lists_agree(r), 30, 0.5)
    return r
