"""Patroni 3.0.2 on our own store, by etcd's v3 API. PATRONI_3 names the program; make e2e-rest installs one and names it."""
import pytest

from on_ours import *  # noqa: F401,F403
from rig import PATRONI_3 as PROGRAM

API = "etcd3"
pytestmark = [pytest.mark.rest, pytest.mark.skipif(not PROGRAM, reason="PATRONI_3 names no Patroni: make e2e-rest does")]
