# SPDX-License-Identifier: Apache-2.0
"""Components that take metadata from secret stores: who waits for whom, what fails in which words, what is never shown."""
import json
import os

from remora import Folder, Redis, Sidecar, Store, component, equal, eventually, main, need, test

PASSWORD = "pa55-of-redis"


def vault(folder, secrets, name="vault", extra="", **metadata):
    path = folder.write(f"{name}.json", json.dumps(secrets))
    return component(name, "secretstores.local.file", {"secretsFile": path, **metadata}, extra=extra)


def with_secrets(name, type_, plain, secrets, store="vault", ignore=False):
    """A component with metadata from secrets: {name: (secret, key or None)}."""
    text = component(name, type_, plain)
    lines = text.splitlines()
    if lines[-1] == "  metadata: []":
        lines[-1] = "  metadata:"
    for metadata, (secret, key) in secrets.items():
        lines += [f"  - name: {metadata}", "    secretKeyRef:", f"      name: {json.dumps(secret)}"]
        lines += [f"      key: {json.dumps(key)}"] if key is not None else []
    if ignore:
        lines.insert(lines.index("spec:") + 1, "  ignoreErrors: true")
    if store is not None:
        lines += ["auth:", f"  secretStore: {store}"]
    return "\n".join(lines) + "\n"



def redis_store(redis, secrets, **more):
    return with_secrets("store", "state.redis", {"redisHost": f"127.0.0.1:{redis.port}"}, secrets, **more)


class LockedRedis(Redis):
    """Asks for a password."""

    def __init__(self):
        super().__init__("--requirepass", PASSWORD)

    def command(self, *words, database=0):
        if words == ("PING",):
            return b"PONG" if b"NOAUTH" in (super().command("PING") or b"") else None
        return super().command(*words, database=database)


def works(sidecar, name="store"):
    store = Store(sidecar, name)
    reply = store.save("k", "v")
    equal(reply.status, 204, reply.text + sidecar.log()[-4000:])
    equal(store.get("k").text, '"v"')


@test("a password comes from the secret store, by name, by key, and from a store listed later", "SEC-10 X-SEC-02")
def password():
    redis = LockedRedis()
    folder = Folder()
    secrets = {"pw": PASSWORD, "redis": {"pw": PASSWORD, "user": "x"}}
    for refs, metadata in (({"redisPassword": ("pw", None)}, {}), ({"redisPassword": ("redis:pw", "redis:pw")}, {}),
                           ({"redisPassword": ("redis", "pw")}, {"multiValued": "true"})):
        sidecar = Sidecar(redis_store(redis, refs), vault(folder, secrets, **metadata), folder=Folder())
        works(sidecar)
        names = [c["name"] for c in sidecar.metadata()["components"]]
        equal(names, ["vault", "store"], "secret stores come first")
        need(PASSWORD not in sidecar.log() + json.dumps(sidecar.metadata()), "the password is shown")
        sidecar.stop()
    env = {"PATH": os.environ["PATH"], "REDIS_PW": PASSWORD}
    sidecar = Sidecar(redis_store(redis, {"redisPassword": ("REDIS_PW", None)}, store="envs"),
                      component("envs", "secretstores.local.env"), env=env)
    works(sidecar)


@test("a missing secret or key is a failed init that names it", "SEC-10")
def missing():
    for ref, words in ((("absent", None), "failed getting secret absent: secret absent not found"),
                       (("pw", "other"), "failed getting secret pw: secret pw has no key other")):
        folder = Folder()
        sidecar = Sidecar(vault(folder, {"pw": "x"}), with_secrets("store", "state.in-memory", {}, {"foo": ref}),
                          folder=folder, wait=False)
        equal(sidecar.wait(), 1)
        prefix = "[INIT_COMPONENT_FAILURE]: initialization error occurred for store (state.in-memory/v1): "
        need(prefix + prefix + words in sidecar.log(), sidecar.log())


@test("with ignoreErrors the others serve, and the component comes when the secret does", "SEC-10")
def comes_later():
    folder = Folder()
    sidecar = Sidecar(vault(folder, {"other": "x"}), component("mem", "state.in-memory"),
                      with_secrets("store", "state.in-memory", {}, {"foo": ("pw", None)}, ignore=True), folder=folder)
    works(sidecar, "mem")
    equal(Store(sidecar, "store").get("k").status, 400)
    with open(folder / "vault.json", "w") as f:
        json.dump({"pw": "x"}, f)
    eventually(lambda: Store(sidecar, "store").get("k").status == 204, "the component is there")


@test("a component whose store is missing, unnamed or fails is held, and does not hold up the start", "SEC-10")
def held():
    folder = Folder()
    broken = component("broken", "secretstores.local.file", {"secretsFile": "/nonexistent"})
    broken = broken.replace("spec:\n", "spec:\n  ignoreErrors: true\n")
    sidecar = Sidecar(
        with_secrets("ghostly", "state.in-memory", {}, {"foo": ("pw", None)}, store="ghost"),
        with_secrets("unnamed", "state.in-memory", {}, {"foo": ("pw", None)}, store=None),
        with_secrets("unlucky", "state.in-memory", {}, {"foo": ("pw", None)}, store="broken"),
        with_secrets("ofstate", "state.in-memory", {}, {"foo": ("pw", None)}, store="mem"),
        component("mem", "state.in-memory"), broken, folder=folder)
    works(sidecar, "mem")
    for name, store in (("ghostly", "ghost"), ("unnamed", ""), ("unlucky", "broken"), ("ofstate", "mem")):
        words = f"Component {name} references a secret store that isn't loaded: {store}"
        eventually(lambda words=words: words in sidecar.log(), words)
        equal(Store(sidecar, name).get("k").status, 400)
    equal([c["name"] for c in sidecar.metadata()["components"]], ["mem"])
    equal(sidecar.stop(), 0)


@test("stores may take their own secrets from other stores, in a row but not in a circle", "SEC-10")
def rows():
    folder = Folder()
    path = folder.write("second.json", '{"pw": "x"}')
    env = {"PATH": os.environ["PATH"], "FILE": path}
    second = with_secrets("second", "secretstores.local.env", {}, {"unused": ("FILE", None)}, store="envs")
    sidecar = Sidecar(with_secrets("store", "state.in-memory", {}, {"foo": ("FILE", None)}, store="second"), second,
                      component("envs", "secretstores.local.env"), env=env)
    works(sidecar)
    circle = [with_secrets(a, "secretstores.local.env", {}, {"foo": ("x", None)}, store=b)
              for a, b in (("a", "b"), ("b", "c"), ("c", "a"), ("self", "self"))]
    sidecar = Sidecar(*circle, component("mem", "state.in-memory"))
    works(sidecar, "mem")
    eventually(lambda: "Component self references a secret store that isn't loaded: self" in sidecar.log(), "it is said")


@test("killed plugins of both sides come back with their secrets", "SEC-10")
def killed():
    redis = LockedRedis()
    folder = Folder()
    sidecar = Sidecar(redis_store(redis, {"redisPassword": ("pw", None)}), vault(folder, {"pw": PASSWORD}), folder=folder)
    works(sidecar)
    for names in (("redis",), ("local-secrets",), ("redis", "local-secrets"), ("local-secrets", "redis")):
        for name in names:
            os.kill(sidecar.plugin_pid(name), 9)
        # A write that was under way when the store died is not repeated unasked.
        eventually(lambda: Store(sidecar, "store").save("k", "v").status == 204, "the store works again")
        works(sidecar)
        for name in names:
            eventually(lambda n=name: sidecar.plugins()[n]["state"] == "ready", f"{name} is ready again")
        works(sidecar)


@test("a change that needs a secret store waits for one that comes, and is refused without", "SEC-10")
def changes():
    folder = Folder()
    sidecar = Sidecar(component("store", "state.in-memory"), folder=folder)
    path = os.path.join(folder.path, "resources", "0.yaml")

    def write(*texts):
        with open(path + ".tmp", "w") as f:
            f.write("---\n".join(texts))
        os.rename(path + ".tmp", path)

    def error():
        return {c["name"]: c for c in sidecar.metadata()["remora"]["components"]}["store"].get("error", "")

    works(sidecar)
    secretly = with_secrets("store", "state.in-memory", {}, {"foo": ("pw", None)})
    write(secretly)
    eventually(lambda: "secret store vault isn't loaded" in error(), "refused")
    works(sidecar)
    updated = sidecar.log().count("Component updated: store")
    write(secretly, vault(folder, {"pw": "x"}))
    eventually(lambda: sidecar.log().count("Component updated: store") > updated, "changed with its store")
    equal(error(), "")
    works(sidecar)
    write(with_secrets("store", "state.in-memory", {}, {"foo": ("absent", None)}), vault(folder, {"pw": "x"}))
    eventually(lambda: "secret absent not found" in error(), "refused")
    works(sidecar)
    with open(folder / "vault.json", "w") as f:
        json.dump({"absent": "y"}, f)
    write(with_secrets("store", "state.in-memory", {"a": "b"}, {"foo": ("absent", None)}), vault(folder, {"absent": "y"}))
    eventually(lambda: error() == "", "changed")
    works(sidecar)


@test("with several workers too", "SEC-10")
def workers():
    folder = Folder()
    stores = [with_secrets(f"store{i}", "state.in-memory", {}, {"foo": ("pw", None)}) for i in range(20)]
    sidecar = Sidecar(*stores, vault(folder, {"pw": "x"}), folder=folder, flags=["--workers=3"])
    for i in range(20):
        for _ in range(3):
            works(sidecar, f"store{i}")


if __name__ == "__main__":
    main()
