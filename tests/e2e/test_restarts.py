"""All nodes at once, and a majority again and again, under write load."""
import time

import faults


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
