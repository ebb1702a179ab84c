# SPDX-License-Identifier: Apache-2.0
# timeout: 120
"""How the sidecar ends: signals, the shutdown API, requests in flight, the grace and block periods, and what may be
left behind. Numbers with § are sections of the behaviour that is matched."""

import os
import signal
import socket
import subprocess
import time

from remora import DEADLINE_S, REMORAD, SLOW, Cut, Folder, Sidecar, Store, call, children, component, equal, eventually, free_port
from remora import is_running, main, need, test

MEM = component("mem", "state.in-memory")
H2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"


PATIENT = ["--dapr-graceful-shutdown-seconds", "600"]  # longer than anybody waits here: the end is not that of the grace


def contains(text, *parts):
    for part in parts:
        need(part in text, f"no {part!r} in:\n{text[-3000:]}")


def answers(address):
    try:
        return call(address, "GET", "/v1.0/healthz").status == 204
    except (OSError, Cut):
        return False


@test("SIGTERM, SIGINT and the API end it with exit code 0", "§1 §10")
def graceful():
    for number, word in ((signal.SIGTERM, "terminated"), (signal.SIGINT, "interrupt")):
        sidecar = Sidecar(MEM, flags=PATIENT)
        idle = [sidecar.connect() for _ in range(5)]
        idle[0].send(b"GET /v1.0/hea")
        sidecar.signal(number)
        equal(sidecar.wait(), 0, "idle connections do not delay it")
        contains(sidecar.log(), f"Received signal '{word}'; beginning shutdown", "Daprd shutdown gracefully")
    sidecar = Sidecar(MEM)
    equal(sidecar.call("POST", "/v1.0/shutdown").status, 204)
    equal(sidecar.wait(), 0)
    contains(sidecar.log(), "Shutdown requested via API", "Daprd shutdown gracefully")


def h2_stream(path):
    """A connection preface and a request whose body never comes."""
    fields = {":method": "POST", ":scheme": "http", ":path": path, ":authority": "x", "content-type": "application/grpc"}
    block = b"".join(b"\0%c%s%c%s" % (len(n), n.encode(), len(v), v.encode()) for n, v in fields.items())
    return H2_PREFACE + len(block).to_bytes(3, "big") + b"\1\4\0\0\0\1" + block


@test("clients that are connected and have fallen silent do not hold up the end", "§10")
def silent_clients():
    for port, data in (
        ("port", b""),
        ("port", b"GET /v1.0"),
        ("port", b"POST /v1.0/state/mem HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n["),
        ("port", H2_PREFACE),
        ("port", h2_stream("/v1.0/state/mem")),
        ("grpc_port", H2_PREFACE[:10]),
        ("grpc_port", H2_PREFACE),
        ("grpc_port", h2_stream("/dapr.proto.runtime.v1.Dapr/GetState")),
    ):
        sidecar = Sidecar(MEM, flags=PATIENT)
        with socket.create_connection(("127.0.0.1", getattr(sidecar, port))) as client:
            client.sendall(data)
            equal(sidecar.healthz(), 204, "it has seen the client")
            equal(sidecar.stop(), 0, f"{port}, {data}")


@test("a forced shutdown ends it at once with exit code 1", "§10")
def forced():
    sidecar = Sidecar(MEM)
    try:
        sidecar.call("POST", "/v1.0/shutdown", headers=[("dapr-force-shutdown", "true")])
    except (Cut, OSError):
        pass  # it may be gone before the answer
    equal(sidecar.wait(), 1)
    contains(sidecar.log(), "Force shutdown requested, exiting immediately without graceful shutdown")


@test("a second signal ends it at once with exit code 1", "§1")
def second_signal():
    sidecar = Sidecar(MEM, flags=PATIENT)
    _, plugin = in_flight(sidecar)
    sidecar.signal(signal.SIGTERM)
    eventually(lambda: "beginning shutdown" in sidecar.log(), "it has heard the first")
    sidecar.signal(signal.SIGINT)
    equal(sidecar.wait(), 1)
    contains(sidecar.log(), "Received signal 'interrupt' during shutdown; exiting immediately", "level=fatal")
    eventually(lambda: not is_running(plugin), "the plugin is gone")
    left = [name for _, _, found in os.walk(sidecar.folder / "run") for name in found]
    equal(left, [], "nothing stays in the run directory")


@test("the log tells the end in the order and words of the reference", "§10")
def words():
    sidecar = Sidecar(MEM)
    equal(sidecar.stop(), 0)
    log, at = sidecar.log(), 0
    for line in (
        "Received signal 'terminated'; beginning shutdown",
        f"Closing HTTP server 127.0.0.1:{sidecar.port}…",
        "Dapr is shutting down",
        "Shutting down component mem (state.in-memory/v1)",
        "Dapr runtime stopped",
        "Daprd shutdown gracefully",
    ):
        need(f'msg="{line}"' in log[at:], f"{line!r}, in this order, in:\n{log[-3000:]}")
        at = log.index(f'msg="{line}"', at)


@test("SIGHUP does not end it", "§9")
def hangup():
    sidecar = Sidecar(MEM)
    sidecar.signal(signal.SIGHUP)
    eventually(lambda: "hangup" in sidecar.log(), "it is logged")
    equal(Store(sidecar, "mem").save("k", 1).status, 204)
    equal(sidecar.stop(), 0)


def in_flight(sidecar, name="mem"):
    """A connection whose request waits for a plugin that is stopped; and that plugin."""
    pid = sidecar.plugin_pid({"mem": "in-memory", "sqlt": "sqlite"}[name])
    os.kill(pid, signal.SIGSTOP)
    connection = sidecar.connect()
    connection.send(b"GET /v1.0/state/%s/k HTTP/1.1\r\nHost: x\r\n\r\n" % name.encode())
    equal(sidecar.healthz(), 204, "it has seen the request")
    return connection, pid


@test("requests in flight are answered before the end, new ones refused", "§10")
def drained():
    sidecar = Sidecar(MEM, flags=PATIENT)
    Store(sidecar, "mem").save("k", "v")
    connection, plugin = in_flight(sidecar)
    sidecar.signal(signal.SIGTERM)
    eventually(lambda: sidecar.healthz() == 0, "it takes no new connections")
    need(sidecar.is_alive(), "it waits")
    os.kill(plugin, signal.SIGCONT)
    reply = connection.reply()
    equal((reply.status, reply.text), (200, '"v"'))
    equal(sidecar.wait(), 0)


@test("what does not end in the grace period is cut, exit code 1", "§10")
def grace_over():
    for _ in range(5):  # a loaded machine may take longer, now and then
        sidecar = Sidecar(MEM, flags=["--dapr-graceful-shutdown-seconds", "1"])
        connection, plugin = in_flight(sidecar)
        started = time.monotonic()
        sidecar.signal(signal.SIGTERM)
        equal(sidecar.wait(), 1)
        seconds = time.monotonic() - started
        need(seconds > 0.9, f"after the grace period, not {seconds} s")
        if seconds < 3 * SLOW:
            break
    need(seconds < 3 * SLOW, f"right after the grace period, not {seconds} s")
    contains(sidecar.log(), "Graceful shutdown timeout exceeded, forcing shutdown")
    try:
        equal(connection.rest(), b"")
    except ConnectionResetError:
        pass
    eventually(lambda: not is_running(plugin), "the plugin is gone")


@test("with a block period the API goes on working after the signal", "§10")
def blocked():
    while_blocked(lambda flags: Sidecar(MEM, flags=flags))


def while_blocked(start):
    """Saves something meanwhile; a loaded machine may need a longer period for that."""
    for seconds in (1, 10, 50):
        sidecar = start(["--dapr-block-shutdown-duration", f"{seconds}s"])
        sidecar.signal(signal.SIGTERM)
        said = f"Blocking graceful shutdown for {seconds}s or until app reports unhealthy..."
        eventually(lambda: said in sidecar.log(), "it is logged")
        try:
            status = Store(sidecar, "mem").save("k", 1).status
        except (OSError, Cut):
            status = 0
        is_late = "Block shutdown period expired" in sidecar.log()
        equal(sidecar.wait(seconds + 15), 0)
        contains(sidecar.log(), "Block shutdown period expired, entering shutdown...")
        if status == 204 or not is_late:
            break
    equal(status, 204)


@test("the block period counts from the signal, also while components start", "§10")
def blocked_at_start():
    def start(flags):
        sidecar = Sidecar(MEM, flags=[*flags, "--app-port", str(free_port())], wait=False)
        eventually(lambda: sidecar.healthz("/v1.0/healthz/outbound") == 204, "the components are there")
        return sidecar

    while_blocked(start)


@test("stdout closes at the end and no process is left, however it ends", "§1 ARCH-3")
def nothing_left():
    for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGSEGV):
        folder = Folder()
        folder.write("r.yaml", MEM)
        os.mkdir(folder / "run")
        port = free_port()
        process = subprocess.Popen(
            [
                REMORAD,
                "--app-id",
                "shop",
                "--dapr-http-port",
                str(port),
                "--dapr-grpc-port",
                "0",
                "--metrics-port",
                "0",
                "--resources-path",
                folder.path,
                "--run-dir",
                folder / "run",
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        eventually(lambda: answers(("127.0.0.1", port)), "it is ready")
        plugins = [child for shim in children(process.pid) for child in [shim, *children(shim)]]
        need(plugins, "there are plugins")
        process.send_signal(number)
        os.set_blocking(process.stdout.fileno(), True)
        process.stdout.read()  # until all who hold it have closed it
        code = process.wait(DEADLINE_S)
        need(code in (0, -number, 1, 66), f"exit code {code}")  # 1 and 66 are what sanitizers make of SIGSEGV
        eventually(lambda: not any(map(is_running, plugins)), "all plugins are gone")
        sidecar = Sidecar(MEM, folder=folder)
        equal(Store(sidecar, "mem").save("k", 1).status, 204, "the next start is clean")
        equal(sidecar.stop(), 0)
        left = [name for _, _, found in os.walk(folder / "run") for name in found]
        equal(left, [], "nothing stays in the run directory")


if __name__ == "__main__":
    main()
