"""Availability: silences and returns against their bounds. ttl 3, loop_wait 1, election_timeout 500: L1 and L4 are 7.5 s, L5 3.5 s, L8 6.5 s."""
import pytest

from checkers import availability, made
from checkers.made import ok, record

RUN = {"election_timeout_ms": 500}


def cycle(bounds, injected=10_000, healed=20_000, settled=22_000, end=30_000, number=1, **fields):
    given = bounds if isinstance(bounds, dict) else {b: 0 for b in bounds}
    return record("cycle", cycle=number, fault="cut", begin=9_000, injected=injected, healed=healed, settled=settled, end=end, bounds=given, **fields)


def writes(since=0, until=31_000, but=(0, 0), route="direct", timeline=1, every=100):
    """Acknowledged each tenth of a second; in `but` they are tried, and nobody answers."""
    return [ok(route, n, n, route=route, timeline=timeline, end=n + 50, result="fail" if but[0] <= n < but[1] else "ok") for n in range(since, until, every)]


def gap(length, at=12_000, route="direct"):
    return writes(but=(at, at + length), route=route)


GOOD = {
    "a failover of before, and one of after": writes(until=8_000, timeline=1) + writes(8_000, 30_500, timeline=2) + writes(30_500, timeline=3) + [cycle(["L7"])],
    "another timeline that nobody acknowledged": writes() + [ok("direct", 1, 15_000, route="direct", timeline=2, result="unknown")] + [cycle(["L7"])],
    "never silent": writes() + [cycle(["L1", "L5", "L6", "L7"])],
    "within L1": gap(7_300) + [cycle(["L1"])],
    "both ways": gap(7_000) + gap(7_000, route="haproxy") + [cycle(["L1"])],
    "within L2": gap(4_800) + [cycle(["L2"])],
    "within L2 and a crash recovery": gap(8_000) + [cycle({"L2": 5000})],
    "back within L4": gap(14_000) + [cycle(["L4"])],
    "a silence before the fault is none of it": gap(8_000, 500) + [cycle(["L1"])],
    "without bounds": gap(17_000) + [cycle([])],
    "within L8": gap(14_000) + [cycle(["L8"])],
    "nobody lets the client in": writes(until=11_000) + [ok("direct", 1, 20_500, route="direct", asked=11_000 * made.MS)] + writes(21_000)
                                 + [cycle(["L4"])],
    "within L6, synchronous": [cycle(["L6"])] + gap(2_500),
}
MODE = {"within L6, synchronous": {"mode": "quorum"}}
BAD = {
    "beyond L1": (gap(8_000) + [cycle(["L1"])], "silence", "L1: 8.1 s by direct, at most 7.5 s; it began 1.9 s"),
    "beyond L1 by the other way": (writes() + gap(8_000, route="haproxy") + [cycle(["L1"])], "silence", "by haproxy"),
    "beyond L2": (gap(5_500) + [cycle(["L2"])], "silence", "L2: 5.6 s by direct, at most 5.0 s"),
    "beyond L3": (gap(3_500) + [cycle(["L3"])], "silence", "L3"),
    "beyond L6": (gap(1_500) + [cycle(["L6"])], "silence", "L6: 1.6 s by direct, at most 1.0 s"),
    "silent until the end": (gap(25_000, 24_000) + [cycle(["L2"], end=30_500)], "silence", "6.5"),
    "silent since before the fault": (gap(7_000, 9_000) + [cycle(["L2"])], "silence", "L2"),
    "beyond L4": (gap(16_000) + [cycle(["L4"])], "too late", "L4: 8.1 s by direct, at most 7.5 s"),
    "beyond L8": (gap(14_900) + [cycle(["L8"])], "too late", "L8: 7.0 s by direct, at most 6.5 s"),
    "never again": (gap(20_000) + [cycle(["L4"])], "never again", "by direct"),
    "not whole in time": (writes() + [cycle(["L5"], settled=24_000)], "not whole in time", "L5: 4.0 s, at most 3.5 s"),
    "never whole": (writes() + [cycle(["L5"], settled=None)], "never whole", "cycle 1 of cut"),
    "a failover where none may be": (writes(until=15_000) + writes(15_000, timeline=2, route="haproxy") + writes(15_000, route="direct")
                                     + [cycle(["L7"])], "failover", "timelines [1, 2]"),
    "a promotion where none may be": (writes() + [cycle([]), record("promotion", node="b", at=12_000, timeline=2, from_timeline=1, lsn=250)], "failover",
                                      "b made timeline 2"),
    "no client": ([cycle(["L5"])], "nobody asked", "no write by direct or haproxy"),
    "the client has died": (writes(until=15_000) + [cycle([])], "nobody asked", "direct was silent itself, from 5.0 s"),
    "the client was away": (writes(until=11_000) + writes(20_000) + [cycle([])], "nobody asked", "from 0.9 s"),
    "no such bound": (writes() + [cycle(["L9"])], "unknown bound", "'L9'"),
}


def numbered(records):
    return [dict(r, n=i) if r["kind"] == "write" else r for i, r in enumerate(records)]


def settings(name):
    return dict(RUN, keep_epochs=name == "a promotion where none may be", **MODE.get(name, {}))


@pytest.mark.parametrize("name", GOOD)
def test_takes(name):
    made.accepted(availability, numbered(GOOD[name]), **settings(name))


@pytest.mark.parametrize("name", BAD)
def test_refuses(name):
    made.only(availability, numbered(BAD[name][0]), *BAD[name][1:], **settings(name))


def test_every_condition_is_needed():
    made.all_conditions(availability, BAD)


def test_a_loaded_host_has_more_time():
    result = made.accepted(availability, gap(16_000) + [cycle(["L1"])], **RUN, load_factor=3)
    assert result.numbers["L1 beyond_ms"] == 16_100 - 7_500  # from answer to answer
    assert "L1 beyond_ms" not in made.accepted(availability, GOOD["within L1"], **RUN, load_factor=3).numbers


def test_figures():
    numbers = availability.check(made.history(*GOOD["within L1"], **RUN)).numbers
    assert numbers == {"direct_silence_ms": 7400}
