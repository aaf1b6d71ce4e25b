"""Patroni 3.0.2 and ours on one etcd. PATRONI_3 names the program; make e2e-rest installs one and names it."""
import pytest

from mixed import *  # noqa: F401,F403
from rig import PATRONI_3

ARRANGEMENTS = {
    "one_patroni_v2": {"store": "etcd", "patroni": ("node1",), "program": PATRONI_3},
    "two_patronis_v3": {"store": "etcd3", "patroni": ("node1", "node2"), "program": PATRONI_3},
}
pytestmark = [pytest.mark.rest, pytest.mark.skipif(not PATRONI_3, reason="PATRONI_3 names no Patroni: make e2e-rest does")]
