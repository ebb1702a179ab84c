# SPDX-License-Identifier: Apache-2.0
"""Several applications at once (`remora run -f`), and the commands that find sidecars: list, stop, invoke, publish.
timeout: 120"""
import json
import os
import shutil
import signal
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from launcher import Bed, family
from remora import TOP, Skip, call, component, equal, eventually, free_port, is_running, main, need, test

QUIET = ["--log-level", "error"]
WAIT = ["sh", "-c", "exec sleep 600"]


def gone(pids, what):
    eventually(lambda: not any(is_running(pid) for pid in pids), f"{what} is gone")


def write(bed, name, text):
    path = os.path.join(bed.work, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as f:
        f.write(text)
    return path


def log_of(bed, folder, start):
    """The text of the one log in an application's folder whose name begins so."""
    logs = os.path.join(bed.work, folder, ".dapr", "logs")
    (name,) = [name for name in os.listdir(logs) if name.startswith(start)]
    with open(os.path.join(logs, name)) as f:
        return f.read()


def names(one):
    metadata = call(("127.0.0.1", one["httpPort"]), "GET", "/v1.0/metadata").json
    return sorted(entry["name"] for entry in metadata.get("components", []))


# --- run files --------------------------------------------------------------------------------------------------------


@test("a run file starts its applications together, each as it says", "GEN-22")
def run_file():
    bed = Bed()
    http = free_port()
    write(bed, "common/mem.yaml", component("common", "state.in-memory"))
    write(bed, "one/own/mem.yaml", component("own", "state.in-memory"))
    write(bed, "two/.dapr/resources/mem.yaml", component("local", "state.in-memory"))
    write(bed, "three/note", "")
    path = write(bed, "dapr.yaml", f"""
version: 1
common:
  resourcesPath: ./common
  logLevel: info
  env: {{SHARED: everywhere, NUMBER: 7}}
apps:
  - appID: first
    appDirPath: one
    resourcesPaths: [own]
    daprHTTPPort: {http}
    env: {{NUMBER: 8}}
    command: [sh, -c, 'echo $APP_ID $SHARED $NUMBER $DAPR_HTTP_PORT; pwd; exec sleep 600']
    appLogDestination: console
    daprdLogDestination: fileAndConsole
  - appDirPath: ./two/
    command: ["sh", "-c", "echo $APP_ID $SHARED $NUMBER; exec sleep 600"]
  - appID: third
    appDirPath: three
    logLevel: error
    appLogDestination: file
    daprdLogDestination: console
    command: ["sh", "-c", "echo to a file; exec sleep 600"]
    unknownField: 1
""")
    launcher = bed.start("run", "--run-file", "dapr.yaml")
    for app in ("first", "two", "third"):
        launcher.up(f"{app} is up and running.")
    launcher.has_said(f"first everywhere 8 {http}", "== APP - first == ")
    launcher.has_said(os.path.realpath(os.path.join(bed.work, "one")), "== APP - first == ")
    launcher.has_said("two everywhere 7", "== APP - two == ")
    eventually(lambda: log_of(bed, "three", "third_app_") == "to a file\n", "its log")
    eventually(lambda: log_of(bed, "two", "two_app_") == "two everywhere 7\n", "its log")
    need("unknownField has no effect" in launcher.log(), launcher.log())
    eventually(lambda: "dapr initialized" in log_of(bed, "two", "two_daprd_"), "the sidecar's log")
    eventually(lambda: "dapr initialized" in log_of(bed, "one", "first_daprd_"), "the sidecar's log")
    eventually(lambda: "== DAPR - first == time=" in launcher.log(), "the sidecar's log on the console")
    need("== DAPR - two ==" not in launcher.log(), launcher.log())
    need("to a file" not in launcher.log() and not os.path.exists(os.path.join(bed.work, "one/.dapr/logs/first_app")), "")
    listed = {one["appId"]: one for one in bed.list()}
    equal(names(listed["first"]), ["own"])
    equal(names(listed["two"]), ["local"])
    equal(names(listed["third"]), ["common"])
    eventually(lambda: all(one["runTemplatePath"] == os.path.realpath(path) for one in bed.list()), "the file is told")
    equal({one["cliPid"] for one in bed.list()}, {launcher.pid})
    pids = family(launcher.pid)
    equal(bed.look("stop", "two")[0], 0)
    eventually(lambda: sorted(one["appId"] for one in bed.list()) == ["first", "third"], "only that one is gone")
    equal(bed.look("stop", "-f", "dapr.yaml")[0], 0)
    equal(launcher.wait(), 0, launcher.log())
    gone(pids, "everything")


@test("a folder stands for the dapr.yaml in it, and an application that ends leaves the others alone")
def folder():
    bed = Bed()
    write(bed, "app/dapr.yaml", """
version: 1
apps:
  - {appID: short, appDirPath: ".", command: [sh, -c, "exit 4"], appLogDestination: console}
  - {appID: long, appDirPath: ".", command: [bin/wait, stop]}
""")
    os.chmod(write(bed, "app/bin/wait", "#!/bin/sh\nwhile ! [ -e $1 ]; do sleep 0.05; done\n"), 0o755)
    launcher = bed.start("run", "-f", "app").up("App of short ended: exit code 4").up("long is up and running.")
    eventually(lambda: [one["appId"] for one in bed.list()] == ["long"], "its sidecar is gone")
    write(bed, "app/stop", "")
    equal(launcher.wait(), 4)


@test("an application that cannot start takes the others with it")
def cannot_start():
    bed = Bed()
    write(bed, "bad/x.yaml", component("bad", "state.nonsense"))
    write(bed, "dapr.yaml", """
version: 1
apps:
  - {appID: good, appDirPath: ".", command: [sleep, "600"]}
  - {appID: bad, appDirPath: ".", resourcesPath: bad, command: [sleep, "600"]}
""")
    code, out, err = bed.do("run", "-f", "dapr.yaml")
    equal((code, err), (1, ""), out)
    need("Dapr of bad ended: exit code 1" in out, out)
    equal(bed.list(), [])


@test("what is wrong with a run file is said with its place, before anything starts")
def bad_files():
    bed = Bed()
    bed.do("init")
    app = "{appID: a, appDirPath: '.', "
    for text, words in (("", "a run file is a map"), ("[1]", "a run file is a map"), ("a: [", "yaml: line 1"),
                        ("apps: []", "'version'"), ("version: 2\napps: []", "version is 2"), ("version: 1", "apps must be"),
                        ("version: 1\napps: []", "apps must be"), ("version: 1\napps: [7]", "line 2: an application must be"),
                        ("version: 1\napps: [{appID: a}]", "'appDirPath'"),
                        ("version: 1\napps: [{appDirPath: none}]", "none: No such file"),
                        (f"version: 1\napps: [{app}command: echo}}]", "command must be a list"),
                        (f"version: 1\napps: [{app}env: [1]}}]", "env must be a map"),
                        (f"version: 1\napps: [{app}appPort: [1]}}]", "appPort must be a text"),
                        (f"version: 1\napps: [{app}appPort: many}}]", "app-port"),
                        (f"version: 1\napps: [{app}resourcesPath: none}}]", "none: No such file"),
                        (f"version: 1\napps: [{app}appLogDestination: printer}}]", "printer"),
                        (f"version: 1\ncommon: 7\napps: [{app}}}]", "common must be a map"),
                        ("version: 1\napps:\n" + f"  - {app}}}\n" * 101, "more than 100")):
        write(bed, "dapr.yaml", text)
        code, out, err = bed.do("run", "-f", ".")
        need(code in (1, 2) and out == "", f"{text}: {code} {out}")
        need(err.startswith("remora: ") and words in err, f"{text}: {err}")


# --- finding sidecars -------------------------------------------------------------------------------------------------


@test("list shows sidecars for people and for scripts, oldest first", "XC-04")
def listing():
    bed = Bed()
    equal(bed.look("list"), (0, "No Dapr instances found.\n", ""))
    equal(bed.list(), [])
    app = free_port()
    first = bed.start("run", *QUIET, "-a", "first", "--max-body-size", "1Mi", "--", *WAIT).up()
    second = bed.start("run", *QUIET, "-a", "second", "-p", str(app)).up()
    eventually(lambda: bed.list()[0]["appPid"] and bed.list()[0]["command"], "the launcher has told")
    one, two = bed.list()
    equal((one["appId"], one["command"], one["cliPid"], one["maxRequestBodySize"], one["metricsEnabled"]),
          ("first", "sh -c exec sleep 600", first.pid, 1 << 20, True))
    need({one["daprdPid"], one["appPid"]} < set(family(first.pid)), one)
    equal((two["appId"], two["appPort"], two["command"], two["appPid"]), ("second", app, "", 0))
    head, *rows = bed.look("list")[1].splitlines()
    equal(head.split("  ")[0], "APP ID")
    equal([row.split()[0] for row in rows], ["first", "second"])
    need("sh -c exec sleep 600" in rows[0] and str(one["httpPort"]) in rows[0], rows)
    code, out, err = bed.look("stop", "first", "nobody", "second")
    equal(code, 1)
    equal(out.count("app stopped successfully"), 2)
    need("no sidecar of yours with app id nobody" in err, err)
    equal((first.wait(), second.wait()), (0, 0))


@test("what a client writes into the metadata does not make stop end another process")
def forged():
    bed = Bed()
    victim = bed.start("run", *QUIET, "-a", "victim").up()
    liar = bed.start("run", *QUIET, "-a", "liar", "--", *WAIT).up()
    address = ("127.0.0.1", bed.sidecar("liar")["httpPort"])
    eventually(lambda: "appPID" in call(address, "GET", "/v1.0/metadata").json.get("extended", {}), "it has been told")
    for name in ("cliPID", "appPID"):
        equal(call(address, "PUT", f"/v1.0/metadata/{name}", str(victim.pid)).status, 204)
    equal(call(address, "PUT", "/v1.0/metadata/appCommand", "\033[31mred\r").status, 204)
    need("\033" not in bed.look("list")[1], "no control characters on the terminal")
    equal(bed.look("stop", "liar")[0], 0)
    equal(liar.wait(), 0)
    need(victim.is_alive(), "the other one lives")
    victim.signal(signal.SIGTERM)
    equal(victim.wait(), 0)


class Echo(BaseHTTPRequestHandler):
    """An application that tells what it was asked, and a sidecar's API as far as a test needs one."""

    def answer(self):
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length).decode()
        if "/nothing" in self.path:
            self.send_response(204)
            self.end_headers()
            return
        text = json.dumps({"verb": self.command, "path": self.path, "type": self.headers.get("Content-Type"),
                           "token": self.headers.get("dapr-api-token"), "body": body}).encode()
        self.send_response(418 if "/teapot" in self.path else 200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_PUT = do_DELETE = answer

    def log_message(self, *args):
        pass


class EchoOnSocket(ThreadingHTTPServer):
    """Where a sidecar with Unix sockets would listen."""
    import socket as _socket
    address_family = _socket.AF_UNIX

    def server_bind(self):
        self.socket.bind(self.server_address)
        self.server_name, self.server_port = "localhost", 0

    def get_request(self):
        connection, _ = super().get_request()
        return connection, ("local", 0)


@test("invoke and publish send what they are told, and print the answer", "INV-25 PUB-20 T-INV-3 T-PUB-2")
def calls():
    bed = Bed()
    server = EchoOnSocket(f"{bed.folder.path}/dapr-shop-http.socket", Echo)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    here = ["-u", bed.folder.path]

    def ask(*words, **more):
        code, out, err = bed.do(*words, *here, **more)
        need(err.startswith("✅  "), f"{words}: {code} {err}")
        equal(code, 0)
        return json.loads(out)

    invoke, publish = ["invoke", "-a", "shop"], ["publish", "-i", "shop", "-p", "my bus", "-t", "a/b"]
    equal(ask(*invoke, "--method", "orders/7?x=1&y=ä b"),
          {"verb": "POST", "path": "/v1.0/invoke/shop/method/orders/7?x=1&y=%C3%A4%20b", "type": "application/json",
           "token": None, "body": ""})
    got = ask(*invoke, "-m", "/x", "-d", '{"a": "ä"}', "-v", "put", env={"DAPR_API_TOKEN": "secret"})
    equal((got["verb"], got["path"], got["body"], got["token"]), ("PUT", "/v1.0/invoke/shop/method/x", '{"a": "ä"}', "secret"))
    path = write(bed, "data", "x" * 300000)
    equal(ask(*invoke, "-m", "x", "-f", path)["body"], "x" * 300000)
    equal(ask(*invoke, "-m", "x", "-f", "-", stdin="from stdin")["body"], "from stdin")
    equal(bed.do(*invoke, "-m", "nothing", *here), (0, "", "✅  App invoked successfully\n"))
    code, out, err = bed.do(*invoke, "-m", "teapot", *here)
    equal((code, json.loads(out)["verb"]), (1, "POST"))
    need("status 418" in err, err)
    got = ask(*publish, "-d", '{"orderId":"100"}')
    equal((got["verb"], got["path"], got["type"], got["body"]),
          ("POST", "/v1.0/publish/my%20bus/a%2Fb", "application/json", '{"orderId":"100"}'))
    event = json.dumps({"id": "1", "source": "s", "specversion": "1.0", "type": "t", "data": 1})
    equal(ask(*publish, "-d", event)["type"], "application/cloudevents+json")
    equal(ask(*publish, "-d", "1", "-m", '{"ttlInSeconds": 5, "raw Payload": "t&e"}')["path"],
          "/v1.0/publish/my%20bus/a%2Fb?metadata.ttlInSeconds=5&metadata.raw%20Payload=t%26e")
    equal(bed.do(*publish, "-m", "[1]", *here)[0], 2)
    server.shutdown()
    server.server_close()


APP = """
import http.server, os
class App(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        text = f"{os.environ['APP_ID']} {self.path} ".encode() + body
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
    def log_message(self, *args):
        pass
http.server.HTTPServer(("127.0.0.1", int(os.environ["APP_PORT"])), App).serve_forever()
"""


@test("an application is invoked through its sidecar, from the command line", "INV-25 T-INV-3")
def invoked():
    bed = Bed()
    write(bed, "app.py", APP)
    port = free_port()
    launcher = bed.start("run", *QUIET, "-a", "shop", "-p", str(port), "--", sys.executable, "app.py").up()
    address = ("127.0.0.1", bed.sidecar("shop")["httpPort"])
    eventually(lambda: call(address, "GET", "/v1.0/healthz").status == 204, "ready")
    equal(bed.look("invoke", "-a", "shop", "-m", "checkout/100?basket=1234&key=abc", "-d", "hello"),
          (0, "shop /checkout/100?basket=1234&key=abc hello\n", "✅  App invoked successfully\n"))
    launcher.signal(signal.SIGTERM)
    equal(launcher.wait(), 0)


@test("calls reach the sidecar of that app id", "INV-25 XC-04")
def real_calls():
    bed = Bed()
    launchers = [bed.start("run", *QUIET, "-a", name).up() for name in ("one", "two")]
    code, out, err = bed.look("publish", "-i", "two", "-p", "bus", "-t", "t", "-d", "1")
    equal(code, 1)
    need("/v1.0/publish/bus/t: answered with status " in err, err)
    code, out, err = bed.look("invoke", "-a", "three", "-m", "x")
    equal((code, out), (1, ""))
    need("no sidecar of yours with app id three" in err, err)
    launchers[1].signal(signal.SIGSTOP)  # the launcher, not the sidecar: calls do not need it
    need(bed.look("invoke", "-a", "two", "-m", "x")[2] != "", "an answer")
    launchers[1].signal(signal.SIGCONT)
    for launcher in launchers:
        launcher.signal(signal.SIGTERM)
    equal([launcher.wait() for launcher in launchers], [0, 0])


# --- the quickstart ---------------------------------------------------------------------------------------------------


@test("the quickstart of the README works, again and again and side by side", "GEN-24 GEN-25")
def quickstart():
    python = os.path.join(TOP, "build", "venv-sdk", "bin", "python")
    if not os.path.exists(python):
        raise Skip("build/venv-sdk is not here, `make deps-test` makes it")
    bed = Bed()
    program = os.path.join(TOP, "deploy", "quickstart", "orders.py")
    for number in (1, 2):
        code, out, err = bed.do("run", *QUIET, "--app-id", "orders", "--", python, program)
        equal((code, err), (0, ""), out)
        need(f"== APP == order {number} is saved\n" in out, out)
    shutil.copytree(os.path.dirname(program), os.path.join(bed.work, "q"))
    code, out, err = bed.do("run", "-f", "q", env={"PATH": f"{os.path.dirname(python)}:{os.environ['PATH']}"})
    equal((code, err), (0, ""), out)
    need("== APP - orders == order 3 is saved\n" in out and "== APP - more-orders == order 1 is saved\n" in out, out)


main()
