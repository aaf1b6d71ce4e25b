"""The package, on clean Debians under real systemd: what it installs, and what becomes of PostgreSQL when its agent dies, hangs,
is upgraded, stopped and removed. Needs root, debootstrap and Debian's packages; nothing of it reaches the machine.
"""
import glob
import json
import os
import re
import shutil

import pytest
from container import POSTGRESQL, TREE, Container, run, wait_for

OUT = os.path.join(TREE, "build", "deb")
EXAMPLES = "/usr/share/doc/pgquorum/examples"
MEMBERS = ["n1", "n2", "n3"]
UNIT = {name: f"pgquorum@{name}" for name in MEMBERS}

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="another root directory needs root")


def package():
    found = glob.glob(OUT + "/pgquorum_*.deb")
    assert len(found) == 1, f"{OUT}: {found}: run `make deb`"
    return found[0]


def next_version(path):
    """The same package as of a release that is newer by one."""
    tree = path + "/next"
    run("dpkg-deb", "-R", package(), tree)
    with open(tree + "/DEBIAN/control") as file:
        text = file.read()
    with open(tree + "/DEBIAN/control", "w") as file:
        file.write(re.sub(r"^Version: (.*)$", r"Version: \1+next", text, flags=re.M))
    name = "pgquorum-next.deb"
    run("dpkg-deb", "--root-owner-group", "-b", tree, f"{path}/{name}")
    shutil.rmtree(tree)
    return f"{path}/{name}"


@pytest.fixture(scope="module", params=sorted(POSTGRESQL))
def debian(request):
    container = Container(request.param)
    try:
        os.makedirs(container.root + "/root")
        next_version(container.root + "/root")
        container.install(package(), POSTGRESQL[container.release])
        # What `make install PREFIX=/usr/local` installs stands beside it, of the same objects.
        run("make", "-C", OUT + "/src", "install", "COMPAT=1", "PREFIX=/usr/local", "DESTDIR=" + container.work + "/local",
            env={k: v for k, v in os.environ.items() if k not in ("BUILD", "MODE", "MAKEFLAGS")})
        run("cp", "-a", container.work + "/local/.", container.root)
        shutil.rmtree(container.root + "/usr/local/lib/systemd")  # its units would stand before the package's
        container.boot()
        yield container
    finally:
        if request.session.testsfailed:
            print(tell(container))
        container.close()


def tell(container):
    if container.init is None:
        return ""
    return container.sh("journalctl -n 200 --no-pager -o short-monotonic || true", check=False).stdout


def may_raise_limits():
    with open("/proc/self/status") as file:
        return int(re.search(r"CapEff:\s+(\w+)", file.read()).group(1), 16) >> 24 & 1 == 1  # CAP_SYS_RESOURCE


def member_file(debian, number):
    """The packaged example on one of the addresses that the container has, with its names and ports."""
    name = f"n{number}"
    text = debian.sh(f"cat {EXAMPLES}/pgquorum.yml").stdout
    partners = ", ".join(f"192.0.2.{10 + n}:2380" for n in (1, 2, 3) if n != number)
    text = re.sub(r"partner_addrs: \[.*\]", f"partner_addrs: [{partners}]", text)
    text = re.sub(r"192\.0\.2\.11:(8008|5432)", f"192.0.2.{10 + number}:\\1", text)
    text = text.replace("self_addr: 192.0.2.11", f"self_addr: 192.0.2.{10 + number}").replace(":5432", f":{5431 + number}")
    return renamed(text, name)


def renamed(text, name):
    text = text.replace("name: node1", f"name: {name}")
    text = text.replace("pgquorum/main", f"pgquorum/{name}").replace("pgquorum-main", f"pgquorum-{name}")
    return text.replace("CHANGE-ME", "for-this-test")


def members(debian, name="n1"):
    done = debian.sh(f"pgquorum -c /etc/pgquorum/{name}.yml list -f json", check=False)
    try:
        return {row["Member"]: (row["Role"], row["State"]) for row in json.loads(done.stdout)}
    except ValueError:
        return {}


def leader(debian):
    return next((name for name, (role, _) in members(debian).items() if role == "Leader"), None)


def is_whole(debian):
    found = members(debian)
    return sorted(found) == MEMBERS and sorted(found.values()) == [("Leader", "running")] + 2 * [("Replica", "streaming")] and found


def postmaster(debian, name):
    return int(debian.sh(f"head -n 1 /var/lib/postgresql/pgquorum/{name}/postmaster.pid").stdout)


def runs_in_place(debian, name, postmaster_pid, old_agent_pid):
    """A new agent, the same PostgreSQL, and the role that it had."""
    unit = UNIT[name]
    wait_for("another agent", 20, lambda: debian.main_pid(unit) not in (0, old_agent_pid))
    wait_for("its start", 20, lambda: debian.show(unit, "ActiveState") == "active")
    assert postmaster(debian, name) == postmaster_pid
    debian.sh(f"kill -0 {postmaster_pid}")


@pytest.fixture(scope="module")
def cluster(debian):
    for number, name in enumerate(MEMBERS, 1):
        debian.write(f"/etc/pgquorum/{name}.yml", member_file(debian, number))
        debian.sh(f"runuser -u postgres -- pgquorum --validate-config /etc/pgquorum/{name}.yml")
    debian.sh("systemctl start " + " ".join(UNIT.values()))
    wait_for("three members", 120, lambda: is_whole(debian))
    return debian


def test_lintian_finds_no_errors():
    if shutil.which("lintian") is None:
        run("apt-get", "update", "-q")
        run("apt-get", "install", "-q", "-y", "--no-install-recommends", "lintian", env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})
    said = run("lintian", "--no-cfg", "--allow-root", "--fail-on", "error", package(), check=False)
    assert said.returncode == 0, said.stdout


def test_the_guard_is_a_package_of_its_own():
    found = glob.glob(OUT + "/pgquorum-guard-15_*.deb")
    if not found:
        pytest.skip("built without it: make guard-deps")
    files = [line.split()[-1] for line in run("dpkg-deb", "-c", found[0]).stdout.splitlines()]
    assert "./usr/lib/postgresql/15/lib/pgquorum_guard.so" in files
    assert "postgresql-15" in run("dpkg-deb", "-f", found[0], "Depends").stdout
    assert "pgquorum_guard" not in run("dpkg-deb", "-c", package()).stdout
    said = run("lintian", "--no-cfg", "--allow-root", "--fail-on", "error", found[0], check=False)
    assert said.returncode == 0, said.stdout


def test_nothing_is_started_or_enabled_by_the_package(debian):
    units = debian.sh("systemctl list-unit-files --plain --no-legend 'pgquorum*'").stdout.split("\n")
    assert sorted(line.split()[0] for line in units if line) == ["pgquorum-witness@.service", "pgquorum.service", "pgquorum@.service"]
    assert all(line.split()[1] == "disabled" for line in units if line)
    assert debian.sh("systemctl list-units --all --plain --no-legend 'pgquorum*'").stdout == ""
    assert debian.sh("stat -c '%U %a' /var/lib/pgquorum").stdout == "postgres 700\n"
    assert debian.sh("ls -A /etc/pgquorum").stdout == ""


def test_units_are_such_as_systemd_wants_them(debian):
    assert debian.sh("systemd-analyze verify --man=no /usr/lib/systemd/system/pgquorum*.service").stdout == ""
    for unit in "pgquorum.service", "pgquorum@x.service", "pgquorum-witness@x.service":
        said = debian.sh(f"systemd-analyze security --no-pager {unit} | tail -n 1").stdout
        assert float(re.search(r": ([0-9.]+) ", said).group(1)) < 3, said


def test_a_witness_runs_and_comes_back_and_ends(debian):
    """With the sandbox of its unit; alone it is a group of its own."""
    text = debian.sh(f"cat {EXAMPLES}/witness.yml").stdout
    debian.write("/etc/pgquorum/w.yml", renamed(re.sub(r"partner_addrs: \[.*\]", "partner_addrs: []", text), "w"))
    unit = "pgquorum-witness@w"
    debian.sh(f"systemctl start {unit}")

    def leads():
        table = debian.sh("pgquorum -c /etc/pgquorum/w.yml raft status", check=False).stdout
        return re.search(r"^\| witness .*\| Leader +\|.*\| witness +\|", table, flags=re.M)
    wait_for("a leader of the group", 20, leads)
    pid = debian.main_pid(unit)
    for signal_name in "KILL", "STOP":
        debian.sh(f"kill -{signal_name} {pid}")
        wait_for("another process", 20, lambda: debian.main_pid(unit) not in (0, pid))
        wait_for("a leader of the group", 20, leads)
        pid = debian.main_pid(unit)
    debian.sh(f"systemctl stop {unit}")
    assert debian.show(unit, "Result") == "success"
    debian.sh("rm /etc/pgquorum/w.yml; rm -r /var/lib/pgquorum/witness")


def test_three_members_of_packaged_files_make_a_cluster(cluster):
    assert leader(cluster)
    for name in MEMBERS:
        assert cluster.sh(f"ps -o user= -p {cluster.main_pid(UNIT[name])} -p {postmaster(cluster, name)} | sort -u").stdout == "postgres\n"


def test_the_fence_and_postgresql_have_what_the_unit_gives(cluster):
    name = leader(cluster)
    unit = UNIT[name]
    group = cluster.show(unit, "ControlGroup")
    main = cluster.main_pid(unit)
    server = postmaster(cluster, name)
    fence = int(cluster.sh(f"ps -o ppid= -p {server}").stdout)
    assert cluster.sh(f"ps -o comm= -p {fence}").stdout == "pgquorum-fence\n"
    status = cluster.sh(f"cat /proc/{fence}/status").stdout
    assert int(re.search(r"VmLck:\s+(\d+)", status).group(1)) > 0
    assert cluster.sh(f"ps -o cls= -p {server}").stdout.strip() == "TS"
    assert f"{group}/pgquorum-" in cluster.sh(f"cat /proc/{server}/cgroup").stdout
    if not may_raise_limits():
        pytest.skip("without CAP_SYS_RESOURCE systemd can give neither real time nor an OOM score: not looked at")
    assert cluster.sh(f"ps -o cls= -p {fence}").stdout.strip() == "FF"
    score = {pid: int(cluster.sh(f"cat /proc/{pid}/oom_score_adj").stdout) for pid in (main, fence, server)}
    assert set(score.values()) == {-900}
    backends = cluster.sh(f"cat /proc/{server}/task/{server}/children").stdout.split()
    assert backends and {cluster.sh(f"cat /proc/{pid}/oom_score_adj").stdout for pid in backends} == {"0\n"}


def sql(debian, name, text):
    return debian.sh(f"runuser -u postgres -- psql -AtXq -v ON_ERROR_STOP=1 -h /var/run/postgresql -p {5431 + int(name[1:])} <<'SQL'\n{text}\nSQL").stdout


def test_postgresql_can_do_in_its_sandbox_what_it_can_elsewhere(cluster):
    name = leader(cluster)
    compiled = sql(cluster, name, "SET jit_above_cost = 0; EXPLAIN (ANALYZE) SELECT sum(i * 2) FROM generate_series(1, 1000) AS i;")
    assert "JIT:" in compiled or sql(cluster, name, "SELECT pg_jit_available();") == "f\n"
    sql(cluster, name, "CREATE TABLE t (i int); INSERT INTO t SELECT generate_series(1, 100000);")
    sql(cluster, name, "COPY t TO PROGRAM 'gzip > /var/lib/postgresql/t.gz'; COPY t FROM PROGRAM 'gzip -dc /var/lib/postgresql/t.gz';")
    parallel = "SET debug_parallel_query = on" if cluster.release != "bookworm" else "SET force_parallel_mode = on"
    assert sql(cluster, name, f"{parallel}; SELECT count(*) FROM t;") == "200000\n"
    assert cluster.show(UNIT[name], "SystemCallErrorNumber") in ("1", "EPERM")


def test_an_agent_that_is_killed_comes_back_to_its_postgresql(cluster):
    name = leader(cluster)
    agent, server = cluster.main_pid(UNIT[name]), postmaster(cluster, name)
    cluster.sh(f"systemctl kill -s KILL --kill-whom=main {UNIT[name]}")
    runs_in_place(cluster, name, server, agent)
    wait_for("the same cluster", 30, lambda: is_whole(cluster))
    assert leader(cluster) == name


def test_an_agent_that_hangs_is_replaced_and_postgresql_runs_on(cluster):
    name = leader(cluster)
    agent, server = cluster.main_pid(UNIT[name]), postmaster(cluster, name)
    cluster.sh(f"kill -STOP {agent}")
    runs_in_place(cluster, name, server, agent)
    assert "Watchdog timeout" in cluster.sh(f"journalctl --no-pager -u {UNIT[name]}").stdout
    wait_for("the same cluster", 30, lambda: is_whole(cluster))
    assert leader(cluster) == name


def test_an_upgrade_leaves_postgresql_and_the_agent_alone(cluster):
    name = leader(cluster)
    agents = {n: cluster.main_pid(UNIT[n]) for n in MEMBERS}
    servers = {n: postmaster(cluster, n) for n in MEMBERS}
    said = cluster.sh("dpkg -i /root/pgquorum-next.deb").stdout
    assert "agents run on with the release of before" in said
    assert agents == {n: cluster.main_pid(UNIT[n]) for n in MEMBERS}
    assert servers == {n: postmaster(cluster, n) for n in MEMBERS}
    assert "(deleted)" in cluster.sh(f"readlink /proc/{agents[name]}/exe").stdout
    for n in [n for n in MEMBERS if n != name] + [name]:  # as operations.md says
        told = cluster.sh(f"runuser -u postgres -- pgquorum -c /etc/pgquorum/{n}.yml reexec main {n} --force").stdout
        assert f"member {n} was executed anew" in told
        assert cluster.main_pid(UNIT[n]) == agents[n] and postmaster(cluster, n) == servers[n]
        wait_for("its start", 20, lambda: cluster.show(UNIT[n], "ActiveState") == "active")
        assert cluster.sh(f"readlink /proc/{agents[n]}/exe").stdout == "/usr/bin/pgquorum\n"
        wait_for("the same cluster", 30, lambda: is_whole(cluster))
    assert leader(cluster) == name


def test_reload_reads_the_file_again(cluster):
    name = leader(cluster)
    cluster.sh(f"systemctl reload {UNIT[name]}")
    wait_for("a line of the log", 10,
             lambda: "was read again" in cluster.sh(f"journalctl --no-pager -u {UNIT[name]}").stdout)


def test_the_drop_in_of_the_documents_lets_callbacks_become_another_user(cluster):
    with open(os.path.join(TREE, "docs/operations.md")) as file:
        drop_in = re.search(r"```\n(\[Service\]\nNoNewPrivileges=no\n.*?)```", file.read(), flags=re.S).group(1)
    name = next(n for n in MEMBERS if n != leader(cluster))

    def privileges():
        status = cluster.sh(f"cat /proc/{cluster.main_pid(UNIT[name])}/status").stdout
        return [int(re.search(rf"{field}:\s+(\w+)", status).group(1), 16) for field in ("NoNewPrivs", "CapBnd")]
    assert privileges() == [1, 0]
    folder = f"/etc/systemd/system/{UNIT[name]}.service.d"
    cluster.write(folder + "/sudo.conf", drop_in, "0644", "root:root")
    cluster.sh(f"systemctl daemon-reload; systemctl restart {UNIT[name]}")
    no_new, bounding = privileges()
    assert no_new == 0 and bounding != 0
    wait_for("three members", 60, lambda: is_whole(cluster))
    cluster.sh(f"rm -r {folder}; systemctl daemon-reload; systemctl restart {UNIT[name]}")
    wait_for("three members", 60, lambda: is_whole(cluster))


def test_stopping_the_unit_stops_postgresql_and_another_leads(cluster):
    name = leader(cluster)
    server = postmaster(cluster, name)
    group = cluster.show(UNIT[name], "ControlGroup")
    cluster.sh(f"systemctl stop {UNIT[name]}")
    assert cluster.sh(f"kill -0 {server}", check=False).returncode != 0
    assert cluster.show(UNIT[name], "Result") == "success"
    assert cluster.sh(f"cat /sys/fs/cgroup{group}/pgquorum-*/cgroup.procs {group} 2>/dev/null", check=False).stdout == ""
    other = next(n for n in MEMBERS if n != name)
    wait_for("another leader", 30, lambda: ("Leader", "running") in [members(cluster, other).get(n) for n in MEMBERS if n != name])
    cluster.sh(f"systemctl start {UNIT[name]}")
    wait_for("three members", 60, lambda: is_whole(cluster))


def test_removing_the_package_stops_all_and_keeps_the_data(cluster):
    servers = [postmaster(cluster, n) for n in MEMBERS]
    cluster.sh("dpkg --remove pgquorum", timeout=300)
    for pid in servers:
        assert cluster.sh(f"kill -0 {pid}", check=False).returncode != 0
    assert cluster.sh("systemctl list-units --plain --no-legend --state=active 'pgquorum*'").stdout == ""
    cluster.sh("dpkg --purge pgquorum")
    for name in MEMBERS:
        cluster.sh(f"test -e /var/lib/postgresql/pgquorum/{name}/PG_VERSION; test -d /var/lib/pgquorum/{name}; test -e /etc/pgquorum/{name}.yml")


def test_the_documents_patroni_service_starts_us_unchanged(debian):
    """After `make install COMPAT=1 PREFIX=/usr/local`; one member of a group of its own."""
    with open(os.path.join(TREE, "compose/document/patroni.service")) as file:
        debian.write("/etc/systemd/system/patroni.service", file.read(), "0644", "root:root")
    debian.sh("systemctl stop 'pgquorum@*'")
    text = member_file_local(debian)
    debian.write("/etc/patroni/patroni.yml", text)
    debian.sh("systemctl daemon-reload; systemctl start patroni")
    assert debian.show("patroni", "ActiveState") == "active"

    def leads():
        done = debian.sh("/usr/local/bin/patronictl -c /etc/patroni/patroni.yml list -f json", check=False)
        return '"Leader"' in done.stdout and '"running"' in done.stdout
    wait_for("a leader", 60, leads)
    server = postmaster(debian, "alone")
    debian.sh("systemctl stop patroni")
    assert debian.sh(f"kill -0 {server}", check=False).returncode != 0


def member_file_local(debian):
    """The packaged example may be gone with its package: the one of /usr/local."""
    text = debian.sh("cat /usr/local/share/doc/pgquorum/examples/pgquorum.yml").stdout
    return renamed(re.sub(r"partner_addrs: \[.*\]", "partner_addrs: []", text), "alone")
