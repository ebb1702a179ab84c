# SPDX-License-Identifier: Apache-2.0
# timeout: 300
"""The sidecar as a process: command line and exit codes, readiness, resources on disk, ports and sockets, and the
environment it needs. Numbers with § are sections of the behaviour that is matched."""

import json
import os
import re
import signal
import socket
import subprocess

from http_app import App
from remora import (
    BUILD,
    REMORAD,
    SLOW,
    Cut,
    Folder,
    Redis,
    Sidecar,
    Skip,
    Store,
    call,
    component,
    end_sidecars,
    equal,
    eventually,
    free_port,
    main,
    need,
    test,
)

MEM = component("mem", "state.in-memory")


def run(*flags, env=None):
    """remorad with flags that end it; exit code, stdout, stderr."""
    done = subprocess.run([REMORAD, *flags], capture_output=True, text=True, timeout=30 * SLOW, env=env)
    return done.returncode, done.stdout, done.stderr


def fails(*resources, code=1, flags=(), **more):
    """A sidecar that ends by itself; its log."""
    sidecar = Sidecar(*resources, wait=False, flags=flags, **more)
    equal(sidecar.wait(), code, sidecar.log()[-2000:])
    return sidecar.log()


def contains(text, *parts):
    for part in parts:
        need(part in text, f"no {part!r} in:\n{text[-3000:]}")


def names(sidecar):
    return [one["name"] for one in sidecar.metadata().get("components", [])]


class Silent:
    """A server that takes connections and never says a word."""

    def __init__(self):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]


# --- command line -----------------------------------------------------------------------------------------------------


@test("version, build info and help are printed with exit code 0", "§1 §6")
def informative():
    code, out, _ = run("--version")
    equal(code, 0)
    need(re.fullmatch(r"edge|\d+\.\d+\.\d+(-rc\.\d+)?", out.strip()), out)
    code, out, _ = run("--build-info")
    equal(code, 0)
    contains(out, "Version: ")
    code, out, err = run("--help")
    equal(code, 0)
    contains(out + err, "--app-id string", "--dapr-http-port string", "--resources-path strings")


@test("wrong flags and values end the sidecar with the recorded words and codes", "§1")
def bad_flags():
    code, _, err = run("--no-such-flag")
    equal(code, 2)
    contains(err, "unknown flag: --no-such-flag")
    code, out, _ = run("--dapr-http-port", "3500")
    equal(code, 1)
    contains(out, 'level=fatal msg="Fatal error from runtime: parameter app-id cannot be empty"')
    code, out, _ = run("--app-id", "shop", "--log-level", "loud")
    equal(code, 1)
    contains(out, 'level=fatal msg="invalid value for --log-level: loud"')
    code, out, _ = run("--app-id", "shop", "--max-body-size", "much")
    equal(code, 1)
    contains(out, "Failed to parse flags: invalid value for 'max-body-size' option: quantities must match")
    code, out, _ = run("--app-id", "shop", "--config", "/nonexistent/c.yaml")
    equal(code, 1)
    contains(
        out,
        "Fatal error from runtime: error loading configuration: stat /nonexistent/c.yaml: no such file or directory",
    )
    code, out, _ = run("--app-id", "shop", "--resources-path", "/nonexistent/r")
    equal(code, 1)
    contains(out, "Fatal error from runtime: ", "/nonexistent/r: no such file or directory")
    code, out, _ = run("--app-id", "shop", "--enable-mtls")
    equal(code, 1)


@test("a port in use is waited for a while, and is a start error after that", "§3")
def port_taken():
    def started():
        """A sidecar that waits for a port, which it does for two seconds, and who has it."""
        silent = Silent()
        flags = ["--dapr-http-port", str(silent.port), "--dapr-listen-addresses", "127.0.0.1"]
        sidecar = Sidecar(MEM, http=False, wait=False, flags=flags)
        sidecar.address = ("127.0.0.1", silent.port)
        eventually(lambda: "API gRPC server is running" in sidecar.log(), "it has come to the HTTP port")
        return sidecar, silent

    def again_if_late(use):
        for _ in range(5):  # a loaded machine may have taken longer than that
            sidecar, silent = started()
            try:
                use(sidecar, silent)
            except AssertionError:
                sidecar.kill()
                if f":{silent.port}: bind: " not in sidecar.log():
                    raise
            else:
                return
        raise AssertionError("it never waited until then")

    def hears_signals(sidecar, silent):
        sidecar.signal(signal.SIGTERM)
        equal(sidecar.wait(), 0, "who waits for a port hears signals")
        contains(sidecar.log(), "Daprd shutdown gracefully")

    def gets_it(sidecar, silent):
        silent.socket.close()
        sidecar.wait_ready()
        equal(sidecar.stop(), 0)

    again_if_late(hears_signals)
    again_if_late(gets_it)
    silent = Silent()
    code, out, _ = run("--app-id", "shop", "--dapr-http-port", str(silent.port), "--dapr-listen-addresses", "127.0.0.1")
    equal(code, 1)
    contains(out, f"127.0.0.1:{silent.port}: bind: ", "in use")


@test("log lines have the form of the reference, as text and as JSON", "§2")
def log_form():
    sidecar = Sidecar(MEM)
    equal(sidecar.stop(), 0)
    for line in sidecar.log().splitlines():
        need(
            re.fullmatch(
                r'time="\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z" level=(info|warning|error) msg=".*" app_id=shop '
                r"instance=\S+ scope=\S+ type=log ver=edge",
                line,
            ),
            line,
        )
    contains(
        sidecar.log(),
        'msg="Component loaded: mem (state.in-memory/v1)"',
        "Received signal 'terminated'; beginning shutdown",
        'msg="Daprd shutdown gracefully"',
    )
    sidecar = Sidecar(MEM, flags=["--log-as-json", "--log-level=debug"])
    equal(Store(sidecar, "mem").save("k", 1).status, 204)
    equal(sidecar.stop(), 0)
    for line in sidecar.log().splitlines():
        need({"time", "level", "msg", "app_id", "scope", "type", "ver"} <= set(json.loads(line)), line)


@test("lines go to a file too, which is opened anew at SIGHUP", "§1")
def log_file():
    folder = Folder()
    path = folder / "sidecar.log"
    sidecar = Sidecar(MEM, folder=folder, flags=["--log-file", path])

    def text(name):
        with open(name) as f:
            return f.read()

    eventually(lambda: text(path) == sidecar.log() != "", "the same lines")
    os.rename(path, path + ".1")
    sidecar.signal(signal.SIGHUP)
    eventually(lambda: os.path.exists(path) and "hangup" in text(path), "it goes on in a new file")
    equal(sidecar.stop(), 0)
    equal(text(path + ".1") + text(path), sidecar.log(), "no line is lost")
    log = fails(MEM, flags=["--log-file", "/nonexistent/sidecar.log"])
    contains(log, "Fatal error from runtime: failed to open the log file /nonexistent/sidecar.log: no such file")


@test("ten thousand components of one type are created, changed and served", "§5")
def ten_thousand():
    count = 10000
    folder = Folder()
    os.mkdir(folder / "yaml")

    def write(metadata):
        chosen = [f"c{i}" for i in range(count)] if metadata is not None else ["c0"]
        text = "---\n".join(component(name, "state.in-memory", metadata or ()) for name in chosen)
        folder.write("yaml/.all", text)
        os.rename(folder / "yaml/.all", folder / "yaml/all.yaml")

    write(())
    sidecar = Sidecar(folder=folder, wait=False, flags=["--resources-path", folder / "yaml"])
    sidecar.wait_ready(60)
    need("level=error" not in sidecar.log(), sidecar.log()[-2000:])
    for i in (0, count // 2, count - 1):
        equal(Store(sidecar, f"c{i}").save("k", i).status, 204, f"c{i}")
    write([("note", "changed")])
    eventually(lambda: sidecar.log().count("Component updated: ") == count, "all are changed", 60)
    need("level=error" not in sidecar.log(), sidecar.log()[-2000:])
    for i in (0, count // 2, count - 1):
        equal(Store(sidecar, f"c{i}").get("k").text, str(i), f"c{i}")
    write(None)
    eventually(lambda: sidecar.log().count("Component removed: ") == count - 1, "all but one are gone", 60)
    equal(Store(sidecar, "c0").get("k").text, "0")
    equal(names(sidecar), ["c0"])
    equal(sidecar.stop(), 0)


# --- readiness --------------------------------------------------------------------------------------------------------


@test("until all components are there healthz says so, then 204", "§3 X-GEN-01")
def readiness():
    silent = Silent()
    slow = component("slow", "state.redis", {"redisHost": f"127.0.0.1:{silent.port}"})
    sidecar = Sidecar(MEM, slow.replace("spec:\n", "spec:\n  initTimeout: 600s\n"), wait=False)
    eventually(lambda: sidecar.healthz() != 0, "it listens")
    reply = sidecar.call("GET", "/v1.0/healthz")
    equal((reply.status, reply.json["errorCode"]), (500, "ERR_HEALTH_NOT_READY"))
    need(reply.json["message"].startswith("dapr is not ready: "), reply.text)
    reply = sidecar.call("GET", "/v1.0/healthz/outbound")
    equal((reply.status, reply.json["errorCode"]), (500, "ERR_OUTBOUND_HEALTH_NOT_READY"))
    reply = sidecar.call("GET", "/v1.0/healthz?appid=other")
    equal((reply.status, reply.json["errorCode"]), (500, "ERR_HEALTH_APPID_NOT_MATCH"))
    sidecar.end()
    contains(
        fails(MEM, slow.replace("spec:\n", "spec:\n  initTimeout: 1s\n")),
        "Failed to init component slow (state.redis/v1): [INIT_COMPONENT_FAILURE]: initialization error "
        "occurred for slow (state.redis/v1): ",
    )


@test("a signal while components are still starting ends it cleanly", "§1 §10")
def signal_at_start():
    silent = Silent()
    slow = component("slow", "state.redis", {"redisHost": f"127.0.0.1:{silent.port}"})
    sidecar = Sidecar(MEM, slow.replace("spec:\n", "spec:\n  initTimeout: 600s\n"), wait=False)
    eventually(lambda: sidecar.healthz() == 500, "it listens")
    sidecar.signal(signal.SIGTERM)
    equal(sidecar.wait(), 0)
    contains(sidecar.log(), "Daprd shutdown gracefully")


@test("the metadata right after the first 204 is complete", "§3 §6")
def complete_metadata():
    sidecar = Sidecar(*[component(f"c{i}", "state.in-memory") for i in range(30)])
    equal(sorted(names(sidecar)), sorted(f"c{i}" for i in range(30)))
    equal(
        sidecar.metadata()["components"][0]["capabilities"],
        ["ETAG", "TRANSACTIONAL", "TTL", "DELETE_WITH_PREFIX", "KEYS_LIKE", "ACTOR"],
    )


@test("with an app port the sidecar is ready once the application listens", "§3")
def waits_for_app():
    port = free_port()
    sidecar = Sidecar(MEM, wait=False, flags=["--app-port", str(port), "--app-channel-address", "localhost"])
    eventually(lambda: sidecar.healthz("/v1.0/healthz/outbound") == 204, "the components are there")
    reply = sidecar.call("GET", "/v1.0/healthz")
    equal((reply.status, reply.json["message"]), (500, "dapr is not ready: [app]"))
    equal(Store(sidecar, "mem").save("k", 1).status, 204, "what does not need the application works")
    waiting = f"application protocol: http. waiting on port {port}.  This will block until the app is listening on that port."
    eventually(lambda: waiting in sidecar.log(), waiting)
    need("dapr initialized" not in sidecar.log(), "it has not said that it is ready")
    app = App(port=port)
    sidecar.wait_ready()
    eventually(lambda: "dapr initialized. Status: Running." in sidecar.log(), "it says so")
    contains(
        sidecar.log(),
        f"waiting for application to listen on port {port}",
        f"application discovered on port {port}",
        "Application configuration loaded",
    )
    equal([request.target for request in app.asked], ["/dapr/config", "/dapr/subscribe"])
    equal(
        sidecar.metadata()["appConnectionProperties"],
        {"port": port, "protocol": "http", "channelAddress": "localhost"},
    )
    equal(sidecar.stop(), 0)


@test("a signal while the application is waited for ends it cleanly", "§1 §3 §10")
def signal_while_waiting():
    sidecar = Sidecar(MEM, wait=False, flags=["--app-port", str(free_port())])
    eventually(lambda: sidecar.healthz("/v1.0/healthz/outbound") == 204, "the components are there")
    equal(sidecar.stop(), 0)
    contains(sidecar.log(), "Daprd shutdown gracefully")


@test("the metadata has the features, the application's address and the plugins' processes", "§6")
def metadata_details():
    sidecar = Sidecar(MEM)
    metadata = sidecar.metadata()
    equal(metadata["enabledFeatures"], ["HotReload"])
    equal(metadata["appConnectionProperties"], {"protocol": "http", "channelAddress": "127.0.0.1"})
    equal(
        metadata["actorRuntime"],
        {"runtimeStatus": "DISABLED", "hostReady": False, "placement": "placement: disconnected"},
    )
    equal([key for key in ("scheduler", "actors", "subscriptions", "httpEndpoints") if key in metadata], [])
    plugin = sidecar.plugins()["in-memory"]
    equal(os.readlink(f"/proc/{plugin['pid']}/exe"), os.path.join(BUILD, "plugins", "in-memory", "in-memory"))
    equal(os.getpgid(plugin["pid"]), plugin["group"])
    need(plugin["group"] != plugin["pid"], "the group is led by another process")
    folder = Folder()
    off = folder.write(
        "config.yaml",
        "apiVersion: dapr.io/v1alpha1\nkind: Configuration\nmetadata: {name: c}\n"
        "spec: {features: [{name: HotReload, enabled: false}]}\n",
    )
    need("enabledFeatures" not in Sidecar(MEM, flags=["--config", off]).metadata(), "a feature turned off is not shown")


@test("without resources there are no components and state is not configured", "§1")
def no_components():
    sidecar = Sidecar()
    equal(names(sidecar), [])
    equal(Store(sidecar, "statestore").get("k").json["errorCode"], "ERR_STATE_STORE_NOT_CONFIGURED")
    equal(list(sidecar.plugins()), ["mdns"], "plugins: how other sidecars are found (§1)")
    equal(sidecar.metadata()["remora"]["nameResolution"]["name"], "mdns")


# --- resources --------------------------------------------------------------------------------------------------------


@test("several documents a file, other endings and kinds, odd names and spellings are read", "§5")
def documents():
    folder = Folder()
    resources = folder / "mixed"
    os.mkdir(resources)
    odd = ['it\'s "quoted"', "naïve 日本", "😀", "a.b-c_d"]
    with open(os.path.join(resources, "a.yml"), "w") as f:
        f.write(
            "---\n".join(
                [
                    component("one", "state.in-memory"),
                    "kind: Nonsense\nmetadata: {name: x}\n",
                    "",
                    component("two", "state.in-memory"),
                ]
                + [component(name, "state.in-memory") for name in [*odd, "no/path/segment"]]
            )
        )
    with open(os.path.join(resources, "b.yaml"), "w") as f:
        f.write(
            "APIVERSION: dapr.io/v1alpha1\nKind: Component\nMetadata:\n  Name: 42\n"
            "Spec:\n  Type: state.sqlite\n  metadata:\n"
            f"  - name: connectionString\n    value: {folder / 'x.db'}\n  - name: busyTimeout\n    value: 500\n"
            "  - name: disableWAL\n    value: true\n"
        )
    with open(os.path.join(resources, "c.txt"), "w") as f:
        f.write(component("three", "state.in-memory"))
    sidecar = Sidecar(folder=folder, flags=["--resources-path", resources])
    equal(sorted(names(sidecar)), sorted(["one", "two", "42", *odd]))
    equal(next(c for c in sidecar.metadata()["components"] if c["name"] == "42")["version"], "v1")
    for name in ["one", "42", *odd]:
        path = "/v1.0/state/" + "".join(f"%{b:02X}" for b in name.encode())
        equal(sidecar.call("POST", path, [{"key": "k", "value": 1}]).status, 204, name)
        equal(sidecar.call("GET", path + "/k").text, "1", name)


@test("several folders are read, given by repetition and as components path", "§1 §5")
def folders():
    folder = Folder()
    for name in ("r1", "r2"):
        os.mkdir(folder / name)
        folder.write(f"{name}/x.yaml", component(name, "state.in-memory"))
    for flags in (
        [f"--resources-path={folder / 'r1'}", "--resources-path", folder / "r2"],
        ["--resources-path", f"{folder / 'r1'},{folder / 'r2'}"],
    ):
        sidecar = Sidecar(flags=flags)
        equal(sorted(names(sidecar)), ["r1", "r2"])
        sidecar.stop()
    equal(names(Sidecar(flags=["--components-path", folder / "r1"])), ["r1"])


@test("a broken document is a warning and the others are read", "§5")
def broken_yaml():
    sidecar = Sidecar("a: b: c\n\t- x", MEM)
    equal(names(sidecar), ["mem"])
    contains(sidecar.log(), "level=warning")


@test("duplicate names end the start with the words of the reference", "§5")
def duplicates():
    log = fails(component("x", "state.in-memory"), component("x", "state.redis", {"redisHost": "127.0.0.1:1"}))
    contains(
        log,
        "level=fatal",
        "Fatal error from runtime: failed to load components: duplicate definition of Component name x "
        "(state.redis/v1) with existing x (state.in-memory/v1)",
    )
    log = fails(
        component("x", "state.in-memory"),
        component("x", "state.in-memory"),
        component("y", "state.in-memory"),
        component("y", "state.in-memory"),
    )
    contains(log, r"with existing x (state.in-memory/v1)\nduplicate definition of Component name y")


@test("scopes and namespaces decide what an app gets", "§5 STATE-41")
def scopes():
    documents = [
        component("mine", "state.in-memory", extra="scopes: [shop, other]\n"),
        component("theirs", "state.in-memory", extra="scopes:\n- other\n"),
        component("here", "state.in-memory", namespace="prod"),
        component("there", "state.in-memory", namespace="test"),
        component("anywhere", "state.in-memory"),
    ]
    path = {"PATH": os.environ["PATH"]}
    equal(sorted(names(Sidecar(*documents, env={**path, "NAMESPACE": "prod"}))), ["anywhere", "here", "mine"])
    equal(sorted(names(Sidecar(*documents, env=path))), ["anywhere", "here", "mine", "there"])
    equal(sorted(names(Sidecar(*documents, app_id="other", env=path))), ["anywhere", "here", "mine", "theirs", "there"])


@test("unknown types and categories end the start with the words of the reference", "§5")
def unknown_types():
    log = fails(component("x", "state.nothing"))
    contains(
        log,
        "process component x error: [INIT_COMPONENT_FAILURE]: initialization error occurred for x (state.nothing/v1): "
        "[CREATE_COMPONENT_FAILURE]: initialization error occurred for x (state.nothing/v1): couldn't find state store "
        "state.nothing/v1",
        "level=fatal",
    )
    contains(
        fails(component("x", "zork.nothing")),
        "Fatal error from runtime: failed to load components: process component x "
        "error: incorrect type zork.nothing",
    )
    contains(fails(component("x", "state.in-memory", version="v9")), "couldn't find state store state.in-memory/v9")


@test("a failed init ends the start once, with the words of the reference", "§5")
def init_failure():
    log = fails(component("x", "state.sqlite"), MEM)
    twice = "[INIT_COMPONENT_FAILURE]: initialization error occurred for x (state.sqlite/v1): " * 2
    contains(
        log,
        f"Error processing component, daprd will exit gracefully: process component x error: {twice}"
        "missing connection string",
    )
    log = fails(*[component(f"x{i}", "state.sqlite") for i in range(8)])
    equal(log.count("level=fatal"), 1, log)
    log = fails(component("x", "state.redis", {"redisHost": f"127.0.0.1:{free_port()}", "redisMaxRetries": "0"}))
    contains(log, "redis store: error connecting to redis at 127.0.0.1:")


@test("a component with ignoreErrors appears when its server does", "§5 §8")
def ignore_errors():
    redis = Redis()
    redis.stop()
    sidecar = Sidecar(
        MEM,
        component("late", "state.redis", {"redisHost": f"127.0.0.1:{redis.port}", "redisMaxRetries": "0"}).replace(
            "spec:\n", "spec:\n  ignoreErrors: true\n"
        ),
    )
    contains(sidecar.log(), "Ignoring error processing component: process component late error: ")
    equal(names(sidecar), ["mem"])
    equal(Store(sidecar, "late").get("k").json["errorCode"], "ERR_STATE_STORE_NOT_FOUND")
    redis.start()
    eventually(lambda: Store(sidecar, "late").save("k", 1).status == 204, "the component appears", 60)
    equal(sorted(names(sidecar)), ["late", "mem"])
    equal(Store(sidecar, "late").get("k").text, "1")


# --- ports and sockets ------------------------------------------------------------------------------------------------


@test("the public port serves health and metadata only", "§3 §22")
def public_port():
    sidecar = Sidecar(MEM, public=True, env={"PATH": os.environ["PATH"], "DAPR_API_TOKEN": "t"}, wait=False)
    sidecar.wait_ready()
    for path, status in (
        ("healthz", 204),
        ("healthz/outbound", 204),
        ("metadata", 200),
        ("state/mem/k", 404),
        ("shutdown", 404),
    ):
        equal(call(sidecar.public, "GET", f"/v1.0/{path}").status, status, path)
    equal(call(sidecar.public, "POST", "/v1.0/shutdown").status, 404)
    equal(call(sidecar.public, "PUT", "/v1.0/metadata/x", "y").status, 404)
    equal(sidecar.call("GET", "/v1.0/metadata").status, 401)
    equal(sidecar.call("GET", "/v1.0/metadata", headers=[("dapr-api-token", "t")]).status, 200)


@test("without the flag there is no public port", "§1")
def no_public_port():
    with socket.socket() as s:
        if s.connect_ex(("127.0.0.1", 3501)) == 0:
            return  # somebody else's
    Sidecar(MEM)
    with socket.socket() as s:
        need(s.connect_ex(("127.0.0.1", 3501)) != 0, "port 3501 is closed")


@test("the API is served on a Unix socket instead of a port", "§1 §3")
def unix_socket():
    folder = Folder()
    for workers in ("1", "3"):
        sidecar = Sidecar(
            MEM,
            folder=folder,
            http=False,
            wait=False,
            flags=["--unix-domain-socket", folder.path, "--workers", workers],
        )
        path = folder / "dapr-shop-http.socket"
        eventually(lambda: answers(path), "ready on the socket")
        equal(call(path, "POST", "/v1.0/state/mem", [{"key": "k", "value": 1}]).status, 204)
        equal([call(path, "GET", "/v1.0/state/mem/k").text for _ in range(20)], ["1"] * 20)
        equal(sidecar.stop(), 0)
        need(not os.path.exists(path), "the socket is removed")


@test("the API is served over IPv6 and on several addresses", "§1")
def addresses():
    try:
        free_port("::1")
    except OSError:
        raise Skip("this machine has no IPv6") from None
    sidecar = Sidecar(MEM, host="::1")
    equal(Store(sidecar, "mem").save("k", 1).status, 204)
    port = free_port()
    sidecar = Sidecar(
        MEM, http=False, wait=False, flags=["--dapr-http-port", str(port), "--dapr-listen-addresses", "127.0.0.1,::1"]
    )
    for host in ("127.0.0.1", "::1"):
        eventually(lambda: answers((host, port)), f"it answers on {host}")
    equal(sidecar.stop(), 0)
    sidecar = Sidecar(MEM, http=False, wait=False, flags=["--dapr-http-port", str(port)])
    for host in ("127.0.0.1", "::1"):
        eventually(lambda: answers((host, port)), f"all addresses are the default, {host} too")


def answers(address):
    try:
        return call(address, "GET", "/v1.0/healthz").status == 204
    except (OSError, Cut):
        return False


# --- environment ------------------------------------------------------------------------------------------------------


def others_may_enter(path):
    return path == "/" or os.stat(path).st_mode & 0o001 and others_may_enter(os.path.dirname(path))


@test("an empty environment, another user and any working directory will do", "§1")
def bare_environment():
    folder, database = Folder("/tmp"), Folder("/tmp")  # the runner's own is for its user only
    os.chmod(folder.path, 0o755)
    more = {}
    if os.getuid() == 0 and others_may_enter(BUILD):
        os.chown(database.path, 65532, 65532)
        os.makedirs(folder / "run", mode=0o700)
        os.chown(folder / "run", 65532, 65532)
        more = {"user": 65532, "group": 65532, "extra_groups": []}
    sidecar = Sidecar(
        MEM,
        component("sqlt", "state.sqlite", {"connectionString": database / "x.db"}),
        env={},
        folder=folder,
        cwd="/",
        **more,
    )
    for name in ("mem", "sqlt"):
        equal(Store(sidecar, name).save("k", 1).status, 204)
        equal(Store(sidecar, name).get("k").text, "1")
    if more:
        for name in sidecar.plugins():
            with open(f"/proc/{sidecar.plugin_pid(name)}/status") as f:
                need("\nUid:\t65532\t" in f.read(), "plugins run as that user")
    equal(sidecar.stop(), 0)


@test("without a run directory of its own it finds one", "§1")
def fallback_run_directory():
    sidecar = Sidecar(MEM, env={}, flags=["--run-dir="])
    equal(Store(sidecar, "mem").save("k", 1).status, 204)
    equal(sidecar.stop(), 0)


@test("who calls as soon as the port takes connections finds every component known", "§3")
def earliest_call():
    many = [component(f"mem{i}", "state.in-memory") for i in range(300)]
    for _ in range(5):
        sidecar = Sidecar(*many, wait=False)
        answers = []

        def first():
            try:
                reply = sidecar.call("GET", "/v1.0/state/mem299/k")
                answers.append((reply.status, reply.text))
            except OSError:
                return False  # nobody listens yet
            return True

        eventually(first, "the port takes connections")
        equal(answers, [(204, "")], "it waits for the component")
        sidecar.wait_ready()
        equal(sidecar.stop(), 0)


if __name__ == "__main__":
    main(end_sidecars)
