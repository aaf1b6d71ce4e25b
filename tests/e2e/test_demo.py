"""`make demo`: what it says works, what died of it is started again, and `make demo-down` leaves nothing."""
import os
import re
import shutil
import signal
import subprocess

import pytest

BUILD = os.environ.get("BUILD", "build/debug")
TREE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class Demo:
    def __init__(self, home):
        self.home = home

    def run(self, *words, ends=0, timeout=120):
        answer = subprocess.run(["sh", "tests/harness/demo.sh", *words], cwd=TREE, env={**os.environ, "DEMO_HOME": self.home},
                                stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout)
        assert answer.returncode == ends, answer.stdout + answer.stderr
        return answer.stdout + answer.stderr

    def up(self):
        said = self.run("up", BUILD)
        assert said.count("| streaming |") == 2 and said.count("| Leader ") == 1, said
        return said

    def pid(self, name):
        with open(os.path.join(self.home, f"{name}.pid")) as f:
            return int(f.read().split()[0])

    def processes(self):
        """Whose program or working directory is the demo's, or that were told of it."""
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/cmdline") as f:
                    words = f.read()
                if self.home in words + os.readlink(f"/proc/{pid}/cwd") + os.readlink(f"/proc/{pid}/exe"):
                    found.append(words)
            except OSError:
                pass  # it has ended
        return found


@pytest.fixture
def demo():
    demo = Demo(f"/var/tmp/pgquorum-demo-{os.getpid()}")
    yield demo
    demo.run("down")


def test_demo(demo):
    said = demo.up()
    commands = re.findall(r"psql '([^']+)'", said)
    assert len(commands) == 2 and "HAProxy" in said, said
    for command in commands:
        answer = subprocess.run(["psql", "-XAtc", "SELECT pg_is_in_recovery()", command], capture_output=True, text=True)
        assert answer.stdout == "f\n", answer.stderr
    ports = demo.run("up", BUILD)
    assert "The demo is running" in ports and re.findall(r"psql '([^']+)'", ports) == commands

    os.kill(demo.pid("node2"), signal.SIGKILL)
    said = demo.up()
    assert "The agent of node2 is started again." in said and "node1 is" not in said

    for name in ("node1", "node2", "node3", "haproxy"):  # as after a crash of the machine: what it was stays behind
        os.kill(demo.pid(name), signal.SIGKILL)
    said = demo.up()
    assert "Cleaning up after an earlier demo that did not end well." in said

    demo.run("down")
    assert not os.path.exists(demo.home) and demo.processes() == []
    demo.run("down")


def test_agent_that_does_not_start_is_told_with_its_log(demo, tmp_path):
    broken = tmp_path / "bin"
    broken.mkdir()
    for name in ("pgquorum", "pgquorum-fence"):
        shutil.copy("/bin/false", broken / name)
    said = demo.run("up", str(broken), ends=1)
    assert f"The agent of node1 did not start; its log is {demo.home}/node1.log:" in said
    assert "The demo" not in said
