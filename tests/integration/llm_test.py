#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The plugin of language models beside a kernel that speaks the contract and nothing else: each provider of
tests/lib/providers/ (they are fakes that refuse what the providers' documentation does not allow) is asked whatever a
conversation may hold, and answers well, badly, or not at all."""

import json
import os
import ssl
import time

import providers
from certificates import Certificates
from providers import KEY, KINDS, document, status
from remora import BUILD, SLOW, Folder, equal, eventually, free_port, main, need, test
from resolver_bed import kernel, pb

SCHEMA = {"type": "object", "properties": {"zone": {"type": "string"}}, "required": ["zone"]}
TOOLS = [pb.ConversationTool(name="get_time", description="the time", parameters=json.dumps(SCHEMA).encode()),
         pb.ConversationTool(name="no_arguments")]
SECRET = "what only the two of us should ever know"
USER, SYSTEM, DEVELOPER, ASSISTANT, TOOL = (pb.CONVERSATION_ROLE_USER, pb.CONVERSATION_ROLE_SYSTEM,
                                            pb.CONVERSATION_ROLE_DEVELOPER, pb.CONVERSATION_ROLE_ASSISTANT,
                                            pb.CONVERSATION_ROLE_TOOL)
OPENAI_WIRE = ("openai", "azure.openai", "deepseek", "mistral", "ollama", "huggingface", "openrouter")


class Plugin:
    """The plugin and its components; what it has logged may hold no key and nothing that was said."""

    def __init__(self, env=None):
        self.process = kernel.Process(os.path.join(BUILD, "plugins/llm/llm"), env)
        self.link = kernel.Link(self.process.accept())
        self.link.hello()
        self.link.ack()
        self.handle = 1
        plugins.append(self)

    def init(self, kind, pairs):
        self.handle += 1
        metadata = [pb.Pair(name=name, value=value) for name, value in pairs.items()]
        return self.link.call(pb.METHOD_INIT, self.handle, pb.InitRequest(
            name="model", type=f"conversation.{kind}", version="v1", app_id="a", metadata=metadata))

    def component(self, kind, provider, **more):
        answer = self.init(kind, {**providers.metadata(kind, provider), **more})
        equal(answer.status.code, 0, answer.status.message)
        return self.handle

    def open(self, handle, *messages, seconds=0, **more):
        return self.link.open(pb.METHOD_CONVERSE, handle, pb.Converse(messages=messages, **more),
                              timeout_ms=int(seconds * 1000))

    def call(self, handle, *messages, **more):
        return self.link.finish(self.open(handle, *messages, **more))

    def ask(self, handle, *messages, **more):
        answer = self.call(handle, *messages, **more)
        equal(answer.status.code, 0, answer.status.message)
        return answer.message(pb.ConverseReply)

    def fail(self, handle, *messages, **more):
        """(name of the code, of the effect, words)"""
        said = self.call(handle, *messages, **more).status
        need(KEY not in said.message and SECRET not in said.message, said.message)
        return pb.Code.Name(said.code).removeprefix("CODE_"), pb.Effect.Name(said.effect).removeprefix("EFFECT_"), said.message

    def close(self):
        for entry in self.link.logs:
            need(KEY not in str(entry) and SECRET not in str(entry), entry)
        self.link.close()
        status = self.process.wait_exit(15 * SLOW)  # in peace, which is when leaks are looked for
        with open(self.process.log.name) as f:
            text = f.read()
        need(KEY not in text and "Sanitizer" not in text and "runtime error" not in text, text[-3000:])
        equal(status, 0)
        self.process.close()


plugins = []
shared_plugin = Plugin()


def turn(text, role=USER, **more):
    return pb.ConversationMessage(role=role, content=[text] if isinstance(text, str) else text, **more)


def each():
    for kind, make in KINDS.items():
        provider = make()
        yield kind, provider, shared_plugin.component(kind, provider)


# --- what is asked ----------------------------------------------------------------------------------------------------


@test("every role, several texts and names are said in each provider's way, and its answer, usage and model come back",
      "CONV-01 CONV-06 CONV-12 CONV-13")
def roles():
    for kind, provider, handle in each():
        reply = shared_plugin.ask(handle, turn("be brief", DEVELOPER), turn("be kind", SYSTEM, name="boss"),
                                  turn(["hello", "there"], name="ann"), turn("hi", ASSISTANT), turn("and you?"))
        choice = reply.choices[0]
        equal(choice.finish_reason, "stop", kind)
        need(choice.content.endswith("heard, last: and you?"), (kind, choice.content))
        usage = reply.usage
        equal((usage.prompt_tokens, usage.completion_tokens, usage.total_tokens), (11, 7, 18), kind)
        need(kind in ("mistral", "ollama", "huggingface") or usage.prompt_details.cached == 3, (kind, usage))
        equal(reply.model, provider.model + ("" if kind == "aws.bedrock" else "-2026"))
        said = json.dumps(provider.asked[0])
        need("be brief" in said and "be kind" in said, said)
        need(("developer" in said) == (kind in ("openai", "azure.openai")), said)
        need(('"ann"' in said) == (kind in ("openai", "azure.openai", "deepseek", "openrouter")), said)
    details = shared_plugin.ask(shared_plugin.component("openai", KINDS["openai"]()), turn("x")).usage
    equal((details.completion_details.reasoning, details.completion_details.accepted_prediction,
           details.completion_details.rejected_prediction, details.prompt_details.audio), (4, 2, 1, 1))


@test("tools are offered, chosen, called and answered", "CONV-01")
def tools():
    for kind, provider, handle in each():
        for choice, calls in (("", True), ("auto", True), ("none", False), ("required", True), ("get_time", True)):
            reply = shared_plugin.ask(handle, turn("s", SYSTEM), turn("get_time please"), tools=TOOLS, tool_choice=choice)
            first = reply.choices[0]
            equal(first.finish_reason, "tool_calls" if calls else "stop", f"{kind} {choice}")
            equal([(c.name, json.loads(c.arguments)) for c in first.tool_calls],
                  [("get_time", {"zone": "UTC"})] if calls else [], kind)
        call = reply.choices[0].tool_calls[0]
        second = pb.ConversationToolCall(id="second123", name="no_arguments")
        reply = shared_plugin.ask(
            handle, turn("what time is it?"), turn(["I look"] if kind == "openai" else [], ASSISTANT, tool_calls=[call, second]),
            turn("noon", TOOL, tool_id=call.id, name="get_time"), turn('{"done": true}', TOOL, tool_id=second.id),
            tools=TOOLS[1:], tool_choice="none")
        equal(reply.choices[0].finish_reason, "stop", kind)
        said = json.dumps(provider.asked[-1])
        need("noon" in said and "UTC" in said, said)


@test("formats, limits, parameters and metadata go to their places", "CONV-15")
def options():
    schema = {"name": "when", "strict": True, **SCHEMA, "additionalProperties": False}
    bare = {**SCHEMA, "additionalProperties": False}
    for kind, provider, handle in each():
        parameters = {"topP": 0.5} if kind in ("googleai", "aws.bedrock") else {"top_p": 0.5, "stream": True}
        shared_plugin.ask(handle, turn("hear", SYSTEM), turn("x"), temperature=0.25, max_tokens=77,
                          response_format=json.dumps(schema).encode(), parameters=json.dumps(parameters).encode(),
                          prompt_cache_retention_ms=7200000,
                          metadata=[pb.Pair(name="user_id", value="u"), pb.Pair(name="traceparent", value="00-1-2-00")])
        asked = provider.asked[-1]
        need("stream" not in asked and "traceparent" not in json.dumps(asked), asked)
        where = asked.get("generationConfig", asked.get("inferenceConfig", asked))
        equal((where["temperature"], where.get("top_p", where.get("topP"))), (0.25, 0.5), kind)
        limit = {"openai": "max_completion_tokens", "azure.openai": "max_completion_tokens", "googleai": "maxOutputTokens",
                 "aws.bedrock": "maxTokens"}.get(kind, "max_tokens")
        equal(where[limit], 77, kind)
        if kind == "deepseek":
            equal(asked["response_format"], {"type": "json_object"})
            need(json.dumps(bare, separators=(",", ":")) in asked["messages"][0]["content"], asked)
        elif kind in OPENAI_WIRE:
            equal(asked["response_format"]["json_schema"], {"name": "when", "strict": True, "schema": bare})
        elif kind == "anthropic":
            equal(asked["output_config"]["format"], {"type": "json_schema", "schema": bare})
            equal((asked["metadata"], provider.cache_points), ({"user_id": "u"}, 2))
            equal(asked["system"][-1]["cache_control"], {"type": "ephemeral", "ttl": "1h"})
        elif kind == "googleai":
            equal(where["responseJsonSchema"], bare)
        else:
            equal(json.loads(asked["outputConfig"]["textFormat"]["structure"]["jsonSchema"]["schema"]), bare)
            equal(asked["system"][-1], {"cachePoint": {"type": "default", "ttl": "1h"}})
        if kind in ("openai", "azure.openai"):
            equal((asked["prompt_cache_retention"], asked["metadata"]), ("24h", {"user_id": "u"}))


@test("what the component says is for requests that do not; a request may name another model", "CONV-07")
def defaults():
    provider = KINDS["openai"]()
    handle = shared_plugin.component("openai", provider, maxTokens="33", temperature="0.5", useLegacyMaxTokensField="true",
                                     model="gpt-4o")
    shared_plugin.ask(handle, turn("x"))
    equal((provider.asked[-1]["max_tokens"], provider.asked[-1]["temperature"]), (33, 0.5))
    reply = shared_plugin.ask(handle, turn("x"), max_tokens=44, temperature=0, metadata=[pb.Pair(name="Model", value="o9")])
    asked = provider.asked[-1]
    equal((asked["max_tokens"], asked["temperature"], asked["model"], reply.model), (44, 0, "o9", "o9-2026"))
    for wrong in ("a b\r\nX: y", "../../admin", "größe", "m" * 3000):
        said = shared_plugin.fail(handle, turn("x"), metadata=[pb.Pair(name="model", value=wrong)])
        equal(said, ("INVALID_ARGUMENT", "NOT_SENT", "openai: the model's name is no name"))
    anthropic = KINDS["anthropic"]()
    shared_plugin.ask(shared_plugin.component("anthropic", anthropic, apiType="foundry"), turn("x"))
    equal(anthropic.asked[-1]["max_tokens"], 4096)
    azure = KINDS["azure.openai"]()
    shared_plugin.ask(shared_plugin.component("openai", azure, apiType="azure", apiVersion=azure.version), turn("x"))
    equal(azure.deployment, azure.model)
    plugin = Plugin({"OPENAI_MODEL": "of-the-environment"})
    pairs = providers.metadata("openai", provider)
    del pairs["model"]
    equal(plugin.init("openai", pairs).status.code, 0)
    plugin.ask(plugin.handle, turn("x"))
    equal(provider.asked[-1]["model"], "of-the-environment")


@test("texts of any kind and a mebibyte arrive as they are", "CONV-13")
def texts():
    for kind, provider, handle in each():
        for text in ("\u2028 \U0001f600 \x01\"\\ </s>", "x" * 1024 * 1024):
            reply = shared_plugin.ask(handle, turn(text))
            equal(reply.choices[0].content, f"1 heard, last: {text}", kind)


# --- what is answered -------------------------------------------------------------------------------------------------


@test("each refusal has its status, its words without what was said and without the key, and the time to wait", "CONV-01")
def refusals():
    echo = f"bad: '{SECRET}' of {KEY}"
    rows = ((400, "INVALID_ARGUMENT", "FAILED", "bad: '...' of ..."), (401, "UNAUTHENTICATED", "FAILED", None),
            (403, "PERMISSION_DENIED", "FAILED", None), (404, "NOT_FOUND", "FAILED", "bad: '...' of ..."),
            (422, "INVALID_ARGUMENT", "FAILED", "bad: '...' of ..."), (500, "UNAVAILABLE", "UNKNOWN", None),
            (503, "UNAVAILABLE", "UNKNOWN", None), (529, "UNAVAILABLE", "UNKNOWN", None),
            (302, "INTERNAL", "UNKNOWN", None))
    for kind, provider, handle in each():
        for code, name, effect, words in rows:
            provider.faults = [status(code, echo, [("Location", provider.base + "/v1/other")])]
            said = shared_plugin.fail(handle, turn(SECRET))
            equal(said[:2], (name, effect), f"{kind} {code}")
            need(said[2].startswith(f"{kind}: ") and f"(HTTP {code})" in said[2], said)
            need(said[2].endswith(words or f"(HTTP {code})"), said)
        provider.faults = [status(429, "slow down", [("Retry-After", "7")])]
        said = shared_plugin.fail(handle, turn(SECRET))
        equal(said, ("RESOURCE_EXHAUSTED", "FAILED",
                     f"{kind}: rate limit or quota exceeded (HTTP 429); retry after 7 s: slow down"))
        equal(len(provider.seen), len(rows) + 1, "nothing is sent twice, no redirect is followed")


@test("an error within an answer of 200 is one, of the whole or of what was being said", "CONV-01")
def errors_within():
    provider = KINDS["openrouter"]()
    handle = shared_plugin.component("openrouter", provider)
    error = {"code": 429, "message": f"{SECRET} is too much for {KEY}"}
    begun = {"message": {"role": "assistant", "content": "I was"}, "finish_reason": "error"}
    slow = ("RESOURCE_EXHAUSTED", "FAILED", "openrouter: rate limit or quota exceeded (HTTP 429): ... is too much for ...")
    for body, wanted in (
        ({"error": error}, slow),
        ({"choices": [{**begun, "error": error}]}, slow),
        ({"choices": [begun], "error": {**error, "code": 502}},
         ("UNAVAILABLE", "UNKNOWN", "openrouter: the provider is unavailable (HTTP 502)")),
        ({"error": {**error, "code": "429"}},
         ("INTERNAL", "UNKNOWN", "openrouter: the answer makes no sense: something is missing in it, or of another type")),
    ):
        provider.faults = [document(body)]
        equal(shared_plugin.fail(handle, turn(SECRET)), wanted)
    provider.faults = [document({"choices": [{"message": {"content": "x"}, "error": None}], "error": None})]
    equal(shared_plugin.ask(handle, turn("x")).choices[0].content, "x")


@test("a wrong key is refused in words that do not hold it", "CONV-01")
def wrong_keys():
    for kind, provider, _ in each():
        provider.key = "another one"
        pairs = {**providers.metadata(kind, provider), ("secretKey" if kind == "aws.bedrock" else "key"): KEY}
        equal(shared_plugin.init(kind, pairs).status.code, 0)
        if kind == "ollama":
            shared_plugin.ask(shared_plugin.handle, turn("x"))
        else:
            code, effect, words = shared_plugin.fail(shared_plugin.handle, turn(SECRET))
            need(code in ("UNAUTHENTICATED", "PERMISSION_DENIED") and effect == "FAILED", (kind, code, words))


@test("answers that are cut, empty, too large, no JSON or of other types are errors, and the next one is well", "CONV-01")
def nonsense():
    odd = [providers.cut, providers.reset, providers.html, providers.endless, document({}), document([]), document(None),
           document({"choices": []}), document({"choices": [None]}), document({"choices": [{"message": {"content": 5}}]}),
           document({"choices": [{"message": {"tool_calls": [{"function": {}}]}}]}), document({"content": 5}),
           document({"content": [{"type": "tool_use"}]}), document({"candidates": [{}]}), document({"output": {"message": []}}),
           providers.bytes_of(b""), providers.bytes_of(b"{}trailing"), providers.bytes_of(b"[" * 100000),
           providers.bytes_of(b'{"choices":[{"message":{"content":"\xff"}}]}'), providers.bytes_of(b'{"a":"\\ud800"}'),
           providers.bytes_of(b"data: {}\n\n", kind="text/event-stream"), status(204), document({"choices": 1}, 201)]
    for kind, provider, handle in each():
        for fault in odd:
            provider.faults = [fault]
            code, effect, words = shared_plugin.fail(handle, turn(SECRET))
            need(code in ("INTERNAL", "UNAVAILABLE") and effect == "UNKNOWN", (kind, code, effect, words))
            need(words.startswith(f"{kind}: "), words)
        shared_plugin.ask(handle, turn("x"))


@test("a prompt that Google has blocked, a refusal and an unknown end are answers", "CONV-01")
def blocked():
    for kind, answer, reason, text in (
        ("googleai", {"promptFeedback": {"blockReason": "SAFETY"}}, "content_filter", ""),
        ("googleai", {"candidates": [{"finishReason": "MAX_TOKENS"}]}, "length", ""),
        ("openai", {"choices": [{"message": {"content": None, "refusal": "no"}, "finish_reason": "content_filter"}]},
         "content_filter", "no"),
        ("mistral", {"choices": [{"message": {"content": [{"type": "thinking", "thinking": []}, {"type": "text", "text": "a"}]},
                                  "finish_reason": "model_length"}]}, "length", "a"),
        ("openai", {"choices": [{"message": {"content": "x"}}]}, "unknown", "x"),
        ("openai", {"choices": [{"message": {"content": "x"}, "finish_reason": "new\nword"}]}, "new_word", "x"),
        ("anthropic", {"content": [], "stop_reason": "refusal"}, "content_filter", ""),
    ):
        provider = KINDS[kind]()
        provider.faults = [document(answer)]
        reply = shared_plugin.ask(shared_plugin.component(kind, provider), turn("x"))
        equal((reply.choices[0].finish_reason, reply.choices[0].content), (reason, text), kind)
        equal(reply.HasField("usage"), False)


@test("a provider that does not answer is waited for until the deadline, others are answered meanwhile", "CONV-01")
def silence():
    provider, well = KINDS["openai"](), KINDS["anthropic"]()
    handle, other = shared_plugin.component("openai", provider), shared_plugin.component("anthropic", well)
    provider.faults = [providers.hang, providers.hang_midway] * 10
    started = time.monotonic()
    calls = [shared_plugin.open(handle, turn(SECRET), seconds=1) for _ in range(20)]
    for _ in range(20):
        shared_plugin.ask(other, turn("x"))
    for call in calls:
        equal(shared_plugin.link.finish(call).status.code, pb.CODE_DEADLINE_EXCEEDED)
    need(time.monotonic() - started < 15 * SLOW, "all at once")


@test("a caller that gives up ends the request", "CONV-01")
def cancelled():
    provider = KINDS["openai"]()
    gone = []
    handle = shared_plugin.component("openai", provider)

    def wait(provider, request, exchange):
        try:
            providers.hang(provider, request, exchange)
        finally:
            gone.append(True)

    provider.faults = [wait]
    call = shared_plugin.open(handle, turn("x"))
    shared_plugin.link.feed(call)
    eventually(lambda: provider.seen, "it is asked")
    shared_plugin.link.cancel(call)
    equal(shared_plugin.link.finish(call).status.code, pb.CODE_CANCELLED)
    eventually(lambda: gone, "the connection ends")


@test("nobody there: the request was not sent", "CONV-01")
def nobody():
    for kind, provider, handle in each():
        provider.stop()
        code, effect, words = shared_plugin.fail(handle, turn(SECRET))
        equal((code, effect), ("UNAVAILABLE", "NOT_SENT"), words)
    handle = shared_plugin.init("openai", {"key": KEY, "endpoint": f"http://127.0.0.1:{free_port()}"}) and shared_plugin.handle
    equal(shared_plugin.fail(handle, turn(SECRET))[1], "NOT_SENT")


@test("TLS: whom the sidecar trusts is spoken to, nobody else is told the key", "CONV-01")
def tls():
    folder = Folder()
    certificates = Certificates(folder, "localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.path("server.pem"), certificates.path("server.key"))
    provider = KINDS["openai"](tls=context)
    pairs = {**providers.metadata("openai", provider), "endpoint": f"https://localhost:{provider.port}/v1"}
    plugin = Plugin({"SSL_CERT_FILE": certificates.path("ca.pem")})
    equal(plugin.init("openai", pairs).status.code, 0)
    plugin.ask(plugin.handle, turn("x"))
    shared_plugin.init("openai", pairs)
    equal(shared_plugin.fail(shared_plugin.handle, turn(SECRET))[:2], ("UNAVAILABLE", "NOT_SENT"))
    equal(len(provider.seen), 1)


@test("metadata that is wrong is refused in words without a secret", "CONV-07")
def metadata():
    for kind, pairs, words in (
        ("openai", {}, "key is missing: the API key of the provider"),
        ("openai", {"key": KEY + "\n"}, "key is too long, or has a blank or a character that is not ASCII"),
        ("azure.openai", {"key": KEY}, "endpoint and apiVersion must be provided when apiType is set to 'azure'"),
        ("aws.bedrock", {"region": "eu-1", "accessKey": "a"}, "accessKey and secretKey are needed"),
    ):
        said = shared_plugin.init(kind, pairs).status
        equal(said.code, pb.CODE_INVALID_ARGUMENT)
        need(words in said.message and KEY not in said.message, said.message)


@test("nothing that was said and no key stands in what the plugin has logged", "CONV-01")
def logs():
    for plugin in plugins:
        plugin.close()


main()
