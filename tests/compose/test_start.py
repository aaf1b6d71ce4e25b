"""What compose.sh says and does at the start; the variant with a witness; the figures of the images."""
import os
import re
import threading
import time

import pytest

import containers
from containers import checks, docker, script, settings, wait_for

TAKEN = "10.97.0.0/16"
OTHER = "10.98.0.0/16"


@pytest.fixture
def nothing_up(base):
    yield
    script("down")
    assert "MODE" not in settings()


def test_a_network_that_is_taken_is_named_with_the_way_out(nothing_up):
    docker("network", "create", "--subnet", TAKEN, "pgquorum-test-taken")
    try:
        for subnet in (TAKEN, "10.97.3.0/24", "10.97.0.0/17"):
            answer = script("up", "self-contained", SUBNET=subnet)
            assert answer.returncode != 0
            assert f"{subnet} is taken by the network 'pgquorum-test-taken' of the engine ({TAKEN})" in answer.stderr
            assert "make compose SUBNET=" in answer.stderr
    finally:
        docker("network", "rm", "pgquorum-test-taken")


@pytest.mark.parametrize("mode,env,word", [
    ("self-contained", {"SUBNET": "10.98.0.0/28"}, "SUBNET=10.98.0.0/28 is not a network for the five hosts"),
    ("self-contained", {"SUBNET": "10.98.0.5/16"}, "SUBNET=10.98.0.5/16 is not"),
    ("self-contained", {"SUBNET": "elsewhere"}, "SUBNET=elsewhere is not"),
    ("witness", {}, "MODE=witness is none of self-contained, etcd-backed, etcd-serving"),
    ("etcd-backed", {"WITNESS": "1"}, "WITNESS=1 goes with MODE=self-contained only"),
    ("self-contained", {"COMPOSE": "no-such-compose"}, "no-such-compose"),
])
def test_what_is_wrong_is_said_and_nothing_starts(nothing_up, mode, env, word):
    answer = script("up", mode, **env)
    assert answer.returncode != 0 and word in answer.stderr, answer.stderr
    assert docker("ps", "-aq", "--filter", f"label=com.docker.compose.project={containers.PROJECT}").stdout == ""


def test_without_an_engine_it_says_so():
    answer = script("up", "self-contained", DOCKER_HOST="unix:///nonexistent/docker.sock")
    assert answer.returncode != 0 and "the Docker engine does not answer" in answer.stderr


def test_what_was_started_without_it_is_known(nothing_up):
    assert script("env").returncode == 0
    begun = containers.Deployment("self-contained", "/nonexistent")
    begun.compose("up", "-d", "node5")
    answer = script("up", "etcd-backed")
    assert answer.returncode != 0 and "MODE=self-contained is there, with its data: make compose-down first" in answer.stderr
    assert script("down").returncode == 0
    assert docker("ps", "-aq", "--filter", f"label=com.docker.compose.project={containers.PROJECT}").stdout == ""


def first_write(deployment):
    """Seconds from docker-compose up to the first acknowledged write through port 5000: the images are there, the volumes are not."""
    writer = deployment.writer("first")
    began = time.monotonic()
    up = threading.Thread(target=deployment.compose, args=("up", "-d"))
    up.start()
    wait_for("the first write", writer.acknowledged, 120, 0.02)
    up.join()
    writer.stop()
    return next(e["end"] for e in writer.entries() if e["result"] == "ok") - began


@pytest.mark.parametrize("mode", ["self-contained", "etcd-backed", "etcd-serving"])
def test_how_long_to_the_first_write(nothing_up, make_deployment, figures, mode):
    d = make_deployment(mode)
    seconds = []
    for _ in range(3):
        d.compose("down", "-v", "-t", "2")
        seconds.append(round(first_write(d), 1))
    figures(f"{mode}: seconds from docker-compose up to the first write: {seconds}")
    assert max(seconds) < 90
    d.close()


def test_two_nodes_and_a_witness_on_another_network(make_deployment, figures):
    """Told a short ttl by the command that the documentation names, it is also soon over."""
    d = make_deployment("self-contained", witness=True, subnet=OTHER)
    assert settings()["NET"] == "10.98.0" and "10.98.0.10" in d.said
    rows = d.ctl("raft", "members").stdout
    assert re.search(r"node3 .*witness", rows), rows
    assert d.status("node3", "/liveness") == 200 and d.status("node3", "/replica") == 503
    # A second start of what is there changes nothing; another mode is refused.
    leader = d.leader()
    assert script("up", "self-contained").returncode == 0
    assert d.leader() == leader
    answer = script("up", "etcd-backed")
    assert answer.returncode != 0 and "MODE=self-contained is there, with its data: make compose-down first" in answer.stderr
    d.ctl("edit-config", "--force", "-s", "ttl=5", "-s", "loop_wait=1", "-s", "retry_timeout=2")
    writer = d.writer("witness")
    writer.wait_writes(30)
    time.sleep(2)  # the members have heard of the new ttl
    d.kill(leader)
    d.wait_leader(other_than=leader)
    writer.wait_writes(60)
    d.recreate_empty(leader)
    told = d.verify([writer], may_lose=True)
    figures(f"witness: docker kill of {leader} at ttl 5, recreated with an empty volume: {told}")
    assert not checks.two_writers([writer.entries()])
    d.close()


def test_the_sizes(base, figures):
    """After the tests above: of the images that they made."""
    lines = docker("images", "--format", "{{.Repository}}:{{.Tag}} {{.Size}}").stdout.split("\n")
    ours = sorted(line for line in lines if line.startswith("pgquorum") or line.startswith(containers_base()))
    figures("images: " + ", ".join(ours))
    code = ("cd /usr/local/bin; stat -c '%s %n' pgquorum pgquorum-fence; "
            "dpkg-query -W -f '${Installed-Size} ${Package}\\n' $(cat /usr/local/share/pgquorum/packages)")
    rows = [line.split() for line in docker("run", "--rm", "pgquorum:compose", "sh", "-c", code).stdout.split("\n") if line]
    programs = sum(int(size) for size, name in rows[:2])
    only = {name: int(size) for size, name in rows[2:] if name in ("libuv1", "libhttp-parser2.9", "libjansson4", "libyaml-0-2", "libsqlite3-0")}
    figures(f"installed: programs {programs} bytes; libraries that PostgreSQL and curl have not, KiB: {only}")
    assert programs < 8 << 20


def containers_base():
    return os.environ.get("BASE", "debian:bookworm-slim").split(":")[0]
