"""Patroni 4.1 and ours on one etcd. PATRONI names the program; make e2e-rest installs one and names it.

Not below /tmp: a node has one of its own.
"""
import os

import pytest

from mixed import *  # noqa: F401,F403
from rig import PATRONI

ALL = {
    "one_patroni": {"store": "etcd3", "patroni": ("node1",)},
    "two_patronis": {"store": "etcd", "patroni": ("node1", "node2")},
    "one_patroni_v2": {"store": "etcd", "patroni": ("node1",)},
    "two_patronis_v3": {"store": "etcd3", "patroni": ("node1", "node2")},
}
ARRANGEMENTS = {name: ALL[name] for name in os.environ.get("MIXED", "one_patroni two_patronis").split()}
pytestmark = [pytest.mark.rest, pytest.mark.skipif(not PATRONI, reason="PATRONI names no Patroni: make e2e-rest does")]
