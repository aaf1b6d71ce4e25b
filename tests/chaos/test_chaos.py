"""The part of the chaos suite that make check runs: a process each, as run.py plays them."""
import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import run  # noqa: E402

BUILD = os.path.abspath(os.environ.get("BUILD", "build/debug"))
SEED = 1


@pytest.mark.parametrize("fault,mode", [("FS-01", "q"), ("FS-24", "a")])
def test_scenario(fault, mode):
    good, line, out = run.play(BUILD, fault, mode, SEED, False)
    print(line)
    assert good, out


@pytest.mark.rest
def test_two_writers_are_found_where_the_fence_is_off():
    run.fence_off(BUILD)
    good, line, out = run.play(BUILD, "FS-19", "a", SEED, True)
    print(line)
    assert good, out
