#!/usr/bin/python3
"""Section rulers, "/* --- title ------ */", end at column 100: clang-format would break longer ones over three lines."""
import re
import sys

RULER = re.compile(r"^/\* --- ([^\n]*?)(?: -+)?(?:\n \* -+\s*| -+ )\*/$", re.M)


def ruler(match):
    start = f"/* --- {match.group(1).strip()} "
    return start + "-" * (97 - len(start)) + " */"


for path in sys.argv[1:]:
    with open(path, encoding="utf-8") as file:
        text = file.read()
    changed = RULER.sub(ruler, text)
    if changed != text:
        with open(path, "w", encoding="utf-8") as file:
            file.write(changed)
