"""The log of injections: each is written before it acts and after it has returned, with what shows that it did."""
import contextlib

import history


class Injections:
    def __init__(self, recorder, seed):
        self.recorder, self.seed, self.number, self.done = recorder, seed, 0, []
        self.records = []

    def write(self, **fields):
        self.records.append(self.recorder.write("injection", at=history.now(), **fields))

    @contextlib.contextmanager
    def act(self, fault, node=None, heals=None, **parameters):
        """The block acts. It gets a dict, to put its `evidence` there; what is there and false says that nothing happened."""
        self.number += 1
        number, told = self.number, {}
        same = {"number": number, "fault": fault, "node": node, "parameters": parameters, "seed": self.seed}
        if heals is not None:
            same["heals"] = heals
        self.write(phase="before", **same)
        told["number"] = number
        try:
            yield told
        except BaseException as error:
            self.write(phase="after", fired=False, error=f"{type(error).__name__}: {error}", **same)
            raise
        evidence = told.get("evidence", True)
        fired = bool(evidence)
        self.write(phase="after", fired=fired, evidence=evidence, **same)
        if fired and heals is None:
            self.done.append(fault)
