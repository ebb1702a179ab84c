# SPDX-License-Identifier: Apache-2.0
"""A certificate authority that is a program: remora-sentry, or the one that SENTRY= names. To tests it looks like
authority.Authority: identities of the test's own peers are asked from it as a sidecar asks. Tests import sdk first."""

import os

import authority
import grpc
import peer
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from relay import Relay
from remora import BUILD, DEADLINE_S, Folder, Process, eventually, free_port, need

OURS = os.path.exists(os.path.join(BUILD, "bin", "remora-sentry"))
PROGRAM = os.environ.get("SENTRY") or os.path.join(BUILD, "bin", "remora-sentry")


def request(address, anchors, app_id, key, namespace="default", token="", domain="", **more):
    """Asks for a certificate for `key`; the answer and the id that the authority showed."""
    csr = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, None)
    nobody = authority.Identity(key, [], anchors)
    relay = Relay(address, client_tls=nobody.client(shows=False))
    with grpc.insecure_channel(relay.address, peer.OPTIONS) as channel:
        call = channel.unary_unary(authority.SIGN, lambda m: m.SerializeToString(), peer.SignResponse.FromString)
        made = peer.SignRequest(
            id=app_id, namespace=namespace, token=token, trust_domain=domain,
            certificate_signing_request=csr.public_bytes(serialization.Encoding.PEM),
        )  # fmt: skip
        try:
            return call(made, timeout=DEADLINE_S, **more), authority.id_of((relay.certificates or [None])[0])
        finally:
            relay.end()


class Sentry(Process):
    def __init__(self, folder=None, port=None, flags=(), ttl=None, program=PROGRAM):
        self.folder = folder or Folder()
        self.port = port or free_port()
        self.credentials = self.folder / "credentials"
        os.makedirs(self.credentials, mode=0o700, exist_ok=True)
        command = [program, "--port", str(self.port), "--issuer-credentials", self.credentials, "--trust-domain", "localhost",
                   "--listen-address", "127.0.0.1", "--metrics-port", str(free_port()), "--healthz-port", str(free_port())]  # fmt: skip
        spec = "  mtls:\n    enabled: true\n" + (f"    workloadCertTTL: {ttl}\n    allowedClockSkew: 1s\n" if ttl else "")
        text = f"apiVersion: dapr.io/v1alpha1\nkind: Configuration\nmetadata:\n  name: sentry\nspec:\n{spec}"
        command += ["--config", self.folder.write("config.yaml", text)]
        super().__init__([*command, *flags], self.folder, env={"PATH": os.environ["PATH"], "NAMESPACE": "default"})
        eventually(self.is_there, "the authority signs")

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def is_there(self):
        need(self.is_alive(), f"the authority ended:\n{self.log()[-3000:]}" if not self.is_alive() else "")
        try:
            return bool(self.identity("probe"))
        except (OSError, grpc.RpcError):
            return False

    def anchors(self):
        with open(os.path.join(self.credentials, "ca.crt")) as f:
            return f.read()

    def flags(self):
        return ["--enable-mtls", "--sentry-address", self.address]

    def environment(self, **more):
        return {"DAPR_TRUST_ANCHORS": self.anchors(), **more}

    def identity(self, app_id, **more):
        key = authority.KEYS["ed25519"]()
        answer, _ = request(self.address, self.anchors(), app_id, key, **more)
        return authority.Identity(key, x509.load_pem_x509_certificates(answer.workload_certificate), self.anchors())
