"""make deps in a mount namespace of its own, where /usr/sbin and /etc are laid over and apt is a script: whatever becomes of it, services
are neither forbidden to start afterwards nor started at the next boot."""
import os
import re
import signal
import stat
import subprocess

import pytest

import network

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
NEW = ("etcd-server", "haproxy")
# What is installed are the files of a directory; update-rc.d notes what it was asked for.
STUBS = {
    "dpkg-query": """for last; do :; done
case "$last" in libraft-dev) [ ! -e "$STATE/libraft-dev" ] || echo 0.22.1-1 ;; *) [ ! -e "$STATE/$last" ] || printf 'ii ' ;; esac""",
    "apt-cache": "echo ' 0.22.1-1'",
    "update-rc.d": 'echo "$1 $2" >> "$STATE/disabled"',
    "apt-get": """[ "$1" = install ] || exit 0
ls /usr/sbin/policy-rc.d /etc/postgresql-common/createcluster.d/pgquorum.conf > "$STATE/seen"
case "$*" in *libraft-dev*) touch "$STATE/libraft-dev"; exit 0 ;; esac
touch "$STATE/etcd-server"
case "$HOW" in
fails) exit 100 ;;
stops) touch "$STATE/waits"; sleep 60 ;;
esac
touch "$STATE/haproxy\"""",
}


SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


def heed():
    """A shell traps no signal that was ignored when it began, as under nohup."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)


class Machine:
    def __init__(self, path):
        self.path, self.state, self.bin = path, path / "state", path / "bin"
        for directory in (self.state, self.bin, path / "etc", path / "sbin", path / "work1", path / "work2"):
            directory.mkdir()
        os.mknod(path / "sbin" / "policy-rc.d", stat.S_IFCHR, os.makedev(0, 0))  # hides the one that this machine may have
        for name, text in STUBS.items():
            stub = self.bin / name
            stub.write_text(f"#!/bin/sh\n{text}\n")
            stub.chmod(stub.stat().st_mode | stat.S_IXUSR)
        listed = subprocess.run(["sh", "-c", f"eval \"$(sed -n '/^release=/,/^$/p' {ROOT}/tests/harness/deps.sh)\"; echo $packages"],
                                capture_output=True, text=True, check=True).stdout.split()
        assert set(NEW) < set(listed)
        for name in set(listed) - set(NEW):
            (self.state / name).touch()

    def start(self, how=""):
        """In a session of its own, so that a signal reaches all of it, as from a terminal."""
        laid = "".join(f"mount -t overlay overlay -o lowerdir={low},upperdir={self.path}/{up},workdir={self.path}/{work} {low} && "
                       for low, up, work in (("/etc", "etc", "work1"), ("/usr/sbin", "sbin", "work2")))
        environment = dict(os.environ, PATH=f"{self.bin}:{os.environ['PATH']}", STATE=str(self.state), HOW=how)
        return subprocess.Popen(["unshare", "-m", "sh", "-c", laid + f"exec {ROOT}/tests/harness/deps.sh install"], env=environment,
                                start_new_session=True, stdin=subprocess.DEVNULL, preexec_fn=heed)

    def run(self, how=""):
        return self.start(how).wait(60)

    def has(self, name):
        return (self.state / name).exists()

    def left(self):
        """Files of ours in the layers, which are those of a machine."""
        return [name for name in ("sbin/policy-rc.d", "etc/postgresql-common/createcluster.d/pgquorum.conf") if (self.path / name).is_file()]

    def disabled(self):
        return sorted(set((self.state / "disabled").read_text().splitlines())) if self.has("disabled") else []


@pytest.fixture
def machine(tmp_path):
    (tmp_path / "layers").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(tmp_path / "layers")], check=True)  # of which overlays can be made
    (tmp_path / "layers" / "m").mkdir()
    try:
        yield Machine(tmp_path / "layers" / "m")
    finally:
        subprocess.run(["umount", "-l", str(tmp_path / "layers")], check=True)


def test_services_are_not_started_and_all_is_taken_back(machine):
    assert machine.run() == 0
    assert machine.has("seen") and machine.left() == [] and machine.disabled() == ["etcd disable", "haproxy disable"]


def test_apt_that_fails_halfway_leaves_nothing_forbidden_and_nothing_at_boot(machine):
    assert machine.run("fails") == 100
    assert machine.left() == [] and machine.disabled() == ["etcd disable"]
    assert machine.run() == 0
    assert machine.left() == [] and machine.disabled() == ["etcd disable", "haproxy disable"]


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_leaves_nothing_forbidden_and_nothing_at_boot(machine, number):
    run = machine.start("stops")
    network.wait_for("apt is at work", lambda: machine.has("waits"), 30)
    os.killpg(run.pid, number)
    assert run.wait(30) == 128 + number
    assert machine.left() == [] and machine.disabled() == ["etcd disable"]


def test_the_next_run_takes_back_what_a_killed_one_left(machine):
    run = machine.start("stops")
    network.wait_for("apt is at work", lambda: machine.has("waits"), 30)
    os.killpg(run.pid, signal.SIGKILL)
    run.wait(30)
    assert len(machine.left()) == 2
    (machine.state / "haproxy").touch()  # somebody has installed the rest: nothing is missing any more
    assert machine.run() == 0
    assert machine.left() == [] and machine.disabled() == ["etcd disable", "haproxy disable"]


def test_a_policy_of_somebody_else_stays(machine):
    (machine.path / "sbin" / "policy-rc.d").unlink()
    (machine.path / "sbin" / "policy-rc.d").write_text("#!/bin/sh\nexit 0\n")
    assert machine.run() == 0
    assert machine.left() == ["sbin/policy-rc.d"]
    assert (machine.path / "sbin" / "policy-rc.d").read_text() == "#!/bin/sh\nexit 0\n"


DEBIAN = "URIs: http://deb.example/debian\nSuites: {0} {0}-updates\nComponents: main\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n"
SOURCES = {
    "one_paragraph_each": {"sources.list.d/debian.sources": "Types: deb\n" + DEBIAN,
                           "sources.list.d/pgquorum-backports.sources": "Types: deb\nURIs: http://other.example/debian\nSuites: {0}-backports\nComponents: main\n"},
    "two_paragraphs": {"sources.list.d/debian.sources": "Types: deb\nURIs: http://security.example/debian\nSuites: {0}-security\nComponents: main\n\nTypes: deb\n" + DEBIAN},
    "one_line": {"sources.list": "deb cdrom:[Debian 12]/ {0} main\ndeb [arch=amd64] http://deb.example/debian {0} main\n"},
}


@pytest.mark.parametrize("name", SOURCES)
def test_debian_is_found_in_every_form_of_list(tmp_path, name):
    (tmp_path / "sources.list.d").mkdir()
    with open("/etc/os-release") as f:
        release = re.search(r"^VERSION_CODENAME=(\w+)$", f.read(), re.M).group(1)
    for path, text in SOURCES[name].items():
        (tmp_path / path).write_text(text.format(release))
    done = subprocess.run(["unshare", "-m", "sh", "-c", f"mount --bind {tmp_path} /etc/apt && exec {ROOT}/tests/harness/deps.sh uri"],
                          capture_output=True, text=True, timeout=60, check=True, stdin=subprocess.DEVNULL)
    assert done.stdout == "http://deb.example/debian\n"


def asked(tmp_path, *goals):
    """What make would install for these, on a machine where it has installed nothing yet."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS")) and k not in ("BUILD", "MODE", "FOR")}
    done = subprocess.run(["make", "-n", f"BUILD={tmp_path}/build", f"COMPILE_STAMP={tmp_path}/compiles", f"DEPS_STAMP={tmp_path}/installed", *goals],
                          cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=True, stdin=subprocess.DEVNULL)
    return re.findall(r"deps\.sh (install(?: build)?|source)\b", done.stdout)


def test_programs_bring_what_compiles_them_and_tests_the_rest(tmp_path):
    assert asked(tmp_path, "all") == ["install build"]
    assert asked(tmp_path, "tests") == ["install build", "install", "source"]
    (tmp_path / "installed").touch()
    (tmp_path / "compiles").touch()
    assert asked(tmp_path, "all") == asked(tmp_path, "tests") == []
