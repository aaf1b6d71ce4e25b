"""Figures, one part after the other, and the tables of docs/benchmarks.md from them.

    bench.py BUILD [--rounds N] [--part NAME] [--doc FILE]

Each part leaves BUILD/bench/<part>.json: every round, the failed ones too, the date, the commit and the machine. The tables show
what lies there, so that a part can be measured again alone. A part is chosen by any piece of its name.
"""
import argparse
import json
import os
import pathlib
import re
import subprocess
import sys
import time
import traceback

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
import bench_etcd  # noqa: E402
import bench_faults  # noqa: E402
import bench_figures  # noqa: E402
import bench_report  # noqa: E402


PARTS = {**bench_figures.PARTS, "etcd": bench_etcd.etcd}

SHOWN_CHARACTERS = 500  # of a round; the file has all of it


def first_line(*argv):
    try:
        return subprocess.run(argv, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=True).stdout.splitlines()[0].strip()
    except (OSError, subprocess.CalledProcessError, IndexError):
        return "unknown"


def version(*argv):
    found = re.search(r"\d+\.\d+(\.\d+)?", first_line(*argv))
    return found.group(0) if found else "unknown"


def commit():
    """With a + where the tree has changes beside the page that is written here."""
    changes = subprocess.run(["git", "status", "--porcelain", "--", ".", ":!docs/benchmarks.md"], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    return first_line("git", "rev-parse", "--short", "HEAD") + ("+" if changes.stdout else "")


def circumstances():
    cpu = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    return {"date": time.strftime("%Y-%m-%d"), "commit": commit(),
            "kernel": os.uname().release, "cores": os.cpu_count(), "cpu": cpu.group(1) if cpu else os.uname().machine,
            "postgresql": version("/usr/lib/postgresql/15/bin/postgres", "--version"), "haproxy": version("/usr/sbin/haproxy", "-v"), "etcd": version("/usr/bin/etcd", "--version")}


class Results:
    """What was measured, in BUILD/bench; written after every round, so that an ended run keeps what it has."""

    def __init__(self, build):
        self.dir = os.path.join(build, "bench")
        os.makedirs(self.dir, exist_ok=True)
        self.parts = {}

    def start(self, part):
        self.parts[part] = dict(circumstances(), part=part, rounds=[])

    def add(self, part, entry):
        self.parts[part]["rounds"].append(entry)
        with open(os.path.join(self.dir, f"{part}.json"), "w") as f:
            json.dump(self.parts[part], f, indent=1)
        shown = {k: round(v, 3) if isinstance(v, float) else v for k, v in entry.items()}
        print(f"  {part} {len(self.parts[part]['rounds'])}: {json.dumps(shown)[:SHOWN_CHARACTERS]}", flush=True)

    def failed(self, part, error, **entry):
        """A round that gave no figure; it is counted, and its reason printed and kept."""
        traceback.print_exception(error, limit=-3, file=sys.stdout)
        self.add(part, dict(entry, failed=f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"))

    def load(self):
        """Everything in BUILD/bench, this run's or an earlier one's: {part: result}."""
        found = {}
        for path in sorted(pathlib.Path(self.dir).glob("*.json")):
            found[path.stem] = json.loads(path.read_text())
        return found


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--part", default="")
    parser.add_argument("--doc", default="docs/benchmarks.md")
    arguments = parser.parse_args()
    known = list(bench_faults.FAULTS) + list(PARTS)
    chosen = [part for part in known if arguments.part in part]
    if not chosen or arguments.rounds < 1:
        parser.error(f"no part has '{arguments.part}' in its name, or no rounds; the parts are: {' '.join(known)}")
    if os.geteuid() != 0 and any(part in bench_faults.FAULTS or part in bench_figures.NEED_ROOT for part in chosen):
        parser.error("network namespaces need root")
    results = Results(arguments.build)
    for part in chosen:
        results.start(part)
    bench_faults.run(arguments.build, arguments.rounds, [p for p in chosen if p in bench_faults.FAULTS], results)
    for part in chosen:
        if part in PARTS:
            print(f"== {part}", flush=True)
            PARTS[part](arguments.build, arguments.rounds, results)
    bench_report.write(arguments.doc, results.load())
    failures = sum(1 for part in chosen for entry in results.parts[part]["rounds"] if "failed" in entry)
    print(f"{arguments.doc} written; {failures} rounds failed")
    return 1 if failures else 0


sys.exit(main())
