"""The agent's log: where it goes, what its lines look like, what a reload changes of it, and that no secret is ever in it."""
import glob
import json
import os
import re
import shutil
import signal
import subprocess

import pytest

from disk import Disk
from network import wait_for
from rig import Rig

TEXT = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (ERROR|WARNING|INFO|DEBUG): \S")
SECRETS = ("raft-secret", "rep-pass", "zalando", "rewind_password", "rest-secret", "ctl-secret", "key-secret")
RESTAPI = "  authentication: {{username: admin, password: rest-secret}}\nctl:\n  authentication: {{username: admin, password: ctl-secret}}\n"


class Logging:
    """A member that is a cluster by itself, and the part `log` of its file."""

    def __init__(self):
        self.rig = Rig(os.path.abspath(os.environ.get("BUILD", "build/debug")), restapi=RESTAPI)
        self.node = self.rig.nodes["node1"]
        self.dir = os.path.join(self.node.home, "log")
        with open(self.node.config) as f:
            text = f.read()
        self.text = text.replace(re.search(r"partner_addrs: .*", text).group(0), "partner_addrs: []")
        for name in (self.dir, self.dir + "2"):
            os.mkdir(name, 0o700)
            shutil.chown(name, "postgres", "postgres")

    def write(self, more="", **log):
        with open(self.node.config, "w") as f:
            f.write(self.text + f"\nlog: {json.dumps(log)}\n{more}")

    def reload(self, more="", **log):
        self.write(more, **log)
        os.kill(self.node.agent_pid(), signal.SIGHUP)

    def files(self, directory=None):
        """Names of the files, the newest first."""
        names = [os.path.basename(path) for path in glob.glob(os.path.join(directory or self.dir, "patroni.log*"))]
        return sorted(names, key=lambda name: int(name[len("patroni.log."):] or 0))

    def lines(self, directory=None):
        """Of all files, the oldest first."""
        found = []
        for name in reversed(self.files(directory)):
            with open(os.path.join(directory or self.dir, name)) as f:
                found += f.read().splitlines()
        return found

    def wait_line(self, words, directory=None):
        return wait_for(f"'{words}' is in the log", lambda: [line for line in self.lines(directory) if words in line], 20)

    def said(self):
        """What the agent itself has said to standard error: the fence's and PostgreSQL's lines are there, too."""
        return [line for line in self.node.log_text().splitlines() if TEXT.match(line)]


@pytest.fixture(scope="module")
def logging():
    made = Logging()
    try:
        made.write(dir=made.dir, level="DEBUG")
        made.node.start_agent()
        made.rig.wait_healthy(count=1)
        yield made
    except BaseException:
        made.rig.show()
        raise
    finally:
        made.rig.close()


def test_lines_go_to_the_file_as_patronis_do(logging):
    lines = logging.lines()
    assert len(lines) > 10 and all(TEXT.match(line) for line in lines), [line for line in lines if not TEXT.match(line)]
    assert logging.said() == []
    assert os.stat(os.path.join(logging.dir, "patroni.log")).st_uid != 0


def test_files_rotate_under_load_and_nothing_is_lost(logging):
    with_them = dict(dir=logging.dir, level="DEBUG", file_size=4096, file_num=30, mode="0640")
    logging.reload("strange_key_0: 1\n", **with_them)
    writer = logging.rig.writer("load", f"{logging.node.address}")
    for number in range(1, 80):
        logging.wait_line(f"strange_key_{number - 1}: ")
        logging.reload(f"strange_key_{number}: 1\n", **with_them)
    logging.wait_line("strange_key_79: ")
    writer.terminate()
    assert len(logging.files()) > 3
    for name in logging.files():
        status = os.stat(os.path.join(logging.dir, name))
        first = name == logging.files()[-1]  # which was begun before there was a bound
        assert (first or status.st_size < 4096) and (first or status.st_mode & 0o777 == 0o640), (name, status)
    lines = logging.lines()
    assert all(TEXT.match(line) for line in lines)
    told = [int(number) for number in re.findall(r"strange_key_(\d+): ", "\n".join(lines))]
    assert told == list(range(80))
    logging.reload(dir=logging.dir, level="DEBUG", file_size=4096, file_num=2)
    for _ in range(40):
        logging.reload(f"strange_key_{_}: 2\n", dir=logging.dir, level="DEBUG", file_size=4096, file_num=2)
        wait_for("it was read", lambda n=_: f"strange_key_{n}: " in "\n".join(logging.lines()[-12:]), 20)
    assert {"patroni.log", "patroni.log.1", "patroni.log.2"} <= set(logging.files())


def test_a_reload_changes_level_form_and_file(logging):
    second = logging.dir + "2"
    form = dict(dir=second, level="WARNING", type="json", format=["message", {"asctime": "@timestamp", "levelname": "level"}, "process"],
                dateformat="%Y-%m-%dT%H:%M:%S%z", static_fields={"app": "pgquorum", "shard": 7})
    logging.reload(**form)
    wait_for("it has another file", lambda: logging.files(second) == ["patroni.log"], 20)
    logging.reload("strange_key: 1\n", **form)  # what is said of a file comes before it is in force
    logging.wait_line("strange_key: ", second)
    lines = [json.loads(line) for line in logging.lines(second)]
    assert len({line["process"] for line in lines}) == 1
    assert all(list(line) == ["message", "@timestamp", "level", "process", "app", "shard"] for line in lines)
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4}", line["@timestamp"]) and line["level"] == "WARNING"
               and (line["app"], line["shard"]) == ("pgquorum", 7) for line in lines)
    os.rename(os.path.join(second, "patroni.log"), os.path.join(second, "moved"))  # as logrotate does
    logging.reload(dir=second, level="INFO")
    logging.wait_line("reload: the configuration file was read again", second)
    logging.reload("fourth_key: 1\n", level="INFO")
    logging.wait_line("fourth_key: ", second)
    logging.reload("fifth_key: 1\n", level="INFO")
    wait_for("it is on standard error again", lambda: any("fifth_key: " in line for line in logging.said()), 20)


def test_a_directory_that_cannot_be_written_to_is_refused(logging):
    logging.reload(level="DEBUG", dir=logging.dir)
    logging.wait_line("reload: the configuration file was read again")
    logging.reload(level="INFO", dir="/proc/nowhere")
    answer = wait_for("it is told", lambda: json.loads(logging.rig.http(logging.node.address, "/patroni")[1]).get("configuration_error"), 20)
    assert "log.dir: opening '/proc/nowhere/patroni.log': No such file or directory" in answer
    logging.reload(level="INFO", dir=logging.dir)
    wait_for("it is good again", lambda: "configuration_error" not in logging.rig.http(logging.node.address, "/patroni")[1], 20)
    path = logging.node.config + ".bad"
    with open(path, "w") as f:
        f.write(logging.text + "\nlog: {dir: /proc/nowhere}\n")
    argv = ["ip", "netns", "exec", logging.rig.namespace("node1"), "runuser", "-u", "postgres", "--", logging.rig.binary("pgquorum"), path]
    child = subprocess.run(argv, capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL)
    assert child.returncode == 1 and "log.dir: opening '/proc/nowhere/patroni.log'" in child.stderr, child.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="a file system is frozen")
def test_a_directory_on_a_disk_that_stands_still_holds_up_no_start():
    made = Logging()
    disk = Disk(os.path.join(made.rig.home, "log.img"), os.path.join(made.node.home, "log"), 32)
    try:
        made.write(dir=made.dir, level="INFO")
        disk.freeze()
        made.node.start_agent()
        made.rig.wait_healthy(count=1)
        assert made.files() == [] and made.said() == []
        disk.thaw()
        made.wait_line("agent 'node1' of cluster 'postgres' started")
        made.wait_line("has not answered in 1000 ms")
    finally:
        disk.close()
        made.rig.close()


def test_no_secret_is_in_any_line(logging):
    """At level DEBUG, with passwords that are right and wrong, files that are good and broken."""
    logging.reload(level="DEBUG", dir=logging.dir, file_num=30)
    logging.wait_line("was read again")
    logging.reload("ctl: [key-secret\n", level="DEBUG", dir=logging.dir, file_num=30)
    logging.wait_line("the configuration of before stays in force")
    logging.reload("postgresql:\n  authentication: {superuser: {password: [key-secret]}}\n", level="DEBUG", dir=logging.dir, file_num=30)
    wait_for("both were refused", lambda: len([line for line in logging.lines() if "stays in force" in line]) >= 2, 20)
    logging.reload(level="DEBUG", dir=logging.dir, file_num=30)
    logging.node.kill_agent()
    logging.node.start_agent()
    logging.rig.wait_healthy(count=1)
    everything = "\n".join(logging.lines() + logging.lines(logging.dir + "2")) + logging.node.log_text()
    assert [secret for secret in SECRETS if secret in everything] == []
