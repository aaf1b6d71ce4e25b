"""Our verbs beside Patroni 4.1's `patronictl`, on one cluster, by one file: what both print is the same (docs/command-line.md has the differences).
PATRONI names the program; make e2e-rest installs one and names it."""
import os
import re
import subprocess

import pytest

from rest import SCOPE, document
from rig import ADDRESS, NODES, PATRONI, wait_for

pytestmark = pytest.mark.rest
SECTION = "etcd_server:\n  listen: '*:2379'\n"
FILE = "scope: postgres\nnamespace: /db/\netcd3:\n  hosts: {hosts}\n"
ENV = dict(os.environ, PGUSER="postgres", PGPASSWORD="zalando", PGDATABASE="postgres")


@pytest.fixture
def cluster(shared_rig, request):
    r = shared_rig(extra=SECTION, ttl=20, loop_wait=1, retry_timeout=5)
    r.file = os.path.join(r.home, "both.yml")
    with open(r.file, "w") as f:
        f.write(FILE.format(hosts=",".join(ADDRESS[name] + ":2379" for name in NODES)))
    if r.nodes["node1"].init is None:
        r.start_all()
    r.wait_healthy(timeout=120)
    wait_for("the leader knows who streams from it", lambda: len(document(r, r.leader()).get("replication", [])) == 2, 30)
    r.keys().wait_served(30)
    yield r
    if getattr(request.node, "failed", False):
        r.broken = True
        r.show()


def said(r, program, args, stdin):
    argv = ["ip", "netns", "exec", r.namespace("client"), program, "-c", r.file, *args]
    answer = subprocess.run(argv, capture_output=True, text=True, timeout=60, input=stdin, env=ENV)
    error = answer.stderr.strip().split("\n")[-1]  # of Python's warnings the last line is the error
    hide = (r"\d\d\d\d-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?", "TIME"), (r"0/[0-9A-F]+", "0/X")
    texts = [answer.stdout, error]
    for i, text in enumerate(texts):
        for pattern, word in hide:
            text = re.sub(pattern, word, text)
        texts[i] = text
    return answer.returncode, *texts


def both(r, *args, stdin="", error=True, looks=2):
    """Both say the same; positions move on, so that it may take another look."""
    answers = []

    def agree():
        answers[:] = [said(r, program, args, stdin) for program in (r.binary("pgquorum"), PATRONI + "ctl")]
        return answers[0][:3 if error else 2] == answers[1][:3 if error else 2]

    try:
        wait_for("both say the same", agree, looks, 0.5)
    except TimeoutError:
        pytest.fail(f"{args}\n--- ours {answers[0][0]}\n{answers[0][1]}{answers[0][2]}\n--- patronictl {answers[1][0]}\n{answers[1][1]}{answers[1][2]}")
    return answers[0]


def all_of(r, cases):
    """Each is looked at, whatever became of the ones before."""
    faults = []
    for args, stdin in cases:
        try:
            both(r, *args, stdin=stdin)
        except pytest.fail.Exception as fault:
            faults.append(str(fault))
    assert not faults, "\n".join(faults)


LISTS = [("list",), ("list", "-e"), ("list", "-t"), ("list", "-f", "tsv"), ("list", "-f", "json"), ("list", "-f", "yaml"), ("topology",),
         ("list", "-e", "-f", "json"), ("list", "nobody"), ("list", SCOPE, "nobody"), ("list", "--group", "0"), ("list", "--group", "0", "-f", "tsv")]
READS = [("history",), ("history", "-f", "tsv"), ("history", "-f", "json"), ("history", "-f", "yaml"), ("history", "nobody"), ("show-config",),
         ("show-config", "nobody"), ("dsn",), ("dsn", "-r", "replica"), ("dsn", "-m", "node2"), ("dsn", "-m", "node9"), ("dsn", "nobody"),
         ("dsn", "-m", "node1", "-r", "any")]
QUERY = "SELECT 1 AS a, true AS b, NULL AS c, 2.50 AS d, 'x' AS e, current_date AS f"
QUERIES = [("-c", QUERY), ("-c", QUERY, "--format", "pretty"), ("-c", "SELECT 1 AS a, true AS b, NULL AS c, 'x' AS d", "--format", "json"),
           ("-c", "SELECT 1 AS a, NULL AS b", "--format", "yaml"), ("-c", QUERY, "--delimiter", "|", "-r", "primary"), ("-c", QUERY, "-m", "node9"),
           ("-c", QUERY, "-r", "standby-leader"), ("-c", QUERY, "-r", "replica"), (), ("-c", "x", "-f", "/etc/hostname"), ("-c", "x", "-r", "any", "-m", "y")]


def test_what_only_reads(cluster):
    all_of(cluster, [(args, "") for args in LISTS + READS + [("query", *args) for args in QUERIES]])


def test_questions_and_refusals(cluster):
    leader, other = cluster.leader().name, cluster.replicas()[0].name
    all_of(cluster, ((("switchover",), "\n\n\nn\n"), (("switchover",), "nobody\n"), (("switchover",), ""), (("switchover",), f"\n{other}\nnow\nn\n"),
                     (("switchover", "--candidate", "nobody", "--force"), ""), (("switchover", "--candidate", leader, "--force"), ""),
                     (("switchover", "--leader", other, "--force"), ""), (("failover",), "\n"), (("failover", "--force"), ""),
                     (("failover", "--candidate", leader, "--force"), ""), (("failover", "--candidate", other), "n\n"),
                     (("failover", "nobody", "--force"), ""), (("flush", SCOPE, "switchover"), ""), (("reload", SCOPE, other), "n\n"),
                     (("reload", SCOPE, other), "y\n"), (("reload", "nobody", "--force"), ""), (("restart", SCOPE, other), "\nn\n"),
                     (("restart", "nobody", "--force"), ""), (("reinit", "nobody", "--force"), ""), (("reinit", SCOPE, "--force"), ""),
                     (("edit-config", "-s", "ttl=25"), "n\n"), (("edit-config", "-s", "ttl=20"), ""), (("edit-config", "--apply", "-"), "ttl: 27\n"),
                     (("edit-config", "nobody", "-s", "a=1"), ""), (("demote-cluster",), ""), (("demote-cluster", "--host", "x"), "n\n"),
                     (("promote-cluster",), ""), (("promote-cluster", "nobody"), ""), (("remove", "nobody"), "x\n"), (("remove", "nobody"), "nobody\nyes\n"),
                     (("remove", "nobody"), "nobody\nYes I am aware\n")))
    for args in (("list", "-f", "xml"), ("list", "--nonsense"), ("nonsense",), ("list", "-w", "x"), ("dsn", "-r", "king"), ("list", "--group", "x"), ("restart",),
                 ("flush", SCOPE), ("remove",), ("query", "-f", "/nowhere"), ("demote-cluster", "--port", "x")):
        assert both(cluster, *args, error=False)[0] == 2, args


def test_all_columns(cluster):
    """Settings that wait, a restart and a switchover at a time, tags, a cascade, and pause."""
    leader, first, second = cluster.leader(), *cluster.replicas()
    with open(second.config) as f:
        text = f.read()
    with open(second.config, "w") as f:
        f.write(re.sub(r"  nosync: false\n", f"  nosync: false\n  replicatefrom: {first.name}\n  region: north\n", text))
    cluster.ctl("reload", SCOPE, second.name, "--force")
    cluster.ctl("edit-config", "-s", "postgresql.parameters.shared_buffers=48MB", "-s", "postgresql.parameters.max_connections=99", "--force")
    cluster.ctl("restart", SCOPE, first.name, "--scheduled", "2031-01-01T03:00+00:00", "--pg-version", "16.1", "--force")
    cluster.ctl("switchover", "--candidate", first.name, "--scheduled", "2031-01-02T03:00+00:00", "--force")
    rows = cluster.members
    wait_for("all of it is told", lambda: all(row.get("Pending restart") for row in rows().values()) and
             rows()[first.name].get("Scheduled restart") and rows()[second.name].get("Tags", {}).get("region"), 30, 0.5)
    try:
        all_of(cluster, [(args, "") for args in LISTS])
        cluster.ctl("flush", SCOPE, "switchover")
        cluster.ctl("pause", "--wait")
        all_of(cluster, [(args, "") for args in LISTS])
        both(cluster, "pause")
        both(cluster, "switchover", "--scheduled", "2031-01-01T03:00", "--force")
        both(cluster, "restart", SCOPE, first.name, "--scheduled", "2031-01-01T03:00", "--force")
    finally:
        cluster.ctl("resume", "--wait", check=False)
    assert cluster.leader() is leader
    both(cluster, "resume")
