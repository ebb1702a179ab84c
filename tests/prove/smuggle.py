# SPDX-License-Identifier: Apache-2.0
# in check: yes
# timeout: 600
"""Experiment smuggle: the paths and bytes of tests/lib/tricks.py on their way through two sidecars, from clients of HTTP and
gRPC and from an independent sidecar that writes into the protocol what it likes.

A model of its own judges: whatever arrived at the application, its path is one that the access list lets through, read
exactly; nothing that was one request at the front is two at the application; no line that was not sent is a header. The
fuzz targets of what is parsed on the way run too, in the long form for a while."""
import _prove

import sdk  # noqa: F401  isort: skip

import subprocess
import threading

import grpc
import http_app
import mesh
import peer
import remora
import tricks
from dapr.proto.runtime.v1 import dapr_pb2_grpc, invoke_pb2
from _prove import by_length

FUZZ = ("access", "resiliency", "yaml", "peer_message", "x509_identity", "url", "path", "h1_head", "h1_chunked", "h2")
FUZZ_S = by_length(0, 3, 60)
LISTS = {
    "deny one": ("allow", [("/" + tricks.SECRET, "deny")]),
    "deny below": ("allow", [("/admin/**", "deny")]),
    "allow one": ("deny", [("/" + tricks.OPEN, "allow")]),
}
claims = _prove.Claims()
counts = {"denied": 0, "arrived": 0, "refused": 0}


def access_list(default, operations):
    lines = ["  accessControl:", "    defaultAction: deny", '    trustDomain: "public"', "    policies:"]
    for app_id in ("front", "py"):
        lines += [f"    - appId: {app_id}", f"      defaultAction: {default}", "      trustDomain: public",
                  "      namespace: default", "      operations:"]  # fmt: skip
        for name, action in operations:
            lines += [f"      - name: {name}", "        httpVerb: ['*']", f"        action: {action}"]
    return "\n".join(lines) + "\n"


def may_pass(target, default, operations):
    """The model: the path as the application has it, compared byte for byte; a rule covers what is below it too."""
    path = target.partition("?")[0]
    for name, action in operations:
        name = name.removesuffix("/**")
        if path == name or path.startswith(name + "/"):
            return action == "allow"
    return default == "allow"


class Bed:
    def __init__(self, name):
        import authority

        self.name, (self.default, self.operations) = name, LISTS[name]
        self.lock = threading.Lock()
        self.app = http_app.App(lambda request, exchange: http_app.answer(200, b"ok"))
        certificates = authority.Authority("ecdsa")
        self.mesh = mesh.Mesh(certificates)
        self.front = self.mesh.sidecar("front")
        self.back = self.mesh.sidecar("back", app=self.app, spec=access_list(self.default, self.operations))
        remora.eventually(lambda: self.mesh.addresses("back"), "back has registered")
        self.caller = authority.MutualCaller(self.back.internal, certificates.identity("py"))
        self.channel = grpc.insecure_channel(f"127.0.0.1:{self.front.grpc_port}", peer.OPTIONS)

    def judge(self, what, answered_well):
        """What arrived was let through by the model, and what was answered well has arrived."""
        arrived = self.app.take()
        for request in arrived:
            good = may_pass(request.target, self.default, self.operations)
            if not good or not is_plain(request):
                claims.holds(f"{self.name}: {what!r}", False, f"the application got {request}")
        counts["arrived"] += len(arrived)
        if answered_well and not arrived:
            claims.holds(f"{self.name}: {what!r}", False, "it was answered, and not by the application")
        if len(arrived) > 1:
            claims.holds(f"{self.name}: {what!r}", False, f"one request became {len(arrived)}")

    def http(self, target, verb="GET"):
        try:
            reply = self.front.call(verb, f"/v1.0/invoke/back/method/{target}")
        except (remora.Cut, ConnectionError):
            counts["refused"] += 1
            return self.judge(target, False)
        counts["denied"] += reply.status == 403
        counts["refused"] += reply.status not in (200, 403)
        return self.judge(target, reply.status == 200)

    def try_(self, what, function):
        try:
            function()
            self.judge(what, True)
        except grpc.RpcError as error:
            counts["denied" if "denied" in (error.details() or "") else "refused"] += 1
            self.judge(what, False)

    def invoke_service(self, method, query=""):
        request = invoke_pb2.InvokeServiceRequest(id="back")
        request.message.method = method
        request.message.http_extension.verb = 1
        request.message.http_extension.querystring = query
        stub = dapr_pb2_grpc.DaprStub(self.channel)
        self.try_(("InvokeService", method), lambda: stub.InvokeService(request, timeout=remora.DEADLINE_S))

    def from_peer(self, what, head):
        self.try_(("unary", what), lambda: self.caller.unary(head))
        self.try_(("stream", what), lambda: self.caller.stream(head))

    def end(self):
        self.caller.close()
        self.channel.close()
        for one in (self.front, self.back):
            _prove.stop(one)


def is_plain(request):
    """Nothing that was smuggled or injected, and no path that a program would have to clean further."""
    names = {name.lower() for name, _ in request.headers}
    path = request.target.partition("?")[0]
    return ("x-injected" not in names and request.target != "/smuggled" and path.startswith("/")
            and not any(part in (".", "..", "") for part in path[1:].split("/")[:-1])
            and not any(ord(c) <= 0x20 or ord(c) == 0x7F for c in request.target))  # fmt: skip


def paths(bed):
    for target in tricks.PATHS:
        for verb in ("GET", "POST"):
            bed.http(target, verb)
        connection_form = bed.front.call("GET", "/" + target, headers=[("dapr-app-id", "back")])
        bed.judge(("by header", target), connection_form.status == 200 and target not in ("", "."))
    for method in tricks.METHODS:
        bed.invoke_service(method)
        bed.from_peer(method, peer.head(method))


def injections(bed):
    for text in tricks.INJECTED:
        for what, head in (
            ("header", peer.head("m", headers=[("x-a", text)])),
            ("query", peer.head("m", query=text)),
            ("type", peer.head("m", "POST", content_type=text)),
            ("caller", peer.head("m", caller=text)),
            ("type in metadata", peer.head("m", "POST", headers=[("content-type", text)])),
        ):
            bed.from_peer((what, text), head)
        bed.invoke_service("m", text)
    for name in tricks.NAMES:
        bed.from_peer(("name", name), peer.head("m", "POST", headers=[(name, "chunked" if "trans" in name else "5")]))


def raw(bed):
    for what, data in tricks.RAW.items():
        connection = bed.front.connect()
        statuses = []
        try:
            connection.send(data)
            while len(statuses) < 3:
                statuses.append(connection.reply("POST").status)
                connection.socket.settimeout(0.1)  # for a second answer, of what was meant to be one request
        except (remora.Cut, OSError, ValueError, IndexError):
            pass
        connection.close()
        counts["refused"] += statuses[:1] != [200]
        bed.judge(what, statuses[:1] == [200])


def fuzz():
    for target in FUZZ if FUZZ_S else ():
        done = subprocess.run(["make", "--no-print-directory", "fuzz", f"TARGET={target}", f"SECONDS={FUZZ_S}"], cwd=_prove.TOP,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)  # fmt: skip
        claims.holds(f"fuzz target {target} for {FUZZ_S} s", done.returncode == 0, done.stdout[-2000:] if done.returncode else "")


for list_name in LISTS:
    bed = Bed(list_name)
    paths(bed)
    if list_name == "deny one":
        injections(bed)
        raw(bed)
    denied_plainly = bed.front.call("GET", f"/v1.0/invoke/back/method/{tricks.SECRET}").status
    claims.holds(f"{list_name}: the secret is denied, the open path is not",
                 denied_plainly == 403 and bed.front.call("GET", f"/v1.0/invoke/back/method/{tricks.OPEN}").status == 200,
                 str(denied_plainly))  # fmt: skip
    bed.end()
fuzz()
claims.holds("many were denied, many arrived", counts["denied"] > 50 and counts["arrived"] > 50, str(counts))
claims.end(f"{sum(counts.values())} requests: {counts['denied']} denied, {counts['refused']} refused, {counts['arrived']} arrived, "
           "each at a path that the list lets through")
