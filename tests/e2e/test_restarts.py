"""All nodes at once, and a majority again and again, under write load."""
import http.client
import time

import faults
from rest import SCOPE, rest
from rig import wait_for


def test_cold_start_of_all_nodes(cluster):
    with faults.Load(cluster) as load:
        pass
    for node in cluster.nodes.values():
        node.kill_node()
    cluster.start_all()
    cluster.wait_healthy(timeout=60)
    faults.verify(cluster, load, may_lose=False)


def test_majority_killed_and_restarted_ten_times_on_one_log(cluster):
    for _ in range(10):
        with faults.Load(cluster) as load:
            victims = list(cluster.nodes.values())[:2]
            for node in victims:
                node.kill_node()
            time.sleep(0.5)
            for node in victims:
                node.start_agent()
            load.wait_writable(60)
        faults.verify(cluster, load, may_lose=True)


def first_answer(rig, node, method, path, body):
    """Of an agent that is just coming up: asked until it is there, and then once."""
    answers = []

    def answered():
        try:
            answers.append(rest(rig, node, method, path, body))
        except (ConnectionError, http.client.HTTPException):
            return False
        return True

    wait_for(f"{node.name} answers", answered, 20, 0.02)
    return answers[0]


def test_switchover_as_soon_as_the_leaders_agent_is_back(cluster):
    """It has no view of the store yet, and knows nobody who leads: by REST, and as `make demo` suggests it."""
    rig = cluster
    old = rig.leader()
    old.kill_agent()
    old.start_agent()
    status, text = first_answer(rig, old, "POST", "/switchover", {"leader": old.name})
    assert status == 200 and text.startswith("Successfully switched over"), (status, text)
    rig.wait_healthy()
    old = rig.leader()
    old.kill_agent()
    old.start_agent()
    first_answer(rig, old, "GET", "/liveness", None)
    answer = rig.ctl("switchover", SCOPE, "--leader", old.name, "--force", timeout=60)
    assert "Successfully switched over" in answer.stdout, answer.stdout + answer.stderr
    rig.wait_healthy()
    assert rig.leader() is not old
