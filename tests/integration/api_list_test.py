# SPDX-License-Identifier: Apache-2.0
"""Lists of allowed and denied APIs (spec.api of a Configuration) on both surfaces and the public port."""
import sdk  # noqa: F401  goes on where the official SDK is
import os

import grpc
from dapr.proto.common.v1 import common_pb2
from dapr.proto.runtime.v1 import dapr_pb2_grpc, invoke_pb2, lock_pb2, metadata_pb2, state_pb2
from google.rpc import error_details_pb2, status_pb2
from remora import Folder, Sidecar, component, equal, eventually, main, need, test

from http_app import App

HEAD = "apiVersion: dapr.io/v1alpha1\nkind: Configuration\nmetadata: {name: c}\nspec:\n  api:\n"
STORE = component("mem", "state.in-memory")
GONE = (404, "404 page not found\n")


def rules(*lines):
    return "".join(f"    - {{name: {name}, version: {version}, protocol: {protocol}}}\n" for name, version, protocol in lines)


def listed(allowed=(), denied=()):
    return HEAD + ("    allowed:\n" + rules(*allowed) if allowed else "") + ("    denied:\n" + rules(*denied) if denied else "")


class Bed:
    def __init__(self, text, **more):
        self.folder = Folder()
        self.configure(text)
        self.app = App()
        self.sidecar = Sidecar(STORE, folder=self.folder, public=True,
                               flags=["--config", self.folder / "config.yaml", "--app-port", str(self.app.port),
                                      "--metrics-port", "0"], **more)
        self.stub = dapr_pb2_grpc.DaprStub(grpc.insecure_channel(f"127.0.0.1:{self.sidecar.grpc_port}"))

    def configure(self, text):
        self.folder.write(".new", text)
        os.rename(self.folder / ".new", self.folder / "config.yaml")

    def get(self, path, **more):
        reply = self.sidecar.call("GET", path, **more)
        return reply.status, reply.text

    def rpc(self, call):
        """The code's name, and what its details say if the list refused."""
        try:
            call(self.stub)
            return "OK"
        except grpc.RpcError as error:
            return error.code().name


def get_state(stub):
    stub.GetState(state_pb2.GetStateRequest(store_name="mem", key="k"), timeout=30)


def query_state(stub):
    stub.QueryStateAlpha1(state_pb2.QueryStateRequest(store_name="mem", query="{}"), timeout=30)


def get_metadata(stub):
    stub.GetMetadata(metadata_pb2.GetMetadataRequest(), timeout=30)


def try_lock(stub):
    stub.TryLockAlpha1(lock_pb2.TryLockRequest(store_name="l", resource_id="r", lock_owner="o", expiry_in_seconds=1), timeout=30)


def invoke(stub):
    stub.InvokeService(invoke_pb2.InvokeServiceRequest(id="shop", message=common_pb2.InvokeRequest(
        method="x", http_extension=common_pb2.HTTPExtension(verb=common_pb2.HTTPExtension.GET))), timeout=30)


@test("what is not on the list of allowed APIs is not there, health is", "INV-58")
def allowed():
    bed = Bed(listed(allowed=[("state", "v1.0", "http"), ("metadata", "v1", "grpc")]))
    equal(bed.get("/v1.0/state/mem/k")[0], 204)
    for path in ("/v1.0/metadata", "/v1.0/secrets/x/y", "/v1.0/invoke/shop/method/x", "/v1.0//invoke/shop/method/x",
                 "/v1.0-alpha1/state/mem/query", "/other", "/"):
        equal(bed.get(path), GONE, path)
    equal(bed.sidecar.call("POST", "/v1.0-alpha1/state/mem/query", b"{}").status, 404)
    equal(bed.sidecar.call("POST", "/v1.0/shutdown", b"").status, 404)
    equal(bed.get("/x", headers=[("dapr-app-id", "shop")]), GONE)
    equal(bed.get("/v1.0/healthz")[0], 204)
    equal(bed.get("/v1.0/healthz/outbound")[0], 204)
    equal([bed.rpc(call) for call in (get_metadata, get_state, query_state, try_lock, invoke)],
          ["OK"] + 4 * ["UNIMPLEMENTED"])
    equal(grpc.insecure_channel(f"127.0.0.1:{bed.sidecar.grpc_port}").unary_unary("/grpc.health.v1.Health/Check")(
        b"", timeout=30), b"\x08\x01")


@test("what is denied is not there even if it is allowed, all else is as ever", "INV-58")
def denied():
    bed = Bed(listed(allowed=[("state", "v1", "http"), ("metadata", "v1", "http"), ("invoke", "v1", "http")],
                     denied=[("state", "v1.0", "http"), ("state", "v1", "grpc")]))
    reply = bed.sidecar.call("GET", "/v1.0/state/mem/k")
    equal((reply.status, reply.json["errorCode"]), (404, "ERR_DIRECT_INVOKE"), "no such path: it names no app id")
    equal(bed.get("/v1.0/metadata")[0], 200)
    equal(bed.get("/v1.0/invoke/shop/method/x")[0], 200)
    equal([bed.rpc(call) for call in (get_state, query_state, get_metadata, invoke)],
          ["UNIMPLEMENTED", bed.rpc(query_state), "OK", "OK"])
    need(bed.rpc(query_state) != "UNIMPLEMENTED", "the alpha version is another")


@test("a refused method says so as the reference does", "INV-58 ERR_API_UNIMPLEMENTED")
def words():
    bed = Bed(listed(denied=[("state", "v1", "grpc")]))
    try:
        get_state(bed.stub)
        need(False, "was answered")
    except grpc.RpcError as error:
        equal((error.code().name, error.details()), ("UNIMPLEMENTED", "Not Implemented"))
        status = status_pb2.Status.FromString(dict(error.trailing_metadata())["grpc-status-details-bin"])
        info = error_details_pb2.ErrorInfo()
        need(status.details[0].Unpack(info), status)
        equal(dict(info.metadata), {"http.code": "501", "http.error_message": "requested endpoint is not available"})


@test("the public port follows the list, and health needs neither list nor token", "INV-58")
def public():
    import remora
    bed = Bed(listed(denied=[("metadata", "v1", "http"), ("healthz", "v1", "http")]), env={
        "PATH": os.environ["PATH"], "DAPR_API_TOKEN": "secret"})
    equal(remora.call(bed.sidecar.public, "GET", "/v1.0/healthz").status, 204)
    equal(remora.call(bed.sidecar.public, "GET", "/v1.0/metadata").status, 404)
    equal(bed.get("/v1.0/healthz")[0], 204)
    equal(bed.get("/v1.0/metadata")[0], 401, "the token is asked first")
    equal(bed.get("/v1.0/metadata", headers=[("dapr-api-token", "secret")])[0], 404)
    equal(bed.rpc(get_metadata), "UNAUTHENTICATED")


@test("a changed list holds at once", "INV-58 RELOAD-10")
def changed():
    bed = Bed(listed(denied=[("state", "v1", "http"), ("state", "v1", "grpc")]))
    equal((bed.get("/v1.0/state/mem/k")[0], bed.rpc(get_state)), (404, "UNIMPLEMENTED"))
    bed.configure(listed(denied=[("secrets", "v1", "http")]))
    eventually(lambda: (bed.get("/v1.0/state/mem/k")[0], bed.rpc(get_state)) == (204, "OK"), "state is back")
    bed.configure(listed(denied=[("state", "v1", "nonsense")]))
    eventually(lambda: "must be http or grpc" in bed.sidecar.log(), "what cannot be understood is said")
    equal(bed.get("/v1.0/state/mem/k")[0], 204)


main()
