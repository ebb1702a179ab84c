# SPDX-License-Identifier: Apache-2.0
# timeout: 120
"""gRPC calls of the application's own services through the sidecar, with official grpcio at both ends: all kinds of
calls, metadata, deadlines, cancelling, errors, large messages, an application that comes and goes."""

import sdk  # noqa: F401  isort: skip

import re
import signal
import threading

import grpc
import grpc_app
import http_app
from remora import DEADLINE_S, SLOW, Sidecar, equal, eventually, main, need, test

APP = grpc_app.App()
SIDECAR = Sidecar(app_id="own", flags=["--app-port", str(APP.port), "--app-protocol", "grpc"])
TO_OWN = (("dapr-app-id", "own"),)
SVC = "/own.Svc/"
PATIENCE_S = DEADLINE_S


def channel(sidecar=SIDECAR, **options):
    return grpc.insecure_channel(
        f"127.0.0.1:{sidecar.grpc_port}",
        options=[("grpc.max_receive_message_length", 64 << 20), ("grpc.use_local_subchannel_pool", 1)],
        **options,
    )


CHANNEL = channel()


def do(method="Do", message=b"m", metadata=TO_OWN, timeout=PATIENCE_S, on=None):
    return (on or CHANNEL).unary_unary(SVC + method)(message, metadata=metadata, timeout=timeout)


def refused(function):
    try:
        function()
    except grpc.RpcError as error:
        return error
    raise AssertionError("it was not refused")


@test("a unary call arrives and returns with metadata of both ends", "INV-31 INV-32 GRPC-PROXY")
def _():
    metadata = (*TO_OWN, ("x-me", "1"), ("x-me", "2"), ("x-b-bin", b"\0\1\xff"), ("dapr-foo", "1"),
                ("dapr-caller-app-id", "evil"), ("dapr-api-token", "secret"))
    answer, call = CHANNEL.unary_unary(SVC + "Do").with_call(b"\x0a\x01x", metadata=metadata, timeout=PATIENCE_S)
    equal(answer, b"\x0a\x01x")
    equal([p for p in call.initial_metadata() if p[0] in ("x-init", "x-init-bin", "date")],
          [("x-init", "i1"), ("x-init-bin", b"\0\xff")])
    equal([tuple(p) for p in call.trailing_metadata()], [("x-trail", "t1"), ("x-trail-bin", b"\1\2")])
    got = APP.calls(SVC + "Do")[-1]
    equal(got.values("x-me"), ["1", "2"])
    equal(got.values("x-b-bin"), [b"\0\1\xff"])
    equal(got.values("dapr-foo"), ["1"])
    equal(got.values("dapr-app-id"), [])
    equal(got.values("dapr-api-token"), [])
    equal((got.values("dapr-caller-app-id"), got.values("dapr-callee-app-id")), (["own"], ["own"]))
    equal(got.values("dapr-caller-namespace"), ["default"])
    need(got.has_deadline, "the deadline is known to the application")


@test("all kinds of streaming calls pass", "INV-31 INV-33 GRPC-PROXY")
def _():
    metadata = (*TO_OWN, ("dapr-stream", "true"))
    equal(CHANNEL.stream_unary(SVC + "Join")(iter([b"a", b"b", b"c"]), metadata=metadata, timeout=PATIENCE_S), b"abc")
    equal(list(CHANNEL.unary_stream(SVC + "Split")(b"xyz", metadata=metadata, timeout=PATIENCE_S)), [b"x", b"y", b"z"])
    words = [b"%d" % i for i in range(200)]
    equal(list(CHANNEL.stream_stream(SVC + "Chat")(iter(words), metadata=metadata, timeout=PATIENCE_S)),
          [word + b"!" for word in words])
    equal(APP.calls(SVC + "Chat")[-1].values("dapr-stream"), ["true"])
    equal(list(CHANNEL.unary_stream(SVC + "Split")(b"", metadata=metadata, timeout=PATIENCE_S)), [])
    equal(CHANNEL.stream_unary(SVC + "Join")(iter([]), metadata=metadata, timeout=PATIENCE_S), b"")


@test("a conversation goes back and forth message by message", "INV-31 GRPC-PROXY")
def _():
    turn = threading.Semaphore(1)

    def say():
        for i in range(20):
            turn.acquire()
            yield b"%d" % i

    got = []
    for answer in CHANNEL.stream_stream(SVC + "Chat")(say(), metadata=TO_OWN, timeout=PATIENCE_S):
        got.append(answer)
        turn.release()
    equal(got, [b"%d!" % i for i in range(20)])


@test("errors pass unchanged with their details and trailers", "INV-31 GRPC-PROXY")
def _():
    error = refused(lambda: do("Fail"))
    equal((error.code(), error.details()), (grpc.StatusCode.ALREADY_EXISTS, "doppelt: äöü % \n"))
    equal([tuple(p) for p in error.trailing_metadata()], [("x-trail", "t2")])
    error = refused(lambda: do("Rich"))
    equal((error.code(), error.details()), (grpc.StatusCode.FAILED_PRECONDITION, "rich one"))
    need(any(name == "grpc-status-details-bin" for name, _ in error.trailing_metadata()), error.trailing_metadata())
    error = refused(lambda: do("Kaboom"))
    equal((error.code(), error.details()), (grpc.StatusCode.UNKNOWN, "Exception calling application: kaboom"))
    error = refused(lambda: CHANNEL.unary_unary("/other.Svc/Do")(b"", metadata=TO_OWN, timeout=PATIENCE_S))
    equal(error.code(), grpc.StatusCode.UNIMPLEMENTED)
    error = refused(lambda: CHANNEL.stream_unary(SVC + "Early")(
        (b"x" * 1000 for _ in range(100000)), metadata=TO_OWN, timeout=PATIENCE_S))
    equal((error.code(), error.details()), (grpc.StatusCode.RESOURCE_EXHAUSTED, "enough"))


@test("targets that are nobody's are refused", "GRPC-PROXY")
def _():
    error = refused(lambda: do(metadata=()))
    equal((error.code(), error.details()),
          (grpc.StatusCode.UNKNOWN, "cannot proxy request: missing dapr-callee-app-id or dapr-app-id metadata"))
    error = refused(lambda: do(metadata=(("dapr-app-id", "nobody"),)))
    equal((error.code(), error.details()), (grpc.StatusCode.UNKNOWN, "couldn't find service: nobody"))
    equal(do(metadata=(("dapr-callee-app-id", "own"),)), b"m")
    equal(do(metadata=(("dapr-app-id", "own.default"),)), b"m")


@test("a deadline ends the call at both ends", "INV-35 GRPC-PROXY")
def _():
    def arrives():
        """Not if the machine stands still for so long."""
        error = refused(lambda: do("Sleepless", timeout=0.5))
        equal(error.code(), grpc.StatusCode.DEADLINE_EXCEEDED)
        return APP.calls(SVC + "Sleepless")

    got = eventually(arrives, "the application is asked")[-1]
    need(got.has_deadline and got.left_s <= 0.6, got.left_s)
    need(got.was_cancelled.wait(DEADLINE_S), "the application is told")


@test("a client that cancels is cancelled at the application", "GRPC-PROXY")
def _():
    call = CHANNEL.unary_unary(SVC + "Sleepless").future(b"", metadata=(*TO_OWN, ("x-leaver", "1")))
    leavers = lambda: [one for one in APP.calls(SVC + "Sleepless") if one.values("x-leaver")]  # noqa: E731
    eventually(leavers, "it arrives")
    need(not leavers()[0].was_cancelled.is_set(), "it is under way")
    call.cancel()
    need(leavers()[0].was_cancelled.wait(DEADLINE_S), "the application is told")
    stream = CHANNEL.unary_stream(SVC + "Endless")(b"", metadata=TO_OWN)
    for _ in range(100):
        next(stream)
    stream.cancel()
    need(APP.calls(SVC + "Endless")[-1].was_cancelled.wait(DEADLINE_S), "the application is told")
    own = channel()
    stream = own.unary_stream(SVC + "Endless")(b"", metadata=TO_OWN)
    next(stream)
    own.close()
    need(APP.calls(SVC + "Endless")[-1].was_cancelled.wait(DEADLINE_S), "a vanished client is noticed")
    equal(do(), b"m")


@test("large messages pass in both directions", "GRPC-PROXY")
def _():
    message = bytes(range(256)) * (40 * 4096)  # 40 MiB: beyond any buffer, and beyond --max-body-size
    equal(do(message=message) == message, True)
    pieces = [bytes([i]) * (1 << 20) for i in range(16)]
    equal(list(CHANNEL.stream_stream(SVC + "Chat")(iter(pieces), metadata=TO_OWN, timeout=PATIENCE_S)) ==
          [piece + b"!" for piece in pieces], True)


def resident_kib(pid):
    with open(f"/proc/{pid}/status") as f:
        return int(re.search(r"^VmRSS:\s+(\d+) kB", f.read(), re.M).group(1))


@test("clients that do not read hold the application up, and little memory", "GRPC-PROXY")
def _():
    before = resident_kib(SIDECAR.pid)
    slow = channel()
    streams = [slow.unary_stream(SVC + "Endless")(b"", metadata=TO_OWN) for _ in range(20)]
    for stream in streams:
        next(stream)
    seen = [0]

    def stands_still():
        was, seen[0] = seen[0], APP.produced
        if was != seen[0]:
            seen[1:] = []
        seen.append(None)
        return len(seen) > 60

    eventually(stands_still, "the application is held up")
    equal(do(), b"m")
    grown = resident_kib(SIDECAR.pid) - before
    need(SLOW > 1 or grown < 32 * 1024, f"{grown} KiB more")
    for stream in streams:
        for _ in range(200):
            next(stream)
        stream.cancel()
    equal(do(), b"m")


@test("many calls of many clients at a time", "GRPC-PROXY")
def _():
    failures = []

    def run(number):
        try:
            own = channel()
            for i in range(100):
                message = b"%d-%d" % (number, i) * (1 + i * number)
                equal(do(message=message, on=own) == message, True)
        except Exception as error:  # shown below
            failures.append(error)

    threads = [threading.Thread(target=run, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    equal(failures, [])


@test("compressed messages pass untouched", "GRPC-PROXY")
def _():
    own = channel(compression=grpc.Compression.Gzip)
    equal(do(message=b"z" * 1000000, on=own), b"z" * 1000000)


@test("cancelling much does not disturb the others", "GRPC-PROXY")
def _():
    stop = threading.Event()
    failures = []

    def innocent():
        own = channel()
        while not stop.is_set():
            try:
                equal(do(on=own), b"m")
            except Exception as error:  # shown below
                failures.append(error)
                return

    thread = threading.Thread(target=innocent)
    thread.start()
    for _ in range(20):
        own = channel()
        calls = [own.unary_unary(SVC + "Sleepless").future(b"", metadata=TO_OWN) for _ in range(50)]
        for call in calls:
            call.cancel()
        own.close()
    stop.set()
    thread.join()
    equal(failures, [])
    equal(do(), b"m")


@test("an application that was not declared as gRPC is reached too", "INV-36 GRPC-PROXY")
def _():
    sidecar = Sidecar(app_id="own", flags=["--app-port", str(APP.port), "--disable-init-endpoints", "config,subscribe"])
    own = channel(sidecar)
    equal(do(on=own), b"m")
    equal(sidecar.stop(), 0)


@test("an application with TLS is reached, whatever its certificate", "INV-42 INV-43 GRPC-PROXY")
def _():
    app = grpc_app.App(tls=http_app.certificate())
    sidecar = Sidecar(app_id="own", flags=["--app-port", str(app.port), "--app-protocol", "grpcs"])
    own = channel(sidecar)
    equal(do(on=own, message=b"t" * 300000), b"t" * 300000)
    equal(list(own.stream_stream(SVC + "Chat")(iter([b"1", b"2"]), metadata=TO_OWN, timeout=PATIENCE_S)), [b"1!", b"2!"])
    equal(sidecar.stop(), 0)
    app.stop()


@test("tokens: the application's is sent, the caller's is not", "INV-U07 GRPC-PROXY")
def _():
    sidecar = Sidecar(app_id="own", flags=["--app-port", str(APP.port), "--app-protocol", "grpc"],
                      env={"APP_API_TOKEN": "apptok", "DAPR_API_TOKEN": "dtok"})
    own = channel(sidecar)
    error = refused(lambda: do(on=own))
    equal((error.code(), error.details()), (grpc.StatusCode.UNAUTHENTICATED, "Unauthorized"))
    equal(do(metadata=(*TO_OWN, ("dapr-api-token", "dtok")), on=own), b"m")
    equal(APP.calls(SVC + "Do")[-1].values("dapr-api-token"), ["apptok"])
    equal(sidecar.stop(), 0)


@test("an application that restarts is found again, and no call hangs", "GRPC-PROXY")
def _():
    app = grpc_app.App()
    sidecar = Sidecar(app_id="own", flags=["--app-port", str(app.port), "--app-protocol", "grpc"])
    own = channel(sidecar)
    equal(do(on=own), b"m")
    held = own.unary_unary(SVC + "Hold").future(b"", metadata=TO_OWN)
    eventually(lambda: app.calls(SVC + "Hold"), "it arrives")
    app.stop()
    equal(held.exception(PATIENCE_S).code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED), True)

    def nobody_listens():
        """The port may be held for a moment longer than connections."""
        error = refused(lambda: do(on=own))
        equal(error.code(), grpc.StatusCode.UNAVAILABLE)
        return "connection refused" in error.details()

    eventually(nobody_listens, "the connection is refused")
    app.release.set()
    app.start()
    for _ in range(20):
        equal(do(on=own), b"m")
    equal(sidecar.stop(), 0)
    app.stop()


@test("the application's limit of streams is queued for", "GRPC-PROXY")
def _():
    app = grpc_app.App(options=[("grpc.max_concurrent_streams", 5)])
    sidecar = Sidecar(app_id="own", flags=["--app-port", str(app.port), "--app-protocol", "grpc"])
    own = channel(sidecar)
    calls = [own.unary_unary(SVC + "Hold").future(b"%d" % i, metadata=TO_OWN) for i in range(150)]
    eventually(lambda: len(app.calls(SVC + "Hold")) == 5, "five arrive")
    app.release.set()
    equal([call.result(PATIENCE_S) for call in calls], [b"%d" % i for i in range(150)])
    equal(sidecar.stop(), 0)
    app.stop()


@test("the bound of calls at a time holds for proxied ones", "GRPC-PROXY")
def _():
    app = grpc_app.App()
    sidecar = Sidecar(app_id="own", flags=["--app-port", str(app.port), "--app-protocol", "grpc",
                                           "--app-max-concurrency", "3"])
    own = channel(sidecar)
    calls = [own.unary_unary(SVC + "Hold").future(b"", metadata=TO_OWN) for _ in range(10)]
    eventually(lambda: len(app.calls(SVC + "Hold")) == 3, "three arrive")
    error = refused(lambda: do(on=own, timeout=0.3))
    equal(error.code(), grpc.StatusCode.DEADLINE_EXCEEDED)
    for call in calls[3:]:
        call.cancel()
    app.release.set()
    for call in calls[:3]:
        call.result(PATIENCE_S)
    equal(do(on=own), b"m")
    equal(sidecar.stop(), 0)
    app.stop()


@test("a server that speaks no HTTP/2 gives an error, not silence", "GRPC-PROXY")
def _():
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listener:
        stop = threading.Event()

        def serve():
            listener.settimeout(0.1)
            while not stop.is_set():
                try:
                    connection, _ = listener.accept()
                except OSError:
                    continue
                with connection:
                    connection.settimeout(1)
                    try:
                        connection.recv(100)
                        connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
                    except OSError:
                        pass

        thread = threading.Thread(target=serve)
        thread.start()
        port = listener.getsockname()[1]
        sidecar = Sidecar(app_id="own", flags=["--app-port", str(port), "--disable-init-endpoints", "config,subscribe"])
        error = refused(lambda: do(on=channel(sidecar)))
        equal(error.code(), grpc.StatusCode.UNAVAILABLE)
        stop.set()
        thread.join()
        equal(sidecar.stop(), 0)


@test("calls under way end before the sidecar does", "GRPC-PROXY GRPC-DRAIN")
def _():
    call = CHANNEL.unary_unary(SVC + "Hold").future(b"last", metadata=TO_OWN)
    eventually(lambda: APP.calls(SVC + "Hold"), "it arrives")
    SIDECAR.signal(signal.SIGTERM)
    eventually(lambda: "beginning shutdown" in SIDECAR.log(), "it is told")
    APP.release.set()
    equal(call.result(PATIENCE_S), b"last")
    equal(SIDECAR.wait(), 0)
    APP.stop()


main()
