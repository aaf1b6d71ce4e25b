"""The packages made of the programs that are there, and looked at without installing them: a minute's worth of what check-deb does."""
import glob
import gzip
import os
import re
import shutil
import subprocess

import pytest
from container import BUILD, TREE, run

OUT = os.path.join(TREE, "build", "smoke", "deb")


@pytest.fixture(scope="module")
def packages():
    if shutil.which("dpkg-buildpackage") is None and os.geteuid() != 0:
        pytest.skip("dpkg-buildpackage is not there, and only root installs it")
    environment = {k: v for k, v in os.environ.items() if k not in ("BUILD", "MODE", "MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    said = run(os.path.join(TREE, "agent/packaging/deb.sh"), os.path.join(TREE, "build/smoke"), cwd=TREE,
               env=dict(environment, PROGRAMS=BUILD, DEB_BUILD_OPTIONS="noautodbgsym")).stdout
    return {re.match(r"(.*?)_", os.path.basename(path)).group(1): path for path in glob.glob(OUT + "/*.deb")}, said


@pytest.fixture(scope="module")
def unpacked(packages, tmp_path_factory):
    root = str(tmp_path_factory.mktemp("root"))
    run("dpkg-deb", "-x", packages[0]["pgquorum"], root)
    return root


def test_all_of_it_is_in_the_package(packages):
    files = {line.split(None, 5)[5]: line.split()[:2] for line in run("dpkg-deb", "-c", packages[0]["pgquorum"]).stdout.splitlines()}
    for name in ("bin/pgquorum", "bin/pgquorum-fence", "share/man/man1/pgquorum.1.gz", "share/bash-completion/completions/pgquorum",
                 "share/zsh/vendor-completions/_pgquorum", "lib/tmpfiles.d/pgquorum.conf", "share/doc/pgquorum/examples/pgquorum.yml"):
        assert f"./usr/{name}" in files
    units = sorted(os.path.basename(name) for name in files if name.endswith(".service"))
    assert units == ["pgquorum-witness@.service", "pgquorum.service", "pgquorum@.service"]
    assert all(owner == "root/root" for _, owner in files.values())


def test_all_documents_are_in_it_and_programs_can_read_theirs(unpacked):
    docs, there = os.path.join(TREE, "docs"), unpacked + "/usr/share/doc/pgquorum"
    names = [os.path.relpath(os.path.join(path, name), docs) for path, _, files in os.walk(docs) for name in files if not name.endswith(".awk")]
    assert {"operations.md", "monitoring/README.md", "pt-BR/README.md"} <= set(names)
    for name in names:
        assert os.path.exists(f"{there}/{name}") or os.path.exists(f"{there}/{name}.gz"), name
    for name in ("alerts.yml", "grafana.json"):
        with open(f"{docs}/monitoring/{name}") as ours, open(f"{there}/monitoring/{name}") as packaged:
            assert ours.read() == packaged.read()


def test_the_programs_in_it_run(unpacked):
    with open(os.path.join(TREE, "agent/version.h")) as file:
        version = re.search(r'PGQUORUM_VERSION "(.*)"', file.read()).group(1)
    assert version in run(unpacked + "/usr/bin/pgquorum", "--version").stdout
    assert os.access(unpacked + "/usr/bin/pgquorum-fence", os.X_OK)
    assert run(unpacked + "/usr/bin/pgquorum", "--validate-config", "-i", unpacked + "/usr/share/doc/pgquorum/examples/pgquorum.yml").stdout == ""


def test_its_units_page_and_scripts_are_whole(packages, unpacked, tmp_path):
    for unit in glob.glob(unpacked + "/usr/lib/systemd/system/*.service") + glob.glob(unpacked + "/lib/systemd/system/*.service"):
        with open(unit) as file:
            text = file.read()
        assert "@bindir@" not in text and "@docdir@" not in text and re.search(r"^ExecStart=/usr/bin/pgquorum ", text, re.M)
    with gzip.open(unpacked + "/usr/share/man/man1/pgquorum.1.gz", "rt") as file:
        assert "\n.TH PGQUORUM 1 " in file.read()
    run("dpkg-deb", "-e", packages[0]["pgquorum"], str(tmp_path / "control"))
    for script in ("postinst", "prerm", "postrm"):
        assert subprocess.run(["sh", "-n", tmp_path / "control" / script], stdin=subprocess.DEVNULL, check=False).returncode == 0


def test_the_guard_is_a_package_of_its_own(packages):
    made, said = packages
    if "pgquorum-guard-15" not in made:
        assert "without pgquorum-guard-15" in said
        pytest.skip("without the headers of PostgreSQL 15's server: make guard-deps")
    assert "./usr/lib/postgresql/15/lib/pgquorum_guard.so" in run("dpkg-deb", "-c", made["pgquorum-guard-15"]).stdout


def test_lintian_finds_no_errors(packages):
    if shutil.which("lintian") is None:
        pytest.skip("lintian is not installed: make check-deb brings it")
    assert run("lintian", "--no-cfg", "--allow-root", "--fail-on", "error", *packages[0].values(), check=False).returncode == 0
