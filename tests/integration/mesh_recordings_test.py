# SPDX-License-Identifier: Apache-2.0
# timeout: 180
"""Exchanges of recordings/invoke.json between two sidecars, replayed between two of ours as they were recorded: on one host
with one address, found by mDNS, in a network of its own; where there is none, by a file. Everything that reached the
application and the client is compared, and what differs on purpose is a row of DIFFERENCES here or in the library."""

import os
import signal

import sdk  # noqa: F401  isort: skip

import authority
import invoke_recordings
import mesh
import netns
import remora
from http_app import App
from invoke_recordings import DIFFERENCES, check, check_response, compare, counts, entries, replay, serve
from remora import Skip, equal, eventually, main, need, test

OTHER_DOWN = {"callee app down", "callee app down POST chunked", "callee sidecar stopped", "callee sidecar stopped again"}
# What depends on who looks names up.
BY_MDNS = {"dapr-app-id unknown", "app id upper", "app id with space", "unknown app", "dapr headers from client"}
HOST_IP = "10.77.0.1"
MDNS = os.path.join(remora.BUILD, "plugins", "mdns")


def forged(response, request):
    """No token but its own reaches the application, and who calls is not what a client says."""
    dropped = {"Dapr-Api-Token"}
    return response, {**request, "headers": [h for h in request["headers"] if h[0] not in dropped and h[1] != "evil"]}


def looked_up(response, request):
    """A dead address is looked up anew, and mDNS then finds nobody; the recorded sidecar went on trying it."""
    return {**response, "body": None}, request


# As the recorded sidecars: a deadline of gRPC that a client of HTTP names goes on under another name.
DIFFERENCES[:] = [("dapr headers from client, without dapr-app-id", "identity is not forged", forged),
                  ("callee sidecar stopped( again)?", "a dead address is looked up anew", looked_up),
                  *[row for row in DIFFERENCES if row[0] != "dapr headers from client, without dapr-app-id"]]  # fmt: skip
TOKENS = {"APP_API_TOKEN": "apptok", "DAPR_API_TOKEN": "dtok", "NAMESPACE": "prod"}


class Mesh(invoke_recordings.Setup):
    is_mesh = True

    def __init__(self, certificates=None, env=None):
        self.env = {"PATH": os.environ["PATH"], **(env or {})}
        try:
            self.machine = netns.Network(1, families=(4,)).machines[0]
            self.enter, self.inside = self.machine.enter, self.machine.inside
            if certificates or not os.path.isdir(MDNS):
                raise Skip("the authority is outside, or there is no mDNS")
        except Skip:
            self.machine, self.enter, self.inside = None, None, lambda function, *words, **more: function(*words, **more)
            self.env["DAPR_HOST_IP"] = HOST_IP
        self.left_out = OTHER_DOWN | (set() if self.machine else BY_MDNS)
        self.mesh = mesh.Mesh(certificates, None if self.machine else "sqlite")
        self.app = self.inside(App, serve)
        self.back = self.start("back", app=self.app)
        self.sidecar = self.start("front")
        host = HOST_IP if self.machine else "127.0.0.1"
        self.values = {"<HOST_IP>:<B_INTERNAL_PORT>": f"{host}:{self.back.internal_port}", "<HOST_IP>": HOST_IP,
                       "<HOST>": os.uname().nodename}  # fmt: skip
        self.inside(eventually, lambda: mesh.invoke(self.sidecar, "back", "ready", headers=self.token()).status < 500,
                    "back is found")  # fmt: skip

    def token(self):
        return [("dapr-api-token", "dtok")] if "DAPR_API_TOKEN" in self.env else []

    def start(self, app_id, **more):
        env = dict(self.env) if app_id == "back" else {k: v for k, v in self.env.items() if k != "APP_API_TOKEN"}
        made = self.mesh.sidecar(app_id, env=env, wait=False, preexec_fn=self.enter, loopback=self.machine is None, **more)
        self.inside(made.wait_ready)
        return made

    def replay(self, name):
        self.app.take()
        self.inside(replay, name, self)

    def end(self):
        for one in (self.sidecar, self.back):
            one.stop()
        self.app.stop()


@test("recorded invocations between two sidecars are answered as recorded", "INV-10 INV-12 INV-16 INV-17 INV-20 INV-22")
def plain():
    bed = Mesh()
    bed.replay("I")
    bad = bed.inside(downs, bed)
    equal(bad, [])
    bed.end()


def vanish(sidecar):
    """Without a goodbye, which even its plugin would say for it: then it would not be found, and the recorded one was."""
    groups = [plugin["group"] for plugin in sidecar.plugins().values()]
    sidecar.signal(signal.SIGSTOP)
    for group in groups:
        os.killpg(group, signal.SIGKILL)
    sidecar.kill()


def downs(bed):
    """The application goes, then its sidecar does."""
    bed.app.stop()
    bad = []
    for entry in entries():
        if entry["setup"] != "I" or entry["name"] not in OTHER_DOWN:
            continue
        if entry["name"] == "callee sidecar stopped":
            vanish(bed.back)
        bad += check(bed, entry)
    return bad


@test("they are with mutual TLS", "INV-53")
def mutual():
    bed = Mesh(authority.Authority("ecdsa"))
    bed.left_out |= {"app id with other namespace"}
    bed.replay("I")
    reply = mesh.invoke(bed.sidecar, "back.zz", "x")
    equal(reply.status, 500)
    need("tls: failed to verify certificate" in reply.json["message"], "its certificate says another namespace")
    equal(bed.app.take(), [])
    bed.end()


@test("they are with tokens and a namespace", "INV-26 §7")
def with_tokens():
    bed = Mesh(env=TOKENS)
    asked = next(entry for entry in entries() if entry["name"].startswith("start requests"))["received"]["app"][0]
    problems = []
    wanted = [(n.lower(), v) for n, v in asked["headers"] if n not in ("Host", "User-Agent", "Accept-Encoding")]
    compare(wanted, [(n.lower(), v) for n, v in bed.app.asked[0].headers if n != "Host"], "application", problems)
    equal(problems, [])
    bed.left_out |= {"self with token"}
    bed.replay("IT")
    bed.end()


@test("enough was compared", "INV-12")
def all_compared():
    entries()  # without them nothing was
    print("  " + ", ".join(f"{count} {what}" for what, count in counts.items()))
    equal(counts["unexplained"], 0)
    need(counts["same"] >= 2 * 95, "most are the same")


if __name__ == "__main__":
    main()
