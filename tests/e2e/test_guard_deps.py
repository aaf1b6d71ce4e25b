"""make guard-deps with an apt that is a script: the headers of a server come without upgrading the server, or not at all."""
import os
import subprocess

import pytest

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
# SERVER is installed; LISTED are the versions of the headers that apt knows; installing another version than SERVER's upgrades it.
STUBS = {
    "dpkg-query": """for last; do :; done
case "$last" in
postgresql-15) [ -z "$SERVER" ] || echo "ii $SERVER" ;;
*) [ ! -e "$STATE/installed" ] || echo "ii 1" ;;
esac""",
    "apt-cache": 'for v in $LISTED; do echo " $2 | $v | http://example.invalid bookworm/main amd64 Packages"; done',
    "apt-get": """[ "$1" = install ] || exit 0
for last; do :; done
if [ "$2" = -s ]; then
    [ -z "$SERVER" ] || [ "$last" = "postgresql-server-dev-15=$SERVER" ] || echo "Inst postgresql-15 [$SERVER] (15.20 Debian [amd64])"
    echo "Inst postgresql-server-dev-15 (15.20 Debian [amd64])"
else
    echo "$last" > "$STATE/installed"
fi""",
}

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root installs packages")


def guard_deps(path, server, listed, **more):
    """Exit status, what was said, and what was installed (None: nothing)."""
    for name, text in STUBS.items():
        stub = path / name
        stub.write_text(f"#!/bin/sh\n{text}\n")
        stub.chmod(0o755)
    env = {"PATH": f"{path}:/usr/bin:/bin", "STATE": str(path), "SERVER": server, "LISTED": listed, **more}
    done = subprocess.run([os.path.join(ROOT, "tests/harness/guard_deps.sh"), "15"], env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, timeout=60, check=False)
    installed = path / "installed"
    return done.returncode, done.stdout, installed.read_text().strip() if installed.exists() else None


def test_the_headers_are_those_of_the_server_that_is_there(tmp_path):
    status, said, installed = guard_deps(tmp_path, "15.18-0+deb12u1", "15.20-0+deb12u1 15.18-0+deb12u1")
    assert (status, installed) == (0, "postgresql-server-dev-15=15.18-0+deb12u1"), said


def test_a_server_is_not_upgraded_unless_that_is_allowed(tmp_path):
    status, said, installed = guard_deps(tmp_path, "15.18-0+deb12u1", "15.20-0+deb12u1")
    assert (status, installed) == (1, None)
    assert "would upgrade, and may restart, what is in use here: postgresql-15" in said and "UPGRADE=1" in said
    status, said, installed = guard_deps(tmp_path, "15.18-0+deb12u1", "15.20-0+deb12u1", UPGRADE="1")
    assert (status, installed) == (0, "postgresql-server-dev-15"), said


def test_without_a_server_they_are_the_newest(tmp_path):
    status, said, installed = guard_deps(tmp_path, "", "15.20-0+deb12u1")
    assert (status, installed) == (0, "postgresql-server-dev-15"), said
    assert guard_deps(tmp_path, "", "")[:2] == (0, "")  # they are there
