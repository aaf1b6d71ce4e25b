"""Standby clusters with an etcd as the store and the document's own file; see standby.py."""
import pytest

import standby as common
from standby import *  # noqa: F401,F403

pytestmark = pytest.mark.rest
assert common


@pytest.fixture
def times():
    return {"store": "etcd3", "ttl": 5, "loop_wait": 1, "retry_timeout": 2}
