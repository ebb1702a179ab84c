#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Output bindings through the sidecar, over HTTP and gRPC: what the reference was asked and answered (recordings/
bindings.json), and what nobody asked it: names that lead elsewhere, answers without end, headers with a line end."""

import sdk  # noqa: F401  isort: skip

import json
import os
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
from certificates import Certificates
from dapr.proto.runtime.v1 import binding_pb2, dapr_pb2_grpc
from recordings import answer_problems, with_trace
from remora import Folder, Sidecar, call, children, component, equal, free_port, main, need, shared, test

EXACT = "values keep their exact bytes"
# name: (what of the answer is ours, reason)
DIFFERENT = {
    "http binding json data": ('out:{"b": 1,"a":"<"}', EXACT),
    "http binding number data": ("out:12.50", EXACT),
    "localstorage get json": ('{"x": 1}', EXACT),
}
RECORDED = ("http binding ", "binding ", "localstorage ")


class Target(BaseHTTPRequestHandler):
    """What the recorded bindings called: tells what came, and fails under two paths."""

    protocol_version = "HTTP/1.1"
    seen = []

    def answer(self):
        length = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(length)
        if self.path.startswith("/base/hang"):
            self.rfile.read(1)  # until the client has gone, which may be before we have seen its request
            return
        Target.seen.append((self.command, self.path, self.headers.items(), body))
        status, words, headers = 200, b"out:" + body, [("Content-Type", "text/plain"), ("X-R", "1"), ("X-R", "2")]
        if self.path.startswith("/base/e500"):
            status, words, headers = 500, b"bad", [("X-E", "1")]
        elif self.path.startswith("/base/e404"):
            status, words, headers = 404, b"nf", []
        elif self.path.startswith("/base/big"):
            words = b"x" * 2_000_000
        elif self.path.startswith("/base/odd"):
            headers = [("X-Odd Name", "1"), ("X-Late", "caf\xe9"), ("X-Good", "g")]
        elif self.path.startswith("/base/moved"):
            status, words, headers = 302, b"", [("Location", "/base/p")]
        self.wfile.write(f"HTTP/1.1 {status} {self.responses[status][0]}\r\n".encode())
        for name, value in headers + [("Content-Length", str(len(words)))]:
            self.wfile.write(f"{name}: {value}\r\n".encode("latin-1"))
        self.wfile.write(b"\r\n" + (b"" if self.command == "HEAD" else words))

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = do_OPTIONS = do_TRACE = answer

    def log_message(self, *args):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass  # a client that has gone


server = Server(("127.0.0.1", 0), Target)
threading.Thread(target=server.serve_forever, daemon=True).start()
port = server.server_port
folder = Folder()
root = folder / "files"
sidecar = Sidecar(
    component("web", "bindings.http", [("url", f"http://127.0.0.1:{port}/base")]),
    component("webok", "bindings.http", [("url", f"http://127.0.0.1:{port}/base"), ("errorIfNot2XX", "false")]),
    component("small", "bindings.http", [("url", f"http://127.0.0.1:{port}/base"), ("maxResponseBodySize", "1Mi")]),
    component("slow", "bindings.http", [("url", f"http://127.0.0.1:{port}/base/hang"), ("responseTimeout", "200ms")]),
    component(
        "token",
        "bindings.http",
        [("url", f"http://127.0.0.1:{port}/base"), ("securityToken", "t0p"), ("securityTokenHeader", "X-Token")],
    ),
    component("nobody", "bindings.http", [("url", "http://u:p4ss@127.0.0.1:9/x")]),
    component("in", "bindings.http", [("url", "http://127.0.0.1:9/"), ("direction", "input")]),
    component("files", "bindings.localstorage", [("rootPath", root)]),
    app_id="bx",
)
stub = dapr_pb2_grpc.DaprStub(grpc.insecure_channel(f"127.0.0.1:{sidecar.grpc_port}"))


def invoke(binding, operation, data=None, headers=(), **metadata):
    body = {"operation": operation, "metadata": metadata}
    if data is not None:
        body["data"] = data
    return sidecar.call("POST", f"/v1.0/bindings/{binding}", json.dumps(body), headers)


def header(reply, name):
    return next((value for key, value in reply.headers if key.lower() == name.lower()), None)


def spelt(reply):
    """Headers as the recording has them: the reference spells names of metadata in a way of its own."""
    reply.headers = [
        (f"Metadata.{n[9:]}" if n.lower().startswith("metadata.") else n, value) for n, value in reply.headers
    ]
    return reply


def lowered(headers):
    return [[f"Metadata.{n[9:].lower()}" if n.startswith("Metadata.") else n, value] for n, value in headers]


def arrived_problems(wanted, got):
    if len(wanted) != len(got):
        return [f"{len(got)} requests arrived, not {len(wanted)}"]
    found = []
    for w, (method, path, headers, body) in zip(wanted, got):
        if (w["method"], w["target"], w["body"]) != (method, path, body.decode()):
            found.append(f"arrived {method} {path} {body!r}, not {w['method']} {w['target']} {w['body']!r}")
        have = {name.lower(): value for name, value in headers}
        for name, value in w["headers"]:
            value = with_trace(value)
            if name in ("Host", "User-Agent", "Accept-Encoding") or "<" in value:
                continue
            ours = have.get(name.lower())
            if name == "Traceparent" and not value.startswith("00-000"):
                found += [] if ours and ours[:35] == value[:35] else [f"arrived traceparent {ours}"]
            elif ours != value:
                found.append(f"arrived {name}: {ours}, not {value}")
    return found


@test("answers, and what arrives, are as recorded of the reference", "BIND-02 BIND-04 BIND-20 X-BIND-03")
def _():
    path = shared("recordings", "bindings.json")
    with open(path) as f:
        entries = [e for e in json.load(f)["entries"] if e["name"].startswith(RECORDED) and "request" in e]
    need(len(entries) >= 41, f"{len(entries)} recorded exchanges")
    troubles, same = [], 0
    for entry in entries:
        request, wanted = entry["request"], entry["response"]
        Target.seen.clear()
        headers = [
            (n, with_trace(v)) for n, v in request["headers"] if n not in ("Host", "Content-Length", "Content-Type")
        ]
        reply = spelt(sidecar.call(request["method"], request["target"], request["body"], headers))
        ours = dict(wanted, headers=lowered(wanted["headers"]), body=wanted["body"].replace("<DIR>", folder.path))
        if entry["name"] in DIFFERENT:
            ours["body"] = DIFFERENT[entry["name"]][0]
            length = [str(len(ours["body"]))]
            ours["headers"] = [[n, length[0] if n == "Metadata.content-length" else v] for n, v in ours["headers"]]
        ours["headers"] = [h for h in ours["headers"] if h[0] not in ("Traceparent", "Date")]
        reply.headers = [h for h in reply.headers if h[0] not in ("Traceparent", "Date")]
        found = answer_problems(ours, reply)
        if entry["name"] not in DIFFERENT and "received" in entry:
            found += arrived_problems(entry["received"].get("target", []), Target.seen)
        same += not found
        troubles += [f"{entry['name']}: {trouble}" for trouble in found]
    need(not troubles, "\n".join(troubles))
    print(f"     {same} exchanges, {len(DIFFERENT)} of them different on purpose")


@test("gRPC clients get data and metadata, and of a failure its status", "BIND-20 X-BIND-03")
def _():
    request = binding_pb2.InvokeBindingRequest(name="web", operation="post", data=b"\0\xff", metadata={"path": "/p"})
    reply = stub.InvokeBinding(request, timeout=10)
    equal(reply.data, b"out:\0\xff")
    equal(reply.metadata["statusCode"], "200")
    equal(reply.metadata["X-R"], "1, 2")
    try:
        stub.InvokeBinding(
            binding_pb2.InvokeBindingRequest(name="web", operation="get", metadata={"path": "/e500"}), timeout=10
        )
        need(False, "a failure")
    except grpc.RpcError as e:
        equal(e.code(), grpc.StatusCode.INTERNAL)
        equal(e.details(), "error invoking output binding web: received status code 500")
        sent = dict(e.initial_metadata()) | dict(e.trailing_metadata())
        equal(sent["metadata.statuscode"], "500")
        need(b"ERR_INVOKE_OUTPUT_BINDING" in sent["grpc-status-details-bin"], "its reason")


@test("an answer larger than it may be, late, or from nobody is an error", "BIND-20")
def _():
    reply = invoke("small", "get", path="/big")
    equal(reply.status, 500)
    need(b"larger than maxResponseBodySize" in reply.body, reply.body)
    equal(len(invoke("web", "get", path="/big").body), 2_000_000)
    reply = invoke("slow", "get")
    equal((reply.status, b"context deadline exceeded" in reply.body), (500, True), reply.body)
    reply = invoke("nobody", "get")
    equal(reply.status, 500)
    need(b"http://127.0.0.1:9/x" in reply.body and b"p4ss" not in reply.body, reply.body)
    need("p4ss" not in sidecar.log(), "no password in the log")


@test("headers of users and of servers cannot break a head", "BIND-05")
def _():
    for name, value in (("X-A", "a\r\nX-B: b"), ("X-A\r\nX-B", "b"), ("X A", "b"), ("X-A", "a\u0001")):
        Target.seen.clear()
        reply = invoke("web", "get", **{name: value})
        equal(reply.status, 500, (name, value))
        need(b"invalid header field" in reply.body, reply.body)
        equal(Target.seen, [])
    reply = invoke("web", "get", path="/a\r\nb")
    equal((reply.status, b"control character" in reply.body), (500, True))
    reply = invoke("web", "get", path="/odd")
    equal((reply.status, header(reply, "metadata.x-good")), (200, "g"))
    need(header(reply, "metadata.x-odd name") is None, "a name that is none")
    Target.seen.clear()
    invoke("token", "get", **{"Host": "evil", "Content-Length": "7", "Transfer-Encoding": "chunked"})
    have = {name.lower(): value for name, value in Target.seen[0][2]}
    equal((have["host"], have["x-token"], "transfer-encoding" in have), (f"127.0.0.1:{port}", "t0p", False))


@test("TLS is verified, and we show who we are, from texts and from files", "BIND-20")
def _():
    keys = Certificates(Folder())
    secure = Server(("127.0.0.1", 0), Target)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(keys.path("server.pem"), keys.path("server.key"))
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(keys.path("ca.pem"))
    secure.socket = context.wrap_socket(secure.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=secure.serve_forever, daemon=True).start()
    url = ("url", f"https://127.0.0.1:{secure.server_port}/base")
    ours = [("MTLSClientCert", keys.path("server.pem")), ("MTLSClientKey", keys.path("server.key"))]
    texts = [("MTLSClientCert", keys.text("server.pem")), ("MTLSClientKey", keys.text("server.key"))]
    side = Sidecar(
        component("files", "bindings.http", [url, ("MTLSRootCA", keys.path("ca.pem")), *ours]),
        component("texts", "bindings.http", [url, ("MTLSRootCA", keys.text("ca.pem")), *texts]),
        component("nobody", "bindings.http", [url, ("MTLSRootCA", keys.text("ca.pem"))]),
        component("other", "bindings.http", [url, ("MTLSRootCA", keys.text("other.pem")), *ours]),
        component("system", "bindings.http", [url, *ours]),
    )
    for name in ("files", "texts"):
        reply = side.call("POST", f"/v1.0/bindings/{name}", '{"operation":"get"}')
        equal((reply.status, reply.body), (200, b"out:"), name)
    for name in ("nobody", "other", "system"):
        reply = side.call("POST", f"/v1.0/bindings/{name}", '{"operation":"get"}')
        equal((reply.status, header(reply, "metadata.statuscode")), (500, None), (name, reply.body))
    need("PRIVATE KEY" not in side.log(), "no key in the log")
    ours = [side.pid]
    for pid in ours:
        ours += children(pid)
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                need(b"PRIVATE KEY" not in f.read(), "no key in a command line")
        except OSError:
            pass  # it has ended
    need(side.plugin_pid("http") in ours, "those of the plugin are among them")
    secure.shutdown()


@test("operations are counted by their names", "BIND-21")
def _():
    metrics_port = free_port()
    side = Sidecar(
        component("files", "bindings.localstorage", [("rootPath", Folder() / "f")]),
        app_id="counted",
        flags=("--metrics-port", str(metrics_port)),
    )
    for operation in ("list", "list", "get", "zap"):
        side.call("POST", "/v1.0/bindings/files", json.dumps({"operation": operation}))
    text = call(("127.0.0.1", metrics_port), "GET", "/metrics").body.decode()
    counted = [line for line in text.splitlines() if line.startswith("dapr_component_output_binding_count")]
    labels = 'app_id="counted",component="files",namespace=""'
    equal(
        sorted(counted),
        [
            f'dapr_component_output_binding_count{{{labels},operation="get",success="false"}} 1',
            f'dapr_component_output_binding_count{{{labels},operation="list",success="true"}} 2',
        ],
    )


@test("redirects are followed", "BIND-20")
def _():
    reply = invoke("web", "get", path="/moved")
    equal((reply.status, reply.body, header(reply, "metadata.statuscode")), (200, b"out:", "200"))


@test("only what can be invoked is", "BIND-15")
def _():
    reply = invoke("in", "get")
    equal(reply.status, 500)
    need(b"couldn't find output binding in" in reply.body, reply.body)


@test("no name and no link leads out of the root", "BIND-20")
def _():
    secret = folder / "secret"
    with open(secret, "w") as f:
        f.write("s3cret")
    os.makedirs(os.path.join(root, "d"), exist_ok=True)
    os.symlink(secret, os.path.join(root, "direct"))
    os.symlink("../../secret", os.path.join(root, "d", "relative"))
    os.symlink("/", os.path.join(root, "top"))
    os.symlink("loop", os.path.join(root, "loop"))
    names = [
        "../secret", "d/../../secret", "/../secret", "direct", "d/relative", f"top{secret}", f"top/{secret}", "loop",
        secret, "..", ".", "d/relative/..", "top/etc/passwd", "%2e%2e/secret", "..\\secret", "/proc/self/environ",
        "/dev/stdin",
    ]  # fmt: skip
    for name in names:
        for operation in ("get", "create", "list", "delete"):
            reply = invoke("files", operation, "changed" if operation == "create" else None, fileName=name)
            need(b"s3cret" not in reply.body and b"root:" not in reply.body, (operation, name, reply.body))
            with open(secret) as f:
                equal(f.read(), "s3cret", (operation, name))
    need(os.path.isdir(root), "the root is still there")
    equal(sorted(os.listdir(folder.path)), ["files", "secret"])


@test("files of any name, any depth and any bytes", "BIND-20")
def _():
    for name in ("ü/ñ.txt", "a b", "-rf", "x" * 255, "/".join("d" * 60), "\u2028", "q\"uote'", "tab\tname"):
        reply = invoke("files", "create", "text \u00fc\n\t\"q\" \ud83d\ude00", fileName=name)
        equal((reply.status, json.loads(reply.body)["fileName"]), (200, name))
        equal(invoke("files", "get", fileName=name).body.decode(), "text \u00fc\n\t\"q\" \U0001f600")
        need(os.path.join(root, name) in json.loads(invoke("files", "list").body), name)
        equal(invoke("files", "delete", fileName=name).status, 204)
    for name in ("x" * 256, "d/" * 1100, "n\0l"):
        equal(invoke("files", "create", "v", fileName=name).status in (400, 500), True, name[:10])
    equal(invoke("files", "create", "aGVsbG8=", fileName="b64").status, 200)
    equal(invoke("files", "get", fileName="b64").body, b"hello")
    data = os.urandom(3_000_000)
    request = binding_pb2.InvokeBindingRequest(name="files", operation="create", data=data, metadata={"fileName": "r"})
    stub.InvokeBinding(request, timeout=20)
    request = binding_pb2.InvokeBindingRequest(name="files", operation="get", metadata={"fileName": "r"})
    equal(stub.InvokeBinding(request, timeout=20).data == data, True)
    os.mkfifo(os.path.join(root, "fifo"))
    equal(invoke("files", "get", fileName="fifo").status, 500)


@test("a binding that is asked again and again is one process still, and is counted", "BIND-21")
def _():
    for _ in range(50):
        equal(invoke("web", "get", path="/e404").status, 500)
    names = {c["name"]: c for c in json.loads(sidecar.call("GET", "/v1.0/metadata").body)["components"]}
    equal(names["web"]["capabilities"], ["OUTPUT_BINDING"])
    equal(names["in"].get("capabilities", []), [])


@test("what a root or an option cannot be keeps a component from starting")
def _():
    bad = {
        "rootPath": [("bindings.localstorage", [("rootPath", "")]), ("bindings.localstorage", [("rootPath", "/proc/1")])],
        "responseTimeout": [("bindings.http", [("url", "http://h"), ("responseTimeout", "soon")])],
        "maxResponseBodySize": [("bindings.http", [("url", "http://h"), ("maxResponseBodySize", "big")])],
        "renegotiation": [("bindings.http", [("url", "http://h"), ("MTLSRenegotiation", "Sometimes")])],
        "MTLSRootCA": [("bindings.http", [("url", "http://h"), ("MTLSRootCA", "/no/such/file")])],
    }
    for word, cases in bad.items():
        for type_, metadata in cases:
            other = Sidecar(component("b", type_, metadata), wait=False)
            equal(other.wait(), 1, (type_, metadata))
            need(word in other.log(), other.log()[-800:])


if __name__ == "__main__":
    main()
