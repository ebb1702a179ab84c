# SPDX-License-Identifier: Apache-2.0
"""Identities and mutual TLS of real sidecars, against an authority of the test's own (tests/lib/authority.py): how the
first certificate is got and later ones are, what is shown and asked for on the internal port, what of Sentry's answers
is believed, trust anchors that change."""

import sdk  # noqa: F401  isort: skip

import os
import signal
import socket
import ssl
import time
import warnings

import authority
import mesh
import remora
from authority import Authority
from cryptography import x509
from http_app import App
from remora import DEADLINE_S, Sidecar, equal, eventually, free_port, main, need, test

warnings.simplefilter("ignore", DeprecationWarning)  # of old versions of TLS, which are tried on purpose
PATH = {"PATH": os.environ["PATH"]}
FAILED = "Failed to retrieve the initial identity"
# Certificates whose half is over 2 s after they are made, and that live on for long enough for a machine that is slow.
SOON = {"lifetime_s": 60, "backdate_s": 56}


def sidecar(ca, *flags, env=None, wait=True, app_id="shop"):
    """With an internal port."""
    port = free_port()
    words = [*ca.flags(), "--dapr-internal-grpc-port", str(port), *mesh.LOOPBACK, *flags]
    made = Sidecar(app_id=app_id, flags=words, env={**PATH, **ca.environment(), **(env or {})}, wait=wait)
    made.ca, made.internal_port = ca, port
    return made


def is_late(line):
    """Of an attempt that had no answer in time, on a machine that stood still, and was given up."""
    return FAILED in line and "DeadlineExceeded" in line


def asked_once(ca, one):
    late = [line for line in one.log().splitlines() if is_late(line)]
    need(1 <= len(ca.requests) <= 1 + len(late), f"{len(ca.requests)} requests, {late}")


def refuses(port):
    try:
        socket.create_connection(("127.0.0.1", port), DEADLINE_S).close()
    except ConnectionRefusedError:
        return True
    return False


def shown(port, context):
    """The certificate of the internal port, in a handshake that ends well."""
    with socket.create_connection(("127.0.0.1", port), DEADLINE_S) as plain:
        with context.wrap_socket(plain) as tls:
            equal(tls.selected_alpn_protocol(), "h2")
            need(tls.version() == "TLSv1.2" or tls.cipher()[0] == "TLS_AES_128_GCM_SHA256", tls.cipher())
            return x509.load_der_x509_certificate(tls.getpeercert(True)), tls.version()


# Who connects and says nothing, or half of a greeting, is put up with for as long as the tests take.
SILENT = sidecar(Authority())
SILENT_PEERS = [socket.create_connection(("127.0.0.1", SILENT.internal_port), 2 * DEADLINE_S) for _ in range(50)]
for peer in SILENT_PEERS[25:]:
    peer.sendall(b"\x16\x03\x01\x01\x00\x01\x00")

# --- the first one ----------------------------------------------------------------------------------------------------


@test("nothing listens before Sentry has signed, however long that takes; SIGTERM ends the wait with 0", "INV-mTLS §3 §18")
def waits():
    ca = Authority(start=False)
    port = free_port()
    flags = ["--enable-mtls", "--sentry-address", f"127.0.0.1:{port}"]
    public = free_port()
    flags += ["--dapr-internal-grpc-port", str(free_port()), *mesh.LOOPBACK, "--metrics-port", str(public)]
    waiting = [Sidecar(flags=flags, env={**PATH, **ca.environment()}, wait=False) for _ in range(2)]
    for one in waiting:
        eventually(lambda one=one: FAILED in one.log(), "an attempt failed")
        ports = [one.port, one.grpc_port, public, int(flags[4])]
        need(all(map(refuses, ports)), f"nothing listens on {ports}")
    need("connection refused" in waiting[0].log(), waiting[0].log()[-500:])
    equal(waiting[1].stop(), 0)
    need("Daprd shutdown gracefully" in waiting[1].log(), waiting[1].log()[-500:])
    ca.start(port)
    waiting[0].wait_ready()
    need("Security is initialized successfully" in waiting[0].log(), waiting[0].log())
    asked_once(ca, waiting[0])


@test("SIGTERM ends the wait for an authority that takes the connection and says nothing", "§18")
def waits_for_silence():
    ca = Authority(start=False)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        flags = ["--enable-mtls", "--sentry-address", "127.0.0.1:%d" % mute.getsockname()[1]]
        one = Sidecar(flags=flags, env={**PATH, **ca.environment()}, wait=False)
        mute.settimeout(DEADLINE_S)
        greeted, _ = mute.accept()
        need(greeted.recv(1) == b"\x16", "it has begun to speak TLS")
        equal(one.stop(), 0)
        greeted.close()


@test("the request is the recorded one, and there is exactly one for a certificate that lasts", "sentry.json §18")
def asks():
    ca = Authority()
    one = sidecar(ca)
    asked_once(ca, one)
    request = ca.requests[-1]
    csr = x509.load_pem_x509_csr(request.certificate_signing_request)
    need(request.certificate_signing_request.startswith(b"-----BEGIN CERTIFICATE REQUEST-----"), request)
    equal((request.id, request.namespace, request.token, request.trust_domain), ("shop", "default", "", ""))
    equal((request.token_validator, list(request.jwt_audiences)), (0, []))
    equal((len(csr.subject), len(csr.extensions)), (0, 0))
    equal(type(csr.public_key()).__name__, "Ed25519PublicKey")
    lines = [line.split('msg="')[1].split('"')[0] for line in one.log().splitlines()
             if "runtime.security" in line and not is_late(line)]  # fmt: skip
    equal(lines[:2], ["Fetching initial identity", "Security is initialized successfully"])
    need(lines[2].startswith("Starting workload identity expiry watcher; cert expires on: 20"), lines[2])
    need(" +0000 UTC, renewal at: 20" in lines[2] and lines[2].endswith(" +0000 UTC"), lines[2])
    need("BEGIN" not in one.log(), "no PEM is in the log")


@test("who asks is said by namespace, token file, identity and audiences of the environment and the flags", "§1 §18")
def says_who():
    ca = Authority(token="proof")
    folder = remora.Folder()
    token = folder.write("token", "")
    env = {"NAMESPACE": "prod", "DAPR_SENTRY_TOKEN_FILE": token, "SENTRY_LOCAL_IDENTITY": "store"}
    one = sidecar(ca, "--sentry-request-jwt-audiences", "a,b", env=env, wait=False)
    eventually(lambda: "error obtaining token: " in one.log(), "an empty token is an error")
    folder.write("token", "proof\n")
    one.wait_ready()
    request = ca.requests[-1]
    equal((request.id, request.namespace, request.token, request.token_validator), ("store", "prod", "proof", 3))
    equal(list(request.jwt_audiences), ["a", "b"])
    need("proof" not in one.log(), "the token is in no log")


@test("answers that are not to be believed are refused, nothing listens meanwhile, and it is asked again", "§18")
def disbelieves():
    rows = [
        ({"foreign": True}, "is not to be trusted"),
        ({"app_id": "bank"}, "of somebody else: spiffe://public/ns/default/bank"),
        ({"namespace": "prod"}, "of somebody else: spiffe://public/ns/prod/shop"),
        ({"lifetime_s": -30}, "has expired or is not yet valid"),
        ({"starts_in_s": 30}, "has expired or is not yet valid"),
        ({"uris": []}, "no URI SAN"),
        ({"uris": ["spiffe://public/ns/default/shop", "spiffe://public/ns/default/bank"]}, "more than one URI SAN"),
        ({"uris": ["spiffe://public/shop"]}, "not one of an application"),
        ({"uris": ["https://public/ns/default/shop"]}, "no SPIFFE ID"),
        ({"refuse": authority.grpc.StatusCode.PERMISSION_DENIED}, "code = PermissionDenied desc = not today"),
    ]
    ca = Authority()
    left = {f"shop{i}": row[0] for i, row in enumerate(rows)}
    ca.twist = lambda request: left.get(request.id, {})
    ones = [sidecar(ca, app_id=name, wait=False) for name in left]
    for one, (twist, words) in zip(ones, rows):
        eventually(lambda one=one, words=words: words in one.log(), f"{twist}: {words}")
        need(refuses(one.port) and refuses(one.internal_port), "nothing listens")
    left.clear()
    for one, (twist, words) in zip(ones, rows):
        one.wait_ready()
        said = [line for line in one.log().splitlines() if FAILED in line and not is_late(line)]
        need(said and all(words in line for line in said), f"{twist}: {said}")


@test("a key that is not ours is refused", "§18")
def other_key():
    ca = Authority()
    right, wrong = ca.issue, [authority.KEYS["ed25519"]().public_key()]
    ca.issue = lambda key, *words, **more: right(wrong.pop() if wrong else key, *words, **more)
    one = sidecar(ca)
    need("it is not of our key" in one.log(), one.log()[-800:])


@test("only an authority with the right identity is asked", "§18")
def other_sentry():
    ca = Authority()
    one = sidecar(ca, "--control-plane-namespace", "dapr-system", wait=False)
    eventually(lambda: 'unexpected ID \\"spiffe://localhost/ns/default/dapr-sentry' in one.log(), "it is not the one meant")
    equal(ca.requests, [])
    ca._own = lambda: ca.identity("dapr-sentry", "ecdsa", namespace="dapr-system", domain="localhost")
    ca._renew()
    one.wait_ready()
    stranger = Authority()
    two = Sidecar(flags=stranger.flags(), env={**PATH, **ca.environment()}, wait=False)
    eventually(lambda: "certificate signed by unknown authority" in two.log(), "it is not one of ours")


# --- the internal port ------------------------------------------------------------------------------------------------


@test("the internal port shows the issued certificate over h2 and TLS 1.3, or 1.2 to who knows no better", "sentry.json")
def shows():
    ca = Authority()
    one = sidecar(ca)
    for version in (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2):
        context = ca.identity("bank").client()
        context.maximum_version = version
        certificate, got = shown(one.internal_port, context)
        equal(got, version.name.replace("_", "."))
        equal(certificate.serial_number, ca.serials("spiffe://public/ns/default/shop")[0])
        equal(type(certificate.public_key()).__name__, "Ed25519PublicKey")
    old = ca.identity("bank").client()
    old.minimum_version = ssl.TLSVersion.TLSv1
    old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    try:
        shown(one.internal_port, old)
        need(False, "TLS 1.1 is spoken")
    except (ssl.SSLError, OSError):
        pass


@test("sidecars of one authority call each other, with keys and certificates of every kind", "INV mTLS")
def calls():
    for kind in ("ed25519", "ecdsa", "rsa"):
        ca = Authority(kind)
        net = mesh.Mesh(ca)
        app = App()
        net.sidecar("bank", app=app)
        shop = net.sidecar("shop")
        equal(mesh.reaches(shop, "bank", "hello").status, 200)
        equal(app.requests[-1].header("dapr-caller-app-id"), "shop")


@test("what speaks no TLS, or TLS to who speaks none, fails at once and harms nobody", "§18")
def mixes():
    ca = Authority()
    one, plain = sidecar(ca), Sidecar(flags=["--dapr-internal-grpc-port", str(free_port()), *mesh.LOOPBACK])
    for said in (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9), b"GET / HTTP/1.1\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", one.internal_port), DEADLINE_S) as peer:
            peer.sendall(said)
            try:
                while peer.recv(4096):
                    pass  # an alert, and the end
            except ConnectionResetError:
                pass  # not all of it was read
    internal = next(int(flag) for flag in open(f"/proc/{plain.pid}/cmdline").read().split("\0")[1:] if flag.isdigit()
                    and int(flag) not in (plain.port, plain.grpc_port, 0))  # fmt: skip
    try:
        shown(internal, ca.identity("bank").client())
        need(False, "the plain port speaks TLS")
    except (ssl.SSLError, OSError):
        pass
    equal(one.healthz(), 204)
    equal(plain.healthz(), 204)


# --- later ones -------------------------------------------------------------------------------------------------------


@test("a certificate is renewed at half of its life, both ends go over, no call fails", "§18")
def renews():
    ca = Authority(**SOON)
    net = mesh.Mesh(ca)
    net.sidecar("bank", app=App())
    shop = net.sidecar("shop")
    mesh.reaches(shop, "bank", "hello")
    ids = ["spiffe://public/ns/default/bank", "spiffe://public/ns/default/shop"]
    count = 0
    while min(len(ca.serials(one)) for one in ids) < 4:
        equal(mesh.invoke(shop, "bank", "hello").status, 200)
        count += 1
    need(count > 10, f"{count} calls")
    need("Renewing workload identity; cert expires on: " in shop.log(), shop.log()[-500:])
    need("Successfully renewed workload identity; cert expires on: " in shop.log(), shop.log()[-500:])
    certificate, _ = shown(int(net.addresses("bank")[0].rpartition(":")[2]), ca.identity("shop").client())
    need(certificate.serial_number in ca.serials(ids[0])[2:], "the newest is shown")


@test("a certificate that lives for 10 ms is renewed many times a second", "§18")
def hectic():
    ca = Authority(lifetime_s=0.01)
    one = sidecar(ca)
    begun = time.monotonic()
    eventually(lambda: len(ca.requests) >= 20, "twenty certificates")
    need(time.monotonic() - begun < 10 * remora.SLOW, "many a second")
    equal(one.healthz(), 204)
    equal(one.stop(), 0)


@test("without Sentry the present certificate serves on, and the next attempt succeeds when it is back", "§18")
def absent():
    ca = Authority(**SOON)
    one = sidecar(ca, "--metrics-port", str(free_port()))
    ca.relay.refuse()
    eventually(lambda: "Error renewing identity, trying again in " in one.log(), "a renewal failed")
    renewed = one.log().count("Successfully renewed")  # before nobody listened any more, if at all
    certificate, _ = shown(one.internal_port, ca.identity("bank").client())
    equal(certificate.serial_number, ca.serials("spiffe://public/ns/default/shop")[-1])
    equal(one.log().count("Successfully renewed"), renewed)
    ca.relay.listen()
    eventually(lambda: one.log().count("Successfully renewed") > renewed, "renewed")
    text = eventually(lambda: metrics(one), "counted")
    need('dapr_runtime_mtls_init_total{app_id="shop"} 1' in text, text[-2000:])


def metrics(one):
    port = next(line.split(":")[-1].split("/")[0] for line in one.log().splitlines() if "metrics server started" in line)
    text = remora.call(("127.0.0.1", int(port)), "GET", "/metrics").text
    return text if "dapr_runtime_mtls_workload_cert_rotated_total" in text and "rotated_fail_total{" in text else None


@test("a file of trust anchors that changes takes effect in place, old and new ones side by side", "§18 rotation")
def rotates():
    ca = Authority()
    folder = remora.Folder()
    path = folder.write("anchors.pem", ca.anchors())
    env = {"DAPR_TRUST_ANCHORS": "", "DAPR_TRUST_ANCHORS_FILE": path}
    one = sidecar(ca, env=env)
    old = ca.identity("bank")
    shown(one.internal_port, old.client())
    ca.prepare()
    ca.rotate()
    new = ca.identity("bank")
    need(not works(one, new), "a root that is not in the file yet")
    replace(folder, path, ca.anchors())
    eventually(lambda: works(one, new), "the new root is trusted")
    need(works(one, old), "and the old one still")
    newest = ca.anchors(newest=True)
    ca.forget()
    replace(folder, path, newest)
    eventually(lambda: not works(one, old), "the old root is trusted no more")
    eventually(lambda: len(ca.requests) >= 2, "the old certificate is worth nothing, a new one is asked for")
    only_new = ca.identity("bank")
    eventually(lambda: works(one, only_new), "whoever trusts the new root only can call")
    replace(folder, path, "nonsense")
    eventually(lambda: "those in force stay so" in one.log(), "what is no certificate changes nothing")
    need(works(one, only_new), "still")


def replace(folder, path, text):
    os.rename(folder.write("next.pem", text), path)


def works(one, identity):
    try:
        context = identity.client()
        context.maximum_version = ssl.TLSVersion.TLSv1_2  # where the handshake ends after both have judged
        shown(one.internal_port, context)
        return True
    except (ssl.SSLError, ConnectionError):
        return False


@test("a file of trust anchors may come after the sidecar", "§18")
def late_file():
    ca = Authority()
    folder = remora.Folder()
    env = {"DAPR_TRUST_ANCHORS": "", "DAPR_TRUST_ANCHORS_FILE": folder / "anchors.pem"}
    one = sidecar(ca, env=env, wait=False)
    eventually(lambda: "not found, waiting" in one.log(), "it waits")
    replace(folder, folder / "anchors.pem", ca.anchors())
    one.wait_ready()
    two = sidecar(ca, env={**env, "DAPR_TRUST_ANCHORS_FILE": folder / "nowhere.pem"}, wait=False)
    eventually(lambda: "not found, waiting" in two.log(), "it waits")
    two.signal(signal.SIGTERM)
    equal(two.wait(), 0)


@test("who connects and never speaks is cut off, and holds nobody up", "§18")
def silent():
    others = [socket.create_connection(("127.0.0.1", SILENT.internal_port), DEADLINE_S) for _ in range(50)]
    shown(SILENT.internal_port, SILENT.ca.identity("bank").client())
    for peer in SILENT_PEERS:
        try:
            equal(peer.recv(1), b"")
        except ConnectionResetError:
            pass  # what it has said was not read
    for peer in others:
        peer.close()
    equal(SILENT.healthz(), 204)


if __name__ == "__main__":
    main()
