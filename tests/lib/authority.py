# SPDX-License-Identifier: Apache-2.0
"""An independent certificate authority of the mesh, on `cryptography` and grpcio: it signs what sidecars ask for, well or
as badly as a test wants, and gives peers of the test their own identities. Its TLS is Python's, in a relay around
grpcio, whose own knows no Ed25519. Tests import sdk first."""

import datetime
import ssl
import threading
from concurrent import futures

import grpc
import peer
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from relay import Relay
from remora import Folder, _live

SIGN = "/dapr.proto.sentry.v1.CA/SignCertificate"
EKU = x509.ExtendedKeyUsage([x509.oid.ExtendedKeyUsageOID.SERVER_AUTH, x509.oid.ExtendedKeyUsageOID.CLIENT_AUTH])
KEYS = {
    "ecdsa": lambda: ec.generate_private_key(ec.SECP256R1()),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
    "rsa": lambda: rsa.generate_private_key(65537, 2048),
}


def spiffe_id(app_id, namespace="default", domain="public"):
    return f"spiffe://{domain}/ns/{namespace}/{app_id}"


def now():
    return datetime.datetime.now(datetime.timezone.utc)


def pem(certificate):
    return certificate.public_bytes(serialization.Encoding.PEM)


def pem_key(key):
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _usage(is_authority):
    return x509.KeyUsage(
        digital_signature=True, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=is_authority, crl_sign=is_authority, encipher_only=False, decipher_only=False,
    )  # fmt: skip


def sign(key, issuer, public_key, subject, lifetime_s, uris=(), is_authority=False, starts_in_s=-60.0, issuer_public=None):
    """A certificate. Times have whole seconds, as X.509 has them."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, subject)] if subject else [])
    begin = now() + datetime.timedelta(seconds=starts_in_s)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(now() + datetime.timedelta(seconds=lifetime_s))
        .add_extension(x509.BasicConstraints(is_authority, None), True)
        .add_extension(_usage(is_authority), True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_public or key.public_key()), False)
    )
    if is_authority:
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), False)
    else:
        builder = builder.add_extension(EKU, False)
    if uris:
        names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri) for uri in uris])
        builder = builder.add_extension(names, not subject)
    return builder.sign(key, None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256())


class Chain:
    """A root and an issuer below it."""

    def __init__(self, kind):
        self.root_key, self.key = KEYS[kind](), KEYS[kind]()
        root_name = x509.Name([x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "localhost")])
        self.root = sign(self.root_key, root_name, self.root_key.public_key(), "localhost", 86400, is_authority=True,
                         starts_in_s=-900)  # fmt: skip
        name = "spiffe://localhost/ns/default/dapr-sentry"
        self.issuer = sign(self.root_key, self.root.subject, self.key.public_key(), name, 86400, is_authority=True,
                           starts_in_s=-900)  # fmt: skip


class Identity:
    """A key and its certificates, as files and as TLS contexts that trust `anchors`."""

    def __init__(self, key, chain, anchors):
        self.key, self.chain, self.anchors = key, chain, anchors
        self.folder = Folder()
        with open(self.folder / "cert.pem", "wb") as f:
            f.write(b"".join(pem(one) for one in chain))
        with open(self.folder / "key.pem", "wb") as f:
            f.write(pem_key(key))

    def use(self, context):
        context.load_cert_chain(self.folder / "cert.pem", self.folder / "key.pem")

    def context(self, side, asks=True, shows=True):
        made = ssl.SSLContext(side)
        made.minimum_version = ssl.TLSVersion.TLSv1_2
        made.set_alpn_protocols(["h2"])
        made.check_hostname = False
        made.verify_mode = ssl.CERT_REQUIRED if asks else ssl.CERT_NONE
        made.load_verify_locations(cadata=self.anchors)
        if shows:  # without a chain there is nothing to show
            self.use(made)
        return made

    def server(self, asks=True):
        return self.context(ssl.PROTOCOL_TLS_SERVER, asks)

    def client(self, shows=True, asks=True):
        return self.context(ssl.PROTOCOL_TLS_CLIENT, asks, shows)


class Authority:
    """Signs for `lifetime_s`. `twist(request)` may return what to do otherwise with a request: keywords of issue(), or
    "refuse" with a gRPC code. `token` is what must be shown (None: anything)."""

    def __init__(self, kind="ecdsa", lifetime_s=3600.0, token=None, start=True, backdate_s=60.0):
        self.kind, self.lifetime_s, self.token, self.backdate_s = kind, lifetime_s, token, backdate_s
        self.chains = [Chain(kind)]  # the newest signs, all are trusted
        self.twist = lambda request: {}
        self.requests = []
        self.issued = []  # (SPIFFE id, serial), in order
        self.lock = threading.Lock()
        self.server = self.relay = None
        if start:
            self.start()
        _live.append(self)

    # --- certificates ---

    def anchors(self, newest=False):
        """PEM text of every root."""
        return b"".join(pem(chain.root) for chain in (self.chains[-1:] if newest else self.chains)).decode()

    def prepare(self):
        """A new root is trusted, and signs nothing yet."""
        self.chains.insert(0, Chain(self.kind))

    def rotate(self):
        """It signs from now on; the others are trusted until forget()."""
        self.chains.append(self.chains.pop(0))
        self._renew()

    def forget(self):
        del self.chains[:-1]
        self._renew()

    def issue(self, public_key, app_id, namespace="default", domain="public", lifetime_s=None, starts_in_s=None, uris=None,
              foreign=False):
        """The chain of a workload. `foreign` signs with a root that nobody knows."""
        chain = Chain(self.kind) if foreign else self.chains[-1]
        uris = [spiffe_id(app_id, namespace, domain)] if uris is None else uris
        starts_in_s = -self.backdate_s if starts_in_s is None else starts_in_s
        leaf = sign(chain.key, chain.issuer.subject, public_key, "", lifetime_s or self.lifetime_s, uris,
                    starts_in_s=starts_in_s)  # fmt: skip
        with self.lock:
            self.issued.append(((uris or [""])[0], leaf.serial_number))
        return [leaf, chain.issuer]

    def identity(self, app_id, key_kind="ed25519", **more):
        key = KEYS[key_kind]()
        return Identity(key, self.issue(key.public_key(), app_id, **more), self.anchors())

    def self_signed(self, app_id, **more):
        """A certificate that only claims to be somebody's."""
        key = KEYS["ed25519"]()
        name = x509.Name([])
        leaf = sign(key, name, key.public_key(), "", 3600, [spiffe_id(app_id, **more)])
        return Identity(key, [leaf], self.anchors())

    def serials(self, id_):
        with self.lock:
            return [serial for one, serial in self.issued if one == id_]

    # --- the service ---

    @property
    def address(self):
        return self.relay.address

    def environment(self, **more):
        """What a sidecar is started with."""
        return {"DAPR_TRUST_ANCHORS": self.anchors(), **more}

    def flags(self):
        return ["--enable-mtls", "--sentry-address", self.address]

    def start(self, port=None):
        self.server = grpc.server(futures.ThreadPoolExecutor(8), options=[("grpc.so_reuseport", 0)])
        handler = grpc.unary_unary_rpc_method_handler(
            self.sign, peer.SignRequest.FromString, lambda answer: answer.SerializeToString()
        )
        method = SIGN.rpartition("/")
        self.server.add_generic_rpc_handlers(
            [grpc.method_handlers_generic_handler(method[0].lstrip("/"), {method[2]: handler})]
        )
        inner = self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()
        self.context = self._own().server(asks=False)
        self.relay = Relay(f"127.0.0.1:{inner}", port=port, server_tls=self.context)
        return self

    def _own(self):
        return self.identity("dapr-sentry", "ecdsa", domain="localhost", lifetime_s=86400)

    def _renew(self):
        if self.relay:
            self._own().use(self.context)

    def stop(self):
        self.relay.end()
        self.server.stop(None).wait()

    def end(self):
        if self.server:
            self.server.stop(None)

    def sign(self, request, context):
        self.requests.append(request)
        twist = self.twist(request)
        if "refuse" in twist:
            context.abort(twist["refuse"], "not today")
        if self.token is not None and request.token != self.token:
            context.abort(grpc.StatusCode.PERMISSION_DENIED, "the token is not the right one")
        wanted = x509.load_pem_x509_csr(request.certificate_signing_request)
        if not wanted.is_signature_valid:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the request is not signed by its key")
        options = {"app_id": request.id, "namespace": request.namespace, "domain": request.trust_domain or "public", **twist}
        chain = self.issue(wanted.public_key(), **options)
        made = peer.SignResponse()
        made.workload_certificate = b"".join(map(pem, chain))
        made.trust_chain_certificates.extend(pem(one.root) for one in self.chains)
        made.valid_until.FromDatetime(chain[0].not_valid_after_utc.replace(tzinfo=None))
        return made


def id_of(certificate):
    """The SPIFFE id in what getpeercert() gives."""
    return next((value for kind, value in (certificate or {}).get("subjectAltName", ()) if kind == "URI"), None)


class MutualPeer(peer.Peer):
    """A Peer with mutual TLS; `judge(certificate)` as of the relay."""

    def __init__(self, identity, *words, judge=None, **more):
        super().__init__(*words, **more)
        self.context = identity.server()
        self.relay = Relay(f"127.0.0.1:{self.port}", server_tls=self.context, judge=judge)

    @property
    def address(self):
        return self.relay.address

    def callers(self):
        return [id_of(certificate) for certificate in self.relay.certificates]


class MutualCaller(peer.Caller):
    """Calls with mutual TLS; shows nothing without an identity that `shows`. What the other side showed is kept."""

    def __init__(self, address, identity, shows=True, judge=None):
        self.relay = Relay(address, client_tls=identity.client(shows), judge=judge)
        super().__init__(self.relay.address)

    def callees(self):
        return [id_of(certificate) for certificate in self.relay.certificates]

    def close(self):
        super().close()
        self.relay.end()
