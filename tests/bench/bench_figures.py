"""Everything that is no fault: start from nothing, footprint, REST, store, simulator, fence."""
import json
import os
import re
import subprocess
import time

import faults
from bench_faults import bounded, healthy_rig
from rig import Rig, wait_for

START_SECONDS_MAX = 60
IDLE_SECONDS = 60
LOAD_SECONDS = 20
CONNECTIONS = 64
REST_SECONDS = 5
STORE_SECONDS = 5
SIM_SEEDS = 20


def run(*argv, timeout):
    """Its output; if it fails, what it says is the reason of the round."""
    done = subprocess.run(argv, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=timeout)
    if done.returncode != 0:
        raise AssertionError(f"{os.path.basename(argv[0])} ended with {done.returncode}: {done.stderr.strip() or 'it said nothing'}")
    return done.stdout


# --- start ---------------------------------------------------------------------------------------------------------------------

def start(build, rounds, results):
    """Empty directories, three agents started at once, until three members are healthy."""
    for _ in range(rounds):
        rig = Rig(build)
        try:
            with bounded(START_SECONDS_MAX):
                began = time.monotonic()
                rig.start_all()
                wait_for("three healthy members", rig.healthy, START_SECONDS_MAX, 0.02)
            results.add("start", {"seconds": time.monotonic() - began})
        except Exception as error:
            results.failed("start", error)
        finally:
            rig.close()


# --- footprint -----------------------------------------------------------------------------------------------------------------

def memory(pid):
    with open(f"/proc/{pid}/status") as f:
        fields = dict(line.split(":", 1) for line in f)
    return {key: int(fields[key].split()[0]) / 1024 for key in ("RssAnon", "VmRSS")}


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")  # utime and stime, of all threads


def load(rig):
    """Writers, REST (`/health`, 200 on every member) at full speed, and every agent asked again and again by the command line."""
    with faults.Load(rig):
        until = time.monotonic() + LOAD_SECONDS
        for node in rig.nodes.values():
            wrk(rig, node, "/health", LOAD_SECONDS // len(rig.nodes))
        while time.monotonic() < until:
            rig.members()
    rig.wait_healthy()


def footprint(build, _rounds, results):
    """One cluster: a minute of idleness, then load. An entry is one agent."""
    try:
        rig = healthy_rig(build)
    except Exception as error:
        results.failed("footprint", error)
        return
    try:
        pids = {name: node.agent_pid() for name, node in rig.nodes.items()}
        leader = rig.leader().name
        before, began = {name: cpu_seconds(pid) for name, pid in pids.items()}, time.monotonic()
        time.sleep(IDLE_SECONDS)
        elapsed = time.monotonic() - began
        entries = {name: {"agent": name, "primary": name == leader, "cpu": 100 * (cpu_seconds(pid) - before[name]) / elapsed,
                          "idle": memory(pid)} for name, pid in pids.items()}
        load(rig)
        for name, pid in pids.items():
            results.add("footprint", dict(entries[name], loaded=memory(pid)))
    except Exception as error:
        results.failed("footprint", error)
    finally:
        rig.close()


# --- REST ----------------------------------------------------------------------------------------------------------------------

MS = {"us": 0.001, "ms": 1.0, "s": 1000.0}


def wrk(rig, node, path, seconds, cpu=None):
    argv = ["ip", "netns", "exec", rig.namespace("client")] + (["taskset", "-c", str(cpu)] if cpu is not None else [])
    text = run(*argv, "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency", f"http://{node.address}:8008{path}",
               timeout=seconds + 30)
    wrong = re.search(r"(Non-2xx|Socket errors).*", text)
    if wrong:
        raise AssertionError(f"not every request was answered with 200: {wrong.group(0)}")
    p99 = re.search(r"99%\s+([\d.]+)(us|ms|s)", text)
    return {"per_s": float(re.search(r"Requests/sec:\s+([\d.]+)", text).group(1)), "p99_ms": float(p99.group(1)) * MS[p99.group(2)]}


def rest(build, rounds, results):
    """GET /primary at the primary: its loop on one core, the client on another where there is one."""
    try:
        rig = healthy_rig(build)
    except Exception as error:
        results.failed("rest", error)
        return
    try:
        node = rig.leader()
        os.sched_setaffinity(node.agent_pid(), {0})  # of its threads only the loop
        for _ in range(rounds):
            try:
                results.add("rest", wrk(rig, node, "/primary", REST_SECONDS, min(1, os.cpu_count() - 1)))
            except Exception as error:
                results.failed("rest", error)
    finally:
        rig.close()


# --- programs of their own -----------------------------------------------------------------------------------------------------

def store(build, rounds, results):
    for _ in range(rounds):
        try:
            lines = [json.loads(line) for line in run(os.path.join(build, "bench_store"), str(STORE_SECONDS), timeout=90).splitlines()]
            one, many = lines
            alone = json.loads(run(os.path.join(build, "bench_kv"), timeout=60))
            results.add("store", {"p50_ms": one["p50_ms"], "p99_ms": one["p99_ms"], "per_s": many["per_s"], "many_p99_ms": many["p99_ms"],
                                  **alone})
        except Exception as error:
            results.failed("store", error)


def watches(build, rounds, results):
    for _ in range(rounds):
        try:
            results.add("watches", json.loads(run(os.path.join(build, "bench_watch"), timeout=60)))
        except Exception as error:
            results.failed("watches", error)


def simulator(build, rounds, results):
    """Other seeds in every round; `cluster` is the whole node model."""
    for i in range(rounds):
        try:
            entry = {}
            for mode in ("cluster", "store"):
                text = run(os.path.join(build, "sim"), "--seeds", str(SIM_SEEDS), "--first", str(1 + i * SIM_SEEDS), f"--{mode}", timeout=300)
                entry[mode] = float(re.search(r"([\d.]+) simulated minutes per CPU second", text).group(1))
            results.add("simulator", entry)
        except Exception as error:
            results.failed("simulator", error)


def fence(build, rounds, results):
    """From the deadline until no process is left, as the test of the fence measures it."""
    for _ in range(rounds):
        try:
            text = run(os.path.join(build, "tests/unit/pgctl/test_fence_run"), "deadline_kills_*", timeout=120)
            found = re.findall(r"dF way=(\w+) backends=(\d+) from deadline to all gone: (\d+) ms", text)
            assert found, "the test printed no figure"
            results.add("fence", {f"{way}_{backends}": int(ms) for way, backends, ms in found})
        except Exception as error:
            results.failed("fence", error)


PARTS = {f.__name__: f for f in (start, footprint, rest, store, watches, simulator, fence)}
NEED_ROOT = ("start", "footprint", "rest", "fence")
