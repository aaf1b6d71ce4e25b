"""Certificates by the openssl program: authorities, and what they sign. Everything is replaced at one instant, as it should be."""
import os
import shutil
import subprocess

KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]


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
        key, request, certificate = (os.path.join(self.directory, "past" + end) for end in (".key", ".csr", ".crt"))
        openssl("req", *KEY, "-keyout", key, "-out", request, "-subj", f"/CN={name}")
        openssl("x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self.key, "-days", "-1", "-out", certificate)
        for made, path in ((key, key_path), (certificate, certificate_path)):
            with open(made) as f:
                put(f.read(), path)
