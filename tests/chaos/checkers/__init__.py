"""Checkers of a run's history (tests/chaos/history.py): each a pure function of it that gives a Result (result.py)."""
