"""make guard-deps with an apt that is a script: the headers of a server are unpacked in the tree, and nothing is installed."""
import os
import shutil
import subprocess

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
HEADER = "usr/include/postgresql/99/server/postgres.h"
# SERVER is installed; LISTED are the versions of the headers that apt can download, once its lists are there (STATE/updated).
STUBS = {
    "dpkg-query": '[ -z "$SERVER" ] || echo "$SERVER"',
    "apt-get": """for last; do :; done
echo "$last" >> "$STATE/asked"
case " $* " in
*" update "*) touch "$STATE/updated" ;;
*" download "*)
    [ -e "$STATE/updated" ] || { echo "E: no lists" >&2; exit 100; }
    for v in $LISTED; do
        case "$last" in
        postgresql-server-dev-99 | postgresql-server-dev-99="$v") echo "$v" > got.deb; exit 0 ;;
        esac
    done
    echo "E: Unable to locate package" >&2
    exit 100 ;;
*) echo "$*" >> "$STATE/more" ;;
esac""",
    "dpkg-deb": 'mkdir -p "$3/$(dirname "$HEADER")" && cp "$2" "$3/$HEADER"',
}


def guard_deps(path, server, listed):
    """Exit status, what was said, and the version whose headers were unpacked (None: nothing)."""
    tree = path / "tree"
    (tree / "tests/harness").mkdir(parents=True, exist_ok=True)
    shutil.copy(os.path.join(ROOT, "tests/harness/guard_deps.sh"), tree / "tests/harness")
    for name, text in STUBS.items():
        stub = path / name
        stub.write_text(f"#!/bin/sh\n{text}\n")
        stub.chmod(0o755)
    env = {"PATH": f"{path}:/usr/bin:/bin", "STATE": str(path), "SERVER": server, "LISTED": listed, "HEADER": HEADER}
    done = subprocess.run([tree / "tests/harness/guard_deps.sh", "99"], env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=60, check=False)
    assert not (path / "more").exists()  # neither installed nor upgraded
    header = tree / "build/deps/server-dev-99" / HEADER
    return done.returncode, done.stdout, header.read_text().strip() if header.exists() else None


def test_the_headers_are_those_of_the_server_that_is_there(tmp_path):
    status, said, unpacked = guard_deps(tmp_path, "99.18-0", "99.20-0 99.18-0")
    assert (status, unpacked) == (0, "99.18-0"), said
    asked = (tmp_path / "asked").read_text()
    assert guard_deps(tmp_path, "99.18-0", "99.20-0")[:2] == (0, "")  # they are there
    assert (tmp_path / "asked").read_text() == asked


def test_those_of_the_newest_where_its_own_are_gone_and_without_a_server(tmp_path):
    for server in ("99.18-0", ""):
        path = tmp_path / f"server{server}"
        path.mkdir()
        status, said, unpacked = guard_deps(path, server, "99.20-0")
        assert (status, unpacked) == (0, "99.20-0"), said


def test_what_cannot_be_had_is_told_with_what_to_do(tmp_path):
    status, said, unpacked = guard_deps(tmp_path, "99.18-0", "")
    assert (status, unpacked) == (1, None)
    assert "Unable to locate package" in said and "apt cannot download postgresql-server-dev-99: add a source" in said
    assert not os.path.exists(tmp_path / "tree/build/deps/server-dev-99.new")
