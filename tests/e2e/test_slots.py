"""A slot whose member does not come back: WAL is kept for it up to the limit that PostgreSQL is given."""
import shutil

from rig import wait_for

ON_EITHER_STORE = True


def test_slot_of_a_lost_member_does_not_fill_the_disk(cluster):
    leader = cluster.leader()
    standby, other = cluster.replicas()
    cluster.ctl("edit-config", "--force", "-p", "max_slot_wal_keep_size=32MB", "-s", "slots.backup.type=physical")
    wait_for("the limit", lambda: cluster.sql(leader, "SHOW max_slot_wal_keep_size") == "32MB", 15)
    slots = "SELECT count(*) FROM pg_replication_slots WHERE slot_name IN ('%s', 'backup')" % other.name
    wait_for("the slots", lambda: cluster.sql(leader, slots) == "2", 15)
    other.kill_node()
    cluster.sql(leader, "CREATE TABLE wal (n int)")
    for _ in range(14):
        cluster.sql(leader, "INSERT INTO wal VALUES (1)")
        cluster.sql(leader, "SELECT pg_switch_wal()")
    cluster.sql(leader, "CHECKPOINT", timeout=60)
    for slot in (other.name, "backup"):
        wait_for(f"{slot} is told", lambda s=slot: f"making the replication slot '{s}' anew" in leader.log_text(), 20)
    wait_for("both hold WAL again", lambda: cluster.sql(leader, slots + " AND restart_lsn IS NOT NULL AND wal_status <> 'lost'") == "2", 20)
    cluster.sql(leader, "CHECKPOINT", timeout=60)
    # Without what is made ready for later. wal_keep_size is 128 MB, eight of them.
    old = "SELECT count(*) FROM pg_ls_waldir() WHERE length(name) = 24 AND name < pg_walfile_name(pg_current_wal_lsn())"
    assert int(cluster.sql(leader, old)) <= 11
    assert cluster.sql(leader, f"SELECT active FROM pg_replication_slots WHERE slot_name = '{standby.name}'") == "t"
    cluster.ctl("edit-config", "--force", "-p", "max_slot_wal_keep_size=null", "-s", "slots=null")
    shutil.rmtree(other.data_dir)  # what it needs is gone
    other.start_agent()
    cluster.wait_streaming(other)
