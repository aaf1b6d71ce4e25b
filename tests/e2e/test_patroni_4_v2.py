"""Patroni 4.1 on our own store, by etcd's v2 API. PATRONI names the program; make e2e-rest installs one and names it."""
import pytest

from on_ours import *  # noqa: F401,F403
from rig import PATRONI as PROGRAM

API = "etcd"
pytestmark = [pytest.mark.rest, pytest.mark.skipif(not PROGRAM, reason="PATRONI names no Patroni: make e2e-rest does")]
