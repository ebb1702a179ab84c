# SPDX-License-Identifier: Apache-2.0
# in check: yes
# timeout: 600
"""Experiment crypto-stream: 1 GiB is encrypted and, as it comes, decrypted again, over HTTP and over gRPC. It comes back
whole, neither kernel nor plugin grows by more than 8 MiB, and what the scheme costs beside its cipher leaves 70 % of what
`openssl speed` has for it on the same processor."""
import _prove

import sdk  # noqa: F401  isort: skip

import hashlib
import http.client
import os
import queue
import re
import subprocess
import threading
import time

import grpc
from dapr.proto.common.v1 import common_pb2
from dapr.proto.runtime.v1 import crypto_pb2, dapr_pb2_grpc

import remora
from _grpc import forget_peak, status_kib
from _prove import by_length, rng

BYTES = by_length(32 << 20, 1 << 30, 1 << 30)
GROWTH_MIB_MAX = 8
SHARE_MIN = 0.7
PIECE = rng.randbytes(1 << 20)
claims = _prove.Claims()
folder = remora.Folder()
os.mkdir(folder / "keys")
with open(folder / "keys/octets", "wb") as f:
    f.write(rng.randbytes(32))
sidecar = remora.Sidecar(remora.component("local", "crypto.dapr.localstorage", {"path": folder / "keys"}), folder=folder)
pids = {"kernel": sidecar.pid, "plugin": sidecar.plugin_pid("crypto")}


def source(count):
    for _ in range(count // len(PIECE)):
        yield PIECE


def digest_of(pieces):
    digest, count = hashlib.blake2b(), 0
    for piece in pieces:
        digest.update(piece)
        count += len(piece)
    return digest.hexdigest(), count


# --- HTTP -------------------------------------------------------------------------------------------------------------


def put(what, pieces, headers):
    """The answer's pieces while the body is sent."""
    connection = http.client.HTTPConnection("127.0.0.1", sidecar.port, timeout=120)
    connection.putrequest("PUT", f"/v1.0-alpha1/crypto/local/{what}")
    for name, value in (("Transfer-Encoding", "chunked"), *headers):
        connection.putheader(name, value)
    connection.endheaders()

    def send():
        for piece in pieces:
            connection.sock.sendall(b"%x\r\n" % len(piece))
            connection.sock.sendall(piece)
            connection.sock.sendall(b"\r\n")
        connection.sock.sendall(b"0\r\n\r\n")

    threading.Thread(target=send, daemon=True).start()
    reply = connection.getresponse()
    remora.equal(reply.status, 200)
    while piece := reply.read(1 << 18):
        yield piece


def over_http(count, cipher):
    headers = [("dapr-key-name", "octets"), ("dapr-key-wrap-algorithm", "AES"), ("dapr-data-encryption-cipher", cipher)]
    return digest_of(put("decrypt", put("encrypt", source(count), headers), []))


# --- gRPC -------------------------------------------------------------------------------------------------------------

stub = dapr_pb2_grpc.DaprStub(grpc.insecure_channel(f"127.0.0.1:{sidecar.grpc_port}"))


def messages(kind, options, pieces):
    yield kind(options=options)
    for seq, piece in enumerate(pieces):
        yield kind(payload=common_pb2.StreamPayload(data=piece, seq=seq))


def bounded(pieces):
    """gRPC's client takes from an iterator as fast as it can: what is on the way must not be all of it."""
    waiting = queue.Queue(16)

    def fill():
        for piece in pieces:
            waiting.put(piece)
        waiting.put(None)

    threading.Thread(target=fill, daemon=True).start()
    return iter(waiting.get, None)


def over_grpc(count, cipher):
    options = crypto_pb2.EncryptRequestOptions(component_name="local", key_name="octets", key_wrap_algorithm="AES",
                                               data_encryption_cipher=cipher)
    sealed = stub.EncryptAlpha1(messages(crypto_pb2.EncryptRequest, options, source(count)), timeout=600)
    options = crypto_pb2.DecryptRequestOptions(component_name="local")
    opened = stub.DecryptAlpha1(
        messages(crypto_pb2.DecryptRequest, options, bounded(a.payload.data for a in sealed)), timeout=600)
    return digest_of(a.payload.data for a in opened)


# --- claims -----------------------------------------------------------------------------------------------------------


def run(name, function, cipher):
    function(8 << 20, cipher)  # what stays resident for good is none of the growth
    for pid in pids.values():
        forget_peak(pid)
    before = {who: status_kib(pid, "VmRSS") for who, pid in pids.items()}
    begin = time.monotonic()
    got = function(BYTES, cipher)
    took = time.monotonic() - begin
    claims.holds(f"{name}, {cipher}: comes back whole", got == digest_of(source(BYTES)))
    for who, pid in pids.items():
        if not _prove.SANITIZED:
            claims.at_most(f"{name}, {cipher}: the {who}'s growth", (status_kib(pid, "VmHWM") - before[who]) / 1024,
                           GROWTH_MIB_MAX, " MiB")
    _prove.say(f"{name}, {cipher}: {BYTES / took / 1e6:.0f} MB/s there and back, with clients in Python beside it")
    return BYTES / took / 1e6


def openssl(cipher):
    """MiB/s of its own measure, which is processor time too."""
    out = subprocess.run(["openssl", "speed", "-seconds", "1", "-bytes", "65536", "-evp", cipher], capture_output=True,
                         text=True).stdout
    return float(re.findall(r"([0-9.]+)k\b", out)[-1]) * 1000 / (1 << 20)


def cost(cipher, name):
    tool = os.path.join(remora.BUILD, "tests", "bench", "document")
    if _prove.SANITIZED or not os.path.exists(tool):
        return
    theirs = sealing = opening = 0.0
    for _ in range(by_length(1, 5, 5)):  # the best of each: neighbours only ever take
        theirs = max(theirs, openssl(name))
        ours = subprocess.run([tool, cipher, by_length("256", "4096", "8192")], capture_output=True, text=True).stdout.split()
        sealing, opening = max(sealing, float(ours[0])), max(opening, float(ours[1]))
    _prove.say(f"{cipher}: openssl {theirs:.0f} MiB/s, sealing {sealing:.0f}, opening {opening:.0f}")
    least = SHARE_MIN / (3 if _prove.SHORT else 1)
    claims.at_least(f"{cipher}: sealing beside openssl", sealing / theirs, least)
    claims.at_least(f"{cipher}: opening beside openssl", opening / theirs, least)


figures = [run("HTTP", over_http, cipher) for cipher in ("aes-gcm", "chacha20-poly1305")]
figures.append(run("gRPC", over_grpc, "aes-gcm"))
cost("aes-gcm", "aes-256-gcm")
cost("chacha20-poly1305", "chacha20-poly1305")
claims.holds("the sidecar is well", sidecar.healthz() == 204)
claims.end(f"crypto-stream: {BYTES >> 20} MiB, {', '.join(f'{x:.0f}' for x in figures)} MB/s there and back")
