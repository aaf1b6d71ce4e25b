"""What is there after everything has healed, written down for the checkers."""
import json
import os
import re
import shutil
import subprocess
import time

import history
import rig
from network import wait_for

COPY = "COPY (SELECT json_build_array(writer, n, timeline, lsn - '0/0'::pg_lsn) FROM writes ORDER BY writer, n) TO STDOUT"
WHO = "SELECT pg_is_in_recovery(), CASE WHEN pg_is_in_recovery() THEN 0 ELSE ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int END"
LSN = "SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END"
TABLES = ("writes", "lists")


def caught_up(world, node, lsn):
    try:
        return world.sql(node, f"SELECT pg_last_wal_replay_lsn() >= '{lsn}'") == "t"
    except subprocess.SubprocessError:
        return False


def timeline_of(world, node):
    """(role, timeline) by the instance itself."""
    recovering, timeline = world.sql(node, WHO).split("|")
    if recovering == "t":
        return "standby", int(world.sql(node, "SELECT coalesce((SELECT received_tli FROM pg_stat_wal_receiver), (SELECT timeline_id FROM pg_control_checkpoint()))"))
    return "primary", int(timeline)


def read_table(world, cycle, node):
    begin = history.now()
    role, timeline = timeline_of(world, node)
    text = world.sql(node, COPY, timeout=60)
    rows = [json.loads(line) for line in text.splitlines()]
    world.recorder.write("table", cycle=cycle, node=node.name, begin=begin, end=history.now(), role=role, timeline=timeline, rows=rows)


def read_tables(world, cycle, nodes=None):
    leader = world.leader()
    lsn = world.sql(leader, "SELECT pg_current_wal_flush_lsn()")
    for node in nodes or world.nodes.values():
        if node is not leader:
            wait_for(f"{node.name} has caught up", lambda n=node: caught_up(world, n, lsn), 60)
        read_table(world, cycle, node)


def read_timelines(world, node):
    role, timeline = timeline_of(world, node)
    world.recorder.write("timelines", node=node.name, at=history.now(), timeline=timeline, role=role, lsn=history.lsn(world.sql(node, LSN)),
                         files={str(k): v for k, v in node.timeline_files().items()})


def amcheck(world, node):
    complaints = []
    try:
        world.sql(node, "SELECT bt_index_check(c.oid::regclass, true) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am a ON a.oid = c.relam"
                        " WHERE a.amname = 'btree' AND c.relpersistence <> 't'", timeout=60)
    except subprocess.CalledProcessError as error:
        complaints.append(error.stderr.strip())
    return complaints


def read_final(world, node, leader):
    role, timeline = timeline_of(world, node)
    host = "" if role == "primary" else world.sql(node, "SELECT sender_host FROM pg_stat_wal_receiver WHERE status = 'streaming'")
    source = next((n.name for n in world.nodes.values() if host in (n.address, f"pg.{n.name}")), None)
    tables = {t: world.sql(node, f"SELECT md5(coalesce(string_agg({t}::text, '' ORDER BY {t}), '')) FROM {t}", timeout=60) for t in TABLES}
    slots = json.loads(world.sql(node, "SELECT coalesce(json_agg(json_build_object('name', slot_name, 'type', slot_type, 'active', active)), '[]')"
                                       " FROM pg_replication_slots WHERE NOT temporary"))
    world.recorder.write(
        "final", node=node.name, at=history.now(), state="running", role=role, timeline=timeline, lsn=history.lsn(world.sql(node, LSN)),
        streams_from=source, tables=tables, amcheck=amcheck(world, node), slots=slots, sync_names=world.sql(node, "SHOW synchronous_standby_names"),
        checksum_failures=int(world.sql(node, "SELECT coalesce(sum(checksum_failures), 0) FROM pg_stat_database")),
        system=world.sql(node, "SELECT system_identifier FROM pg_control_system()"))


def read_clock(world, node):
    """Of a node whose clock is right: the lease clock is the host's."""
    before = history.now()
    lease = (time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW) + time.clock_gettime_ns(time.CLOCK_BOOTTIME) - time.clock_gettime_ns(time.CLOCK_MONOTONIC))
    world.recorder.write("clock", node=node.name, before=before, lease_ms=lease // 1000000, after=history.now())


def read_history_key(world):
    status, body = world.http(world.leader().rest_address, "/history")
    if status == 200:
        world.recorder.write("recorded", at=history.now(), entries=json.loads(body))


def read_promotions(world, node, wall_offset_ns):
    """By the server's log: PostgreSQL says where the new timeline begins when it has made it. Its times are of the wall clock of this host."""
    files = node.timeline_files()
    for path in [node.log] + server_logs(node):
        with open(path, errors="replace") as f:
            for line in f:
                match = re.match(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}) UTC .*selected new timeline ID: (\d+)", line)
                if match and int(match[2]) in files:
                    whole, milli = match[1].split(".")
                    at = (int(time.mktime(time.strptime(whole, "%Y-%m-%d %H:%M:%S")) - time.timezone) * 1000 + int(milli)) * 1000000
                    parent, lsn, _ = files[int(match[2])][-1]
                    world.recorder.write("promotion", node=node.name, at=max(0, at - wall_offset_ns), timeline=int(match[2]), from_timeline=parent, lsn=lsn)


def told(node):
    """(when, what) of each line of the agent's log, which has the wall clock of this host."""
    offset = wall_offset_ns()
    with open(node.log, errors="replace") as f:
        for line in f:
            match = re.match(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d),(\d{3}) \S+: (.*)", line)
            if match is not None:
                whole = int(time.mktime(time.strptime(match[1], "%Y-%m-%d %H:%M:%S")) - time.timezone)
                yield (whole * 1000 + int(match[2])) * 1000000 - offset, match[3]


BEGINS = re.compile(r"data directory: (initdb|clone|rewind|remove) begins: (.*)")
ENDED = re.compile(r"data directory: (initdb|clone|rewind|remove) has ended")
LATE_NS = 1000 * 10**6  # the guard writes down an event when it has read it
JOBS = r"job_runs: (running pg_rewind|creating replica)|starting: PostgreSQL is starting"


def job_ms(node, since_ns):
    """How long rewinds, copies and starts (with their recovery) took since then, by the agent's log: bounds of time do not count that in."""
    total, began = 0, None
    for at, text in told(node):
        if BEGINS.match(text):
            continue  # a job tells of itself
        if began is not None and at >= since_ns:
            total += at - max(began, since_ns)
        began = at if re.match(JOBS, text) else None
    return total // 1000000


def destruction(node, at, action, text):
    """The record of what the agent said before it did it. Who is about to lose data has to have said where its WAL ends: what is beyond the
    primary's is lost, and written down by that."""
    said = {key: None if value == "-" else value for key, value in (word.split("=", 1) for word in text.split())}
    kept = said["data"] == "1" and action in ("rewind", "remove")
    position = said["timeline"] != "0" and said["lsn"] != "0/0"
    return dict(node=node.name, action=action, begin=at, end=None, reason=text, epoch=said["epoch"], own_epoch=said["epoch"] if said["own"] == "1" else None,
                holds=said["holds"] == "1", primary=said["leader"], primary_epoch=said["leader_epoch"], primary_system=said["cluster"],
                system=said["system"] if said["data"] == "1" else None, seen=at, allowed=said["allowed"], ahead=int(kept), recorded=position,
                empty=said["data"] == "0")


def destructions(node):
    """What it said that it did to its data directory. A job ends with its agent."""
    found, last = [], None
    for at, text in told(node):
        begins, ended = BEGINS.match(text), ENDED.match(text)
        if last is not None and (begins or ended or re.match(r"agent '.*' of cluster '.*' started", text)):
            last["end"] = at + (LATE_NS if begins is None else 0)
            last = None
        if begins is not None:
            last = destruction(node, at, begins[1], begins[2])
            found.append(last)
    return found


def read_destructions(world):
    for node in world.nodes.values():
        for fields in destructions(node):
            world.recorder.write("destruction", **fields)


def server_logs(node):
    folder = os.path.join(node.data_dir, "log")
    return [os.path.join(folder, f) for f in sorted(os.listdir(folder))] if os.path.isdir(folder) else []


def wall_offset_ns():
    return time.time_ns() - time.monotonic_ns()


def versions(world):
    """{key: how often it was written} of the cluster's keys, by whoever answers."""
    code = ("import sys, json\nsys.path.insert(0, sys.argv[1])\nimport etcd_client as e\n"
            "found = e.V3(sys.argv[2], 1.0).call('/kv/range', {'key': e.b64(sys.argv[3]), 'range_end': e.b64(e.prefix_end(sys.argv[3]))})\n"
            "print(json.dumps({e.unb64(kv['key']): int(kv['version']) for kv in found['kvs']}))")
    for address in world.stores().values() or [n.address for n in world.nodes.values()]:
        argv = ["ip", "netns", "exec", world.namespace("observer"), rig.PYTHON, "-c", code, rig.HERE, f"{address}:2379", "/db/postgres/"]
        answer = subprocess.run(argv, capture_output=True, text=True, timeout=10, stdin=subprocess.DEVNULL)
        if answer.returncode == 0:
            return json.loads(answer.stdout)
    return {}


def read_raft_logs(world, cut):
    """Each member's log as its disk has it: the node stands still while its directory is copied."""
    copies = []
    for node in world.nodes.values():
        copy = os.path.join(world.home, f"raft-{cut}-{node.name}")
        node.cgroup.freeze()
        try:
            shutil.copytree(os.path.join(node.home, "raft"), copy, ignore=shutil.ignore_patterns("run", "state", "lost+found", "filler"))
        finally:
            node.cgroup.thaw()
        copies.append(f"{node.name}={copy}")
    with open(os.path.join(world.home, f"history-raft-{cut}.jsonl"), "wb") as f:
        subprocess.run([os.path.join(world.build, "raft_log"), str(cut), *copies], check=True, stdout=f, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, timeout=60)


def read_all(world, cycle, expected_sync):
    """Everything but the tables, at the end of a run."""
    leader = world.leader()
    offset = wall_offset_ns()
    for node in world.nodes.values():
        read_timelines(world, node)
        read_final(world, node, leader)
        if node.clock is None:
            read_clock(world, node)
        read_promotions(world, node, offset)
    read_destructions(world)
    read_history_key(world)
    if world.etcd is None:
        read_raft_logs(world, cycle)
    world.recorder.write("expected", members=list(world.nodes), sync=expected_sync, slots={}, tables=list(TABLES))
