"""docs/checkers.md says what each checker refuses."""
import os

import checkers

PAGE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "..", "docs", "checkers.md")


def test_the_table_has_each_checker_and_each_condition():
    with open(PAGE) as f:
        rows = {line.split("|")[1].strip(): line.split("|")[3].strip() for line in f if line.startswith("| ") and line.count("|") == 4}
    for module in checkers.modules():
        told = {text.split("(")[0].strip() for text in rows[module.NAME].split(";")}
        assert told == set(module.CONDITIONS), f"{module.NAME}: {told ^ set(module.CONDITIONS)}"
