"""Members that come back with another past than the cluster's, or with none, and what is kept for those that are away."""
import json
import os
import re
import shutil
import subprocess
import threading
import time

import faults
from rig import POSTGRESQL, wait_for


class States:
    """What `list` says of a node meanwhile."""

    def __init__(self, rig, node):
        self.rig, self.node, self.seen, self.over = rig, node, set(), False
        self.thread = threading.Thread(target=self.look)

    def look(self):
        while not self.over:
            try:
                self.seen.add(self.rig.members()[self.node.name]["State"])
            except (KeyError, ValueError, subprocess.SubprocessError):
                pass  # it is away, or so is whoever was asked
            time.sleep(0.05)

    def __enter__(self):
        self.thread.start()
        return self.seen

    def __exit__(self, *_):
        self.over = True
        self.thread.join()


def test_diverged_primary_rejoins_by_rewind(cluster):
    with States(cluster, cluster.leader()) as seen:
        faults.diverged(cluster)
    assert "running pg_rewind" in seen and "streaming" in seen, seen


def test_diverged_primary_that_may_be_removed_is_copied(cluster):
    settings = {"postgresql.use_pg_rewind": "false", "postgresql.remove_data_directory_on_diverged_timelines": "true",
                "postgresql.basebackup": '[{"max-rate": "20M"}]'}
    faults.configure(cluster, **settings)
    try:
        old = faults.die_apart(cluster, "removed")
        with States(cluster, old) as seen:
            old.start_agent()
            cluster.wait_healthy(timeout=90)
        assert "creating replica" in seen, seen
        assert cluster.sql(old, "SELECT count(*) FROM removed") == "0"
        assert "data directory: remove begins: data=1" in old.log_text() and "allowed=remove_data_directory" in old.log_text()
    finally:
        cluster.heal()
        faults.configure(cluster, **dict.fromkeys(settings, "null") | {"postgresql.use_pg_rewind": "true"})


def test_wal_of_a_standby_is_kept_for_members_that_need_it_alone(cluster):
    leader = cluster.leader()
    standby, other = cluster.replicas()
    oldest = "SELECT min(restart_lsn) FROM pg_replication_slots WHERE slot_name IN ('%s', '%s')"
    others = oldest % (leader.name, other.name)

    def writes_some():
        cluster.sql(leader, "CREATE TABLE IF NOT EXISTS wal (n int)")
        cluster.sql(leader, "INSERT INTO wal SELECT generate_series(1, 1000)")
        cluster.sql(leader, "SELECT pg_switch_wal()")
        return cluster.sql(leader, "SELECT pg_current_wal_flush_lsn()")

    def passes(lsn):
        return cluster.sql(standby, f"SELECT ({others}) >= '{lsn}'") == "t"

    lsn = writes_some()
    wait_for("the slots of a standby to move on", lambda: passes(lsn), 15)
    # Named by the operator: there on a standby, too, and it holds what its consumer has not had.
    cluster.ctl("edit-config", "--force", "-s", "slots.backup.type=physical")
    made = "SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'backup'"
    wait_for("the permanent slot", lambda: cluster.sql(leader, made) == cluster.sql(standby, made) == "1", 15)
    other.kill_node()
    lsn = writes_some()
    time.sleep(5)
    assert not passes(lsn), "the member that is away would miss WAL"
    other.start_agent()
    wait_for("the slots to go on", lambda: passes(lsn), 60)
    cluster.ctl("edit-config", "--force", "-s", "slots=null")


def test_lost_data_directory_is_cloned_again(cluster):
    node = cluster.replicas()[0]
    node.kill_node()
    shutil.rmtree(os.path.join(node.home, "data"))
    node.start_agent()
    cluster.wait_streaming(node)


def made_apart(node):
    """The node's data becomes that of another cluster, as initdb makes it. Its system identifier."""
    programs = POSTGRESQL + "/"
    data = os.path.join(node.home, "data")
    shutil.rmtree(data)
    subprocess.run(["runuser", "-u", "postgres", "--", programs + "initdb", "-D", data], check=True, stdout=subprocess.DEVNULL)
    control = subprocess.run([programs + "pg_controldata", data], check=True, capture_output=True, text=True, env={"LC_ALL": "C"})
    return re.search(r"system identifier: +(\d+)", control.stdout)[1]


def test_cluster_that_was_made_and_never_announced_is_put_beside(cluster):
    """A bootstrap is cut off before anybody heard of it, and another member makes the cluster."""
    notes = [os.path.join(n.home, "raft", "state", "unannounced") for n in cluster.nodes.values()]
    assert not any(os.path.exists(path) for path in notes), "the cluster that was announced"
    node = cluster.replicas()[0]
    data = os.path.join(node.home, "data")
    note = os.path.join(node.home, "raft", "state", "unannounced")
    node.kill_node()
    made_apart(node)
    node.start_agent()
    wait_for("it is left alone", lambda: "the data directory is of another cluster" in node.log_text(), 20)
    assert os.path.exists(os.path.join(data, "PG_VERSION")) and not os.path.exists(data + ".failed")
    node.kill_node()
    made = made_apart(node)
    with open(note, "w") as f:
        f.write(f"{made}\n{data}\n")
    shutil.chown(note, "postgres", "postgres")
    node.start_agent()
    cluster.wait_streaming(node)
    assert os.path.exists(os.path.join(data + ".failed", "PG_VERSION"))
    assert not os.path.exists(note)


def three_voters(cluster):
    roles = [row["Role"] for row in json.loads(cluster.ctl("raft", "status", "-f", "json").stdout)]
    return sorted(roles) == ["Follower", "Follower", "Leader"]


def test_wiped_raft_directory_joins_as_a_new_member(cluster):
    node = cluster.replicas()[0]
    node.kill_node()
    shutil.rmtree(os.path.join(node.home, "raft"))
    node.start_agent()
    cluster.wait_streaming(node)
    wait_for("three voters", lambda: three_voters(cluster), 30)


def test_cloned_host_is_refused(cluster):
    """The last on its cluster: the other one has nothing to come back with."""
    donor, other = cluster.replicas()
    donor.kill_node()
    other.kill_node()
    shutil.rmtree(os.path.join(other.home, "raft"))
    shutil.copytree(os.path.join(donor.home, "raft"), os.path.join(other.home, "raft"),
                    ignore=shutil.ignore_patterns("run", ".s.PGSQL*"))
    for root, dirs, files in os.walk(os.path.join(other.home, "raft")):
        for name in dirs + files + ["."]:
            shutil.chown(os.path.join(root, name), "postgres", "postgres")
    donor.start_agent()
    cluster.wait_healthy(count=2)
    other.start_agent()
    wait_for("the refusal in the log", lambda: donor.name in other.log_text().splitlines()[-1] and other.agent_pid() is None, 10)
