"""The format: what is written is read again, and what is not as it should be is refused with its place and the remedy."""
import json

import pytest

import history
from history import Malformed

RUN = {"kind": "run", "version": 1, "seed": 7, "scenario": "FS-01", "mode": "async", "strict": False, "nodes": {"a": "10.0.0.1"}, "ttl_ms": 3000,
       "loop_wait_ms": 1000, "retry_timeout_ms": 1000, "maximum_lag": 1 << 20, "faults": ["cut"], "begin": 0}
WRITE = {"kind": "write", "writer": "w", "n": 1, "begin": 5, "end": 9, "result": "ok"}


def without(record, *names):
    return {k: v for k, v in record.items() if k not in names}


def test_what_is_written_is_read_again(tmp_path):
    path = tmp_path / "run.jsonl"
    recorder = history.Recorder(path)
    recorder.write(**RUN)
    recorder.write(**WRITE)
    recorder.close()
    found = history.load(path)
    assert found.run == RUN and found.of("write") == [WRITE]
    assert found.place(found.of("write")[0]) == "run.jsonl:2"


def test_several_files_are_one_history(tmp_path):
    for name, record in (("a", WRITE), ("b", RUN)):
        recorder = history.Recorder(tmp_path / name)
        recorder.write(**record)
        recorder.close()
    assert history.load(tmp_path / "a", tmp_path / "b").of("write") == [WRITE]


def test_a_line_whose_writer_was_killed_is_left_out(tmp_path):
    path = tmp_path / "run.jsonl"
    path.write_text(json.dumps(RUN) + "\n" + json.dumps(WRITE)[:20])
    assert history.load(path).of("write") == []


@pytest.mark.parametrize("line,text", [("{", "run.jsonl:2: no JSON"), ("[1]", "run.jsonl:2: a record is an object"),
                                       ('{"kind": "writ"}', "run.jsonl:2: 'writ' is no kind of record; there are append")])
def test_a_line_that_is_none_is_named(tmp_path, line, text):
    path = tmp_path / "run.jsonl"
    path.write_text(json.dumps(RUN) + "\n" + line + "\n")
    with pytest.raises(Malformed, match=text):
        history.load(path)


BAD = {
    "needs 'writer', a text": without(WRITE, "writer"),
    "'n' of a record of kind write is '1': it has to be a whole number": dict(WRITE, n="1"),
    "it has to be a whole number": dict(WRITE, n=True),
    "it has to be whole nanoseconds": dict(WRITE, begin=0.5),
    "'begin' of a record of kind write is -1": dict(WRITE, begin=-1),
    "is 'okay': it is one of invoke, ok": dict(WRITE, result="okay"),
    "'end' of a record of kind write lies before 'begin'": dict(WRITE, end=4),
    "that is ok needs 'end'": without(WRITE, "end"),
    "it has to be a list": {"kind": "table", "cycle": 1, "node": "a", "begin": 0, "end": 1, "role": "primary", "timeline": 1, "rows": {}},
    "'settled' of a record of kind cycle lies before 'healed'": {
        "kind": "cycle", "cycle": 1, "fault": "cut", "begin": 0, "injected": 1, "healed": 5, "settled": 4, "end": 9, "bounds": {}},
}


@pytest.mark.parametrize("text", BAD)
def test_a_record_that_is_not_as_it_should_be_is_refused_both_ways(tmp_path, text):
    recorder = history.Recorder(tmp_path / "out")
    with pytest.raises(Malformed, match=text):
        recorder.write(**BAD[text])
    recorder.close()
    with pytest.raises(Malformed, match="record 2: .*" + text):
        history.History([RUN, BAD[text]])


def test_every_kind_has_a_contract_that_can_be_read():
    for kind, fields in history.CONTRACT.items():
        assert all(type_name in history.TYPES for _, type_name, _ in fields), kind
        assert f"\n{kind} " in history.__doc__, f"{kind} is not explained"
    for kind, field in history.VALUES:
        assert any(name == field for name, _, _ in history.CONTRACT[kind]), (kind, field)


def test_a_write_that_was_begun_and_ended_is_one():
    begun = {"kind": "write", "writer": "w", "n": 1, "begin": 5, "result": "invoke"}
    for order in ([begun, WRITE], [WRITE, begun]):
        assert history.History([RUN] + order).of("write") == [WRITE]
    assert [w["result"] for w in history.History([RUN, begun]).of("write")] == ["invoke"]


def test_an_id_that_comes_twice_is_refused():
    with pytest.raises(Malformed, match=r"record 3: \('w', 1\) is there already, at record 2"):
        history.History([RUN, WRITE, dict(WRITE, result="unknown")])


def test_a_history_is_of_one_run():
    with pytest.raises(Malformed, match="exactly one record of kind run"):
        history.History([WRITE])
    with pytest.raises(Malformed, match="record 2: there is one record of run already, at record 1"):
        history.History([RUN, RUN])
    with pytest.raises(Malformed, match="version 2 of the format; this is 1"):
        history.History([dict(RUN, version=2)])


def test_positions_and_epochs():
    assert history.lsn("0/3000060") == 0x3000060 and history.lsn("1/0") == 1 << 32
    with pytest.raises(Malformed, match="'3000060' is no position in the WAL"):
        history.lsn("3000060")
    assert history.epoch_key("1f:12") == ("1f", 12)
    with pytest.raises(Malformed, match="'12' is no epoch"):
        history.epoch_key("12")


def test_takes_what_the_load_of_etcd_clients_writes(tmp_path):
    path = tmp_path / "load"
    entries = [{"op": "write", "key": "k", "value": "v", "changes": [["k", "v"]], "client": "c", "node": "n1", "begin": 1.5, "end": 2.0, "result": "ok",
                "revision": 2}, {"op": "session", "watcher": "w", "session": 1, "node": "n1", "from": 1, "at": 1.0},
               {"op": "batch", "watcher": "w", "session": 1, "at": 2.25, "header": 2, "events": [{"revision": 2, "key": "k", "value": "v"}]},
               {"op": "end", "last": 2}]
    path.write_text("".join(json.dumps(e) + "\n" for e in entries))
    found = history.History([RUN] + history.from_etcd_load(path))
    assert found.of("register")[0]["begin"] == 1_500_000_000
    assert found.of("session")[0]["from"] == 1 and found.of("batch")[0]["at"] == 2_250_000_000


def test_a_client_of_the_store_that_died_is_no_record_to_judge_by(tmp_path):
    path = tmp_path / "load"
    path.write_text(json.dumps({"op": "fault", "what": "watcher1 has stopped: Refused: compacted"}) + "\n")
    with pytest.raises(history.Malformed, match="watcher1 has stopped"):
        history.from_etcd_load(path)
