# SPDX-License-Identifier: Apache-2.0
"""A sidecar under which programs, manifests and resources change: it has copies of its own of all of them."""
import os
import shutil
import sys

import remora

sys.path.append(os.path.join(remora.TOP, "tests", "prove"))
from _clients import Clients, lost_writes, summary  # noqa: E402

TYPES = {"memory": "state.in-memory", "file": "state.sqlite", "redis": "state.redis", "alone": "state.exclusive"}
PLUGINS = {"memory": "in-memory", "file": "sqlite", "redis": "redis", "alone": "exclusive"}


def built(plugin):
    """The folder of a plugin as it was built."""
    for parent in ("plugins", os.path.join("tests", "plugins")):
        path = os.path.join(remora.BUILD, parent, plugin)
        if os.path.isdir(path):
            return path
    raise remora.Skip(f"{plugin} is not built")


class Bed:
    def __init__(self, *stores, workers=1, flags=(), wait=True, resources=None, env=None):
        self.folder = remora.Folder()
        self.plugins = self.folder / "plugins"
        self.resources = self.folder / "yaml"
        self.redis = remora.Redis("--appendfsync", "everysec") if "redis" in stores else None
        self.version = 0
        os.mkdir(self.resources)
        for plugin in {PLUGINS[store] for store in stores} | {"in-memory"}:
            self.add_plugin(plugin)
        if resources is None:
            resources = {f"{store}.yaml": self.yaml(store) for store in stores}
        for name, text in resources.items():
            self.write(name, text)
        self.sidecar = remora.Sidecar(folder=self.folder, wait=wait, env=env, flags=[
            "--resources-path", self.resources, "--plugins-path", self.plugins, "--workers", str(workers),
            *flags])
        self.address = self.sidecar.address

    def yaml(self, store, name=None, metadata=(), extra=""):
        given = {"file": [("connectionString", self.folder / "data.db")],
                 "alone": [("path", self.folder / "alone.txt")],
                 # A server that stands still for a moment costs no answer.
                 "redis": [("redisHost", f"127.0.0.1:{self.redis.port if self.redis else 1}"),
                           ("readTimeout", "60s")]}.get(store, [])
        return remora.component(name or store, TYPES[store], given + list(metadata), extra)

    # --- changes, each in one step as editors and package managers make them ---

    def write(self, name, text):
        temporary = os.path.join(self.folder.path, ".new")
        with open(temporary, "w") as f:
            f.write(text)
        os.rename(temporary, os.path.join(self.resources, name))

    def remove(self, name):
        os.unlink(os.path.join(self.resources, name))

    def add_plugin(self, plugin, change=lambda manifest: manifest):
        """The whole folder at once, with a manifest that may differ from the built one."""
        made = os.path.join(self.folder.path, ".made")
        shutil.copytree(built(plugin), made)
        broken = os.path.join(remora.BUILD, "tests", "plugins", "broken", "broken")
        if os.path.exists(broken):
            shutil.copy2(broken, os.path.join(made, ".broken"))
        manifest = os.path.join(made, "plugin.yaml")
        with open(manifest) as f:
            text = f.read()
        with open(manifest, "w") as f:
            f.write(change(text))
        os.makedirs(self.plugins, exist_ok=True)
        os.rename(made, os.path.join(self.plugins, plugin))

    def put_program(self, plugin, source, name=None):
        """Renames a copy over the program."""
        target = os.path.join(self.plugins, plugin, name or plugin)
        shutil.copy2(source, target + ".new")
        os.rename(target + ".new", target)

    def put_manifest(self, plugin, **fields):
        """The built manifest with other lines; a new version each time unless told."""
        self.version += 1
        fields.setdefault("version", f"2.{self.version}.0")
        with open(os.path.join(built(plugin), "plugin.yaml")) as f:
            lines = f.read().splitlines()
        for field, value in fields.items():
            lines = [f"{field}: {value}" if line.startswith(field + ":") else line for line in lines]
        target = os.path.join(self.plugins, plugin, "plugin.yaml")
        with open(target + ".new", "w") as f:
            f.write("\n".join(lines) + "\n")
        os.rename(target + ".new", target)
        return fields["version"]

    def swap(self, plugin, wait=True):
        """Another program and version; waits until it serves alone."""
        before = self.plugin(plugin)["generation"]
        self.put_program(plugin, os.path.join(built(plugin), plugin))
        version = self.put_manifest(plugin)
        if wait:
            self.settled(plugin, version, before)
        return version

    # --- what is seen ---

    def generations(self, plugin):
        return [p for p in self.sidecar.metadata()["remora"]["plugins"] if p["name"] == plugin and p["group"] != 0]

    def plugin(self, plugin):
        """The newest process; between one that has ended and the next there is none."""
        return max(self.eventually(lambda: self.generations(plugin), f"{plugin} runs"), key=lambda p: p["generation"])

    def settled(self, plugin, version, before=0):
        def is_so():
            running = self.generations(plugin)
            return len(running) == 1 and running[0]["version"] == version and \
                running[0]["generation"] > before and running[0]["state"] == "ready"

        self.eventually(is_so, f"{plugin} {version} has taken over")

    def components(self):
        return {c["name"]: c for c in self.sidecar.metadata()["remora"]["components"]}

    def ready(self, name, generation=None):
        self.eventually(lambda: (c := self.components().get(name)) and c["state"] == "ready" and
                        (generation is None or c["generation"] >= generation), f"component {name} is ready")
        return self.components()[name]

    def gone(self, name):
        self.eventually(lambda: name not in self.components(), f"component {name} is gone")

    def logged(self, text, seconds=None):
        self.eventually(lambda: text in self.sidecar.log(), f"the log says {text!r}", seconds)

    def eventually(self, condition, what, seconds=None):
        try:
            return remora.eventually(condition, what, seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.sidecar.log()[-4000:]}") from None

    def store(self, name):
        return remora.Store(self.sidecar, name)

    def load(self, *stores, each=2, seconds=2.0, may_fail=False):
        """`may_fail`: a process that serves is killed, and takes the answers it owes with it."""
        return Load(self, stores, each, seconds, may_fail)

    def end(self):
        self.sidecar.end()
        if self.redis is not None:
            self.redis.end()


class Load:
    """Clients that check every answer, while the body of `with` runs and a little after."""

    def __init__(self, bed, stores, each, seconds, may_fail):
        self.bed, self.may_fail = bed, may_fail
        self.until = remora.time.monotonic() + seconds
        self.clients = {store: Clients(each, bed.address, store, seconds, 1, store) for store in stores}
        self.total = 0

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        accounts = {store: clients.join() for store, clients in self.clients.items()}
        if kind is None:
            self.judge(accounts)

    def judge(self, accounts):
        log = ""
        for store, some in accounts.items():
            self.total += sum(account.total() for account in some)
            bad = [text for account in some for text in account.unanswered + account.wrong]
            failures = sum(account.failures() for account in some)
            if bad or (failures and not self.may_fail):
                log = self.bed.sidecar.log()[-3000:]
            remora.need(not bad, f"{store}: {bad[:3]}\n{log}")
            remora.need(failures == 0 or self.may_fail, f"{store}: {failures} failed: {summary(some)}\n{log}")
            lost = lost_writes(self.bed.address, store, some)
            remora.need(not lost, f"{store}: lost {lost[:3]}")
