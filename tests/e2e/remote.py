"""PostgreSQL on a host of its own, under nobody's care: the other cluster that a standby cluster follows."""
import os
import shutil
import subprocess

from rig import PSQL, wait_for

HBA = "local all all trust\nhost all all 0.0.0.0/0 md5\nhost replication all 0.0.0.0/0 md5\n"
ROLES = ("ALTER ROLE postgres PASSWORD 'zalando'; CREATE ROLE replicator LOGIN REPLICATION PASSWORD 'rep-pass'; "
         "CREATE ROLE rewind_user LOGIN SUPERUSER PASSWORD 'rewind_password'")


class Remote:
    def __init__(self, rig, host):
        self.rig, self.host, self.address = rig, host, rig.addresses[host]
        self.home = os.path.join(rig.home, host)
        self.data_dir = os.path.join(self.home, "data")
        os.makedirs(self.home, exist_ok=True)
        shutil.chown(self.home, "postgres", "postgres")
        rig.remotes.append(self)

    def do(self, *argv, **kwargs):
        return subprocess.run(["ip", "netns", "exec", self.rig.namespace(self.host), "runuser", "-u", "postgres", "--", *argv],
                              check=True, stdin=subprocess.DEVNULL, timeout=60, cwd=self.home, capture_output=True, text=True, **kwargs)

    def ctl(self, *args):
        log = os.path.join(self.home, "log")
        try:
            with open(os.devnull) as null:  # pg_ctl leaves its server with what it was given
                subprocess.run(["ip", "netns", "exec", self.rig.namespace(self.host), "runuser", "-u", "postgres", "--", "pg_ctl",
                                "-D", self.data_dir, "-w", "-t", "60", "-l", log, *args],
                               check=True, stdin=null, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=90, cwd=self.home)
        except subprocess.CalledProcessError:
            with open(log) as f:
                print(f.read()[-3000:])
            raise

    def settle(self):
        """Not in postgresql.auto.conf: a copy has it, and it wins over what the copy's own agent says."""
        with open(os.path.join(self.data_dir, "postgresql.conf"), "a") as f:
            f.write(f"listen_addresses = '*'\nport = 5432\nunix_socket_directories = '{self.home}'\nwal_level = replica\n"
                    "wal_log_hints = on\nmax_wal_senders = 10\nmax_replication_slots = 10\nwal_keep_size = '256MB'\nhot_standby = on\n"
                    "max_connections = 100\narchive_mode = off\nssl = off\nsynchronous_standby_names = ''\ncluster_name = ''\n"
                    "restore_command = ''\n")
        with open(os.path.join(self.data_dir, "pg_hba.conf"), "w") as f:
            f.write(HBA)

    def make(self):
        """A primary, made anew."""
        self.do("initdb", "-D", self.data_dir, "-k", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync")
        self.settle()
        self.ctl("start")
        self.sql(ROLES, host=self.home)
        return self

    def copy_of(self, address):
        """A standby of who serves at `address`."""
        url = f"host={address} port=5432 user=replicator password=rep-pass"
        self.do("pg_basebackup", "-D", self.data_dir, "-X", "stream", "-c", "fast", "-d", url)
        with open(os.path.join(self.data_dir, "postgresql.conf"), "w"):
            pass
        for name in ("standby.signal", "postgresql.sync.conf"):
            with open(os.path.join(self.data_dir, name), "a"):
                pass
        self.settle()
        with open(os.path.join(self.data_dir, "postgresql.conf"), "a") as f:
            f.write(f"primary_conninfo = '{url}'\nrecovery_target_timeline = latest\n")
        subprocess.run(["chown", "-R", "postgres:postgres", self.data_dir], check=True)
        self.ctl("start")
        return self

    def promote(self):
        self.ctl("promote")
        wait_for(f"{self.host} is a primary", lambda: self.sql("SELECT pg_is_in_recovery()") == "f", 30)
        self.sql("CHECKPOINT")

    def stop(self, mode="immediate"):
        self.ctl("stop", "-m", mode)

    def end(self):
        """Whether it runs or not; nothing else would end it."""
        if os.path.exists(os.path.join(self.data_dir, "postmaster.pid")):
            self.stop()

    def sql(self, text, host=None):
        if host is None:
            return self.rig.sql(self, text)
        return self.do(PSQL, "-X", "-A", "-t", "-h", host, "-U", "postgres", "-d", "postgres", "-c", text).stdout.strip()
