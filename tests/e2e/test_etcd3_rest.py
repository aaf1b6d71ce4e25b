"""On etcd's v3 API: what check leaves to check-all."""
import pytest

from on_etcd import (  # noqa: F401
    failsafe,
    test_etcd_is_killed_for_longer_than_the_ttl,
    test_furthest_standby_takes_over,
    test_primary_without_etcd_stops_before_another_writes,
    test_diverged_primary_rejoins_by_rewind,
    test_key_is_removed,
    test_etcd_that_asks_for_certificates,
    test_etcd_that_asks_for_a_password_over_tls,
    test_etcd_of_three,
    test_failsafe_mode_ends_with_the_first_member_that_is_silent,
)

STORE = "etcd3"
pytestmark = pytest.mark.rest
