"""Debian's Patroni on our own store, by etcd's v2 API; see patroni_smoke.py. One file each, so that both are run at a time."""
import patroni_smoke


def test_patroni_lives_on_v2(make_rig):
    patroni_smoke.lives(make_rig, "etcd")
