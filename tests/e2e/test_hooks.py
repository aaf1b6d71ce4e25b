"""Commands of the operator: callbacks, pre_promote, before_stop; those that hang hold up nobody (FS-30)."""
import signal

import pytest

import faults
from hooks import callbacks, calls, command, forget
from rig import wait_for


def expect(node, *lines):
    try:
        wait_for(f"{node.name} was told", lambda: calls(node) == list(lines), 15)
    except TimeoutError:
        raise AssertionError(f"{node.name} was told {calls(node)}, and not {list(lines)}") from None


def story(r):
    """Bootstrap, switchover, restarts of an agent and of PostgreSQL, the loss of a node: what everybody was told."""
    r.start_all()
    r.wait_healthy()
    old = r.leader()
    to, other = r.replicas()
    for node in (to, other):
        r.wait_streaming(node)
    expect(old, "on_start primary")
    expect(to, "on_start replica")
    expect(other, "on_start replica")
    forget(r)

    answer = r.ctl("switchover", "--leader", old.name, "--candidate", to.name, "--force")
    assert "Successfully switched over" in answer.stdout, answer.stdout + answer.stderr
    r.wait_healthy()
    expect(old, "on_stop primary", "on_role_change replica")
    expect(to, "on_role_change primary")
    expect(other)
    forget(r)

    for node, role in ((to, "primary"), (other, "replica")):
        node.kill_agent()
        node.start_agent()
        expect(node, f"on_start {role}")
    r.wait_healthy()
    assert r.leader() is to
    forget(r)

    for node, role in ((other, "replica"), (to, "primary")):
        answer = r.ctl("restart", "postgres", node.name, "--force")
        assert answer.returncode == 0, answer.stdout + answer.stderr
        expect(node, f"on_restart {role}")
    r.wait_healthy()
    assert r.leader() is to
    forget(r)

    other.kill_agent(signal.SIGTERM)
    wait_for("the agent is gone", lambda: other.agent_pid() is None, 20)
    assert calls(other) == ["on_stop replica"]
    other.start_agent()
    r.wait_healthy()
    expect(other, "on_stop replica", "on_start replica")
    forget(r)

    to.kill_node()
    new = faults.wait_new_leader(r, to)
    expect(new, "on_role_change primary")
    to.start_agent()
    r.wait_healthy(timeout=90)
    expect(to, "on_role_change replica")
    forget(r)

    assert r.ctl("edit-config", "-p", "work_mem=7MB", "--force").returncode == 0
    for node in r.nodes.values():
        role = "primary" if node is new else "replica"
        wait_for("the reload is told", lambda n=node, o=role: f"on_reload {o}" in calls(n, reloads=True), 15)
        assert calls(node) == []


def test_callbacks_tell_of_every_role(make_rig):
    story(make_rig(extra=callbacks()))


@pytest.mark.rest
def test_callbacks_tell_of_every_role_with_an_etcd(make_rig):
    story(make_rig(extra=callbacks(), store="etcd3", ttl=5, loop_wait=1, retry_timeout=2))


@pytest.mark.rest
def test_callbacks_that_hang_hold_up_nobody(make_rig):
    """FS-30. The one that hangs is killed when there is something newer to tell."""
    r = make_rig(extra=callbacks("sleep 600"))
    r.settle()
    result = faults.node_lost(r)
    print("node lost, callbacks hang", result)
    assert result["direct"] < 12
    leader = r.leader()
    assert calls(leader)[-1] == "on_role_change primary"
    wait_for("the first one was killed", lambda: "callback on_start replica has ended" in leader.log_text(), 10)
    assert "killed on request" in leader.log_text()


def restart_with(r, node, extra):
    node.kill_agent(signal.SIGTERM)
    wait_for("the agent is gone", lambda: node.agent_pid() is None, 20)
    r.write_config(node, extra=extra)
    node.start_agent()
    r.wait_healthy()
    r.wait_streaming(node)


def give_away(r, then):
    """A switchover to a member whose pre_promote does not let it: another one leads, and that one is a standby that follows. What its log
    has of that."""
    old = r.leader()
    to = r.replicas()[0]
    restart_with(r, to, f"  pre_promote: {command('pre_promote', then)}\n  hook_timeout: 2\n")
    asked, before = len(calls(to, "pre_promote")), len(to.log_text())
    with faults.Load(r) as load:
        r.ctl("switchover", "--leader", old.name, "--candidate", to.name, "--force", check=False)
        wait_for("it was asked", lambda: len(calls(to, "pre_promote")) > asked, 20)
        load.wait_writable(40)
        assert r.leader() is not to
    print("pre_promote", then, faults.verify(r, load, may_lose=False))
    assert r.leader() is not to
    text = to.log_text()[before:]
    restart_with(r, to, "")
    return text


def test_pre_promote_that_fails_leaves_the_key_to_another(cluster):
    text = give_away(cluster, "echo not today; exit 7")
    assert "pre_promote: not today" in text and "exit status 7" in text


def test_pre_promote_that_hangs_leaves_the_key_to_another(cluster):
    assert "not done in time, killed" in give_away(cluster, "sleep 600")


@pytest.mark.rest
def test_before_stop_that_hangs_is_not_waited_for(make_rig):
    """The agent of a primary is stopped: the command has what the fence leaves it, and the others take over."""
    r = make_rig(extra=f"  before_stop: {command('before_stop', 'sleep 600')}\n")
    r.settle()
    old = r.leader()
    with faults.Load(r) as load:
        old.kill_agent(signal.SIGTERM)
        faults.wait_new_leader(r, old, 20)
        load.wait_writable(30)
        wait_for("the agent is gone", lambda: old.agent_pid() is None, 20)
        old.start_agent()
    result = faults.verify(r, load, may_lose=False)
    print("before_stop hangs", result)
    assert result["direct"] < 10
    assert len(calls(old, "before_stop")) == 1
    assert "before_stop has ended after" in old.log_text() and "not done in time, killed" in old.log_text()
    assert "the fence has" not in old.log_text()
