"""What a checker gives: a verdict, figures, and what was wrong with the records that show it.

A checker is a module with NAME, CONDITIONS (the names of what it refuses, each with the invariant it belongs to) and `check(history)`.
"""
import dataclasses

SHOWN = 20  # faults of one condition that are kept with their records; the rest are counted
GOOD, BAD, UNDECIDED, NOTHING = "good", "bad", "undecided", "nothing"


@dataclasses.dataclass
class Fault:
    condition: str
    text: str
    records: list  # (where it stands, record)

    def __str__(self):
        places = ", ".join(place for place, _ in self.records[:4])
        return f"{self.condition}: {self.text}" + (f" [{places}]" if places else "")


class Result:
    """`looked`: how many records were judged; of none, nothing can be said."""

    def __init__(self, history, name, conditions):
        self.history, self.name, self.conditions = history, name, conditions
        self.faults, self.counts, self.numbers, self.undecided, self.looked = [], {}, {}, [], 0

    def fault(self, condition, text, *records):
        invariant = self.conditions[condition]
        self.counts[condition] = self.counts.get(condition, 0) + 1
        if self.counts[condition] <= SHOWN:
            self.faults.append(Fault(condition, f"{text} ({invariant})", [(self.history.place(r), r) for r in records]))

    @property
    def verdict(self):
        if self.faults:
            return BAD
        if self.undecided:
            return UNDECIDED
        return GOOD if self.looked else NOTHING

    def lines(self):
        """For people: the verdict with the figures, then each fault."""
        figures = ", ".join(f"{k} {v}" for k, v in self.numbers.items())
        found = [f"{self.name}: {self.verdict}" + (f" ({figures})" if figures else "")]
        for fault in self.faults:
            more = self.counts[fault.condition] - SHOWN
            found.append(f"    {fault}")
            if more > 0 and fault is [f for f in self.faults if f.condition == fault.condition][-1]:
                found.append(f"    {fault.condition}: and {more} more")
        return found + [f"    undecided: {text}" for text in self.undecided]
