"""On etcd's v2 API: what check leaves to check-all."""
import pytest

from on_etcd import (  # noqa: F401
    failsafe,
    test_lost_node,
    test_isolated_primary_stops_before_another_writes,
    test_furthest_standby_takes_over,
    test_quorum_strict_loses_nothing,
    test_diverged_primary_rejoins_by_rewind,
    test_everything_is_wiped,
    test_etcd_that_asks_for_certificates,
    test_failsafe_mode_outlives_etcd,
)

STORE = "etcd"
pytestmark = pytest.mark.rest
