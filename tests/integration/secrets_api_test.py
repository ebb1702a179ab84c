# SPDX-License-Identifier: Apache-2.0
"""The secrets API over HTTP on local-secrets: what is found, flattened, scoped, refused, read again."""
import json
import os
import time

from remora import Folder, Sidecar, component, equal, eventually, main, need, test

SECRETS = {"plain": "swordfish", "empty": "", "nested": {"user": "ann", "deep": {"pw": 'x y"z'}}, "list": ["a", {"b": 1}],
           "num": 12345678901, "half": 0.5, "yes": True, "none": None, "uni": "größe <&>", "new\nline": "a\nb"}


def vault(folder, name="vault", content=None, **metadata):
    path = folder.write(f"{name}.json", json.dumps(SECRETS if content is None else content))
    return component(name, "secretstores.local.file", {"secretsFile": path, **metadata})


def scopes(folder, text, name="config.yaml"):
    return "--config=" + folder.write(name, "apiVersion: dapr.io/v1alpha1\nkind: Configuration\nmetadata: {name: c}\n"
                                            "spec:\n  secrets:\n    scopes:\n" + text)


def get(sidecar, path):
    return sidecar.call("GET", f"/v1.0/secrets/{path}")


def found(sidecar, path):
    reply = get(sidecar, path)
    equal(reply.status, 200, reply.text)
    equal(reply.header("Content-Type"), "application/json")
    need(reply.text.endswith("}\n"), reply.text)
    return reply.json


def refused(sidecar, path, status, code, message):
    reply = get(sidecar, path)
    equal((reply.status, reply.json), (status, {"errorCode": code, "message": message}))


@test("a file's values are secrets by their flattened names, as text", "SEC-01 SEC-02 SEC-04 SEC-11 X-SEC-02")
def flattened():
    folder = Folder()
    sidecar = Sidecar(vault(folder), folder=folder)
    flat = {"plain": "swordfish", "empty": "", "nested:user": "ann", "nested:deep:pw": 'x y"z', "list:0": "a",
            "list:1:b": "1", "num": "12345678901", "half": "0.5", "yes": "true", "none": "<nil>", "uni": "größe <&>",
            "new\nline": "a\nb"}
    for name, value in flat.items():
        equal(found(sidecar, f"vault/{name.replace(chr(10), '%0A')}"), {name: value})
    equal(found(sidecar, "vault/bulk"), {name: {name: value} for name, value in flat.items()})
    raw = get(sidecar, "vault/bulk").text
    names = list(json.loads(raw))
    equal(names, sorted(names), "in byte order")
    need("\\u003c\\u0026\\u003e" in raw, "escaped as Go does")
    for name in ("nested", "nested:deep", "Plain", "absent", "a%2Fb"):
        shown = name.replace("%2F", "/")
        refused(sidecar, f"vault/{name}", 500, "ERR_SECRET_GET",
                f"failed getting secret with key {shown} from secret store vault: secret {shown} not found")


@test("separator and several values of one secret are the component's choice", "SEC-03 SEC-11 X-SEC-02")
def forms():
    folder = Folder()
    sidecar = Sidecar(vault(folder, "dots", nestedSeparator="."), vault(folder, "multi", multiValued="true"), folder=folder)
    equal(found(sidecar, "dots/nested.deep.pw"), {"nested.deep.pw": 'x y"z'})
    equal(found(sidecar, "multi/nested"), {"deep:pw": 'x y"z', "user": "ann"})
    equal(found(sidecar, "multi/plain"), {"plain": "swordfish"})
    equal(found(sidecar, "multi/bulk")["list"], {"0": "a", "1:b": "1"})
    by_name = {c["name"]: c for c in sidecar.metadata()["components"]}
    equal(by_name["multi"]["capabilities"], ["MULTIPLE_KEY_VALUES_PER_SECRET"])
    need("capabilities" not in by_name["dots"], by_name["dots"])


@test("the environment of the sidecar is read without its own tokens", "SEC-01 X-SEC-03")
def environment():
    env = {"PATH": os.environ["PATH"], "COLOUR": "blue", "APP_COLOUR": "red", "DAPR_API_TOKEN": "", "dapr_x": "hidden",
           "APP_API_TOKEN": "hidden", "EQUALS": "a=b", "EMPTY": ""}
    sidecar = Sidecar(component("envs", "secretstores.local.env"),
                      component("app", "secretstores.local.env", {"prefix": "APP_"}), env=env)
    equal(found(sidecar, "envs/COLOUR"), {"COLOUR": "blue"})
    equal(found(sidecar, "envs/EQUALS"), {"EQUALS": "a=b"})
    for name in ("ABSENT", "DAPR_API_TOKEN", "APP_API_TOKEN", "dapr_x", "EMPTY"):
        equal(found(sidecar, f"envs/{name}"), {name: ""})
    equal(found(sidecar, "app/COLOUR"), {"COLOUR": "red"})
    equal(found(sidecar, "app/API_TOKEN"), {"API_TOKEN": ""})
    equal(found(sidecar, "app/bulk"), {"COLOUR": {"COLOUR": "red"}})
    every = found(sidecar, "envs/bulk")
    equal(every["APP_COLOUR"], {"APP_COLOUR": "red"})
    need(not any(name.upper().startswith("DAPR_") or name == "APP_API_TOKEN" for name in every), every)


@test("the scopes of the Configuration decide what the application sees, in get and bulk", "SEC-12 SEC-19 SEC-23 SEC-24")
def scoped():
    folder = Folder()
    flag = scopes(folder, "    - {storeName: vault, defaultAccess: allow, deniedSecrets: [num, 'nested:user']}\n"
                          "    - {storeName: closed, defaultAccess: deny}\n"
                          "    - {storeName: few, allowedSecrets: [plain]}\n"
                          "    - {storeName: nobody, defaultAccess: deny}\n")
    sidecar = Sidecar(vault(folder), vault(folder, "closed"), vault(folder, "few"), vault(folder, "free"), folder=folder,
                      flags=[flag])
    equal(found(sidecar, "vault/plain"), {"plain": "swordfish"})
    for path in ("vault/num", "vault/nested:user", "closed/plain", "few/num", "few/absent"):
        store, name = path.split("/")
        refused(sidecar, path, 403, "ERR_PERMISSION_DENIED", f'access denied by policy to get "{name}" from "{store}"')
    hidden = {"num", "nested:user"}
    equal(set(found(sidecar, "free/bulk")) - set(found(sidecar, "vault/bulk")), hidden)
    equal(found(sidecar, "closed/bulk"), {})
    equal(found(sidecar, "few/bulk"), {"plain": {"plain": "swordfish"}})
    need("Secrets configuration added for 'nobody', but no matching secret store was found" in sidecar.log(), sidecar.log())
    need("added for 'vault'" not in sidecar.log(), sidecar.log())


@test("scopes that make no sense end the start", "SEC-13")
def bad_scopes():
    folder = Folder()
    flag = scopes(folder, "    - {storeName: vault, defaultAccess: maybe}\n")
    sidecar = Sidecar(vault(folder), folder=folder, flags=[flag], wait=False)
    equal(sidecar.wait(), 1)
    need("defaultAccess maybe can be either allow or deny" in sidecar.log(), sidecar.log())


@test("unknown stores, methods and paths are answered as the reference answers them", "SEC-01 X-SEC-01")
def errors():
    folder = Folder()
    bare = Sidecar()
    for path in ("ghost/x", "ghost/bulk"):
        refused(bare, path, 500, "ERR_SECRET_STORES_NOT_CONFIGURED", "secret store is not configured")
    sidecar = Sidecar(vault(folder), component("mem", "state.in-memory"), folder=folder)
    for path in ("ghost/x", "ghost/bulk", "mem/x"):
        store = path.split("/")[0]
        refused(sidecar, path, 401, "ERR_SECRET_STORE_NOT_FOUND", f"failed finding secret store with key {store}")
    for method, path in (("POST", "vault/plain"), ("DELETE", "vault/plain"), ("GET", "vault"), ("GET", "vault/"),
                         ("GET", "vault/a/b")):
        equal(sidecar.call(method, f"/v1.0/secrets/{path}").status, 404, f"{method} {path}")
    equal(get(sidecar, "vault/plain?metadata.version_id=3").json, {"plain": "swordfish"})
    equal(sidecar.call("GET", "/v1.0/state/vault/x").status, 400)


def replace(path, content, in_place):
    """As editors and mounted volumes do it, or as a shell does."""
    target = path if in_place else path + ".new"
    with open(target, "w") as f:
        f.write(content)
    if not in_place:
        os.rename(target, path)


@test("a changed file is seen by the next read, whether written or replaced", "SEC-11")
def rotation():
    folder = Folder()
    sidecar = Sidecar(vault(folder), folder=folder)
    path = folder / "vault.json"
    for i in range(6):
        replace(path, json.dumps({"plain": f"value {i}"}), in_place=i % 2 == 0)
        equal(found(sidecar, "vault/bulk"), {"plain": {"plain": f"value {i}"}})
    for broken in ("", '{"plain": "hal', "[1]", '{"plain": "x"} more', "[" * 2000, '{"a":' * 100 + "1" + "}" * 100):
        replace(path, broken, in_place=True)
        equal(found(sidecar, "vault/plain"), {"plain": "value 5"}, broken[:20])
    need("the secrets read before stay in use" in sidecar.log(), sidecar.log())
    need("hal" not in sidecar.log(), "what the file holds is in the log")
    os.unlink(path)
    equal(found(sidecar, "vault/plain"), {"plain": "value 5"})
    replace(path, '{"plain": "back"}', in_place=True)
    equal(found(sidecar, "vault/plain"), {"plain": "back"})


@test("a file that cannot be used is a failed init with words", "SEC-11")
def bad_files():
    folder = Folder()
    cases = [({}, "missing local secrets file in metadata"),
             ({"secretsFile": "/nonexistent/s.json"}, "open /nonexistent/s.json: no such file or directory"),
             ({"secretsFile": folder.path}, f"{folder.path}: not a file"),
             ({"secretsFile": folder.write("bad.json", '{"a": secret}')}, "bad.json: not a JSON object")]
    for metadata, words in cases:
        sidecar = Sidecar(component("vault", "secretstores.local.file", metadata), wait=False)
        equal(sidecar.wait(), 1)
        prefix = "[INIT_COMPONENT_FAILURE]: initialization error occurred for vault (secretstores.local.file/v1): "
        need(prefix + prefix in sidecar.log() and words in sidecar.log(), sidecar.log())
        need("a: secret" not in sidecar.log(), sidecar.log())


@test("a secret store that dies is back within its calls", "SEC-01")
def crash():
    folder = Folder()
    sidecar = Sidecar(vault(folder), folder=folder)
    for _ in range(3):
        os.kill(sidecar.plugin_pid("local-secrets"), 9)
        asked = time.monotonic()
        reply = get(sidecar, "vault/plain")
        if reply.status != 200:  # a call waits three seconds for it, which a busy machine may take
            need(time.monotonic() - asked > 3, reply)
            eventually(lambda: get(sidecar, "vault/plain").status == 200, "it is back")
        equal(found(sidecar, "vault/plain"), {"plain": "swordfish"})
    eventually(lambda: sidecar.plugins()["local-secrets"]["state"] == "ready", "ready again")


if __name__ == "__main__":
    main()
