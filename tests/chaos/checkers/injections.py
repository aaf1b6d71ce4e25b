"""Injections: the run was what it is named after. A fault that did not happen, or that nobody was there to see, proves nothing."""
from checkers.availability import tried
from checkers.result import Result

NAME = "injections"
CONDITIONS = {
    "named fault never fired": "a run is of the fault it is named after",
    "never returned": "each injection says that it has returned",
    "not begun": "each injection is written down before it acts",
    "failed": "an injection that failed makes the run another one",
    "out of order": "an injection ends after it began",
    "heals nothing": "what ends a fault names one that was there",
    "another seed": "a run can be played again by its seed",
    "nobody looked": "clients use the cluster while it is broken",
}


def check(history):
    result = Result(history, NAME, CONDITIONS)
    before, after = {}, {}
    for record in history.of("injection"):
        (before if record["phase"] == "before" else after)[record["number"]] = record
    result.looked = len(before) + len(after)
    fired = [r for r in after.values() if r.get("fired") and r.get("heals") is None]
    for fault in history.run["faults"]:
        if not any(r["fault"] == fault for r in fired):
            result.fault("named fault never fired", f"{fault}; what did is {sorted({r['fault'] for r in fired})}", history.run,
                         *[r for r in after.values() if r["fault"] == fault])
    for number, record in before.items():
        if number not in after:
            result.fault("never returned", f"{record['fault']}, number {number}", record)
        check_seed(result, record)
    for number, record in after.items():
        if number not in before:
            result.fault("not begun", f"{record['fault']}, number {number}", record)
        elif record["at"] < before[number]["at"]:
            result.fault("out of order", f"{record['fault']}, number {number}", before[number], record)
        if record.get("error") is not None:
            result.fault("failed", f"{record['fault']}: {record['error']}", record)
        healed = before.get(record["heals"]) if record.get("heals") is not None else None
        if record.get("heals") is not None and (healed is None or healed["at"] > record["at"]):
            result.fault("heals nothing", f"{record['fault']}, number {number}, ends number {record['heals']}", record)
    check_clients(result, history)
    result.numbers.update(fired=len(fired), faults=len(history.run["faults"]))
    return result


def check_seed(result, record):
    if record["seed"] != result.history.run["seed"]:
        result.fault("another seed", f"{record['seed']}, and the run's is {result.history.run['seed']}", record, result.history.run)


def check_clients(result, history):
    """Of each cycle: somebody tried to write from the fault on."""
    for cycle in history.of("cycle"):
        if not any(tried(w)[0] <= cycle["end"] and tried(w)[1] >= cycle["injected"] for w in history.of("write")):
            result.fault("nobody looked", f"no write was tried in cycle {cycle['cycle']} after {cycle['fault']}", cycle)
