"""Small file systems, each ext4 on a loop device of its own: they can be frozen, filled, broken, and cut off from power. Needs root.

They are mounted before the nodes boot: a node's mount namespace is a copy of ours from then. A frozen file system outlives processes and
mount namespaces, so whoever freezes thaws (Disk.close at the latest).
"""
import os
import shutil

from network import run

MIB = 1 << 20


class Disk:
    """`image`: the backing file; `at`: where it is mounted. What it holds belongs to user postgres."""

    def __init__(self, image, at, mib):
        self.image, self.at, self.mib, self.losses = image, at, mib, 0
        self.frozen = self.mounted = False
        self.make()

    def make(self):
        """Anew, and empty."""
        with open(self.image, "wb") as f:
            f.truncate(self.mib * MIB)
        # No blocks are kept for root, no work is left for a thread of the kernel.
        run("mkfs.ext4", "-q", "-m", "0", "-E", "lazy_itable_init=0,lazy_journal_init=0,nodiscard", "-b", "4096", self.image)
        self.mount()
        os.rmdir(os.path.join(self.at, "lost+found"))
        os.chmod(self.at, 0o700)
        shutil.chown(self.at, "postgres", "postgres")

    def mount(self):
        os.makedirs(self.at, exist_ok=True)
        run("mount", "-t", "ext4", "-o", "loop,noatime,errors=remount-ro", self.image, self.at)
        self.mounted = True

    def freeze(self):
        """No write comes back any more."""
        run("fsfreeze", "-f", self.at)
        self.frozen = True

    def thaw(self):
        if self.frozen:
            run("fsfreeze", "-u", self.at)
            self.frozen = False

    def free(self):
        """Bytes that user postgres can still write."""
        st = os.statvfs(self.at)
        return st.f_bavail * st.f_frsize

    def fill(self, leave_mib=0):
        """But for that much: by default to the last block. Returns the bytes that are left."""
        path = os.path.join(self.at, "filler")
        with open(path, "ab") as f:
            size = MIB
            while size >= 4096 and self.free() > leave_mib * MIB:
                try:
                    os.posix_fallocate(f.fileno(), os.fstat(f.fileno()).st_size, size)
                except OSError:
                    size //= 2
        return self.free()

    def empty(self):
        os.unlink(os.path.join(self.at, "filler"))

    def fail(self):
        """As after an error that the file system cannot bear: it refuses from then on."""
        run("mount", "-o", "remount,abort", self.at, check=False)

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

    def go_on_from(self, copy):
        """As after the power is back. The old device may still be held by processes of other namespaces."""
        self.close()
        os.unlink(self.image)
        self.image = copy
        self.mount()

    def replace(self):
        """By an empty one. (The old one cannot be repaired: every namespace that was made meanwhile still has it.)"""
        self.close()
        self.image += ".new"
        self.make()

    def close(self):
        self.thaw()
        if self.mounted:
            run("umount", "-l", self.at, check=False)
            self.mounted = False
