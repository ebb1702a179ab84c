# SPDX-License-Identifier: Apache-2.0
"""nameresolution.hashicorp.consul, by itself: the plugin against an agent. Without a real one (CONSUL=path, or on the PATH)
the agent is a declared wire fake, see tests/lib/consul.py. timeout: 120"""
import subprocess

from resolver_bed import Refused, Resolver  # first: it finds the Python that has the packages
import consul
from http_app import App, answer
from mesh import invoke, reaches
from remora import DEADLINE_S, Folder, Sidecar, equal, eventually, free_port, main, need, test

TYPE = "nameresolution.hashicorp.consul"
PASSING = {"name": "always", "checkID": "always", "ttl": "60s", "status": "passing"}


def resolver(agent, app_id="front", port=50002, client=None, type_=TYPE, env=None, instance=None, **configuration):
    configuration["client"] = {"address": agent.address, **(client or {})}
    return Resolver("consul", type_, configuration, app_id, port, env=env, **(instance or {}))


def refusal(what):
    try:
        what()
    except Refused as e:
        return e.code, e.message
    raise AssertionError("it was not refused")


@test("sidecars that register themselves find each other; each instance is answered", "INV-09 INV-10")
def self_register():
    agent = consul.Agent()
    one = resolver(agent, "back", 50002, selfRegister=True, checks=[PASSING], tags=["dapr", "v1"], meta={"zone": "a"},
                   instance={"app_port": 6001})
    two = resolver(agent, "back", 50012, selfRegister=True, checks=[dict(PASSING, checkID="other")],
                   instance={"http_port": 3510})
    front = resolver(agent, type_="nameresolution.consul")
    eventually(lambda: sorted(front.find("back")) == ["127.0.0.1:50002", "127.0.0.1:50012"], "both are found")
    service = agent.services()["back-127.0.0.1-3500"]
    equal((service["Service"], service["Address"], service["Port"], service["Tags"]), ("back", "127.0.0.1", 6001, ["dapr", "v1"]))
    equal((service["Meta"]["zone"], service["Meta"]["DAPR_PORT"]), ("a", "50002"))
    equal(refusal(lambda: front.resolve("nobody")), ("NOT_FOUND", "no healthy services found with AppID 'nobody'"))
    two.stop()
    need("back-127.0.0.1-3510" in agent.services(), "without selfDeregister the service is not taken back")
    one.stop()


@test("a service is taken back at the end if that is configured, and not if a later generation has it", "INV-09")
def deregister():
    agent = consul.Agent()
    one = resolver(agent, "back", selfRegister=True, selfDeregister=True, checks=[PASSING])
    next_ = resolver(agent, "back", selfRegister=True, selfDeregister=True, checks=[PASSING])
    one.stop()
    need("back-127.0.0.1-3500" in agent.services(), "the next generation is still there")
    next_.stop()
    equal(agent.services(), {})
    equal(next_.said()[-1], "deregistered service from consul")


@test("the check is the sidecar's health unless others are configured, and who does not pass is not found", "INV-09")
def health():
    agent = consul.Agent()
    one = resolver(agent, "back", selfRegister=True, instance={"http_port": 3507})
    equal(agent.checks()["daprHealth:back-127.0.0.1-3507"]["Name"], "Dapr Health Status")
    equal(refusal(lambda: one.resolve("back")), ("NOT_FOUND", "no healthy services found with AppID 'back'"))


@test("services that others register: address of the node, key of the port, odd ones passed over", "INV-09")
def external():
    agent = consul.Agent()
    front = resolver(agent, daprPortMetaKey="SIDE", queryOptions={"useCache": False})

    def register(id_, address, meta, name="back"):
        agent.register({"ID": id_, "Name": name, "Address": address, "Port": 80, "Meta": meta})

    register("a", "", {"SIDE": "50002"})
    register("b", "fd00::5", {"SIDE": "50003"})
    register("c", "back.example", {"SIDE": "50004"})
    register("d", "10.0.0.1", {"DAPR_PORT": "1"})
    register("e", "10.0.0.2", {"SIDE": "99999"})
    register("f", "10.0.0.3", {"SIDE": "80/x"})
    register("g", "evil/x", {"SIDE": "80"})
    register("h", "", {"SIDE": "50002"})
    eventually(lambda: sorted(front.find("back")) == ["127.0.0.1:50002", "[fd00::5]:50003", "back.example:50004"], "they are found")
    register("only", "10.0.0.9", {}, "portless")
    eventually(lambda: refusal(lambda: front.resolve("portless")) ==
               ("NOT_FOUND", "target service AppID 'portless' found but SIDE missing from meta"), "the port is missed")


@test("advanced registration goes to the agent as it is written, with what the sidecar knows filled in", "INV-09")
def advanced():
    agent = consul.Agent()
    back = resolver(agent, "back", selfRegister=False, instance={"app_port": 6001}, tags=["ignored"], advancedRegistration={
        "name": "${APP_ID}", "id": "my-${APP_ID}", "port": "${APP_PORT}", "address": "${HOST_ADDRESS}", "tags": ["dapr", "${NOT}"],
        "check": {"name": "h", "checkID": "h:${APP_ID}", "interval": "15s", "status": "passing",
                  "http": "http://${HOST_ADDRESS}:${DAPR_HTTP_PORT}/v1.0/healthz"}, "meta": {"zone": "b", "DAPR_PORT": "1"}})
    service = agent.services()["my-back"]
    equal((service["Service"], service["Port"], service["Address"], service["Tags"]), ("back", 6001, "127.0.0.1", ["dapr", "${NOT}"]))
    equal((service["Meta"]["DAPR_PORT"], service["Meta"]["zone"]), ("50002", "b"))
    eventually(lambda: back.find("back") == ["127.0.0.1:50002"], "it is found")


@test("with useCache answers come from memory, and follow what changes", "INV-09")
def cache():
    agent = consul.Agent()
    front = resolver(agent, useCache=True)
    agent.register({"ID": "a", "Name": "back", "Address": "10.0.0.1", "Meta": {"DAPR_PORT": "1"}})
    eventually(lambda: front.find("back") == ["10.0.0.1:1"], "the first is found")
    agent.register({"ID": "b", "Name": "back", "Address": "10.0.0.2", "Meta": {"DAPR_PORT": "2"}})
    eventually(lambda: sorted(front.find("back")) == ["10.0.0.1:1", "10.0.0.2:2"], "the second is found")
    if not agent.is_real:
        def asked():
            return len([path for _, path, _ in agent.requests if "/health/" in path])

        # The answer before this question is the newest one.
        eventually(lambda: f"index={agent.index}&" in agent.requests[-1][1], "it is watched")
        before = asked()
        for _ in range(50):
            equal(sorted(front.resolve("back")), ["10.0.0.1:1", "10.0.0.2:2"])
        equal(asked(), before, "the agent was asked")
    agent.deregister("a")
    eventually(lambda: front.find("back") == ["10.0.0.2:2"], "the first is gone")


@test("an agent that goes away and comes back: errors meanwhile, and all is well afterwards, registration too", "INV-09")
def outage():
    port = free_port()
    agent = consul.Agent(port=port)
    for cached in (False, True):
        front = resolver(agent, f"front{cached}", selfRegister=True, checks=[dict(PASSING, checkID=f"c{cached}")], useCache=cached)
        eventually(lambda: front.find(f"front{cached}"), "it is found")
        agent.end()
        if cached:  # what is remembered is forgotten when the watch breaks
            eventually(lambda: not front.find(f"front{cached}"), "it is noticed")
        code, words = refusal(lambda: front.resolve("back"))
        equal(code, "UNAVAILABLE")
        need(words.startswith("failed to query healthy consul services: "), words)
        agent = consul.Agent(port=port)
        agent.register({"ID": "a", "Name": "back", "Address": "10.0.0.1", "Meta": {"DAPR_PORT": "1"}})
        eventually(lambda: front.find("back") == ["10.0.0.1:1"], "the others are found again")
        if not cached:  # it takes up to 5 s
            eventually(lambda: f"front{cached}-127.0.0.1-3500" in agent.services(), "it is registered again", 40)
        front.end()


@test("a start without an agent fails with words, and works once there is one", "INV-09")
def no_agent():
    port = free_port()

    class Nowhere:
        address = f"127.0.0.1:{port}"

    code, words = refusal(lambda: resolver(Nowhere))
    equal(code, "UNAVAILABLE")
    need(words.startswith("failed check on consul agent: "), words)
    late = resolver(Nowhere, "back", selfRegister=True, checks=[PASSING], instance={"start": False})
    code, words = refusal(late.start)
    need(words.startswith("failed to register consul service: "), words)
    agent = consul.Agent(port=port)
    late.start()
    eventually(lambda: late.find("back") == ["127.0.0.1:50002"], "it is found")
    agent.end()


@test("a token opens the agent, from text, file or environment, and is told to nobody", "INV-09")
def token():
    secret = "0b5c7a3e-1111-4222-8333-944455556666"
    agent = consul.Agent(token=secret)
    wrong = "ffffffff-1111-4222-8333-944455556666"
    for client in ({}, {"token": wrong}):
        code, words = refusal(lambda: resolver(agent, client=client))
        equal(code, "PERMISSION_DENIED")
        need(words.startswith("failed check on consul agent: Unexpected response code: 403 (") and wrong not in words, words)
    folder = Folder()
    path = folder.write("token", secret + "\n")
    for client, env in (({"token": secret}, None), ({"tokenFile": path}, None), ({}, {"CONSUL_HTTP_TOKEN": secret})):
        front = resolver(agent, client=client, env=env, selfRegister=True, checks=[PASSING], selfDeregister=True)
        eventually(lambda: front.find("front") == ["127.0.0.1:50002"], "it is found")
        front.stop()
        need(secret not in front.process.output() + " ".join(front.said()), "the token is in the log")
    folder.write("token", wrong)
    front = resolver(agent, client={"token": secret}, queryOptions={"token": wrong})
    code, words = refusal(lambda: front.resolve("front"))
    need(wrong not in words and secret not in words, words)


@test("what is configured wrongly is refused with words", "INV-09")
def wrong():
    class Nowhere:
        address = "127.0.0.1:1"

    for settings, words in (({"client": {"address": 5}}, "address is no string"), ({"client": "x"}, "client is no map"),
                            ({"client": {"address": "h:1/path"}}, "client.address is no host:port"),
                            ({"client": {"scheme": "ftp"}}, "client has an unknown protocol scheme"),
                            ({"client": {"token": "a\r\nX-Y: 1"}}, "token has a line break"),
                            ({"client": {"tlsConfig": {"certFile": "x"}}}, "tlsConfig needs both certFile and keyFile, or none"),
                            ({"selfRegister": "perhaps"}, "selfRegister is no boolean"),
                            ({"queryOptions": {"maxAge": "soon", "useCache": True}}, "maxAge is no duration"),
                            ({"advancedRegistration": {"id": "x"}}, "advancedRegistration has no name"),
                            ({"meta": "x", "selfRegister": True}, "meta is no map")):
        client = settings.pop("client", {})
        code, said = refusal(lambda: Resolver("consul", TYPE, {"client": client, **settings}, "front", 50002))
        equal((code, said), ("INVALID_ARGUMENT", f"error deserializing to configSpec: {words}"))
    equal(refusal(lambda: resolver(Nowhere, port=0)), ("INVALID_ARGUMENT", "metadata property missing: DAPR_PORT"))
    equal(refusal(lambda: resolver(Nowhere, selfRegister=True, instance={"http_port": 0})),
          ("INVALID_ARGUMENT", "metadata property missing: DAPR_HTTP_PORT"))
    need("Unexpected response code: 400" in refusal(
        lambda: resolver(consul.Agent(), selfRegister=True, checks=[PASSING], tags="x"))[1], "the agent judges the rest")


@test("the options of a question are those of the configuration", "INV-09")
def options():
    agent = consul.FakeAgent()

    def asked(client=None, **configuration):
        front = resolver(agent, client=client, **configuration)
        front.find("a b/ö")
        front.end()
        _, path, headers = next(r for r in reversed(agent.requests) if "/health/" in r[1])
        need(path.startswith("/v1/health/service/a%20b%2F%C3%B6?passing=1"), path)
        return path.split("passing=1")[1], headers

    equal(asked()[0], "&cached")
    equal(asked(queryOptions={})[0], "")
    equal(asked(queryOptions={"useCache": True, "requireConsistent": True})[0], "&consistent")
    path, headers = asked({"datacenter": "dc2"}, queryOptions={
        "useCache": True, "maxAge": "30s", "staleIfError": 5 * 10**9, "allowStale": True, "near": "_agent", "namespace": "n s",
        "partition": "p", "filter": 'Service.Tags contains "a&b"', "nodeMeta": {"k": "v"}, "relayFactor": 3, "localOnly": True,
        "connect": True, "token": "q"})
    equal(path, "&dc=dc2&ns=n%20s&partition=p&near=_agent&filter=Service.Tags%20contains%20%22a%26b%22&stale&connect=true"
                "&local-only=true&relay-factor=3&node-meta=k%3Av&cached")
    equal((headers["Cache-Control"], headers["X-Consul-Token"]), ("max-age=30, stale-if-error=5", "q"))
    equal(asked({"datacenter": "dc2"}, queryOptions={"Datacenter": "dc3"})[0], "&dc=dc3")
    equal(asked({"httpAuth": {"username": "u", "password": "p"}})[1]["Authorization"], "Basic dTpw")
    equal(len(asked(None)[1].get("Authorization", "")), 0)


def certificates(folder):
    """An authority, a server's for consul.example and a client's."""
    def run(*words):
        subprocess.run(["openssl", *words], check=True, capture_output=True, cwd=folder.path)

    run("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "ca.key", "-out", "ca.crt", "-days", "2",
        "-subj", "/CN=ca")
    for name, san in (("server", "DNS:consul.example"), ("client", "DNS:client")):
        run("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.csr",
            "-subj", f"/CN={name}")
        folder.write("ext", f"subjectAltName={san}\n")
        run("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-out", f"{name}.crt", "-days", "2",
            "-extfile", "ext")


@test("TLS is verified, with the name, authority and client certificate that are configured", "INV-09")
def tls():
    folder = Folder()
    certificates(folder)
    agent = consul.FakeAgent(tls=consul.server_tls(folder / "server.crt", folder / "server.key", folder / "ca.crt"))
    right = {"address": "consul.example", "caFile": folder / "ca.crt", "certFile": folder / "client.crt", "keyFile": folder / "client.key"}

    def attempt(**changes):
        tls_config = {name: value for name, value in {**right, **changes}.items() if value is not None}
        resolver(agent, client={"scheme": "https", "tlsConfig": tls_config}).stop()

    attempt()
    attempt(address=None, insecureSkipVerify=True)
    for changes in ({"address": None}, {"address": "other.example"}, {"caFile": None}, {"certFile": None, "keyFile": None}):
        code, words = refusal(lambda: attempt(**changes))
        equal(code, "UNAVAILABLE", changes)


@test("sidecars call each other through it, with token and certificates from files that its sandbox lets it read",
      "INV-09 INV-10")
def sidecars():
    folder = Folder()
    certificates(folder)
    secret = "0b5c7a3e-1111-4222-8333-944455556666"
    folder.write("token", secret)
    agent = consul.FakeAgent(token=secret, tls=consul.server_tls(folder / "server.crt", folder / "server.key", folder / "ca.crt"))
    back = App(lambda request, exchange: answer(200, b"back"))

    def sidecar(app_id, *flags):
        port = free_port()
        config = folder.write(f"{app_id}.yaml", f"""
apiVersion: dapr.io/v1alpha1
kind: Configuration
metadata: {{name: consul}}
spec:
  nameResolution:
    component: consul
    version: v1
    configuration:
      client:
        address: {agent.address}
        scheme: https
        tokenFile: {folder / "token"}
        tlsConfig: {{address: consul.example, caFile: {folder / "ca.crt"}, certFile: {folder / "client.crt"},
                    keyFile: {folder / "client.key"}}}
      selfRegister: true
      selfDeregister: true
      checks: [{{name: always, checkID: "always-${{APP_ID}}", ttl: 60s, status: passing}}]
""")
        made = Sidecar(app_id=app_id, flags=["--config", config, "--dapr-internal-grpc-port", str(port),
                                             "--dapr-internal-grpc-listen-address", "127.0.0.1", *flags])
        made.app_id, made.internal = app_id, f"127.0.0.1:{port}"
        return made

    callee = sidecar("back", "--app-port", str(back.port))
    caller = sidecar("front")
    equal(reaches(caller, "back", "x").body, b"back")
    need(secret not in caller.log(), "the token is in the log")
    service = agent.by_id[f"back-127.0.0.1-{callee.port}"]
    equal((service["port"], service["meta"]["DAPR_PORT"]), (back.port, callee.internal.split(":")[1]))
    callee.stop()
    equal(list(agent.by_id), [f"front-127.0.0.1-{caller.port}"], "a clean stop takes the service back")
    eventually(lambda: invoke(caller, "back", "x").status >= 500, "it is noticed")
    caller.stop()
    equal(agent.by_id, {})


@test("answers that make no sense are errors, and are bounded", "INV-09")
def nonsense():
    agent = consul.FakeAgent()
    front = resolver(agent)
    for reply in ("{}", "[", "null", "", "[[[[", '[{"Service": 5}]', '[{"Service": {"Meta": [1]}}, 7, null]', "[" * 5000,
                  '["' + "x" * (9 << 20) + '"]'):
        agent.get = lambda path, query, reply=reply: (200, reply)
        need(refusal(lambda: front.resolve("back"))[0] in ("UNAVAILABLE", "NOT_FOUND"), reply[:20])
    many = [{"Node": {"Address": "10.0.0.1"}, "Service": {"Meta": {"DAPR_PORT": str(i + 1)}}} for i in range(1000)]
    agent.get = lambda path, query: (200, many)
    equal(len(front.resolve("back")), 256)
    agent.fault = 500
    equal(refusal(lambda: front.resolve("back")), (
        "UNAVAILABLE", "failed to query healthy consul services: Unexpected response code: 500 (rpc error making call: No cluster "
                       "leader)"))


@test("an agent that answers nothing at all ends a question at its deadline", "INV-09")
def frozen():
    agent = consul.FakeAgent()
    front = resolver(agent)
    agent.news.acquire()  # every request waits for it
    try:
        call = front.link.open(consul_method(), 5, question("back"), timeout_ms=500)
        front.link.wait(lambda: call.response is not None, "an answer", DEADLINE_S)
        need(call.status.code != 0, "it was answered")
    finally:
        agent.news.release()
    agent.register({"ID": "a", "Name": "back", "Address": "10.0.0.1", "Meta": {"DAPR_PORT": "1"}})
    eventually(lambda: front.find("back") == ["10.0.0.1:1"], "it is found")


def consul_method():
    import plugin_pb2
    return plugin_pb2.METHOD_NAME_RESOLVE


def question(id_):
    import plugin_pb2
    return plugin_pb2.NameResolve(id=id_, port=1).SerializeToString()


main()
