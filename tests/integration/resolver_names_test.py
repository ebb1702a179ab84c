# SPDX-License-Identifier: Apache-2.0
"""nameresolution.kubernetes, dns and nameformat: addresses made of names, which the sidecar then looks up. timeout: 120"""
from resolver_bed import Refused, Resolver  # first: it finds the Python that has the packages
from http_app import App, answer
from mesh import invoke
from remora import Folder, Sidecar, equal, eventually, free_port, main, need, test


def configuration(component, **settings):
    text = "".join(f"\n      {name}: {value!r}" for name, value in settings.items())
    return ("apiVersion: dapr.io/v1alpha1\nkind: Configuration\nmetadata:\n  name: names\nspec:\n  nameResolution:\n"
            f"    component: {component}\n    configuration:{text or ' {}'}\n")


def sidecar(app_id, port, config, host="127.0.0.1", app=None):
    path = Folder().write("config.yaml", config)
    flags = ["--config", path, "--dapr-internal-grpc-port", str(port), "--dapr-internal-grpc-listen-address", host]
    return Sidecar(app_id=app_id, flags=flags + (["--app-port", str(app.port)] if app else []))


def resolver(component, configuration=None, **more):
    return Resolver("names", f"nameresolution.{component}", configuration or {}, "front", 50002, **more)


def refusal(what):
    try:
        what()
    except Refused as e:
        return e.code, e.message
    raise AssertionError("it was not refused")


@test("nameformat: the sidecar calls whoever a name server says is there", "INV-06 INV-10")
def nameformat():
    port = free_port()
    back = App(lambda request, exchange: answer(200, b"back"))
    sidecar("localhost", port, configuration("nameformat", format=f"{{appid}}:{port}"), app=back)
    front = sidecar("front", free_port(), configuration("nameformat", format=f"{{appid}}:{port}"))
    equal(invoke(front, "localhost", "x").body, b"back")
    reply = invoke(front, "no-such-name", "x")
    need(reply.status >= 500, reply.status)


@test("kubernetes: a template, and the same port everywhere", "INV-07")
def template():
    port = free_port()
    back = App(lambda request, exchange: answer(200, b"three"))
    config = configuration("kubernetes", template="127.0.0.{{.ID}}:{{.Port}}")
    sidecar("3", port, config, host="127.0.0.3", app=back)
    front = sidecar("2", port, config, host="127.0.0.2")
    equal(invoke(front, "3", "x").body, b"three")


@test("kubernetes and dns make the names of the operator's services", "INV-07")
def names():
    cluster = resolver("kubernetes", namespace="prod")
    equal(cluster.resolve("shop"), ["shop-dapr.prod.svc.cluster.local:50002"])
    equal(cluster.resolve("shop", namespace="other"), ["shop-dapr.other.svc.cluster.local:50002"])
    equal(resolver("kubernetes", {"clusterDomain": "example.org"}).resolve("shop"), ["shop-dapr.default.svc.example.org:50002"])
    equal(resolver("dns", namespace="prod").resolve("shop"), ["shop-dapr.prod.svc:50002"])


@test("what is configured wrongly is refused with words, and the sidecar serves on", "INV-06")
def wrong():
    for component, settings, words in (
            ("nameformat", {}, "format is required in metadata"),
            ("nameformat", {"format": "fixed"}, "format must contain {appid} placeholder"),
            ("kubernetes", {"template": "{{.ID}}", "clusterDomain": "x"}, "clusterDomain and template cannot both be set"),
            ("kubernetes", {"template": "{{.Foo}}"},
             "invalid template: {{.Foo}}: only {{.ID}}, {{.Namespace}}, {{.Port}} and {{.Data.NAME}} are known"),
            ("kubernetes", {"clusterDomain": "x" * 300}, "invalid clusterDomain: too long")):
        equal(refusal(lambda: resolver(component, settings)), ("INVALID_ARGUMENT", words))
    alone = sidecar("alone", free_port(), configuration("nameformat", format="fixed"))
    eventually(lambda: "format must contain {appid} placeholder" in alone.log(), "it is said")
    equal(alone.healthz(), 204)


@test("no caller writes another address with an id or a namespace", "INV-06")
def hostile():
    cluster = resolver("kubernetes")
    for id_ in ("evil.example:80/", "a:1", "a b", "..", "[::1]", "a@b", "ä"):
        code, words = refusal(lambda: cluster.resolve(id_))
        equal(code, "NOT_FOUND")
        need("no address can be made of it" in words and id_ not in words, words)
        equal(refusal(lambda: cluster.resolve("shop", namespace=id_))[0], "NOT_FOUND")
    front = sidecar("front", free_port(), configuration("nameformat", format="{appid}.invalid:1"))
    for target in ("a%3A80", "127.0.0.1%3A1", "x@127.0.0.1", "%5B%3A%3A1%5D"):
        need(invoke(front, target, "x").status >= 400, target)


main()
