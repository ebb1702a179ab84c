# SPDX-License-Identifier: Apache-2.0
# in check: yes
# timeout: 300
"""Experiment refuse: identities that are wrong in every way an authority or an attacker can make them, on both ends of the
wire, by an independent peer and authority. A wrong server is never sent a request, a wrong client never reaches the
application; the right ones do, before and after. What the access list says is judged by who the certificate names."""
import _prove

import sdk  # noqa: F401  isort: skip

import authority
import grpc
import http_app
import mesh
import peer
import remora
from http_app import answer
from remora import Connection, eventually

claims = _prove.Claims()
counts = {"clients refused": 0, "servers refused": 0}
LIST = """  accessControl:
    defaultAction: deny
    trustDomain: "public"
    policies:
    - appId: py
      defaultAction: allow
      trustDomain: "public"
      namespace: "default"
    - appId: front
      defaultAction: allow
      trustDomain: "public"
      namespace: "default"
"""

# Without the built-in retries, a second apart, that a refused connection is worth.
ONCE = """apiVersion: dapr.io/v1alpha1
kind: Resiliency
metadata:
  name: once
spec:
  policies:
    retries: {once: {policy: constant, duration: 1s, maxRetries: 0}}
  targets:
    apps:
      py: {retry: once}
"""

ca = authority.Authority("ecdsa")
other_ca = authority.Authority("ecdsa")
app = http_app.App(lambda request, exchange: answer(200, b"ok"))
net = mesh.Mesh(ca)
front = net.sidecar("front", ONCE)
back = net.sidecar("back", app=app, spec=LIST)
open_back = net.sidecar("open", app=app)  # without a list: whoever is of the trust bundle may call
for app_id in ("back", "open"):
    mesh.reaches(front, app_id)

# Identities that nobody must believe, whatever the lists say.
FORGED = {
    "expired": lambda id_: ca.identity(id_, starts_in_s=-7200, lifetime_s=-3600),
    "not yet valid": lambda id_: ca.identity(id_, starts_in_s=3600, lifetime_s=7200),
    "self-signed": ca.self_signed,
    "of another authority": lambda id_: with_anchors(other_ca.identity(id_)),
    "of an authority of the same name": lambda id_: ca.identity(id_, foreign=True),
    "without an id": lambda id_: ca.identity(id_, uris=[]),
    "with two ids": lambda id_: ca.identity(id_, uris=[authority.spiffe_id(id_), authority.spiffe_id("admin")]),
    "with an id that is no SPIFFE id": lambda id_: ca.identity(id_, uris=[f"https://public/ns/default/{id_}"]),
    "with a query in its id": lambda id_: ca.identity(id_, uris=[f"spiffe://public/ns/default/{id_}?x"]),
    "with dots in its id": lambda id_: ca.identity(id_, uris=[f"spiffe://public/ns/x/../default/{id_}"]),
    "with an escape in its id": lambda id_: ca.identity(id_, uris=[f"spiffe://public/ns/default/%{ord(id_[0]):02x}{id_[1:]}"]),
}  # fmt: skip
# Good identities of somebody else: wrong for a server always, for a client by the list.
OTHERS = {
    "wrong trust domain": lambda id_: ca.identity(id_, domain="elsewhere"),
    "trust domain of the control plane": lambda id_: ca.identity(id_, domain="localhost"),
    "other namespace": lambda id_: ca.identity(id_, namespace="prod"),
    "other application": lambda id_: ca.identity("somebody"),
    "longer application": lambda id_: ca.identity(id_ + "x"),
    "application in capitals": lambda id_: ca.identity(id_.upper()),
    "id without a namespace": lambda id_: ca.identity(id_, uris=[f"spiffe://public/{id_}"]),
    "id that goes on": lambda id_: ca.identity(id_, uris=[f"spiffe://public/ns/default/{id_}/x"]),
}


def with_anchors(identity):
    """Of another authority, but knowing whom it meets."""
    identity.anchors = ca.anchors()
    return identity


def tries(through, **more):
    """None if the call was answered, else the code."""
    try:
        through.unary(peer.head("x", **more), timeout=30 * remora.SLOW)
        return None
    except grpc.RpcError as error:
        return error.code()


# --- clients ----------------------------------------------------------------------------------------------------------


def client(name, target, identity, wanted, shows=True):
    app.take()
    caller = authority.MutualCaller(target.internal, identity, shows)
    code = tries(caller, callee=target.app_id, caller="py")
    caller.close()
    reached = len(app.take())
    good = code is None and reached == 1 if wanted is None else code in wanted and reached == 0
    counts["clients refused"] += wanted is not None and good
    claims.holds(f"client {name} → {target.app_id}", good, f"{code}, {reached} requests at the application")


def clients():
    refused = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNAUTHENTICATED)
    denied = (grpc.StatusCode.PERMISSION_DENIED,)
    client("that is right", back, ca.identity("py"), None)
    for target in (back, open_back):
        for name, make in FORGED.items():
            client(name, target, make("py"), refused)
        client("without a certificate", target, ca.identity("py"), refused, shows=False)
    for name, make in OTHERS.items():
        client(name, back, make("py"), denied)
        client(name, open_back, make("py"), None)
    for name, say in (("in plain text", remora.request_bytes("GET", "/x")), ("in plain HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")):
        connection = Connection(("127.0.0.1", back.internal_port))
        connection.send(say + b"\0\0\0\x04\0\0\0\0\0")
        try:
            said = connection.rest()
        except OSError:
            said = b""
        counts["clients refused"] += 1
        claims.holds(f"client {name}", b"HTTP/1.1 200" not in said and not app.take(), repr(said[:60]))
        connection.close()
    client("that is right, at the end", back, ca.identity("py"), None)


# --- servers ----------------------------------------------------------------------------------------------------------


def server(name, identity, is_good=False, asks=True):
    """A sidecar that says it is `py` in the resolver, and proves what `identity` proves."""
    one = authority.MutualPeer(identity)
    if not asks:
        one.context.verify_mode = 0
    net.register("py", one.address)
    try:
        reply = eventually(lambda: fresh(one), f"the new {name} is asked", 60)
        if is_good:
            good = reply.status == 200 and one.calls_local
        else:
            good = reply.status == 500 and reply.json["errorCode"] == "ERR_DIRECT_INVOKE" and not one.calls_local
        code = "" if is_good or (_prove.SHORT and name != "expired") else proxied(one)  # that takes three retries
        counts["servers refused"] += not is_good and bool(good)
        claims.holds(f"server {name}", good and code in ("", grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNAUTHENTICATED),
                     f"{reply.status} {'' if is_good else reply.json['message'][-120:]} {code}")  # fmt: skip
    finally:
        one.relay.end()
        one.stop()


def fresh(one):
    """An answer for which the new address has been tried: the resolver may still know the last one, where nobody listens."""
    reply = mesh.invoke(front, "py", "x", timeout=60)
    return reply if one.calls_local or b"connection refused" not in reply.body else None


def proxied(one):
    with grpc.insecure_channel(f"127.0.0.1:{front.grpc_port}", peer.OPTIONS) as channel:
        try:
            channel.unary_unary("/own.Svc/Do")(b"x", metadata=(("dapr-app-id", "py"),), timeout=15 * remora.SLOW)
        except grpc.RpcError as error:
            return error.code()
    return "answered" if one.received else ""


def servers():
    server("that is right", ca.identity("py"), is_good=True)
    wrong = {**FORGED, **OTHERS} if not _prove.SHORT else {name: {**FORGED, **OTHERS}[name] for name in (
        "expired", "not yet valid", "self-signed", "of an authority of the same name", "wrong trust domain", "other namespace",
        "other application", "without an id")}  # fmt: skip
    for name, make in wrong.items():
        server(name, make("py"))
    plain = peer.Peer()
    net.register("py", plain.address)
    reply = eventually(lambda: (r := mesh.invoke(front, "py", "x", timeout=60)).status == 500 and r, "plain is refused")
    claims.holds("server in plain text", not plain.calls_local and not plain.received, reply.json["message"][-120:])
    counts["servers refused"] += 1
    plain.stop()
    server("that is right, at the end", ca.identity("py"), is_good=True)


clients()
servers()
for one in (front, back, open_back):
    _prove.stop(one)
claims.end(", ".join(f"{count} {what}" for what, count in counts.items()) + "; the right ones served before and after")
