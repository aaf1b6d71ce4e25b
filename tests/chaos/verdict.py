"""Judges a run by its records: every checker that there is looks at them (tests/chaos/checkers)."""
import dataclasses

import checkers
import history
from checkers.result import BAD, UNDECIDED

SECOND = 10**9
WHY = {"fence": "while a fence could not run", "depose": "as early_failover allows", "unfenced": "in pause"}


@dataclasses.dataclass
class Verdict:
    figures: str
    complaints: list
    found_two_writers: bool = False


def gap_ns(h):
    """Longest silence between two acknowledgements through the health-checked route."""
    ends = sorted(w["end"] for w in h.of("write") if w["result"] == "ok" and w.get("route") == "haproxy")
    return max((b - a for a, b in zip(ends, ends[1:])), default=0)


def judge(scene, broken, control):
    complaints = [broken] if broken else []
    try:
        h = history.load(*scene.files())
    except history.Malformed as error:
        return Verdict("no history", complaints + [str(error)])
    numbers, two_writers = {}, False
    for result in checkers.judge(h, control):
        numbers.update({f"{result.name} {k}": v for k, v in result.numbers.items()})
        two_writers = two_writers or "late write" in result.counts
        if result.verdict in (BAD, UNDECIDED):
            complaints += result.lines()
    overlap, excused = numbers.get("two writers overlap_ms", 0), numbers.get("two writers excused_ms", 0)
    figures = (f"{numbers.get('set ok', 0)} acknowledged, {numbers.get('set lost', 0)} lost, overlap {overlap:.0f} ms, "
               f"gap {gap_ns(h) / SECOND:.2f} s")
    if excused:
        figures += f", {excused:.0f} ms of two writers {', '.join(sorted({WHY[e['why']] for e in h.of('exception')}))}"
    beyond = [f"{name.split()[1]} {ms / 1000:.1f} s" for name, ms in sorted(numbers.items()) if name.endswith(" beyond_ms")]
    if beyond:
        figures += f", over the catalogue's bound: {', '.join(beyond)}"
    return Verdict(figures, complaints, two_writers)
