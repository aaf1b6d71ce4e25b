"""Injections: the fault of the name, seen to work, with clients there."""
import pytest

from checkers import injections, made
from checkers.made import ok, record


def act(number, fault="cut", begin=10, end=12, seed=7, fired=True, **fields):
    same = dict(number=number, fault=fault, parameters={}, seed=seed, node="a")
    if "heals" in fields:
        same["heals"] = fields.pop("heals")
    return [record("injection", phase="before", at=begin, **same), record("injection", phase="after", at=end, fired=fired, **same, **fields)]


def cycle(injected=10, healed=50):
    return record("cycle", cycle=1, fault="cut", begin=5, injected=injected, healed=healed, end=90, bounds={})


WHOLE = act(1) + act(2, begin=40, end=41, heals=1) + [cycle(), ok("w", 1, 20)]
GOOD = {
    "a cut and its end": WHOLE,
    "two faults, one of them named": WHOLE + act(3, "delay"),
    "one that did nothing beside one that did": WHOLE + act(3, fired=False),
    "without cycles": act(1),
    "an unknown outcome was somebody too": act(1) + [cycle(), ok("w", 1, 20, result="unknown")],
}
BAD = {
    "another fault": (act(1, "delay"), "named fault never fired", "cut; what did is ['delay']"),
    "did nothing": (act(1, fired=False), "named fault never fired", "cut; what did is []"),
    "the end alone": (act(1, fired=False) + act(2, begin=40, end=41, heals=1), "named fault never fired", "cut"),
    "still in it": (WHOLE + act(3)[:1], "never returned", "cut, number 3"),
    "not written down before": (WHOLE + act(3)[1:], "not begun", "cut, number 3"),
    "failed": (WHOLE + act(3, fired=False, error="no such process"), "failed", "no such process"),
    "before it began": (WHOLE + act(3, begin=12, end=11), "out of order", "number 3"),
    "ends what never was": (WHOLE + act(3, heals=9), "heals nothing", "ends number 9"),
    "ends what comes later": (act(1) + act(2, begin=5, end=6, heals=1), "heals nothing", "ends number 1"),
    "not the run's seed": (WHOLE + act(3, seed=8), "another seed", "8, and the run's is 7"),
    "nobody writes": (act(1) + [cycle()], "nobody looked", "cycle 1 after cut"),
    "writes before and after": (act(1) + [cycle(), ok("w", 1, 8), ok("w", 2, 91)], "nobody looked", "cycle 1"),
}


@pytest.mark.parametrize("name", GOOD)
def test_takes(name):
    made.accepted(injections, GOOD[name])


@pytest.mark.parametrize("name", BAD)
def test_refuses(name):
    made.only(injections, *BAD[name])


def test_every_condition_is_needed():
    made.all_conditions(injections, BAD)


def test_without_any_the_named_fault_never_fired():
    assert made.conditions(injections.check(made.history())) == {"named fault never fired"}
