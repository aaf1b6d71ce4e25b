"""What clients of etcd's API are promised holds while leaders are lost: each key is a register, each watch sees every change once and in
order, a lease that was kept alive is alive. The same clients run against a real etcd, which shows that it is not they who make it so."""
import os
import signal
import subprocess
import time

import pytest

import etcd_history
import store_rig
from network import wait_for

V3 = {"clients": [["v3", 0, "stay"], ["v3", 1, "stay"], ["v3", 2, "stay"], ["v3", 0, "move"], ["v3", 1, "move"], ["ctl", 2, "stay"]],
      "watchers": [["v3", 0, "stay"], ["v3", 1, "stay"], ["v3", 2, "stay"], ["v3", 0, "move"], ["ctl", 1, "stay"]]}
V2 = {"clients": [["v2", 0, "stay"], ["v2", 1, "stay"], ["v2", 2, "stay"], ["v2", 0, "move"], ["v2", 1, "move"]],
      "watchers": [["v2", 0, "stay"], ["v2", 1, "stay"], ["v2", 2, "stay"], ["v2", 0, "move"]]}
DOWN = 2.0  # seconds that a fault lasts after there is a new leader


@pytest.fixture(scope="module")
def rigs():
    have = {}

    def get(kind):
        if kind in have and have[kind].broken:
            have.pop(kind).close()
        if kind not in have:
            have[kind] = store_rig.StoreRig(os.path.abspath(os.environ.get("BUILD", "build/debug")), kind)
        return have[kind]

    yield get
    for rig in have.values():
        rig.close()


def another_leads(rig, leader):
    rig.wait_leader(but=leader)
    time.sleep(DOWN)


def leader_is_cut_off(rig, leader):
    """From the other members: its clients go on asking it."""
    rig.cut(leader.host, rig.others(leader))
    another_leads(rig, leader)
    rig.heal()


def leader_is_isolated(rig, leader):
    rig.isolate(leader.host)
    another_leads(rig, leader)
    rig.heal()


def leader_hears_nobody(rig, leader):
    """One way: what it sends arrives."""
    sources = ", ".join(rig.addresses[h] for h in rig.others(leader))
    rig.nft(f"add rule bridge cut links oifname {rig.port(leader.host)} ip saddr {{ {sources} }} drop")
    another_leads(rig, leader)
    rig.heal()


def leader_is_paused(rig, leader):
    leader.kill(signal.SIGSTOP)
    another_leads(rig, leader)
    leader.kill(signal.SIGCONT)


def leader_is_killed(rig, leader):
    leader.kill()
    another_leads(rig, leader)
    leader.start()


def everybody_is_cut_off(rig, leader):
    """No majority: nothing may be acknowledged that is not kept."""
    for member in rig.store.members.values():
        rig.cut(member.host, rig.others(member))
    time.sleep(2 * DOWN)
    rig.heal()


def follower_is_cut_off(rig, leader):
    """Its watchers and readers fall behind; its clients' writes wait, or have an error."""
    follower = next(m for m in rig.store.members.values() if m is not leader)
    rig.cut(follower.host, rig.others(follower))
    time.sleep(DOWN)
    rig.heal()


FAULTS = [leader_is_cut_off, leader_is_paused, leader_is_killed, leader_hears_nobody, leader_is_isolated, everybody_is_cut_off, follower_is_cut_off]


def ended(clients):
    """Their status; if they do not end, they are made to say where they are."""
    try:
        return clients.wait(90)
    except subprocess.TimeoutExpired:
        clients.send_signal(signal.SIGUSR1)
        time.sleep(1)
        raise


def run(rig, loads, faults):
    """The faults one after the other under all loads; what the clients of each have noted."""
    running = [rig.load(**load) for load in loads]
    try:
        time.sleep(1)
        for fault in faults:
            before = rig.wait_leader()
            begin = time.monotonic()
            fault(rig, before)
            wait_for("all members are back", rig.store.healthy, 30)
            end = time.monotonic()
            time.sleep(1)
            print(f"{fault.__name__}: {before.host} led, {rig.wait_leader().host} leads, {end - begin:.1f} s")
    except BaseException:
        rig.broken = True
        rig.show()
        raise
    finally:
        for clients in running:
            clients.send_signal(signal.SIGTERM)
        statuses = [ended(clients) for clients in running]
    assert not any(statuses), "clients have not come to their end"
    histories = [etcd_history.History(clients.out) for clients in running]
    for history, load in zip(histories, loads):
        print(history.figures())
        assert history.last is not None, "clients have not come to their end"
        assert history.count() > 50 * len(faults), "too little was done to mean anything"
        done = {name: count for name, count in history.by_client().items() if name.startswith("client")}
        assert len(done) == len(load["clients"]) and min(done.values()) >= 5 * len(faults), f"clients that did too little: {done}"
        assert len(history.sessions) > len(load["watchers"]) + 3, "nobody came back to watch on"
        if load.get("leases"):
            there = {look["key"] for look in history.looks if look["value"] == "held"}
            assert len(history.released) == load["leases"] and set(history.released) <= there, "leases that nobody looked at"
    return histories


def check_run(rig, loads, faults):
    for history in run(rig, loads, faults):
        wrong = history.check()
        assert not wrong, f"{len(wrong)} faults:\n" + "\n".join(wrong[:20])


def loads(seed=1, leases=2):
    """Of both APIs, side by side, each on keys of its own."""
    return [dict(V3, seed=seed, leases=leases), dict(V2, seed=seed)]


def test_ours_while_leaders_are_lost(rigs):
    check_run(rigs("ours"), loads(), [leader_is_cut_off, leader_is_paused, leader_is_killed])


@pytest.mark.rest
@pytest.mark.parametrize("seed", range(3))
def test_ours_under_every_fault(rigs, seed):
    check_run(rigs("ours"), loads(seed), FAULTS * 2)


@pytest.mark.rest
def test_a_real_etcd_under_every_fault(rigs):
    """Without leases: cut off from the others, etcd 3.4.23 goes on acknowledging keepalives of leases that end elsewhere."""
    check_run(rigs("etcd"), loads(leases=0), FAULTS)


@pytest.mark.rest
@pytest.mark.parametrize("kind", ["ours", "etcd"])
def test_stale_reads_are_found_out(rigs, kind):
    """Reads of what the asked member happens to have are no register: the checker has to say so."""
    load = dict(V3, clients=[["stale", i, "stay"] for i in (0, 1, 2)] + [["v3", i, "move"] for i in (0, 1, 2)])
    [history] = run(rigs(kind), [load], [leader_is_cut_off, follower_is_cut_off])
    assert any("cannot have happened" in text for text in history.check())
