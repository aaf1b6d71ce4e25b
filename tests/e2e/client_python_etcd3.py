"""What python3-etcd3 does with a store of three, through its own calls: client_python_etcd3.py HOST,HOST,HOST"""
import sys
import threading
import time

import etcd3

HOSTS = sys.argv[1].split(",")


def client(i=0):
    return etcd3.client(host=HOSTS[i], port=2379, timeout=10)


def operations(c, other):
    c.put("/py3/a", "1")
    value, meta = other.get("/py3/a")
    assert value == b"1" and meta.key == b"/py3/a" and meta.version == 1
    assert c.get("/py3/none") == (None, None)
    assert not c.put_if_not_exists("/py3/a", "2") and c.put_if_not_exists("/py3/b", "2")
    assert c.replace("/py3/a", "1", "3") and not c.replace("/py3/a", "1", "4")
    assert [value for value, _ in other.get_prefix("/py3/")] == [b"3", b"2"]
    assert [value for value, _ in c.get_prefix("/py3/", sort_order="descend", sort_target="key")] == [b"2", b"3"]
    assert [value for value, _ in c.get_range("/py3/a", "/py3/b")] == [b"3"]
    assert c.put("/py3/a", "5", prev_kv=True).prev_kv.value == b"3"
    done, answers = c.transaction(compare=[c.transactions.value("/py3/a") == "5", c.transactions.version("/py3/b") > 0],
                                  success=[c.transactions.put("/py3/c", "6"), c.transactions.get("/py3/a")],
                                  failure=[c.transactions.delete("/py3/a")])
    assert done and answers[1][0][0] == b"5"
    done, _ = c.transaction(compare=[c.transactions.create("/py3/a") == 0], success=[], failure=[c.transactions.delete("/py3/c")])
    assert not done and other.get("/py3/c") == (None, None)
    assert c.delete("/py3/a") and not c.delete("/py3/a")
    assert c.delete_prefix("/py3/").deleted == 1


def leases(c, other):
    lease = c.lease(3)
    c.put("/py3/leased", "x", lease=lease)
    for _ in range(3):
        time.sleep(1.5)
        assert lease.refresh()[0].TTL == 3
    assert other.get("/py3/leased")[0] == b"x"
    info = other.get_lease_info(lease.id)
    assert info.grantedTTL == 3 and list(info.keys) == [b"/py3/leased"] and lease.remaining_ttl <= 3
    end = time.monotonic() + 8
    while other.get("/py3/leased")[0] is not None:
        assert time.monotonic() < end
        time.sleep(0.2)
    lease = c.lease(60)
    c.put("/py3/leased", "x", lease=lease)
    other.revoke_lease(lease.id)
    assert c.get("/py3/leased") == (None, None)


def watches(c, other):
    events, cancel = c.watch_prefix("/py3/w/")
    for i in range(10):
        other.put(f"/py3/w/{i}", str(i))
    other.delete("/py3/w/0")
    heard = [next(events) for _ in range(11)]
    cancel()
    assert [e.value for e in heard[:10]] == [str(i).encode() for i in range(10)]
    assert isinstance(heard[10], etcd3.events.DeleteEvent) and heard[10].key == b"/py3/w/0"
    events, cancel = c.watch("/py3/w/3", start_revision=heard[3].mod_revision)  # of the past
    assert next(events).value == b"3"
    cancel()
    late = threading.Timer(0.5, lambda: other.put("/py3/once", "1"))
    late.start()
    assert c.watch_once("/py3/once", timeout=10).value == b"1"
    late.join()
    called = threading.Event()
    watch = c.add_watch_callback("/py3/called", lambda answer: called.set())
    other.put("/py3/called", "1")
    assert called.wait(10)
    c.cancel_watch(watch)


def locks(c, other):
    with c.lock("py", ttl=20) as held:
        assert held.is_acquired()
        second = other.lock("py", ttl=20)
        assert not second.acquire(timeout=1)
        held.refresh()
    assert second.acquire(timeout=10) and second.is_acquired()
    assert second.release()


def cluster(c):
    members = list(c.members)
    assert sorted(url for m in members for url in m.client_urls) == sorted(f"http://{host}:2379" for host in HOSTS)
    status = c.status()
    assert status.version == "3.4.23" and status.leader.id in [m.id for m in members]
    assert list(c.list_alarms()) == [] and c.hash() is not None
    c.put("/py3/compacted", "1")
    c.compact(c.get("/py3/compacted")[1].mod_revision)
    c.defragment()


operations(client(0), client(1))
leases(client(1), client(2))
watches(client(0), client(2))
locks(client(0), client(1))
cluster(client(2))
print("python3-etcd3 is content")
