# SPDX-License-Identifier: Apache-2.0
"""Certificates for servers of tests, made with the openssl command."""
import os
import subprocess


class Certificates:
    """In a folder: ca.pem signs server.pem (with server.key), which is for `names` (or for 127.0.0.1), and
    other.pem signs nothing."""

    def __init__(self, folder, *names):
        self.folder = folder.path if hasattr(folder, "path") else folder
        for authority in ("ca", "other"):
            self.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                         "-subj", f"/CN={authority}", "-keyout", f"{authority}.key", "-out", f"{authority}.pem")
        with open(self.path("server.ext"), "w") as f:
            f.write("subjectAltName=" + (",".join(f"DNS:{name}" for name in names) or "IP:127.0.0.1") + "\n")
        self.openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=server",
                     "-keyout", "server.key", "-out", "server.csr")
        self.openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
                     "-extfile", "server.ext", "-out", "server.pem")

    def openssl(self, *words):
        subprocess.run(["openssl", *words], cwd=self.folder, check=True, capture_output=True)

    def path(self, name):
        return os.path.join(self.folder, name)

    def text(self, name):
        with open(self.path(name)) as f:
            return f.read()
