"""The checkers find the history's format beside them, and the searches they share with tests/e2e there."""
import os
import sys

CHAOS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
for directory in (os.path.join(os.path.dirname(CHAOS), "e2e"), CHAOS):
    if directory not in sys.path:
        sys.path.insert(0, directory)
