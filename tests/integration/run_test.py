# SPDX-License-Identifier: Apache-2.0
"""`remora run` with real sidecars and real programs beside them: the command line, environment, output, signals, and
that nothing is left behind.
timeout: 170"""
import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys

from launcher import REMORA, Bed, family
from remora import (SLOW, call, component, equal, eventually, free_port, is_running, main, need, test)

SHOW = ["printenv", "APP_ID"]
QUIET = ["--log-level", "error"]


def gone(pids, what):
    eventually(lambda: not any(is_running(pid) for pid in pids), f"{what} is gone")


def python(bed, name, text):
    """A program of the test's own, to be run with this interpreter."""
    with open(os.path.join(bed.work, name), "w") as f:
        f.write(text)
    return [sys.executable, "-u", name]


# --- the command line -------------------------------------------------------------------------------------------------


@test("flags and the command are told apart in every way the reference allows", "GEN-09 GEN-10 GEN-11 GEN-13 XC-01 XC-02")
def forms():
    bed = Bed()
    for words in (["run", "--app-id", "shop", "--", *SHOW], ["run", "--app-id=shop", *SHOW],
                  ["run", "-a", "shop", "--", "--", *SHOW], ["run", "-ashop", *SHOW], ["run", "-a=shop", *SHOW],
                  ["--app-id", "shop", "run", *SHOW], ["--app-id=shop", "run", "--", *SHOW],
                  ["-a", "shop", "--enable-api-logging", "run", "--log-level", "error", "--", *SHOW],
                  ["run", "--app-id", "run", "--app-id", "shop", "--enable-metrics=false", *SHOW],
                  ["run", "--app-id", "shop", "sh", "-c", 'test "$*" = "--app-id other -- x" && printenv APP_ID', "sh",
                   "--app-id", "other", "--", "x"]):
        code, out, err = bed.do(*words)
        equal((code, err), (0, ""), words)
        need("== APP == shop\n" in out, f"{words}: {out}")
        need("Starting Dapr with id shop. HTTP Port: " in out, out)
        need("You're up and running! Both Dapr and your app logs will appear here." in out, out)


@test("flags are the sidecar's, and the application hears of ports, id and protocol", "GEN-02 GEN-03 GEN-04 GEN-05 GEN-07 GEN-15")
def environment():
    bed = Bed()
    http, grpc, metrics, app = (free_port() for _ in range(4))
    words = ["-p", app, "-H", http, "-G", grpc, "-M", metrics, "-P", "grpc"]
    server = python(bed, "app.py", f"""
import os, socket
for name in ("APP_ID", "APP_PORT", "APP_PROTOCOL", "APP_CHANNEL_ADDRESS", "DAPR_HTTP_PORT", "DAPR_GRPC_PORT",
             "DAPR_METRICS_PORT", "MINE"):
    print(name, os.environ.get(name))
server = socket.create_server(("127.0.0.1", {app}))
while True:
    server.accept()
""")
    launcher = bed.start("run", "-a", "shop", *map(str, words), "--", *server, env={"MINE": "too"})
    launcher.has_said("MINE too")
    equal(launcher.app_lines(), ["APP_ID shop", f"APP_PORT {app}", "APP_PROTOCOL grpc", "APP_CHANNEL_ADDRESS 127.0.0.1",
                                 f"DAPR_HTTP_PORT {http}", f"DAPR_GRPC_PORT {grpc}", f"DAPR_METRICS_PORT {metrics}",
                                 "MINE too"])
    eventually(lambda: call(("127.0.0.1", http), "GET", "/v1.0/healthz").status == 204, "ready with its app")
    need(b"process_" in call(("127.0.0.1", metrics), "GET", "/metrics").body, "metrics")
    socket.create_connection(("127.0.0.1", grpc)).close()
    equal(call(("127.0.0.1", http), "GET", "/v1.0/metadata").json["id"], "shop")
    launcher.signal(signal.SIGTERM)
    equal(launcher.wait(), 0)


@test("without a command the sidecar runs alone, with an id of its own", "GEN-12 GEN-14 XC-03 PUB-19")
def alone():
    bed = Bed()
    launcher = bed.start("run").up("You're up and running! Dapr logs will appear here.")
    need("no application command found" in launcher.log(), launcher.log())
    (one,) = bed.list()
    need(re.fullmatch(r"app-[0-9a-f]{8}", one["appId"]), one)
    address = ("127.0.0.1", one["httpPort"])
    equal(call(address, "POST", "/v1.0/state/statestore", [{"key": "k", "value": 1}]).status, 204)
    eventually(lambda: call(address, "GET", "/v1.0/metadata").json.get("extended", {}).get("cliPID") == str(launcher.pid),
               "the sidecar knows its launcher")
    pids = family(launcher.pid)
    launcher.signal(signal.SIGINT)
    equal(launcher.wait(), 0)
    gone(pids, "the sidecar")


@test("what makes no sense is said before anything starts", "XC-01")
def nonsense():
    bed = Bed()
    bed.do("init")
    with open(os.path.join(bed.work, "data"), "w"):
        pass
    for words, text in ((["run", "--nonsense"], "unknown flag: --nonsense"), (["run", "-Z"], "unknown flag: -Z"),
                        (["--nonsense", "run"], "unknown flag"), (["run", "--app-id"], "flag needs an argument: --app-id"),
                        (["run", "--app-port", "many", "--", "true"], "app-port"),
                        (["run", "--log-level", "loud"], "loud"), (["run", "--app-protocol", "smtp"], "smtp"),
                        (["run", "-k"], "--kubernetes"), (["run", "--enable-metrics=perhaps"], "enable-metrics"),
                        (["run", "--version"], "remorad"), (["run", "-f", "x.yaml", "--app-id", "a"], "--app-id"),
                        (["run", "-f", "x.yaml", "true"], "true"), (["init", "more"], "more"), (["list", "-o", "xml"], "-o"),
                        (["stop"], "app ids"), (["invoke", "--app-id", "a"], "--method"), (["publish"], "--publish-app-id"),
                        (["invoke", "-a", "x", "-m", "y", "-v", "G T"], "verb")):
        code, out, err = bed.do(*words)
        equal((code, out), (2, ""), words)
        need(err.startswith("remora: ") and text in err, f"{words}: {err}")
    for words, code in ((["run", "--", "no-such-program"], 127), (["run", "--", "./data"], 126),
                        (["run", "-f", "none.yaml"], 1), (["stop", "nobody-here"], 1), (["invoke", "-a", "nobody-here", "-m", "y"], 1)):
        got, out, err = bed.do(*words)
        equal((got, out), (code, ""), words)
        need(err.startswith("remora: ") and err.count("\n") == 1, f"{words}: {err}")


@test("a port that is taken ends the sidecar and with it the launcher")
def taken():
    bed = Bed()
    with socket.create_server(("", 0)) as server:
        code, out, err = bed.do("run", "--dapr-http-port", str(server.getsockname()[1]), "--", "echo", "started")
    equal(code, 1, out)
    need("started" not in out, "the application was not started")
    need(re.search(r"address already in use", out), out)


@test("several at once choose ports of their own, the well-known ones first", "GEN-01")
def ports():
    beds = [Bed() for _ in range(4)]
    launchers = [bed.start("run", *QUIET, "--app-id", f"a{i}") for i, bed in enumerate(beds)]
    for launcher in launchers:
        launcher.up()
    taken_ports = [(one["httpPort"], one["grpcPort"]) for bed in beds for one in bed.list()]
    equal(len(set(port for pair in taken_ports for port in pair)), 8)
    for http, _ in taken_ports:
        equal(call(("127.0.0.1", http), "GET", "/v1.0/healthz").status, 204)
    for launcher in launchers:
        launcher.signal(signal.SIGTERM)
    equal([launcher.wait() for launcher in launchers], [0] * 4)


@test("Unix sockets instead of ports")
def unix_sockets():
    bed = Bed()
    sockets = bed.folder / "s"
    os.mkdir(sockets)
    launcher = bed.start("run", "-a", "shop", "-u", sockets, "--", "sh", "-c", "printenv DAPR_HTTP_PORT; cat; sleep 600")
    launcher.up()
    need(f"HTTP Socket: {sockets}/dapr-shop-http.socket. gRPC Socket: {sockets}/dapr-shop-grpc.socket." in launcher.log(),
         launcher.log())
    equal(call(f"{sockets}/dapr-shop-http.socket", "GET", "/v1.0/healthz").status, 204)
    equal(launcher.app_lines(), [])
    one = bed.sidecar("shop")
    equal((one["httpPort"], one["unixDomainSocket"]), (0, f"{sockets}/dapr-shop-http.socket"))
    equal(bed.look("stop", "shop")[0], 0)
    equal(launcher.wait(), 0)


# --- ends -------------------------------------------------------------------------------------------------------------


@test("the exit code is the application's, and the sidecar ends with it", "XC-16")
def codes():
    bed = Bed()
    for script, code in (("exit 0", 0), ("exit 3", 3), ("kill -9 $$", 137), ("kill -TERM $$", 143)):
        got, out, err = bed.do("run", *QUIET, "--", "sh", "-c", script)
        equal((got, err), (code, ""), script)
        equal(bed.list(), [])
        need("Exited Dapr successfully" in out, out)


@test("when the sidecar dies, the application is stopped")
def sidecar_dies():
    bed = Bed()
    launcher = bed.start("run", *QUIET, "-a", "shop", "--", "sh", "-c", "trap 'echo told; exit 0' TERM; echo here; "
                         "while :; do sleep 0.1; done").has_said("here")
    pids = family(launcher.pid)
    os.kill(bed.sidecar("shop")["daprdPid"], signal.SIGKILL)
    equal(launcher.wait(), 137)
    equal(launcher.app_lines()[-1], "told")
    gone(pids, "everything")


@test("an application that asks its sidecar to end is stopped in order")
def shutdown_api():
    bed = Bed()
    launcher = bed.start("run", *QUIET, "-a", "shop", "--", "sleep", "600").up()
    address = ("127.0.0.1", bed.sidecar("shop")["httpPort"])
    equal(call(address, "POST", "/v1.0/shutdown").status, 204)
    equal(launcher.wait(), 0)


SAVER = """
import os, signal, sys, urllib.request
def save(number, frame):
    url = f"http://127.0.0.1:{os.environ['DAPR_HTTP_PORT']}/v1.0/state/statestore"
    body = f'[{{"key": "last", "value": {number}}}]'.encode()
    urllib.request.urlopen(urllib.request.Request(url, body, {"Content-Type": "application/json"})).close()
    print("saved", number)
    sys.exit(0)
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, save)
print("here")
while True:
    signal.pause()
"""


@test("a signal ends the application first, which can still use its sidecar", "GEN-24")
def order():
    bed = Bed()
    app = python(bed, "saver.py", SAVER)
    for number, heard in ((signal.SIGINT, 2), (signal.SIGTERM, 15), (signal.SIGHUP, 15)):
        launcher = bed.start("run", *QUIET, "-a", "shop", "--", *app).has_said("here")
        pids = family(launcher.pid)
        launcher.signal(number)
        equal(launcher.wait(), 0, launcher.log())
        equal(launcher.app_lines(), ["here", f"saved {heard}"])
        gone(pids, "everything")
        launcher = bed.start("run", *QUIET, "-a", "shop").up()
        address = ("127.0.0.1", bed.sidecar("shop")["httpPort"])
        equal(call(address, "GET", "/v1.0/state/statestore/last").body, str(heard).encode())
        launcher.signal(signal.SIGTERM)
        equal(launcher.wait(), 0)


@test("a second signal kills what does not want to end")
def impatient():
    bed = Bed()
    launcher = bed.start("run", *QUIET, "--", "sh", "-c", "trap 'echo no' TERM; echo here; while :; do sleep 0.1; done")
    launcher.has_said("here")
    pids = family(launcher.pid)
    launcher.signal(signal.SIGTERM)
    launcher.has_said("no")
    launcher.signal(signal.SIGTERM)
    equal(launcher.wait(), 137)
    gone(pids, "everything")


RUNAWAY = ["sh", "-c", "setsid sleep 600 & (sleep 600 &) ; echo here; exec sleep 601"]


@test("nothing outlives the launcher, though it is killed and what was started has run away")
def launcher_killed():
    bed = Bed()
    launcher = bed.start("run", "-a", "shop", "--", *RUNAWAY).has_said("here")
    bed.sidecar("shop")
    pids = eventually(lambda: (found := family(launcher.pid)) and len(found) >= 8 and found,
                      "sidecar, plugin, application and their keepers")
    launcher.kill()
    gone(pids, "everything")


@test("what an application leaves running ends with it")
def leftovers():
    bed = Bed()
    os.mkfifo(os.path.join(bed.work, "fifo"))
    launcher = bed.start("run", *QUIET, "--", "sh", "-c", "setsid sleep 600 & echo $!; echo here; read x < fifo; exit 5")
    launcher.has_said("here")
    runaway = int(launcher.app_lines()[0])
    need(is_running(runaway), "it runs")
    with open(os.path.join(bed.work, "fifo"), "w") as f:
        f.write("\n")
    equal(launcher.wait(), 5)
    gone([runaway], "what was left")


# --- output -----------------------------------------------------------------------------------------------------------


@test("all lines of both streams arrive whole, in order, marked", "GEN-16")
def lines():
    bed = Bed()
    app = python(bed, "talker.py", """
import sys
for i in range(3000):
    print("out", i, file=sys.stderr if i % 3 == 0 else sys.stdout, flush=True)
print("x" * 200000)
print("\\033[1mkept\\033[0m\\tas it is: \\u00e4\\u20ac")
print("the end", end="")
""")
    launcher = bed.start("run", "--", *app)
    equal(launcher.wait(), 0)
    got = launcher.app_lines()
    equal(got[:3000], [f"out {i}" for i in range(3000)])
    equal("".join(got[3000:-2]), "x" * 200000)
    need(all(len(line) <= 65536 for line in got), "bounded")
    equal(got[-2:], ["\033[1mkept\033[0m\tas it is: ä€", "the end"])
    rest = [line for line in launcher.log().splitlines() if not line.startswith("== APP == ")]
    need(all(line == "" or line[0] in "ℹ✅" or line.startswith("== DAPR == time=") for line in rest), rest)


def written(pid):
    """Bytes that a process has written to anything."""
    try:
        with open(f"/proc/{pid}/io") as f:
            return int(re.search(r"wchar: (\d+)", f.read())[1])
    except OSError:
        return 0


@test("a reader that does not read holds the application back, and loses nothing; signals are heard")
def slow_reader():
    bed = Bed()
    app = python(bed, "flood.py", "import sys\nfor i in range(400000):\n    print('line', i)\nprint('end')\n"
                 "import signal\nsignal.pause()\n")
    launcher = subprocess.Popen([REMORA, "run", *QUIET, "--", *app], stdout=subprocess.PIPE, env=bed.env(), cwd=bed.work)
    try:
        # More than the pipe to us takes: the launcher holds the rest.
        eventually(lambda: any(written(pid) > 200000 for pid in family(launcher.pid)), "it has printed a lot")
        pids = family(launcher.pid)
        launcher.send_signal(signal.SIGTERM)
        gone(pids, "all but the launcher")
        equal(launcher.poll(), None)
        out = launcher.stdout.read().decode()
        equal(launcher.wait(30 * SLOW), 0)
    finally:
        launcher.kill()
    got = [line for line in out.splitlines() if line.startswith("== APP == line")]
    equal(got[:-1], [f"== APP == line {i}" for i in range(len(got) - 1)])
    need(0 < len(out) < 1500000, f"it was held back: {len(out)} bytes")


@test("a reader that leaves ends the launcher")
def reader_leaves():
    bed = Bed()
    launcher = subprocess.Popen([REMORA, "run", *QUIET, "--", "yes"], stdout=subprocess.PIPE, env=bed.env(), cwd=bed.work)
    launcher.stdout.readline()
    launcher.stdout.close()
    equal(launcher.wait(30 * SLOW), 0)


def at_terminal(bed, words, **env):
    """What a terminal shows."""
    inner, outer = pty.openpty()
    process = subprocess.Popen([REMORA, *words], stdin=outer, stdout=outer, stderr=outer, env=bed.env(**env), cwd=bed.work,
                               start_new_session=True)
    os.close(outer)
    shown = b""
    while True:
        try:
            piece = os.read(inner, 65536)
        except OSError:
            break  # the last user of the terminal is gone
        if not piece:
            break
        shown += piece
    os.close(inner)
    equal(process.wait(30 * SLOW), 0)
    return shown.decode().replace("\r\n", "\n")


@test("marks are coloured on a terminal, and nowhere else")
def colours():
    bed = Bed()
    words = ["run", "-a", "shop", "--", "echo", "hello"]
    shown = at_terminal(bed, words, TERM="xterm")
    need("\033[34m== APP ==\033[0m hello\n" in shown and "\033[33m== DAPR ==\033[0m time=" in shown, shown)
    for plain in (at_terminal(bed, words, TERM="xterm", NO_COLOR="1"), at_terminal(bed, words, TERM="dumb"),
                  bed.do(*words, env={"TERM": "xterm"})[1]):
        need("\n== APP == hello\n" in plain and "\033" not in plain, plain)


@test("Ctrl-C at a terminal reaches the launcher alone, which passes it on once")
def control_c():
    bed = Bed()
    app = python(bed, "heard.py", """
import signal, sys
wanted = {signal.SIGINT}
signal.pthread_sigmask(signal.SIG_BLOCK, wanted)
print("here")
signal.sigwait(wanted)
count = 1 if signal.sigtimedwait(wanted, 0.2) is None else 2
print("heard", count)
sys.exit(7)
""")
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(bed.work)
        os.execve(REMORA, [REMORA, "run", *QUIET, "--", *app], bed.env(TERM="dumb"))
    shown = b""
    while True:
        try:
            shown += os.read(terminal, 65536)
        except OSError:
            break
        if b"== APP == here" in shown and b"^C" not in shown:
            os.write(terminal, b"\x03")
            while b"^C" not in shown:
                shown += os.read(terminal, 65536)
    os.close(terminal)
    _, status = os.waitpid(pid, 0)
    need(b"== APP == heard 1\r\n" in shown, shown.decode())
    equal(os.waitstatus_to_exitcode(status), 7)


# --- resources --------------------------------------------------------------------------------------------------------


@test("init writes the default resources once, and leaves alone what is there", "GEN-17 XC-05")
def init():
    bed = Bed()
    written = bed.folder / "data/remora/components/statestore.yaml"
    code, out, err = bed.do("init")
    equal((code, err), (0, ""))
    need(f"Wrote {written}\n" in out, out)
    with open(written) as f:
        before = f.read()
    need(f'value: "{bed.folder.path}/data/remora/data/state.db"' in before, before)
    with open(bed.folder / "data/remora/components/pubsub.yaml") as f:
        need(f'value: "{bed.folder.path}/data/remora/data/pubsub.db"' in f.read(), "durable topics")
    os.rename(written, written + ".away")
    with open(written, "w") as f:
        f.write(component("statestore", "state.in-memory"))
    code, out, err = bed.do("init")
    equal((code, err), (0, ""))
    need("Wrote" not in out and "already" in out, out)
    with open(written) as f:
        equal(f.read(), component("statestore", "state.in-memory"))
    odd = bed.folder / 'od "d%20#?'
    code, out, err = bed.do("init", "--dir", odd)
    equal((code, err), (0, ""))
    launcher = bed.start("run", *QUIET, "--dir", odd, "-a", "shop").up()
    address = ("127.0.0.1", bed.sidecar("shop")["httpPort"])
    equal(call(address, "POST", "/v1.0/state/statestore", [{"key": "k", "value": 1}]).status, 204)
    equal(call(address, "POST", "/v1.0/publish/pubsub/orders", [{"n": 1}]).status, 204)
    for name in ("state.db", "pubsub.db"):
        need(os.path.exists(os.path.join(odd, "data", name)), os.listdir(odd))
    launcher.signal(signal.SIGTERM)
    equal(launcher.wait(), 0)
    code, out, err = bed.do("init", env={"XDG_DATA_HOME": "", "HOME": ""})
    equal((code, out), (1, ""))
    need("--dir" in err, err)


def components(bed, *words, **more):
    launcher = bed.start("run", *QUIET, "-a", "shop", *words, **more).up()
    got = call(("127.0.0.1", bed.sidecar("shop")["httpPort"]), "GET", "/v1.0/metadata").json.get("components", [])
    launcher.signal(signal.SIGTERM)
    equal(launcher.wait(), 0)
    return sorted(one["name"] for one in got)


@test("resources are the data directory's unless others are named", "GEN-06 GEN-23 XC-06 XC-14")
def resources():
    bed = Bed()
    for name in ("one", "two"):
        os.mkdir(os.path.join(bed.work, name))
        with open(os.path.join(bed.work, name, "mem.yaml"), "w") as f:
            f.write(component(f"mem-{name}", "state.in-memory"))
    equal(components(bed, "--resources-path", "one", "-d", "two"), ["mem-one", "mem-two"])
    need(not os.path.exists(bed.folder / "data/remora/components"), "no resources were written for who brings his own")
    need(os.path.exists(bed.folder / "data/remora/config.yaml"), "the configuration was, so that others are found")
    equal(components(bed, "--components-path", "one"), ["mem-one"])
    equal(components(bed), ["configstore", "echo", "lockstore", "pubsub", "statestore"])
    with open(bed.folder / "data/remora/config.yaml", "w") as f:
        f.write("apiVersion: dapr.io/v1alpha1\nkind: Configuration\nmetadata:\n  name: c\nspec:\n  logging:\n    apiLogging:\n"
                "      enabled: true\n")
    launcher = bed.start("run", "-a", "shop").up()
    call(("127.0.0.1", bed.sidecar("shop")["httpPort"]), "GET", "/v1.0/state/statestore/k")
    eventually(lambda: "GET /v1.0/state/statestore/k" in launcher.log(), "the configuration is in force")
    launcher.signal(signal.SIGTERM)
    equal(launcher.wait(), 0)
    os.makedirs(bed.folder / "home/.dapr/components")
    with open(bed.folder / "home/.dapr/components/mem.yaml", "w") as f:
        f.write(component("of-dapr", "state.in-memory"))
    equal(components(bed, "--runtime-path", bed.folder / "home"), ["of-dapr"])


@test("two sidecars share the default store, each under its app id")
def shared():
    bed = Bed()
    launchers = [bed.start("run", *QUIET, "-a", name).up() for name in ("a", "b")]
    addresses = [("127.0.0.1", bed.sidecar(name)["httpPort"]) for name in ("a", "b")]
    for i in range(20):
        for address in addresses:
            body = json.dumps([{"key": f"k{i}", "value": address[1]}])
            equal(call(address, "POST", "/v1.0/state/statestore", body).status, 204)
    for address in addresses:
        equal(call(address, "GET", "/v1.0/state/statestore/k7").json, address[1])
    for launcher in launchers:
        launcher.signal(signal.SIGTERM)
        equal(launcher.wait(), 0)


main()
