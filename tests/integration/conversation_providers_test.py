#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 180
"""Conversations with language models through the sidecar, over HTTP, gRPC and the official SDK. The providers are fakes that
speak the wire of each (tests/lib/providers/); the last test has a real model, where one is installed."""

import sdk  # noqa: F401  isort: skip

import json
import os
import time

import grpc
import providers
from model_server import KEY as MODEL_KEY
from model_server import ModelServer
from providers import KEY, KINDS, document, status
from remora import SLOW, Sidecar, component, equal, main, need, test

SECRET = "what only the two of us should ever know"
SCHEMA = {"type": "object", "properties": {"zone": {"type": "string"}}, "required": ["zone"]}
TOOL = {"function": {"name": "get_time", "description": "the time", "parameters": SCHEMA}}
RETRIES = """apiVersion: dapr.io/v1alpha1
kind: Resiliency
metadata: {name: rz}
spec:
  policies:
    retries: {thrice: {policy: constant, duration: 20ms, maxRetries: 3}}
    timeouts: {brief: 700ms}
  targets:
    components:
      retried: {outbound: {retry: thrice}}
      hurried: {outbound: {timeout: brief}}
"""
SECRETS = component("vault", "secretstores.local.env")

made = {kind: make() for kind, make in KINDS.items()}
retried, hurried, kept = KINDS["openai"](), KINDS["anthropic"](), KINDS["mistral"]()
of_secret = component("secret", "conversation.openai", {"endpoint": made["openai"].endpoint}, extra="auth: {secretStore: vault}\n")
of_secret = of_secret.replace("  metadata:\n", "  metadata:\n  - name: key\n    secretKeyRef: {name: THE_KEY, key: THE_KEY}\n", 1)
sidecar = Sidecar(
    *(component(kind, f"conversation.{kind}", providers.metadata(kind, provider)) for kind, provider in made.items()),
    component("retried", "conversation.openai", providers.metadata("openai", retried)),
    component("hurried", "conversation.anthropic", providers.metadata("anthropic", hurried)),
    component("kept", "conversation.mistral", dict(providers.metadata("mistral", kept), responseCacheTTL="10m")),
    component("keyless", "conversation.openai", {"model": "m"}).replace("spec:\n", "spec:\n  ignoreErrors: true\n"),
    of_secret, SECRETS, RETRIES, flags=["--log-level", "debug"], env={"PATH": os.environ["PATH"], "THE_KEY": KEY})
# What a launcher puts into an application's environment. The SDK reads it when it is imported.
os.environ.update(DAPR_HTTP_PORT=str(sidecar.port), DAPR_GRPC_PORT=str(sidecar.grpc_port))

from dapr.clients import DaprClient  # noqa: E402
from dapr.clients.grpc import conversation  # noqa: E402
from dapr.proto.runtime.v1 import ai_pb2, dapr_pb2_grpc  # noqa: E402

stub = dapr_pb2_grpc.DaprStub(grpc.insecure_channel(f"127.0.0.1:{sidecar.grpc_port}"))


def said(role, *texts, **more):
    return {f"of{role}": {"content": [{"text": text} for text in texts], **more}}


def ask(name, *messages, wanted=200, side=sidecar, timeout=None, **more):
    reply = side.call("POST", f"/v1.0-alpha2/conversation/{name}/converse",
                      dict({"inputs": [{"messages": list(messages)}]}, **more), timeout=timeout)
    equal(reply.status, wanted, reply.text[:500])
    return reply.json if wanted != 200 else reply.json["outputs"][0]


def user(text, **more):
    message = ai_pb2.ConversationMessage(of_user=ai_pb2.ConversationMessageOfUser(
        content=[ai_pb2.ConversationMessageContent(text=text)]))
    return ai_pb2.ConversationRequestAlpha2(inputs=[ai_pb2.ConversationInputAlpha2(messages=[message])], **more)


@test("a tool is offered, called and answered over HTTP, with every provider", "CONV-01 CONV-06 CONV-11")
def tools():
    for kind, provider in made.items():
        question = [said("System", "be brief"), said("User", "well", "get_time please", name="ann")]
        output = ask(kind, *question, tools=[TOOL], toolChoice="auto", temperature=0.5, maxTokens=100)
        choice = output["choices"][0]
        equal(choice["finishReason"], "tool_calls", kind)
        call = choice["message"]["toolCalls"][0]
        equal((call["function"]["name"], json.loads(call["function"]["arguments"])), ("get_time", {"zone": "UTC"}), kind)
        output = ask(kind, *question, {"ofAssistant": {"toolCalls": [call]}},
                     said("Tool", "noon", toolId=call["id"], name="get_time"), tools=[TOOL])
        need("noon" in output["choices"][0]["message"]["content"], (kind, output))
        equal(output["usage"]["totalTokens"], "18", kind)
        need(output["model"].startswith(provider.model), (kind, output))


@test("the same over gRPC, with a format, limits and a context", "CONV-08")
def over_grpc():
    for kind, provider in made.items():
        request = user("x", name=kind, context_id="c1", temperature=0.5, max_tokens=9)
        request.response_format.update(SCHEMA)
        request.prompt_cache_retention.FromSeconds(7200)
        reply = stub.ConverseAlpha2(request, timeout=10)
        equal(reply.context_id, "c1")
        need("last: x" in reply.outputs[0].choices[0].message.content, (kind, reply))
        need('"zone"' in json.dumps(provider.asked[-1]).replace('\\"', '"'), provider.asked[-1])


@test("the official SDK, and the older API", "CONV-08 CONV-10 CONV-11 SDK-56")
def official():
    with DaprClient(f"127.0.0.1:{sidecar.grpc_port}") as client:
        message = conversation.ConversationMessage(of_user=conversation.ConversationMessageOfUser(
            content=[conversation.ConversationMessageContent(text="get_time please")]))
        function = conversation.ConversationToolsFunction(name="get_time", description="d", parameters=SCHEMA)
        reply = client.converse_alpha2("anthropic", [conversation.ConversationInputAlpha2(messages=[message])],
                                       tools=[conversation.ConversationTools(function=function)], tool_choice="required")
        call = reply.outputs[0].choices[0].message.tool_calls[0]
        equal((call.id, call.function.name, json.loads(call.function.arguments)), ("toolu_1", "get_time", {"zone": "UTC"}))
    reply = sidecar.call("POST", "/v1.0-alpha1/conversation/googleai/converse",
                         {"inputs": [{"content": "be kind", "role": "system"}, {"content": "hello"}], "temperature": 0.5})
    equal(reply.json, {"outputs": [{"result": "1 heard, last: hello"}]})
    equal(made["googleai"].asked[-1]["systemInstruction"], {"parts": [{"text": "be kind"}]})


@test("failures reach the caller in clear words; neither what was said nor a key is in them", "CONV-01")
def failures():
    for kind, provider in made.items():
        for fault, words in ((status(429, "slow", [("Retry-After", "7")]), "(HTTP 429); retry after 7 s: slow"),
                             (status(400, f"'{SECRET}' of {KEY}"), "(HTTP 400): '...' of ..."),
                             (status(401, KEY), "the key was refused (HTTP 401)"),
                             (providers.html, "the provider is unavailable (HTTP 502)"),
                             (providers.cut, "remaining"), (document({}), "the answer makes no sense")):
            provider.faults = [fault]
            reply = ask(kind, said("User", SECRET), wanted=500)
            equal(reply["errorCode"], "ERR_CONVERSATION_INVOKE")
            need(words in reply["message"] and KEY not in str(reply) and SECRET not in str(reply), reply)
    made["openai"].faults = [status(429)]
    try:
        stub.ConverseAlpha2(user("x", name="openai"), timeout=10)
        raise AssertionError("it was not refused")
    except grpc.RpcError as error:
        need("rate limit or quota exceeded" in error.details(), error)


@test("a policy retries what a rate limit or a cut answer has refused, and gives up what hangs", "CONV-01 X-CONV-04")
def policies():
    retried.faults = [status(429), providers.cut, status(503)]
    equal(ask("retried", said("User", "x"))["choices"][0]["message"]["content"], "1 heard, last: x")
    equal(len(retried.seen), 4)
    retried.always = status(429, "slow", [("Retry-After", "7")])
    need("retry after 7 s" in ask("retried", said("User", "x"), wanted=500)["message"], "the last words")
    equal(len(retried.seen), 8)
    hurried.faults = [providers.hang_midway]
    started = time.monotonic()
    ask("hurried", said("User", "x"), wanted=500)
    need(time.monotonic() - started < 30 * SLOW, "the timeout of the policy")


@test("answers are kept by the sidecar, and personal data does not reach the provider", "CONV-02 CONV-03 CONV-05")
def between():
    for _ in range(3):
        ask("kept", said("User", "the same"))
    equal(len(kept.seen), 1)
    ask("kept", said("User", "another"))
    equal(len(kept.seen), 2)
    reply = sidecar.call("POST", "/v1.0-alpha2/conversation/openai/converse", {"inputs": [
        {"messages": [said("User", "write to ann@example.com")], "scrubPii": True}]})
    equal(reply.status, 200, reply.text)
    need("ann@example.com" not in json.dumps(made["openai"].asked[-1]), made["openai"].asked[-1])


@test("a key comes from a secret store; without one there is no component", "CONV-07")
def secrets():
    equal(ask("secret", said("User", "x"))["choices"][0]["finishReason"], "stop")
    equal(ask("keyless", said("User", "x"), wanted=400)["errorCode"], "ERR_CONVERSATION_NOT_FOUND")
    need("key is missing: the API key of the provider" in sidecar.log(), "why, in the log")
    names = {c["name"] for c in sidecar.metadata()["components"]}
    need({*KINDS, "secret"} <= names and "keyless" not in names, names)


@test("a real model behind llama.cpp's own server, asked in its own words", "CONV-01 CONV-07")
def model():
    server = ModelServer()
    pairs = {"key": MODEL_KEY, "endpoint": f"{server.url}/v1", "model": "gemma", "maxTokens": "12"}
    side = Sidecar(component("model", "conversation.openai", pairs), component("local", "conversation.ollama", pairs),
                   component("wrong", "conversation.openai", dict(pairs, key="another")))
    for name in ("model", "local"):
        output = ask(name, said("System", "be brief"), said("User", "Say", "hello."), side=side, timeout=120)
        usage = {key: int(value) for key, value in output["usage"].items() if isinstance(value, str)}
        need(output["choices"][0]["message"]["content"] and output["choices"][0]["finishReason"] in ("stop", "length"), output)
        need(0 < usage["completionTokens"] <= 12 and usage["promptTokens"] > 5, usage)
        equal(usage["totalTokens"], usage["promptTokens"] + usage["completionTokens"])
    when = {"type": "object", "properties": {"zone": {"enum": ["UTC", "CET"]}}, "required": ["zone"]}
    output = ask("model", said("User", "Which zone?"), responseFormat=when, maxTokens=60, side=side, timeout=120)
    need(json.loads(output["choices"][0]["message"]["content"])["zone"] in ("UTC", "CET"), output)
    need("the key was refused (HTTP 401)" in ask("wrong", said("User", "x"), wanted=500, side=side)["message"], "its refusal")
    words = ask("model", said("User", "well " * 3000), wanted=500, side=side, timeout=120)["message"]
    need("exceeds the available context size" in words and "(HTTP 400)" in words, words)


@test("no key and nothing of what was said is in the log", "CONV-01")
def logs():
    need(KEY not in sidecar.log() and SECRET not in sidecar.log(), "the log")
    equal(sidecar.stop(), 0)


main()
