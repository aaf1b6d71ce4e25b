"""Checkers of a run's history (tests/chaos/history.py): each a pure function of it that gives a Result (result.py).

    judge(history) -> [Result, ...]

A run in which the fence never fires (run: "fence": off) is not held to what only the fence gives; as a control ("control") it is, and has to
be found out.
"""
import importlib

NAMES = ("injections", "dual", "sets", "ordering", "timelines", "final", "availability", "directory", "append", "register", "watch", "raft_logs", "lease")
NEEDS_FENCE = ("dual",)


def modules():
    return [importlib.import_module(f"checkers.{name}") for name in NAMES]


def judge(history, control=False):
    """What each checker says; those of which no record was found say that there is nothing."""
    off = history.run.get("fence") == "off" and not control
    return [m.check(history) for m in modules() if not (off and m.__name__.split(".")[-1] in NEEDS_FENCE)]
