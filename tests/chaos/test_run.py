"""What make chaos and make soak play, and when it is drawn."""
import argparse
import concurrent.futures
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import run  # noqa: E402


def test_runs_are_drawn_when_there_is_room_for_them():
    drawn, begun_with = [], []

    def runs():
        for n in range(6):
            drawn.append(n)
            yield n

    def play(n):
        begun_with.append(len(drawn))
        return n
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        assert list(run.each(pool, play, runs(), 2)) == list(range(6))
    assert max(seen - n for n, seen in zip(range(6), sorted(begun_with))) <= 3


def test_a_soak_draws_the_same_for_a_seed_and_ends_with_its_time():
    first = [next(r) for r in [run.soak("", 1, 1)] for _ in range(5)]
    again = [next(r) for r in [run.soak("", 1, 1)] for _ in range(5)]
    assert first == again and all(how == "" for *_, how in first)
    assert list(run.soak("", 0, 1)) == []


def planned(only="", mode="", how=""):
    return run.plan(argparse.Namespace(only=only, mode=mode, how=how, all=False, seed=None))


def test_controls_follow_the_core_and_are_no_part_of_it_without_a_fence():
    assert planned("FS-01", "q", "--fence-off") == [("FS-01", "q", 1, "--fence-off")]
    core = planned()
    assert {how for *_, how in core[:-1]} == {""} and core[-1][0] == "FS-19" and core[-1][3] == "--control"
    without = planned(mode="sq", how="--fence-off")
    assert {mode for _, mode, _, _ in without} == {"s", "q"} and {how for *_, how in without} == {"--fence-off"}
