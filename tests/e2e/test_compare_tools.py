"""What the comparison with etcd is made of: it sees differences, and only those that mean something."""
import json
import socket
import threading

import pytest

from compare import commands, normal, play, proxy, rules, script, transcript


def answer(body, base=10, path="/v3/kv/range", status=200, headers=()):
    return normal.Normal(base).answer(path, status, list(headers), json.dumps(body) if not isinstance(body, str) else body)


def test_what_may_differ_does_not():
    one = {"header": {"cluster_id": "1", "member_id": "2", "revision": "12", "raft_term": "3"}, "kvs": [{"key": "YQ==", "lease": "77"}]}
    other = {"header": {"cluster_id": "9", "member_id": "8", "revision": "102", "raft_term": "7"}, "kvs": [{"key": "YQ==", "lease": "5"}]}
    assert normal.differences(answer(one), answer(other, 100)) == []


@pytest.mark.parametrize("other", [
    {"header": {"revision": "13"}},  # another revision
    {"header": {}},  # none
    {"header": {"revision": "12"}, "count": "0"},  # a field that should not be there
    {"header": {"revision": 12}, "more": True},
], ids=str)
def test_another_body_is_a_difference(other):
    assert normal.differences(answer({"header": {"revision": "12"}}), answer(other)) != []


def test_other_identifiers_in_another_order_are_a_difference():
    assert normal.differences(answer([{"ID": "1"}, {"ID": "2"}, {"ID": "1"}]), answer([{"ID": "5"}, {"ID": "5"}, {"ID": "6"}])) != []


def test_status_headers_and_texts_are_compared():
    assert normal.differences(answer({}), answer({}, status=404)) == [("status", 200, 404)]
    assert normal.differences(answer({}, headers=[("Content-Type", "text/plain")]), answer({})) == [("headers.content-type", "text/plain", None)]
    assert normal.differences(answer("404 page not found\n"), answer("404 page not found")) != []
    assert normal.differences(answer({}, headers=[("Date", "today")]), answer({})) == []


def test_a_second_may_have_begun():
    assert normal.differences(answer({"ttl": 30}), answer({"ttl": 29})) == []
    assert normal.differences(answer({"ttl": 30}), answer({"ttl": 28})) != []
    assert normal.differences(answer({"ttl": 30}), answer({})) != []


def test_directories_are_compared_in_order_only_where_it_was_asked_for():
    nodes = [{"key": "/a"}, {"key": "/b"}]
    listed, back = {"node": {"nodes": nodes}}, {"node": {"nodes": nodes[::-1]}}
    assert normal.differences(answer(listed), answer(back)) == []
    ordered = normal.Normal(10)
    ordered.sorted = True
    assert ordered.body(json.dumps(listed), "/v2/keys/") != ordered.body(json.dumps(back), "/v2/keys/")


def test_indexes_in_a_cause_count_from_the_beginning_and_values_do_not():
    one, other = normal.Normal(10), normal.Normal(100)
    assert one.text("[12 != 15]") == other.text("[102 != 105]") == "[r+2 != r+5]"
    one.compared = other.compared = "12"
    assert one.text("[12 != 15]") == "[12 != 15]"


def test_what_no_rule_explains_is_told():
    step = script.Request("a", "POST", "/v3/kv/range", [], "{}")
    one, other = {"a": answer({"count": "1"})}, {"a": answer({"count": "2"})}
    unexplained, used = rules.explain([step], one, other)
    assert len(unexplained) == 1 and "body.count" in unexplained[0] and used == {}
    assert rules.explain([step], one, one) == ([], {})
    assert len(rules.explain([step], one, {})[0]) > 0, "no answer at all"


def test_a_rule_explains_what_it_is_for_and_nothing_else():
    told = answer({"code": 12, "error": "etcdserver: not supported by pgquorum"}, status=501)
    step = script.Request("a", "POST", "/v3/maintenance/snapshot", [], "{}")
    assert rules.explain([step], {"a": answer({})}, {"a": told})[0] == []
    assert rules.explain([step], {"a": answer({})}, {"a": answer({"code": 12, "error": "other"}, status=501)})[0] != []


def test_scripts_are_read(tmp_path):
    path = tmp_path / "list.txt"
    path.write_text("# comment\n%h A: 1 | B: 2\none: PUT %h /v2/keys/a?x={{zero:node.index+1=5}}\n    value=1\nGET /b\n!sleep 0.5\n")
    one, two, sleep = script.read(path)
    assert (one.label, one.method, one.headers, one.body) == ("one", "PUT", [("A", "1"), ("B", "2")], "value=1")
    assert (two.label, two.target, sleep.what, sleep.argument) == ("line5", "/b", "sleep", "0.5")
    known = {"zero": {"node": {"index": "7"}}}
    assert script.fill(one.target, lambda label, p: script.at(known[label], p)) == "/v2/keys/a?x=8"
    assert script.fill(one.target, lambda label, p: None) == "/v2/keys/a?x=5"
    path.write_text("nonsense\n")
    with pytest.raises(ValueError):
        script.read(path)


def exchange(method, target, body="", answer_body="{}", headers=(), **fields):
    e = proxy.Exchange(method, target, [("Host", "x"), *headers], body.encode())
    e.status, e.answer, e.ended_after = 200, answer_body.encode(), None
    for name, value in fields.items():
        setattr(e, name, value)
    return e


def test_numbers_of_answers_become_references():
    lines = transcript.Transcript([
        exchange("POST", "/v3/lease/grant", '{"TTL": 30}', '{"header": {"revision": "4"}, "ID": "777"}', ended_after=1),
        exchange("POST", "/v3/kv/put", '{"key": "a", "lease": "777"}', '{"header": {"revision": "5"}}', ended_after=2),
        exchange("GET", "/v2/keys/a?wait=true&waitIndex=6", headers=[("Accept", "*/*")], hung_up=True, ended_after=4),
        exchange("PUT", "/v2/keys/a?prevIndex=5", "value=1", ended_after=4),
    ]).lines()
    assert lines == ["%h0 Accept: */*", "0: POST /v3/lease/grant", '    {"TTL": 30}', "1: POST /v3/kv/put",
                     '    {"key": "a", "lease": "{{0:ID=777}}"}', "2: GET %h0 /v2/keys/a?wait=true&waitIndex={{1:header.revision+1=6}}",
                     "3: PUT /v2/keys/a?prevIndex={{1:header.revision=5}}", "    value=1", "!hangup 2"]


def test_what_is_repeated_is_kept_a_few_times():
    many = [exchange("GET", "/v2/machines", ended_after=i + 1) for i in range(10)]
    assert len(transcript.Transcript(many).lines()) == transcript.KEEP


def test_proxy_passes_on_and_remembers():
    server = socket.create_server(("127.0.0.1", 0))

    def serve():
        sock, _ = server.accept()
        with sock:
            assert sock.recv(4096).endswith(b"\r\n\r\nbody")
            sock.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n0\r\nTrailer: x\r\n\r\n")
            sock.recv(4096)
            sock.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno")
    threading.Thread(target=serve, daemon=True).start()
    p = proxy.Proxy(("127.0.0.1", 0), server.getsockname())
    with socket.create_connection(p.server.getsockname()) as client:
        client.sendall(b"PUT /a HTTP/1.1\r\nContent-Length: 4\r\n\r\nbody")
        assert read_until(client, b"x\r\n\r\n").endswith(b"3\r\none\r\n0\r\nTrailer: x\r\n\r\n")
        client.sendall(b"GET /b HTTP/1.1\r\n\r\n")
        assert read_until(client, b"no").endswith(b"no")
    p.close()
    server.close()
    assert [(e.method, e.target, e.body, e.status, e.answer) for e in p.exchanges] == [
        ("PUT", "/a", b"body", 200, b"one"), ("GET", "/b", b"", 404, b"no")]


def test_a_server_that_does_not_answer_is_no_answer_to_compare(monkeypatch):
    monkeypatch.setattr(play, "TIMEOUT", 0.2)
    server = socket.create_server(("127.0.0.1", 0))
    endpoint = f"127.0.0.1:{server.getsockname()[1]}"
    with pytest.raises(TimeoutError, match=f"{endpoint} has not answered GET /v2/keys/"):
        play.Player(endpoint)
    server.close()


def read_until(sock, mark):
    data = b""
    while not data.endswith(mark):
        data += sock.recv(4096)
    return data


def test_output_of_commands_is_compared_without_identifiers():
    def of(base, text):
        return commands.Normal("127.0.0.1:1", base).text(text)
    assert of(2, '"revision":5 lease 694d8a1c2b3d4e5f granted') == of(7, '"revision":10 lease 32698a1c2b3d4e5f granted')
    assert of(2, '"revision":5') != of(2, '"revision":6')
    assert of(2, "Error: a") != of(2, "Error: b")
