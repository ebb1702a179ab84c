# SPDX-License-Identifier: Apache-2.0
"""remora-sentry on ports and in a folder of its own, and a client that is independent of it: grpcio, with messages and TLS
of its own, and `cryptography`. Import sdk before."""

import os
import signal
import ssl
import subprocess

import authority
import grpc
import peer
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from relay import Relay
from remora import BUILD, Folder, Program, call, equal, eventually, free_port, need

OWN_ID = "spiffe://localhost/ns/default/dapr-sentry"
SHOP_ID = "spiffe://public/ns/default/shop"
CODES = grpc.StatusCode


class Sentry(Program):
    """The program, and a client of it: a relay speaks TLS with it, which grpcio cannot with these keys."""

    def __init__(self, *flags, folder=None, mtls="", env=None, wait=True):
        self.folder = folder or Folder()
        self.port, self.health, self.metrics = free_port(), free_port(), free_port()
        command = [
            os.path.join(BUILD, "bin", "remora-sentry"), "--port", str(self.port), "--listen-address", "127.0.0.1",
            "--healthz-port", str(self.health), "--metrics-port", str(self.metrics),
            "--issuer-credentials", self.folder / "creds", "--log-level", "debug",
        ]  # fmt: skip
        if mtls:
            text = "apiVersion: dapr.io/v1alpha1\nkind: Configuration\nmetadata:\n  name: c\nspec:\n  mtls:\n"
            self.folder.write("config.yaml", text + mtls)
            command += ["--config", self.folder / "config.yaml"]
        environment = {key: value for key, value in os.environ.items() if key.endswith("SAN_OPTIONS")}
        super().__init__([*command, *flags], self.folder, env={**environment, **(env or {})})
        if wait:
            eventually(self.is_ready, "sentry answers")

    def is_ready(self):
        need(self.is_alive(), f"sentry ended:\n{self.log()}" if not self.is_alive() else "")
        try:
            return call(("127.0.0.1", self.health), "GET", "/healthz").status == 200
        except OSError:
            return False

    def stop(self, number=signal.SIGTERM):
        self.signal(number)
        return self.wait()

    def read(self, name):
        with open(self.folder / f"creds/{name}", "rb") as f:
            return f.read()

    def anchors(self):
        return x509.load_pem_x509_certificates(self.read("ca.crt"))

    def context(self):
        """Trusts what is in ca.crt now."""
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        made.check_hostname = False
        made.set_alpn_protocols(["h2"])
        made.load_verify_locations(cadata=self.read("ca.crt").decode())
        return made

    def client(self):
        return Client(self)

    def own_chain(self):
        """What it shows in a handshake."""
        return chain_shown(self.port)

    def counters(self):
        lines = call(("127.0.0.1", self.metrics), "GET", "/metrics").text.split("\n")
        return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if line and line[0] != "#"}


def chain_shown(port):
    """The certificates that a server shows to a client that has none, and what else that client says."""
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-showcerts", "-alpn", "h2"]

    def said():
        text = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True).stdout
        return text if "BEGIN CERTIFICATE" in text else None

    text = eventually(said, "a server shows its certificates")
    return x509.load_pem_x509_certificates(text.encode()), text


class Client:
    def __init__(self, sentry):
        self.relay = Relay(f"127.0.0.1:{sentry.port}", client_tls=sentry.context())
        self.channel = grpc.insecure_channel(self.relay.address, peer.OPTIONS)
        self._sign = self.channel.unary_unary(
            authority.SIGN, lambda message: message.SerializeToString(), peer.SignResponse.FromString
        )

    def close(self):
        self.channel.close()
        self.relay.end()

    def ask(self, key=None, **fields):
        key = key or ed25519.Ed25519PrivateKey.generate()
        fields = {"id": "shop", "namespace": "default", "certificate_signing_request": csr(key), **fields}
        return self._sign(peer.SignRequest(**fields), timeout=20)

    def refused(self, code, words=None, **fields):
        try:
            answer = self.ask(**fields)
        except grpc.RpcError as error:
            equal(error.code(), code, error.details())
            if words is not None:
                equal(error.details(), words)
            return
        raise AssertionError(f"not refused: {fields} {answer}")


def csr(key, subject=(), names=()):
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, one) for one in subject])
    builder = x509.CertificateSigningRequestBuilder().subject_name(name)
    if names:
        builder = builder.add_extension(
            x509.SubjectAlternativeName([x509.UniformResourceIdentifier(one) for one in names]), False
        )
    digest = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(key, digest).public_bytes(serialization.Encoding.PEM)


def chain_of(answer):
    return x509.load_pem_x509_certificates(answer.workload_certificate)


def uris(certificate):
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    equal(len(names), len(names.get_values_for_type(x509.UniformResourceIdentifier)), "there are URIs only")
    return names.get_values_for_type(x509.UniformResourceIdentifier)


def is_answered(client, **fields):
    try:
        client.ask(**fields)
        return True
    except grpc.RpcError:
        return False
