"""The register checker itself: it takes what a register can have done, and refuses what it cannot."""
import random

import pytest

import check_register


def entry(op, begin, end, result="ok", **fields):
    return dict(fields, op=op, begin=begin, end=end, result=result, key="k")


def read(begin, end, value, **fields):
    return entry("read", begin, end, value=value, **fields)


def write(begin, end, value, result="ok"):
    return entry("write", begin, end, result, value=value)


def cas(begin, end, expected, value, result="ok", **fields):
    return entry("cas", begin, end, result, expected=expected, value=value, **fields)


GOOD = {
    "nothing": [],
    "nothing was ever there": [read(0, 1, None)],
    "one after the other": [write(0, 1, "a"), read(2, 3, "a"), cas(4, 5, "a", "b"), read(6, 7, "b")],
    "overlapping read sees the write": [write(0, 10, "a"), read(1, 2, "a")],
    "overlapping read does not see the write": [write(0, 10, "a"), read(1, 2, None)],
    "two readers, the later one sees it": [write(0, 10, "a"), read(1, 2, None), read(3, 4, "a")],
    "overlapping writes in either order": [write(0, 10, "a"), write(1, 9, "b"), read(11, 12, "a")],
    "refused write was not there": [write(0, 1, "a"), write(2, 3, "b", "fail"), read(4, 5, "a")],
    "unknown write happened late": [write(0, 1, "a"), write(2, 3, "b", "unknown"), read(4, 5, "a"), read(6, 7, "b")],
    "unknown write never happened": [write(0, 1, "a"), write(2, 3, "b", "unknown"), read(4, 5, "a"), read(60, 70, "a")],
    "unknown swap happened": [write(0, 1, "a"), cas(2, 3, "a", "b", "unknown"), read(4, 5, "b")],
    "unknown swap lost": [write(0, 1, "a"), cas(2, 3, "a", "b", "unknown"), cas(4, 5, "a", "c"), read(6, 7, "c")],
    "read without an answer says nothing": [write(0, 1, "a"), read(2, 3, None, result="unknown")],
    "swap was refused, and what was there is told": [write(0, 1, "a"), cas(2, 3, "b", "c", "fail", seen="a"), read(4, 5, "a")],
    "swap was refused": [write(0, 1, "a"), cas(2, 3, "b", "c", "fail"), read(4, 5, "a")],
    "swap was refused for a write that nobody saw": [
        write(0, 1, "a"), write(2, 3, "x", "unknown"), cas(4, 5, "a", "c", "fail"), write(6, 7, "d"), read(8, 9, "d")],
    "deleted": [write(0, 1, "a"), write(2, 3, None), read(4, 5, None), cas(6, 7, None, "b"), read(8, 9, "b")],
    "one of two swaps wins": [write(0, 1, "a"), cas(2, 9, "a", "b"), cas(3, 8, "a", "c", "fail", seen="b"), read(10, 11, "b")],
    "same moment overlaps": [write(0, 1, "a"), read(1, 2, None)],
}

BAD = {
    "stale read": [write(0, 1, "a"), write(2, 3, "b"), read(4, 5, "a")],
    "read of what was never written": [write(0, 1, "a"), read(2, 3, "z")],
    "acknowledged write is lost": [write(0, 1, "a"), read(2, 3, None)],
    "value goes back": [write(0, 1, "a"), write(2, 20, "b"), read(3, 4, "b"), read(5, 6, "a")],
    "read before the write": [read(0, 1, "a"), write(2, 3, "a")],
    "unknown write before its begin": [read(0, 1, "a"), write(2, 3, "a", "unknown")],
    "unknown write is undone": [write(0, 1, "a"), write(2, 3, "b", "unknown"), read(4, 5, "b"), read(6, 7, "a")],
    "refused write is there": [write(0, 1, "a"), write(2, 3, "b", "fail"), read(4, 5, "b")],
    "two swaps from the same value": [write(0, 1, "a"), cas(2, 9, "a", "b"), cas(3, 8, "a", "c")],
    "swap from what was not there": [write(0, 1, "a"), cas(2, 3, "b", "c")],
    "unknown swap from what never was there": [write(0, 1, "a"), cas(2, 3, "b", "c", "unknown"), read(4, 5, "c")],
    "swap was refused though it would fit": [write(0, 1, "a"), cas(2, 3, "a", "b", "fail")],
    "swap was refused though it would fit, as it says itself": [write(0, 1, "a"), cas(2, 3, "a", "b", "fail", seen="a")],
    "deleted and still there": [write(0, 1, "a"), write(2, 3, None), read(4, 5, "a")],
    "two readers disagree about the order": [
        write(0, 20, "a"), write(0, 20, "b"), read(1, 2, "a"), read(3, 4, "b"), read(5, 6, "a")],
    "second of two creations": [cas(0, 1, None, "a"), cas(2, 3, None, "b")],
}


@pytest.mark.parametrize("name", GOOD)
def test_takes(name):
    assert check_register.check(GOOD[name]) == {}


@pytest.mark.parametrize("name", BAD)
def test_refuses(name):
    assert list(check_register.check(BAD[name])) == ["k"]


def made_history(seed, operations=250, clients=6):
    """What clients see of a register that works: each takes effect at a random moment inside its time; some never hear of it."""
    r = random.Random(seed)
    free, moments = [0.0] * clients, []
    for n in range(operations):
        c = r.randrange(clients)
        begin = free[c] + r.random()
        end = begin + r.expovariate(0.5)
        free[c] = end + 0.01
        moments.append((begin + (end - begin) * r.random(), n, begin, end, r.choice(["read", "read", "write", "cas", "cas"])))
    state, history = None, []
    for _, n, begin, end, op in sorted(moments):
        unknown = op != "read" and r.random() < 0.08
        if unknown and r.random() < 0.5:
            history.append(entry(op, begin, end, "unknown", value=f"v{n}", expected=state))  # never took effect
            continue
        if op == "read":
            history.append(read(begin, end, state))
        elif op == "write":
            state = f"v{n}"
            history.append(write(begin, end, state, "unknown" if unknown else "ok"))
        elif r.random() < 0.3:
            history.append(cas(begin, end, "never", f"v{n}", "unknown" if unknown else "fail", **({} if unknown else {"seen": state})))
        else:
            history.append(cas(begin, end, state, f"v{n}", "unknown" if unknown else "ok"))
            state = f"v{n}"
    return history


def test_takes_what_a_working_register_does():
    for seed in range(20):
        assert check_register.check(made_history(seed)) == {}, f"seed {seed}"


def test_refuses_what_was_spoiled():
    """One read of a good history gives the value of a write that was certainly over written before."""
    refused = 0
    for seed in range(20):
        history = made_history(seed)
        writes = [e for e in history if e["op"] != "read" and e["result"] == "ok"]
        reads = [e for e in history if e["op"] == "read"]
        late = max(reads, key=lambda e: e["begin"])
        old = min(writes, key=lambda e: e["end"])
        late["value"] = old["value"]
        refused += bool(check_register.check(history))
    assert refused == 20


def test_says_which_operation_it_was():
    text = check_register.check(BAD["stale read"])["k"]
    assert "'begin': 4" in text and "'b'" in text


def test_keys_are_registers_of_their_own():
    history = [dict(write(0, 1, "a"), key="one"), dict(read(2, 3, None), key="two"), dict(read(2, 3, None), key="one")]
    assert list(check_register.check(history)) == ["one"]


def test_is_bounded():
    many = [write(0, 1000, n) for n in range(40)] + [read(1, 999, "never")]
    with pytest.raises(check_register.Undecided):
        check_register.check(many, steps_max=10_000)
    with pytest.raises(check_register.Undecided):
        check_register.check([write(n, n + 0.5, n) for n in range(check_register.OPERATIONS_MAX + 1)])
