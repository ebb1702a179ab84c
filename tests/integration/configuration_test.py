#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 180
"""A Configuration that changes while the sidecar works: what it says takes effect in place, on every worker, without
one request failing; what cannot be used changes nothing and is said."""
import json
import os
import signal
import subprocess
import sys

sys.path[:0] = [os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib")]
import remora  # noqa: E402
from remora import component, equal, free_port, need, test  # noqa: E402
from swap_bed import Bed  # noqa: E402

HEAD = "apiVersion: dapr.io/v1alpha1\nkind: Configuration\nmetadata:\n  name: mine\nspec:\n"
SCOPES = "  secrets:\n    scopes:\n    - {storeName: vault, defaultAccess: allow, deniedSecrets: [%s]}\n"
OFF = "  features:\n  - {name: HotReload, enabled: false}\n"


class Configured(Bed):
    """A bed whose Configuration and secrets change as well."""

    def __init__(self, *stores, spec="", flags=(), **more):
        self.configuration = remora.Folder()
        self.secrets = self.configuration.write("secrets.json", json.dumps({"a": "1", "b": "2"}))
        self.metrics_port = free_port()
        self.metrics = ("127.0.0.1", self.metrics_port)
        self.configure(spec)
        super().__init__(*stores, flags=["--config", self.configuration / "config.yaml", "--metrics-port",
                                         str(self.metrics_port), "--metrics-listen-address", "127.0.0.1", *flags], **more)

    def configure(self, spec, text=None):
        self.configuration.write(".new", HEAD + spec if text is None else text)
        os.rename(self.configuration / ".new", self.configuration / "config.yaml")

    def add_vault(self):
        self.write("vault.yaml", component("vault", "secretstores.local.file", {"secretsFile": self.secrets}))
        self.ready("vault")

    def state(self):
        return self.sidecar.metadata()["remora"]["configuration"]

    def in_force(self, generation):
        self.eventually(lambda: self.state()["generation"] == generation, f"generation {generation} is in force")

    def secret(self, name):
        return self.sidecar.call("GET", f"/v1.0/secrets/vault/{name}").status

    def everywhere(self, condition, what):
        """A connection of its own for each look: they are spread over the workers."""
        self.eventually(lambda: all(condition() for _ in range(20)), what)

    def exposition(self):
        try:
            return remora.call(self.metrics, "GET", "/metrics").text
        except (OSError, remora.Cut):
            return ""


@test("secret scopes of a changed file hold for every request on every worker", "RELOAD-10 SEC-07")
def secret_scopes():
    for workers in (1, 3):
        bed = Configured("memory", workers=workers)
        bed.add_vault()
        pid = bed.sidecar.pid
        with bed.load("memory", seconds=2 * remora.SLOW):
            for i, (denied, a, b) in enumerate((("a", 403, 200), ("b", 200, 403), ("a, b", 403, 403), ("c", 200, 200))):
                bed.configure(SCOPES % denied)
                bed.in_force(i + 2)
                bed.everywhere(lambda: (bed.secret("a"), bed.secret("b")) == (a, b), f"denied: {denied}")
        bed.logged("Received Configuration UPDATED event: mine - triggering SIGHUP reload")
        bed.configure(SCOPES.replace("vault", "volt") % "a")
        bed.logged("Secrets configuration added for 'volt', but no matching secret store was found")
        equal((bed.sidecar.pid, bed.sidecar.stop()), (pid, 0), "the same process until the end")
        bed.end()


@test("the log of API calls is turned on, obfuscated and off again", "RELOAD-10 §2")
def api_log():
    bed = Configured("memory")

    def line():
        at = len(bed.sidecar.log())
        bed.store("memory").get("k")
        return bed.eventually(lambda: (rest := bed.sidecar.log()[at:]) and "HTTP API Called" in rest and rest, "a line")

    bed.store("memory").get("k")
    need("HTTP API Called" not in bed.sidecar.log(), "it is off")
    bed.configure("  logging: {apiLogging: {enabled: true}}\n")
    bed.in_force(2)
    need('method="GET /v1.0/state/memory/k"' in line(), line())
    bed.configure("  logging: {apiLogging: {enabled: true, obfuscateURLs: true}}\n")
    bed.in_force(3)
    need("/v1.0/state/memory" not in line(), "the path is not shown")
    bed.configure("")
    bed.in_force(4)
    log = bed.sidecar.log()
    bed.store("memory").get("k")
    equal(bed.sidecar.call("GET", "/v1.0/healthz").status, 204)
    need("HTTP API Called" not in bed.sidecar.log()[len(log):], "it is off again")
    bed.end()


@test("metrics get other labels and buckets, go away and come back", "RELOAD-10 §12")
def metrics():
    bed = Configured("memory", workers=3)

    def shows(*parts, without=()):
        bed.store("memory").get("k")
        text = bed.exposition()
        return all(part in text for part in parts) and not any(part in text for part in without)

    bed.eventually(lambda: shows('path="/v1.0/state/memory"', 'latency_bucket{', 'le="13"'), "the default")
    bed.configure("  metrics: {http: {increasedCardinality: false, excludeVerbs: true}}\n")
    bed.eventually(lambda: shows('dapr_http_server_request_count{app_id="shop",method="",path="",status="200"}') or
                   shows('dapr_http_server_request_count{app_id="shop",method="",path="",status="204"}'), "low cardinality")
    with bed.load("memory", seconds=1.5 * remora.SLOW):
        bed.configure("  metrics: {latencyDistributionBuckets: [7, 77]}\n")
        bed.eventually(lambda: shows('le="77"', without=['le="13"']), "other buckets, counted from the start")
        bed.configure("  metrics: {enabled: false}\n")
        bed.eventually(lambda: bed.exposition() == "", "nobody listens")
        bed.configure("  metrics: {recordErrorCodes: true}\n")
        bed.eventually(lambda: shows('path="/v1.0/state/memory"'), "it is back")
    equal(bed.store("ghost").get("k").status, 400)
    bed.eventually(lambda: shows("dapr_error_code_total{", "remora_configuration_changes_total{"), "errors are counted")
    bed.end()


@test("components whose type is denied are not loaded, and come and go with the Configuration", "RELOAD-10")
def denied():
    bed = Configured("memory", spec="  components: {deny: [state.sqlite]}\n")
    bed.configure("  components: {deny: [state.sqlite, state.in-memory/v1]}\n")
    bed.eventually(lambda: not bed.sidecar.metadata().get("components"), "it is gone")
    bed.logged("is not loaded: components.deny of the Configuration names its type")
    bed.configure("  components: {deny: [state.in-memory/v2, state.sqlite]}\n")
    bed.eventually(lambda: [c["name"] for c in bed.sidecar.metadata().get("components", [])] == ["memory"], "it is loaded")
    bed.configure("  components: {deny: [STATE.IN-MEMORY]}\n")
    bed.eventually(lambda: not bed.sidecar.metadata().get("components"), "it is gone")


@test("what is broken or cannot be had changes nothing, and is said", "RELOAD-10 ARCH-8")
def broken():
    bed = Configured("memory", spec=SCOPES % "a")
    bed.add_vault()
    for what, text, words in (
        ("YAML", "a: [", "error converting YAML"),
        ("a scope", HEAD + "  secrets: {scopes: 7}\n", "secrets"),
        ("denied components", HEAD + "  components: {deny: state.redis}\n", "components.deny"),
        ("a pipeline", HEAD + "  httpPipeline: {handlers: [{name: x}]}\n", "httpPipeline"),
        ("access control", HEAD + "  accessControl: {policies: [{appId: a}]}\n", "invalid access control spec"),
        ("a setting", HEAD + "  metrics: {enabled: what}\n", "must be a bool"),
    ):
        bed.configure("", text)
        bed.eventually(lambda: words in bed.state().get("error", ""), f"metadata tells of {what}")
        bed.logged("the changed Configuration is not used, what was in force stays: ")
        equal((bed.secret("a"), bed.secret("b"), bed.state()["generation"]), (403, 200, 1), what)
        bed.configure(SCOPES % "a")
        bed.eventually(lambda: "error" not in bed.state(), f"{what} is forgotten")
    equal(bed.state(), {"generation": 1}, "the same text is no change")
    os.unlink(bed.configuration / "config.yaml")
    bed.eventually(lambda: "no such file" in bed.state().get("error", ""), "a file that is gone changes nothing")
    equal(bed.secret("a"), 403)
    done = subprocess.run([os.path.join(remora.BUILD, "bin", "remora"), "events", "--run-dir", bed.folder / "run"],
                          capture_output=True, text=True, timeout=30 * remora.SLOW)
    need("  configuration mine  failed  generation 1  error loading configuration: " in done.stdout, done)
    need('remora_configuration_changes_total{app_id="shop",success="false"} 7' in bed.exposition(), bed.exposition()[-3000:])
    bed.end()


@test("hot reload is turned off and on; SIGHUP reads what was missed", "RELOAD-10 RELOAD-07 §9")
def switching():
    bed = Configured("memory")
    bed.configure(OFF)
    bed.in_force(2)
    equal(bed.sidecar.metadata().get("enabledFeatures"), None)
    bed.write("new.yaml", bed.yaml("memory", "new"))
    bed.configure(SCOPES % "a" + OFF)
    bed.sidecar.signal(signal.SIGHUP)
    bed.ready("new")
    bed.in_force(3)
    bed.configure("")
    bed.sidecar.signal(signal.SIGHUP)
    bed.in_force(4)
    equal(bed.sidecar.metadata()["enabledFeatures"], ["HotReload"])
    bed.write("newer.yaml", bed.yaml("memory", "newer"))
    bed.ready("newer")
    bed.configure(SCOPES % "a")
    bed.in_force(5)
    equal(bed.sidecar.stop(), 0, "exit status")
    bed.end()


@test("a file behind a link is exchanged in one step, as Kubernetes does", "RELOAD-10")
def links():
    bed = Configured("memory")
    bed.add_vault()
    folder = bed.configuration

    def publish(version, text):
        os.mkdir(folder / f"..{version}")
        folder.write(f"..{version}/config.yaml", HEAD + text)
        os.symlink(f"..{version}", folder / "..data_tmp")
        os.rename(folder / "..data_tmp", folder / "..data")

    publish("1", SCOPES % "a")
    os.symlink("..data/config.yaml", folder / "link")
    os.rename(folder / "link", folder / "config.yaml")
    bed.eventually(lambda: bed.secret("a") == 403, "the link counts")
    publish("2", SCOPES % "b")
    bed.eventually(lambda: (bed.secret("a"), bed.secret("b")) == (200, 403), "what it leads to now")
    bed.end()


@test("80 changes leave nothing behind", "RELOAD-10")
def leaks():
    sys.path.append(os.path.join(remora.TOP, "tests", "bench"))
    import measure
    bed = Configured("memory", workers=3)
    buckets = ("[5, 50]", "[6, 60, 600]")

    def change(first, last):
        for i in range(first, last):
            bed.configure(f"  metrics: {{latencyDistributionBuckets: {buckets[i % 2]}}}\n" + SCOPES % f"s{i}")
            bed.in_force(i + 2)

    with bed.load("memory", seconds=1 * remora.SLOW):
        change(0, 40)
    held = measure.fd_count(bed.sidecar.pid), measure.private_dirty_kib(bed.sidecar.pid)
    change(40, 80)
    bed.eventually(lambda: measure.fd_count(bed.sidecar.pid) <= held[0], "no descriptor more")
    bed.eventually(lambda: measure.private_dirty_kib(bed.sidecar.pid) <= held[1] + 400 or remora.SLOW > 1, f"{held[1]} KiB")
    bed.end()


if __name__ == "__main__":
    remora.main()
