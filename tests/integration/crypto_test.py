# SPDX-License-Identifier: Apache-2.0
# timeout: 120
"""Documents over gRPC and HTTP: the reference's are read, ours are read by an independent reader, the official SDK has
them as streams, and what was changed is refused with the reference's words."""

import sdk  # noqa: F401  isort: skip

import hashlib
import json
import os
import re
import warnings

import enc_v1
import grpc
import sdk_programs
from dapr.clients import DaprClient
from dapr.clients.grpc._crypto import DecryptOptions, EncryptOptions
from dapr.conf import settings
from dapr.proto.common.v1 import common_pb2
from dapr.proto.runtime.v1 import crypto_pb2, dapr_pb2_grpc
from remora import Folder, Sidecar, Skip, call, component, equal, eventually, free_port, main, need, shared, test

warnings.simplefilter("ignore")
KEYS = shared("golden", "crypto", "keys")
with open(shared("golden", "crypto", "documents.json")) as file:
    GOLDEN = json.load(file)

FOLDER = Folder()
EMPTY = FOLDER.write(
    "config.yaml",
    "apiVersion: dapr.io/v1alpha1\nkind: Configuration\nmetadata: {name: c}\n"
    "spec:\n  features:\n  - name: CryptoEmptyDocuments\n    enabled: true\n",
)
LOCAL = component("local", "crypto.dapr.localstorage", {"path": KEYS})
SIDECAR = Sidecar(LOCAL, app_id="crypt")
LENIENT = Sidecar(LOCAL, app_id="lenient", flags=["--config", EMPTY])
MISSING = "open /keys/"


def stub(sidecar=SIDECAR):
    return dapr_pb2_grpc.DaprStub(grpc.insecure_channel(f"127.0.0.1:{sidecar.grpc_port}"))


def pieces(data, size):
    return [data[at : at + size] for at in range(0, len(data), size)]


def requests(kind, options, data, size):
    """As a client sends them: the options with the first piece."""
    first = True
    for seq, piece in enumerate(pieces(data, size) or [b""]):
        message = kind(payload=common_pb2.StreamPayload(data=piece, seq=seq))
        if first:
            message.options.CopyFrom(options)
        first = False
        yield message


def encrypt(data, sidecar=SIDECAR, size=60000, **options):
    options = crypto_pb2.EncryptRequestOptions(**{"component_name": "local", **options})
    answers = list(stub(sidecar).EncryptAlpha1(requests(crypto_pb2.EncryptRequest, options, data, size), timeout=60))
    equal([a.payload.seq for a in answers], list(range(len(answers))), "numbered from 0")
    return b"".join(a.payload.data for a in answers)


def decrypt(document, sidecar=SIDECAR, size=60000, component_name="local", key_name=""):
    options = crypto_pb2.DecryptRequestOptions(component_name=component_name, key_name=key_name)
    answers = list(stub(sidecar).DecryptAlpha1(requests(crypto_pb2.DecryptRequest, options, document, size), timeout=60))
    equal([a.payload.seq for a in answers], list(range(len(answers))), "numbered from 0")
    return b"".join(a.payload.data for a in answers)


def refusal(function, *arguments, **options):
    try:
        function(*arguments, **options)
    except grpc.RpcError as error:
        return error.code().name, error.details()
    raise AssertionError("it was not refused")


def document(name):
    with open(shared("golden", "crypto", *name.split("/")), "rb") as f:
        return f.read()


def words(text):
    """The reference's, with the folder that the keys are in here."""
    return text.replace(MISSING, f"open {KEYS}/")


@test("documents of the reference decrypt", "CRY-02 CRY-04 CRY-07 X-CRY-03 X-CRY-04")
def golden_documents():
    count = 0
    for entry in GOLDEN["documents"]:
        if entry["file"] is None or entry["options"]["component_name"] != "local":
            continue
        text = document(entry["file"])
        if entry["reference_decrypts_it"] is not True:
            equal(refusal(decrypt, text), ("INTERNAL", entry["reference_decrypts_it"]), entry["file"])
            continue
        is_empty = entry["plaintext_size"] == 0
        key_name = entry["options"]["key_name"] if entry["options"].get("omit_decryption_key_name") else ""
        plain = decrypt(text, LENIENT if is_empty else SIDECAR, key_name=key_name)
        equal((len(plain), hashlib.sha256(plain).hexdigest()), (entry["plaintext_size"], entry["plaintext_sha256"]))
        count += 1
    need(count > 25, count)


@test("our documents open in an independent reader, with the reference's header", "CRY-01 CRY-05 CRY-06 CRY-10")
def ours_elsewhere():
    for key_name, wraps, kw in (("oct256.json", ("A256KW", "AES", "a256kw"), 1), ("raw256", ("A256KW",), 1),
                                ("b64-256", ("A256KW",), 1), ("rsa2048.pem", ("RSA-OAEP-256", "RSA", "rsa"), 5)):
        key = enc_v1.load_key(os.path.join(KEYS, key_name))
        for wrap in wraps:
            for cipher, cph in (("", 1), ("aes-gcm", 1), ("CHACHA20-poly1305", 2)):
                for size in (1, 65535, 65536, 65537, 131072, 200000):
                    data = enc_v1.plaintext(size)
                    text = encrypt(data, key_name=key_name, key_wrap_algorithm=wrap, data_encryption_cipher=cipher)
                    manifest = enc_v1.split(text)[0]
                    equal((list(manifest), manifest["k"], manifest["kw"], manifest["cph"]),
                          (["k", "kw", "wfk", "cph", "np"], key_name, kw, cph))
                    need(enc_v1.decrypt(text, key) == data, (key_name, wrap, cipher, size))
                    if size in (1, 65536, 200000):
                        need(decrypt(text, size=7777) == data, (key_name, size))
                    if wrap != wraps[0] or kw == 5:
                        break


@test("documents of an independent writer decrypt", "CRY-10 X-CRY-03 X-CRY-04")
def elsewhere_ours():
    octets = enc_v1.load_key(os.path.join(KEYS, "oct256.json"))
    public = enc_v1.load_key(os.path.join(KEYS, "rsa2048-pub.pem"))
    for key, name, kw in ((octets, "oct256.json", 1), (public, "rsa2048.pem", 5)):
        for cph in (1, 2):
            for size in (1, 65536, 65537, 1000000):
                data = enc_v1.plaintext(size)
                need(decrypt(enc_v1.encrypt(data, key, name, kw, cph)) == data, (name, cph, size))


@test("key names: left out, another's, the request's before the document's", "CRY-07 X-CRY-02")
def key_names():
    data = b"twenty bytes or more"
    text = encrypt(data, key_name="oct256.json", key_wrap_algorithm="AES", omit_decryption_key_name=True,
                   decryption_key_name="z")
    need("k" not in enc_v1.split(text)[0], text[:80])
    equal(refusal(decrypt, text), ("INTERNAL", "failed to perform operation: document's manifest does not contain a key "
                                               "name, and no key name was provided"))
    equal(decrypt(text, key_name="oct256.json"), data)
    text = encrypt(data, key_name="rsa2048-pub.pem", key_wrap_algorithm="RSA", decryption_key_name="rsa2048.pem")
    equal(enc_v1.split(text)[0]["k"], "rsa2048.pem")
    equal(decrypt(text), data)
    equal(refusal(decrypt, text, key_name="oct256.json"),
          ("INTERNAL", "failed to perform operation: failed to validate the document's signature"))


@test("what the reference refuses to encrypt is refused in its words", "CRY-05 X-CRY-02")
def refused_options():
    for entry in GOLDEN["refused"]:
        options = dict(entry["options"])
        if entry["code"] == "ValueError" or options["component_name"].startswith("jwks"):
            continue
        if entry["size"] == 0:  # the official client sends nothing at all then
            try:
                list(stub().EncryptAlpha1(iter([]), timeout=30))
            except grpc.RpcError as error:
                equal((error.code().name, error.details()), (entry["code"], entry["message"]))
            continue
        found = refusal(encrypt, enc_v1.plaintext(entry["size"]), **options)
        equal(found, (entry["code"], words(entry["message"])), options)


def changed(change):
    """The documents of the list of changes, by its words."""
    text = document("docs/a256kw_chacha20_1024.enc")
    rsa = document("docs/rsa-oaep-256_aes-gcm_65537.enc")
    head = text[: len(text) - 1024 - 16]
    rsa_head, rsa_body = rsa[: len(rsa) - 65537 - 32], rsa[len(rsa) - 65537 - 32 :]
    first, second = rsa_body[:65552], rsa_body[65552:]
    lines = text.split(b"\n", 3)
    omitted = document("docs/omit-key-name.enc")
    return {
        "unchanged": (text, ""), "last byte flipped": (text[:-1] + bytes([text[-1] ^ 1]), ""),
        "one byte appended": (text + b"x", ""), "last byte cut": (text[:-1], ""), "cut right": (head, ""),
        "scheme line": (text.replace(b"enc/v1", b"enc/v2", 1), ""),
        "one manifest": (text.replace(b'"cph":2', b'"cph":1', 1), ""),
        "first MAC": (b"\n".join([lines[0], lines[1], (b"A" if lines[2][:1] != b"A" else b"B") + lines[2][1:], lines[3]]), ""),
        "hello": (b"hello\n", ""), "second segment dropped": (rsa_head + first, ""),
        "first segment dropped": (rsa_head + second, ""), "swapped": (rsa_head + second + first, ""),
        "without a key name": (omitted, ""), "with oct256": (omitted, "oct256.json"), "with oct128": (omitted, "oct128.json"),
        "request key": (text, "rsa2048.pem"),
    }[change]  # fmt: skip


@test("changed documents are refused in the reference's words; one cut after its header too", "X-CRY-03 X-CRY-04")
def tampered():
    names = ["unchanged", "last byte flipped", "one byte appended", "last byte cut", "cut right", "scheme line",
             "one manifest", "first MAC", "hello", "second segment dropped", "first segment dropped", "swapped",
             "without a key name", "with oct256", "with oct128", "request key"]
    for entry in GOLDEN["tampered_documents"]:
        name = [n for n in names if n in entry["change"]]
        if entry["change"] == "empty document":
            continue
        equal(len(name), 1, entry["change"])
        text, key_name = changed(name[0])
        result = entry["result"]
        if name[0] == "cut right":
            equal(refusal(decrypt, text), ("INTERNAL", "failed to perform operation: the document ends after its header: "
                                                       "it may have been cut"))
            equal(decrypt(text, LENIENT), b"", "where it is asked for")
        elif result.get("ok"):
            equal(len(decrypt(text, key_name=key_name)), result["size"], entry["change"])
        else:
            equal(refusal(decrypt, text, key_name=key_name), (result["code"], result["message"]), entry["change"])


@test("nothing of a bad segment, or of what follows, is released", "X-CRY-04")
def nothing_released():
    data = enc_v1.plaintext(5 * 65536)
    text = bytearray(encrypt(data, key_name="oct256.json", key_wrap_algorithm="AES"))
    text[len(text) - 2 * (65536 + 16) - 100] ^= 0x40  # in the third of five
    options = crypto_pb2.DecryptRequestOptions(component_name="local")
    got = []
    try:
        for answer in stub().DecryptAlpha1(requests(crypto_pb2.DecryptRequest, options, bytes(text), 50000), timeout=60):
            got.append(answer.payload.data)
        raise AssertionError("it was not refused")
    except grpc.RpcError as error:
        equal(error.details(), "failed to perform operation: error processing segment 2: failed to decrypt segment")
    need(b"".join(got) == data[: 2 * 65536], len(b"".join(got)))


@test("streams: options first, numbers without a gap, output while input still comes", "CRY-08 CRY-09 X-CRY-02")
def streams():
    options = crypto_pb2.EncryptRequestOptions(component_name="local", key_name="oct256.json", key_wrap_algorithm="A256KW")
    kind, payload = crypto_pb2.EncryptRequest, common_pb2.StreamPayload
    prefix = "failed to perform operation: "
    cases = [
        ([kind(payload=payload(data=b"x"))],
         ("INVALID_ARGUMENT", "invalid request: first message does not contain the required options")),
        ([kind(options=options, payload=payload(data=b"x", seq=1))],
         ("INTERNAL", prefix + "invalid sequence number received: 1 (expected: 0)")),
        ([kind(options=options, payload=payload(data=b"x")), kind(payload=payload(data=b"x", seq=2))],
         ("INTERNAL", prefix + "invalid sequence number received: 2 (expected: 1)")),
        ([kind(options=options, payload=payload(data=b"x")), kind(options=options, payload=payload(data=b"x", seq=1))],
         ("INTERNAL", prefix + "options found in non-leading message")),
        ([kind(options=crypto_pb2.EncryptRequestOptions(key_name="k", key_wrap_algorithm="AES"))],
         ("INVALID_ARGUMENT", "invalid request: missing component name")),
        ([kind(options=crypto_pb2.EncryptRequestOptions(component_name="local", key_wrap_algorithm="AES"))],
         ("INVALID_ARGUMENT", "invalid request: missing property 'keyName' in the options message")),
        ([kind(options=crypto_pb2.EncryptRequestOptions(component_name="local", key_name="k"))],
         ("INVALID_ARGUMENT", "invalid request: missing property 'keyWrapAlgorithm' in the options message")),
    ]  # fmt: skip
    for messages, wanted in cases:
        equal(refusal(lambda sent=messages: list(stub().EncryptAlpha1(iter(sent), timeout=30))), wanted)
    answers = list(stub().EncryptAlpha1(iter([kind(options=options), kind(payload=payload(data=b"abc"))]), timeout=30))
    equal([(len(a.payload.data), a.payload.seq) for a in answers], [(180, 0), (19, 1)])
    answers = list(stub().EncryptAlpha1(requests(kind, options, enc_v1.plaintext(200000), 200000), timeout=30))
    equal([len(a.payload.data) for a in answers], [180, 65552, 65552, 65552, 3408])


@test("a client that waits for each answer before it sends more gets it", "CRY-09")
def duplex():
    import queue

    options = crypto_pb2.EncryptRequestOptions(component_name="local", key_name="oct256.json", key_wrap_algorithm="A256KW")
    sent = queue.Queue()
    answers = stub().EncryptAlpha1(iter(sent.get, None), timeout=60)
    data = enc_v1.plaintext(65537)
    sent.put(crypto_pb2.EncryptRequest(options=options))
    text = next(answers).payload.data
    need(text.startswith(b"dapr.io/enc/v1\n"), "the header comes before any content")
    sent.put(crypto_pb2.EncryptRequest(payload=common_pb2.StreamPayload(data=data, seq=0)))
    text += next(answers).payload.data
    sent.put(None)
    text += b"".join(a.payload.data for a in answers)
    need(enc_v1.decrypt(text, enc_v1.load_key(os.path.join(KEYS, "oct256.json"))) == data, "whole")


@test("a client that reads nothing is held up, ended at its deadline, and in nobody's way", "CRY-09")
def silent_reader():
    one = Sidecar(LOCAL, app_id="silent")
    options = crypto_pb2.EncryptRequestOptions(component_name="local", key_name="oct256.json", key_wrap_algorithm="AES")
    taken = []

    def endless():
        yield crypto_pb2.EncryptRequest(options=options)
        for seq in range(1000):
            taken.append(seq)
            yield crypto_pb2.EncryptRequest(payload=common_pb2.StreamPayload(data=bytes(1 << 20), seq=seq))

    answers = stub(one).EncryptAlpha1(endless(), timeout=2)
    need(encrypt(b"x", one, key_name="oct256.json", key_wrap_algorithm="AES"), "others are served")
    eventually(lambda: answers.done(), "the deadline")
    equal(answers.code().name, "DEADLINE_EXCEEDED")
    need(len(taken) < 200, f"{len(taken)} MiB were taken from a client that reads nothing")
    left = stub(one).EncryptAlpha1(endless())
    next(left)
    left.cancel()  # and one that leaves in the middle
    equal(one.stop(), 0)


@test("an empty document has a segment that says so", "CRY-10 X-CRY-04")
def empty():
    options = crypto_pb2.EncryptRequestOptions(component_name="local", key_name="oct256.json", key_wrap_algorithm="A256KW")
    answers = list(stub().EncryptAlpha1(iter([crypto_pb2.EncryptRequest(options=options)]), timeout=30))
    equal([len(a.payload.data) for a in answers], [180, 16])
    text = b"".join(a.payload.data for a in answers)
    equal(decrypt(text), b"")
    equal(enc_v1.decrypt(text, enc_v1.load_key(os.path.join(KEYS, "oct256.json"))), b"")


@test("the official Python SDK encrypts and decrypts", "CRY-08 CRY-10 CRY-11 CRY-13 SDK-35 SCN-30")
def python_sdk():
    settings.DAPR_HTTP_PORT = SIDECAR.port  # where it asks for health
    with DaprClient(address=f"127.0.0.1:{SIDECAR.grpc_port}") as client:
        for data in ("größe, 漢字 and 🎲".encode(), enc_v1.plaintext(3000000)):
            for key_name, wrap in (("rsa2048.pem", "RSA"), ("oct256.json", "AES")):
                text = client.encrypt(data, EncryptOptions("local", key_name, wrap)).read()
                need(client.decrypt(text, DecryptOptions("local")).read() == data, len(data))
        equal(client.decrypt(document("docs/rsa_aes-gcm_100.enc"), DecryptOptions("local")).read(), enc_v1.plaintext(100))


@test("programs of users: JavaScript with buffers and streams, Python on asyncio", "SDK-10 SDK-54 SCN-30")
def programs():
    sdk_programs.run(SIDECAR, "js/crypto.js", "local", "rsa2048.pem", "RSA")
    sdk_programs.run(SIDECAR, "python/crypto.py", "local", "oct256.json", "AES")


# --- HTTP ---------------------------------------------------------------------------------------------------------------


def put(what, body, sidecar=SIDECAR, version="v1.0-alpha1", provider="local", **headers):
    given = [(name.replace("_", "-"), value) for name, value in headers.items()]
    return sidecar.call("PUT", f"/{version}/crypto/{provider}/{what}", body, given)


@test("the HTTP API answers as the reference does", "X-CRY-01")
def http_recorded():
    last = b""
    for entry in GOLDEN["http_api"]:
        what = entry["request"].split("/")[-1]
        provider = entry["request"].split("/")[-2]
        size = entry["body_size"]
        body = enc_v1.plaintext(size) if what == "encrypt" else last if size > 100 else b"abcd"[:size]
        sidecar = LENIENT if what == "decrypt" else SIDECAR
        reply = put(what, body, sidecar, provider=provider, **entry["headers"])
        equal((reply.status, reply.header("Content-Type")), (entry["status"], entry["content_type"]), entry)
        if entry["status"] != 200:
            equal(reply.text, words(entry["answer"]))
        elif what == "encrypt":
            empty_segment = 16 if size == 0 else 0
            equal(f"<document of {len(reply.body) - empty_segment} bytes>", entry["answer"])
            last = reply.body
        else:
            equal(f"{len(reply.body)} bytes, sha256 {hashlib.sha256(reply.body).hexdigest()}", entry["answer"])


@test("documents over HTTP, under both versions, of any size, and what is refused", "X-CRY-01 CRY-10")
def http_documents():
    headers = {"dapr_key_name": "rsa2048.pem", "dapr_key_wrap_algorithm": "RSA",
               "dapr_data_encryption_cipher": "chacha20-poly1305"}
    key = enc_v1.load_key(os.path.join(KEYS, "rsa2048.pem"))
    for version in ("v1.0", "v1.0-alpha1"):
        for size in (0, 1, 65536, 70000, 3000000):
            data = enc_v1.plaintext(size)
            reply = put("encrypt", data, version=version, **headers)
            equal((reply.status, reply.header("Content-Type")), (200, "application/octet-stream"), reply)
            need(enc_v1.decrypt(reply.body, key) == data, size)
            need(put("decrypt", reply.body, version=version).body == data, size)
    given = [(name.replace("_", "-"), value) for name, value in headers.items()]
    text = SIDECAR.call("PUT", "/v1.0/crypto/local/encrypt", b"some words", given).body
    equal(SIDECAR.call("PUT", "/v1.0/crypto/local/decrypt", text).body, b"some words")
    equal(SIDECAR.call("POST", "/v1.0/crypto/local/decrypt", text).status, 404)
    text = bytearray(text)
    text[-1] ^= 1
    reply = put("decrypt", bytes(text))
    equal((reply.status, reply.json["errorCode"], reply.json["message"]),
          (500, "ERR_CRYPTO", "failed to perform operation: error processing segment 0: failed to decrypt segment"))
    reply = SIDECAR.call("PUT", "/v1.0/crypto/local/encrypt", b"some words")
    equal((reply.status, reply.json["errorCode"], reply.json["message"]),
          (400, "ERR_BAD_REQUEST", "invalid request: missing header 'dapr-key-name'"))


class Source:
    """A body of chunks whose sender reads only when it is told to."""

    def __init__(self, target, headers):
        self.connection = SIDECAR.connect()
        lines = [f"PUT {target} HTTP/1.1", "Host: x", "Transfer-Encoding: chunked"] + [f"{n}: {v}" for n, v in headers]
        self.connection.send("\r\n".join(lines).encode() + b"\r\n\r\n")

    def send(self, data):
        self.connection.send(f"{len(data):x}\r\n".encode() + data + b"\r\n")


@test("a body of unknown length is answered while it comes; one that turns out bad is cut", "CRY-09 X-CRY-01")
def http_streams():
    data = enc_v1.plaintext(5 * 65536)
    headers = [("dapr-key-name", "oct256.json"), ("dapr-key-wrap-algorithm", "AES")]
    source = Source("/v1.0-alpha1/crypto/local/encrypt", headers)
    source.send(data[: 3 * 65536])
    head = source.connection.until(b"dapr.io/enc/v1\n")
    need(b" 200 " in head.split(b"\r\n")[0] and b"chunked" in head, head)
    source.connection.close()  # in the middle: its own affair

    text = bytearray(encrypt(data, key_name="oct256.json", key_wrap_algorithm="AES"))
    text[-70000] ^= 1
    source = Source("/v1.0-alpha1/crypto/local/decrypt", [])
    source.send(bytes(text))
    source.connection.send(b"0\r\n\r\n")
    answer = source.connection.rest()
    need(b" 200 " in answer[:20] and not answer.endswith(b"0\r\n\r\n"), "it is cut")
    need(SIDECAR.healthz() == 204, "and all goes on")


# --- recordings ---------------------------------------------------------------------------------------------------------


@test("the recorded answers of the reference, byte for byte", "X-CRY-01")
def recorded():
    with open(shared("recordings", "bindings.json"), encoding="utf-8") as f:
        entries = [e for e in json.load(f)["entries"] if e.get("setup") == "O" and "/crypto/" in str(e.get("request"))]
    need(len(entries) > 14, "they are there")
    folder = Folder()
    keys = os.path.join(folder.path, "keys")
    os.mkdir(keys)
    with open(os.path.join(KEYS, "rsa2048.pem")) as f:
        folder.write("keys/rsakey.pem", f.read())
    folder.write("keys/symkey", "0123456789abcdef")
    one = Sidecar(component("keys", "crypto.dapr.localstorage", {"path": keys}), app_id="bx", folder=folder)
    last = b""
    for entry in entries:
        asked, wanted = entry["request"], entry["response"]
        body = last if asked["body"].startswith("<") else asked["body"].encode()
        reply = one.call(asked["method"], asked["target"], body, [h for h in asked["headers"] if h[0].startswith("dapr-")])
        equal(reply.status_line, wanted["status_line"], entry["name"])
        if entry["name"] == "encrypt POST":  # no provider is asked
            continue
        equal(reply.header("Content-Type"), dict(wanted["headers"])["Content-Type"], entry["name"])
        if isinstance(wanted["body"], dict):
            lines = reply.body.split(b"\n", 2)
            shape = [re.sub(r'(?<="wfk":")[^"]+|(?<="np":")[^"]+', "<BASE64>", line.decode()) for line in lines[:2]]
            equal(shape, wanted["body"].get("first_lines", shape), entry["name"])
            empty_segment = 16 if entry["name"] == "encrypt empty" else 0
            equal(len(reply.body), wanted["body"]["total_length"] + empty_segment, entry["name"])
            last = reply.body if not last else last
        else:
            equal(reply.text, wanted["body"].replace("<DIR>", folder.path), entry["name"])


@test("what was asked and answered is counted as there", "X-CRY-01")
def metrics():
    port = free_port()
    one = Sidecar(LOCAL, app_id="counted", flags=["--metrics-port", str(port)])
    text = encrypt(b"x", one, key_name="oct256.json", key_wrap_algorithm="AES")
    decrypt(text, one)
    refusal(encrypt, b"x", one, key_name="none", key_wrap_algorithm="AES")
    shown = call(("127.0.0.1", port), "GET", "/metrics").text
    name = 'dapr_component_crypto_count{app_id="counted",component="local",namespace="",operation="crypto_op",success='
    need(name + '"true"} 2\n' in shown and name + '"false"} 1\n' in shown, [x for x in shown.split("\n") if "crypto" in x])
    need("dapr_component_crypto_latencies_bucket" in shown, "latencies")


def memory_of(pid):
    """All that the process has written to or may have."""
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            span, rights = line.split()[:2]
            begin, end = (int(x, 16) for x in span.split("-"))
            if "w" not in rights or end - begin > 256 << 20:
                continue
            try:
                memory.seek(begin)
                yield memory.read(end - begin)
            except OSError:  # a guard page
                continue


def is_in_memory(pid, secret):
    return any(secret in part for part in memory_of(pid))


@test("of the keys that a call has used nothing is left in memory", "CRY-01")
def keys_are_wiped():
    one = Sidecar(LOCAL, app_id="wipe")
    key = enc_v1.load_key(os.path.join(KEYS, "oct256.json"))
    text = encrypt(enc_v1.plaintext(200000), one, key_name="oct256.json", key_wrap_algorithm="A256KW")
    need(len(decrypt(text, one)) == 200000, "round trip")
    http = put("encrypt", b"x" * 100, one, dapr_key_name="oct256.json", dapr_key_wrap_algorithm="AES").body
    need(put("decrypt", http, one).body == b"x" * 100, "round trip")
    secrets = {"the key of a document": enc_v1.file_key(text, key), "of another": enc_v1.file_key(http, key), "its wrapping key": key}
    for who, pid in (("kernel", one.pid), ("plugin", one.plugin_pid("crypto"))):
        try:
            need(is_in_memory(pid, b"remora"), "the search finds what is there")
        except PermissionError as error:
            raise Skip(f"memory of other processes cannot be read: {error}") from None
        for name, secret in secrets.items():  # the last answer may be here before the call has ended there
            eventually(lambda pid=pid, secret=secret: not is_in_memory(pid, secret), f"{name} has gone from the {who}")


@test("without a provider, or with another, both APIs say so", "X-CRY-01")
def no_provider():
    bare = Sidecar(app_id="bare")
    equal(refusal(encrypt, b"x", bare, key_name="k", key_wrap_algorithm="AES"), ("INTERNAL", "crypto providers not configured"))
    reply = put("encrypt", b"abc", bare)
    equal((reply.status, reply.text), (500, '{"errorCode":"ERR_CRYPTO_PROVIDERS_NOT_CONFIGURED","message":"crypto providers not '
                                            'configured"}'))
    equal(refusal(decrypt, b"x", component_name="ghost"), ("INVALID_ARGUMENT", "crypto provider ghost not found"))


main()
