"""Verbs of the command line that ask PostgreSQL, or tell what would be done, on either store (docs/command-line.md)."""
import json
import os
import pty
import select
import shutil
import subprocess
import time

import pytest

from rest import SCOPE
from rig import wait_for

ON_EITHER_STORE = True
IP = shutil.which("ip")
ENV = dict(os.environ, PGUSER="postgres", PGPASSWORD="zalando", PGDATABASE="postgres")


def argv(rig, *args, config=None, host="client"):
    return [IP, "netns", "exec", rig.namespace(host), rig.binary("pgquorum"), "-c", config or rig.nodes["node1"].config, *args]


def asked(rig, *args, config=None, stdin="", env=None, host="client"):
    answer = subprocess.run(argv(rig, *args, config=config, host=host), capture_output=True, text=True, timeout=60, input=stdin, env=env or ENV)
    print(*args, "->", answer.returncode, answer.stdout, answer.stderr)
    return answer


def says(rig, *args, **how):
    answer = asked(rig, *args, **how)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


def test_query_goes_to_the_member_that_is_meant(cluster):
    leader, replica = cluster.leader(), cluster.replicas()[0]
    where = "SELECT host(inet_server_addr()) AS host, pg_is_in_recovery() AS standby, NULL AS nothing"
    assert says(cluster, "query", "-c", where) == f"host\tstandby\tnothing\n{leader.address}\tFalse\tNone\n"
    assert json.loads(says(cluster, "query", "-c", where, "-m", replica.name, "--format", "json")) == \
        [{"host": replica.address, "standby": True, "nothing": None}]
    assert f"| {replica.address} | True " in says(cluster, "query", SCOPE, "-c", where, "-m", replica.name, "--format", "pretty")
    said = says(cluster, "query", "-c", where, "-r", "replica", "--delimiter", ";")
    assert said in {f"host;standby;nothing\n{n.address};True;None\n" for n in cluster.replicas()}
    assert f"{leader.address}\tFalse" in says(cluster, "query", "-c", where, "-r", "primary")
    assert "\tNo connection to role 'standby-leader' is available\n" in says(cluster, "query", "-c", where, "-r", "standby-leader")
    assert "\tNo connection to member node9 is available\n" in says(cluster, "query", "-c", where, "-m", "node9")


def test_query_tells_what_went_wrong_and_ends_with_0(cluster):
    said = says(cluster, "query", "-c", "SELECT nonsense")
    assert '\tERROR, SQLSTATE: 42703 ERROR:  column "nonsense" does not exist ' in said and said.count("\n") == 1
    said = says(cluster, "query", "-c", "SELECT 1", env=dict(ENV, PGPASSWORD="wrong"))
    assert "\tERROR, SQLSTATE: " in said and "password authentication failed" in said
    assert "COPY from or to here" in says(cluster, "query", "-c", "COPY (SELECT 1) TO STDOUT")
    assert asked(cluster, "query").returncode == 1
    assert asked(cluster, "query", "-f", "/nowhere").returncode == 2


def test_query_takes_a_file_a_password_and_a_user(cluster):
    path = os.path.join(cluster.home, "some.sql")
    with open(path, "w") as f:
        f.write("CREATE TEMP TABLE t AS SELECT generate_series(1, 3) AS i;\nSELECT sum(i) FROM t\n")
    assert says(cluster, "query", "-f", path) == "sum\n6\n"
    assert says(cluster, "query", "-f", "-", stdin="SELECT 7 AS n") == "n\n7\n"
    bare = {key: value for key, value in ENV.items() if not key.startswith("PG")}
    said = says(cluster, "query", "-U", "postgres", "-d", "template1", "--password", "-c", "SELECT current_database() AS d, current_user AS u",
                stdin="zalando\n", env=bare)
    assert said == "Password: d\tu\ntemplate1\tpostgres\n"
    wide = "SELECT " + ", ".join(f"{n} AS c{n}" for n in range(300))
    assert says(cluster, "query", "-c", wide).split("\n")[1].split("\t") == [str(n) for n in range(300)]
    assert says(cluster, "query", "-c", "SELECT 1", env=dict(ENV, PGHOSTADDR="192.0.2.1", PGSERVICE="none")) == "?column?\n1\n"


def test_query_again_and_again_follows_the_leader(cluster):
    old = cluster.leader()
    child = subprocess.Popen(argv(cluster, "query", "-w", "0.2", "-c", "SELECT host(inet_server_addr()) AS h"), stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, text=True, env=ENV)
    try:
        assert [child.stdout.readline(), child.stdout.readline()] == ["h\n", old.address + "\n"]
        says(cluster, "switchover", "--force")
        cluster.wait_healthy()
        new = cluster.leader()
        assert new is not old
        wait_for("it asks the new one", lambda: child.stdout.readline() == new.address + "\n", 20, 0)
        assert child.poll() is None
    finally:
        child.kill()
        child.wait()


def test_list_again_and_again_shows_what_has_changed(cluster):
    old = cluster.leader()
    child = subprocess.Popen(argv(cluster, "list", "-w", "0.2"), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, env=ENV)

    def leads(name):
        row = child.stdout.readline()
        return f"| {name} " in row and "| Leader " in row
    try:
        for _ in range(2):
            wait_for("a table", lambda: leads(old.name), 10, 0)
        says(cluster, "switchover", "--force")
        cluster.wait_healthy()
        new = cluster.leader()
        assert new is not old
        wait_for("a table with the new leader", lambda: leads(new.name), 20, 0)
        assert child.poll() is None
    finally:
        child.kill()
        child.wait()


def lines(cluster):
    return {row.get("TL") for row in cluster.members().values()}


def test_a_dry_run_tells_the_rule_that_the_real_one_goes_by(cluster):
    cluster.settle()
    leader, named, line = cluster.leader(), cluster.replicas()[0], lines(cluster)
    ask = "switchover", "--candidate", named.name, "--dry-run"
    # That it streams, the leader sees with its next probe: later than the standby itself, and settle() asks that one.
    wait_for("the leader has seen the candidate stream", lambda: "stepping down on request" in says(cluster, *ask), 10, 0.2)
    said = says(cluster, *ask)
    assert said.endswith(f"Dry run: nothing was sent. {leader.name} would be asked for a switchover to {named.name}; as things are now,\n"
                         f"{leader.name} would decide by the rule leader/failover: stepping down on request, for '{named.name}' (checkpoint, stop_fast)\n")
    said = says(cluster, "switchover", "--candidate", named.name, "--dry-run", "--scheduled", "2001-01-01T00:00Z")
    assert f"{leader.name} would refuse it: 422, Cannot schedule switchover in the past\n" in said
    said = says(cluster, "restart", SCOPE, leader.name, named.name, "--dry-run")
    assert f"{leader.name} would decide by the rule leader/restart: restarting on request (checkpoint, stop_restart)\n" in said
    assert f"{named.name} would decide by the rule replica/restart: restarting on request (stop_restart)\n" in said
    said = says(cluster, "restart", SCOPE, "--dry-run", "--pg-version", "9.6.1")
    assert said.count(" would refuse it: 503, restart conditions are not satisfied: ") == 3
    said = says(cluster, "reinit", SCOPE, named.name, "--dry-run")
    assert f"{named.name} would decide by the rule common/reinit: " in said
    time.sleep(2 * cluster.settings["loop_wait"])
    assert cluster.leader() is leader and lines(cluster) == line and cluster.healthy()
    said = says(cluster, "switchover", "--candidate", named.name, "--force")
    assert f'Successfully switched over to "{named.name}"' in said
    assert "  failover: stepping down on request, for '" + named.name + "'" in says(cluster, "explain", leader.name)
    cluster.wait_healthy()


def test_nothing_is_removed_from_a_cluster_that_lives(cluster):
    cluster.settle()
    leader = cluster.leader()
    answer = asked(cluster, "remove", SCOPE, stdin=f"{SCOPE}\nYes I am aware\n{leader.name}\n")
    assert answer.returncode == 1 and answer.stderr == f"Error: '{leader.name}' leads cluster {SCOPE}, and its agent lives: stop the agents first\n"
    assert cluster.leader() is leader and len(cluster.members()) == 3 and "ttl" in says(cluster, "show-config")


def on_terminal(rig, words, answers, env):
    """What is written on a terminal of its own, where the answers are typed, each when its words have come."""
    master, slave = pty.openpty()
    child = subprocess.Popen(argv(rig, *words), stdin=slave, stdout=slave, stderr=slave, env=env)
    os.close(slave)
    text, until = "", time.monotonic() + 30
    while child.poll() is None or select.select([master], [], [], 0)[0]:
        assert time.monotonic() < until, text
        if select.select([master], [], [], 0.1)[0]:
            try:
                text += os.read(master, 65536).decode()
            except OSError:  # the other end is closed
                break
        if answers and answers[0][0] in text:
            os.write(master, answers.pop(0)[1].encode())
    os.close(master)
    return child.wait(), text.replace("\r\n", "\n")


def test_on_a_terminal_a_difference_goes_through_the_pager(cluster):
    before = says(cluster, "show-config")
    env = dict(ENV, PAGER="sed 's/^/seen: /'", TERM="dumb")
    status, text = on_terminal(cluster, ["edit-config", "-s", "maximum_lag_on_failover=1048577"], [("Apply these changes? [y/N]: ", "n\n")], env)
    assert status == 0 and "\nseen: +maximum_lag_on_failover: 1048577\n" in text, text
    status, text = on_terminal(cluster, ["edit-config", "-s", "maximum_lag_on_failover=1048577"], [], dict(env, PAGER="/nowhere/pager"))
    assert status == 1 and "the pager '/nowhere/pager' cannot be run: set PAGER to one that can\n" in text, text
    status, text = on_terminal(cluster, ["edit-config", "-s", "maximum_lag_on_failover=1048577"], [],
                               {"PATH": "/nowhere", "TERM": "dumb"})
    assert status == 1 and "No pager could be found." in text, text
    status, text = on_terminal(cluster, ["query", "--password", "-c", "SELECT 1"], [("Password: ", "zalando\n")], ENV)
    assert status == 0 and "zalando" not in text and "?column?\n1\n" in text, text
    assert says(cluster, "show-config") == before
