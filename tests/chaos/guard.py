"""Who takes what out of a data directory (kind "directory" of history.py): the directory's own entries are watched by inotify.

An event is written when it has been read, a moment after it happened. What the rig itself does to a directory is not the cluster's doing:
`set_aside`.
"""
import contextlib
import ctypes
import os
import select
import struct
import threading

import history

CREATE, MOVED_FROM, MOVED_TO, DELETE, OVERFLOW, IGNORED, ISDIR = 0x100, 0x40, 0x80, 0x200, 0x4000, 0x8000, 0x40000000
WANTED = CREATE | MOVED_FROM | MOVED_TO | DELETE
HEAD = struct.Struct("iIII")
EVENTS_BYTES = 65536
libc = ctypes.CDLL(None, use_errno=True)


class Lost(Exception):
    """Events that nobody has read: what was seen proves nothing."""


class Guard(threading.Thread):
    """Of all nodes of a world. A node's directory is watched anew when its file system is another: `watch`."""

    def __init__(self, recorder):
        super().__init__(daemon=True)
        self.recorder, self.lock, self.stopped, self.aside, self.failed = recorder, threading.Lock(), threading.Event(), set(), None
        self.descriptor = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        self.watches = {}  # number -> (node, "above" | "inside")
        self.start()

    def add(self, node, path, what):
        number = libc.inotify_add_watch(self.descriptor, path.encode(), WANTED)
        if number >= 0:
            self.watches[number] = (node, what)
        return number >= 0

    def watch(self, node):
        """Its data directory, and the one above, in which it comes and goes."""
        with self.lock:
            if not self.add(node, os.path.dirname(node.data_dir), "above"):
                raise OSError(ctypes.get_errno(), f"watching the directory of {node.name}")
            self.add(node, node.data_dir, "inside")

    @contextlib.contextmanager
    def set_aside(self, node):
        self.drain()
        self.aside.add(node.name)
        try:
            yield
        finally:
            self.drain()
            self.aside.discard(node.name)

    def write(self, node, event, name):
        if node.name not in self.aside:
            self.recorder.write("directory", node=node.name, at=history.now(), event=event, name=name)

    def one(self, number, mask, name):
        if mask & OVERFLOW:
            raise Lost("more happened in the data directories than was read")
        node, what = self.watches.get(number, (None, None))
        if mask & IGNORED or node is None:
            self.watches.pop(number, None)
        elif what == "inside":
            self.write(node, self.kind(mask), name)
        elif name == os.path.basename(node.data_dir):
            if mask & (CREATE | MOVED_TO):
                self.add(node, node.data_dir, "inside")
            self.write(node, "create" if mask & (CREATE | MOVED_TO) else "gone", ".")

    def kind(self, mask):
        if mask & (CREATE | MOVED_TO):
            return "create"
        if mask & MOVED_FROM:
            return "rename"
        return "rmdir" if mask & ISDIR else "unlink"

    def drain(self):
        """All that has happened by now."""
        with self.lock:
            while True:
                try:
                    data = os.read(self.descriptor, EVENTS_BYTES)
                except BlockingIOError:
                    return
                at = 0
                while at < len(data):
                    number, mask, _, length = HEAD.unpack_from(data, at)
                    self.one(number, mask, data[at + HEAD.size:at + HEAD.size + length].rstrip(b"\0").decode())
                    at += HEAD.size + length

    def run(self):
        while not self.stopped.is_set():
            try:
                if select.select([self.descriptor], [], [], 0.2)[0]:
                    self.drain()
            except Exception as error:  # noqa: BLE001  told when the run is over
                self.failed = error
                return

    def stop(self):
        """Raises what has gone wrong meanwhile."""
        self.stopped.set()
        self.join()
        os.close(self.descriptor)
        if self.failed is not None:
            raise self.failed
