"""On etcd's v2 API, which has no leases to revoke."""
from on_etcd import (  # noqa: F401
    failsafe,
    test_bootstrap_and_commands,
    test_switchover_goes_to_the_one_that_is_named,
    test_primary_without_etcd_stops_before_another_writes,
    test_etcd_is_killed_for_longer_than_the_ttl,
    test_key_is_removed,
    test_failsafe_mode_ends_with_the_first_member_that_is_silent,
)

STORE = "etcd"
