"""Members of a plain store of ours (witnesses that serve etcd's API) in the places of a real etcd's; see etcd.py."""
import os
import shutil
import subprocess

import etcd

CONFIG = """\
scope: store
namespace: /witnesses/
name: {name}

raft:
  data_dir: {data}
  self_addr: {address}:2380
  partner_addrs: [{partners}]
  password: raft-secret
  election_timeout: 1000
  heartbeat: 100

etcd_server:
  listen: {address}:2379
  advertise: http{s}://{address}:2379
"""
TLS = "  certfile: {home}/etcd.crt\n  keyfile: {home}/etcd.key\n  cafile: {home}/etcd-ca.crt\n  client_cert_auth: true\n"
AUTHENTICATION = "  authentication:\n    username: {user}\n    password: {password}\n"


class Witness(etcd.Member):
    """One of ours, that looks from outside as a member of etcd does."""

    users_by_command = False

    def start(self):
        rig = self.etcd.rig
        os.makedirs(self.data, mode=0o700, exist_ok=True)
        shutil.chown(self.data, "postgres", "postgres")
        partners = ", ".join(f"{m.address}:2380" for m in self.etcd.members.values() if m is not self)
        config = os.path.join(rig.home, f"{self.host}.yml")
        with open(config, "w") as f:
            f.write(self.text(partners))
        with open(self.log, "a") as log:
            self.process = rig.host_popen(self.host, ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", rig.binary("pgquorum"),
                                                      "witness", config], stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def text(self, partners):
        """Of its file."""
        text = CONFIG.format(name=self.host, address=self.address, partners=partners, data=self.data, s="s" if self.etcd.tls else "")
        if self.etcd.tls:
            text += TLS.format(home=self.etcd.rig.home)
        if self.etcd.user:
            text += AUTHENTICATION.format(user=etcd.USER, password=etcd.PASSWORD)
        return text
