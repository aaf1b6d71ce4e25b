"""Real Patronis on our own store behind certificates, and behind a user; see patroni_smoke.py."""
import os

import pytest

import patroni_smoke
from rig import PATRONI, PATRONI_DEBIAN

UNKNOWN_USER = {"etcd": "Insufficient credentials", "etcd3": "user name is empty"}
PROGRAMS = {"3": PATRONI_DEBIAN, "4": PATRONI}
pytestmark = [pytest.mark.rest, pytest.mark.skipif(not PATRONI, reason="PATRONI names no Patroni: make e2e-rest does")]


def stranger(r, *without):
    """Our command (patronictl would ask for good) with a file that lacks these keys of the store's section."""
    node = r.nodes["node1"]
    own, node.config = node.config, os.path.join(r.home, "stranger.yml")
    with open(own) as f:
        lines = [line for line in f if line.split(":")[0] not in ["  " + key for key in without]]
    with open(node.config, "w") as f:
        f.writelines(lines)
    try:
        return r.ctl("list", check=False)
    finally:
        node.config = own


@pytest.mark.parametrize("api", ["etcd", "etcd3"])
@pytest.mark.parametrize("release", list(PROGRAMS))
def test_certificates_of_both_sides(make_rig, api, release):
    r = patroni_smoke.lives(make_rig, api, PROGRAMS[release], etcd_tls=True)
    answer = stranger(r, "cert", "key")
    assert answer.returncode == 1 and "certificate" in answer.stderr, answer.stdout + answer.stderr


@pytest.mark.parametrize("api", ["etcd", "etcd3"])
@pytest.mark.parametrize("release", list(PROGRAMS))
def test_user_and_password(make_rig, api, release):
    r = patroni_smoke.lives(make_rig, api, PROGRAMS[release], etcd_user=True)
    answer = stranger(r, "username", "password")
    assert answer.returncode == 1 and UNKNOWN_USER[api] in answer.stderr, answer.stdout + answer.stderr
