#!/usr/bin/python3
"""Coverage by the unit tests, from gcc's own gcov: a table by room and file, and the bar for what is PURE.
Usage: cov.py BUILD [TEST PROGRAM...]. BUILD was made with MODE=cov; without programs the counts that are there are shown.
Ends with status 1 when a test failed or something PURE is below the bar; everywhere else the figures only inform.

What an ASSERT decides is not counted, taken or not: its other way is a bug of ours, which no input can reach, and a
test that could reach it would have found that bug. For the same reason a line with ASSERT(false) is no line to be run."""
import collections
import json
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.dont_write_bytecode = True
sys.path.insert(0, str(ROOT / "tests/lint"))
from lint import PURE as PURE_ROOMS, without_comments_and_strings  # noqa: E402  (one list, lint's)

# PURE files outside the PURE rooms that are held to the bar, too: what they decide nobody else checks.
PURE_FILES = ("base/net/srv_answer.c", "base/net/http_query.c", "base/net/http1_chunks.c", "base/net/http1_places.c",
              "raft/engine/peer_wire.c", "raft/engine/guards.c", "pgctl/fence/fence_page.c", "agent/api/api_health.c",
              "raft/etcd/etcd_proto.c", "raft/etcd/etcd_json_decode.c", "raft/etcd/etcd_v2_request.c",
              "raft/etcd/etcd_v2_tree.c", "raft/etcd/etcd_v2_node.c",
              "agent/dcs/etcd3_codec.c", "agent/dcs/etcd2_codec.c", "agent/dcs/etcd3_splitter.c", "agent/dcs/etcd_hosts.c")
LINES_MIN, BRANCHES_MIN = 95.0, 90.0
ROOMS = ("base", "raft", "pgctl", "agent")


class Figures:
    """Covered and all, of lines and of branches."""

    def __init__(self):
        self.lines = self.lines_all = self.branches = self.branches_all = 0

    def add(self, other):
        self.lines += other.lines
        self.lines_all += other.lines_all
        self.branches += other.branches
        self.branches_all += other.branches_all

    def percent(self):
        return tuple(100.0 * part / whole if whole else 100.0
                     for part, whole in ((self.lines, self.lines_all), (self.branches, self.branches_all)))

    def below(self):
        lines, branches = self.percent()
        return lines < LINES_MIN or branches < BRANCHES_MIN


def asserted(path):
    """Two sets of line numbers: those of ASSERT statements, and those that say that they cannot be reached."""
    code = without_comments_and_strings(path.read_text(encoding="utf-8"))
    decided, unreachable = set(), set()
    for match in re.finditer(r"\bASSERT\s*\(", code):
        depth, end = 1, match.end()
        while depth > 0 and end < len(code):
            depth += {"(": 1, ")": -1}.get(code[end], 0)
            end += 1
        first, last = (code.count("\n", 0, at) + 1 for at in (match.start(), end))
        decided.update(range(first, last + 1))
        if code[match.end():end - 1].strip() == "false":
            unreachable.add(first)
    return decided, unreachable


def clear_counts(build):
    """Empty files that everybody may write: some tests give up root, and libgcov could not make or open its own then."""
    for notes in build.rglob("*.gcno"):
        counts = notes.with_suffix(".gcda")
        counts.write_bytes(b"")
        counts.chmod(0o666)


def run_tests(build, programs):
    clear_counts(build)
    status = subprocess.run([ROOT / "tests/harness/run_tests.sh", build, "cov", *programs], check=False).returncode
    for counts in build.rglob("*.gcda"):
        if counts.stat().st_size == 0:
            counts.unlink()  # never run: gcov knows that by the file's absence
    return status


def gcov_lines(build):
    """{source: {line: (count, [branch counts])}} of every source of the rooms."""
    notes = sorted(str(path) for room in ROOMS for path in (build / room).rglob("*.gcno")
                   if (ROOT / path.relative_to(build)).with_suffix(".c").exists())  # not of a source that is gone
    if not notes:
        sys.exit(f"cov: no *.gcno in '{build}': build it with MODE=cov")
    run = subprocess.run(["gcov", "--json-format", "--branch-probabilities", "--stdout", *notes], cwd=ROOT, check=True,
                         stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env={**os.environ, "LC_ALL": "C"})
    found = collections.defaultdict(dict)
    for document in filter(None, run.stdout.splitlines()):
        for source in json.loads(document)["files"]:
            name = os.path.normpath(source["file"])
            if not name.startswith(tuple(room + "/" for room in ROOMS)) or not name.endswith(".c"):
                continue  # headers: their inline functions are counted in whoever has them
            for line in source["lines"]:
                count, branches = found[name].get(line["line_number"], (0, []))
                found[name][line["line_number"]] = (count + line["count"],
                                                    branches + [branch["count"] for branch in line["branches"]])
    return found


def figures_of(name, lines):
    decided, unreachable = asserted(ROOT / name)
    figures = Figures()
    for number, (count, branches) in lines.items():
        if number in unreachable:
            continue
        figures.lines_all += 1
        figures.lines += count > 0
        if number not in decided:
            figures.branches_all += len(branches)
            figures.branches += sum(branch > 0 for branch in branches)
    return figures


def room_of(name):
    return str(pathlib.PurePosixPath(name).parent)


def report(files):
    """Prints the table; returns what is PURE and below the bar."""
    rooms = collections.defaultdict(Figures)
    for name, figures in files.items():
        rooms[room_of(name)].add(figures)
    faults = []
    print(f"{'':44}{'lines':>14}{'branches':>16}")
    for room in sorted(rooms):
        pure = (room + "/").startswith(PURE_ROOMS)
        rows = [(room + (" (PURE)" if pure else ""), rooms[room], pure)]
        rows += [("  " + name, figures, name in PURE_FILES) for name, figures in sorted(files.items()) if room_of(name) == room]
        for label, figures, held in rows:
            low = held and figures.below()
            if low:
                faults.append(label.strip())
            lines, branches = figures.percent()
            print(f"{label:44}{lines:7.1f} %{figures.lines_all:5}{branches:9.1f} %{figures.branches_all:5}{'  BELOW' if low else ''}")
    missing = [name for name in PURE_FILES if name not in files]
    missing += [room for room in PURE_ROOMS if room.rstrip("/") not in rooms]
    return faults + [f"{name} (not built)" for name in missing]


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    build = pathlib.Path(sys.argv[1]).resolve()
    status = run_tests(build, sys.argv[2:]) if len(sys.argv) > 2 else 0
    faults = report({name: figures_of(name, lines) for name, lines in gcov_lines(build).items()})
    for name in faults:
        print(f"cov: {name}: PURE, and below {LINES_MIN:.0f} % of lines or {BRANCHES_MIN:.0f} % of branches")
    if status != 0:
        print("cov: a test failed, so the figures may be too low")
    return 1 if faults or status != 0 else 0


if __name__ == "__main__":
    sys.exit(main())
