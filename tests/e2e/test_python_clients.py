"""python-etcd (v2) and python3-etcd3 (v3 over gRPC) against three witnesses of ours. PYTHON_ETCD names a Python that has both; make
e2e-rest makes one and names it."""
import os
import subprocess

import pytest

import store_rig

HERE = os.path.dirname(os.path.abspath(__file__))
PYTHON_ETCD = os.environ.get("PYTHON_ETCD", "")
pytestmark = [pytest.mark.rest, pytest.mark.skipif(not PYTHON_ETCD, reason="PYTHON_ETCD names no Python with both: make e2e-rest does")]


@pytest.fixture(scope="module")
def store():
    rig = store_rig.StoreRig(os.path.abspath(os.environ.get("BUILD", "build/debug")), "ours")
    yield rig
    rig.close()


@pytest.mark.parametrize("name", ["python_etcd", "python_etcd3"])
def test_does_all_that_it_knows(store, name):
    hosts = ",".join(member.address for member in store.store.members.values())
    argv = ["ip", "netns", "exec", store.namespace("client"), PYTHON_ETCD, "-I", os.path.join(HERE, f"client_{name}.py"), hosts]
    answer = subprocess.run(argv, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)
    if answer.returncode != 0:
        store.show()
    assert answer.returncode == 0 and "is content" in answer.stdout, answer.stdout + answer.stderr
