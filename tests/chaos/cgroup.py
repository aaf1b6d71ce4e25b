"""One cgroup (v2) a node: everything in it is stopped, started and counted at once."""
import os
import time

PLACES = ("/sys/fs/cgroup/unified", "/sys/fs/cgroup")


def root():
    for place in PLACES:
        if os.path.exists(os.path.join(place, "cgroup.procs")):
            return place
    raise RuntimeError(f"no cgroup v2 at {' or '.join(PLACES)}: mount one (mount -t cgroup2 none {PLACES[0]})")


class Cgroup:
    def __init__(self, name):
        # Its name has the mark of tests/harness/contain.c, which removes what a killed run leaves.
        self.path = os.path.join(root(), f"pgquorum-{name}.{os.environ.get('TEST_SCRATCH', '0')}-{os.getpid()}")
        os.mkdir(self.path)

    def write(self, file, text):
        with open(os.path.join(self.path, file), "w") as f:
            f.write(text)

    def enter(self):
        """The calling process, and what it starts."""
        self.write("cgroup.procs", str(os.getpid()))

    def events(self):
        with open(os.path.join(self.path, "cgroup.events")) as f:
            return dict(line.split() for line in f)

    def freeze(self, timeout=5):
        self.write("cgroup.freeze", "1")
        end = time.monotonic() + timeout
        while self.events()["frozen"] != "1":
            if time.monotonic() > end:
                raise TimeoutError(f"{self.path} is not frozen within {timeout} s")
            time.sleep(0.001)

    def thaw(self):
        self.write("cgroup.freeze", "0")

    def kill(self, timeout=5):
        """Every process in it, also while they stand still: none of them runs again."""
        self.write("cgroup.kill", "1")
        end = time.monotonic() + timeout
        while self.pids():
            if time.monotonic() > end:
                raise TimeoutError(f"{self.path} still has processes {timeout} s after they were killed")
            time.sleep(0.001)

    def pids(self):
        with open(os.path.join(self.path, "cgroup.procs")) as f:
            return [int(line) for line in f]

    def close(self):
        for _ in range(50):
            try:
                self.thaw()
                os.rmdir(self.path)
                return
            except FileNotFoundError:
                return
            except OSError:
                time.sleep(0.02)
