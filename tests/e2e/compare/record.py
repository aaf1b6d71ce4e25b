"""Records what unmodified clients ask of a real etcd 3.4, into recordings/. In tests/e2e: python3 -m compare.record SCENARIO [PROGRAM]

    patroni_v2, patroni_v3   PROGRAM is a Patroni's `patroni` (3.0.2, 4.1); takes two minutes; the version goes into the name
    etcdctl_v2               etcdctl of this machine
    python_etcd              PROGRAM is a Python that has python-etcd
    curl_v2, curl_v3         what people type

Needs root and PostgreSQL 15; nothing of it runs in the tests, which send the recordings again (play.py). To have the programs:

    /usr/bin/python3 -m venv /var/tmp/p302 && /var/tmp/p302/bin/pip install 'patroni[etcd,etcd3]==3.0.2' psycopg2-binary python-etcd
"""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from compare.proxy import Proxy
from compare.transcript import Transcript
from free_ports import free_ports

HERE = pathlib.Path(__file__).resolve().parent
PATRONI = """\
scope: demo
namespace: /service/
name: {name}
restapi: {{listen: '127.0.0.1:{rest}', connect_address: '127.0.0.1:{rest}'}}
{section}: {{host: '127.0.0.1:{etcd}'}}
bootstrap:
  dcs: {{ttl: 20, loop_wait: 2, retry_timeout: 5, maximum_lag_on_failover: 1048576, postgresql: {{use_pg_rewind: true}}}}
  initdb: [{{encoding: UTF8}}, data-checksums]
  pg_hba: ['host all all 127.0.0.1/32 md5', 'host replication all 127.0.0.1/32 md5']
postgresql:
  listen: 127.0.0.1:{port}
  connect_address: 127.0.0.1:{port}
  data_dir: {home}/{name}
  bin_dir: /usr/lib/postgresql/15/bin
  pgpass: {home}/{name}.pgpass
  authentication:
    replication: {{username: replicator, password: rep-pass}}
    superuser: {{username: postgres, password: zalando}}
  parameters: {{unix_socket_directories: '{home}'}}
"""


def wait_for(what, condition, timeout=90):
    end = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(what)
        time.sleep(0.2)


class Bench:
    """A real etcd that tells its clients to come through the proxy."""

    def __init__(self):
        self.home = tempfile.mkdtemp(prefix="pgquorum-record-", dir="/var/tmp")
        shutil.chown(self.home, "postgres", "postgres")
        self.children = []
        client, peer, self.port = free_ports(3)
        self.etcd = f"127.0.0.1:{client}"
        self.start(["/usr/bin/etcd", "--name", "default", "--data-dir", f"{self.home}/etcd", "--enable-v2",
                    "--listen-client-urls", f"http://{self.etcd}", "--advertise-client-urls", f"http://127.0.0.1:{self.port}",
                    "--listen-peer-urls", f"http://127.0.0.1:{peer}", "--initial-advertise-peer-urls", f"http://127.0.0.1:{peer}",
                    "--initial-cluster", f"default=http://127.0.0.1:{peer}"], "etcd.log")
        wait_for("etcd", lambda: self.run("/usr/bin/etcdctl", "--endpoints", self.etcd, "endpoint", "health").returncode == 0)
        self.proxy = Proxy(("127.0.0.1", self.port), ("127.0.0.1", client))

    def start(self, argv, log, **kwargs):
        with open(f"{self.home}/{log}", "a") as out:
            child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, **kwargs)
        self.children.append(child)
        return child

    def run(self, *argv, stdin="", **env):
        return subprocess.run(argv, input=stdin, capture_output=True, text=True, env=dict(os.environ, **env), timeout=120)

    def ctl(self, *args, check=True):
        answer = self.run("/usr/bin/etcdctl", "--endpoints", f"http://127.0.0.1:{self.port}", *args, ETCDCTL_API="2")
        assert not check or answer.returncode == 0, answer
        return answer

    def close(self):
        for child in reversed(self.children):
            if child.poll() is None:
                child.terminate()
                child.wait()
        self.proxy.close()
        shutil.rmtree(self.home, ignore_errors=True)

    def write(self, name, comment):
        transcript = Transcript(self.proxy.exchanges)
        text = f"# {comment}\n" + "\n".join(transcript.lines()) + "\n"
        text = text.replace(self.home, "/home/pg").replace(f"127.0.0.1:{self.port}", "127.0.0.1:2379")
        (HERE / "recordings" / f"{name}.txt").write_text(text)
        print(f"{name}: {len(transcript.kept)} of {len(self.proxy.exchanges)} requests, {len(text)} bytes, "
              f"{transcript.unresolved} numbers unresolved")


class PatroniPair:
    def __init__(self, bench, program, section):
        self.bench, self.program = bench, program
        self.nodes = {}
        for name in ("n1", "n2"):
            rest, port = free_ports(2)
            config = f"{bench.home}/{name}.yml"
            with open(config, "w") as f:
                f.write(PATRONI.format(name=name, rest=rest, section=section, etcd=bench.port, port=port, home=bench.home))
            self.nodes[name] = config
        self.running = {}

    def start(self, name):
        self.running[name] = self.bench.start([self.program, self.nodes[name]], f"{name}.log", user="postgres", group="postgres",
                                              extra_groups=[], start_new_session=True,
                                              env={"PATH": "/usr/lib/postgresql/15/bin:/usr/bin:/bin", "LANG": "C.UTF-8"})

    def kill(self, name):
        """Patroni and its PostgreSQL."""
        pid_file = pathlib.Path(f"{self.bench.home}/{name}/postmaster.pid")
        self.running[name].kill()
        self.running[name].wait()
        os.kill(int(pid_file.read_text().split()[0]), signal.SIGQUIT)

    def ctl(self, *args, stdin=""):
        answer = self.bench.run(self.program + "ctl", "-c", self.nodes["n2"], *args, stdin=stdin)
        print("patronictl", *args, answer.returncode, answer.stderr[-300:])
        return answer

    def rows(self):
        try:
            return {row["Member"]: row for row in json.loads(self.ctl("list", "-f", "json").stdout)}
        except ValueError:
            return {}

    def leads(self, name):
        return self.rows().get(name, {}).get("Role") == "Leader"

    def streams(self, name):
        row = self.rows().get(name, {})
        return row.get("Role") in ("Replica", "Sync Standby") and row.get("State") in ("running", "streaming")


def patroni(bench, program, section):
    pair = PatroniPair(bench, program, section)
    pair.start("n1")
    wait_for("n1 leads", lambda: pair.leads("n1"))
    pair.start("n2")
    wait_for("n2 streams", lambda: pair.streams("n2"))
    pair.ctl("edit-config", "-s", "ttl=21", "-s", "synchronous_mode=true", "--force")
    wait_for("n2 is the synchronous standby", lambda: pair.rows()["n2"]["Role"] == "Sync Standby", 30)
    pair.ctl("edit-config", "-s", "synchronous_mode=false", "-s", "failsafe_mode=true", "--force")
    time.sleep(5)
    pair.ctl("switchover", "demo", "--master" if "302" in program else "--leader", "n1", "--candidate", "n2", "--force")
    wait_for("n2 leads", lambda: pair.leads("n2") and pair.streams("n1"))
    pair.ctl("pause", "--wait")
    pair.ctl("resume", "--wait")
    pair.ctl("history")
    pair.ctl("show-config")
    pair.kill("n2")
    wait_for("n1 leads", lambda: pair.leads("n1"))
    pair.start("n2")
    wait_for("n2 streams", lambda: pair.streams("n2"))
    for name in ("n2", "n1"):
        pair.running[name].terminate()
        pair.running[name].wait()
    pair.ctl("remove", "demo", stdin="demo\nYes I am aware\nn1\n")


def etcdctl_v2(bench):
    for command in ("member list", "cluster-health", "set /a/one 1", "get /a/one", "mk /a/two 2", "mk /a/two 2", "update /a/two 3",
                    "update /a/none 3", "set --ttl 100 /a/three 3", "set --swap-with-value 3 /a/three 4", "set --swap-with-value 3 /a/three 4",
                    "ls /", "ls --sort --recursive -p /", "mkdir /d", "mkdir /d", "setdir --ttl 50 /e", "updatedir --ttl 60 /e", "rmdir /d",
                    "rmdir /none", "rm /a", "rm --with-value 9 /a/three", "rm --with-value 4 /a/three", "rm /a/none", "get /a", "ls /a/one",
                    "-o extended get /a/one", "-o json get /a/one", "get --quorum /a/one", "rm --dir /a", "rm --recursive /a", "rmdir /e",
                    "backup --help"):
        bench.ctl(*command.split(), check=False)
    for args in (["watch", "/w"], ["watch", "--recursive", "/"], ["exec-watch", "--recursive", "/w", "--", "true"]):
        watch = bench.start(["/usr/bin/etcdctl", "--endpoints", f"http://127.0.0.1:{bench.port}", *args], "watch.log",
                            env=dict(os.environ, ETCDCTL_API="2"))
        time.sleep(0.7)
        bench.ctl("set", "/w", "1")
        time.sleep(0.3)
        watch.kill()
        watch.wait()
    bench.ctl("watch", "--after-index", "1", "/a/one")


PYTHON_ETCD = """
import etcd, sys, threading, time
c = etcd.Client(port=int(sys.argv[1]), version_prefix='/v2', allow_reconnect=True)
def tried(f, *args, **kwargs):
    try:
        return f(*args, **kwargs)
    except etcd.EtcdException as error:
        return error
c.machines, c.members, c.leader, c.stats, c.store_stats
tried(lambda: c.leader_stats)
c.version
c.write('/k', 'v'); c.read('/k'); c.read('/k', quorum=True); c.get('/k'); c.set('/k', 'w & <x>', ttl=90)
c.write('/k', 'x', prevValue='w & <x>'); tried(c.write, '/k', 'y', prevValue='nope'); tried(c.write, '/k', 'y', prevExist=False)
r = c.read('/k'); r.value = 'z'; c.update(r)
c.refresh('/k', ttl=80); c.test_and_set('/k', 'zz', 'z')
c.write('/dir', None, dir=True); c.write('/q', 'one', append=True); c.write('/q', 'two', append=True)
c.read('/q', recursive=True, sorted=True)
tried(c.delete, '/dir'); c.delete('/dir', dir=True); tried(c.read, '/none'); tried(c.delete, '/none'); '/k' in c
c.pop('/k')
t = threading.Thread(target=lambda: c.watch('/later', timeout=5)); t.start(); time.sleep(.3)
d = etcd.Client(port=int(sys.argv[1])); d.write('/later', '1'); t.join()
c.watch('/later', index=c.read('/later').modifiedIndex)
tried(c.watch, '/never', timeout=1)
lock = etcd.Lock(c, 'lock'); lock.acquire(lock_ttl=60)
other = etcd.Lock(d, 'lock'); other.acquire(blocking=False); lock.release(); other.acquire(blocking=True, timeout=5); other.release()
c.delete('/q', recursive=True)
"""

CURL_V2 = """
-s URL/version
-s URL/health
-s -L URL/v2/keys
-s URL/v2/keys/ -XPUT
-s URL/v2/keys/message -XPUT -d value=Hello
-s URL/v2/keys/message
-s URL/v2/keys/message?quorum=true
-s URL/v2/keys/foo -XPUT -d value=bar -d ttl=60
-s URL/v2/keys/foo -XPUT -d value=bar -d ttl= -d prevExist=true
-s URL/v2/keys/queue -XPOST -d value=Job1
-s URL/v2/keys/queue -XPOST -d value=Job2
-s URL/v2/keys/queue?recursive=true&sorted=true
-s URL/v2/keys/foo?prevExist=false -XPUT -d value=three
-s URL/v2/keys/foo?prevValue=two -XPUT -d value=three
-s URL/v2/keys/foo?prevValue=bar -XDELETE
-s URL/v2/keys/dir -XPUT -d dir=true
-s URL/v2/keys/dir -XDELETE
-s URL/v2/keys/dir?dir=true -XDELETE
-s -I URL/v2/keys/message
-s -T FILE URL/v2/keys/afile -XPUT --data-urlencode value@FILE
-s URL/v2/stats/self
-s URL/v2/stats/store
-s URL/v2/members
-s URL/none
"""

CURL_V3 = """
-s URL/version
-s URL/v3/kv/put -X POST -d {"key":"Zm9v","value":"YmFy"}
-s URL/v3/kv/range -X POST -d {"key":"Zm9v"}
-s URL/v3/kv/range -X POST -d {"key":"Zm9v","range_end":"Zm9w"}
-s URL/v3/kv/txn -X POST -d {"compare":[{"target":"CREATE","key":"Zm9v","createRevision":"2"}],"success":[{"requestPut":{"key":"Zm9v","value":"YmFy"}}]}
-s URL/v3/kv/txn -X POST -d {"compare":[{"version":"4","result":"EQUAL","target":"VERSION","key":"Zm9v"}],"success":[{"requestRange":{"key":"Zm9v"}}]}
-s -N -m 1 URL/v3/watch -X POST -d {"create_request":{"key":"Zm9v"}}
-s URL/v3/auth/authenticate -X POST -d {"name":"root","password":"pass"}
-s URL/v3beta/kv/range -X POST -d {"key":"Zm9v"}
-s URL/v3alpha/kv/range -X POST -d {"key":"Zm9v"}
"""


def curl(bench, lines):
    path = f"{bench.home}/file"
    pathlib.Path(path).write_text("of a file")
    for line in lines.strip().splitlines():
        if "-T FILE" in line:
            line = line.replace("-T FILE ", "")
        argv = [word.replace("URL", f"http://127.0.0.1:{bench.port}").replace("FILE", path) for word in line.split()]
        bench.run("curl", *argv)


def main():
    scenario, program = sys.argv[1], (sys.argv[2] if len(sys.argv) > 2 else "")
    bench = Bench()
    try:
        if scenario.startswith("patroni"):
            version = bench.run(program, "--version").stdout.split()[-1]
            patroni(bench, program, "etcd" if scenario.endswith("v2") else "etcd3")
            name, comment = f"patroni_{version}_{scenario[-2:]}", f"Patroni {version}, two nodes: start, synchronous and failsafe mode," \
                " switchover, pause, a leader killed, remove"
        elif scenario == "etcdctl_v2":
            etcdctl_v2(bench)
            name, comment = scenario, "etcdctl 3.4 with ETCDCTL_API=2"
        elif scenario == "python_etcd":
            answer = bench.run(program, "-I", "-c", PYTHON_ETCD, str(bench.port))
            assert answer.returncode == 0, answer.stderr
            name, comment = scenario, "python-etcd 0.4.5"
        else:
            curl(bench, CURL_V2 if scenario.endswith("v2") else CURL_V3)
            name, comment = scenario, "curl, as in etcd's own documentation"
        bench.write(name, comment)
    except BaseException:
        if os.environ.get("KEEP"):
            input(f"kept: {bench.home}; return ends it")
        raise
    finally:
        bench.close()


main()
