"""A node's file systems, each ext4 on a loop device of its own: they can be frozen, filled, made read-only, and cut off from power.

Mounts live in the mount namespace of the run (run_chaos.sh makes it): they are gone with its last process, and the loop devices with them.
A frozen file system would outlive that, so whoever freezes thaws (Disk.close at the latest).
"""
import os
import shutil
import subprocess

MIB = 1 << 20


def run(*args):
    return subprocess.run(args, check=True, stdin=subprocess.DEVNULL, capture_output=True, text=True)


class Disk:
    """`image`: the backing file; `at`: where it is mounted. What it holds belongs to user postgres."""

    def __init__(self, image, at, mib):
        self.image, self.at, self.losses = image, at, 0
        self.frozen = self.mounted = False
        with open(image, "wb") as f:
            f.truncate(mib * MIB)
        # No blocks are kept for root, no work is left for a thread of the kernel.
        run("mkfs.ext4", "-q", "-m", "0", "-E", "lazy_itable_init=0,lazy_journal_init=0,nodiscard", "-b", "4096", image)
        self.mount()
        os.rmdir(os.path.join(at, "lost+found"))
        os.chmod(at, 0o700)
        shutil.chown(at, "postgres", "postgres")

    def mount(self):
        os.makedirs(self.at, exist_ok=True)
        run("mount", "-t", "ext4", "-o", "loop,noatime", self.image, self.at)
        self.mounted = True

    def freeze(self):
        run("fsfreeze", "-f", self.at)
        self.frozen = True

    def thaw(self):
        run("fsfreeze", "-u", self.at)
        self.frozen = False

    def free(self):
        """Bytes that user postgres can still write."""
        st = os.statvfs(self.at)
        return st.f_bavail * st.f_frsize

    def fill(self):
        """To the last block. Returns the bytes that are left."""
        path = os.path.join(self.at, "filler")
        with open(path, "ab") as f:
            size = MIB
            while size >= 4096:
                try:
                    os.posix_fallocate(f.fileno(), os.fstat(f.fileno()).st_size, size)
                except OSError:
                    size //= 2
        return self.free()

    def empty(self):
        os.unlink(os.path.join(self.at, "filler"))

    def remount(self, how):
        run("mount", "-o", f"remount,{how}", self.at)

    def device_writes(self):
        """(writes done, requests under way) of the loop device."""
        dev = os.stat(self.at).st_dev
        with open(f"/sys/dev/block/{os.major(dev)}:{os.minor(dev)}/stat") as f:
            numbers = [int(n) for n in f.read().split()]
        return numbers[4], numbers[8]

    def crash_copy(self):
        """What is on the device now. Nobody may be writing files (their processes are frozen); the kernel may still write back
        what they wrote before: the copy is taken again until nothing was written while it was made."""
        self.losses += 1
        copy = f"{self.image}.{self.losses}"
        for _ in range(20):
            before = self.device_writes()
            run("cp", "--sparse=always", self.image, copy)
            if before[1] == 0 and self.device_writes() == before:
                return copy
        raise RuntimeError(f"{self.image} never stood still for as long as a copy takes")

    def replace(self, copy):
        """Goes on from the copy, as after the power is back. The old device may still be held by processes of other namespaces."""
        self.close()
        os.unlink(self.image)
        self.image = copy
        self.mount()

    def close(self):
        if self.frozen:
            self.thaw()
        if self.mounted:
            subprocess.run(["umount", "-l", self.at], stdin=subprocess.DEVNULL, capture_output=True)
            self.mounted = False
