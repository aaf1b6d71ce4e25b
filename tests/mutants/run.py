"""Builds the program with one bug at a time, and demands that the tests find each of them.

    run.py BUILD [--only NAME,...] [--quick]

`table` has a line a mutant, NAME.patch is the bug. It is applied to a copy of the tree (BUILD/mutants), which is built there: only what it
touches is compiled. What has to find it:

    sim ARGUMENTS            the simulator, until a run breaks the rule named, or an assertion of the program; without the patch the same seed
                             must pass
    chaos FAULT MODE SEED    a run on a real cluster (root): the checkers named have to complain

A mutant survives when that ends otherwise, or after LIMIT_S of CPU. A patch that does not apply, or does not build, is a failure, too.
"""
import argparse
import os
import re
import resource
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
PAGE = os.path.join(ROOT, "docs", "safety.md")
LIMIT_S = 600
SEEDS = "4000"  # where the table names no number: some minutes of CPU
ENVIRONMENT = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "MODE", "T")}


class Unjudged(Exception):
    """Neither caught nor survived."""


class Mutant:
    def __init__(self, line):
        self.name, self.stands_for, self.bug, self.run, self.says, *rest = [field.strip() for field in line.split("|")]
        self.quick = rest == ["quick"]
        self.patch = os.path.join(HERE, self.name + ".patch")
        self.text = ""
        if os.path.exists(self.patch):
            with open(self.patch, encoding="utf-8") as f:
                self.text = f.read()


def read_table():
    """Table, patches and the page name the same mutants."""
    with open(os.path.join(HERE, "table"), encoding="utf-8") as f:
        found = [Mutant(line) for line in f if line.strip() and not line.startswith("#")]
    with open(PAGE, encoding="utf-8") as f:
        told = set(re.findall(r"^\| `(\w+)` \|", f.read(), re.MULTILINE))
    names = {m.name for m in found}
    patches = {n[:-len(".patch")] for n in os.listdir(HERE) if n.endswith(".patch")}
    for what, which in (("a patch and no line in the table", patches - names), ("no patch", names - patches),
                        ("no line in docs/safety.md", names - told), ("a line in docs/safety.md and none in the table", told - names)):
        if which:
            sys.exit(f"mutants: {what}: {', '.join(sorted(which))}")
    return found


class Tree:
    """The copy. What is in it already is not written again, so that make finds its object."""

    def __init__(self, build):
        self.mode = os.path.basename(os.path.abspath(build))
        self.home = os.path.join(os.path.abspath(build), "mutants")
        self.objects = os.path.join("build", self.mode)
        self.patched = []
        listed = subprocess.run(["git", "-C", ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                                check=True, capture_output=True, text=True).stdout
        self.names = [n for n in listed.split("\0") if n and os.path.exists(os.path.join(ROOT, n))]
        begins = not os.path.exists(self.home)
        for name in self.names:
            self.write(name)
        if begins:  # objects of the tree serve the copy, too: names are relative in both
            ignored = shutil.ignore_patterns("mutants", "unit", "chaos", "fence_off", "*.step", "counts.*")
            shutil.copytree(build, os.path.join(self.home, self.objects), ignore=ignored, symlinks=True)
            os.symlink(os.path.join(ROOT, "build", "deps"), os.path.join(self.home, "build", "deps"))
        self.forget()

    def write(self, name):
        source, copy = os.path.join(ROOT, name), os.path.join(self.home, name)
        if not os.path.exists(copy):
            os.makedirs(os.path.dirname(copy), exist_ok=True)
            shutil.copy2(source, copy)
            return
        with open(source, "rb") as a, open(copy, "rb") as b:
            same = a.read() == b.read()
        if not same:
            shutil.copy(source, copy)  # newer than the object, which is of another text

    def forget(self):
        """What has gone from the tree."""
        for folder, folders, files in os.walk(self.home):
            if folder == self.home:
                folders.remove("build")
            for name in files:
                path = os.path.join(folder, name)
                if os.path.relpath(path, self.home) not in self.names:
                    os.remove(path)

    def apply(self, mutant):
        """The copy lies inside the tree's repository, which git is not to see."""
        hidden = dict(ENVIRONMENT, GIT_CEILING_DIRECTORIES=os.path.dirname(self.home))
        applied = subprocess.run(["git", "apply", "-"], cwd=self.home, env=hidden, input=mutant.text, capture_output=True, text=True)
        if applied.returncode != 0:
            raise Unjudged(f"{os.path.relpath(mutant.patch, ROOT)} does not apply any more: make it anew\n{applied.stderr.strip()}")
        self.patched = re.findall(r"^\+\+\+ b/(\S+)", mutant.text, re.MULTILINE)

    def restore(self):
        for name in self.patched:
            self.write(name)
        self.patched = []

    def make(self, *goals):
        built = subprocess.run(["make", "-s", "-j2", f"MODE={self.mode}", *goals], cwd=self.home, env=ENVIRONMENT, stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if built.returncode != 0:
            raise Unjudged(f"does not build\n{built.stdout[-2000:]}")


def limited():
    resource.setrlimit(resource.RLIMIT_CPU, (LIMIT_S, LIMIT_S))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def run(argv, **more):
    """(status, output, seconds of CPU)"""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    ended = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", preexec_fn=limited, **more)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return ended.returncode, ended.stdout, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def asserted(mutant, tree, arguments):
    """An assertion ends the simulator before it has said which seed it is at."""
    for seed in range(1, int(SEEDS)):
        _, output, _ = run([os.path.join(tree.home, tree.objects, "sim"), *arguments, "--seed", str(seed)])
        said = re.search("assertion failed: .*", output)
        if said is not None:
            return (str(seed), said.group()) if mutant.says in said.group() else (None, "")
    return None, ""


def by_sim(mutant, tree, build):
    """(what caught it, or None; seconds)"""
    arguments = mutant.run.split()[1:]
    if "--seeds" not in arguments:
        arguments += ["--seeds", SEEDS]
    tree.make(os.path.join(tree.objects, "sim"))
    status, output, seconds = run([os.path.join(tree.home, tree.objects, "sim"), *arguments, "--until", mutant.says])
    found = re.search(r"^FAILED seed (\d+) \(\w+\) at [\d.]+ s: (.*)$", output, re.MULTILINE)
    seed, what = found.groups() if found else (None, "")
    if mutant.says.startswith("assertion failed: ") and mutant.says in output:
        seed, what = asserted(mutant, tree, arguments)
    if seed is None:
        return None, f"{output.strip().splitlines()[-1] if output.strip() else ''} (status {status})", seconds
    status, output, _ = run([os.path.join(build, "sim"), *arguments, "--seed", seed])
    if status != 0:
        raise Unjudged(f"seed {seed} fails without the patch, too\n{output[-2000:]}")
    return f"seed {seed}", what, seconds


def by_chaos(mutant, tree, _build):
    _, fault, mode, seed = mutant.run.split()
    tree.make("all")
    status, output, seconds = run(["make", "-s", "chaos", f"ONLY={fault}", f"MODE={mode}", f"SEED={seed}"], cwd=tree.home, env=ENVIRONMENT)
    complaints = [line.strip() for line in output.splitlines() if line.startswith("    ")]
    found = [next((c for c in complaints if c.startswith(f"{who}:")), None) for who in mutant.says.split(", ")]
    if status == 0 or None in found:
        return None, output[-3000:], seconds
    return f"{fault} {mode} seed {seed}", "; ".join(found), seconds


def judge(mutant, tree, build):
    tree.apply(mutant)
    try:
        return (by_sim if mutant.run.startswith("sim") else by_chaos)(mutant, tree, build)
    finally:
        tree.restore()


def main():
    parser = argparse.ArgumentParser(prog="mutants")
    parser.add_argument("build")
    parser.add_argument("--only", default="")
    parser.add_argument("--quick", action="store_true", help="the few that make check has time for, and whether all patches apply")
    options = parser.parse_args()
    build = os.path.abspath(options.build)
    mutants = read_table()
    unknown = set(filter(None, options.only.split(","))) - {m.name for m in mutants}
    if unknown:
        sys.exit(f"mutants: there is none of that name: {', '.join(sorted(unknown))}")
    chosen = [m for m in mutants if (m.name in options.only.split(",") if options.only else m.quick or not options.quick)]
    tree = Tree(build)
    caught = survived = 0
    for mutant in mutants if options.quick else chosen:
        try:
            if mutant not in chosen:
                tree.apply(mutant)
                tree.restore()
                continue
            where, what, seconds = judge(mutant, tree, build)
        except Unjudged as reason:
            where, what, seconds = None, str(reason), 0
            tree.restore()
        caught, survived = caught + (where is not None), survived + (where is None)
        print(f"{mutant.name}: {'caught by ' + where if where else 'SURVIVED'}, {seconds:.1f} s of CPU: {what}", flush=True)
    print(f"{caught} caught, {survived} survived")
    with open(os.path.join(build, "counts.mutants"), "w", encoding="utf-8") as f:
        f.write(f"{caught} {survived} 0\n")
    sys.exit(1 if survived or not chosen else 0)


main()
