"""What python-etcd does with a store of three, through its own calls: client_python_etcd.py HOST,HOST,HOST"""
import sys
import threading
import time

import etcd

HOSTS = tuple((host, 2379) for host in sys.argv[1].split(","))


def client(first=0):
    return etcd.Client(host=HOSTS[first:] + HOSTS[:first], allow_reconnect=True)


def raises(kind, call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except kind:
        return
    raise AssertionError(f"{call.__name__}{args} did not raise {kind.__name__}")


def operations(c):
    assert c.write("/py/a", "1").value == "1"
    assert c.read("/py/a").value == "1" and c.get("/py/a").action == "get"
    assert "/py/a" in c and "/py/b" not in c
    raises(etcd.EtcdKeyNotFound, c.read, "/py/b")
    raises(etcd.EtcdAlreadyExist, c.write, "/py/a", "2", prevExist=False)
    raises(etcd.EtcdCompareFailed, c.test_and_set, "/py/a", "2", "9")
    assert c.test_and_set("/py/a", "2", "1").value == "2"
    seen = c.read("/py/a")
    seen.value = "3"
    assert c.update(seen).value == "3"
    raises(etcd.EtcdCompareFailed, c.update, seen)
    made = [c.write("/py/queue", str(i), append=True) for i in range(3)]
    assert [child.value for child in c.read("/py/queue", recursive=True, sorted=True).children] == ["0", "1", "2"]
    assert made[0].key < made[1].key < made[2].key
    raises(etcd.EtcdNotFile, c.write, "/py/queue", "x")
    raises(etcd.EtcdNotDir, c.write, "/py/a/b", "x")
    raises(etcd.EtcdDirNotEmpty, c.delete, "/py/queue", dir=True)
    assert c.pop(made[0].key).value == "0"
    c.write("/py/d", None, dir=True)
    c.delete("/py/d", dir=True)
    c.delete("/py/queue", recursive=True)
    raises(etcd.EtcdCompareFailed, c.delete, "/py/a", prevValue="9")
    c.delete("/py/a", prevValue="3")


def leases(c):
    c.write("/py/short", "x", ttl=2)
    assert 0 < c.read("/py/short").ttl <= 2
    c.refresh("/py/short", ttl=4)
    time.sleep(2.5)
    assert c.read("/py/short").value == "x"
    end = time.monotonic() + 8
    while "/py/short" in c:
        assert time.monotonic() < end
        time.sleep(0.2)


def watches(c, other):
    index = c.write("/py/w", "0").modifiedIndex
    late = threading.Timer(0.5, lambda: other.write("/py/w", "1"))
    late.start()
    assert c.watch("/py/w", timeout=10).value == "1"
    late.join()
    assert c.watch("/py/w", index=index + 1, timeout=10).value == "1"  # of the past
    late = threading.Timer(0.5, lambda: [other.write(f"/py/tree/{i}", str(i)) for i in range(5)])
    late.start()
    heard = []
    for event in c.eternal_watch("/py/tree", recursive=True):
        heard.append(event.value)
        if len(heard) == 5:
            break
    late.join()
    assert heard == ["0", "1", "2", "3", "4"]
    raises(etcd.EtcdWatchTimedOut, c.watch, "/py/never", timeout=1)


def locks(c, other):
    first, second = etcd.Lock(c, "py"), etcd.Lock(other, "py")
    assert first.acquire(lock_ttl=20) and first.is_acquired
    assert not second.acquire(blocking=False)
    second.release()
    second = etcd.Lock(other, "py")
    late = threading.Timer(0.5, first.release)
    late.start()
    assert second.acquire(lock_ttl=20, timeout=10)
    late.join()
    assert second.is_acquired and not first.is_acquired
    second.release()


def cluster(c):
    assert sorted(c.machines) == sorted(f"http://{host}:2379" for host, _ in HOSTS)
    assert len(c.members) == 3 and c.leader["id"] in c.members
    c.read("/", recursive=True)
    assert c.stats["name"] and c.store_stats["getsSuccess"] > 0  # of this member


operations(client())
leases(client(1))
watches(client(0), client(2))
locks(client(0), client(1))
cluster(client(2))
print("python-etcd is content")
