"""REST interfaces that let in nobody without a certificate: HAProxy's checks have one, and all lives as before."""
import time

import pytest

import faults
from rig import ADDRESS, wait_for
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
