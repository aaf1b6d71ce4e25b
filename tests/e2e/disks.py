"""Data directories and pg_wal of a rig's nodes on file systems of their own (disk.py)."""
import os
import shutil

from disk import Disk


def directory(disk):
    return os.path.join(disk.at, "pg")


def make_directory(disk):
    os.mkdir(directory(disk), 0o700)
    shutil.chown(directory(disk), "postgres", "postgres")


class Disks:
    """Of all nodes of a rig that is not started yet. On each a directory, which a server can have whatever else is there."""

    def __init__(self, rig, data_mib=600, wal_mib=200):
        self.data, self.wal = {}, {}
        try:
            for node in rig.nodes.values():
                data = self.data[node.name] = Disk(node.home + "-data.img", os.path.join(node.home, "data-disk"), data_mib)
                wal = self.wal[node.name] = Disk(node.home + "-wal.img", os.path.join(node.home, "wal-disk"), wal_mib)
                for disk in (data, wal):
                    make_directory(disk)
                os.symlink(directory(data), os.path.join(node.home, "data"))
                with open(node.config) as f:
                    text = f.read()
                for was, to in (("    - data-checksums\n", f"    - data-checksums\n    - waldir: {directory(wal)}\n"),
                                ("  parameters:\n", f"  basebackup:\n    - waldir: {directory(wal)}\n  parameters:\n    max_wal_size: 64MB\n")):
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

    def replace(self, name):
        """That node has new ones, and nothing on them."""
        for disk in (self.data[name], self.wal[name]):
            disk.replace()
            make_directory(disk)
