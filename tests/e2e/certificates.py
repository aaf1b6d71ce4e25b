"""Certificates by the openssl program: authorities, and what they sign. Everything is replaced at one instant, as it should be."""
import os
import shutil
import subprocess
import time

KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]

# Of `openssl ca`, the only command that takes dates.
CA = """\
[dated]
database = {database}
new_certs_dir = {directory}
rand_serial = yes
default_md = sha256
policy = anything
x509_extensions = leaf
[anything]
commonName = supplied
[leaf]
subjectAltName = {names}
basicConstraints = critical,CA:FALSE
"""


def openssl(*argv):
    subprocess.run(["openssl", *argv], check=True, capture_output=True, stdin=subprocess.DEVNULL)


def put(text, path):
    """Owned by postgres, and there as a whole or not at all."""
    with open(path + ".new", "w", opener=lambda name, flags: os.open(name, flags, 0o600)) as f:
        f.write(text)
    shutil.chown(path + ".new", "postgres", "postgres")
    os.replace(path + ".new", path)


class Authority:
    def __init__(self, directory, name):
        self.name, self.directory = name, directory
        self.key, self.certificate = (os.path.join(directory, name + end) for end in (".key", ".crt"))
        openssl("req", "-x509", *KEY, "-keyout", self.key, "-out", self.certificate, "-days", "3650", "-subj", f"/CN={name}")

    def text(self):
        with open(self.certificate) as f:
            return f.read()

    def sign(self, name, key_path, certificate_path, addresses=()):
        """A certificate that bears `name`, and its key."""
        key, certificate = (os.path.join(self.directory, "leaf" + end) for end in (".key", ".crt"))
        names = ",".join([f"DNS:{name}"] + [f"IP:{address}" for address in addresses])
        openssl("req", "-x509", "-CA", self.certificate, "-CAkey", self.key, *KEY, "-keyout", key, "-out", certificate, "-days", "90",
                "-subj", f"/CN={name}", "-addext", f"subjectAltName={names}", "-addext", "basicConstraints=critical,CA:FALSE")
        for made, path in ((key, key_path), (certificate, certificate_path)):
            with open(made) as f:
                put(f.read(), path)

    def sign_expired(self, name, key_path, certificate_path):
        """As sign, and it ended yesterday."""
        self.sign_between(name, key_path, certificate_path, -2, -1)

    def sign_between(self, name, key_path, certificate_path, first, last, addresses=()):
        """As sign, good from so many days from now to so many."""
        key, request, certificate, database = (os.path.join(self.directory, "dated" + end) for end in (".key", ".csr", ".crt", ".db"))
        names = ",".join([f"DNS:{name}"] + [f"IP:{address}" for address in addresses])
        with open(database + ".cnf", "w") as f:
            f.write(CA.format(directory=self.directory, database=database, names=names))
        open(database, "w").close()
        openssl("req", *KEY, "-keyout", key, "-out", request, "-subj", f"/CN={name}")
        dates = [time.strftime("%Y%m%d%H%M%SZ", time.gmtime(time.time() + days * 86400)) for days in (first, last)]
        openssl("ca", "-batch", "-config", database + ".cnf", "-name", "dated", "-cert", self.certificate, "-keyfile", self.key,
                "-startdate", dates[0], "-enddate", dates[1], "-in", request, "-out", certificate, "-notext")
        for made, path in ((key, key_path), (certificate, certificate_path)):
            with open(made) as f:
                put(f.read(), path)
