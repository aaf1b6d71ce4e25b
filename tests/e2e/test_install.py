"""What `make install` puts where: programs, manual page, completion."""
import os
import shutil
import subprocess

import pytest

TREE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def made(*words):
    env = {key: value for key, value in os.environ.items() if key not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "BUILD", "T")}
    answer = subprocess.run(["make", "-s", "-C", TREE, *words], capture_output=True, text=True, stdin=subprocess.DEVNULL, env=env)
    assert answer.returncode == 0, answer.stdout + answer.stderr


@pytest.mark.rest
def test_all_is_where_it_is_looked_for(tmp_path):
    made("install", f"DESTDIR={tmp_path}", "PREFIX=/usr", "COMPAT=1")
    found = {os.path.relpath(os.path.join(path, name), tmp_path / "usr") for path, _, names in os.walk(tmp_path) for name in names}
    found = {name for name in found if name.startswith(("bin/", "share/")) and not name.startswith("share/doc/")}
    assert found == {"bin/pgquorum", "bin/pgquorum-fence", "bin/patroni", "bin/patronictl", "share/man/man1/pgquorum.1", "share/man/man1/patronictl.1",
                     "share/bash-completion/completions/pgquorum", "share/bash-completion/completions/patronictl", "share/zsh/vendor-completions/_pgquorum"}
    said = subprocess.run([tmp_path / "usr/bin/patronictl", "version"], capture_output=True, text=True).stdout
    assert said.startswith("pgquorum version ")
    script = tmp_path / "usr/share/bash-completion/completions/patronictl"
    offered = f". {script}; COMP_WORDS=(patronictl topo); COMP_CWORD=1; compopt() {{ :; }}; _pgquorum; echo ${{COMPREPLY[0]}}; complete -p patronictl"
    said = subprocess.run(["bash", "--norc", "-c", offered], capture_output=True, text=True, cwd=tmp_path).stdout
    assert said == "topology\ncomplete -F _pgquorum patronictl\n"


def test_the_manual_page_is_one():
    made("man")
    page = os.path.join(TREE, "build", "man", "pgquorum.1")
    with open(page) as f:
        text = f.read()
    assert text.startswith(".\\\" made from docs/command-line.md\n.TH PGQUORUM 1 ") and "\n.SS switchover\n" in text
    assert "`" not in text and "](" not in text and "\n| " not in text, "Markdown is left"
    if shutil.which("groff"):
        answer = subprocess.run(["groff", "-man", "-Tutf8", "-ww", "-z", page], capture_output=True, text=True)
        assert answer.returncode == 0 and answer.stderr == "", answer.stderr
