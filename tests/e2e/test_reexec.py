"""An upgrade in place: agents execute another release, and nobody who uses PostgreSQL notices."""
import json
import os
import re
import select
import shutil
import signal
import subprocess
import time

import pytest

import faults
from rig import edit, wait_for

ON_EITHER_STORE = True
OLD, NEW = "0.1.0", "0.2.0"
GAP_MAX_S = {"direct": 1.0, "haproxy": 3.0}  # where the machine is slow, two checks of HAProxy (500 ms apart) find REST closed


@pytest.fixture
def release(cluster, next_release):
    """Puts programs where those of the cluster are, as a package does: each is another file then. Takes them back at the end."""
    build = os.environ.get("BUILD", "build/debug")

    def put(program, source=None, text=None):
        path = cluster.binary(program)
        fresh = path + ".new"
        if text is None:
            shutil.copy(source, fresh)
        else:
            with open(fresh, "w") as f:
                f.write(text)
            os.chmod(fresh, 0o755)
        os.rename(fresh, path)

    def install(directory):
        for program in ("pgquorum", "pgquorum-fence"):
            put(program, os.path.join(directory, program))

    install.put = put
    install.new, install.old = next_release, os.path.abspath(build)
    yield install
    install(install.old)
    for node in cluster.nodes.values():
        if version(cluster, node) != OLD:
            reexec(cluster, node)


def program(cluster, node):
    """What the agent says of itself; {} without an answer."""
    status, body = cluster.http(node.rest_address, "/patroni")
    return json.loads(body).get("agent", {}) if status is not None and body.startswith("{") else {}


def version(cluster, node):
    return program(cluster, node).get("version")


def pids(cluster):
    return {name: (node.agent_pid(), node.fence_pid(), node.postmaster_pid()) for name, node in cluster.nodes.items()}


def reexec(cluster, *nodes, check=True, more=("--force",)):
    answer = cluster.ctl("reexec", "postgres", *(n.name for n in nodes), *more, check=False, timeout=300)
    if check:
        assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer


def zombies(pid):
    """Children of the process that have ended, and that nobody has waited for."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat") as f:
                    name, rest = f.read().rsplit(")", 1)
            except OSError:
                continue
            if rest.split()[:2] == ["Z", str(pid)]:
                found.append(name)
    return found


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def timelines(cluster):
    return {row["TL"] for row in cluster.members().values()}


def test_a_cluster_is_upgraded_under_write_load(cluster, release):
    before, leader, timeline = pids(cluster), cluster.leader(), timelines(cluster)
    release(release.new)
    told = reexec(cluster, more=("--dry-run",)).stdout
    assert told.count(f"would be executed in place, version {NEW} after {OLD}") == 3, told
    assert [version(cluster, n) for n in cluster.nodes.values()] == [OLD] * 3
    with faults.Load(cluster) as load:
        told = reexec(cluster).stdout
        load.wait_writable(30)
    assert told.count(f"was executed anew, version {NEW} after {OLD}; its fence is of before") == 3, told
    assert f"member {leader.name} " in told.strip().splitlines()[-1], "the leader comes last"
    assert pids(cluster) == before, "agents, fences and postmasters have kept their process"
    assert cluster.leader() is leader and timelines(cluster) == timeline, "no failover"
    for name, (agent, _, _) in before.items():
        assert zombies(agent) == [], name
        assert os.readlink(f"/proc/{agent}/exe") == cluster.binary("pgquorum"), name
    figures = faults.verify(cluster, load, may_lose=False)
    print(figures)
    assert all(figures[route] < limit for route, limit in GAP_MAX_S.items()), figures
    told = cluster.ctl("version", "postgres").stdout
    assert told.count(f", pgquorum {NEW}, with the fence of before") == 3, told


def test_a_signal_is_enough(cluster, release):
    before = pids(cluster)
    release(release.new)
    for node in cluster.nodes.values():
        node.kill_agent(signal.SIGUSR2)
        wait_for(f"{node.name} is of the other release", lambda n=node: version(cluster, n) == NEW, 30)
        cluster.wait_healthy()
    assert pids(cluster) == before
    assert "SIGUSR2" in next(iter(cluster.nodes.values())).log_text()


REFUSED = [
    ("what cannot be executed", "garbage\0", "cannot be executed: Exec format error"),
    ("what dies of a signal", "#!/bin/sh\nkill -SEGV $$\n", "killed by signal 11"),
    ("what is another program", "#!/bin/sh\necho Python 3.11\n", "is no pgquorum: asked for its release it said: Python 3.11"),
    ("what says why it does not start", f"#!/bin/sh\necho pgquorum {NEW}\n[ $1 = --version ] || exit 1\n", "would not start here: pgquorum"),
    ("what hangs", f"#!/bin/sh\necho pgquorum {NEW}\n[ $1 = --version ] || exec sleep 1000\n", "would not start here in 15 s"),
]


@pytest.mark.parametrize("text, words", [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_a_program_that_would_not_start_is_refused_and_the_old_one_runs_on(cluster, release, text, words):
    node = cluster.leader()
    started, before = program(cluster, node), pids(cluster)
    control = cluster.binary("pgquorum") + ".ctl"  # the one to ask with
    shutil.copy(os.path.join(release.old, "pgquorum"), control)
    release.put("pgquorum", text=text)
    argv = ["ip", "netns", "exec", cluster.namespace("client"), control, "-c", node.config, "reexec", "postgres"]
    told = subprocess.run(argv + ["--force"], capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)
    assert told.returncode == 1 and words in told.stderr and "not executed anew" in told.stderr, told.stdout + told.stderr
    assert "2 more were not asked" in told.stderr, "the next one is not asked"
    node.kill_agent(signal.SIGUSR2)
    wait_for("the log tells it", lambda: f"version {OLD} runs on" in node.log_text() and words in node.log_text(), 30)
    assert program(cluster, node) == started and pids(cluster) == before
    release(release.new)
    reexec(cluster, node)


def test_a_configuration_that_is_refused_is_told(cluster, release):
    other, node = cluster.leader(), cluster.replicas()[0]
    started = program(cluster, node)
    with open(node.config) as f:
        good = f.read()
    release(release.new)
    for bad, words in ((good + "\nnonsense: [\n", node.config), (good.replace("\nrestapi:", "\nrestapi:\n  certfile: /nonexistent.crt", 1), "/nonexistent.crt")):
        with open(node.config, "w") as f:
            f.write(bad)
        try:
            argv = ["ip", "netns", "exec", cluster.namespace("client"), cluster.binary("pgquorum"), "-c", other.config, "reexec", "postgres", node.name]
            for more in (["--dry-run"], ["--force"]):
                told = subprocess.run(argv + more, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)
                assert told.returncode == 1 and "would not start here" in told.stderr and words in told.stderr, told.stdout + told.stderr
        finally:
            with open(node.config, "w") as f:
                f.write(good)
    os.rename(cluster.binary("pgquorum-fence"), cluster.binary("pgquorum-fence") + ".away")
    told = reexec(cluster, node, check=False)
    assert told.returncode == 1 and "install it beside pgquorum" in told.stderr, told.stdout + told.stderr
    assert program(cluster, node) == started
    release(release.new)
    reexec(cluster, node)


def test_a_configuration_of_another_agent_is_refused(cluster, release):
    """It would pass as a start, and know nothing of the PostgreSQL that runs here."""
    node, other = cluster.leader(), cluster.replicas()[0]
    started, before = program(cluster, node), pids(cluster)
    with open(node.config) as f:
        good = f.read()
    directory = re.findall(r"data_dir: (\S+)", good)[-1]
    release(release.new)
    changes = [("scope: postgres\n", "scope: other\n", "scope: is 'other' now, and 'postgres' for what runs here"),
               (f"name: {node.name}\n", "name: node9\n", f"name: is 'node9' now, and '{node.name}' for"),
               (f"data_dir: {directory}\n", f"data_dir: {directory}-new\n", f"postgresql.data_dir: is '{directory}-new' now, and '{directory}' for")]
    try:
        for old, new, words in changes:
            edit(node, (old, new))
            argv = ["ip", "netns", "exec", cluster.namespace("client"), cluster.binary("pgquorum"), "-c", other.config, "reexec", "postgres", node.name]
            told = subprocess.run(argv + ["--dry-run"], capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)
            assert told.returncode == 1 and words in told.stderr and "stop this one and start it anew" in told.stderr, told.stdout + told.stderr
            assert words not in node.log_text()
            node.kill_agent(signal.SIGUSR2)
            wait_for("the log tells it", lambda w=words: w in node.log_text(), 30)
            edit(node, (new, old))
    finally:
        with open(node.config, "w") as f:
            f.write(good)
    assert program(cluster, node) == started and pids(cluster) == before and cluster.leader() is node
    reexec(cluster, node)


class Knocking:
    """Takes the node's lock as soon as somebody can."""

    def __init__(self, path):
        code = ("import fcntl, sys\nf = open(sys.argv[1], 'r')\nprint('knocks', flush=True)\n"
                "while True:\n    try:\n        fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)\n        sys.exit(7)\n    except BlockingIOError:\n        pass\n")
        self.child = subprocess.Popen(["nice", "-n", "19", "/usr/bin/python3", "-c", code, path], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
        self.child.stdout.readline()

    def stop(self):
        """True: nobody else could have had it."""
        kept = self.child.poll() is None
        self.child.kill()
        self.child.wait()
        return kept


def test_the_lock_is_never_free_and_no_signal_of_that_time_kills(cluster, release):
    node = cluster.leader()
    before = pids(cluster)
    release(release.new)
    lock = subprocess.run(["find", node.home, "-name", "agent.lock"], capture_output=True, text=True, check=True).stdout.strip()
    knocking = Knocking(lock)
    try:
        node.kill_agent(signal.SIGUSR2)
        deadline = time.monotonic() + 20
        while version(cluster, node) != NEW:
            assert time.monotonic() < deadline
            for _ in range(20):
                node_pid = before[node.name][0]
                os.kill(node_pid, signal.SIGHUP)
                time.sleep(0.002)
    finally:
        kept = knocking.stop()
    assert kept, "somebody else could have had the lock"
    cluster.wait_healthy()
    assert pids(cluster) == before and cluster.leader() is node


def test_a_stop_that_comes_meanwhile_stops_postgresql(cluster, release):
    """The new program gets the signal before it has found its fence."""
    node = cluster.leader()
    agent, _, postmaster = pids(cluster)[node.name]
    postmaster = os.pidfd_open(postmaster)
    others = [n for n in cluster.nodes.values() if n is not node]
    release(release.new)
    new = os.stat(cluster.binary("pgquorum")).st_ino
    try:
        node.kill_agent(signal.SIGUSR2)
        deadline = time.monotonic() + 30
        while os.stat(f"/proc/{agent}/exe").st_ino != new:
            assert time.monotonic() < deadline
        os.kill(agent, signal.SIGTERM)
        wait_for("the agent has ended", lambda: not alive(agent), 30)
        assert select.select([postmaster], [], [], 0)[0], "PostgreSQL was left to the end of its lease"
        wait_for("another one leads", lambda: cluster.leader() in others, 10)
    finally:
        os.close(postmaster)
        if node.agent_pid() is None:
            node.start_agent()
    cluster.wait_healthy()


def test_a_paused_cluster_is_upgraded_and_stays_paused(cluster, release):
    before, leader = pids(cluster), cluster.leader()
    release(release.new)
    cluster.ctl("pause", "--wait")
    try:
        reexec(cluster)
        assert pids(cluster) == before
        time.sleep(2 * cluster.settings["ttl"])
        assert pids(cluster) == before and cluster.sql(leader, "SELECT pg_is_in_recovery()") == "f"
    finally:
        cluster.ctl("resume", "--wait")
    cluster.wait_healthy()
    assert cluster.leader() is leader


def test_a_copy_under_way_is_waited_for(make_rig, next_release):
    rig = make_rig(extra="  basebackup:\n    - max-rate: 4M\n")
    rig.start_all()
    rig.wait_healthy(timeout=120)
    node = rig.replicas()[0]
    agent = node.agent_pid()
    rig.ctl("reinit", "postgres", node.name, "--force")
    wait_for("the copy is under way", lambda: rig.members()[node.name]["State"] == "creating replica", 30)
    wait_for("a dry run names it", lambda: "it would wait at first: the data directory is being copied"
             in rig.ctl("reexec", "postgres", node.name, "--dry-run", check=False).stdout, 10)
    told = rig.ctl("reexec", "postgres", node.name, "--force", check=False, timeout=120)
    if told.returncode != 0:
        assert "not executed anew: the data directory is being copied" in told.stderr, told.stdout + told.stderr
    rig.wait_streaming(node)
    assert node.agent_pid() == agent
    assert "reexec: waiting: the data directory is being" in node.log_text()
    assert node.log_text().count("reinitialize: asked for") <= 1


def test_a_witness_is_exchanged_in_place(make_rig, next_release):
    rig = make_rig(witnesses=("node3",))
    node = rig.nodes["node3"]
    rig.write_config(node, name="of-the-file")
    node.environment = lambda: {"PATRONI_NAME": "node3"}  # has to be there for the next program, too
    rig.start_all()
    rig.wait_healthy(2)
    before = pids(rig)
    with open(node.config) as f:
        good = f.read()
    edit(node, (f"{node.home}/raft", f"{node.home}/other"))
    node.kill_agent(signal.SIGUSR2)
    wait_for("another directory is refused", lambda: f"raft.data_dir: is '{node.home}/other' now, and '{node.home}/raft' for" in node.log_text(), 30)
    with open(node.config, "w") as f:
        f.write(good)
    for program_name in ("pgquorum", "pgquorum-fence"):
        shutil.copy(os.path.join(next_release, program_name), rig.binary(program_name) + ".new")
        os.rename(rig.binary(program_name) + ".new", rig.binary(program_name))
    node.kill_agent(signal.SIGUSR2)
    wait_for("the witness is there again", lambda: node.log_text().count("the Raft member is running") == 2, 30)
    wait_for("it votes", lambda: rig.raft_members().get("node3", {}).get("Role") in ("Follower", "Leader", "Witness"), 30)
    rig.wait_healthy(2)
    assert pids(rig) == before
