"""A clean Debian with systemd as process 1, and what is done in it."""
import glob
import os
import shutil
import signal
import subprocess
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TREE = os.path.dirname(os.path.dirname(HERE))
BUILD = os.path.abspath(os.environ.get("BUILD", "build/debug"))
ROOTS = os.path.join(TREE, "build", "package")
ROOT_SH = os.path.join(HERE, "root.sh")
MARK = os.environ.get("TEST_SCRATCH", "0")  # of tests/harness/scratch.h
POSTGRESQL = {"bookworm": "postgresql-15", "trixie": "postgresql-17"}
NAMESPACES = ["--mount", "--pid", "--net", "--uts", "--ipc", "--cgroup"]
UNIFIED = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"]


def run(*command, check=True, timeout=600, **more):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=timeout, **more)
    if check:
        assert done.returncode == 0, f"{' '.join(command)}: exit status {done.returncode}\n{done.stdout[-3000:]}"
    return done


def wait_for(what, seconds, ask):
    """Until ask() is true; its last answer is told otherwise."""
    until = time.monotonic() + seconds
    while True:
        answer = ask()
        if answer:
            return answer
        assert time.monotonic() < until, f"{what}: not within {seconds} s, but {answer!r}"
        time.sleep(0.1)


def cgroup_make(name):
    point = next(p for p in UNIFIED if os.path.exists(os.path.join(p, "cgroup.procs")))
    path = os.path.join(point, name)
    os.mkdir(path)
    return path


class Container:
    def __init__(self, release):
        self.release = release
        self.base = os.path.join(ROOTS, release, "base")
        self.cache = os.path.join(ROOTS, release, "cache")
        self.work = tempfile.mkdtemp(prefix=f"pgquorum-package.{MARK}-", dir="/var/tmp")
        self.root = os.path.join(self.work, "upper")  # as seen from outside, before it is booted
        self.unshare = self.init = self.cgroup = None
        uri = run(os.path.join(TREE, "tests/harness/deps.sh"), "uri").stdout.strip()
        run(ROOT_SH, "make", self.base, release, uri, timeout=1800)

    def install(self, *packages):
        """Packages (a file is copied in) with what they depend on; nothing is started by that."""
        os.makedirs(os.path.join(self.root, "root"), exist_ok=True)
        names = []
        for package in packages:
            if os.path.isabs(package):
                shutil.copy(package, os.path.join(self.root, "root"))
                package = "/root/" + os.path.basename(package)
            names.append(package)
        return run("unshare", "-m", ROOT_SH, "run", self.base, self.work, self.cache, "/bin/sh", "-euc", """
            mkdir -p /etc/postgresql-common/createcluster.d
            echo 'create_main_cluster = false' > /etc/postgresql-common/createcluster.d/test.conf
            printf '#!/bin/sh\\nexit 101\\n' > /usr/sbin/policy-rc.d
            chmod 755 /usr/sbin/policy-rc.d
            export DEBIAN_FRONTEND=noninteractive
            apt-get update -q
            apt-get install -q -y --no-install-recommends -o APT::Keep-Downloaded-Packages=true "$@"
            rm /usr/sbin/policy-rc.d""", "install", *names, timeout=1800).stdout

    def boot(self):
        self.cgroup = cgroup_make(os.path.basename(self.work))
        procs = os.path.join(self.cgroup, "cgroup.procs")

        def into_cgroup():
            with open(procs, "w") as file:
                file.write("0")
        self.log = open(os.path.join(self.work, "console"), "w")
        self.unshare = subprocess.Popen(["unshare", *NAMESPACES, "--fork", "--kill-child", ROOT_SH, "boot", self.base, self.work],
                                        stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, preexec_fn=into_cgroup)
        wait_for("process 1", 10, self._find_init)
        wait_for("systemd", 60, lambda: self.sh("systemctl is-system-running", check=False).stdout.strip() in ("running", "degraded"))

    def _find_init(self):
        pid = self.unshare.pid
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            children = file.read().split()
        self.init = int(children[0]) if children else None
        return self.init

    def sh(self, script, check=True, timeout=120):
        return run("nsenter", "-t", str(self.init), "-m", "-p", "-n", "-u", "-i", "-C", "-r", "-w", "/bin/sh", "-euc", script,
                   check=check, timeout=timeout, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"})

    def show(self, unit, name):
        return self.sh(f"systemctl show -P {name} {unit}").stdout.strip()

    def main_pid(self, unit):
        return int(self.show(unit, "MainPID"))

    def write(self, path, text, mode="0640", owner="root:postgres"):
        folder = os.path.dirname(path)
        done = subprocess.run(["nsenter", "-t", str(self.init), "-m", "-r", "/bin/sh", "-euc",
                               f"mkdir -p {folder}; cat > {path}; chmod {mode} {path}; chown {owner} {path}"],
                              input=text, text=True, capture_output=True)
        assert done.returncode == 0, done.stderr

    def close(self):
        if self.unshare is not None:
            try:
                os.kill(self.init or self.unshare.pid, signal.SIGKILL)  # process 1 of the container: all else goes with it
            except ProcessLookupError:
                pass
            self.unshare.wait(30)
            self.log.close()
            for folder in sorted(glob.glob(self.cgroup + "/**/", recursive=True), reverse=True):
                try:
                    wait_for("an empty cgroup", 5, lambda: rmdir(folder))
                except AssertionError:
                    pass  # contain's
        shutil.rmtree(self.work, ignore_errors=True)


def rmdir(folder):
    try:
        os.rmdir(folder)
        return True
    except FileNotFoundError:
        return True
    except OSError:
        return False
