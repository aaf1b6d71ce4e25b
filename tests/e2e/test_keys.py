"""What single keys of the file do, on one member that is a cluster by itself (agent/config/keys.def names these tests)."""
import json
import os
import pathlib
import re
import signal

import pytest
import yaml

from network import wait_for
from rig import Rig

# Values of which none is the default; hot_standby can be nothing else.
PARAMETERS = {"hot_standby": "on", "max_connections": "41", "max_locks_per_transaction": "65", "max_prepared_transactions": "3",
              "max_replication_slots": "7", "max_wal_senders": "6", "max_worker_processes": "9", "track_commit_timestamp": "on",
              "wal_keep_size": "64MB", "wal_level": "logical", "wal_log_hints": "off"}
HBA = ["local all all md5", "host all all 0.0.0.0/0 md5", "host replication replicator 0.0.0.0/0 md5"]
LOCAL = f"""\
    work_mem: 9MB
    max_connections: 77
  database: template1
  pg_hba: {json.dumps(HBA)}
  pg_ident: [of_the_file someone postgres]
"""
ENVIRONMENT = {"PATRONI_POSTGRESQL_LISTEN": "172.20.0.10,127.0.0.1:5432", "PATRONI_REPLICATION_PASSWORD": "of-the-environment"}


@pytest.fixture(scope="module")
def alone():
    r = Rig(os.path.abspath(os.environ.get("BUILD", "build/debug")), extra=LOCAL, env=ENVIRONMENT)
    node = r.nodes["node1"]
    try:
        with open(node.config) as f:
            text = f.read()
        dynamic = "".join(f"        {name}: '{value}'\n" for name, value in PARAMETERS.items())
        for was, to in ((re.search(r"partner_addrs: .*", text).group(0), "partner_addrs: []\n  bind_addr: '*:2380'"),
                        ("  listen: 172.20.0.10:8008", "  listen: '*:8008'"),
                        ("      use_pg_rewind: true\n", f"      parameters:\n        work_mem: 7MB\n{dynamic}"),
                        ("\nrestapi:", "log:\n  type: json\n\nrestapi:")):
            assert was in text, was
            text = text.replace(was, to)
        with open(node.config, "w") as f:
            f.write(text)
        node.start_agent()
        r.wait_healthy(count=1)
        r.node = node
        yield r
    except BaseException:
        r.show()
        raise
    finally:
        r.close()


def listeners(r):
    """Addresses of the node that somebody listens on."""
    answer = r.host_popen("node1", ["ss", "-Hltn"], stdout=-1, text=True)
    return {line.split()[3] for line in answer.communicate(timeout=10)[0].splitlines()}


def test_names_are_those_of_the_file(alone):
    assert alone.sql(alone.node, "SHOW cluster_name") == "postgres"
    told = json.loads(alone.http(alone.node.address, "/patroni")[1])["patroni"]
    assert (told["scope"], told["name"]) == ("postgres", "node1")
    assert list(alone.members()) == ["node1"]


def test_local_keys_do_what_they_say(alone):
    node = alone.node
    lines = node.log_text().splitlines()  # the fence's own and PostgreSQL's among them
    assert any("levelname" in json.loads(line) for line in lines if line.startswith("{"))
    assert not [line for line in lines if re.match(r"[0-9-]{10} [0-9:,]+ (INFO|WARNING|ERROR): ", line)]
    open_ports = listeners(alone)
    assert {"*:8008", "*:2380"} <= open_ports or {"0.0.0.0:8008", "0.0.0.0:2380"} <= open_ports
    member = json.loads(alone.http(node.address, "/cluster")[1])["members"][0]
    assert member["api_url"] == "http://172.20.0.10:8008/patroni"
    assert (member["host"], member["port"]) == ("172.20.0.10", 5432)
    assert alone.sql(node, "SHOW listen_addresses") == "172.20.0.10,127.0.0.1"
    assert alone.sql(node, "SHOW work_mem") == "9MB"
    others = "SELECT DISTINCT datname FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
    assert alone.sql(node, others) == "template1"
    assert alone.sql(node, "SELECT count(*) FROM pg_hba_file_rules") == str(len(HBA))
    assert "of_the_file someone postgres" in alone.sql(node, "SELECT pg_read_file('pg_ident.conf')").splitlines()
    pgpass = pathlib.Path(node.home, "pgpass0")
    assert pgpass.stat().st_mode & 0o777 == 0o600 and "of-the-environment" in pgpass.read_text(encoding="utf-8")


def test_parameters_of_all_members_are_the_stores(alone):
    names = ",".join(f"current_setting('{name}')" for name in PARAMETERS)
    assert alone.sql(alone.node, f"SELECT concat_ws(' ', {names})").split() == list(PARAMETERS.values())


def test_variables_go_over_the_file_and_no_child_sees_them(alone):
    login = "postgres://replicator:of-the-environment@172.20.0.10:5432/postgres"
    assert alone.host_popen("client", ["psql", "-X", "-Atc", "SELECT 1", login], stdout=-1, text=True).communicate(timeout=10)[0] == "1\n"
    seen = []
    for pid, program in alone.node.processes().items():
        if program != "pgquorum" and not program.endswith("/pgquorum"):  # its own, as it was begun
            seen += [(program, line) for line in pathlib.Path(f"/proc/{pid}/environ").read_bytes().split(b"\0") if line.startswith(b"PATRONI_")]
    assert not seen and len(alone.node.processes()) > 2


def test_a_file_that_is_made_from_a_running_instance_takes_it_over(alone):
    node, made = alone.node, os.path.join(alone.node.home, "made.yml")

    def ask(*args):
        child = alone.host_popen("node1", ["runuser", "-u", "postgres", "--", alone.binary("pgquorum"), *args], stdout=-1, stderr=-1, text=True)
        out, err = child.communicate(timeout=30)
        return child.returncode, out + err

    assert ask("--generate-config", "--dsn", "host=172.20.0.10 dbname=postgres user=postgres password=zalando", made) == (0, "")
    assert os.stat(made).st_mode & 0o777 == 0o600
    with open(made) as f:
        text = f.read()
    told = yaml.safe_load(text)
    assert (told["scope"], told["postgresql"]["data_dir"]) == ("postgres", node.data_dir)
    assert told["bootstrap"]["dcs"]["postgresql"]["parameters"] == PARAMETERS
    assert told["postgresql"]["parameters"]["work_mem"] == "9MB" and "port" not in told["postgresql"]["parameters"]
    assert (told["postgresql"]["listen"], told["postgresql"]["connect_address"]) == ("172.20.0.10,127.0.0.1:5432", "172.20.0.10:5432")
    assert told["postgresql"]["pg_hba"] == HBA and told["postgresql"]["pg_ident"] == ["of_the_file someone postgres"]
    assert told["postgresql"]["authentication"]["superuser"] == {"username": "postgres", "password": "zalando"}
    assert told["postgresql"]["authentication"]["replication"]["username"] == "replicator"
    status, out = ask("--validate-config", "-p", "-i", made)
    assert status == 0 and "zalando" not in out and yaml.safe_load(out)["scope"] == "postgres", out
    assert ask("--validate-config", made)[0] == 1  # it runs: the ports are in use
    with open(made, "w") as f:
        f.write(text.replace("raft:\n", "raft:\n  password: raft-secret\n"))  # for the command line of another host
    os.chmod(made, 0o644)
    node.kill_agent(signal.SIGTERM)
    wait_for("it is gone", lambda: not node.processes(), 20)
    node.config = made
    node.start_agent()
    alone.wait_healthy(count=1)
    assert alone.sql(node, "SHOW work_mem") == "9MB" and alone.sql(node, "SHOW max_connections") == PARAMETERS["max_connections"]
