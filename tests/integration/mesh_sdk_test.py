# SPDX-License-Identifier: Apache-2.0
# timeout: 300
"""Programs of the official SDKs on both sides of two sidecars: applications in JavaScript and Python, called over HTTP and
gRPC by clients of both, and the official gRPC implementations through the proxy of both sidecars; the forms of a plain
HTTP client beside them. All with mutual TLS, since that is what meshes have."""

import sdk  # noqa: F401  isort: skip

import authority
import http_app
import interop
import mesh
import remora
from http_app import answer
from remora import component, equal, main, need, test
from sdk_programs import Application, ends_well, environment, start

MEMORY = component("mem", "state.in-memory")
MUTUAL, PLAIN = mesh.Mesh(authority.Authority("ecdsa")), mesh.Mesh()
FRONT = {id(net): net.sidecar("front", MEMORY, flags=["--max-body-size", "16Mi"]) for net in (MUTUAL, PLAIN)}
CLIENTS = [("js/invoke.js", "http"), ("js/invoke.js", "grpc"), ("python/invoke.py", "http"), ("python/invoke.py", "grpc")]


def called_through(net, program, words, kind, clients):
    front = FRONT[id(net)]
    app = Application(program, *words, protocol=kind.partition("-")[0], resources=[MEMORY], make=net.sidecar_of)
    remora.eventually(lambda: net.addresses("reef") == [app.sidecar.internal], "it has registered, and nobody else")
    running = [start(front.folder, environment(front), client, protocol, "reef", kind) for client, protocol in clients]
    for client in running:
        ends_well(client)
    need(app.is_alive(), app.log())
    equal(app.sidecar.stop(), 0)
    app.kill()


for name, program, words, kind, clients in (
    ("a JavaScript application over HTTP", "js/app.js", ["http"], "http", CLIENTS[1:3]),
    ("a Python application over gRPC", "python/app_grpc.py", [], "grpc-python", [CLIENTS[0], CLIENTS[3]]),
):

    @test(f"{name} behind another sidecar is called by clients of both SDKs", "T-INV-1 T-INV-2 INV-53")
    def _(program=program, words=words, kind=kind, clients=clients):
        called_through(MUTUAL, program, words, kind, clients)


for server, client in (("python", "js"), ("go", "python")):

    @test(f"gRPC: {client} calls {server} through the proxy of two sidecars", "T-INV-5 INV-31 INV-33 INV-35")
    def _(server=server, client=client):
        front = FRONT[id(MUTUAL)]
        app = interop.Server(server, front.folder).wait_serving()
        flags = ["--max-body-size", "16Mi"]
        back = MUTUAL.sidecar("interop", app=app, protocol="grpc", flags=flags)
        remora.eventually(lambda: MUTUAL.addresses("interop") == [back.internal], "it has registered, and nobody else")
        interop.call(client, front.folder, front.grpc_port, "interop", "front")
        equal(back.stop(), 0)
        app.kill()


@test("the three forms of a plain HTTP client are one call, its query unchanged", "T-INV-3 INV-16 INV-17 INV-20")
def _():
    front = FRONT[id(MUTUAL)]
    app = http_app.App(lambda request, exchange: answer(200, request.target.encode()))
    back = MUTUAL.sidecar("checkout", app=app)
    mesh.reaches(front, "checkout")
    target = "/checkout/100?basket=1234&key=abc"
    basic = "Basic ZGFwci1hcHAtaWQ6Y2hlY2tvdXQ="
    for path, headers in (
        (f"/v1.0/invoke/checkout/method{target}", []),
        (target, [("dapr-app-id", "checkout")]),
        (target, [("Authorization", basic)]),
        (f"/v1.0/invoke/checkout.default/method{target}", []),
    ):
        reply = front.call("GET", path, headers=headers)
        equal((reply.status, reply.text), (200, target), str(headers))
    equal(back.stop(), 0)
    app.stop()


@test("of three instances each gets its share", "T-INV-7 INV-05")
def _():
    front = FRONT[id(PLAIN)]
    apps = [http_app.App(lambda request, exchange: answer(200, b"ok")) for _ in range(3)]
    carts = [PLAIN.sidecar("cart", app=app) for app in apps]
    remora.eventually(lambda: len(PLAIN.addresses("cart")) == 3, "all have registered")
    for _ in range(60):
        equal(mesh.invoke(front, "cart", "add").status, 200)
    counts = [len(app.requests) for app in apps]
    need(min(counts) >= 15, f"{counts}")
    for cart in carts:
        equal(cart.stop(), 0)
    for app in apps:
        app.stop()


if __name__ == "__main__":
    main()
