# SPDX-License-Identifier: Apache-2.0
# timeout: 180
"""remora-sentry against an independent client: what it makes, signs and logs has the form recorded of the reference, and
who may not have a certificate gets none."""

import sdk  # noqa: F401  isort: skip

import base64
import datetime
import json
import os
import re
import signal
import socket
import ssl
import stat
import subprocess

import authority
import grpc
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from remora import call, equal, main, need, shared, test
from sentry_bed import CODES, SHOP_ID, Sentry, chain_of, csr, uris

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
