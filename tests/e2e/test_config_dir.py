"""The configuration of PostgreSQL apart from its data, as Debian has it: through a bootstrap, copies, failovers and rewinds, beside a member
that has the two together (docs/configuration.md, "Configuration apart from the data")."""
import os
import shutil

import pytest

import faults
from rest import SCOPE
from rig import TIMES, wait_for

ON_EITHER_STORE = True

# What the package's file has: none of these places is where this node's data and rules are.
DEBIAN = """\
data_directory = '/nonexistent/15/main'
hba_file = '/nonexistent/pg_hba.conf'
ident_file = '/nonexistent/pg_ident.conf'
work_mem = '7MB'
"""


def etc(node):
    """Where the node's files are; with an etcd the directory of the document's data is a mount of the node's own."""
    return os.path.join(node.home, "disk" if node.rig.etcd is not None else "", "etc/15")


def places(node, together, name):
    """What the running server says of them; the node sees them by names of its own."""
    inside = "/data" if node.rig.etcd is not None else node.home
    data = f"{inside}/patroni" if node.rig.etcd is not None else f"{inside}/data"
    conf = data if together else f"{inside}/etc/15"
    return [data, f"{conf}/{name}.conf", f"{conf}/pg_hba.conf", f"{conf}/pg_ident.conf"]


class Apart:
    def __init__(self, rig):
        self.rig, self.maker, self.source = rig, None, None
        self.first, self.named, self.together = (rig.nodes[name] for name in ("node1", "node2", "node3"))
        self.rewrite(self.first, "")
        self.rewrite(self.named, "  config_base_name: pg15\n")
        for node, name in ((self.first, "postgresql.conf"), (self.named, "pg15.conf")):
            os.makedirs(etc(node), mode=0o755)
            with open(os.path.join(etc(node), name), "w") as f:
                f.write(DEBIAN)
            for path in (os.path.dirname(etc(node)), etc(node), os.path.join(etc(node), name)):
                shutil.chown(path, "postgres", "postgres")

    def rewrite(self, node, more):
        with open(node.config) as f:
            text = f.read()
        assert text.count("  pgpass: ") == 1
        where = "/data/etc/15" if self.rig.etcd is not None else f"{node.home}/etc/15"
        with open(node.config, "w") as f:
            f.write(text.replace("  pgpass: ", f"  config_dir: {where}\n{more}  pgpass: "))

    def check(self):
        rig = self.rig
        rig.wait_healthy(timeout=90)
        for node in rig.nodes.values():
            name = "pg15" if node is self.named else "postgresql"
            settings = ("data_directory", "config_file", "hba_file", "ident_file")
            assert [rig.sql(node, f"SHOW {s}") for s in settings] == places(node, node is self.together, name)
            # Its own base file, or that of the first member, of which every copy keeps one; of `named` there is none under this name.
            has = node is not self.together or self.maker is self.first or (self.maker is self.named and self.source is self.first)
            assert rig.sql(node, "SHOW work_mem") == ("7MB" if has else "4MB")
            assert rig.sql(node, "SELECT 1", user="admin", password="admin") == "1"
            errors = rig.sql(node, "SELECT * FROM pg_hba_file_rules WHERE error IS NOT NULL")
            assert errors == "", errors
        rules = [rig.sql(node, "SELECT count(*) FROM pg_hba_file_rules") for node in rig.nodes.values()]
        assert len(set(rules)) == 1, rules


def lead(rig, node):
    if rig.leader() is not node:
        answer = rig.ctl("switchover", "--candidate", node.name, "--force")
        assert "Successfully switched over" in answer.stdout, answer.stdout + answer.stderr
        rig.wait_healthy()


@pytest.mark.rest
def test_configuration_apart_from_the_data(make_rig, store):
    rig = make_rig(store=store, **TIMES[store])
    apart = Apart(rig)
    rig.start_all()
    apart.source = apart.maker = wait_for("a leader", rig.leader, 60)
    apart.check()
    for node in (apart.first, apart.named):
        for name in ("postgresql.conf", "pg15.conf", "pg_hba.conf", "postgresql.base.conf"):  # a copy has what its source has
            assert apart.maker is apart.together or not os.path.exists(os.path.join(node.data_dir, name)), name
        assert os.path.exists(os.path.join(node.data_dir, "pg_hba.conf.backup"))

    # Rewound from whoever took over, and recovered before by a server of its own, which has to find its configuration.
    lead(rig, apart.first)
    faults.diverged(rig)
    apart.check()
    # Of a source without such files, pg_rewind leaves none.
    lead(rig, apart.together)
    rig.sql(rig.leader(), "DROP TABLE branch")
    faults.diverged(rig)
    apart.source = rig.leader()
    apart.check()

    # What an operator has written is not touched by a copy; what is gone comes back.
    node = apart.named
    lead(rig, apart.first)
    base = os.path.join(etc(node), "pg15.base.conf")
    with open(base, "a") as f:
        f.write("maintenance_work_mem = '77MB'\n")
    answer = rig.ctl("reinit", SCOPE, node.name, "--force", "--wait", timeout=120)
    assert f"Success: reinitialize for member {node.name}" in answer.stdout, answer.stdout
    rig.wait_streaming(node)
    assert rig.sql(node, "SHOW maintenance_work_mem") == "77MB"
    node.kill_node()
    shutil.rmtree(etc(node))
    shutil.rmtree(os.path.join(node.data_dir))
    if rig.etcd is not None:
        os.mkdir(node.data_dir, 0o700)
        shutil.chown(node.data_dir, "postgres", "postgres")
    node.start_agent()
    rig.wait_streaming(node)
    apart.check()
    assert rig.sql(node, "SHOW maintenance_work_mem") == "64MB"
