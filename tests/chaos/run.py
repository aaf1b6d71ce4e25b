"""Plays scenarios, one line each; status 1 when one of them fails.

    run.py BUILD [--only FS-24,...] [--mode LETTERS] [--seed N] [--all] [--control | --fence-off] [--soak HOURS] [--jobs N]

Without --only, the core of the catalogue in every mode it names, and the positive controls: those run without the fence, and have to be found out;
--all: everything that is built. A seed draws everything that a scenario leaves open. Without one, each run has its own, by its place in the
list, so that two runs of make chaos do the same.
"""
import argparse
import collections
import concurrent.futures
import os
import random
import signal
import subprocess
import sys
import time

import scene
import table  # noqa: F401  every scenario is defined by now
import world

HERE = os.path.dirname(os.path.abspath(__file__))
LIMIT = 420  # seconds of one run
processes = set()


def fence_off(build):
    """A fence that never fires: the same source, by a switch of test builds."""
    tree = os.path.dirname(os.path.dirname(HERE))
    folder = os.path.join(os.path.abspath(build), "fence_off")
    env = dict(os.environ, CPPFLAGS="-DFENCE_TEST_OFF")
    for inherited in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "MODE"):
        env.pop(inherited, None)
    subprocess.run(["make", "-s", "-C", tree, f"BUILD={folder}", os.path.join(folder, "pgquorum-fence")], check=True, env=env, stdin=subprocess.DEVNULL)


def play(build, fault, mode, seed, how):
    """One run in a process of its own; what it printed, and whether all was well."""
    argv = [os.path.join(build, "contain"), str(LIMIT), "/usr/bin/unshare", "--mount", "--propagation", "private",
            sys.executable, os.path.join(HERE, "run_one.py"), build, fault, mode, str(seed), *([how] if how else [])]
    child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    processes.add(child)
    out = child.communicate()[0]
    processes.discard(child)
    lines = out.splitlines()
    line = next((text for text in lines if text.startswith("FS-")), f"{fault} {mode} seed {seed}: no verdict")
    return child.returncode == 0, line, out


def stopped(*_):
    for child in list(processes):
        child.terminate()  # contain ends everything below it
    os._exit(130)


def jobs_that_fit():
    """A cluster under load takes about two processors and 2 GB."""
    with open("/proc/meminfo") as f:
        available = next(int(line.split()[1]) for line in f if line.startswith("MemAvailable"))
    return max(1, min(4, os.cpu_count() // 3, available // (2 * 1024 * 1024)))


def playable():
    """What is built, but for scenarios with the guard where there is no guard."""
    guarded = [name for name, row in scene.TABLE.items() if row.settings.get("guarded")]
    if os.path.exists(world.GUARD_MODULE):
        return list(scene.TABLE)
    print(f"chaos: without {', '.join(guarded)}: the guard is not built (make guard-deps, make guard)", flush=True)
    return [name for name in scene.TABLE if name not in guarded]


def plan(options):
    """[(fault, mode, seed, how it is played: "", --control or --fence-off)]"""
    chosen = options.only.split(",") if options.only else playable()
    unknown = [f for f in chosen if f not in scene.TABLE]
    if unknown:
        sys.exit(f"chaos: there is no scenario {', '.join(unknown)}; there are {', '.join(scene.TABLE)}")
    found = []
    for fault in chosen:
        row = scene.TABLE[fault]
        if not (row.core or options.only or options.all):
            continue
        modes = [m for m in row.modes if not options.mode or m in options.mode]
        if not modes and options.only:
            sys.exit(f"chaos: {fault} runs in the modes {', '.join(row.modes)}, not in '{options.mode}'")
        found += [(fault, m) for m in modes]
    found = [(fault, mode, options.how) for fault, mode in found]
    if not options.only and not options.how:
        found += [(fault, "a", "--control") for fault in chosen if scene.TABLE[fault].control]
    return [(fault, mode, options.seed if options.seed is not None else 1 + i, how) for i, (fault, mode, how) in enumerate(found)]


def soak(build, hours, seed):
    """Seeded runs of everything that is built, until the time is over."""
    draw, names = random.Random(f"soak/{seed}"), playable()
    end = time.monotonic() + hours * 3600
    while time.monotonic() < end:
        fault = draw.choice(names)
        yield fault, draw.choice(scene.TABLE[fault].modes), draw.randrange(1, 10**6), ""


def each(pool, call, runs, jobs):
    """What `call` makes of each, in order. No run is drawn before there is room for it: those of a soak end with its time."""
    waiting = collections.deque()
    for run in runs:
        waiting.append(pool.submit(call, run))
        if len(waiting) >= jobs:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def main():
    parser = argparse.ArgumentParser(prog="chaos")
    parser.add_argument("build")
    parser.add_argument("--only", default="")
    parser.add_argument("--mode", default="")
    parser.add_argument("--seed", type=lambda text: int(text) if text else None, default=None)
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--soak", type=float)
    parser.add_argument("--jobs", type=int, default=jobs_that_fit())
    parser.add_argument("--control", dest="how", action="store_const", const="--control", default="", help="the fence is off: the run has to be found out")
    parser.add_argument("--fence-off", dest="how", action="store_const", const="--fence-off", help="the fence is off: synchronous modes lose nothing")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, stopped)
    signal.signal(signal.SIGINT, stopped)
    fence_off(options.build)
    runs = soak(options.build, options.soak, options.seed or 1) if options.soak else plan(options)
    failed = total = 0
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for good, line, out in each(pool, lambda r: play(options.build, *r), runs, options.jobs):
            total += 1
            print(line, flush=True)
            if not good:
                failed += 1
                print(out, flush=True)
    print(f"{total - failed} passed, {failed} failed")
    sys.exit(1 if failed or total == 0 else 0)


if __name__ == "__main__":
    main()
