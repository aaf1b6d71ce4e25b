"""Small file systems of their own for the nodes of a rig, which can be stalled, filled and made read-only. Needs root.

They are mounted before the nodes boot: a node's mount namespace is a copy of ours from then.
"""
import fcntl
import os
import shutil
import subprocess

from network import run

FIFREEZE, FITHAW = 0xC0045877, 0xC0045878


class Disk:
    """An ext4 in a file, at `place`; `pg` in it belongs to postgres."""

    def __init__(self, place, megabytes):
        self.place, self.image, self.megabytes, self.frozen = place, place + ".img", megabytes, False
        self.directory = os.path.join(place, "pg")
        self.filler = os.path.join(place, "filler")
        os.makedirs(place)
        self.make()

    def make(self):
        with open(self.image, "wb") as f:
            f.truncate(self.megabytes << 20)
        run("mkfs.ext4", "-q", "-m", "0", self.image)
        run("mount", "-o", "loop,errors=remount-ro", self.image, self.place)
        os.mkdir(self.directory, 0o700)
        shutil.chown(self.directory, "postgres", "postgres")

    def ioctl(self, what):
        fd = os.open(self.place, os.O_RDONLY)
        try:
            fcntl.ioctl(fd, what, 0)
        finally:
            os.close(fd)

    def freeze(self):
        """No write comes back any more."""
        self.ioctl(FIFREEZE)
        self.frozen = True

    def thaw(self):
        if self.frozen:
            self.ioctl(FITHAW)
            self.frozen = False

    def fill(self, leave_megabytes):
        found = os.statvfs(self.place)
        size = found.f_bavail * found.f_frsize - (leave_megabytes << 20)
        fd = os.open(self.filler, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if size > 0:
                os.posix_fallocate(fd, os.fstat(fd).st_size, size)
            while leave_megabytes == 0:  # what is left by rounding
                os.lseek(fd, 0, os.SEEK_END)
                os.write(fd, b"0" * 4096)
        except OSError:
            pass  # full
        finally:
            os.close(fd)

    def give_back(self):
        os.truncate(self.filler, 0)

    def break_(self):
        """As after an error that the file system cannot bear: it refuses from then on."""
        subprocess.run(["mount", "-o", "remount,abort", self.place], stdin=subprocess.DEVNULL, capture_output=True)

    def replace(self):
        """By an empty one. (The old one cannot be repaired here: every namespace that was made meanwhile still has it.)"""
        run("umount", "-l", self.place)
        self.image += ".new"
        self.make()

    def close(self):
        self.thaw()
        run("umount", "-l", self.place, check=False)


class Disks:
    """Data directories and pg_wal of all nodes of a rig that is not started yet."""

    def __init__(self, rig, data_megabytes=600, wal_megabytes=200):
        self.data, self.wal = {}, {}
        try:
            for node in rig.nodes.values():
                data = self.data[node.name] = Disk(os.path.join(node.home, "data-disk"), data_megabytes)
                wal = self.wal[node.name] = Disk(os.path.join(node.home, "wal-disk"), wal_megabytes)
                os.symlink(data.directory, os.path.join(node.home, "data"))
                with open(node.config) as f:
                    text = f.read()
                for was, to in (("    - data-checksums\n", f"    - data-checksums\n    - waldir: {wal.directory}\n"),
                                ("  parameters:\n", f"  basebackup:\n    - waldir: {wal.directory}\n  parameters:\n    max_wal_size: 64MB\n")):
                    assert was in text, was
                    text = text.replace(was, to)
                with open(node.config, "w") as f:
                    f.write(text)
        except BaseException:
            self.close()
            raise

    def close(self):
        for disk in [*self.data.values(), *self.wal.values()]:
            disk.close()
