"""The compose files by themselves: no engine is needed. The rest of the directory starts them for real."""
import os
import re
import shutil
import subprocess

import pytest
import yaml

TREE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
COMPOSE = os.path.join(TREE, "compose")
PGQUORUM = os.path.join(os.path.abspath(os.environ.get("BUILD", os.path.join(TREE, "build", "debug"))), "pgquorum")
MODES = ["self-contained", "etcd-backed", "etcd-serving"]
NODES = ["node1", "node2", "node3"]


def read(*path):
    with open(os.path.join(COMPOSE, *path), encoding="utf-8") as f:
        return f.read()


def filled(text, **values):
    """As compose fills in variables."""
    def one(match):
        name, default = match.group(1), match.group(3)
        return values.get(name) or ("a-secret" if match.group(2) == ":?" else default)
    return re.sub(r"\$\{(\w+)(:-|:\?)([^}]*)\}", one, text)


def services(mode, **values):
    return yaml.safe_load(filled(read(f"{mode}.yml"), **values))["services"]


def environment(service, prefix="PATRONI_"):
    return {"PATRONI_" + key[len(prefix):]: str(value) for key, value in service["environment"].items() if key.startswith(prefix)}


def validate(file, variables):
    """By the program itself, which warns of variables that it does not know."""
    return subprocess.run([PGQUORUM, "--validate-config", "-i", os.path.join(COMPOSE, file)], capture_output=True, text=True, timeout=30,
                          stdin=subprocess.DEVNULL, env=dict(variables, PATH=os.environ["PATH"]))


@pytest.mark.parametrize("mode", MODES)
def test_hosts_addresses_and_ports_are_the_documents(mode):
    there = services(mode)
    assert sorted(there) == NODES + (["node4"] if mode == "etcd-backed" else []) + ["node5"]
    for name, service in there.items():
        assert service["hostname"] == name
        assert service["networks"]["hosts"]["ipv4_address"] == f"172.20.0.{9 + int(name[-1])}"
    ports = {name: service.get("ports", []) for name, service in there.items()}
    assert [ports[node] for node in NODES] == [[f"127.0.0.1:{8008 + i}:8008"] for i in range(3)]
    read_only = [] if mode == "etcd-backed" else ["127.0.0.1:5001:5001"]
    assert sorted(ports["node5"]) == sorted(["127.0.0.1:5000:5000", "127.0.0.1:7000:7000"] + read_only)


@pytest.mark.parametrize("mode", MODES)
def test_another_network_is_everywhere(mode):
    text = filled(read(f"{mode}.yml"), NET="10.9.8", SUBNET="10.9.8.0/24")
    assert "172.20" not in "\n".join(line for line in text.split("\n") if not line.lstrip().startswith("#"))


@pytest.mark.parametrize("mode,node", [(mode, node) for mode in ("self-contained", "etcd-backed") for node in NODES])
def test_each_nodes_configuration_is_good(mode, node):
    service = services(mode)[node]
    file = "document/patroni.yml" if mode == "etcd-backed" else f"{mode}/patroni.yml"
    assert any(volume.startswith(f"./{file}:/etc/patroni/patroni.yml") for volume in service["volumes"])
    variables = environment(service)
    if mode == "etcd-backed":
        assert variables["PATRONI_ETCD_HOST"] == "172.20.0.13:2379"
        variables["PATRONI_ETCD_HOST"] = "127.0.0.1:2379"  # it is asked for, and must be on this machine
    answer = validate(file, variables)
    said = [line for line in (answer.stdout + answer.stderr).split("\n") if line and "cannot be reached: " not in line]
    assert said == [], said  # but that no etcd is there now


def test_no_password_is_in_a_file_but_the_documents():
    for path in ("self-contained.yml", "etcd-backed.yml", "etcd-serving.yml", "self-contained/patroni.yml", "etcd-serving/patroni.yml",
                 "self-contained/witness.yml", "etcd-serving/witness.yml", "witness.yml", "Dockerfile"):
        text = read(path)
        for line in text.split("\n"):
            found = re.match(r"\s*\w*password: *(\S+)", line, re.I)
            assert not found or found.group(1).startswith(("${", '""')), f"{path}: {line}"


def test_haproxy_has_the_documents_servers_in_both_files():
    servers = [re.findall(r"^ +server .*$", read(path), re.M) for path in ("document/haproxy.cfg", "haproxy-read-only.cfg")]
    assert servers[0] == servers[1] and len(servers[0]) == 3


def test_the_etcd_is_the_documents_but_for_what_it_does_not_start_with():
    document = dict(line.split("=", 1) for line in read("document", "etcd.default").split())
    document = {key: value.strip('"') for key, value in document.items()}
    own = services("etcd-backed")["node4"]["environment"]
    document.pop("ETCD_VERSION")
    document["ETCD_LISTEN_CLIENT_URLS"] = document["ETCD_LISTEN_CLIENT_URLS"].replace("http://localhost:2379,", "")
    assert own == dict(document, ETCD_ENABLE_V2="true", ETCD_DATA_DIR="/var/lib/etcd")


@pytest.mark.parametrize("files", [[mode] for mode in MODES] + [["self-contained", "witness"]], ids="-".join)
def test_docker_compose_takes_it(files):
    if shutil.which("docker-compose") is None:
        pytest.skip("docker-compose is not installed")
    named = [word for file in files for word in ("-f", f"{file}.yml")]
    secrets = {f"{name}_PASSWORD": "a-secret" for name in ("SUPERUSER", "REPLICATION", "REWIND", "ADMIN", "RAFT")}
    answer = subprocess.run(["docker-compose", *named, "config", "-q"], cwd=COMPOSE, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL,
                            env={"PATH": os.environ["PATH"], **secrets})
    assert answer.returncode == 0, answer.stderr


def test_what_compiles_in_the_image_is_copied_there(tmp_path):
    """As the builder's stage has it: make finds everything, and only what compiles is asked for."""
    stage = re.search(r"^FROM \S+ AS build$(.*?)^FROM ", read("Dockerfile"), re.M | re.S).group(1)
    for line in re.findall(r"^COPY (.*)$", stage, re.M):
        *sources, to = line.split()
        for source in sources:
            target = tmp_path / to / (os.path.basename(source) if to.endswith("/") else "")
            target.parent.mkdir(parents=True, exist_ok=True)
            subprocess.run(["cp", "-rT", os.path.join(TREE, source), str(target)], check=True)
    stamp = tmp_path / "build/deps/compiles"  # as `make deps FOR=build` leaves it
    stamp.parent.mkdir(parents=True, exist_ok=True)
    stamp.touch()
    variables = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS")) and k not in ("BUILD", "MODE")}
    answer = subprocess.run(["make", "-n", "MODE=release", "all", "install-programs", "DESTDIR=/out"], cwd=tmp_path, capture_output=True, text=True,
                            timeout=120, stdin=subprocess.DEVNULL, env=variables)
    assert answer.returncode == 0, answer.stderr
    assert "deps.sh" not in answer.stdout
