"""Histories by hand, for the tests of the checkers. Times are given in milliseconds."""
import history as format_

MS = 1_000_000
TIMES = ("begin", "end", "computed", "at", "injected", "healed", "settled", "seen", "before", "after")


def record(kind, **fields):
    for name in TIMES:
        if type(fields.get(name)) in (int, float):
            fields[name] = round(fields[name] * MS)
    return dict(fields, kind=kind)


def run(**fields):
    base = dict(version=1, seed=7, scenario="by hand", mode="async", strict=False, nodes={"a": "10.0.0.1", "b": "10.0.0.2", "c": "10.0.0.3"}, ttl_ms=3000,
                loop_wait_ms=1000, retry_timeout_ms=1000, maximum_lag=1000, faults=["cut"], begin=0)
    return record("run", **dict(base, **fields))


def history(*records, **fields):
    """Of these records, and a run with these fields."""
    return format_.History([run(**fields)] + list(records))


def ok(writer, n, begin, node="a", timeline=1, lsn=None, result="ok", end=None, **fields):
    return record("write", writer=writer, n=n, begin=begin, end=begin + 1 if end is None else end, result=result, node=node, timeline=timeline, lsn=lsn,
                  **fields)


def health(node, begin, status=200, timeline=1, end=None):
    return record("health", node=node, begin=begin, end=begin + 1 if end is None else end, status=status, timeline=timeline)


def conditions(result):
    return {fault.condition for fault in result.faults}


def only(module, records, condition, text, **fields):
    """The checker refuses this history for this condition and for no other, and says so."""
    result = module.check(history(*records, **fields))
    assert conditions(result) == {condition}, [str(f) for f in result.faults]
    assert result.verdict == "bad"
    assert any(text in str(fault) and fault.records for fault in result.faults), [str(f) for f in result.faults]


def accepted(module, records, **fields):
    result = module.check(history(*records, **fields))
    assert result.verdict == "good", result.lines()
    return result


def all_conditions(module, bad):
    """Of each condition there is a history that it alone refuses."""
    missing = set(module.CONDITIONS) - {case[1] for case in bad.values()}
    assert not missing, f"no history is refused for {missing} alone"
