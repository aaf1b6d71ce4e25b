"""Watchdog devices of the nodes, played by this process (tests/chaos/watchdog_preload.c): one that is not petted in time takes its
node away as a reset does, with every process on it at once."""
import errno
import os
import shutil
import socket
import threading
import time

import rig


class Device:
    """As the kernel's driver: opened it runs; stopped, or closed after a 'V', it does not."""

    def __init__(self, node):
        self.node, self.path = node, os.path.join(node.home, "watchdog")
        self.running = self.fired = self.magic = False
        self.timeout, self.petted, self.fired_at = 60, 0.0, None
        self.opens = self.pets = 0
        self.pet_error = self.open_error = 0
        self.lock = threading.Lock()
        self.listener = None

    def listen(self):
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(self.path)
        os.chmod(self.path, 0o777)
        self.listener.listen(4)
        threading.Thread(target=self.serve, daemon=True).start()
        threading.Thread(target=self.watch, daemon=True).start()

    def pet(self):
        self.petted, self.pets = time.monotonic(), self.pets + 1

    def answer(self, what, argument):
        """(errno, value) of one call."""
        if what == "open" and not self.open_error:
            self.running, self.magic, self.timeout, self.opens = True, False, 60, self.opens + 1
            self.pet()
        if what == "settimeout":
            self.timeout = argument
            self.pet()
        if what == "keepalive" or (what == "write" and argument != ord("V")):
            if not self.pet_error:
                self.pet()
            return self.pet_error, 0
        if what == "disable":
            self.running = False
        self.magic = self.magic or what == "write"
        return (self.open_error if what == "open" else 0), self.timeout

    def serve(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            while True:
                try:
                    message = connection.recv(64)
                except OSError:
                    message = b""
                if not message:
                    break
                what, argument = message.decode().split()
                with self.lock:
                    error, value = self.answer(what, int(argument))
                try:
                    connection.send(b"%d %d" % (error, value))
                except OSError:
                    break
            connection.close()
            with self.lock:
                self.running = self.running and not self.magic

    def watch(self):
        while self.listener.fileno() >= 0:
            init = self.node.init
            with self.lock:
                self.running = self.running and init is not None and init.poll() is None  # else the node has no power
                late = self.running and time.monotonic() - self.petted > self.timeout
                if late:
                    self.running, self.fired, self.fired_at = False, True, time.monotonic()
            if late:
                init.kill()  # and with it all that the node runs
            time.sleep(0.005)

    def close(self):
        if self.listener is not None:
            self.listener.close()


class Node(rig.Node):
    def __init__(self, of, name):
        super().__init__(of, name)
        self.watchdog = Device(self)

    def environment(self):
        return dict(super().environment(), LD_PRELOAD=self.rig.binary("watchdog_preload.so"), WATCHDOG_STUB=self.watchdog.path)


class Rig(rig.Rig):
    node_class = Node

    def __init__(self, build, mode="required", **settings):
        self.mode = mode
        super().__init__(build, **settings)
        shutil.copy(os.path.join(build, "watchdog_preload.so"), self.binary("watchdog_preload.so"))
        for node in self.nodes.values():
            node.watchdog.listen()

    def write_config(self, node, **changes):
        super().write_config(node, extra=f"watchdog: {{mode: {self.mode}, device: {node.watchdog.path}, safety_margin: 5}}\n", **changes)

    def close(self):
        super().close()
        for node in self.nodes.values():
            node.watchdog.close()


NO_DEVICE = errno.EBUSY
