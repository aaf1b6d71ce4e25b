"""What an operator sets of PostgreSQL: for all members in the dynamic configuration, for one in its file. The tests of test_settings*.py.

Nothing here restarts PostgreSQL: every test ends with a look at when its servers were started.
"""
import json
import os
import signal
import subprocess
import threading

import pytest

from hooks import calls, command
from rest import document
from rest import rest as ask
from rig import edit, wait_for

DOCUMENT_HBA = ["local all all md5", "host all rewind_user 0.0.0.0/0 md5", "host all postgres 0.0.0.0/0 md5", "host replication replicator 0.0.0.0/0 md5"]


def patch(rig, body, node=None):
    status, text = ask(rig, node or rig.leader(), "PATCH", "/config", body)
    assert status == 200, (status, text)


def starts(rig):
    return {name: rig.sql(node, "SELECT pg_postmaster_start_time()") for name, node in rig.nodes.items()}


def show(rig, node, name):
    return rig.sql(node, f"SHOW {name}")


def lets_in(rig, node, user="admin", password="admin"):
    try:
        return rig.sql(node, "SELECT 1", user=user, password=password) == "1"
    except subprocess.CalledProcessError as error:
        assert "no pg_hba.conf entry" in error.stderr or "rejects connection" in error.stderr or "authentication failed" in error.stderr, error.stderr
        return False


class Settings:
    """A cluster, and what has to be put back."""

    def __init__(self, rig):
        self.rig, self.started = rig, starts(rig)
        self.files = {name: open(node.config).read() for name, node in rig.nodes.items()}
        self.config = json.loads(ask(rig, rig.leader(), "GET", "/config")[1])

    def put_back(self):
        for name, node in self.rig.nodes.items():
            if open(node.config).read() != self.files[name]:
                with open(node.config, "w") as f:
                    f.write(self.files[name])
                node.kill_agent(signal.SIGHUP)
        status, text = ask(self.rig, self.rig.leader(), "PUT", "/config", self.config)
        assert status == 200, text
        for node in self.rig.nodes.values():
            wait_for("the configuration is in force", lambda n=node: "configuration_error" not in document(self.rig, n), 20)
        assert starts(self.rig) == self.started, "PostgreSQL was restarted"


@pytest.fixture
def settings(cluster):
    s = Settings(cluster)
    yield s
    s.put_back()


# --- the dynamic configuration ---
def test_rules_for_all_open_and_close_access(settings):
    rig = settings.rig
    assert all(lets_in(rig, node) for node in rig.nodes.values())
    patch(rig, {"postgresql": {"pg_hba": DOCUMENT_HBA, "pg_ident": ["people root postgres"]}})
    for node in rig.nodes.values():
        wait_for("nobody else gets in", lambda n=node: not lets_in(rig, n), 15)
        assert show(rig, node, "work_mem") == "4MB"
        with open(os.path.join(node.data_dir, "pg_ident.conf")) as f:
            assert "people root postgres" in f.read()
    patch(rig, {"postgresql": {"pg_hba": DOCUMENT_HBA + ["host all admin 172.20.0.0/16 md5"]}})
    for node in rig.nodes.values():
        wait_for("admin gets in again", lambda n=node: lets_in(rig, n), 15)
    # a member's own rules come before those for all
    own = rig.replicas()[0]
    edit(own, ("  pgpass: ", "  pg_hba: [" + ", ".join(repr(line) for line in DOCUMENT_HBA) + "]\n  pgpass: "))
    own.kill_agent(signal.SIGHUP)
    wait_for("its own rules", lambda: not lets_in(rig, own), 15)
    assert all(lets_in(rig, node) for node in rig.nodes.values() if node is not own)
    # what was given once stays, until something else is: pg_hba.conf has no default to go back to
    patch(rig, {"postgresql": {"pg_hba": ["local all all md5", "host replication replicator 0.0.0.0/0 md5", "host all all 0.0.0.0/0 md5"]}})
    edit(own, ("  pg_hba: [" + ", ".join(repr(line) for line in DOCUMENT_HBA) + "]\n  pgpass: ", "  pgpass: "))
    assert ask(rig, own, "POST", "/reload") == (202, "reload scheduled")
    wait_for("the rules for all", lambda: lets_in(rig, own), 15)


def test_what_no_server_could_read_is_refused(settings):
    rig = settings.rig
    before = ask(rig, rig.leader(), "GET", "/config")[1]
    for section, words in (
            ({"pg_hba": ["host all all 10.0.0.0/8"]}, "postgresql.pg_hba: its item 1: ends before the method"),
            ({"pg_hba": "host all all all md5"}, "postgresql.pg_hba: is a text: give a list of lines"),
            ({"pg_ident": ["a b"]}, "postgresql.pg_ident: its item 1"),
            ({"recovery_conf": {"a b": 1}}, "postgresql.recovery_conf"),
            ({"basebackup": ["pgdata=/tmp"]}, "postgresql.basebackup"),
            ({"pg_ctl_timeout": "soon"}, "postgresql.pg_ctl_timeout"),
            ({"parameters": {"work_mem": "much"}}, "postgresql.parameters.work_mem: invalid value"),
            ({"parameters": {"no_such_parameter": 1, "random_page_cost": -5}}, "no_such_parameter: unrecognized configuration parameter"),
            ({"recovery_conf": {"recovery_min_apply_delay": "soon"}}, "recovery_min_apply_delay: invalid value"),
            ({"custom_conf": "/no/such.conf"}, "postgresql.custom_conf: could not open configuration file"),
            ({"pg_hbaa": []}, "did you mean")):
        status, text = ask(rig, rig.leader(), "PATCH", "/config", {"postgresql": section})
        assert status == 400, (section, status, text)
        assert words.replace("&#39;", "'") in text.replace("&#39;", "'").replace("&#x27;", "'"), text
    assert ask(rig, rig.leader(), "GET", "/config")[1] == before


def test_recovery_settings_for_all(settings):
    rig = settings.rig
    patch(rig, {"postgresql": {"recovery_conf": {"archive_cleanup_command": "true %r"}}})
    for node in rig.nodes.values():
        wait_for("the command", lambda n=node: show(rig, n, "archive_cleanup_command") == "true %r", 15)
    edit(rig.replicas()[0], ("  pgpass: ", "  recovery_conf: {archive_cleanup_command: 'echo %r'}\n  pgpass: "))
    own = rig.replicas()[0]
    own.kill_agent(signal.SIGHUP)
    wait_for("its own", lambda: show(rig, own, "archive_cleanup_command") == "echo %r", 15)
    assert show(rig, rig.leader(), "archive_cleanup_command") == "true %r"


def test_callbacks_for_all(settings):
    rig, own = settings.rig, settings.rig.replicas()[0]
    for node in rig.nodes.values():
        assert calls(node, "all") == []
    patch(rig, {"postgresql": {"callbacks": {"on_reload": command("all")}}})
    for node in rig.nodes.values():
        role = "primary" if node is rig.leader() else "replica"
        wait_for(f"{node.name} calls it", lambda n=node, r=role: calls(n, "all")[-1:] == [f"on_reload {r} postgres"], 15)
    edit(own, ("  pgpass: ", "  callbacks:\n    on_reload: " + command("own") + "\n  pgpass: "))
    own.kill_agent(signal.SIGHUP)
    wait_for("its own", lambda: calls(own, "own") == ["on_reload replica postgres"], 15)
    called = len(calls(own, "all"))
    patch(rig, {"postgresql": {"parameters": {"work_mem": "5MB"}}})
    wait_for("another reload", lambda: len(calls(own, "own")) == 2, 15)
    assert len(calls(own, "all")) == called
    status, text = ask(rig, rig.leader(), "PATCH", "/config", {"postgresql": {"callbacks": {"on_strat": "true"}}})
    assert status == 400 and "postgresql.callbacks.on_strat: is no callback" in text, (status, text)


# --- the file, read again ---
def test_parameter_and_log_of_one_member(settings):
    rig, node = settings.rig, settings.rig.leader()
    edit(node, ("  parameters:\n", "  parameters:\n    work_mem: 9MB\n"), ("\ntags:", "\nlog:\n  type: json\ntags:"))
    answer = rig.ctl("reload", "postgres", node.name, "--force")
    assert f"Reload request received for member {node.name}" in answer.stdout
    wait_for("the parameter", lambda: show(rig, node, "work_mem") == "9MB", 15)
    assert all(show(rig, other, "work_mem") == "4MB" for other in rig.replicas())
    line = next(line for line in reversed(node.log_text().splitlines()) if "reload: the configuration file was read again" in line)
    assert json.loads(line)


def test_tags_are_in_force_at_once(settings):
    rig, node = settings.rig, settings.rig.replicas()[0]
    assert rig.http_status(node.address, "/replica") == 200
    edit(node, ("noloadbalance: false", "noloadbalance: true\n  region: eu"), ("nofailover: false", "nofailover: true"))
    node.kill_agent(signal.SIGHUP)
    wait_for("no balance", lambda: rig.http_status(node.address, "/replica") == 503, 10)
    assert rig.http_status(node.address, "/health?tag_region=eu") == 200
    assert document(rig, node)["tags"] == {"noloadbalance": True, "nofailover": True, "region": "eu"}
    wait_for("the member key", lambda: rig.members()[node.name].get("Tags", {}).get("nofailover") is True, 10)
    answer = rig.ctl("switchover", "--candidate", node.name, "--force", check=False)
    assert answer.returncode != 0, answer.stdout


def test_passwords_of_one_member(settings):
    """The roles' passwords are changed first, then the files: those who are connected stay so, and whoever comes has the new one."""
    rig = settings.rig
    leader, standby = rig.leader(), rig.replicas()[0]
    rig.sql(leader, "ALTER ROLE replicator PASSWORD 'new-rep'")
    rig.sql(leader, "ALTER ROLE rewind_user PASSWORD 'new-rewind'")
    try:
        for node in rig.nodes.values():
            edit(node, ("password: rep-pass", "password: new-rep"), ("password: rewind_password", "password: new-rewind"))
        rig.ctl("reload", "postgres", "--force")
        for node in rig.nodes.values():
            def written(n=node):
                pgpass = os.path.join(n.home, "pgpass0") if rig.etcd is None else os.path.join(n.home, "tmp", "pgpass0")
                return "replicator:new-rep" in open(pgpass).read()
            wait_for("pgpass", written, 15)
        pid = rig.sql(standby, "SELECT pid FROM pg_stat_wal_receiver")
        rig.sql(leader, "SELECT pg_terminate_backend(pid) FROM pg_stat_replication")
        wait_for("another walreceiver", lambda: rig.sql(standby, "SELECT pid FROM pg_stat_wal_receiver WHERE status = 'streaming'") not in ("", pid), 20)
    finally:
        rig.sql(leader, "ALTER ROLE replicator PASSWORD 'rep-pass'")
        rig.sql(leader, "ALTER ROLE rewind_user PASSWORD 'rewind_password'")


def test_another_replication_account(settings):
    rig = settings.rig
    leader, standby = rig.leader(), rig.replicas()[0]
    rig.sql(leader, "CREATE ROLE second LOGIN REPLICATION PASSWORD 'second'")
    patch(rig, {"postgresql": {"pg_hba": ["local all all md5", "host all all 0.0.0.0/0 md5", "host replication all 0.0.0.0/0 md5"]}})
    wait_for("the rules", lambda: "replication" in rig.sql(leader, "SELECT string_agg(database::text, ',') FROM pg_hba_file_rules"), 15)

    def streams_as(user):
        return rig.sql(leader, f"SELECT count(*) FROM pg_stat_replication WHERE application_name = '{standby.name}' AND usename = '{user}'") == "1"
    edit(standby, ("username: replicator\n", "username: second\n"), ("password: rep-pass", "password: second"))
    standby.kill_agent(signal.SIGHUP)
    wait_for("streams as another", lambda: streams_as("second"), 20)
    edit(standby, ("username: second\n", "username: replicator\n"), ("password: second", "password: rep-pass"))
    standby.kill_agent(signal.SIGHUP)
    wait_for("and back", lambda: streams_as("replicator"), 20)
    rig.sql(leader, "DROP ROLE second")


def test_wrong_file_changes_nothing(settings):
    rig, node = settings.rig, settings.rig.leader()
    for number, (was, to, words) in enumerate((
            ("  parameters:\n", "  pg_hba: ['host all']\n  parameters:\n    work_mem: 9MB\n", "postgresql.pg_hba: its item 1"),
            ("  parameters:\n", "  paramters:\n", "did you mean 'parameters'"),
            ("tags:\n", "tags: [\n", f"{node.name}.yml"),
            ("  parameters:\n", "  parameters:\n    max connections: 1\n", "no name of a setting"))):
        edit(node, (was, to))
        node.kill_agent(signal.SIGHUP)
        wait_for("the reason", lambda w=words: w in document(rig, node).get("configuration_error", ""), 10)
        assert node.log_text().count("the configuration of before stays in force") == number + 1
        assert show(rig, node, "work_mem") == "4MB"
        edit(node, (to, was))
    node.kill_agent(signal.SIGHUP)
    wait_for("no reason any more", lambda: "configuration_error" not in document(rig, node), 10)


def test_what_needs_a_restart_is_named(settings):
    rig, node = settings.rig, settings.rig.replicas()[0]
    edit(node, ("  pgpass: ", "  bin_dir: /nonexistent\n  pgpass: ") if rig.etcd is not None else ("  bin_dir: ", "  bin_dir: /nonexistent "),
         ("  parameters:\n", "  parameters:\n    work_mem: 9MB\n"))
    node.kill_agent(signal.SIGHUP)
    wait_for("the rest", lambda: show(rig, node, "work_mem") == "9MB", 15)
    assert "postgresql.bin_dir: is another one in the file now, and is taken at the next start of the agent" in node.log_text()


def test_custom_conf_is_read_in_place_of_the_base_file(settings):
    rig, node = settings.rig, settings.rig.replicas()[0]
    folder, told = (node.home, node.home) if rig.etcd is None else (os.path.join(node.home, "tmp"), "/tmp")
    with open(os.path.join(folder, "custom.conf"), "w") as f:
        f.write("work_mem = 11MB\n")
    os.chmod(os.path.join(folder, "custom.conf"), 0o644)
    edit(node, ("  pgpass: ", f"  custom_conf: {told}/custom.conf\n  pgpass: "))
    node.kill_agent(signal.SIGHUP)
    wait_for("what it says", lambda: show(rig, node, "work_mem") == "11MB", 15)
    edit(node, (f"{told}/custom.conf", f"{told}/no_such.conf"))
    node.kill_agent(signal.SIGHUP)
    wait_for("the reason", lambda: "no_such.conf" in document(rig, node).get("configuration_error", ""), 15)
    assert show(rig, node, "work_mem") == "11MB"


def test_file_is_read_again_while_the_agent_starts(settings):
    rig, node = settings.rig, settings.rig.replicas()[0]
    read = node.log_text().count("reload: the configuration file was read again")
    begun = node.log_text().count("of cluster 'postgres' started")
    node.kill_agent(signal.SIGKILL)
    wait_for("it is gone", lambda: node.agent_pid() is None, 10)
    node.start_agent()
    wait_for("it handles signals", lambda: node.log_text().count("of cluster 'postgres' started") > begun, 20, 0.002)
    pid = node.agent_pid()
    for _ in range(20):
        os.kill(pid, signal.SIGHUP)
    wait_for("it was read", lambda: node.log_text().count("reload: the configuration file was read again") > read, 20)
    assert node.agent_pid() == pid
    rig.wait_streaming(node)


# --- poison (FS-67), and many writers (FS-69) ---
def poison(rig, config):
    """As whoever writes into the store past all checks."""
    rig.ctl("edit-config", "--replace", "-", "--force", stdin=json.dumps(config))


def test_poisoned_parameters_are_left_out(settings):
    rig = settings.rig
    config = json.loads(json.dumps(settings.config))
    config["postgresql"].setdefault("parameters", {}).update(
        {"work_mem": "much", "no_such_parameter": "1", "maintenance_work_mem": "77MB", "random_page_cost": "-5"})
    poison(rig, config)
    for node in rig.nodes.values():
        wait_for("the good one", lambda n=node: show(rig, n, "maintenance_work_mem") == "77MB", 20)
        assert show(rig, node, "work_mem") == "4MB"
        error = document(rig, node)["configuration_error"]
        assert "work_mem" in error and "left out" in error, error
    # it does not block another change
    patch(rig, {"postgresql": {"parameters": {"maintenance_work_mem": "78MB"}}})
    for node in rig.nodes.values():
        wait_for("the other change", lambda n=node: show(rig, n, "maintenance_work_mem") == "78MB", 20)
    # an agent that begins with it, and a server, too
    node = rig.replicas()[0]
    node.kill_agent(signal.SIGKILL)
    wait_for("it is gone", lambda: node.agent_pid() is None, 10)
    node.start_agent()
    rig.wait_streaming(node)
    wait_for("the error again", lambda: "work_mem" in document(rig, node).get("configuration_error", ""), 20)
    assert show(rig, node, "maintenance_work_mem") == "78MB"


def test_custom_conf_that_no_member_has_is_left_out(settings):
    rig = settings.rig
    config = json.loads(json.dumps(settings.config))
    config["postgresql"]["custom_conf"] = "/no/such.conf"
    poison(rig, config)
    for node in rig.nodes.values():
        wait_for("the reason", lambda n=node: "postgresql.custom_conf: could not open" in document(rig, n).get("configuration_error", ""), 20)
    # it does not block another change
    patch(rig, {"postgresql": {"parameters": {"maintenance_work_mem": "79MB"}}})
    for node in rig.nodes.values():
        wait_for("the other change", lambda n=node: show(rig, n, "maintenance_work_mem") == "79MB", 20)


def test_many_writers_have_one_winner_each(settings):
    """Ten clients at three members: what was taken stands, and what was told to be refused does not."""
    rig = settings.rig
    nodes = list(rig.nodes.values())
    taken, refused, other = [], [], []

    def write(client):
        for number in range(6):
            key = f"x{client}.n{number}"
            for _ in range(20):
                status, text = ask(rig, nodes[client % 3], "PATCH", "/config", {"postgresql": {"parameters": {key: client}}})
                if status != 409:
                    break
                refused.append(key)
            (taken if status == 200 else other).append((key, status, text[:200]))
    threads = [threading.Thread(target=write, args=(client,)) for client in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    parameters = json.loads(ask(rig, rig.leader(), "GET", "/config")[1])["postgresql"]["parameters"]
    print(f"taken {len(taken)}, told that another was first {len(refused)} times, given up {len(other)}")
    assert all(status == 409 for _, status, _ in other), other
    assert refused, "nobody met anybody"
    assert sorted(key for key, _, _ in taken) == sorted(key for key in parameters if key.startswith("x"))


def test_one_of_two_replacements_wins(settings):
    rig = settings.rig
    answers = {}

    def replace(node, value):
        answers[value] = ask(rig, node, "PUT", "/config", dict(settings.config, loop_wait=1, maximum_lag_on_failover=value))[0]
    for attempt in range(10):
        answers.clear()
        threads = [threading.Thread(target=replace, args=(node, 1000 * attempt + i)) for i, node in enumerate(rig.nodes.values())]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        winners = [value for value, status in answers.items() if status == 200]
        assert winners and set(answers.values()) <= {200, 409}, answers
        wait_for("one of them", lambda: json.loads(ask(rig, rig.leader(), "GET", "/config")[1])["maximum_lag_on_failover"] in winners, 10)
        if 409 in answers.values():
            return
    pytest.fail("nobody met anybody")
