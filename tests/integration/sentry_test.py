# SPDX-License-Identifier: Apache-2.0
# timeout: 180
"""remora-sentry against an independent client (grpcio, with messages and TLS of its own, and `cryptography`): what it
makes and signs has the form recorded of the reference, who may not have a certificate gets none, and files that change
take effect without anybody noticing."""

import sdk  # noqa: F401  isort: skip

import base64
import datetime
import http.server
import json
import os
import re
import signal
import socket
import ssl
import stat
import subprocess
import threading
import time

import authority
import grpc
import peer
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from relay import Relay
from remora import BUILD, Folder, Program, Sidecar, call, equal, eventually, free_port, main, need, shared, test

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


# --- the form of certificates -----------------------------------------------------------------------------------------


def value_of(extension):
    value = extension.value
    if isinstance(value, x509.KeyUsage):
        names = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
                 "key_cert_sign", "crl_sign")  # fmt: skip
        return [name for name in names if getattr(value, name)]
    if isinstance(value, x509.BasicConstraints):
        return {"ca": value.ca, "path_length": value.path_length}
    if isinstance(value, x509.SubjectAlternativeName):
        return [f"UniformResourceIdentifier:{one.value}" for one in value]
    if isinstance(value, x509.ExtendedKeyUsage):
        return [one._name for one in value]
    return f"<{type(value).__name__}>"


def form(certificate, ages_s=120):
    """As in the recording. The moment of a signature is some way back, so times are rounded to it."""
    since = (certificate.not_valid_before_utc - datetime.datetime.now(datetime.timezone.utc)).total_seconds()
    return {
        "version": certificate.version.name,
        "subject": certificate.subject.rfc4514_string(),
        "issuer": certificate.issuer.rfc4514_string(),
        "public_key": type(certificate.public_key()).__name__.removeprefix("_"),
        "signature": certificate.signature_algorithm_oid._name,
        "valid_seconds": int((certificate.not_valid_after_utc - certificate.not_valid_before_utc).total_seconds()),
        "not_before_minus_now_seconds": -900 if -900 - ages_s < since <= -900 else since,
        "extensions": [
            {"name": one.oid._name, "oid": one.oid.dotted_string, "critical": one.critical, "value": value_of(one)}
            for one in certificate.extensions
        ],
    }


def recorded(name):
    with open(shared("recordings", "sentry.json")) as f:
        return next(one for one in json.load(f)["entries"] if one["name"] == name)


def is_form_of(certificate, wanted):
    wanted = {key: value for key, value in wanted.items() if key != "serial_bits"}
    equal(form(certificate), wanted)
    need(96 < certificate.serial_number.bit_length() <= 128, "the serial number has 128 random bits")


@test("generated files have the recorded form and are for their owner only", "INV-53")
def _():
    sentry = Sentry()
    wanted = recorded("files the reference sentry made")["files"]
    equal(stat.S_IMODE(os.stat(sentry.folder / "creds").st_mode), 0o700)
    equal(sorted(os.listdir(sentry.folder / "creds")), ["ca.crt", "issuer.crt", "issuer.key"])
    for name in ("ca.crt", "issuer.crt", "issuer.key"):
        equal(stat.S_IMODE(os.stat(sentry.folder / f"creds/{name}").st_mode), 0o600, name)
    for name in ("ca.crt", "issuer.crt"):
        made = x509.load_pem_x509_certificates(sentry.read(name))
        equal(len(made), 1)
        is_form_of(made[0], wanted[name][0])
    need(sentry.read("issuer.key").startswith(wanted["issuer.key"].encode()), "the key is PKCS#8")
    key = serialization.load_pem_private_key(sentry.read("issuer.key"), None)
    equal(key.public_key(), x509.load_pem_x509_certificate(sentry.read("issuer.crt")).public_key())


@test("its own TLS and what it issues have the recorded form", "INV-53")
def _():
    sentry = Sentry()
    chain, said = sentry.own_chain()
    for one, wanted in zip(chain, recorded("TLS of sentry itself")["chain"], strict=True):
        is_form_of(one, wanted)
    for words in ("ALPN protocol: h2", "TLSv1.3", "Peer signature type: ed25519", "Server Temp Key: X25519, 253 bits"):
        need(words in said, f"{words} in {said}")
    client = sentry.client()
    answer = client.ask()
    wanted = recorded("certificate sentry issued, seen on the internal gRPC port")["chain"]
    for one, form_ in zip(chain_of(answer), wanted, strict=True):
        is_form_of(one, form_)
    equal([bytes(one) for one in answer.trust_chain_certificates], [sentry.read("ca.crt")])
    equal(answer.valid_until.seconds, int(chain_of(answer)[0].not_valid_after_utc.timestamp()))
    need(not answer.HasField("jwt") and not answer.per_audience_jwts, "there are no JWTs")


@test("who asks gets a certificate for its own key, that a verifier believes", "INV-53")
def _():
    sentry = Sentry()
    client = sentry.client()
    keys = [ed25519.Ed25519PrivateKey.generate(), ec.generate_private_key(ec.SECP256R1()),
            ec.generate_private_key(ec.SECP384R1()), ec.generate_private_key(ec.SECP521R1()),
            rsa.generate_private_key(65537, 2048)]  # fmt: skip
    serials = set()
    for key in keys:
        leaf, issuer = chain_of(client.ask(key, trust_domain="my.domain", namespace="ns-1"))
        equal(leaf.public_key(), key.public_key())
        equal(uris(leaf), ["spiffe://my.domain/ns/ns-1/shop"])
        issuer.public_key().verify(leaf.signature, leaf.tbs_certificate_bytes)
        sentry.anchors()[0].public_key().verify(issuer.signature, issuer.tbs_certificate_bytes)
        usage = leaf.extensions.get_extension_for_class(x509.KeyUsage).value
        equal(usage.key_encipherment, isinstance(key, rsa.RSAPrivateKey))
        serials.add(leaf.serial_number)
        with open(sentry.folder / "chain.pem", "wb") as f:
            f.write(authority.pem(issuer))
        with open(sentry.folder / "leaf.pem", "wb") as f:
            f.write(authority.pem(leaf))
        subprocess.run(["openssl", "verify", "-purpose", "sslserver", "-CAfile", sentry.folder / "creds/ca.crt", "-untrusted",
                        sentry.folder / "chain.pem", sentry.folder / "leaf.pem"], check=True, capture_output=True)  # fmt: skip
    equal(len(serials), len(keys))


@test("names that a request for a certificate brings along do not count", "INV-53")
def _():
    client = Sentry().client()
    key = ed25519.Ed25519PrivateKey.generate()
    wanted = csr(key, subject=["root"], names=["spiffe://public/ns/default/bank"])
    leaf = chain_of(client.ask(key, certificate_signing_request=wanted))[0]
    equal((uris(leaf), leaf.subject.rfc4514_string()), ([SHOP_ID], ""))


@test("parts of the control plane get the names that clusters know them by", "INV-53")
def _():
    client = Sentry(env={"NAMESPACE": "dapr-system"}).client()
    leaf = chain_of(client.ask(id="dapr-operator", namespace="dapr-system"))[0]
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    equal(names.get_values_for_type(x509.DNSName), ["dapr-webhook.dapr-system.svc"])
    leaf = chain_of(client.ask(id="dapr-scheduler", namespace="dapr-system"))[0]
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    equal(len(names.get_values_for_type(x509.DNSName)), 3)
    equal(uris(chain_of(client.ask(id="dapr-operator", namespace="default"))[0]),
          ["spiffe://public/ns/default/dapr-operator"])  # fmt: skip


@test("life and skew are those of the Configuration", "INV-53")
def _():
    sentry = Sentry(mtls="    workloadCertTTL: 4s\n    allowedClockSkew: 1m\n    controlPlaneTrustDomain: cp.test\n")
    leaf = chain_of(sentry.client().ask())[0]
    equal((leaf.not_valid_after_utc - leaf.not_valid_before_utc).total_seconds(), 64)
    chain, _ = sentry.own_chain()
    equal(uris(chain[0]), ["spiffe://cp.test/ns/default/dapr-sentry"])
    need((chain[0].not_valid_after_utc - chain[0].not_valid_before_utc).total_seconds() >= 3600,
         "its own lives on")  # fmt: skip


# --- who gets none ----------------------------------------------------------------------------------------------------


@test("names that cannot be are refused with every reason", "INV-53")
def _():
    client = Sentry().client()
    client.refused(CODES.PERMISSION_DENIED, "invalid request: parameter app-id cannot be empty\nCSR is required\n"
                   "namespace is required", id="", namespace="", certificate_signing_request=b"")  # fmt: skip
    client.refused(CODES.PERMISSION_DENIED, "invalid request: parameter app-id cannot contain dots", id="a.b")
    client.refused(CODES.PERMISSION_DENIED, "invalid request: app ID must be 64 characters or less", id="a" * 65)
    for id_ in ("a/b", "a/../b", "%2e", "a b", "é", "a\n", "a?b", "a#b", "a@b", "a:b"):
        client.refused(CODES.PERMISSION_DENIED, id=id_)
    for namespace in ("a/b", "..", ".", "a b", "n" * 300):
        client.refused(CODES.PERMISSION_DENIED, namespace=namespace)
    for domain in ("Upper", "a/b", "spiffe://a", "a b", "d" * 300, "é"):
        client.refused(CODES.PERMISSION_DENIED, trust_domain=domain)
    client.refused(CODES.PERMISSION_DENIED, "invalid request: this is the identity of the certificate authority",
                   id="dapr-sentry", trust_domain="localhost")  # fmt: skip
    client.ask(id="a" * 64, namespace="n.s", trust_domain="a.b-c_d")


@test("requests that prove nothing are refused", "INV-53")
def _():
    client = Sentry().client()
    key = ed25519.Ed25519PrivateKey.generate()
    good = csr(key)
    invalid = "invalid certificate signing request"
    for bad in (b"x", good + good, b"text\n" + good, good[:-20], b"-----BEGIN CERTIFICATE REQUEST-----\n" + b"A" * 60000):
        client.refused(CODES.INVALID_ARGUMENT, invalid, certificate_signing_request=bad)
    der = bytearray(base64.b64decode(b"".join(good.split(b"\n")[1:-2])))
    der[-1] ^= 1
    flipped = b"-----BEGIN CERTIFICATE REQUEST-----\n" + base64.encodebytes(bytes(der)) + b"-----END CERTIFICATE REQUEST-----\n"
    client.refused(CODES.INVALID_ARGUMENT, "invalid signature", certificate_signing_request=flipped)
    weak = csr(rsa.generate_private_key(65537, 1024))
    client.refused(CODES.INVALID_ARGUMENT, certificate_signing_request=weak)
    client.refused(CODES.INVALID_ARGUMENT, certificate_signing_request=csr(ec.generate_private_key(ec.SECP256K1())))
    client.refused(CODES.INVALID_ARGUMENT, "the requested validator is not enabled", token_validator=2)
    client.refused(CODES.INVALID_ARGUMENT, "the requested validator is not enabled", token_validator=3)
    client.refused(CODES.INVALID_ARGUMENT, "the requested validator is not enabled", token_validator=9)
    client.refused(CODES.RESOURCE_EXHAUSTED, token="t" * 100000)
    client.ask(token_validator=1)


@test("what is no call of the service is answered as such", "INV-53")
def _():
    sentry = Sentry()
    client = sentry.client()
    for path, code in ((authority.SIGN + "s", CODES.UNIMPLEMENTED), ("/x.Y/Z", CODES.UNIMPLEMENTED)):
        try:
            client.channel.unary_unary(path)(b"", timeout=20)
        except grpc.RpcError as error:
            equal(error.code(), code)
        else:
            raise AssertionError(f"{path} is answered")
    for bad in (b"\xff" * 40, b"\x0a\xff\xff\xff\xff\x0f", b"\x0a\x03a\x00b"):
        try:
            client.channel.unary_unary(authority.SIGN)(bad, timeout=20)
        except grpc.RpcError as error:
            equal(error.code(), CODES.INTERNAL, bad)
        else:
            raise AssertionError(f"{bad} is answered")
    client.ask()


@test("strangers on the port do not keep others from being served", "INV-53")
def _():
    sentry = Sentry()
    idle = [socket.create_connection(("127.0.0.1", sentry.port)) for _ in range(200)]
    for one, text in zip(idle, (b"GET / HTTP/1.1\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x16\x03\x01\xff\xff" + b"x" * 999)):
        one.sendall(text)
    client = sentry.client()
    client.ask()
    for one in idle:
        one.close()
    client.ask()
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.set_alpn_protocols(["h2"])
    with socket.create_connection(("127.0.0.1", sentry.port)) as plain:
        with old.wrap_socket(plain) as secure:
            equal(secure.version(), "TLSv1.2")


# --- tokens -----------------------------------------------------------------------------------------------------------


def url64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number64(number):
    return url64(number.to_bytes((number.bit_length() + 7) // 8, "big"))


def public(key, kid, **more):
    """A JWK, written without our code."""
    one = key.public_key()
    if isinstance(key, ed25519.Ed25519PrivateKey):
        raw = one.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        made = {"kty": "OKP", "crv": "Ed25519", "x": url64(raw)}
    elif isinstance(key, rsa.RSAPrivateKey):
        numbers = one.public_numbers()
        made = {"kty": "RSA", "n": number64(numbers.n), "e": number64(numbers.e)}
    else:
        numbers = one.public_numbers()
        made = {"kty": "EC", "crv": "P-256", "x": url64(numbers.x.to_bytes(32, "big")), "y": url64(numbers.y.to_bytes(32, "big"))}
    return {**made, "kid": kid, **more}


def jwt(key, kid="k", algorithm=None, **changes):
    claims = {"aud": [OWN_ID], "sub": SHOP_ID, "exp": int(time.time()) + 600, "iat": int(time.time()), **changes}
    claims = {name: value for name, value in claims.items() if value is not None}
    is_ed, is_rsa = isinstance(key, ed25519.Ed25519PrivateKey), isinstance(key, rsa.RSAPrivateKey)
    header = {"alg": algorithm or ("EdDSA" if is_ed else "RS256" if is_rsa else "ES256"), "kid": kid}
    text = f"{url64(json.dumps(header).encode())}.{url64(json.dumps(claims).encode())}"
    if is_ed:
        signature = key.sign(text.encode())
    elif is_rsa:
        signature = key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())
    else:
        r, s = decode_dss_signature(key.sign(text.encode(), ec.ECDSA(hashes.SHA256())))
        signature = r.to_bytes(32, "big") + s.to_bytes(32, "big")
    return f"{text}.{url64(signature)}"


def jwks_mtls(source, **options):
    lines = [f"        {name}: {json.dumps(value)}\n" for name, value in {"source": source, **options}.items()]
    return "    tokenValidators:\n    - name: jwks\n      options:\n" + "".join(lines)


KEYS = {"ed": ed25519.Ed25519PrivateKey.generate(), "ec": ec.generate_private_key(ec.SECP256R1()),
        "rsa": rsa.generate_private_key(65537, 2048)}  # fmt: skip
SET = json.dumps({"keys": [public(key, kid) for kid, key in KEYS.items()]})


@test("a token signed by a key of the set is believed, for whom and for what it says", "INV-53")
def _():
    folder = Folder()
    sentry = Sentry(folder=folder, mtls=jwks_mtls(folder.write("keys.json", SET)))
    client = sentry.client()
    for kid, key in KEYS.items():
        equal(uris(chain_of(client.ask(token=jwt(key, kid), token_validator=3))[0]), [SHOP_ID])
    good, now = KEYS["ed"], int(time.time())
    client.ask(token=jwt(good, "ed", exp=now - 200, aud=OWN_ID), token_validator=3)
    client.ask(token=jwt(good, "ed", exp=None), token_validator=3)
    denied = [
        ("\"exp\" not satisfied", jwt(good, "ed", exp=now - 400)),
        ("\"nbf\" not satisfied", jwt(good, "ed", nbf=now + 400)),
        ("\"aud\" not satisfied", jwt(good, "ed", aud=["x"])),
        ("\"sub\" not satisfied", jwt(good, "ed", sub="spiffe://public/ns/default/bank")),
        ("no key of the set fits the token", jwt(good, "zz")),
        ("no key of the set fits the token", jwt(good, "rsa")),
        ("the token's algorithm is not supported", jwt(good, "ed", "none")),
        ("the token is malformed", "x"),
        ("could not verify message using any of the signatures or keys",
         jwt(ed25519.Ed25519PrivateKey.generate(), "ed")),
    ]  # fmt: skip
    for words, token in denied:
        client.refused(CODES.PERMISSION_DENIED, f"token validation failed: {words}", token=token, token_validator=3)
    client.refused(CODES.PERMISSION_DENIED, "the request does not contain a token", token_validator=3)
    client.refused(CODES.INVALID_ARGUMENT, "the requested validator is not enabled", token_validator=1)
    client.refused(CODES.INVALID_ARGUMENT, "a validator name must be specified in this environment")
    need("eyJ" not in sentry.log(), "no token is logged")


@test("keys that change in the file count, and broken ones do not", "INV-53")
def _():
    folder, new = Folder(), ed25519.Ed25519PrivateKey.generate()
    path = folder.write("keys.json", SET)
    sentry = Sentry(folder=folder, mtls=jwks_mtls(path))
    client = sentry.client()
    client.refused(CODES.PERMISSION_DENIED, token=jwt(new, "new"), token_validator=3)
    folder.write("keys.tmp", json.dumps({"keys": [public(new, "new")]}))
    os.rename(folder / "keys.tmp", path)
    eventually(lambda: "reloading" in sentry.log(), "the change is seen")
    eventually(lambda: is_answered(client, token=jwt(new, "new"), token_validator=3), "the new key counts")
    client.refused(CODES.PERMISSION_DENIED, token=jwt(KEYS["ed"], "ed"), token_validator=3)
    folder.write("keys.json", "{")
    eventually(lambda: "the old one stays" in sentry.log(), "the broken file is seen")
    client.ask(token=jwt(new, "new"), token_validator=3)


def is_answered(client, **fields):
    try:
        client.ask(**fields)
        return True
    except grpc.RpcError:
        return False


@test("keys come from the Configuration itself, and from a URL", "INV-53")
def _():
    for text in (SET, base64.b64encode(SET.encode()).decode()):
        Sentry(mtls=jwks_mtls(text)).client().ask(token=jwt(KEYS["ec"], "ec"), token_validator=3)
    served = [503]

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(served[0])
            self.send_header("Content-Length", str(len(SET)))
            self.end_headers()
            self.wfile.write(SET.encode())

        def log_message(self, *words):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sentry = Sentry(mtls=jwks_mtls(f"http://127.0.0.1:{server.server_port}/keys?x=1", minRefreshInterval="2s"))
    client = sentry.client()
    eventually(lambda: "Failed to fetch JWKS: it answers 503" in sentry.log(), "the failure is logged")
    client.refused(CODES.PERMISSION_DENIED, "token validation failed: no keys are known yet",
                   token=jwt(KEYS["ec"], "ec"), token_validator=3)  # fmt: skip
    served[0] = 200
    eventually(lambda: is_answered(client, token=jwt(KEYS["ec"], "ec"), token_validator=3), "the keys are there")
    server.shutdown()


@test("a join token opens the mesh to whoever shows it", "INV-53")
def _():
    folder = Folder()
    path = folder.write("tokens", "# for the shop\nsecret-of-the-shop-1\n\n  secret-of-the-bank-2\r\n")
    sentry = Sentry("--join-token-file", path, folder=folder)
    client = sentry.client()
    for token in ("secret-of-the-shop-1", "secret-of-the-bank-2", "secret-of-the-shop-1\n"):
        for validator in (0, 3):
            client.ask(token=token, token_validator=validator)
    unknown = "token validation failed: the join token is not known"
    for token in ("secret-of-the-shop-", "secret-of-the-shop-11", "# for the shop", "x", " " * 16):
        client.refused(CODES.PERMISSION_DENIED, unknown, token=token)
    client.refused(CODES.PERMISSION_DENIED, "the request does not contain a token")
    client.refused(CODES.INVALID_ARGUMENT, "the requested validator is not enabled", token_validator=1)
    folder.write("tokens", "another-secret-3\n")
    eventually(lambda: is_answered(client, token="another-secret-3"), "the new token counts")
    client.refused(CODES.PERMISSION_DENIED, unknown, token="secret-of-the-shop-1")
    folder.write("tokens", "short\n")
    eventually(lambda: "the old ones stay: line 1: a join token has at least 16" in sentry.log(), "it is refused")
    client.ask(token="another-secret-3")
    need("secret" not in sentry.log(), "no token is logged")


@test("JWTs come with the certificate where that is asked for", "INV-53")
def _():
    sentry = Sentry("--jwt-enabled", "--jwt-issuer", "https://issuer.test", "--jwt-ttl", "1h")
    equal(stat.S_IMODE(os.stat(sentry.folder / "creds/jwt.key").st_mode), 0o600)
    answer = sentry.client().ask(jwt_audiences=["https://bank.test", "x\"y"])
    (one,) = json.loads(sentry.read("jwks.json"))["keys"]
    equal((one["kty"], one["alg"], one["use"]), ("RSA", "RS256", "sig"))
    number = lambda name: int.from_bytes(base64.urlsafe_b64decode(one[name] + "=="), "big")  # noqa: E731
    key = rsa.RSAPublicNumbers(number("e"), number("n")).public_key()
    equal(sorted(answer.per_audience_jwts), ["https://bank.test", "x\"y"])
    for audience, token in [("public", answer.jwt), *answer.per_audience_jwts.items()]:
        head, claims, signature = token.split(".")
        key.verify(base64.urlsafe_b64decode(signature + "=="), f"{head}.{claims}".encode(), padding.PKCS1v15(), hashes.SHA256())
        equal(json.loads(base64.urlsafe_b64decode(head + "==")), {"alg": "RS256", "kid": one["kid"], "typ": "JWT"})
        said = json.loads(base64.urlsafe_b64decode(claims + "=="))
        equal((said["aud"], said["sub"], said["iss"]), ([audience], SHOP_ID, "https://issuer.test"))
        equal((said["exp"] - said["iat"], said["iat"] - said["nbf"]), (3600, 900))
    sentry.stop()
    again = Sentry("--jwt-enabled", folder=sentry.folder)
    equal(json.loads(again.read("jwks.json"))["keys"], [one])
    again.client().refused(CODES.INVALID_ARGUMENT, "too many JWT audiences", jwt_audiences=["a"] * 17)


# --- sidecars ---------------------------------------------------------------------------------------------------------


def sidecar(sentry, token=None, anchors=None, **more):
    """Trusts what is in ca.crt, whenever that changes, or the anchors given."""
    internal = free_port()
    env = {"PATH": os.environ["PATH"]}
    if anchors:
        env["DAPR_TRUST_ANCHORS"] = anchors.decode()
    else:
        env["DAPR_TRUST_ANCHORS_FILE"] = sentry.folder / "creds/ca.crt"
    if token is not None:
        env["DAPR_SENTRY_TOKEN_FILE"] = Folder().write("token", token)
    flags = ["--enable-mtls", "--sentry-address", f"127.0.0.1:{sentry.port}", "--dapr-internal-grpc-port", str(internal)]
    made = Sidecar(flags=flags, env=env, **more)
    made.internal = internal
    return made


def shown(port):
    """The certificates at a port of the mesh."""
    return chain_shown(port)[0]


@test("a sidecar gets its identity with a join token, and waits without", "INV-53")
def _():
    folder = Folder()
    path = folder.write("tokens", "secret-of-the-shop-1\n")
    sentry = Sentry("--join-token-file", path, folder=folder)
    stranger = sidecar(sentry, "not-the-right-secret", wait=False)
    shop = sidecar(sentry, "secret-of-the-shop-1\n")
    leaf, issuer = shown(shop.internal)
    equal((uris(leaf), issuer), ([SHOP_ID], x509.load_pem_x509_certificate(sentry.read("issuer.crt"))))
    eventually(lambda: "the join token is not known" in sentry.log(), "the stranger has asked")
    need(stranger.is_alive() and stranger.healthz() == 0, "it waits, and listens on nothing")
    folder.write("tokens", "not-the-right-secret\n")
    stranger.wait_ready(60)


@test("a sidecar renews certificates of a short life, and believes only who it should", "INV-53")
def _():
    sentry = Sentry(mtls="    workloadCertTTL: 4s\n")
    shop = sidecar(sentry)
    first = shown(shop.internal)[0].serial_number
    eventually(lambda: shown(shop.internal)[0].serial_number != first, "it has another certificate")
    foreign = Sentry()
    doubter = sidecar(sentry, anchors=foreign.read("ca.crt"), wait=False)
    eventually(lambda: "certificate" in doubter.log(), "it says why it goes on asking")
    need(doubter.is_alive() and doubter.healthz() == 0, "it does not start")


@test("a root is exchanged under a sidecar that runs", "INV-53")
def _():
    sentry = Sentry(mtls="    workloadCertTTL: 4s\n")
    shop = sidecar(sentry)
    old = sentry.read("ca.crt")
    first = shown(shop.internal)[1]
    chain = given("ed25519", sentry.folder, old)
    eventually(lambda: shown(shop.internal)[1] == chain.issuer, "the sidecar has a certificate of the new issuer")
    need(first != chain.issuer, "the issuer is another")
    replace(sentry.folder / "creds/ca.crt", authority.pem(chain.root))
    client = sentry.client()
    eventually(lambda: [bytes(one) for one in client.ask().trust_chain_certificates] == [authority.pem(chain.root)],
               "the old root is gone")  # fmt: skip
    last = shown(shop.internal)[0].serial_number
    eventually(lambda: shown(shop.internal)[0].serial_number != last, "it renews on")
    equal(shop.healthz(), 204)


# --- its life ---------------------------------------------------------------------------------------------------------


@test("a restart keeps the root, and a signal ends it in good order", "INV-53")
def _():
    first = Sentry()
    root = first.read("ca.crt")
    equal(first.stop(), 0)
    need("Sentry shut down gracefully" in first.log(), first.log())
    second = Sentry(folder=first.folder)
    equal(second.read("ca.crt"), root)
    need("Root and issuer certs found: using credentials from store" in second.log(), second.log())
    second.client().ask()
    equal(second.stop(signal.SIGINT), 0)


def entries(lines):
    """(level, words, scope) of those that count: the version is ours, the level was asked for."""
    found = [re.search(r'level=(\w+) msg="(.*?)" instance=\S+ scope=(dapr\S+) ', line) for line in lines]
    return [one.groups() for one in found if one and not re.match("Starting Dapr Sentry|Log level", one[2])]


def is_recorded(ours, theirs):
    pattern = re.sub("<[A-Za-z_.]+>", ".*", theirs[1].replace("[", r"\[").replace("]", r"\]"))
    return (ours[0], ours[2]) == (theirs[0], theirs[2]) and re.fullmatch(pattern, ours[1])


@test("the log has the recorded lines in their order", "INV-53")
def _():
    first = Sentry()
    first.stop()
    second = Sentry(folder=first.folder)
    second.stop()
    # The reference once reads again what it has just made; the two servers beside the main one come in any order.
    theirs = entries(recorded("sentry log")["log"])
    middle = next(i for i, one in enumerate(theirs) if "reloading" in one[1])
    end = next(i for i, one in enumerate(theirs) if "Received signal" in one[1])
    for sentry, lines in ((first, theirs[:middle] + theirs[end:]), (second, theirs[:1] + theirs[middle + 3 :])):
        ours = entries(sentry.log().split("\n"))
        for words in ("metrics server started", "Healthz server is listening", ""):
            got, wanted = ([one for one in some if words in one[1]] for some in (ours, lines))
            need(len(got) == len(wanted) and all(map(is_recorded, got, wanted)), f"{got}\nis not\n{wanted}")
            ours, lines = ([one for one in some if words not in one[1]] for some in (ours, lines))


def given(kind, folder, old_roots=b""):
    """Credentials that somebody brings along."""
    chain = authority.Chain(kind)
    os.makedirs(folder / "creds", exist_ok=True)
    replace(folder / "creds/ca.crt", old_roots + authority.pem(chain.root))
    replace(folder / "creds/issuer.crt", authority.pem(chain.issuer))
    replace(folder / "creds/issuer.key", authority.pem_key(chain.key))
    return chain


def replace(path, text):
    with open(path + ".other", "wb") as f:
        f.write(text)
    os.rename(path + ".other", path)


@test("credentials that were brought along are used, of any kind", "INV-53")
def _():
    for kind in ("ecdsa", "rsa", "ed25519"):
        folder = Folder()
        chain = given(kind, folder)
        sentry = Sentry(folder=folder)
        leaf, issuer = chain_of(sentry.client().ask())
        equal(issuer, chain.issuer)
        leaf.verify_directly_issued_by(issuer)
        need(leaf.not_valid_after_utc <= min(issuer.not_valid_after_utc, chain.root.not_valid_after_utc), "it ends in time")
        need('level=warning msg="The issuer credentials expire on' in sentry.log(), "that they end soon is told")


@test("credentials that change are used from then on, over the same connection", "INV-53")
def _():
    sentry = Sentry()
    client = sentry.client()
    old_root = sentry.read("ca.crt")
    first = chain_of(client.ask())[1]
    chain = given("ecdsa", sentry.folder, old_root)
    eventually(lambda: chain_of(client.ask())[1] == chain.issuer, "the new issuer signs")
    equal([bytes(one) for one in client.ask().trust_chain_certificates], [old_root + authority.pem(chain.root)])
    need(first != chain.issuer, "there is a new one")
    eventually(lambda: sentry.own_chain()[0][1] == chain.issuer, "it shows a certificate of the new one")
    need('level=warning msg="Issuer credentials changed; reloading"' in sentry.log(), sentry.log())
    # Once, if the three files were changed as quickly as is meant; a part of them may have been refused before.
    changed, refused = sentry.counters()["dapr_sentry_issuercert_changed_total"], "cannot be used, the old ones stay"
    need(changed >= 1, "it is counted")
    before = sentry.log().count(refused)
    sentry.folder.write("creds/issuer.key", "nonsense")
    eventually(lambda: sentry.log().count(refused) > before, "it is told")
    equal(chain_of(client.ask())[1], chain.issuer)
    equal(sentry.counters()["dapr_sentry_issuercert_changed_total"], changed)
    with open(sentry.folder / "creds/issuer.key", "wb") as f:
        f.write(authority.pem_key(chain.key))
    sentry.signal(signal.SIGHUP)
    eventually(lambda: sentry.counters()["dapr_sentry_issuercert_changed_total"] > changed, "it is read again")
    client.ask()


@test("credentials that are no good or not whole end the start", "INV-53")
def _():
    def ends(folder, words, *flags, **more):
        sentry = Sentry(*flags, folder=folder, wait=False, **more)
        equal(sentry.wait(), 1, sentry.log())
        need(words in sentry.log() and "level=fatal" in sentry.log(), sentry.log())

    folder = Folder()
    given("ecdsa", folder)
    os.unlink(folder / "creds/issuer.key")
    ends(folder, "some files of the credentials are there and others are not")
    need(not os.path.exists(folder / "creds/issuer.key"), "nothing was written over")
    given("ecdsa", folder)
    os.rename(folder / "creds/issuer.key", folder / "creds/keep")
    given("ecdsa", folder)
    os.rename(folder / "creds/keep", folder / "creds/issuer.key")
    ends(folder, "issuer key does not match issuer certificate")
    ends(Folder(), "mode kubernetes", "--mode", "kubernetes")
    ends(Folder(), "oidc-enabled is not implemented", "--oidc-enabled")
    ends(Folder(), "there is no join token in it", "--join-token-file", folder.write("none", "# nothing\n"))
    ends(Folder(), "invalid token validator name: 'magic'", mtls="    tokenValidators:\n    - name: magic\n")
    ends(Folder(), "cannot be configured manually", mtls="    tokenValidators:\n    - name: kubernetes\n")
    ends(Folder(), "error parsing workloadCertTTL duration", mtls="    workloadCertTTL: tomorrow\n")
    ends(Folder(), "make no SPIFFE ID", "--trust-domain", "No/Domain")
    ends(Folder(), "couldn't find config name", "--config", "/nonexistent.yaml")


@test("what it did is counted, health is told", "INV-53")
def _():
    sentry = Sentry()
    client = sentry.client()
    client.ask()
    client.refused(CODES.PERMISSION_DENIED, id="")
    counters = sentry.counters()
    equal(counters["dapr_sentry_cert_sign_request_received_total"], 2)
    equal(counters["dapr_sentry_cert_sign_success_total"], 1)
    equal(counters['dapr_sentry_cert_sign_failure_total{reason="sign"}'], 1)
    expiry = x509.load_pem_x509_certificate(sentry.read("issuer.crt")).not_valid_after_utc.timestamp()
    equal(counters["dapr_sentry_issuercert_expiry_timestamp"], expiry)
    need("process_resident_memory_bytes" in counters, counters)
    equal(call(("127.0.0.1", sentry.health), "GET", "/other").status, 404)


main()
