"""REST interfaces that let in nobody without a certificate: HAProxy's checks have one, real `patronictl`s do, and all lives as before."""
import os
import subprocess
import time

import pytest

import faults
from rig import ADDRESS, ETCD_TIMES, PATRONI, PATRONI_DEBIAN, wait_for
from test_rest_security import CTL, SECURED, ask, start

REQUIRED = SECURED + "  verify_client: required\n" + CTL
pytestmark = pytest.mark.rest
CHECK = "check-ssl verify required ca-file {home}/authority.crt crt {home}/haproxy.pem"


@pytest.fixture
def required(make_rig):
    """HAProxy has the document's file as it is, but for what its checks need."""
    r = make_rig(restapi=REQUIRED, fast_haproxy=False)
    r.check = CHECK.format(home=r.home)
    return r


def states(r):
    try:
        return r.haproxy_states()
    except OSError:
        return []


def test_haproxy_finds_the_primary_with_a_certificate_of_its_own(required):
    start(required)
    wait_for("HAProxy finds one of three", lambda: states(required) == ["DOWN", "DOWN", "UP"], 30)
    print(faults.switchover(required))
    print(faults.node_lost(required))


@pytest.mark.parametrize("words", ["check-ssl verify none", "ssl verify none crt {home}/haproxy.pem"])
def test_haproxy_without_one_or_with_tls_to_postgresql_serves_nobody(required, words):
    required.check = words.format(home=required.home)
    start(required)
    if words.startswith("check-ssl"):
        wait_for("HAProxy finds nobody", lambda: states(required) == ["DOWN", "DOWN", "DOWN"], 30)
    writer = required.writer("haproxy", ADDRESS["lb"], port=5000, read_write=False)
    time.sleep(5)
    assert faults.Load.acknowledged(writer) == 0
    assert ask(required, required.leader(), "GET", "/primary", who=required.client)[0] == 200
    assert ask(required, required.leader(), "GET", "/primary")[0] == 0


def patronictl(r, program, file, *args):
    argv = ["ip", "netns", "exec", r.namespace("client"), program + "ctl", "-c", file, *args]
    answer = subprocess.run(argv, capture_output=True, text=True, timeout=90, stdin=subprocess.DEVNULL, check=False)
    print("patronictl", *args, "->", answer.returncode, answer.stdout, answer.stderr[-500:])
    return answer.stdout + answer.stderr


@pytest.mark.parametrize("program", [pytest.param(PATRONI_DEBIAN, id="3.0.2"), pytest.param(PATRONI, id="4.1")])
def test_patronictl_is_let_in_with_one(make_rig, program):
    """By the file of one of our members."""
    if not program:
        pytest.skip("PATRONI names no Patroni: make e2e-rest does")
    r = make_rig(store="etcd3", restapi=REQUIRED + "  cacert: {home}/rest-ca.crt\n", **ETCD_TIMES)
    r.check = CHECK.format(home=r.home)
    start(r)
    file, none = r.nodes["node1"].config, os.path.join(r.home, "no-certificate.yml")
    with open(file) as f:
        lines = [line for line in f if line.split(":")[0] not in ("  certfile", "  keyfile")]  # 3.0.2 would take the one of restapi
    with open(none, "w") as f:
        f.writelines(lines)
    old, named = r.leader(), r.replicas()[0]
    assert "certificate required" in patronictl(r, program, none, "reload", "postgres", named.name, "--force")
    before = r.sql(named, "SELECT pg_postmaster_start_time()")
    assert f"Success: restart on member {named.name}" in patronictl(r, program, file, "restart", "postgres", named.name, "--force")
    assert r.sql(named, "SELECT pg_postmaster_start_time()") != before
    r.wait_healthy()
    said = patronictl(r, program, file, "switchover", "--leader", old.name, "--candidate", named.name, "--force")
    assert f'Successfully switched over to "{named.name}"' in said
    r.wait_healthy()
    assert r.leader() is named
    assert f"Reload request received for member {old.name}" in patronictl(r, program, file, "reload", "postgres", old.name, "--force")
