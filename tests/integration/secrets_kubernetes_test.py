# SPDX-License-Identifier: Apache-2.0
# timeout: 240
"""secretstores.kubernetes against a declared wire fake of a cluster's API server, over TLS and with a token."""
import base64
import json
import os
import subprocess
import sys

from kubernetes import ApiServer
from remora import Folder, Redis, Sidecar, Skip, component, equal, eventually, main, need, test


def store(path=None, name="kube", **metadata):
    return component(name, "secretstores.kubernetes", {**({"kubeconfigPath": path} if path else {}), **metadata})


def get(sidecar, path):
    return sidecar.call("GET", f"/v1.0/secrets/{path}")


def found(sidecar, path):
    reply = get(sidecar, path)
    equal(reply.status, 200, reply.text)
    return reply.json


def failed(sidecar, path, words):
    reply = get(sidecar, path)
    equal((reply.status, reply.json["errorCode"]), (500, "ERR_SECRET_GET"), reply.text)
    need(words in reply.json["message"], reply.text)


_made = []


def server():
    if not _made:
        api = ApiServer()
        api.put("prod", "db", {"user": "ann", "pw": 'x y"z ü\n', "empty": ""})
        api.put("prod", "bare", {})
        for i in range(8):
            api.put("prod", f"many-{i}", {"n": str(i)})
        api.put("other", "db", {"user": "ben"})
        _made.append(api)
    return _made[0]


def config(user=None, **more):
    return server().kubeconfig(Folder(), {"token": server().token} if user is None else user, **more)


def sidecar_of(*documents, namespace="prod", **more):
    env = {"PATH": os.environ["PATH"], **({"NAMESPACE": namespace} if namespace else {})}
    return Sidecar(*documents, env=env, **more)


@test("a secret is its map, of the namespace asked for, the component's or the sidecar's", "SEC-01 SEC-03 SEC-05 X-SEC-02")
def maps():
    path = config()
    one = sidecar_of(store(path), store(path, "elsewhere", defaultNamespace="other"))
    equal(found(one, "kube/db"), {"user": "ann", "pw": 'x y"z ü\n', "empty": ""})
    equal(found(one, "kube/db?metadata.namespace=other"), {"user": "ben"})
    equal(found(one, "elsewhere/db"), {"user": "ben"})
    equal(found(one, "elsewhere/db?metadata.namespace=prod")["user"], "ann")
    equal(found(one, "kube/bare"), {})
    for name in ("none", "Large", "a%2Fb", "..%2Fsecrets%2Fdb", "..", "db%3Fx"):
        reply = get(one, f"kube/{name}")
        need(reply.status == 500 and "not found" in reply.text or reply.status == 404, reply.text)
    failed(one, "kube/db?metadata.namespace=closed", "is forbidden")
    failed(one, "kube/db?metadata.namespace=..%2F..", "the namespace is no name")


@test("without a namespace there is nothing to ask for, unless the kubeconfig has one", "SEC-05")
def namespaces():
    one = sidecar_of(store(config()), namespace=None)
    failed(one, "kube/db", "namespace is missing on metadata and NAMESPACE env variable")
    two = sidecar_of(store(config(namespace="other")), namespace=None)
    equal(found(two, "kube/db"), {"user": "ben"})


@test("all secrets of a namespace come page by page, and scopes apply", "SEC-02 SEC-04 SEC-22 SEC-24")
def bulk():
    folder = Folder()
    flag = folder.write("c.yaml", "apiVersion: dapr.io/v1alpha1\nkind: Configuration\nmetadata: {name: c}\nspec:\n  secrets:\n"
                        "    scopes:\n    - {storeName: few, defaultAccess: deny, allowedSecrets: [db]}\n")
    one = sidecar_of(store(config()), store(config(), "few"), flags=["--config", flag])
    every = found(one, "kube/bulk")
    equal(set(every), {"db", "bare", *(f"many-{i}" for i in range(8))})
    equal(every["many-7"], {"n": "7"})
    equal(found(one, "kube/bulk?metadata.namespace=other"), {"db": {"user": "ben"}})
    equal(set(found(one, "few/bulk")), {"db"})
    equal(get(one, "few/bare").status, 403)


@test("users: a token, its file that changes, a certificate; one that is refused is not shown", "SEC-01")
def users():
    api, folder = server(), Folder()
    path = api.kubeconfig(folder, {"tokenFile": "token"})
    folder.write("token", api.token)
    wrong = config({"token": "eyJ.nobodys-token.sig"})
    one = sidecar_of(store(path), store(wrong, "wrong"))
    equal(found(one, "kube/db")["user"], "ann")
    api.tokens.add("eyJhbGciOi.kubetoken-2.sig")
    with open(folder / "token.new", "w") as f:
        f.write("eyJhbGciOi.kubetoken-2.sig\n")
    os.rename(folder / "token.new", folder / "token")
    old = api.tokens - {"eyJhbGciOi.kubetoken-2.sig"}
    api.tokens -= old  # the new one is used, or nothing is found
    equal(found(one, "kube/db")["user"], "ann")
    failed(one, "wrong/db", "Unauthorized")
    need("nobodys" not in one.log(), "the token is not in the log")
    strict = ApiServer(client_certificates=True)
    strict.put("prod", "db", {"user": "strict"})
    c = strict.certificates
    own = {"client-certificate-data": base64.b64encode(c.text("server.pem").encode()).decode(),
           "client-key-data": base64.b64encode(c.text("server.key").encode()).decode(), "token": strict.token}
    two = sidecar_of(store(strict.kubeconfig(Folder(), own)), store(strict.kubeconfig(Folder(), {"token": strict.token}), "none"))
    equal(found(two, "kube/db"), {"user": "strict"})
    equal(get(two, "none/db").status, 500)


@test("the server is who the kubeconfig says", "SEC-01")
def authorities():
    api, user = server(), {"token": server().token}
    other = base64.b64encode(api.certificates.text("other.pem").encode()).decode()
    clusters = {"wrong": {"server": api.url, "certificate-authority-data": other}, "none": {"server": api.url},
                "any": {"server": api.url, "insecure-skip-tls-verify": True}}
    one = sidecar_of(*[store(api.kubeconfig(Folder(), user, cluster), name) for name, cluster in clusters.items()])
    equal(found(one, "any/db")["user"], "ann")
    for name in ("wrong", "none"):
        equal(get(one, f"{name}/db").status, 500, name)


@test("a kubeconfig that cannot be used is a failed init with words", "SEC-01")
def bad_files():
    api = server()
    rows = [("", "contexts has no entry"), ("[1", "is no YAML"), ("a: &a [*a]\n", "contexts has no entry"),
            (json.dumps({"current-context": "x", "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}]}),
             "clusters has no entry")]
    for user, words in (({"exec": {"command": "x"}}, "which is not supported"),
                        ({"client-key-data": "!!"}, "is no base64"), ({"client-key": "/none"}, "cannot be read")):
        with open(api.kubeconfig(Folder(), user)) as f:
            rows.append((f.read(), words))
    with open(api.kubeconfig(Folder(), {}, {"server": "127.0.0.1"})) as f:
        rows.append((f.read(), "is no http or https address"))
    for text, words in rows:
        one = sidecar_of(store(Folder().write("kubeconfig", text)), wait=False)
        eventually(lambda: words in one.log(), f"{text[:100]!r}: {words}", 30)
        one.kill()
    one = sidecar_of(store(), wait=False)
    eventually(lambda: "unable to load in-cluster configuration" in one.log(), "outside a cluster", 30)


@test("in a pod the service account says who we are", "SEC-07")
def in_cluster():
    if os.geteuid() != 0:
        raise Skip("only root can put an account where a pod has it")
    folder = "/var/run/secrets/kubernetes.io/serviceaccount"
    child = os.environ.get("IN_POD")
    if child is None:  # once more, where /run is our own
        words = f"mount -t tmpfs none /run && mkdir -p {folder} && exec \"$@\""
        done = subprocess.run(["unshare", "--mount", "sh", "-c", words, "sh", sys.executable, __file__, "in a pod"],
                              env={**os.environ, "IN_POD": "1"}, capture_output=True, text=True)
        if "unshare" in done.stderr or "mount:" in done.stderr:
            raise Skip("no mount namespaces here")
        need(done.returncode == 0 and "1 passed" in done.stdout, done.stdout + done.stderr)
        return
    api = server()
    api.account(folder)
    env = {"PATH": os.environ["PATH"], "NAMESPACE": "prod", "KUBERNETES_SERVICE_HOST": "127.0.0.1",
           "KUBERNETES_SERVICE_PORT": str(api.port)}
    one = Sidecar(store(), env=env)
    equal(found(one, "kube/db")["user"], "ann")
    api.tokens = {"eyJhbGciOi.kubetoken-3.sig"}
    api.account(folder)
    equal(found(one, "kube/db")["user"], "ann", "with the token of now")


@test("components take secrets of a cluster, of the namespace that they are in", "SEC-10 SEC-07")
def references():
    redis = Redis()
    redis.command("CONFIG", "SET", "requirepass", "of-the-cluster")
    server().put("prod", "redis", {"password": "of-the-cluster"})
    red = component("red", "state.redis", {"redisHost": f"127.0.0.1:{redis.port}"}, namespace="prod")
    red += "  - name: redisPassword\n    secretKeyRef: {name: redis, key: password}\nauth: {secretStore: kube}\n"
    one = sidecar_of(red, store(config(), defaultNamespace="other"))
    equal(one.call("POST", "/v1.0/state/red", b'[{"key":"a","value":1}]').status, 204)
    need("of-the-cluster" not in one.log() and server().token not in one.log(), "neither is in the log")


@test("answers that are none are errors, and the plugin lives", "SEC-01")
def hostile_answers():
    api = ApiServer()
    one = sidecar_of(store(api.kubeconfig(Folder(), {"token": api.token})))
    pid = one.plugin_pid("kubernetes")

    def reply(body, status=200):
        return b"HTTP/1.1 %d X\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (status, len(body), body)

    for fault in (b"\0\xff" * 100, b"", reply(b""), reply(b"[]"), reply(b'{"data":5}'), reply(b'{"data":{"a":"!"}}'),
                  reply(b'{"data":{"a":5}}'), reply(b'{"data":' + b"[" * 5000 + b"]" * 5000 + b"}"), reply(b"{}", 500),
                  reply(b'{"items":[{}]}'), b"HTTP/1.1 200 X\r\nContent-Length: 9\r\n\r\n{", reply(b"x" * (9 << 20))):
        api.fault = fault
        need(get(one, "kube/x").status == 500 or fault in (reply(b'{"items":[{}]}'),), fault[:60])
        equal(get(one, "kube/bulk").status, 500, fault[:60])
    api.fault, api.is_endless = None, True
    failed(one, "kube/bulk", "the namespace holds more than can be read at once")
    equal(one.plugin_pid("kubernetes"), pid)


main()
