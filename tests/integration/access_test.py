# SPDX-License-Identifier: Apache-2.0
"""Access control between sidecars with mutual TLS: what callers are told on each way, whose policies count, lists that
change. The paths that were tried against such lists are in the unit tests of api/access.c and in the experiment smuggle."""

import sdk  # noqa: F401  isort: skip

import os

import grpc
import grpc_app
import mesh
from authority import Authority
from dapr.proto.common.v1 import common_pb2
from dapr.proto.runtime.v1 import dapr_pb2_grpc, invoke_pb2
from http_app import App
from remora import equal, eventually, main, need, test

CA = Authority()


def policy(default, *apps):
    lines = ["  accessControl:", f"    defaultAction: {default}", "    policies:"]
    for app_id, namespace, action, operations in apps:
        lines += [f"    - {{appId: {app_id}, namespace: {namespace}, trustDomain: public, defaultAction: {action}, operations: ["]
        lines += [f"        {{name: '{name}', httpVerb: {verbs}, action: {what}}}," for name, verbs, what in operations] + ["      ]}"]
    return "\n".join(lines) + "\n"


ORDERS = policy("deny", ("front", "default", "deny", [("/orders", ["GET"], "allow"), ("/orders/secret", ["GET"], "deny"),
                                                      ("/own.Svc/**", [], "allow")]),
                ("other", "default", "allow", [("/orders", ["*"], "deny")]))
WORDS = "access control policy has denied access to id: spiffe://public/ns/default/front operation: "


class Bed:
    def __init__(self, spec, authority=CA, app=None, **more):
        self.mesh = mesh.Mesh(authority=authority)
        self.app = app or App()
        self.back = self.mesh.sidecar("back", app=self.app, spec=spec, **more)
        self.config = self.mesh.folder / f"config-{self.mesh.count}.yaml"
        self.front = self.mesh.sidecar("front")
        eventually(lambda: self.mesh.addresses("back"), "others know of it")

    def get(self, path, verb="GET", sidecar=None, target="back"):
        return mesh.invoke(sidecar or self.front, target, path, verb)

    def status(self, path, verb="GET", sidecar=None, target="back"):
        return self.get(path, verb, sidecar, target).status

    def channel(self):
        return grpc.insecure_channel(f"127.0.0.1:{self.front.grpc_port}")

    def proxy(self, method):
        try:
            self.channel().unary_unary(method)(b"x", metadata=[("dapr-app-id", "back")], timeout=30)
            return "OK"
        except grpc.RpcError as error:
            return error.code().name

    def invoke(self, path, verb="GET"):
        message = common_pb2.InvokeRequest(method=path)
        if verb:
            message.http_extension.verb = common_pb2.HTTPExtension.Verb.Value(verb)
        try:
            dapr_pb2_grpc.DaprStub(self.channel()).InvokeService(
                invoke_pb2.InvokeServiceRequest(id="back", message=message), timeout=30)  # fmt: skip
            return "OK", ""
        except grpc.RpcError as error:
            return error.code().name, error.details()


@test("over HTTP a call that is denied is 403 and does not reach the application", "INV-58 INV-U13")
def over_http():
    bed = Bed(ORDERS)
    equal(bed.status("orders"), 200)
    equal(bed.status("orders/7"), 200)
    reply = bed.get("admin")
    equal((reply.status, reply.json["errorCode"]), (403, "ERR_DIRECT_INVOKE"))
    need(WORDS in reply.json["message"] and "verb: GET" in reply.json["message"], reply.json)
    for path, verb in (("orders", "POST"), ("orders/secret", "GET"), ("Orders", "GET"), ("orders%2F..%2Fadmin", "GET"), ("", "GET")):
        equal(bed.status(path, verb), 403, path)
    equal(bed.status("admin%2F..%2Forders"), 200)
    equal([request.target for request in bed.app.requests], ["/orders", "/orders/7", "/orders"])


@test("over gRPC it is INTERNAL, and PERMISSION_DENIED where a service of the application's own is called", "INV-58 INV-U07")
def over_grpc():
    bed = Bed(ORDERS)
    equal(bed.invoke("orders")[0], "OK")
    code, words = bed.invoke("admin")
    equal(code, "INTERNAL")
    need(WORDS in words, words)
    equal(bed.invoke("orders", "POST")[0], "INTERNAL")
    equal(bed.invoke("orders", "")[0], "INTERNAL", "without a verb nothing is allowed")
    app = grpc_app.App()
    bed = Bed(ORDERS, app=app, protocol="grpc")
    equal(bed.invoke("orders", "")[0], "OK", "a gRPC application has no verbs")
    equal((bed.proxy("/own.Svc/Do"), bed.proxy("/own.Other/Echo")), ("OK", "PERMISSION_DENIED"))
    equal([call.method for call in app.received if "own." in call.method], ["/own.Svc/Do"])


@test("each caller has the policy of its own identity", "INV-58 INV-U13")
def callers():
    bed = Bed(ORDERS)
    other = bed.mesh.sidecar("other")
    stranger = bed.mesh.sidecar("stranger")
    elsewhere = bed.mesh.sidecar("front", env={"PATH": os.environ["PATH"], "NAMESPACE": "elsewhere"})
    for sidecar, orders, admin in ((bed.front, 200, 403), (other, 403, 200), (stranger, 403, 403), (elsewhere, 403, 403)):
        equal(tuple(bed.status(path, sidecar=sidecar, target="back.default") for path in ("orders", "admin")), (orders, admin),
              sidecar.app_id)


@test("without mutual TLS nobody is known, and the default counts", "INV-58")
def without_identity():
    equal(Bed(ORDERS, authority=None).status("orders"), 403)
    equal(Bed(ORDERS.replace("defaultAction: deny", "defaultAction: allow", 1), authority=None).status("admin"), 200)


@test("the application's own sidecar asks no list", "INV-58")
def own():
    bed = Bed(ORDERS)
    equal(bed.status("admin", sidecar=bed.back), 200)


@test("a changed list holds for the next call, one that cannot be understood changes nothing", "INV-58 RELOAD-10")
def changed():
    bed = Bed(ORDERS)
    with open(bed.config) as f:
        text = f.read()

    def write(new):
        with open(bed.config + ".new", "w") as f:
            f.write(new)
        os.rename(bed.config + ".new", bed.config)

    equal((bed.status("orders"), bed.status("admin")), (200, 403))
    write(text.replace("/orders'", "/admin'"))
    eventually(lambda: (bed.status("orders"), bed.status("admin")) == (403, 200), "the list has changed")
    write(text.replace("action: allow", "action: perhaps"))
    eventually(lambda: "can be either allow or deny" in bed.back.log(), "it is said")
    equal((bed.status("orders"), bed.status("admin")), (403, 200))


main()
