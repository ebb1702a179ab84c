# SPDX-License-Identifier: Apache-2.0
"""Exchanges of recordings/invoke.json, replayed: what the client sent, what the application got, what came back. They were
recorded between two sidecars mostly. A Setup is one sidecar that is asked for its own application, and what only a mesh
adds is taken out of the expectation; a Mesh (mesh_recordings_test) is two, and everything is expected. What differs on
purpose is a row of DIFFERENCES, anything else that differs fails."""

import base64
import gzip
import json
import re

from http_app import App, answer
from remora import Connection, Cut, Sidecar, equal, request_bytes, shared

TRACE_ID, SPAN_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
MESH = "rpc error: code = Internal desc = error invoking app channel: "
# What the recorded sidecars add on the way from one to the other, and what their HTTP library adds by itself.
ADDED = {"forwarded", "x-forwarded-for", "x-forwarded-host"}
FRAMING = {"content-length", "transfer-encoding"}
LIBRARY = {"accept-encoding", "user-agent"}

# --- the application --------------------------------------------------------------------------------------------------

TEXT = [("Content-Type", "text/plain")]
SPECIAL = {
    "/st/204": answer(204, headers=[("X-Y", "1")]),
    "/st/204body": answer(204, headers=[("X-Y", "1")]) + b"",
    "/st/304": answer(304, headers=[("Etag", '"a"')]),
    "/st/100": b"HTTP/1.1 100 Continue\r\n\r\n" + answer(200, b"hi"),
    "/st/103": b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + answer(200, b"hi"),
    "/st/999": answer(999, b"hi", [("Content-Type", "application/json")]),
    "/st/99": b"HTTP/1.1 99 x\r\nContent-Length: 0\r\n\r\n",
    "/st/notnum": b"HTTP/1.1 abc x\r\nContent-Length: 0\r\n\r\n",
    "/r/noct": answer(200, b'{"a":1}'),
    "/r/empty": answer(200),
    "/r/json": answer(200, b'{ "a" : 1 }', [("Content-Type", "application/json; charset=utf-8")]),
    "/r/chunked": b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
    "/r/trailer": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n",
    "/r/gzip": answer(200, gzip.compress(b"zipped"), [*TEXT, ("Content-Encoding", "gzip")]),
    "/r/sse": b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"9\r\ndata: a\n\n\r\n0\r\n\r\n",
    "/r/headers": answer(
        200,
        b"ok",
        [
            ("Access-Control-Allow-Origin", "*"),
            ("Cache-Control", "no-store"),
            ("Connection", "X-Hop"),
            ("Content-Encoding", "x-odd"),
            ("Content-Language", "en"),
            *TEXT,
            ("Dapr-Thing", "1"),
            ("Keep-Alive", "timeout=5"),
            ("Server", "s/1"),
            ("Set-Cookie", "a=1; Path=/"),
            ("Set-Cookie", "b=2"),
            ("Vary", "Accept"),
            ("X-Hop", "1"),
            ("x-lower", "a"),
            ("X-Multi", "1"),
            ("X-Multi", "2"),
        ],
    ),
}


def serve(request, exchange):
    path = request.target.partition("?")[0]
    if path == "/r/close":
        return None
    if path == "/r/short":
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhi")
        return None
    if path in SPECIAL:
        data = SPECIAL[path]
    elif path.startswith("/st/"):
        status = int(path[4:])
        more = [("Location", "/st/200")] if 300 <= status < 400 else []
        empty = request.method == "HEAD" and status >= 400
        data = answer(status, b"" if empty else b"body", [*TEXT, *more])
    else:
        data = answer(200, b"ok " + request.method.encode(), [*TEXT, ("X-App", "callee")])
    return data.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" if request.method == "HEAD" else data


# --- what differs -----------------------------------------------------------------------------------------------------


def received(**more):
    """Changes of what the application gets."""
    return lambda response, request: (response, {**request, **more} if request else request)


def no_type(response, request):
    return {**response, "headers": [h for h in response["headers"] if h[0] != "Content-Type"]}, request


def unzipped(response, request):
    headers = response["headers"] + [["Content-Encoding", "gzip"]]
    return {**response, "headers": headers, "body": None}, request


def method(name):
    def change(response, request):
        return {**response, "body": f"ok {name}"}, {**request, "method": name}

    return change


def without(*names):
    def change(response, request):
        return response, {**request, "headers": [h for h in request["headers"] if h[0].lower() not in names]}

    return change


def joined_baggage(response, request):
    headers = [h for h in request["headers"] if h[0] != "Baggage"] + [["Baggage", "a=1,b=2;p=3"]]
    return response, {**request, "headers": headers}


def found(target):
    """Where the reference finds no application, or another one."""

    def change(response, request):
        response = {"status_line": "HTTP/1.1 200 OK", "body": "ok GET"}
        response["headers"] = [["Content-Type", "text/plain"], ["X-App", "callee"], ["Date", "<HTTPDATE>"], TRACEPARENT]
        return response, {"method": "GET", "target": target, "headers": PAIR, "body": ""}

    return change


def cut(response, request):
    return None, request


NO_TRACE = "00-" + "0" * 32 + "-" + "0" * 16 + "-00"
TRACEPARENT = ["Traceparent", NO_TRACE]
PAIR = [
    ["Dapr-Callee-App-Id", "back"],
    ["Dapr-Caller-App-Id", "front"],
    ["Dapr-Caller-Namespace", "default"],
    ["Forwarded", "for=<HOST_IP>;by=<HOST_IP>;host=<HOST>"],
    ["X-Forwarded-For", "<HOST_IP>"],
    ["X-Forwarded-Host", "<HOST>"],
    TRACEPARENT,
]
AS_ANSWERED = "an answer without a content type stays one"
DIFFERENCES = [
    ("method FOO", "an unknown method reaches the application as itself", method("FOO")),
    ("method get", "… whatever its case", method("get")),
    ("duplicate slashes", "duplicate slashes collapse anywhere", found("/a/b")),
    ("dapr headers from client, without dapr-app-id", "no token but its own reaches the application, and a deadline of "
     "gRPC is none of HTTP", lambda response, request: (response, {**request, "headers": [
         *[h for h in request["headers"] if h[0] not in ("Dapr-Api-Token", "Dapr-Grpc-Timeout") and h[1] != "evil"],
         ["grpc-timeout", "1S"]]})),
    ("baggage", "several headers are joined for the application too", joined_baggage),
    (r"app answers /(r/short)", "a body that is cut is seen as cut", cut),
    (r"app answers /(r/(noct|trailer)|st/10[03])", AS_ANSWERED, no_type),
    ("app answers /r/gzip", "the coding of an answer is left as it is", unzipped),
]  # fmt: skip
MESH_ONLY = {
    "self without app",
    "app id with other namespace",
    "unknown app",
    "callee sidecar stopped",
    "callee sidecar stopped again",
    "callee app down",
    "callee app down POST chunked",
    "self, app down",
    "other namespace in id",
}

# --- replay -----------------------------------------------------------------------------------------------------------

counts = {"same": 0, "on purpose": 0, "of the mesh": 0, "not yet": 0, "unexplained": 0}


def fill(text, setup):
    values = {"<APP_PORT>": str(setup.app.port), "<TRACEID>": TRACE_ID, "<SPANID>": SPAN_ID, **setup.values}
    for placeholder, value in values.items():
        text = text.replace(placeholder, value)
    return text


def sent_body(recorded):
    if recorded is None:
        return None
    if isinstance(recorded, str):
        return recorded.encode()
    if "base64" in recorded:
        return base64.b64decode(recorded["base64"])
    return (recorded["starts"][0] * recorded["length"]).encode()


class Setup:
    is_mesh = False
    values = {}  # of further placeholders
    left_out = MESH_ONLY

    def __init__(self, name):
        env = {"APP_API_TOKEN": "apptok", "DAPR_API_TOKEN": "dtok", "NAMESPACE": "prod"} if name == "IT" else None
        self.app = App(serve)
        self.sidecar = Sidecar(app_id="back", flags=["--app-port", str(self.app.port)], env=env)

    def exchange(self, entry):
        request = entry["request"]
        headers = [(n, fill(v, self)) for n, v in request["headers"] if n not in ("Content-Length", "Host")]
        # Recorded text is that of Latin-1 bytes.
        target = fill(request["target"], self).encode("latin-1").decode("utf-8", "surrogateescape")
        body = sent_body(request["body"])
        if body is None and any(n == "Content-Length" for n, _ in request["headers"]):
            body = b""
        data = request_bytes(request["method"], target, [], body)
        lines = "".join(f"{n}: {v}\r\n" for n, v in headers).encode("latin-1")
        if any(n.lower() == "transfer-encoding" for n, _ in headers):
            data = re.sub(rb"Content-Length: \d+\r\n", b"", data)
        head, _, rest = data.partition(b"\r\n\r\n")
        connection = Connection(self.sidecar.address)
        try:
            connection.send(head + b"\r\n" + lines + b"\r\n" + rest)
            return connection.reply(request["method"])
        except Cut:
            return None
        finally:
            connection.close()


def as_recorded(headers, entry):
    """Of what the application got, what does not come from the HTTP library of the reference."""
    sent = {n.lower() for n, _ in entry["request"]["headers"]}
    names = [(name.lower(), value) for name, value in headers]
    return [(n, v) for n, v in names if n not in FRAMING | {"host"} and (n in sent or n not in LIBRARY)]


def as_self(headers, entry):
    """Of what the application got, the part that does not come from a mesh or from the HTTP library of the reference."""
    sent = {n.lower() for n, _ in entry["request"]["headers"]}
    kept = []
    for name, value in headers:
        lower = name.lower()
        if (lower in ADDED and lower not in sent) or (lower in LIBRARY and lower not in sent):
            continue
        if lower in FRAMING or lower == "host":
            continue
        if lower in ADDED and value not in [v for n, v in entry["request"]["headers"] if n.lower() == lower]:
            continue  # the line of the mesh behind the client's own
        kept.append((lower, "back" if (lower, value) == ("dapr-caller-app-id", "front") else value))
    return kept


def compare(wanted, got, what, problems):
    """Headers in any order, names in any case."""
    left = list(got)
    for name, value in wanted:
        if value == "<HTTPDATE>":
            match = next((h for h in left if h[0] == name), None)
        else:
            match = next((h for h in left if h == (name, value)), None)
        if match:
            left.remove(match)
        else:
            problems.append(f"{what}: no {name}: {value}")
    problems += [f"{what}: unexpected {name}: {value}" for name, value in left]


def check_response(wanted, reply, setup, problems, traced=False):
    if wanted is None:
        if reply is not None:
            problems.append(f"a whole answer: {reply}")
        return
    if reply is None:
        problems.append("the answer was cut")
        return
    if reply.status_line.split(" ")[1] != wanted["status_line"].split(" ")[1]:
        problems.append(f"{reply.status_line!r}, not {wanted['status_line']!r}")
    if wanted["body"] is not None:
        body = fill(wanted["body"], setup)
        body = body if setup.is_mesh else body.replace(MESH, "")
        if reply.body.decode() != body:
            problems.append(f"body {reply.body.decode()!r}, not {body!r}")
    if wanted.get("interim", []) != reply.interim:
        problems.append(f"interim {reply.interim}")
    # Without a trace of the client's the recorded sidecar samples one in ten thousand, and did so once.
    sampled = "<TRACEID>" in json.dumps(wanted["headers"]) and not traced
    headers = [(n.lower(), NO_TRACE if sampled and n == "Traceparent" else fill(v, setup)) for n, v in wanted["headers"]]
    headers = [h for h in headers if h[0] not in FRAMING]
    compare(headers, [(n.lower(), v) for n, v in reply.headers if n.lower() not in FRAMING], "answer", problems)


def check_received(wanted, got, entry, setup, problems):
    if wanted is None or got is None:
        if (wanted is None) != (got is None):
            problems.append(f"the application got {got}, not {wanted}")
        return
    target = fill(wanted["target"], setup)
    if (got.method, got.target) != (wanted["method"], target):
        problems.append(f"the application got {got.method} {got.target}, not {wanted['method']} {target}")
    body = sent_body(wanted["body"])
    if got.body != body:
        problems.append(f"the application got the body {got.body[:100]!r}, not {body[:100]!r}")
    names = [(n.lower(), v) for n, v in got.headers if n.lower() not in FRAMING and n.lower() != "host"]
    expected = (as_recorded if setup.is_mesh else as_self)(wanted["headers"], entry)
    compare([(n, fill(v, setup)) for n, v in expected], names, "application", problems)


def check(setup, entry):
    setup.app.take()
    reply = setup.exchange(entry)
    got = (setup.app.take() or [None])[0]
    wanted = (entry["received"].get("app") or [None])[0]
    response = entry["response"]
    row = next((row for row in DIFFERENCES if re.fullmatch(row[0], entry["name"])), None)
    if row:
        response, wanted = row[2](response, wanted)
    problems = []
    traced = any(n.lower() == "traceparent" for n, _ in entry["request"]["headers"])
    check_response(response, reply, setup, problems, traced)
    check_received(wanted, got, entry, setup, problems)
    counts["unexplained" if problems else "on purpose" if row else "same"] += 1
    return [f"{entry['name']}: {problem}" for problem in problems]


def replay(name, setup=None):
    setup = setup or Setup(name)
    bad = []
    for entry in entries():
        if entry["setup"] != name or "request" not in entry:
            continue
        if entry["name"] in setup.left_out:
            counts["of the mesh"] += 1
            continue
        bad += check(setup, entry)
    for line in bad:
        print("  " + line)
    equal(len(bad), 0, f"differences in setup {name}")
    return setup


def entries():
    with open(shared("recordings", "invoke.json")) as f:
        return json.load(f)["entries"]
