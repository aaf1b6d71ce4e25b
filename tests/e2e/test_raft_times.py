"""How patient a Raft group is, and how often its leader says that it is there: three nodes that only vote, so that nothing else is said."""
import os
import time

import pytest

from rig import NODES, wait_for

ELECTION_S, HEARTBEAT_S = 5.0, 1.5  # without the keys, half a second and 50 ms at this ttl


def packets(node):
    """What the node's interface has sent so far."""
    with open(f"/proc/{node.agent_pid()}/net/dev") as f:
        rows = [line.split(":")[1].split() for line in f if ":" in line and not line.strip().startswith("lo:")]
    return sum(int(row[9]) for row in rows)


@pytest.mark.rest
def test_the_group_is_as_patient_as_the_file_says(make_rig):
    rig = make_rig(witnesses=tuple(NODES))
    for node in rig.nodes.values():
        with open(node.config) as f:
            text = f.read()
        assert text.count("  password: raft-secret\n") == 1
        more = f"  election_timeout: {int(ELECTION_S * 1000)}\n  heartbeat: {int(HEARTBEAT_S * 1000)}\n"
        with open(node.config, "w") as f:
            f.write(text.replace("  password: raft-secret\n", "  password: raft-secret\n" + more))
    rig.start_all()
    leader = rig.nodes[wait_for("a Raft leader", rig.raft_leader, 60)]
    time.sleep(2 * HEARTBEAT_S)
    before, beats = packets(leader), 4
    time.sleep(beats * HEARTBEAT_S)
    sent = packets(leader) - before
    print("packets of the leader in", beats, "heartbeats:", sent)
    assert beats <= sent <= 25 * beats, "one to each of two, and what TCP needs for that; by default it were some hundreds"
    pid, since = leader.agent_pid(), time.monotonic()
    leader.kill_agent()
    wait_for("it is gone", lambda: not os.path.exists(f"/proc/{pid}"), 10)
    other = wait_for("another one leads", lambda: (lambda name: name if name not in (None, leader.name) else None)(rig.raft_leader()), 60)
    took = time.monotonic() - since
    print("another one after", round(took, 1), "s:", other)
    assert took >= ELECTION_S - HEARTBEAT_S, "it was not waited for"
