"""All checkers over one history."""
import checkers
from checkers import made
from checkers.made import ok, record
from checkers.test_injections import act
from checkers.test_sets import row, table

TWO_WRITERS = [ok("w", 1, 0, lsn=100), ok("v", 1, 10, "b", 2, 260), ok("w", 2, 12, lsn=300), *act(1), table(1, 90, [row("w", 1, 1, 100), row("v", 1, 2, 260)], "b", timeline=2)]


def verdicts(records, control=False, **fields):
    return {r.name: r.verdict for r in checkers.judge(made.history(*records, **fields), control)}


def test_each_says_what_it_found():
    found = verdicts(TWO_WRITERS)
    assert found["two writers"] == "bad" and found["injections"] == found["set"] == found["ordering"] == "good"
    assert found["final state"] == found["register"] == "nothing"


def test_without_a_fence_two_writers_are_none_but_in_a_control():
    assert "two writers" not in verdicts(TWO_WRITERS, fence="off")
    assert verdicts(TWO_WRITERS, control=True, fence="off")["two writers"] == "bad"


def test_people_are_told_the_figures_the_faults_and_where():
    lines = checkers.dual.check(made.history(*TWO_WRITERS)).lines()
    assert lines[0].startswith("two writers: bad (signs 3, terms 2, overlap_ms 1.0")
    assert lines[1] == ("    late write: a on timeline 1, 1.0 ms after b on timeline 2 (I1: an older timeline is written to after a newer one of another"
                        " node) [record 4, record 3]")


def test_many_faults_of_one_kind_are_counted():
    records = [ok("v", 1, 10, "b", 2)] + [ok("w", n, 20 + n) for n in range(50)]
    result = checkers.dual.check(made.history(*records))
    assert result.counts == {"late write": 50} and len(result.faults) == 20
    assert result.lines()[-1] == "    late write: and 30 more"


def test_names_and_conditions_are_told_apart():
    names = [m.NAME for m in checkers.modules()]
    assert len(set(names)) == len(names)
    assert all(text for m in checkers.modules() for text in m.CONDITIONS.values())
    assert record("exception", why="fence", begin=0, end=1)
