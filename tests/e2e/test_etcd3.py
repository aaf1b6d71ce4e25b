"""On etcd's v3 API."""
from on_etcd import (  # noqa: F401
    failsafe,
    test_bootstrap_and_commands,
    test_switchover_goes_to_the_one_that_is_named,
    test_lost_node,
    test_quorum_strict_loses_nothing,
    test_isolated_primary_stops_before_another_writes,
    test_everything_is_wiped,
    test_lease_of_the_key_is_revoked,
    test_failsafe_mode_outlives_etcd,
)

STORE = "etcd3"
