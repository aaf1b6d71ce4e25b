"""One run of one scenario: a cluster, its clients, a fault, and the time it takes to be whole again. What it records goes to the checkers."""
import dataclasses
import glob
import os
import time

from world import MAXIMUM_LAG, MODES, World  # first: it says where the modules of tests/e2e are

import evidence
import history
from clients import STORE, Clients
from network import wait_for

CI_FACTOR = 3  # of every bound of time on a loaded machine
ELECTION_S = 1.5  # two rounds at election_timeout 500, which is what ttl 3 gives
WAKE_UP_NS = 500 * 10**6  # a fence that stood still has acted by then, on a loaded machine too
TABLE = {}  # name -> Scenario, in the order they are defined


@dataclasses.dataclass
class Scenario:
    name: str
    fault: str
    modes: str
    steps: object
    core: bool
    bounds: dict  # L1..L8: milliseconds on top
    keep_epochs: bool  # no failover is allowed
    fence: str
    settings: dict
    clients: dict
    control: dict
    lossless: bool
    cycles: int


def scenario(fault, modes, core=False, bounds=(), keep_epochs=False, fence="on", clients=None, control=None, lossless=False, cycles=1, name=None,
             **settings):
    """A row of the catalogue. The function's text says what is drawn. `name`: of a variant of that fault's scenario; the settings are the world's.
    `control`: draws with which two nodes write if the fence is off. `lossless`:
    asynchronous, too; as all are that allow no failover. `cycles`: how often in one run, each with draws of its own."""
    def add(steps):
        given = {b: 0 for b in bounds} if not isinstance(bounds, dict) else bounds
        TABLE[name or fault] = Scenario(name or fault, fault, modes, steps, core, given, keep_epochs, fence, settings, clients or {}, control or {},
                                        lossless or keep_epochs, cycles)
        return steps
    return add


class Failed(Exception):
    """What was expected of the cluster did not come."""


class Scene:
    def __init__(self, row, mode, seed, build, fence_off=None, forced=None):
        """`fence_off`: program of a fence that never fires, where the scenario, or a control, wants it. `forced`: choices that are not drawn."""
        self.row, self.mode, self.seed, self.forced = row, mode, seed, forced or {}
        self.fence = "off" if fence_off is not None else row.fence
        self.world = World(build, mode, seed, name=row.name, fence=fence_off, **row.settings)
        self.random, self.ttl = self.world.random, self.world.settings["ttl"]
        # docs/consensus.md, section 2
        self.K = self.ttl - max(self.ttl / 10, 0.4)
        self.S = self.K - max(self.ttl / 15, 0.2)
        self.cycle, self.drawn, self.keep_epochs, self.bounds, self.lossless = 0, [], row.keep_epochs, dict(row.bounds), row.lossless
        self.L1 = CI_FACTOR * (self.ttl + ELECTION_S + 3)

    # --- for the steps of a scenario ---
    def draw(self, what, value):
        """Noted, and shown in the line of the run."""
        self.drawn.append(f"{what} {value:.2f}" if isinstance(value, float) else f"{what} {value}")
        return value

    def choice(self, what, values):
        drawn = self.random.choice(values)
        return self.draw(what, self.forced.get(what, drawn))

    def uniform(self, what, low, high):
        return self.draw(what, self.random.uniform(low, high))

    def roles(self):
        """Names of the primary, a standby, the other."""
        return [n.name for n in self.world.roles()]

    def node(self, name):
        return self.world.nodes[name]

    def others(self, name):
        return [n for n in self.world.nodes if n != name]

    def far(self, name):
        """Hosts that a node cut off from the group does not reach: the other nodes, and an etcd's."""
        return self.others(name) + list(self.world.stores())

    def primaries(self):
        """Nodes whose /primary answers 200."""
        return [n.name for n in self.world.nodes.values() if self.world.http_status(n.rest_address, "/primary", host="observer", timeout=1) == 200]

    def wait_primary(self, but=(), timeout=None, among=None):
        """Another than these answers as primary."""
        def found():
            return next((n for n in self.primaries() if n not in but and (among is None or n in among)), None)
        return wait_for(f"a primary other than {', '.join(but) or 'none'}", found, timeout or self.L1, 0.1)

    def nobody_writes(self, seconds):
        """No write is acknowledged to anybody for so long: a scenario in which the guarantees forbid it."""
        since = history.now()
        time.sleep(seconds)
        for name in self.clients.processes:
            if name not in ("observer", STORE) and self.clients.acknowledged(name, since):
                raise Failed(f"a write was acknowledged to {name} where nobody may write")

    def epoch(self):
        """How many acquisitions there were: each writes the key epoch once."""
        return wait_for("the key epoch", lambda: evidence.versions(self.world).get("/db/postgres/epoch"), 20, 0.3)

    def fence_stood(self, begin, end):
        """Until it has had a processor again after that, its instance may write beside another; how long it did is in the run's line."""
        self.world.recorder.write("exception", why="fence", begin=begin, end=end + WAKE_UP_NS)

    def configure(self, **settings):
        arguments = [a for key, value in settings.items() for a in ("-s", f"{key}={value}")]
        self.world.ctl("edit-config", *arguments, "--force")

    # --- the run ---
    def up(self):
        w = self.world
        w.start_all()
        w.wait_healthy(timeout=60)
        self.wait_synchronous()

    def wait_synchronous(self, timeout=60):
        """Those that the mode asks for stand in the key sync."""
        wanted = {"a": 0, "s": 1, "q": 2}[self.mode]
        roles = ("Sync Standby", "Quorum Standby")
        wait_for(f"{wanted} synchronous standbys", lambda: sum(r.get("Role") in roles for r in self.world.members().values()) == wanted, timeout, 0.2)

    def settled(self):
        """Everything is as it should be again: every member streams from the one primary."""
        for node in self.world.nodes.values():
            if node.agent_pid() is None:
                node.start_agent()
        self.world.wait_healthy(timeout=120)
        for node in self.world.replicas():
            self.world.wait_streaming(node)
        self.wait_synchronous()

    def one_cycle(self, steps):
        """`steps` breaks and heals; then the cluster has to be whole."""
        self.cycle += 1
        begin, first = history.now(), len(self.world.log.records)
        steps(self)
        records = self.world.log.records[first:]
        injected = min(r["at"] for r in records if r["phase"] == "before" and r.get("heals") is None)
        healed = max(r["at"] for r in records if r["phase"] == "after")
        settled = None
        try:
            self.settled()
            settled = history.now()
            self.clients.wait_writable(30)
        finally:
            jobs = max(evidence.job_ms(n, healed) for n in self.world.nodes.values())
            self.bounds.update({b: jobs for b in self.bounds if b in ("L5", "L8")})
            self.world.recorder.write("cycle", cycle=self.cycle, fault=self.row.fault, begin=begin, injected=injected, healed=healed,
                                      settled=settled, end=history.now(), bounds=self.bounds, lossless=self.lossless)

    def play(self):
        begin = history.now()
        self.up()
        try:
            with Clients(self.world, **self.row.clients) as self.clients:
                for _ in range(self.row.cycles):
                    self.one_cycle(self.row.steps)
                    evidence.read_tables(self.world, self.cycle)
            # What was written since is read once more, with nobody writing.
            evidence.read_tables(self.world, self.cycle + 1)
            evidence.read_all(self.world, self.cycle, {"a": 0, "s": 1, "q": 2}[self.mode])
        finally:
            self.world.guard.stop()
            settings = self.world.settings
            self.world.recorder.write(
                "run", version=history.VERSION, seed=self.seed, scenario=f"{self.row.name} {self.row.steps.__name__}", mode=MODES[self.mode][0],
                strict=self.mode == "q", nodes={n.name: n.address for n in self.world.nodes.values()}, ttl_ms=settings["ttl"] * 1000,
                loop_wait_ms=settings["loop_wait"] * 1000, retry_timeout_ms=settings["retry_timeout"] * 1000, maximum_lag=MAXIMUM_LAG,
                faults=[self.row.fault], begin=begin, end=history.now(), fence=self.fence, watchdog="off", keep_epochs=self.keep_epochs,
                election_timeout_ms=500, load_factor=CI_FACTOR)
        if self.row.fault not in self.world.log.done:
            raise Failed(f"{self.row.fault} was not seen to happen: the run proves nothing")

    def files(self):
        return sorted(glob.glob(os.path.join(self.world.home, "history-*.jsonl")))

    def close(self):
        self.world.close()
