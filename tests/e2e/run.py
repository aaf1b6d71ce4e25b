"""Figures: rounds of one fault on one cluster, write gaps in seconds as median (min-max). run.py BUILD ROUNDS FAULT..."""
import json
import statistics
import sys
import time

import faults
from rig import Rig


def main():
    build, rounds, names = sys.argv[1], int(sys.argv[2]), sys.argv[3:] or list(faults.FAULTS)
    rig = Rig(build)
    try:
        began = time.monotonic()
        rig.start_all()
        rig.wait_healthy()
        print(json.dumps({"fault": "start_from_nothing", "seconds": round(time.monotonic() - began, 2)}), flush=True)
        rig.start_haproxy()
        for name in names:
            results = [faults.FAULTS[name](rig) for _ in range(rounds)]
            line = {"fault": name, "rounds": rounds, "written": sum(r["written"] for r in results), "lost": sum(r["lost"] for r in results)}
            for route in ("direct", "haproxy"):
                gaps = [r[route] for r in results]
                line[route] = f"{statistics.median(gaps):.2f} ({min(gaps):.2f}-{max(gaps):.2f})"
            print(json.dumps(line), flush=True)
    finally:
        rig.close()


main()
