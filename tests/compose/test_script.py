"""compose.sh and the containers' scripts with an engine that is a script: what they ask for, what they refuse, and what is on command lines."""
import os
import re
import shutil
import subprocess

import pytest

TREE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
# An engine without containers and networks, and a cluster that is healthy; every command line is noted.
STUBS = {
    "docker": """echo "docker $*" >> "$STATE/lines"
case "$1 $2" in
"network inspect") [ -e "$STATE/subnet" ] && cat "$STATE/subnet" || exit 1 ;;
"ps -a") cat "$STATE/mode" 2>/dev/null || true ;;
esac""",
    "docker-compose": """echo "docker-compose $*" >> "$STATE/lines"
case "$*" in
*pg_is_in_recovery*) cat > "$STATE/input"; echo f ;;
*"-f json"*) echo '[{"Role": "Leader", "State": "running"}, {"State": "streaming"}, {"State": "streaming"}]' ;;
esac""",
    "ip": "exit 0",
}


class Compose:
    def __init__(self, path):
        self.state = path / "state"
        self.bin = path / "bin"
        self.here = path / "compose"
        shutil.copytree(os.path.join(TREE, "compose"), self.here, ignore=shutil.ignore_patterns(".env*"))
        for directory in (self.state, self.bin):
            directory.mkdir()
        for name, text in STUBS.items():
            (self.bin / name).write_text(f"#!/bin/sh\n{text}\n")
            (self.bin / name).chmod(0o755)

    def script(self, *args, **env):
        return subprocess.run([self.here / "compose.sh", *args], capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL,
                              env=dict({"PATH": f"{self.bin}:/usr/bin:/bin", "STATE": str(self.state)}, **env), check=False)

    def settings(self):
        return dict(line.split("=", 1) for line in (self.here / ".env").read_text().splitlines() if "=" in line and line[0] != "#")

    def lines(self):
        return (self.state / "lines").read_text()


@pytest.fixture
def compose(tmp_path):
    return Compose(tmp_path)


def test_no_password_is_on_a_command_line(compose):
    for mode in ("self-contained", "etcd-backed", "etcd-serving"):
        answer = compose.script("up", mode)
        assert answer.returncode == 0, answer.stderr
        password = "zalando" if mode == "etcd-backed" else compose.settings()["SUPERUSER_PASSWORD"]
        assert (compose.state / "input").read_text() == password + "\n"
        secrets = [value for name, value in compose.settings().items() if name.endswith("_PASSWORD")] + [password]
        assert [secret for secret in secrets if secret in compose.lines()] == []
        assert password in answer.stdout  # the connection strings
        assert compose.script("down").returncode == 0


@pytest.mark.parametrize("name,first,other", [("SUBNET", "", "10.98.0.0/16"), ("SUBNET", "10.98.0.0/16", "10.99.0.0/16"), ("PG_MAJOR", "", "17"),
                                              ("BASE", "", "debian:trixie-slim"), ("BASE", "mirror/debian:bookworm", "debian:bookworm-slim")])
def test_what_the_data_hangs_on_is_not_changed_beneath_it(compose, name, first, other):
    assert compose.script("up", "self-contained", **({name: first} if first else {})).returncode == 0
    before, begun = compose.settings(), compose.lines()
    answer = compose.script("up", "self-contained", **{name: other})
    assert answer.returncode == 1
    assert re.search(rf"{name}={other}: what is there was made with {name}=\S+,", answer.stderr) and "make compose-down first" in answer.stderr
    assert compose.settings() == before
    assert "docker-compose" not in compose.lines()[len(begun):].replace("docker-compose version", "")
    # What is there goes on, whether its value is told again or not; after compose-down everything can be another.
    assert compose.script("up", "self-contained").returncode == 0
    if first:
        assert compose.script("up", "self-contained", **{name: first}).returncode == 0
    assert compose.script("down").returncode == 0
    assert compose.script("up", "self-contained", **{name: other}).returncode == 0
    assert compose.settings()[name] == other


def test_the_network_of_what_was_started_without_it_is_asked_of_the_engine(compose):
    (compose.state / "mode").write_text("self-contained\n")
    (compose.state / "subnet").write_text("10.98.0.0/16\n")
    answer = compose.script("up", "self-contained", SUBNET="10.99.0.0/16")
    assert answer.returncode == 1 and "made with SUBNET=10.98.0.0/16," in answer.stderr


def test_a_witness_gets_its_own_settings_and_not_patronis(compose):
    for name, text in (("pgquorum", 'echo "$@" > "$STATE/said"; env | grep ^PATRONI_ | sort >> "$STATE/said"; exec sleep 0.2'),
                       ("patroni", "sleep 1"), ("env", 'echo "env $*" >> "$STATE/lines"; exec /usr/bin/env "$@"')):
        (compose.bin / name).write_text(f"#!/bin/sh\n{text}\n")
        (compose.bin / name).chmod(0o755)
    subprocess.run(["sh", compose.here / "patroni-and-witness.sh", "p.yml", "w.yml"], timeout=30, stdin=subprocess.DEVNULL, capture_output=True, check=True,
                   env={"PATH": f"{compose.bin}:/usr/bin:/bin", "STATE": str(compose.state), "PATRONI_NAME": "node1", "PATRONI_SUPERUSER_PASSWORD": "s",
                        "WITNESS_NAME": "node1-voter", "WITNESS_RAFT_PASSWORD": "a secret, with spaces", "WITNESS_RAFT_SELF_ADDR": "a:1"})
    assert (compose.state / "said").read_text().splitlines() == [
        "witness w.yml", "PATRONI_NAME=node1-voter", "PATRONI_RAFT_PASSWORD=a secret, with spaces", "PATRONI_RAFT_SELF_ADDR=a:1"]
    assert "secret" not in compose.lines()
