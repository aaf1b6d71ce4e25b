"""The checkers of the writers' records: what they must find, and what they must not mind."""
import json
import types

import checks
import faults


def ok(n, begin, end, node="a", timeline=1):
    return {"n": n, "begin": begin, "end": end, "result": "ok", "node": node, "timeline": timeline}


def test_two_writers_one_after_the_other_are_none():
    assert not checks.two_writers([[ok(1, 0, 1), ok(2, 1, 2)], [ok(1, 3, 4, "b", 2)]])


def test_an_answer_that_comes_late_is_no_second_writer():
    assert not checks.two_writers([[ok(1, 0, 5)], [ok(1, 3, 4, "b", 2)]])


def test_a_write_that_began_after_the_next_primary_had_acknowledged_is():
    assert checks.two_writers([[ok(1, 0, 1), ok(2, 4.5, 5)], [ok(1, 3, 4, "b", 2)]])


def test_a_primary_that_comes_back_on_a_new_timeline_is_none():
    assert not checks.two_writers([[ok(1, 0, 1), ok(2, 5, 6, "a", 3)], [ok(1, 3, 4, "b", 2)]])


def test_the_end_of_what_a_primary_acknowledged_may_be_lost():
    writers = {"w": [ok(1, 0, 1), ok(2, 2, 3), ok(3, 4, 5, "b", 2)], "v": [ok(1, 0, 1)]}
    assert checks.holes({"w": [2], "v": []}, writers) == []
    assert checks.holes({"w": [1, 2], "v": [1]}, writers) == []


def test_nothing_before_the_end_may_be():
    writers = {"w": [ok(1, 0, 1), ok(2, 2, 3), ok(3, 4, 5, "b", 2)], "v": [ok(7, 0, 1), ok(8, 4, 4.5)]}
    assert checks.holes({"w": [1], "v": []}, writers) == [("w", 1)]
    assert checks.holes({"w": [2], "v": []}, writers) == [("w", 2)], "what another client wrote later is there"
    assert checks.holes({"w": [2], "v": [8]}, writers) == []


def test_writes_beside_each_other_have_no_order():
    assert checks.holes({"w": [1], "v": []}, {"w": [ok(1, 0, 2)], "v": [ok(1, 1, 3)]}) == []


def test_a_silence_that_does_not_end_counts():
    entries = [ok(1, 0, 1), ok(2, 1, 2), {"n": 3, "begin": 2, "end": 9, "result": "fail"}]
    assert checks.gap(entries) == 1
    assert checks.gap(entries, 0, 10) == 8
    assert checks.gap([], 0, 10) == float("inf")


def test_nobody_has_caught_up_with_a_leader_that_is_not_there():
    class Rig:
        def leader(self):
            return None

        def sql(self, node, _query):
            return node.name  # as Rig's: a node that is None has none

    class Node:
        name = "node1"
    assert not faults.has_caught_up(Rig(), Node())


def test_entries_are_read_from_a_moment_on(tmp_path):
    writer = types.SimpleNamespace(out=str(tmp_path / "out"))
    with open(writer.out, "w") as f:
        f.write("".join(json.dumps(ok(n, n, n + 1)) + "\n" for n in range(4)) + '{"n": 4, "be')
    assert [e["n"] for e in checks.read(writer)] == [0, 1, 2, 3]
    assert [e["n"] for e in checks.read(writer, 2)] == [2, 3]
    assert checks.read(writer, 9) == []
