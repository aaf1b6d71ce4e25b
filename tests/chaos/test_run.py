"""What make chaos and make soak play, and when it is drawn."""
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
    assert first == again and all(control is False for *_, control in first)
    assert list(run.soak("", 0, 1)) == []
