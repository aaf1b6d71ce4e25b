"""Each mode is started as make compose starts it, and loses its primary in three ways while clients write through port 5000."""
import os
import re
import stat
import subprocess
import time

import pytest

import containers
from containers import checks, docker, settings, wait_for

MODES = ["self-contained", "etcd-backed", "etcd-serving"]
TTL = 30  # the document's


@pytest.fixture(scope="module", params=MODES)
def deployment(request, make_deployment):
    return make_deployment(request.param)


def told(deployment, figures, what, writer, may_lose):
    result = deployment.verify([writer], may_lose)
    figures(f"{deployment.mode}: {what}: {result}")
    return result[writer.name]


def test_it_is_up_and_everything_published_answers(deployment, figures):
    d = deployment
    leader = d.leader()
    assert re.search(rf"\| {leader} +\| {settings()['NET']}\.\d+ +\| Leader", d.said), d.said
    url = re.search(r"psql '(postgres://\S+@127\.0\.0\.1:5000/postgres)'", d.said).group(1)
    answer = subprocess.run(["psql", "-XAt", url, "-c", "SELECT pg_is_in_recovery()"], capture_output=True, text=True, timeout=20)
    assert answer.stdout.strip() == "f", answer.stderr
    if d.mode != "etcd-backed":  # its haproxy.cfg is the document's, and has no such port
        wait_for("a standby is up at HAProxy", lambda: subprocess.run(
            ["psql", "-XAt", url.replace(":5000", ":5001"), "-c", "SELECT pg_is_in_recovery()"], capture_output=True, text=True,
            timeout=20).stdout.strip() == "t", 20, 0.5)
    assert [d.status(n, "/liveness") for n in containers.REST] == [200] * 3
    assert [d.status(n, "/primary") for n in containers.REST].count(200) == 1
    page = subprocess.run(["curl", "-fsS", "http://127.0.0.1:7000/;csv"], capture_output=True, text=True, timeout=10, check=True).stdout
    states = sorted(line.split(",")[17].split()[0] for line in page.splitlines() if line.startswith("postgres,postgresql_"))
    assert states == ["DOWN", "DOWN", "UP"]
    wait_for("docker calls them healthy", lambda: "unhealthy" not in (ps := d.compose("ps").stdout) and "starting" not in ps, 60, 0.5)
    figures(f"{d.mode}: docker-compose ps\n{d.compose('ps').stdout}")


def test_nothing_secret_is_in_the_images_and_nobody_is_root(deployment):
    image = docker("inspect", "-f", "{{.Config.Image}}", deployment.container("node1")).stdout.strip()
    baked = docker("inspect", "-f", "{{.Config.Env}} {{.Config.User}}", image).stdout
    assert "PASSWORD" not in baked and "zalando" not in baked and baked.strip().endswith(" postgres")
    assert docker("run", "--rm", image, "ls", "-A", "/etc/patroni", "/data").stdout.split() == ["/data:", "/etc/patroni:"]
    assert stat.S_IMODE(os.stat(os.path.join(containers.COMPOSE, ".env")).st_mode) == 0o600
    ignored = subprocess.run(["git", "check-ignore", "-q", ".env"], cwd=containers.COMPOSE, stdin=subprocess.DEVNULL)
    assert ignored.returncode == 0


def zombies(deployment, node):
    code = "for p in /proc/[0-9]*; do grep -s '^State:.Z' $p/status; done; true"
    return deployment.inside(node, "sh", "-c", code).stdout.split()


def test_orphans_are_reaped(deployment):
    node = deployment.reached()
    deployment.inside(node, "sh", "-c", "(sleep 0.2 &) ; true")
    time.sleep(0.5)  # it has ended by then, and nobody but PID 1 is its parent
    assert zombies(deployment, node) == []


def test_a_switchover(deployment, figures):
    d = deployment
    old, named = d.leader(), next(n for n in d.data_nodes if n != d.leader())
    writer = d.writer("switchover")
    writer.wait_writes(30)
    flag = "--leader" if d.mode != "etcd-serving" else "--master"  # Patroni 3.0.2
    answer = d.ctl("switchover", flag, old, "--candidate", named, "--force")
    assert "Successfully switched over" in answer.stdout, answer.stdout + answer.stderr
    writer.wait_writes(60)
    told(d, figures, f"switchover from {old} to {named}", writer, may_lose=False)
    assert d.leader() == named


def test_the_primary_is_cut_off_the_network(deployment, figures):
    d = deployment
    old = d.leader()
    writer = d.writer("disconnect")
    writer.wait_writes(30)
    d.disconnect(old)
    new = d.wait_leader(other_than=old, timeout=TTL + 60)
    writer.wait_writes(60)
    d.connect(old)
    told(d, figures, f"docker network disconnect of {old}, {new} leads", writer, may_lose=True)
    assert not checks.two_writers([writer.entries()])


def test_the_primary_is_killed_and_comes_again_with_nothing(deployment, figures):
    d = deployment
    old = d.leader()
    writer = d.writer("kill")
    writer.wait_writes(30)
    d.kill(old)
    new = d.wait_leader(other_than=old, timeout=TTL + 60)
    writer.wait_writes(60)
    d.recreate_empty(old)
    d.wait_healthy()
    told(d, figures, f"docker kill of {old}, {new} leads, {old} recreated with an empty volume", writer, may_lose=True)
    assert not checks.two_writers([writer.entries()])
    figures(f"{d.mode}: in the end\n{d.ctl('list').stdout}{d.compose('ps').stdout}")
