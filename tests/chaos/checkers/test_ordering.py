"""Order of rows: positions, timelines, branches."""
import pytest

from checkers import made, ordering
from checkers.made import ok, record
from checkers.test_sets import row, table


def timelines(node, files, timeline, at=99, role="primary", lsn=0):
    return record("timelines", node=node, at=at, timeline=timeline, role=role, files=files, lsn=lsn)


A = [ok("w", 1, 0, lsn=100), ok("w", 2, 10, lsn=200), ok("w", 3, 20, lsn=300)]
B = [ok("v", 1, 40, "b", 2, 260), ok("v", 2, 50, "b", 2, 270)]
LEFT = timelines("b", {"2": [[1, 250, "no recovery target specified"]]}, 2)
ROWS = [row("w", 1, 1, 100), row("w", 2, 1, 200), row("v", 1, 2, 260), row("v", 2, 2, 270)]
GOOD = {
    "of some nothing is told": A + [ok("w", 4, 30), dict(ok("w", 5, 40, lsn=1), timeline=None), ok("w", 6, 50, lsn=5, result="unknown")],
    "one timeline": A + [table(1, 90, [row("w", 1, 1, 100), row("w", 2, 1, 200), row("w", 3, 1, 300)]), timelines("a", {}, 1)],
    "the end was lost": A + B + [LEFT, table(1, 90, ROWS, "b", timeline=2)],
    "beside each other in any order": [ok("w", 1, 0, lsn=200, end=20), ok("v", 1, 10, lsn=100, end=20)],
    "a lower position on the next timeline": A + B + [LEFT],
    "lost, and nothing shows where it was committed": A[:2] + B + [LEFT, table(1, 90, [ROWS[0], *ROWS[2:]], "b", timeline=2)],
    "lost behind the switch": [ok("w", 1, 0, lsn=260), ok("w", 2, 10, lsn=300), LEFT, table(1, 90, [], "b", timeline=2)],
    "two switches": A[:2] + B + [timelines("c", {"3": [[1, 250, ""], [2, 300, ""]]}, 3), table(1, 90, ROWS, "c", timeline=3)],
    "a file that is not known": A + B + [timelines("b", {}, 2), table(1, 90, ROWS, "b", timeline=2)],
    "tables of before the last switch": A + [table(1, 30, [row("w", 3, 1, 300)]), timelines("b", {"2": [[1, 250, ""]]}, 2)],
    "two nodes one after the other": A + B + [ok("w", 4, 60, "a", 3, 280)],
    "warned, and its row": A + [ok("w", 4, 30, lsn=400, result="warned"), table(1, 90, [row("w", 4, 1, 400)])],
}
BAD = {
    "lost, and the next was begun at the switch": ([ok("w", 1, 0, lsn=100), ok("w", 2, 10, lsn=250), LEFT, table(1, 90, [], "b", timeline=2)], "lost before the switch",
                                                   "(w, 2) was begun after it at 250"),
    "another position": (A + [table(1, 90, [row("w", 1, 1, 101)])], "another row", "(w, 1) is 1/101 on a"),
    "another timeline": (A + [table(1, 90, [row("w", 1, 2, 100)])], "another row", "(w, 1) is 2/100 on a"),
    "back": (A + [ok("w", 4, 30, lsn=250)], "position went back", "(w, 4) at 250 of timeline 1 on a, after (w, 3) at 300"),
    "same position": (A + [ok("u", 4, 30, lsn=300)], "position went back", "(u, 4) at 300"),
    "node goes back": (A + [ok("w", 4, 30, "a", 2, 400), ok("w", 5, 40, "a", 1, 500)], "timeline went back", "a on timeline 1 after 2"),
    "behind the switch": (A + B + [LEFT, table(1, 90, ROWS + [row("w", 3, 1, 300)], "b", timeline=2)], "beyond the switch", "(w, 3) at 300"),
    "at the switch": ([ok("w", 1, 0, lsn=250), LEFT, table(1, 90, [row("w", 1, 1, 250)], "b", timeline=2)], "beyond the switch", "(w, 1) at 250"),
    "of another branch": (A + [ok("x", 1, 40, "c", 2, 255), timelines("b", {"3": [[1, 250, ""]]}, 3),
                               table(1, 90, ROWS[:2] + [row("x", 1, 2, 255)], "b", timeline=3)], "of no ancestor", "(x, 1) of timeline 2"),
    "lost though it was committed before": (A + B + [LEFT, table(1, 90, ROWS[1:], "b", timeline=2)], "lost before the switch",
                                            "(w, 1) of timeline 1, which was left at 250, and (w, 2) was begun after it at 200"),
}


@pytest.mark.parametrize("name", GOOD)
def test_takes(name):
    made.accepted(ordering, GOOD[name])


@pytest.mark.parametrize("name", BAD)
def test_refuses(name):
    made.only(ordering, *BAD[name])


def test_every_condition_is_needed():
    made.all_conditions(ordering, BAD)


def test_a_hundred_thousand_rows_take_seconds():
    records = [ok("w", n, n, lsn=n * 10) for n in range(100_000)]
    rows = [row("w", n, 1, n * 10) for n in range(100_000)]
    made.accepted(ordering, records + [table(1, 200_000, rows), timelines("a", {}, 1)])
