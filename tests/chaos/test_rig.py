"""The tools of the rig do what the scenarios rely on. Needs root."""
import ctypes
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import time

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "e2e")]
import cgroup  # noqa: E402
import disk  # noqa: E402
import history  # noqa: E402
import injections  # noqa: E402
from network import Network, run  # noqa: E402

BUILD = os.path.abspath(os.environ.get("BUILD", "build/debug"))
CLONE_NEWNS = 0x20000


@pytest.fixture(scope="module", autouse=True)
def own_mounts():
    """Nothing that is mounted here outlives this process."""
    if os.geteuid() != 0:
        pytest.skip("loop devices, cgroups and network namespaces need root")
    assert ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNS) == 0
    run("mount", "--make-rprivate", "/")


@pytest.fixture
def home():
    path = tempfile.mkdtemp(prefix=f"pgquorum-e2e-{os.getpid()}-", dir="/var/tmp")
    yield path
    shutil.rmtree(path)


@pytest.fixture
def one(home):
    made = disk.Disk(os.path.join(home, "image"), os.path.join(home, "at"), 32)
    yield made
    made.close()


def put(path, text, sync):
    with open(path, "w") as f:
        f.write(text)
        f.flush()
        if sync:
            os.fsync(f.fileno())


def test_power_loss_keeps_what_was_synced_and_nothing_else(one):
    put(os.path.join(one.at, "synced"), "kept", True)
    put(os.path.join(one.at, "late"), "not on the device", False)
    copy = one.crash_copy()
    one.go_on_from(copy)
    with open(os.path.join(one.at, "synced")) as f:
        assert f.read() == "kept"
    late = os.path.join(one.at, "late")
    assert not os.path.exists(late) or os.path.getsize(late) == 0


def test_full_disk_takes_no_byte_and_then_takes_them_again(one):
    assert one.fill() < 4096
    with pytest.raises(OSError):
        put(os.path.join(one.at, "more"), "x" * 8192, True)
    one.empty()
    put(os.path.join(one.at, "more"), "x" * 8192, True)


def test_frozen_file_system_makes_writers_wait(one):
    one.freeze()
    child = subprocess.Popen(["dd", "if=/dev/zero", f"of={one.at}/x", "bs=4096", "count=1"], stderr=subprocess.DEVNULL)
    with pytest.raises(subprocess.TimeoutExpired):
        child.wait(0.5)
    one.thaw()
    assert child.wait(5) == 0


def test_cgroup_stands_still_and_goes_on():
    group = cgroup.Cgroup("test")
    child = subprocess.Popen(["sh", "-c", "while :; do echo; sleep 0.01; done"], stdout=subprocess.PIPE, preexec_fn=group.enter)
    try:
        child.stdout.read(1)
        group.freeze()
        os.set_blocking(child.stdout.fileno(), False)
        while child.stdout.read():
            pass
        time.sleep(0.3)
        assert not child.stdout.read()
        group.thaw()
        time.sleep(0.3)
        assert child.stdout.read()
    finally:
        child.kill()
        child.wait()
        group.close()
    assert not os.path.exists(group.path)


def test_who_is_killed_while_it_stands_still_does_not_run_again():
    """Nor what it has started, which hears of it later than its parent."""
    group = cgroup.Cgroup("test")
    script = "(trap '' TERM; while :; do echo; done) & wait"
    child = subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE, preexec_fn=group.enter)
    try:
        child.stdout.read(1)
        group.freeze()
        os.set_blocking(child.stdout.fileno(), False)
        while child.stdout.read():
            pass
        group.kill()
        group.thaw()
        assert not child.stdout.read() and not group.pids()
    finally:
        child.wait()
        group.close()


SEND = "import socket,sys,time\ns=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)\nfor i in range(200):\n s.sendto(b'%d'%i,('10.9.0.2',9))\n time.sleep(0.001)"
HEAR = ("import socket\ns=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)\ns.bind(('10.9.0.2',9))\ns.settimeout(1.5)\nprint('ready',flush=True)\nn=[]\n"
        "try:\n while True: n.append(int(s.recv(100)))\nexcept TimeoutError: print(n)")


def heard(seed, weather):
    """Numbers of the datagrams that come through a cable, in the order they come."""
    net = Network({})
    names = [net.namespace("a"), net.namespace("b")]
    cable = None
    try:
        for name in names:
            run("ip", "netns", "add", name)
            run("ip", "netns", "exec", name, "sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=1")
        cable = subprocess.Popen([os.path.join(BUILD, "chaos_link"), f"/run/netns/{names[0]}", "e0", f"/run/netns/{names[1]}", "e0", str(seed)],
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert cable.stdout.readline() == "ready\n"
        for i, name in enumerate(names):
            other = 2 - i
            run("ip", "-n", name, "link", "set", "e0", "address", f"02:00:00:00:00:0{i + 1}", "up")
            run("ip", "-n", name, "address", "add", f"10.9.0.{i + 1}/24", "dev", "e0")
            run("ip", "-n", name, "neigh", "add", f"10.9.0.{other}", "lladdr", f"02:00:00:00:00:0{other}", "dev", "e0")
        cable.stdin.write(weather + "\n")
        cable.stdin.flush()
        cable.stdout.readline()
        hears = subprocess.Popen(["ip", "netns", "exec", names[1], sys.executable, "-c", HEAR], stdout=subprocess.PIPE, text=True)
        assert hears.stdout.readline() == "ready\n"
        run("ip", "netns", "exec", names[0], sys.executable, "-c", SEND)
        return [int(n) for n in hears.communicate()[0].strip("[]\n ").split(",")]
    finally:
        if cable is not None:
            cable.kill()
            cable.wait()
        for name in names:
            run("ip", "netns", "delete", name, check=False)


def test_cable_treats_the_same_frames_alike_for_a_seed():
    losses = "1000 0 300000 50000 0 0"
    first = heard(7, losses)
    assert 100 < len(set(first)) < 180 and len(first) > len(set(first))
    assert heard(7, losses) == first
    assert heard(8, losses) != first


def test_cable_reorders_what_it_is_told_to():
    numbers = heard(7, "20000 5000 0 0 200000 0")
    assert len(numbers) == 200 and numbers != sorted(numbers)
    assert heard(7, "20000 5000 0 0 0 0") == list(range(200))


def clocks(home, wall_s=0, rate_ppb=0):
    """(wall clock, raw clock) that a process with the preloaded clock sees, less the true ones."""
    path = os.path.join(home, "clock")
    with open(path, "wb") as f:
        f.write(struct.pack("=qqq", wall_s * 10**9, rate_ppb, time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW) - 1000 * 10**9))
    env = dict(os.environ, LD_PRELOAD=os.path.join(BUILD, "chaos_clock.so"), CHAOS_CLOCK=path)
    code = "import time; print(time.time(), time.clock_gettime(time.CLOCK_MONOTONIC_RAW))"
    wall, raw = [float(n) for n in subprocess.run([sys.executable, "-c", code], env=env, check=True, capture_output=True, text=True).stdout.split()]
    return wall - time.time(), raw - time.clock_gettime(time.CLOCK_MONOTONIC_RAW)


def test_clock_is_wrong_as_it_is_told_to_be(home):
    assert clocks(home) == pytest.approx((0, 0), abs=2)
    assert clocks(home, wall_s=-3600) == pytest.approx((-3600, 0), abs=2)
    # A tenth too fast, for the 1000 s since the clocks began to differ.
    assert clocks(home, rate_ppb=100_000_000) == pytest.approx((100, 100), abs=3)


def test_injection_that_shows_nothing_has_not_fired(home):
    recorder = history.Recorder(os.path.join(home, "h"))
    log = injections.Injections(recorder, 5)
    with log.act("FS-99", "node1"):
        pass
    with log.act("FS-98") as told:
        told["evidence"] = 0
    with pytest.raises(ValueError), log.act("FS-97"):
        raise ValueError("it went wrong")
    assert log.done == ["FS-99"]
    assert [(r["phase"], r.get("fired")) for r in log.records] == [("before", None), ("after", True), ("before", None), ("after", False), ("before", None),
                                                                  ("after", False)]
    recorder.close()
