"""Init of one node: starts what it is told (a JSON object a line on standard input) as user postgres, and reaps.

It has PID 1 in the node's namespace; when it ends, the kernel kills everything in it. Arguments: FROM:TO, directories that the node
sees elsewhere.
"""
import json
import os
import pwd
import resource
import signal
import subprocess
import sys


def start(order):
    user = pwd.getpwnam("postgres")
    if os.fork() != 0:
        return
    try:
        os.setsid()
        log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        null = os.open("/dev/null", os.O_RDONLY)
        os.dup2(null, 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.closerange(3, 256)
        resource.setrlimit(resource.RLIMIT_NOFILE, (1024, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))  # as systemd starts a service
        os.setgroups([user.pw_gid])
        os.setgid(user.pw_gid)
        os.setuid(user.pw_uid)
        os.chdir(order["cwd"])
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        env = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": user.pw_dir, "LANG": "C.UTF-8", "USER": "postgres"}
        env.update(order["env"])
        os.execve(order["argv"][0], order["argv"], env)
    finally:
        os._exit(127)


for pair in sys.argv[1:]:
    shown, seen = pair.split(":")
    os.makedirs(seen, exist_ok=True)
    subprocess.run(["mount", "--bind", shown, seen], check=True)
subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/dev/shm"], check=True)  # a killed postmaster leaves its shared memory
signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps, also orphans, at once
for line in sys.stdin:
    start(json.loads(line))
