"""Debian's patronictl, loaded once: most of the time that one call of it takes is Python reading its modules. Each order (a line of JSON:
args, stdin, env) is done by a fork, which is what /usr/bin/patronictl is from there on; the answer is a line of JSON with what it wrote."""
import json
import os
import sys
import tempfile

from patroni.ctl import ctl
import patroni.dcs.etcd  # noqa: F401
import patroni.dcs.etcd3  # noqa: F401


def done(order):
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        given.write(order["stdin"].encode())
        given.seek(0)
        child = os.fork()
        if child == 0:
            for fd, file in enumerate((given, out, err)):
                os.dup2(file.fileno(), fd)
            sys.stdin = open(0)
            sys.argv = ["patronictl", *order["args"]]
            os.environ.update(order["env"])
            ctl(None)  # ends the process
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode())
        return [status, *texts]


for line in iter(sys.stdin.readline, ""):
    print(json.dumps(done(json.loads(line))), flush=True)
