# SPDX-License-Identifier: Apache-2.0
# in check: yes
# timeout: 240
"""Experiment process: the start matrix. Each row starts a sidecar with flags, an environment and resources, and says how
it must end or what it must answer, and what its log must hold. A row that names a section of the recorded log is held
against it as well: the recorded process must have ended the same way and said the same words."""
import os
import re
import socket
import subprocess
import threading
from dataclasses import dataclass, field

import _prove
import remora
from http_app import App
from remora import component, free_port

claims = _prove.Claims()
MEM = component("mem", "state.in-memory")
PARALLEL = 3
# What the rows' words and the recorded ones may differ in.
PLACES = [(r"<DIR>/shop/res/all\.yaml|/tmp/\S*?\.yaml", "FILE"), (r"127\.0\.0\.1:\d+|127\.0\.0\.1:<\w+>", "ADDRESS"),
          (r"0\.0\.0\.0:\d+|0\.0\.0\.0:<\w+>", "ADDRESS"), (r"<(DEAD|APP)_PORT>|port \d+", "PORT"), (r"port PORT", "PORT")]


@dataclass
class Row:
    name: str
    flags: list = field(default_factory=list)
    resources: list = field(default_factory=list)
    env: dict = field(default_factory=dict)
    code: int = None  # it ends by itself with this; None: it runs, and ends with 0 on SIGTERM
    healthz: int = 204  # of a running one
    outbound: int = 204
    says: list = field(default_factory=list)  # in stdout and stderr
    not_says: list = field(default_factory=list)
    recorded: str = None  # section of the recorded log
    standard: bool = True  # with the flags of Sidecar (app id, ports of its own)


class Taken:
    """A port that somebody else listens on."""

    def __init__(self):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = str(self.socket.getsockname()[1])


def sqlite(name="x", extra=""):
    return component(name, "state.sqlite").replace("spec:\n", "spec:\n" + extra)


def redis(name="x", extra="", port="1"):
    text = component(name, "state.redis", {"redisHost": f"127.0.0.1:{port}", "redisMaxRetries": "0"})
    return text.replace("spec:\n", "spec:\n" + extra)


FOLDER = remora.Folder()
HTTP, GRPC, METRICS, SILENT = Taken(), Taken(), Taken(), Taken()
APP = App()
NOBODY = str(free_port())
CONFIG = FOLDER.write("config.yaml", "apiVersion: dapr.io/v1alpha1\nkind: Configuration\nmetadata: {name: c}\nspec:\n"
                      "  features: [{name: HotReload, enabled: false}]\n")
BROKEN_CONFIG = FOLDER.write("broken.yaml", "kind: Configuration\nspec: [1\n")
GUARDED_CONFIG = FOLDER.write("guarded.yaml", "apiVersion: dapr.io/v1alpha1\nkind: Configuration\nmetadata: {name: c}\n"
                              "spec: {components: {deny: state.redis}}\n")
SECRET_REF = component("x", "state.in-memory") + ("  metadata:\n  - name: password\n    secretKeyRef: {name: p, key: p}\n"
                                                  "auth:\n  secretStore: ghost\n")
FATAL = "Fatal error from runtime: "
INIT = "[INIT_COMPONENT_FAILURE]: initialization error occurred for "

USAGE = [
    Row("an unknown flag", ["--no-such-flag"], code=2, says=["unknown flag: --no-such-flag", "Usage of "],
        recorded="unknown flag"),
    Row("an unknown short flag", ["-x"], code=2, says=["unknown shorthand flag: 'x' in -x"]),
    Row("a flag without its argument", ["--app-id"], code=2, says=["flag needs an argument: --app-id"]),
    Row("a number that is none", ["--app-max-concurrency", "many"], code=2,
        says=['invalid argument "many" for "--app-max-concurrency" flag: strconv.ParseInt: parsing "many": invalid syntax']),
    Row("a boolean that is none", ["--log-as-json=maybe"], code=2, says=['strconv.ParseBool: parsing "maybe"']),
    Row("a duration without a unit", ["--dapr-block-shutdown-duration", "5"], code=2, says=["missing unit in duration"]),
    Row("help", ["--help"], code=0, says=["Usage of ", "--dapr-http-port string"], recorded="daprd --help"),
    Row("the version", ["--version"], code=0, says=["edge"], recorded="daprd --version"),
    Row("build info", ["--build-info"], code=0, says=["Version: edge"], recorded="daprd --build-info"),
    Row("no app id", code=1, says=[FATAL + "parameter app-id cannot be empty"], recorded="no app id"),
    Row("a bad log level", ["--app-id=a", "--log-level=loud"], code=1, says=["invalid value for --log-level: loud"],
        recorded="bad log level"),
    Row("a bad size", ["--app-id=a", "--max-body-size=much"], code=1, recorded="bad size",
        says=["Failed to parse flags: invalid value for 'max-body-size' option: quantities must match the regular "
              "expression"]),
    Row("a port that is no number", ["--app-id=a", "--dapr-http-port=web"], code=1, says=["error parsing dapr-http-port"]),
    Row("a port beyond all", ["--app-id=a", "--dapr-http-port=70000"], code=1, says=["out of range"]),
    Row("one port for two", ["--app-id=a", "--dapr-http-port=4000", "--app-port=4000"], code=1, says=["conflicts with"]),
    Row("another mode", ["--app-id=a", "--mode=moon"], code=1, says=["invalid value for --mode: moon"]),
    Row("a protocol nobody speaks", ["--app-id=a", "--app-protocol=smoke"], code=1, says=["smoke"]),
    Row("mTLS without anchors", ["--app-id=a", "--enable-mtls"], code=1, says=[FATAL + "trust anchors are required"],
        recorded="mtls without anchors"),
    Row("mTLS with anchors twice", ["--app-id=a", "--enable-mtls"], code=1, says=[FATAL + "trust anchors cannot be"],
        env={"DAPR_TRUST_ANCHORS": "x", "DAPR_TRUST_ANCHORS_FILE": "/x"}),
    Row("mTLS without a certificate authority", ["--app-id=a", "--enable-mtls"], code=1, env={"DAPR_TRUST_ANCHORS": "x"},
        says=[FATAL + "sentry address is required"]),
    Row("mTLS with anchors that are none", ["--app-id=a", "--enable-mtls", "--sentry-address=localhost:1"], code=1,
        env={"DAPR_TRUST_ANCHORS": "x"}, says=[FATAL + "failed to decode trust anchors"]),
    Row("no workers", ["--app-id=a", "--workers=0"], code=1, says=["invalid value for --workers: 0"]),
    Row("a configuration that is not there", ["--app-id=a", "--config=/nonexistent/c.yaml"], code=1,
        says=[FATAL + "error loading configuration: stat /nonexistent/c.yaml: no such file or directory"],
        recorded="missing config file"),
    Row("a configuration that is broken", ["--app-id=a", "--config", BROKEN_CONFIG], code=1,
        says=[FATAL + "error loading configuration: ", "broken.yaml"]),
    Row("a protection that makes no sense", ["--app-id=a", "--config", GUARDED_CONFIG], code=1,
        says=[FATAL, "components.deny"]),
    Row("a folder of resources that is not there", ["--app-id=a", "--resources-path=/nonexistent/r"], code=1,
        says=[FATAL + "failed to create watcher: failed to add target /nonexistent/r: no such file or directory"],
        recorded="missing resources path"),
]
for row in USAGE:
    row.standard = False

RUNS = [
    Row("nothing but ports"),
    Row("a configuration", ["--config", CONFIG], [MEM], not_says=["Enabled features"]),
    Row("values behind = and behind a blank", ["--log-level=debug", "--read-buffer-size", "8Ki", "--max-body-size=8Mi"],
        [MEM], says=["level=debug", "size 8388608 bytes"]),
    Row("old names", ["--dapr-http-max-request-size=8", "--dapr-http-read-buffer-size=16"], [MEM],
        says=["Flag --dapr-http-max-request-size has been deprecated", "size 8388608 bytes"]),
    Row("a flag whose feature is not there yet", ["--reminders-service", "x", "--enable-profiling"],
        [MEM], says=["These options have no effect yet, ignoring them: --reminders-service --enable-profiling"]),
    Row("a variable whose feature is not there yet", [], [MEM], env={"DAPR_SKIP_REMINDER_MIGRATION": "/x"},
        says=["These options have no effect yet, ignoring them: DAPR_SKIP_REMINDER_MIGRATION"]),
    Row("one of two addresses", ["--dapr-listen-addresses", "127.0.0.1,203.0.113.7"], [MEM],
        says=["Failed to listen for HTTP server on TCP address 203.0.113.7:"]),
    Row("an API token", [], [MEM], env={"DAPR_API_TOKEN": "t"}, not_says=["DAPR_API_TOKEN"]),
    Row("a namespace", [], [component("there", "state.in-memory", namespace="test"), MEM], env={"NAMESPACE": "prod"},
        says=["Component loaded: mem"], not_says=["Component loaded: there"]),
    Row("three workers", ["--workers=3"], [MEM]),
    Row("an app that listens", ["--app-port", str(APP.port)], [MEM],
        says=[f"application discovered on port {APP.port}", "dapr initialized. Status: Running."]),
    Row("an app that does not listen", ["--app-port", NOBODY], [MEM], healthz=500, not_says=["dapr initialized"],
        says=[f"application protocol: http. waiting on port {NOBODY}.  This will block until the app is listening on that "
              "port."], recorded="app port nobody listens on"),
]

BROKEN = [
    Row("an unknown type", [], [component("x", "state.nothing")], code=1, recorded="component of unknown type",
        says=["Failed to init component x (state.nothing/v1): [CREATE_COMPONENT_FAILURE]: initialization error occurred for "
              "x (state.nothing/v1): couldn't find state store state.nothing/v1", "Error processing component, daprd will "
              f"exit gracefully: process component x error: {INIT}x (state.nothing/v1): [CREATE_COMPONENT_FAILURE]: ",
              FATAL + "failed to load components: process component x error: "]),
    Row("an unknown category", [], [component("x", "zork.nothing")], code=1, recorded="unknown category",
        says=[FATAL + "failed to load components: process component x error: incorrect type zork.nothing"]),
    Row("an unknown version", [], [component("x", "state.in-memory", version="v9")], code=1,
        says=["couldn't find state store state.in-memory/v9"]),
    Row("a failed init", [], [redis()], code=1, recorded="init failure",
        says=[f"Failed to init component x (state.redis/v1): {INIT}x (state.redis/v1): redis store: error connecting to "
              "redis at 127.0.0.1:1: ",
              f"Error processing component, daprd will exit gracefully: process component x error: {INIT}x (state.redis/v1): "
              f"{INIT}x (state.redis/v1): redis store: ",
              FATAL + f"failed to load components: process component x error: {INIT}x"]),
    Row("several failed inits", [], [sqlite(f"x{i}") for i in range(5)] + [MEM], code=1,
        says=["missing connection string", FATAL + "failed to load components: process component x"]),
    Row("a failed init that is ignored", [], [redis(extra="  ignoreErrors: true\n"), MEM], recorded="init failure ignored",
        says=[f"Ignoring error processing component: process component x error: {INIT}x (state.redis/v1): {INIT}x "]),
    Row("an init without end", [], [redis(extra="  initTimeout: 1s\n", port=SILENT.port)], code=1,
        says=[f"Failed to init component x (state.redis/v1): {INIT}x (state.redis/v1): "]),
    Row("an init that still goes on", [], [redis(port=SILENT.port), MEM], healthz=500, outbound=500,
        not_says=["dapr initialized"]),
    Row("a name twice", [], [component("x", "state.in-memory"), component("x", "state.sqlite")], code=1,
        says=[FATAL + "failed to load components: duplicate definition of Component name x (state.sqlite/v1) with existing x "
              "(state.in-memory/v1)"]),
    Row("two names twice", [], [component(n, "state.in-memory") for n in ("x", "x", "y", "y")], code=1,
        says=[r"(state.in-memory/v1)\nduplicate definition of Component name y"]),
    Row("broken YAML", [], ["a: b: c\n", MEM], says=["mapping values are not allowed in this context"],
        recorded="broken yaml"),
    Row("a secret store that is not there", [], [SECRET_REF, MEM], recorded="missing secret store",
        says=["references a secret store that isn't loaded: ghost"]),
    Row("kinds that nobody knows", [], ["apiVersion: v1\nkind: Nonsense\nmetadata: {name: x}\n", MEM]),
    Row("an app that is out of scope", [], [component("x", "state.nothing", extra="scopes: [other]\n"), MEM]),
    Row("a key where a secret must be", [], [component("x", "state.in-memory", {"primaryEncryptionKey": "00" * 16})], code=1,
        says=[FATAL + "failed to load components: process component x error: "]),
]

PORTS = [
    Row("the HTTP port taken", ["--dapr-http-port", HTTP.port, "--dapr-listen-addresses", "127.0.0.1"], code=1,
        says=[FATAL + f"failed to start HTTP server: could not listen on any endpoint: listen tcp 127.0.0.1:{HTTP.port}: "
              "bind: address already in use"]),
    Row("the gRPC port taken", ["--dapr-grpc-port", GRPC.port], code=1, says=[f"127.0.0.1:{GRPC.port}: bind: address already in use"]),
    Row("the metrics port taken", ["--metrics-port", METRICS.port, "--metrics-listen-address", "127.0.0.1"], code=1,
        says=[FATAL + f"failed to listen on 127.0.0.1:{METRICS.port}: listen tcp 127.0.0.1:{METRICS.port}: bind: address "
              "already in use"], recorded="metrics port taken"),
    Row("the folder of Unix sockets missing", ["--unix-domain-socket=/nonexistent"], code=1, says=["no such file or directory"]),
]


def output_of(row):
    """A sidecar that ends by itself, with nothing but the row's flags."""
    done = subprocess.run([remora.REMORAD, *row.flags], capture_output=True, text=True, timeout=60,
                          env={"PATH": os.environ["PATH"], **row.env})
    return done.returncode, done.stdout + done.stderr


def observe(row):
    """Problems of a row that runs with ports of its own."""
    sidecar = remora.Sidecar(*row.resources, flags=row.flags, env={"PATH": os.environ["PATH"], **row.env}, wait=False)
    if row.code is not None:
        code = sidecar.wait(60)
        return [f"exit code {code}, not {row.code}"] * (code != row.code), sidecar.log()
    problems = []
    for path, status in (("/v1.0/healthz/outbound", row.outbound), ("/v1.0/healthz", row.healthz)):
        try:
            remora.eventually(lambda p=path, s=status: sidecar.healthz(p) == s or not sidecar.is_alive(), path, 30)
        except AssertionError:
            problems.append(f"{path} is {sidecar.healthz(path)}, not {status}")
    try:  # the last words may come after the first answer
        remora.eventually(lambda: all(words in unquoted(sidecar.log()) for words in row.says), "it says it all")
    except AssertionError:
        pass  # told by whoever judges
    code = sidecar.stop() if sidecar.is_alive() else sidecar.wait()
    if code != 0:
        problems.append(f"exit code {code} after SIGTERM")
    return problems, sidecar.log()


def unquoted(text):
    """Quotes as they were before they were logged."""
    return text.replace('\\"', '"')


def plain(text):
    """That, and numbers of this machine as one word."""
    text = unquoted(text)
    for pattern, word in PLACES:
        text = re.sub(pattern, word, text)
    return text


def sections():
    try:
        path = remora.shared("recordings", "logs.txt")
    except remora.Skip:
        return None
    with open(path) as f:
        parts = re.split(r"^=== (.*) ===$", f.read(), flags=re.M)
    return {re.sub(r":.*", "", title): (title, text) for title, text in zip(parts[1::2], parts[2::2])}


def against_recording(row, recorded):
    """What the row demands that the recorded process did not do."""
    title, text = recorded[row.recorded]
    text, problems = plain(text), []
    code = int(re.search(r"exit code (\d)", title)[1])
    if (row.code or 0) != code:
        problems.append(f"recorded: {title}")
    for words in row.says:
        # The program's own name, and what follows a recorded address, are of the machine.
        if words not in ("Usage of ",) and plain(words) not in text:
            problems.append(f"not recorded: {words}")
    return problems


def judge(row, recorded, bad):
    try:
        if row.standard:
            problems, log = observe(row)
        else:
            code, log = output_of(row)
            problems = [f"exit code {code}, not {row.code}"] * (code != row.code)
        text = unquoted(log)
        problems += [f"does not say {words!r}" for words in row.says if words not in text]
        problems += [f"says {words!r}" for words in row.not_says if words in text]
        if row.recorded and recorded:
            problems += against_recording(row, recorded)
        if problems:
            problems.append("log: " + log[-700:])
    except Exception as error:  # the other rows are still worth looking at
        problems = [repr(error)]
    if problems:
        bad.append(f"{row.name}: {'; '.join(problems)}")


def run_all(rows, recorded):
    bad, rest, lock = [], list(rows), threading.Lock()

    def work():
        while True:
            with lock:
                if not rest:
                    return
                row = rest.pop(0)
            judge(row, recorded, bad)

    threads = [threading.Thread(target=work) for _ in range(PARALLEL)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return bad


VALUES = {"int": "3", "uint": "3", "duration": "3s", "strings": "x", "string": "x", "": None}
SPECIAL = {"log-level": "info", "max-body-size": "4Mi", "read-buffer-size": "4Ki", "app-protocol": "http", "mode": "standalone",
           "app-port": "3", "dapr-grpc-port": "4", "dapr-http-port": "5", "dapr-internal-grpc-port": "6", "metrics-port": "7",
           "dapr-public-port": "8", "profile-port": "9"}
# In no help text of the reference, but accepted by it.
UNLISTED = ["--app-ssl=false", "--components-path=x", "--dapr-http-max-request-size=4", "--dapr-http-read-buffer-size=4",
            "--actors-service=x", "--reminders-service=x", "--max-api-level=1"]


def every_flag(recorded):
    """All flags of the recorded help, each in both forms, at once."""
    listed = re.findall(r"^      --([a-z0-9-]+)(?: (int|uint|duration|strings|string))? ", recorded["daprd --help"][1], re.M)
    flags = list(UNLISTED)
    for name, kind in listed:
        if name in ("version", "build-info", "wait"):
            continue
        value = SPECIAL.get(name, VALUES[kind])
        flags += [f"--{name}"] if value is None else [f"--{name}={value}", f"--{name}", value]
    code, text = output_of(Row("", [*flags, "--version"]))
    claims.holds(f"all {len(listed) + len(UNLISTED)} flags of the reference are known", code == 0 and text == "edge\n", text[-200:])


def main():
    recorded = sections()
    rows = USAGE + RUNS + BROKEN + PORTS
    bad = run_all(rows, recorded)
    for text in bad:
        _prove.say(text)
    claims.holds(f"all {len(rows)} rows", not bad, f"{len(bad)} not")
    held = [row for row in rows if row.recorded]
    if recorded:
        every_flag(recorded)
    claims.end(f"{len(rows) - len(bad)} of {len(rows)} starts as the table says, {len(held) if recorded else 0} of them "
               "held against the recordings")


main()
