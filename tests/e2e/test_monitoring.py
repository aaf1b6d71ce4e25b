"""/metrics of a live cluster, and what docs/monitoring makes of it: nothing there asks for a metric that does not exist."""
import json
import os
import re
import subprocess

import yaml

import faults
from rig import wait_for

DOCS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "docs", "monitoring")
SAMPLE = re.compile(r'(\w+)\{([^}]*)\} (\S+)$')
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


def scrape(r, node):
    """[(metric, labels, value)] of this node."""
    argv = ["ip", "netns", "exec", r.namespace("client"), "curl", "-s", "-m", "5", f"http://{node.address}:8008/metrics"]
    text = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    lines = [SAMPLE.match(line) for line in text.splitlines() if not line.startswith("#")]
    assert lines and all(lines), text
    return [(m[1], dict(LABEL.findall(m[2])), float(m[3])) for m in lines]


def value(samples, metric, **labels):
    found = [v for name, has, v in samples if name == metric and labels.items() <= has.items()]
    assert len(found) == 1, (metric, labels, found)
    return found[0]


def takeovers(samples):
    return {labels["cause"]: v for name, labels, v in samples if name == "pgquorum_takeovers_total" and v}


def seconds(samples, cause):
    return {labels["phase"]: v for name, labels, v in samples if name == "pgquorum_takeover_seconds_total" and labels["cause"] == cause}


def expressions():
    with open(os.path.join(DOCS, "alerts.yml")) as f:
        rules = [rule for group in yaml.safe_load(f)["groups"] for rule in group["rules"]]
    assert len({rule["alert"] for rule in rules}) == len(rules)
    assert all(rule["annotations"]["summary"] and rule["labels"]["severity"] in ("critical", "warning", "info") for rule in rules)
    with open(os.path.join(DOCS, "grafana.json")) as f:
        board = json.load(f)
    targets = [target["expr"] for panel in board["panels"] for target in panel.get("targets", [])]
    return [rule["expr"] for rule in rules] + targets + [v["query"] for v in board["templating"]["list"]]


def test_alerts_and_board_ask_for_what_there_is(cluster):
    there = {name for node in cluster.nodes.values() for name, _, _ in scrape(cluster, node)}
    asked = set(re.findall(r"\b(?:patroni|pgquorum)_\w+", " ".join(expressions())))
    logical = {"pgquorum_logical_slot_safe", "pgquorum_slot_catalog_xmin_age"}  # there where such a slot is: test_logical.py
    assert len(asked) > 20 and asked <= there | logical, asked - there
    with open(os.path.join(DOCS, "README.md")) as f:
        told = f.read()
    ours = {re.sub(r"_(bucket|sum|count)$", "", name) for name in there if name.startswith("pgquorum_")}
    untold = {name for name in ours if name not in told and not re.search(r"`_" + name.split("_", 2)[2] + r"\b", told)}
    assert not untold


def test_lag_of_each_standby_is_told(cluster):
    standbys = {node.name for node in cluster.replicas()}
    with faults.Load(cluster) as load:
        load.wait_writable(10)
        samples = scrape(cluster, cluster.leader())
        assert {labels["standby"] for name, labels, _ in samples if name == "pgquorum_standby_lag_bytes"} == standbys
        assert {labels["slot"] for name, labels, _ in samples if name == "pgquorum_slot_retained_bytes"} == standbys
        assert {labels["peer"] for name, labels, v in samples if name == "pgquorum_raft_peer_connected" and v == 1} == standbys
    wait_for("everything is replayed", lambda: max(v for name, labels, v in scrape(cluster, cluster.leader())
                                                   if name == "pgquorum_standby_lag_bytes") == 0, 20)
    for standby in cluster.replicas():
        wait_for("it says so itself", lambda s=standby: value(scrape(cluster, s), "pgquorum_replay_lag_bytes") == 0, 20)


def test_lease_has_a_margin_that_is_of_this_moment(cluster):
    leader = cluster.leader()
    margins = [value(scrape(cluster, leader), "pgquorum_lease_margin_seconds") for _ in range(20)]
    assert all(0.5 < margin < 3 for margin in margins) and len(set(margins)) > 1
    assert value(scrape(cluster, leader), "pgquorum_loop_lateness_seconds_count") > 10
    for standby in cluster.replicas():
        assert value(scrape(cluster, standby), "pgquorum_lease_margin_seconds") == 0


def test_takeovers_are_counted_by_cause_and_phase(cluster):
    before = {node.name: takeovers(scrape(cluster, node)) for node in cluster.nodes.values()}
    faults.switchover(cluster)
    cluster.wait_healthy()
    leader = cluster.leader()
    samples = scrape(cluster, leader)
    assert takeovers(samples).get("switchover", 0) == before[leader.name].get("switchover", 0) + 1
    assert sum(seconds(samples, "switchover").values()) < 5

    before = takeovers(scrape(cluster, cluster.replicas()[0])), takeovers(scrape(cluster, cluster.replicas()[1]))
    standbys = cluster.replicas()
    leader.kill_node()
    winner = faults.wait_new_leader(cluster, leader)
    samples = wait_for("it is counted", lambda: (lambda s: s if takeovers(s).get("expired") else None)(scrape(cluster, winner)), 10)
    assert takeovers(samples)["expired"] == before[standbys.index(winner)].get("expired", 0) + 1
    phases = seconds(samples, "expired")
    assert 1 < phases["lease"] < 4 and phases["election"] < 3 and phases["promotion"] < 3, phases
    leader.start_agent()
    cluster.wait_healthy()
