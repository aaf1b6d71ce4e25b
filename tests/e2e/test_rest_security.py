"""Clusters whose REST interfaces ask who calls: they live as any other, and strangers change nothing."""
import os
import re
import signal
import subprocess

import pytest

import faults
from certificates import Authority, put
from rig import ETCD_TIMES, HERE, wait_for

FILES = "  certfile: {home}/rest.crt\n  keyfile: {home}/rest.key\n  cafile: {home}/rest-ca.crt\n"
USER = "  authentication: {{username: admin, password: top-secret}}\n"
CTL = "\nctl:\n  certfile: {home}/rest.crt\n  keyfile: {home}/rest.key\n"
LISTED = "  allowlist: [172.20.0.20]\n  allowlist_include_members: true\n"
SECURED = FILES + USER + LISTED + "  http_extra_headers: {{X-Frame-Options: deny}}\n  server_tokens: ProductOnly\n"
OPTIONAL = SECURED + "  verify_client: optional\n" + CTL


def believe(rig, *authorities):
    for node in rig.nodes.values():
        put("".join(a.text() for a in authorities), os.path.join(node.home, "rest-ca.crt"))


def sign_all(rig, authority):
    for node in rig.nodes.values():
        authority.sign(node.name, os.path.join(node.home, "rest.key"), os.path.join(node.home, "rest.crt"), [node.address])


def give_haproxy(rig):
    """Its certificate and the key in one file, as it wants them."""
    own = os.path.join(rig.home, "haproxy")
    rig.authority.sign("haproxy", own + ".key", own + ".crt")
    text = ""
    for end in (".crt", ".key"):
        with open(own + end) as f:
            text += f.read()
    put(text, own + ".pem")


def start(rig):
    rig.authority = Authority(rig.home, "authority")
    believe(rig, rig.authority)
    sign_all(rig, rig.authority)
    rig.client = os.path.join(rig.home, "caller")
    rig.authority.sign("a caller", rig.client + ".key", rig.client + ".crt")
    give_haproxy(rig)
    rig.start_all()
    rig.start_haproxy()
    rig.wait_healthy()
    return rig


@pytest.fixture
def secured(make_rig):
    """Three members whose changes need certificate, address and password; HAProxy has none of them, and knows who leads."""
    return start(make_rig(restapi=OPTIONAL, check="check-ssl verify none"))


def ask(rig, node, method, path, who=None, user=None, authority=None, host="client"):
    """Status and head of the answer to curl; 0: no answer."""
    argv = ["curl", "-s", "-i", "-m", "20", "-X", method, "--cacert", (authority or rig.authority).certificate]
    argv += ["--cert", who + ".crt", "--key", who + ".key"] if who else []
    argv += ["-u", user] if user else []
    argv += ["-I"] if method == "HEAD" else []
    answer = subprocess.run(["ip", "netns", "exec", rig.namespace(host), *argv, f"https://{node.address}:8008{path}"],
                            capture_output=True, text=True, timeout=30, check=False, stdin=subprocess.DEVNULL)
    return int(answer.stdout.split()[1]) if answer.stdout else 0, answer.stdout


def test_a_cluster_that_is_secured_lives_as_any_other(secured):
    old, password = secured.leader(), "admin:top-secret"
    wait_for("HAProxy finds one of three", lambda: secured.haproxy_states() == ["DOWN", "DOWN", "UP"], 20)
    assert ask(secured, old, "OPTIONS", "/")[0] == 200
    status, head = ask(secured, old, "GET", "/patroni")
    assert status == 200 and "X-Frame-Options: deny" in head and "Server: Patroni" in head, head
    assert f"https://{old.address}:8008/patroni" in secured.ctl("list", "-f", "json").stdout + ask(secured, old, "GET", "/cluster")[1]

    started = secured.sql(old, "SELECT pg_postmaster_start_time()")
    assert ask(secured, old, "POST", "/restart", host="lb", who=secured.client, user=password)[0] == 403  # not listed
    assert ask(secured, old, "POST", "/restart", user=password)[0] == 403  # no certificate
    status, head = ask(secured, old, "POST", "/restart", who=secured.client)
    assert status == 401 and 'WWW-Authenticate: Basic realm="Patroni"' in head
    assert ask(secured, old, "POST", "/restart", who=secured.client, user="admin:secret")[0] == 401
    assert ask(secured, old, "POST", "/restart", who=secured.client, user=password, authority=Authority(secured.home, "another"))[0] == 0
    assert secured.sql(old, "SELECT pg_postmaster_start_time()") == started
    assert ask(secured, old, "POST", "/reload", who=secured.client, user=password)[0] == 202
    member = secured.replicas()[0]
    assert ask(secured, old, "POST", "/reload", who=secured.client, user=password, host=member.name)[0] == 202
    assert "POST /restart of 172.20.0.14" in old.log_text() and "top-secret" not in old.log_text()

    assert "leader_healthy" in secured.ctl("explain", old.name).stdout
    assert secured.ctl("explain").returncode == 0  # of the member whose file it is

    gaps = faults.switchover(secured)
    assert gaps["direct"] < 2, gaps
    answer = secured.ctl("restart", "postgres", member.name, "--force", timeout=90)
    assert "Success" in answer.stdout, answer.stdout + answer.stderr
    secured.wait_healthy()


def test_commands_with_other_credentials_change_nothing(secured):
    leader, path = secured.leader(), os.path.join(secured.home, "operator.yml")
    stranger, expired = os.path.join(secured.home, "stranger"), os.path.join(secured.home, "expired")
    Authority(secured.home, "nobody").sign("node1", stranger + ".key", stranger + ".crt")
    secured.authority.sign_expired("node1", expired + ".key", expired + ".crt")
    with open(secured.nodes["node1"].config) as f:
        good = f.read()
    own = good[good.index("\nctl:"):good.index("\nraft:")]
    files = "\nctl:\n  certfile: {0}.crt\n  keyfile: {0}.key\n"
    rows = [(files.format(stranger), "unknown ca"), (files.format(expired), "certificate expired"), ("\nctl: {}\n", "certificate is required"),
            (own + "  authentication: {username: admin, password: wrong}\n", "name and password"),
            (own + f"  cacert: {stranger}.crt\n", "ctl.cacert")]
    for section, words in rows:
        with open(path, "w") as f:
            f.write(good.replace(own, section))
        argv = ["ip", "netns", "exec", secured.namespace("client"), secured.binary("pgquorum"), "-c", path, "reload", "postgres", "--force"]
        answer = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL)
        said = answer.stdout + answer.stderr
        assert words in said and "Reload request received" not in said, section + said
    assert secured.leader() is leader


def loads(node):
    return node.log_text().count("restapi: certificates were read again")


def rotate(r, new):
    """Authority and all, step by step; nobody tells the members."""
    old = r.authority
    for step in (lambda: believe(r, old, new), lambda: sign_all(r, new), lambda: believe(r, new)):
        counts = {name: loads(node) for name, node in r.nodes.items()}
        step()
        for name, node in r.nodes.items():
            wait_for(f"{name} reads its certificates again", lambda n=node, c=counts[name]: loads(n) > c, 20)


def test_certificates_are_rotated_while_it_runs(secured):
    """Connections are answered throughout, and afterwards the old ones open nothing."""
    new = Authority(secured.home, "next")
    leader = secured.leader()
    agents = {name: node.agent_pid() for name, node in secured.nodes.items()}
    with faults.Load(secured) as load:
        rotate(secured, new)
        load.wait_writable(10)
    assert faults.verify(secured, load, may_lose=False)["haproxy"] < 1
    assert agents == {name: node.agent_pid() for name, node in secured.nodes.items()}
    assert ask(secured, leader, "POST", "/reload", who=secured.client, user="admin:top-secret", authority=new)[0] == 0
    secured.authority = new
    new.sign("a caller", secured.client + ".key", secured.client + ".crt")
    assert ask(secured, leader, "POST", "/reload", who=secured.client, user="admin:top-secret")[0] == 202
    faults.switchover(secured)


def test_wrong_files_change_nothing_until_they_are_right(secured):
    node = secured.replicas()[0]
    certificate, key = os.path.join(node.home, "rest.crt"), os.path.join(node.home, "rest.key")
    with open(certificate) as f:
        good = f.read()
    with open(node.config) as f:
        config = f.read()

    def reload_says(words):
        seen = node.log_text().count(words)
        node.kill_agent(signal.SIGHUP)
        wait_for("the log says " + words, lambda: node.log_text().count(words) > seen, 10)
        assert ask(secured, node, "GET", "/replica")[0] == 200

    put("nonsense", certificate)
    reload_says("reload: restapi.certfile: certificate file")
    put(good, certificate)
    for was, to, words in ((f"keyfile: {key}", f"keyfile: {node.home}/none.key", "restapi.keyfile"),
                           ("verify_client: optional", "verify_client: maybe", "restapi.verify_client: is none of its values"),
                           ("allowlist: [172.20.0.20]", "allowlist: [172.20.0.0/99]", "restapi.allowlist: '172.20.0.0/99' is neither")):
        with open(node.config, "w") as f:
            f.write(config.replace(was, to, 1).replace("top-secret", "changed"))
        reload_says(words)
        assert ask(secured, node, "POST", "/reload", who=secured.client, user="admin:changed")[0] == 401, "nothing of it is taken"
        assert ask(secured, node, "POST", "/reload", who=secured.client, user="admin:top-secret")[0] == 202
    with open(node.config, "w") as f:
        f.write(config.replace("top-secret", "changed"))
    reload_says("reload: the configuration file was read again")
    assert ask(secured, node, "POST", "/reload", who=secured.client, user="admin:top-secret")[0] == 401
    assert ask(secured, node, "POST", "/reload", who=secured.client, user="admin:changed")[0] == 202

    secured.authority.sign_expired(node.name, key, certificate)
    reload_says_expired = "has expired at"
    node.kill_agent(signal.SIGHUP)
    wait_for("an end that has come is told", lambda: reload_says_expired in node.log_text(), 10)
    assert ask(secured, node, "GET", "/replica")[0] == 0, "curl does not believe it"
    sign_all(secured, secured.authority)
    wait_for("the new one is found", lambda: ask(secured, node, "GET", "/replica")[0] == 200, 20)


def kinds(rig):
    """Certificates that are good, and that are not; each with its key."""
    stranger = Authority(rig.home, "stranger")
    made = {"good": lambda *files: rig.authority.sign("a caller", *files), "a member's": lambda *files: rig.authority.sign("node1", *files),
            "expired": lambda *files: rig.authority.sign_expired("a caller", *files),
            "not valid yet": lambda *files: rig.authority.sign_between("a caller", *files, 1, 30),
            "a stranger's": lambda *files: stranger.sign("a caller", *files)}
    for kind, sign in made.items():
        path = os.path.join(rig.home, "of-" + kind.replace(" ", "-"))
        sign(path + ".key", path + ".crt")
        yield kind, path


@pytest.mark.rest
@pytest.mark.parametrize("verify", ["none", "optional", "required"])
def test_callers_with_certificates_of_every_kind(make_rig, verify):
    """Statuses of what reads, and of what changes; 0: there is no connection."""
    r = make_rig(restapi=FILES + f"  verify_client: {verify}\n" + CTL)
    r.check = f"check-ssl verify none crt {r.home}/haproxy.pem"
    start(r)
    node, bad = r.leader(), (200, 202) if verify == "none" else (0, 0)
    without = {"none": (200, 202), "optional": (200, 403), "required": (0, 0)}[verify]
    for kind, path in [("no", None), *kinds(r)]:
        got = ask(r, node, "GET", "/primary", who=path)[0], ask(r, node, "POST", "/reload", who=path)[0]
        assert got == (without if path is None else (200, 202) if kind in ("good", "a member's") else bad), kind


@pytest.mark.rest
def test_members_with_certificates_of_every_kind(secured):
    """Whom a command asks has to show one that is good now, and for its address; the owner is told of dates."""
    node, authority = secured.replicas()[0], secured.authority
    files = os.path.join(node.home, "rest.key"), os.path.join(node.home, "rest.crt")
    rows = [(lambda: authority.sign_expired(node.name, *files), "certificate has expired", "has expired at"),
            (lambda: authority.sign_between(node.name, *files, 1, 30, [node.address]), "certificate is not yet valid", "is not valid before"),
            (lambda: authority.sign("somebody else", *files), "does not match|no alternative certificate subject name matches", None),
            (lambda: Authority(secured.home, "stranger").sign(node.name, *files, [node.address]), "unable to get local issuer", None)]
    for make, words, told in rows:
        seen = loads(node)
        make()
        wait_for("it reads them", lambda n=seen: loads(node) > n, 20)
        assert ask(secured, node, "GET", "/replica")[0] == 0
        answer = secured.ctl("reload", "postgres", node.name, "--force", check=False)
        said = answer.stdout + answer.stderr
        assert re.search(words, said) and "Reload request received" not in said, said
        assert told is None or told in node.log_text()
        assert "Reload request received" in secured.ctl("-k", "reload", "postgres", node.name, "--force").stdout
        secured.wait_healthy()
    seen = loads(node)
    sign_all(secured, authority)
    wait_for("it reads the good one", lambda: loads(node) > seen, 20)
    assert "Reload request received" in secured.ctl("reload", "postgres", node.name, "--force").stdout


def documented():
    """The section that docs/security.md shows, without the line of the address, and with files where the tests have them."""
    with open(os.path.join(os.path.dirname(os.path.dirname(HERE)), "docs", "security.md")) as f:
        text = re.search(r"```yaml\nrestapi:\n  listen: [^\n]*\n(.*?)```", f.read(), re.DOTALL).group(1)
    text = text.replace("{", "{{").replace("}", "}}").replace("secret", "top-secret")
    return text.replace("/etc/pgquorum/ca.crt", "{home}/rest-ca.crt").replace("/etc/pgquorum/", "{home}/").replace("\nctl:", "\n\nctl:")


@pytest.mark.rest
def test_the_section_of_the_documentation(make_rig):
    """A network that nobody here is in, a host that nobody knows, and members: those may, with a certificate and the password."""
    r = start(make_rig(restapi=documented(), check="check-ssl verify none"))
    wait_for("HAProxy finds one of three", lambda: r.haproxy_states() == ["DOWN", "DOWN", "UP"], 20)
    leader, member, password = r.leader(), r.replicas()[0], "admin:top-secret"
    for host in ("client", "lb", member.name):
        assert ask(r, leader, "GET", "/config", host=host)[0] == 200
    assert ask(r, leader, "POST", "/reload", who=r.client, user=password)[0] == 403  # not listed
    assert ask(r, leader, "POST", "/reload", user=password, host=member.name)[0] == 403  # no certificate
    assert ask(r, leader, "POST", "/reload", who=r.client, host=member.name)[0] == 401
    assert ask(r, leader, "POST", "/reload", who=r.client, user=password, host=member.name)[0] == 202
    wait_for("a name that is wrong is told", lambda: "allowlist: 'bastion.example' is not found" in leader.log_text(), 30)
    refused = r.ctl("reload", "postgres", member.name, "--force", check=False)
    assert "Reload request received" not in refused.stdout, refused.stdout
    assert "Reload request received" in r.ctl("reload", "postgres", leader.name, "--force", host=member.name).stdout
    assert "top-secret" not in "".join(node.log_text() for node in r.nodes.values())


@pytest.mark.rest
def test_a_witness_has_new_certificates_and_nothing_else_while_it_runs(make_rig):
    r = make_rig(witnesses=("node3",))
    r.authority = Authority(r.home, "authority")
    believe(r, r.authority)
    sign_all(r, r.authority)
    witness = r.nodes["node3"]
    with open(witness.config) as f:
        text = f.read()
    listen = f"  listen: {witness.rest_address}:8008\n"
    assert listen in text
    with open(witness.config, "w") as f:
        f.write(text.replace(listen, listen + FILES.format(home=witness.home) + "  verify_client: optional\n"))
    r.start_all()
    r.wait_healthy(2)
    assert ask(r, witness, "GET", "/liveness")[0] == 200 and r.http_status(witness.address, "/liveness") != 200
    seen, new = loads(witness), Authority(r.home, "next")
    believe(r, r.authority, new)
    new.sign(witness.name, os.path.join(witness.home, "rest.key"), os.path.join(witness.home, "rest.crt"), [witness.address])
    wait_for("it reads its certificates again", lambda: loads(witness) > seen, 20)
    wait_for("new ones are shown", lambda: ask(r, witness, "GET", "/liveness", authority=new)[0] == 200, 20)
    assert ask(r, witness, "GET", "/liveness")[0] == 0
    with open(witness.config) as f:
        text = f.read()
    with open(witness.config, "w") as f:
        f.write(text.replace("optional", "required"))
    witness.kill_agent(signal.SIGHUP)
    wait_for("it is there", lambda: ask(r, witness, "GET", "/liveness", authority=new)[0] == 200, 10)


def test_a_file_that_is_wrong_at_the_start_ends_it(make_rig):
    r = make_rig(restapi=OPTIONAL)
    r.authority = Authority(r.home, "authority")
    believe(r, r.authority)
    sign_all(r, r.authority)
    node = r.nodes["node1"]
    put("nonsense", os.path.join(node.home, "rest.key"))
    node.start_agent()
    wait_for("it says why", lambda: os.path.exists(node.log) and "restapi.keyfile: key file" in node.log_text(), 10)
    wait_for("it ends", lambda: node.agent_pid() is None, 10)


def etcd_goes(r):
    """And comes back; the primary lives meanwhile by the word of the others."""
    leader, node4, words = r.leader(), r.etcd.members["node4"], "primary in failsafe mode"
    seen = leader.log_text().count(words)
    wait_for("everybody is in the key", lambda: all(n in (r.etcd.get("failsafe") or "") for n in r.nodes), 20)
    with faults.Load(r) as load:
        node4.kill()
        wait_for("it lives by the others' word", lambda: leader.log_text().count(words) > seen, 30)
        load.wait_writable(10)
        node4.start()
        load.wait_writable(10)
    assert r.leader() is leader
    faults.verify(r, load, may_lose=False)


def test_members_ask_each_other_with_certificates(make_rig):
    """The race after a lost node goes over TLS, and the promises of failsafe mode need certificate, name and password; new ones, too."""
    r = make_rig(store="etcd3", restapi=OPTIONAL, check="check-ssl verify none", dcs="    failsafe_mode: true\n", **ETCD_TIMES)
    start(r)
    faults.switchover(r)
    faults.node_lost(r)
    etcd_goes(r)
    new = Authority(r.home, "next")
    rotate(r, new)
    r.authority = new
    etcd_goes(r)
