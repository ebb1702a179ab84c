# SPDX-License-Identifier: Apache-2.0
# timeout: 120
"""The secrets API over gRPC: several values, metadata, bulk, every row of the table of scopes; and over HTTP the same."""

import sdk  # noqa: F401  isort: skip

import json

import grpc
from remora import Folder, Sidecar, component, equal, main, need, test
from vault import Vault

from dapr.proto import api_service_v1, api_v1

SECRETS = {"a": "1", "b": "2", "c": "3", "nested": {"user": "ann", "deep": {"pw": "ü"}}}
# defaultAccess, allowedSecrets, deniedSecrets -> those of a, b and c that may be seen (SEC-16 to SEC-21).
ROWS = {
    "SEC-16 empty": (None, None, None, "abc"),
    "SEC-16 allow": ("allow", None, None, "abc"),
    "SEC-16 deny": ("deny", None, None, ""),
    "SEC-17 deny, allowed": ("deny", ["a"], None, "a"),
    "SEC-18 allow, denied": ("allow", None, ["a"], "bc"),
    "SEC-19 allow, allowed": ("allow", ["a"], None, "a"),
    "SEC-20 deny, denied": ("deny", None, ["a"], ""),
    "SEC-21 deny, both": ("deny", ["a", "b"], ["b"], "ab"),
    "SEC-21 allow, both": ("allow", ["a", "b"], ["b"], "ab"),
}


def stub(sidecar):
    return api_service_v1.DaprStub(grpc.insecure_channel(f"127.0.0.1:{sidecar.grpc_port}"))


def refused(function, request):
    try:
        function(request)
    except grpc.RpcError as error:
        return error.code().name, error.details()
    raise AssertionError("it was not refused")


def local(folder, name, **metadata):
    path = folder.write("secrets.json", json.dumps(SECRETS))
    return component(name, "secretstores.local.file", {"secretsFile": path, **metadata})


@test("every row of the table of scopes, in get and bulk, over gRPC and HTTP",
      "SEC-12 SEC-13 SEC-14 SEC-15 SEC-16 SEC-17 SEC-18 SEC-19 SEC-20 SEC-21 SEC-23 SEC-24")
def scopes():
    folder, lines, documents = Folder(), [], []
    for i, (default, allowed, denied, _) in enumerate(ROWS.values()):
        scope = {"storeName": f"s{i}", "defaultAccess": default, "allowedSecrets": allowed, "deniedSecrets": denied}
        lines.append("    - " + json.dumps({key: value for key, value in scope.items() if value is not None}))
        documents.append(local(folder, f"s{i}"))
    config = folder.write("config.yaml", "apiVersion: dapr.io/v1alpha1\nkind: Configuration\nmetadata: {name: c}\nspec:\n"
                          "  secrets:\n    scopes:\n" + "\n".join(lines) + "\n")
    one = Sidecar(*documents, flags=["--config", config])
    api = stub(one)
    for i, (row, (_, _, _, seen)) in enumerate(ROWS.items()):
        for name in "abc":
            request = api_v1.GetSecretRequest(store_name=f"s{i}", key=name)
            words = f'access denied by policy to get "{name}" from "s{i}"'
            reply = one.call("GET", f"/v1.0/secrets/s{i}/{name}")
            if name in seen:
                equal(dict(api.GetSecret(request).data), {name: SECRETS[name]}, row)
                equal((reply.status, reply.json), (200, {name: SECRETS[name]}), row)
            else:
                equal(refused(api.GetSecret, request), ("PERMISSION_DENIED", words), row)
                equal((reply.status, reply.json), (403, {"errorCode": "ERR_PERMISSION_DENIED", "message": words}), row)
        bulk = api.GetBulkSecret(api_v1.GetBulkSecretRequest(store_name=f"s{i}")).data
        equal({name for name in bulk if name in "abc"}, set(seen), row)
        equal({name for name in one.call("GET", f"/v1.0/secrets/s{i}/bulk").json if name in "abc"}, set(seen), row)


@test("several values of one secret, all secrets, and errors with the reference's codes", "SEC-01 SEC-02 SEC-03 SEC-04 X-SEC-02")
def values():
    api = stub(Sidecar(local(Folder(), "multi", multiValued="true")))
    equal(dict(api.GetSecret(api_v1.GetSecretRequest(store_name="multi", key="nested")).data), {"user": "ann", "deep:pw": "ü"})
    bulk = api.GetBulkSecret(api_v1.GetBulkSecretRequest(store_name="multi")).data
    equal({name: dict(secret.secrets) for name, secret in bulk.items()},
          {"a": {"a": "1"}, "b": {"b": "2"}, "c": {"c": "3"}, "nested": {"user": "ann", "deep:pw": "ü"}})
    equal(refused(api.GetSecret, api_v1.GetSecretRequest(store_name="multi", key="none")),
          ("INTERNAL", "failed getting secret with key none from secret store multi: secret none not found"))
    for function, request in ((api.GetSecret, api_v1.GetSecretRequest(store_name="ghost", key="a")),
                              (api.GetBulkSecret, api_v1.GetBulkSecretRequest(store_name="ghost"))):
        equal(refused(function, request), ("INVALID_ARGUMENT", "failed finding secret store with key ghost"))
        equal(refused(getattr(stub(Sidecar()), "GetSecret"), api_v1.GetSecretRequest(store_name="ghost", key="a")),
              ("FAILED_PRECONDITION", "secret store is not configured"))


@test("metadata reaches the store", "SEC-05 X-SEC-01")
def metadata():
    server = Vault()
    server.put("dapr/db", {"pw": "first"})
    server.put("dapr/db", {"pw": "second"})
    api = stub(Sidecar(component("vault", "secretstores.hashicorp.vault", {"vaultAddr": server.url, "vaultToken": server.token})))
    for version, password in (("1", "first"), ("2", "second"), ("0", "second")):
        request = api_v1.GetSecretRequest(store_name="vault", key="db", metadata={"version_id": version})
        equal(dict(api.GetSecret(request).data), {"pw": password})
    code, words = refused(api.GetSecret, api_v1.GetSecretRequest(store_name="vault", key="db", metadata={"version_id": "x"}))
    need(code == "INTERNAL" and words.endswith("version_id is no number"), words)


main()
