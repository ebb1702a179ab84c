# SPDX-License-Identifier: Apache-2.0
# timeout: 120
"""Metrics and the log of API calls: what Prometheus reads, compared by shape with what the reference serves, and what
the settings of a Configuration change in it. Numbers with § are sections of the behaviour that is matched."""

import json
import os
import re
import signal
import socket
import threading

from http_app import App
from remora import (
    Folder,
    Sidecar,
    call,
    component,
    equal,
    eventually,
    free_port,
    main,
    need,
    request_bytes,
    shared,
    test,
)

MEM = component("mem", "state.in-memory")
NOBODY = "nobody-counts"  # other tests have sidecars of simple names, which are found by mDNS
SAMPLE = re.compile(r'^([a-z_:0-9]+)(?:\{(.*)\})? (\S+)$')
LABEL = re.compile(r'([a-z_]+)="((?:[^"\\]|\\.)*)"')


class Metrics:
    """One exposition, taken apart; complains about what is no exposition."""

    def __init__(self, text):
        self.help, self.type, self.values = {}, {}, {}
        self.names = []
        for line in text.splitlines():
            if line.startswith("# HELP "):
                _, _, name, words = line.split(" ", 3)
                need(name not in self.help, f"{name} twice")
                self.help[name] = words
                self.names.append(name)
            elif line.startswith("# TYPE "):
                _, _, name, kind = line.split(" ")
                equal(name, self.names[-1], "TYPE follows HELP")
                self.type[name] = kind
            elif line and not line.startswith("#"):
                found = SAMPLE.match(line)
                need(found, f"no sample: {line}")
                labels = tuple(LABEL.findall(found[2] or ""))
                need((found[1], labels) not in self.values, f"twice: {line}")
                self.values[found[1], labels] = found[3]
                family = re.sub("_(bucket|sum|count)$", "", found[1])
                need(self.names[-1] in (found[1], family), f"{line} stands under {self.names[-1]}")

    def get(self, name, **labels):
        return sum(
            float(value) for (n, got), value in self.values.items() if n == name and labels.items() <= dict(got).items()
        )

    def shape(self, name):
        """The names of the labels, in order, of all samples of a family."""
        return {
            (n, tuple(label for label, _ in labels))
            for n, labels in self.values
            if re.sub("_(bucket|sum|count)$", "", n) == name or n == name
        }


def with_configuration(spec):
    if not spec:
        return []
    text = f"apiVersion: dapr.io/v1alpha1\nkind: Configuration\nspec:\n{spec}"
    return ["--config", Folder().write("config.yaml", text)]


def observed(*resources, configuration="", flags=(), **more):
    """A sidecar whose metrics can be read."""
    port = free_port()
    flags = [*with_configuration(configuration), "--metrics-port", str(port), *flags]
    sidecar = Sidecar(*resources, wait=False, flags=flags, **more)
    sidecar.metrics_address = ("127.0.0.1", port)
    return sidecar.wait_ready()


def scrape(sidecar, only=""):
    """All of it, or one family: taking tens of thousands of lines apart takes a while."""
    reply = call(sidecar.metrics_address, "GET", "/metrics")
    equal(reply.status, 200)
    return Metrics("\n".join(line for line in reply.text.splitlines() if only in line))


def use(sidecar):
    """What the recording's sidecar was asked, as far as it is there."""
    equal(sidecar.call("POST", "/v1.0/state/mem", [{"key": "a", "value": 1}]).status, 204)
    equal(sidecar.call("GET", "/v1.0/state/mem/a").status, 200)
    equal(sidecar.call("GET", "/v1.0/state/ghost/a").status, 400)
    equal(sidecar.call("GET", "/v1.0/healthz").status, 204)


@test("families, texts, types, labels and buckets are those of the reference", "§12")
def as_recorded():
    with open(shared("recordings", "metrics.txt")) as f:
        part = f.read().split("## scrape of ")[1]
    recorded = Metrics("\n".join(line for line in part.splitlines()[1:]))
    sidecar = observed(MEM)
    use(sidecar)
    ours = scrape(sidecar)
    wanted = [
        name
        for name in recorded.names
        if name.startswith(("dapr_component_state", "dapr_http_server", "dapr_runtime_component", "process_"))
    ]
    need(len(wanted) > 15, wanted)
    for name in wanted:
        equal((ours.help.get(name), ours.type.get(name)), (recorded.help[name], recorded.type[name]), name)
        equal(ours.shape(name), recorded.shape(name), name)
    equal(ours.names, sorted(ours.names), "order")
    for name, labels in recorded.values:
        if name.startswith(tuple(wanted)) and "bus" not in str(labels) and "invoke" not in str(labels):
            labels = tuple((k, "shop" if k == "app_id" else v) for k, v in labels)
            if ("component", "pubsub.in-memory") not in labels:
                need((name, labels) in ours.values, f"{name} {labels} is not there")


@test("so are those of calls to an application", "§12")
def of_calls():
    with open(shared("recordings", "metrics.txt")) as f:
        part = f.read().split("## scrape of ")[2]
    recorded = Metrics("\n".join(line for line in part.splitlines()[1:]))
    sidecar = observed(app_id="back", flags=["--app-port", str(App().port)])
    for method, target in (("GET", "/o/2"), ("POST", "/o/1")):
        sidecar.call(method, "/v1.0/invoke/back/method" + target, b"{}" if method == "POST" else None)
    ours = scrape(sidecar)
    wanted = [name for name in recorded.names if name.startswith("dapr_http_client")]
    equal(len(wanted), 4)
    for name in wanted:
        equal((ours.help.get(name), ours.type.get(name)), (recorded.help[name], recorded.type[name]), name)
        equal(ours.shape(name), recorded.shape(name), name)
    for name, labels in recorded.values:
        if name.startswith(tuple(wanted)) and re.search("/o/|/dapr/config", str(labels)):
            need((name, labels) in ours.values, f"{name} {labels} is not there")


@test("head, any path and any way of asking", "§3")
def head():
    sidecar = observed(MEM)
    for target in ("/", "/metrics", "/x?y=z"):
        reply = call(sidecar.metrics_address, "GET", target)
        equal(reply.status, 200)
        equal(dict(reply.headers)["Content-Type"], "text/plain; version=0.0.4; charset=utf-8; escaping=underscores")
    before = scrape(sidecar).get("dapr_http_server_request_count")
    equal(scrape(sidecar).get("dapr_http_server_request_count"), before, "the metrics port does not count itself")


@test("every request is counted once, whatever the number of workers", "§12")
def counts():
    for workers in ("1", "3"):
        sidecar = observed(MEM, flags=["--workers", workers])
        before = scrape(sidecar)
        ready = before.get("dapr_http_server_request_count", path="/v1.0/healthz", status="204")

        def work():
            connection = sidecar.connect()
            for i in range(50):
                body = json.dumps([{"key": f"k{i}", "value": "x" * i}]).encode()
                connection.send(request_bytes("POST", "/v1.0/state/mem", body=body))
                equal(connection.reply().status, 204)
                connection.send(request_bytes("GET", f"/v1.0/state/mem/k{i}"))
                equal(connection.reply().status, 200)
            connection.close()

        threads = [threading.Thread(target=work) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        metrics = scrape(sidecar)
        for name in ("dapr_http_server_request_count", "dapr_http_server_response_count", "dapr_http_server_latency_count"):
            equal(metrics.get(name, path="/v1.0/state/mem", method="GET", status="200"), 300, name)
            equal(metrics.get(name, path="/v1.0/state/mem", method="POST", status="204"), 300, name)
        equal(metrics.get("dapr_http_server_request_count", path="/v1.0/healthz", status="204"), ready)
        equal(metrics.get("dapr_component_state_count", operation="set", success="true", component="mem"), 300)
        equal(metrics.get("dapr_component_state_count", operation="get", success="true", component="mem"), 300)
        equal(metrics.get("dapr_component_state_latencies_bucket", operation="get", le="+Inf"), 300)
        equal(metrics.get("remora_plugin_call_microseconds_count"), 600)
        name = "dapr_http_server_response_bytes_sum"
        equal(metrics.get(name) - before.get(name), 6 * sum(2 + i for i in range(50)))
        equal(len({labels for name, labels in metrics.values if name == "remora_tasks"}), int(workers))
        equal(sidecar.stop(), 0)


@test("failures of components count as such", "§12")
def failures():
    sidecar = observed(MEM)
    etag = [{"key": "a", "value": 1, "etag": "77", "options": {"concurrency": "first-write"}}]
    equal(sidecar.call("POST", "/v1.0/state/mem", [{"key": "a", "value": 1}]).status, 204)
    equal(sidecar.call("POST", "/v1.0/state/mem", etag).status, 409)
    equal(sidecar.call("POST", "/v1.0/state/mem", etag + [{"key": "b", "value": 1}]).status, 409)
    metrics = scrape(sidecar)
    equal(metrics.get("dapr_component_state_count", operation="set", success="false"), 2)
    equal(metrics.get("dapr_component_state_count", operation="set", success="true"), 1)


@test("NAMESPACE is a label of components", "§12")
def namespaces():
    sidecar = observed(MEM, env={"NAMESPACE": "prod", "PATH": os.environ["PATH"]})
    use(sidecar)
    equal(scrape(sidecar).get("dapr_component_state_count", namespace="prod", operation="get"), 1)


@test("low cardinality, excluded verbs, own buckets", "§12")
def settings():
    sidecar = observed(
        MEM,
        configuration="  metrics:\n    latencyDistributionBuckets: [7, 70]\n    http: {increasedCardinality: false, "
        "excludeVerbs: true}\n",
    )
    use(sidecar)
    metrics = scrape(sidecar)
    equal(metrics.get("dapr_http_server_request_count", path="", method="", status="400"), 1)
    need(metrics.get("dapr_http_server_request_count", path="", method="", status="204") >= 2, "health is among them")
    bounds = {dict(labels)["le"] for name, labels in metrics.values if name == "dapr_http_server_latency_bucket"}
    equal(bounds, {"7", "70", "+Inf"})


@test("paths are matched with templates", "§12")
def templates():
    sidecar = observed(
        MEM,
        configuration="  metric:\n    http:\n      increasedCardinality: false\n      pathMatching:\n"
        "      - /v1.0/state/mem/{key}\n      - /orders/{id}\n",
    )
    use(sidecar)
    sidecar.call("GET", "//v1.0///state/mem/b")
    sidecar.call("GET", f"/v1.0/invoke/{NOBODY}/method/orders/7")
    metrics = scrape(sidecar)
    equal(metrics.get("dapr_http_server_request_count", path="/v1.0/state/mem/{key}"), 2)
    equal(metrics.get("dapr_http_server_request_count", path="/v1.0/invoke/{app_id}/method/orders/{id}"), 1)
    equal(metrics.get("dapr_http_server_request_count", path="", status="400"), 1)


@test("error codes are counted when asked for, each answer once", "§12")
def error_codes():
    equal(scrape(observed(MEM)).get("dapr_error_code_total"), 0)
    sidecar = observed(MEM, configuration="  metrics: {recordErrorCodes: true}\n")
    use(sidecar)
    sidecar.call("GET", "/nowhere")
    sidecar.call("POST", "/v1.0/state/mem", b"{")
    metrics = scrape(sidecar)
    equal(metrics.get("dapr_error_code_total", category="state", error_code="ERR_STATE_STORE_NOT_FOUND"), 1)
    equal(metrics.get("dapr_error_code_total", category="service-invocation", error_code="ERR_DIRECT_INVOKE"), 1)
    equal(metrics.get("dapr_error_code_total", category="common", error_code="ERR_MALFORMED_REQUEST"), 1)


def invent(sidecar, count):
    """So many requests, each of another path."""
    connection = sidecar.connect()
    for start in range(0, count, 100):
        connection.send(b"".join(request_bytes("GET", f"/invented/{i}") for i in range(start, start + 100)))
        for _ in range(100):
            equal(connection.reply().status, 404)
    connection.close()


@test("a client that invents paths and methods meets a limit", "limits")
def cardinality():
    sidecar = observed(MEM)
    name = "dapr_http_server_request_count"
    before = scrape(sidecar, name).get(name)
    invent(sidecar, 5000)
    equal(sidecar.call("BREW", "/tea").status, 404)
    equal(sidecar.call("GET", "/%22%0A%ff%c3%bc").status, 404)
    metrics = scrape(sidecar, name)
    equal(metrics.get(name) - before, 5002, "none is lost")
    need(len([1 for got, _ in metrics.values if got == name]) < 4200, "bounded")
    need(metrics.get(name, path="overflow") > 800, "the rest is counted together")


@test("readers that leave or stall do no harm", "robustness")
def bad_readers():
    sidecar = observed(MEM)
    invent(sidecar, 3000)
    stalled = []
    for i in range(8):
        s = socket.create_connection(sidecar.metrics_address)
        s.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        stalled.append(s)
        if i % 2:
            s.close()
    equal(sidecar.call("GET", "/v1.0/healthz").status, 204)
    scrape(sidecar, "process_open_fds")
    for s in stalled:
        s.close()
    equal(sidecar.stop(), 0)


@test("restarts, generations and swaps are counted", "remora")
def plugins():
    sidecar = observed(MEM)
    equal(scrape(sidecar).get("remora_plugin_generations_total", plugin="in-memory"), 1)
    os.kill(sidecar.plugin_pid("in-memory"), signal.SIGKILL)
    eventually(lambda: scrape(sidecar).get("remora_plugin_restarts_total", plugin="in-memory") == 1, "a restart")
    eventually(lambda: scrape(sidecar).get("remora_plugin_generations_total", plugin="in-memory") == 2, "a generation")
    eventually(lambda: scrape(sidecar).get("dapr_runtime_component_init_total", component="state.in-memory") == 2,
               "the component is there again")
    changed = sidecar.folder.write("changed", component("mem", "state.in-memory", {"keyPrefix": "none"}))
    os.replace(changed, sidecar.folder / "resources/0.yaml")
    eventually(lambda: scrape(sidecar).get("remora_swap_microseconds_count", component="mem", success="true") == 1,
               "a swap")
    eventually(lambda: scrape(sidecar).get("remora_link_credit_bytes", component="mem") > 0, "credit")


@test("metrics can be turned off, and then nothing listens", "§12")
def off():
    for more in ({"flags": ["--enable-metrics=false"]}, {"configuration": "  metrics: {enabled: false}\n"},
                 {"configuration": "  metric: {enabled: false}\n"}):
        sidecar = observed(MEM, **more)
        use(sidecar)
        equal(socket.socket().connect_ex(sidecar.metrics_address), 111)
        need('metric spec: {\\"enabled\\":false}' in sidecar.log(), "said so")


@test("a metrics port that is taken ends the start", "§1")
def taken():
    with socket.socket() as s:
        s.bind(("0.0.0.0", 0))
        s.listen()
        port = s.getsockname()[1]
        sidecar = Sidecar(MEM, wait=False, flags=["--metrics-port", str(port)])
        equal(sidecar.wait(), 1)
        address = f"0.0.0.0:{port}"
        words = f"failed to listen on {address}: listen tcp {address}: bind: address already in use"
        need(f'level=fatal msg="Fatal error from runtime: {words}"' in sidecar.log(), sidecar.log())


# --- the log of calls -------------------------------------------------------------------------------------------------


def calls(sidecar):
    return [line for line in sidecar.log().splitlines() if "HTTP API Called" in line]


def plain(line):
    line = re.sub(r'duration(=|":)\d+', r"duration\g<1>0", line)  # a busy machine takes some milliseconds, or many
    line = re.sub(r'time="[^"]*"', 'time="<TIME.frac>"', line)
    line = re.sub(r"instance=\S+", "instance=<HOST>", line)
    line = re.sub(r'"time":"[^"]*"', '"time":"<TIME.frac>"', line)
    return re.sub(r'"instance":"[^"]*"', '"instance":"<HOST>"', line)


@test("calls are logged as recorded, as text and as JSON", "§2")
def logged():
    with open(shared("recordings", "logs.txt")) as f:
        recorded = [line for line in f.read().splitlines() if "HTTP API Called" in line]
    for flags, is_json in ((["--enable-api-logging"], False), (["--enable-api-logging", "--log-as-json"], True)):
        sidecar = observed(MEM, flags=flags)
        use(sidecar)
        sidecar.call("GET", "/zzz?a=b")
        ours = [plain(line) for line in calls(sidecar)]
        wanted = [line for line in recorded if line.startswith("{") == is_json]
        wanted = [line for line in wanted if re.search("state|healthz|zzz", line)]
        equal(len(wanted), 5)
        for line in wanted:
            need(line in ours, f"{line}\nis not among\n" + "\n".join(ours))
        equal(sidecar.stop(), 0)


@test("a Configuration can ask for it, hide names, leave out health", "§2")
def configured():
    sidecar = observed(
        MEM,
        configuration="  logging: {apiLogging: {enabled: true, obfuscateURLs: true, omitHealthChecks: true}}\n",
        flags=["--log-as-json"],
    )
    use(sidecar)
    sidecar.call("GET", f"/v1.0/invoke/{NOBODY}/method/secret/path")
    sidecar.call("GET", "/secret/path", headers=[("dapr-app-id", NOBODY)])
    names = [re.search('"method":"([^"]*)"', line)[1] for line in calls(sidecar)]
    equal(names, ["SaveState", "GetState", "GetState", f"InvokeService/{NOBODY}", f"InvokeService/{NOBODY}"])
    sidecar = observed(
        MEM,
        configuration="  logging: {apiLogging: {enabled: true}}\n",
        flags=["--enable-api-logging=false"],
    )
    use(sidecar)
    equal(calls(sidecar), [], "the flag counts")
    sidecar = observed(MEM, configuration="  logging: {apiLogging: {enabled: true}}\n", flags=["--log-level", "warn"])
    use(sidecar)
    equal(calls(sidecar), [], "below the level")


@test("what a client sends cannot forge a line", "§2")
def forged():
    sidecar = observed(MEM, flags=["--enable-api-logging"])
    sidecar.call("GET", '/v1.0/state/mem/%0Atime%3D%22x%22', headers=[("User-Agent", 'a" level=fatal')])
    last = calls(sidecar)[-1]
    need('method="GET /v1.0/state/mem/\\ntime=\\"x\\""' in last and 'useragent="a\\" level=fatal"' in last, last)


@test("a refused token is counted but not logged as a call", "§2")
def refused():
    sidecar = observed(MEM, flags=["--enable-api-logging"], env={"DAPR_API_TOKEN": "s", "PATH": os.environ["PATH"]})
    equal(sidecar.call("GET", "/v1.0/state/mem/a").status, 401)
    equal([line for line in calls(sidecar) if "state" in line], [])
    equal(scrape(sidecar).get("dapr_http_server_request_count", status="401"), 1)


# --- all other lines --------------------------------------------------------------------------------------------------

# Lines of the reference about what is not there (yet), and a warning about a version that has long been out.
ELSEWHERE = re.compile(
    "commit|increasedCardinality|[Aa]ctor|mdns|mDNS|name resolution|[Ss]cheduler|http endpoints|Loading endpoints|"
    "Subscription|MCP|SIGHUP|WorkflowAccessPolicy|gRPC metrics|grpc.internal|workflow|Internal gRPC|pre-bound|pub/sub|"
    "application |Application |subscribed|subscription|pubsub.in-memory|Enabled features"
)


def line_shapes(text):
    shapes = []
    for line in text.splitlines():
        if "level=" not in line or ELSEWHERE.search(line):
            continue
        line = re.sub(r'time="[^"]*" |instance=\S+ ', "", line)
        line = re.sub(r"\d+ms", "<N>ms", line)
        line = re.sub(r"Watching directories: .*?\]", "Watching directories", line)
        line = re.sub(r"\b(port |:)(<\w+>|\d{4,5})", r"\1<N>", line)
        shapes.append(line)
    return shapes


@test("start and end say what the reference says", "§2")
def start_and_end():
    with open(shared("recordings", "logs.txt")) as f:
        recorded = f.read().split("\n=== ")[1]
    need(recorded.startswith("app with port") or "; info ===" in recorded.splitlines()[0], recorded[:80])
    sidecar = Sidecar(MEM)
    equal(sidecar.stop(), 0)
    wanted, ours = line_shapes(recorded), line_shapes(sidecar.log())
    need(len(wanted) > 20, wanted)
    missing = [line for line in wanted if line not in ours]
    equal(missing, [])


if __name__ == "__main__":
    main()
