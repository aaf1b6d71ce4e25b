"""The watch checker itself: a story that holds is taken; each way to spoil it is refused, and named."""
import copy
import threading

import pytest

import check_watch
import etcd_history
import etcd_load


def event(revision, key, value, **fields):
    return dict(fields, revision=revision, key=key, value=value)


def batch(at, *events, header=None):
    return {"at": at, "header": header if header is not None else events[-1]["revision"], "events": list(events)}


def session(watcher, begin, *batches, node="n1"):
    return {"watcher": watcher, "node": node, "from": begin, "batches": list(batches)}


def write(begin, revision, *changes, result="ok"):
    return {"begin": begin, "end": begin + 1, "result": result, "changes": [list(c) for c in changes], "revision": revision}


def read(begin, revision, found, linearizable=True):
    return {"begin": begin, "end": begin + 1, "revision": revision, "linearizable": linearizable, "found": found}


def story():
    """Five writes: two keys, a transaction of three, a deletion, one whose outcome is unknown; three watchers, one of which moved."""
    two = event(2, "a", "1", version=1, created=2, before=None)
    three = event(3, "a", "2", version=2, created=2, before="1")
    four = [event(4, "b", "3", version=1, created=4, before=None), event(4, "c", "4", version=1, created=4, before=None),
            event(4, "a", None, before="2")]
    five = event(5, "a", "5", version=1, created=5, before=None)
    six = event(6, "b", "6", version=2, created=4, before="3")
    return {
        "writes": [write(10, 2, ("a", "1")), write(20, 3, ("a", "2")), write(30, 4, ("b", "3"), ("c", "4"), ("a", None)),
                   write(40, None, ("a", "5"), result="unknown"), write(45, None, ("x", "y"), result="fail"),
                   write(46, None, ("x", "z"), result="unknown"), write(50, 6, ("b", "6"))],
        "reads": [read(12, 2, {"a": ["1", 2]}), read(32, 4, {"b": ["3", 4], "c": ["4", 4]}),
                  read(60, 6, {"a": ["5", 5], "b": ["6", 6], "c": ["4", 4]}), read(60, 3, {"a": ["2", 3]}, linearizable=False)],
        "sessions": [
            session("w1", 1, batch(11, two), batch(21, three), batch(31, *four), batch(51, five, six)),
            session("w2", 1, batch(11, two), batch(22, three)),
            session("w2", 4, batch(33, *four), batch(44, five), batch(52, six), batch(53, header=6), node="n2"),
            session("late", 3, batch(60, three, *four, five, six), node="n3"),
        ],
    }


def faults(spoiled):
    return check_watch.check(spoiled["writes"], spoiled["reads"], spoiled["sessions"])


def test_takes_what_holds():
    assert faults(story()) == []


def test_takes_what_never_happened():
    assert check_watch.check([], [read(1, 1, {})], [session("w", 1)]) == []


def lost(s):
    del s["sessions"][0]["batches"][1]


def lost_at_the_start(s):
    del s["sessions"][2]["batches"][0]


def lost_below_a_progress_notice(s):
    del s["sessions"][2]["batches"][2]


def stopped(s):
    s["sessions"][0]["batches"].pop()


def came_twice(s):
    s["sessions"][0]["batches"].insert(2, dict(s["sessions"][0]["batches"][1], at=23))


def came_twice_in_one_batch(s):
    events = s["sessions"][0]["batches"][1]["events"]
    events.append(copy.deepcopy(events[0]))


def came_twice_after_a_reconnect(s):
    s["sessions"][2]["from"] = 3
    s["sessions"][2]["batches"].insert(0, batch(32, event(3, "a", "2")))


def out_of_order(s):
    batches = s["sessions"][0]["batches"]
    batches[1]["events"], batches[2]["events"] = batches[2]["events"], batches[1]["events"]


def out_of_order_in_a_batch(s):
    s["sessions"][3]["batches"][0]["events"].reverse()


def below_the_start(s):
    s["sessions"][3]["from"] = 4


def transaction_in_pieces(s):
    batches = s["sessions"][0]["batches"]
    events = batches[2]["events"]
    batches[2:3] = [batch(31, *events[:1]), batch(32, *events[1:])]


def part_of_a_transaction(s):
    del s["sessions"][3]["batches"][0]["events"][2]


def watchers_disagree(s):
    s["sessions"][1]["batches"][1]["events"][0] = event(3, "a", "other")


def watchers_disagree_about_order(s):
    events = s["sessions"][2]["batches"][0]["events"]
    events[0], events[1] = events[1], events[0]


def acknowledged_write_is_nowhere(s):
    s["writes"].append(write(70, 7, ("a", "7")))


def acknowledged_write_is_elsewhere(s):
    s["writes"][1]["revision"] = 7


def refused_write_is_there(s):
    s["writes"][0]["result"] = "fail"


def nobody_wrote_it(s):
    del s["writes"][0]


def unknown_write_happened_twice(s):
    del s["writes"][6]
    for own in s["sessions"]:
        for b in own["batches"]:
            b["events"] = [event(6, "a", "5") if e["revision"] == 6 else e for e in b["events"]]
    s["reads"][2]["found"] = {"a": ["5", 6], "b": ["3", 4], "c": ["4", 4]}


def half_of_a_transaction_happened(s):
    s["writes"][2].update(result="unknown", revision=None)
    for own in s["sessions"]:
        for b in own["batches"]:
            b["events"] = [e for e in b["events"] if e["key"] != "c"]


def wrong_version(s):
    s["sessions"][0]["batches"][1]["events"][0]["version"] = 3


def wrong_creation(s):
    s["sessions"][0]["batches"][1]["events"][0]["created"] = 3


def wrong_value_before(s):
    s["sessions"][0]["batches"][1]["events"][0]["before"] = None


def deleted_what_was_not_there(s):
    s["writes"].append(write(70, 7, ("q", None)))
    for own in s["sessions"][:1] + s["sessions"][2:]:
        own["batches"].append(batch(71, event(7, "q", None)))


def key_twice_in_a_transaction(s):
    for own in s["sessions"]:
        for b in own["batches"]:
            for e in b["events"]:
                if e["revision"] == 4 and e["key"] == "c":
                    e["key"] = "b"


def stale_read(s):
    s["reads"].append(read(70, 3, {"a": ["2", 3]}))


def read_of_the_future(s):
    s["reads"][0].update(revision=4, found={"b": ["3", 4], "c": ["4", 4]})


def read_of_no_page(s):
    s["reads"][3]["found"] = {"a": ["1", 2]}


def read_across_a_transaction(s):
    s["reads"][1]["found"] = {"b": ["3", 4]}


def revisions_against_time(s):
    s["writes"][0]["begin"], s["writes"][0]["end"] = 55, 56


def shown_before_it_began(s):
    s["sessions"][0]["batches"][3]["at"] = 41


def went_on_elsewhere(s):
    s["sessions"][2]["from"] = 5
    del s["sessions"][2]["batches"][0]


def header_behind_its_events(s):
    s["sessions"][3]["batches"][0]["header"] = 5


SPOILED = [lost, lost_at_the_start, lost_below_a_progress_notice, stopped, came_twice, came_twice_in_one_batch, came_twice_after_a_reconnect,
           out_of_order, out_of_order_in_a_batch, below_the_start, transaction_in_pieces, part_of_a_transaction, watchers_disagree,
           watchers_disagree_about_order, acknowledged_write_is_nowhere, acknowledged_write_is_elsewhere, refused_write_is_there,
           nobody_wrote_it, unknown_write_happened_twice, half_of_a_transaction_happened, wrong_version, wrong_creation,
           wrong_value_before, deleted_what_was_not_there, key_twice_in_a_transaction, stale_read, read_of_the_future, read_of_no_page,
           read_across_a_transaction, revisions_against_time, shown_before_it_began, went_on_elsewhere, header_behind_its_events]


@pytest.mark.parametrize("spoil", SPOILED, ids=lambda f: f.__name__)
def test_refuses(spoil):
    s = story()
    spoil(s)
    assert faults(s) != []


def test_says_who_lost_what():
    s = story()
    lost(s)
    assert faults(s) == ["w1 at n1: asked from 1 on, was led to 6, and never had [3]"]


def test_a_client_that_dies_is_a_fault(tmp_path, capsys):
    load = etcd_load.Load({"endpoints": ["127.0.0.1:1"], "seed": 1, "prefix": "/", "out": str(tmp_path / "out"), "clients": [["v3", 0, "stay"]]})
    before, threading.excepthook = threading.excepthook, load.died
    try:
        thread = threading.Thread(target=lambda: 1 // 0, name="client0-v3")
        thread.start()
        thread.join()
    finally:
        threading.excepthook = before
    assert etcd_history.History(tmp_path / "out").faults == ["client0-v3 has stopped: ZeroDivisionError: integer division or modulo by zero"]
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_a_lease_that_a_keepalive_finds_gone_too_early_is_a_fault():
    held = {"k": [{"since": 1.0, "until": 4.0}]}
    assert etcd_history.check_leases(held, [{"key": "k", "begin": 2.0, "end": 2.1, "value": None}], {})
    assert not etcd_history.check_leases(held, [{"key": "k", "begin": 3.9, "end": 4.1, "value": None}], {})
