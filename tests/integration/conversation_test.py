#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Conversation through the sidecar, over HTTP, gRPC and the official SDK: what the reference was asked and answered
(recordings/bindings.json), and what nobody asked it: bodies that mean harm, models that fail, answers given again."""

import sdk  # noqa: F401  isort: skip

import json
import os

import grpc
from google.protobuf import any_pb2, json_format, wrappers_pb2
from recordings import answer_problems
from remora import BUILD, Folder, Sidecar, call, component, equal, eventually, free_port, main, need, shared, test

FLAKY = ["--plugins-path", os.path.join(BUILD, "tests", "plugins")]
ALPHA1, ALPHA2 = "/v1.0-alpha1/conversation", "/v1.0-alpha2/conversation"
TALK = component("talk", "conversation.echo", [("model", "none")])
metrics_port = free_port()
sidecar = Sidecar(
    TALK,
    component("flaky", "conversation.flaky"),
    component("kept", "conversation.flaky", [("responseCacheTTL", "10m")]),
    component("brief", "conversation.flaky", [("cacheTTL", "200ms")]),
    component("wrong", "conversation.echo", [("cacheTTL", "soon")]),
    flags=[*FLAKY, f"--metrics-port={metrics_port}", "--log-level", "debug"],
)
# What a launcher puts into an application's environment. The SDK reads it when it is imported.
os.environ.update(DAPR_HTTP_PORT=str(sidecar.port), DAPR_GRPC_PORT=str(sidecar.grpc_port))

from dapr.clients import DaprClient  # noqa: E402
from dapr.clients.exceptions import DaprGrpcError  # noqa: E402
from dapr.clients.grpc import conversation  # noqa: E402
from dapr.proto.runtime.v1 import ai_pb2, dapr_pb2_grpc  # noqa: E402

stub = dapr_pb2_grpc.DaprStub(grpc.insecure_channel(f"127.0.0.1:{sidecar.grpc_port}"))


def user(*texts, **more):
    return dict({"inputs": [{"messages": [{"ofUser": {"content": [{"text": text} for text in texts]}}]}]}, **more)


def ask(name, body, path=ALPHA2, status=200, side=sidecar):
    reply = side.call("POST", f"{path}/{name}/converse", body if isinstance(body, (str, bytes)) else json.dumps(body))
    equal(reply.status, status, reply.body[:300])
    return reply.json


def field(number, content):
    """A message or text within another."""
    length, left = b"", len(content)
    while left >= 0x80:
        length, left = length + bytes([left & 0x7F | 0x80]), left >> 7
    return bytes([number << 3 | 2]) + length + bytes([left]) + content


def said(answer):
    return answer["outputs"][0]["choices"][0]["message"].get("content", "")


def refused(call_, *args, **more):
    try:
        call_(*args, timeout=10, **more)
    except grpc.RpcError as error:
        return error
    raise AssertionError("it was not refused")


@test("answers are as recorded of the reference", "CONV-06 CONV-13 CONV-14 X-CONV-01 X-CONV-02")
def _():
    with open(shared("recordings", "bindings.json")) as f:
        entries = [e for e in json.load(f)["entries"] if e["name"].startswith("conversation ")]
    need(len(entries) >= 29, f"{len(entries)} recorded exchanges")
    troubles = []
    for entry in entries:
        request, wanted = entry["request"], entry["response"]
        reply = sidecar.call(request["method"], request["target"], request["body"], [("Content-Type", "application/json")])
        wanted["headers"] = [h for h in wanted["headers"] if h[0] not in ("Traceparent", "Date")]
        reply.headers = [h for h in reply.headers if h[0] not in ("Traceparent", "Date")]
        troubles += [f"{entry['name']}: {trouble}" for trouble in answer_problems(wanted, reply)]
    need(not troubles, "\n".join(troubles))
    print(f"     {len(entries)} exchanges")


@test("gRPC clients get the same, and of failures their statuses", "CONV-08 CONV-10")
def _():
    one = ai_pb2.ConversationRequest(name="talk", inputs=[ai_pb2.ConversationInput(content="hello")], contextID="c1")
    one.parameters["k"].Pack(wrappers_pb2.StringValue(value="v"))
    answer = stub.ConverseAlpha1(one, timeout=10)
    equal((answer.contextID, answer.outputs[0].result), ("c1", "hello"))
    equal(answer.outputs[0].parameters["k"], one.parameters["k"])
    odd = ai_pb2.ConversationRequest(name="talk", inputs=[ai_pb2.ConversationInput(content="x")])
    odd.parameters["k"].CopyFrom(any_pb2.Any(type_url="type.googleapis.com/nobody.Knows", value=b"\xff"))
    equal(stub.ConverseAlpha1(odd, timeout=10).outputs[0].parameters["k"].value, b"\xff")
    two = json_format.ParseDict(user("a", "b", contextId="c2", maxTokens="5", temperature=0.5, name="talk",
                                     promptCacheRetention="3.5s"), ai_pb2.ConversationRequestAlpha2())
    answer = stub.ConverseAlpha2(two, timeout=10)
    choice = answer.outputs[0].choices[0]
    equal((answer.context_id, choice.message.content, choice.finish_reason), ("c2", "a\nb", "stop"))
    equal((answer.outputs[0].usage.total_tokens, answer.outputs[0].HasField("model")), (4, False))
    for request, words in ((ai_pb2.ConversationRequestAlpha2(name="ghost"), "failed finding conversation component ghost"),
                           (ai_pb2.ConversationRequestAlpha2(name="talk"), "missing inputs in request")):
        error = refused(stub.ConverseAlpha2, request)
        equal(error.code(), grpc.StatusCode.INVALID_ARGUMENT)
        need(words in error.details(), error.details())
    error = refused(stub.ConverseAlpha1, ai_pb2.ConversationRequest(name="ghost"))
    equal((error.code(), error.details()), (grpc.StatusCode.INVALID_ARGUMENT, "failed finding conversation component ghost"))


@test("the official client converses in both forms, with tools and their results", "SDK-13 SDK-46 CONV-13")
def _():
    with DaprClient() as client:
        answer = client.converse_alpha1(
            "talk",
            [conversation.ConversationInput("mail ann@example.org", "user", True), conversation.ConversationInput("b")],
            context_id="c", parameters={"n": 5, "s": "t"}, temperature=0.1, scrub_pii=True)
        equal((answer.context_id, answer.outputs[0].result), ("c", "mail <EMAIL_ADDRESS>\nb"))
        function = conversation.ConversationToolsFunction(
            name="get_time", description="d",
            parameters={"type": "object", "properties": {"zone": {"type": "string"}, "unit": {"type": "string"}}})
        question = conversation.create_user_message("what time is it")
        answer = client.converse_alpha2(
            "talk", [conversation.ConversationInputAlpha2(messages=[question])],
            tools=[conversation.ConversationTools(function=function)], tool_choice="auto", parameters={"k": "v"})
        choice = answer.outputs[0].choices[0]
        equal(choice.finish_reason, "tool_calls")
        tool_call = choice.message.tool_calls[0]
        equal((tool_call.id, tool_call.function.name, tool_call.function.arguments), ("0", "get_time", "unit,zone"))
        history = [question, *answer.to_assistant_messages(),
                   conversation.create_tool_message(tool_id="0", name="get_time", content="noon")]
        answer = client.converse_alpha2("talk", [conversation.ConversationInputAlpha2(messages=history)])
        need("Tool Response for tool ID '0' with name 'get_time': noon" in answer.outputs[0].choices[0].message.content, "")
        try:
            client.converse_alpha2("ghost", [conversation.ConversationInputAlpha2(messages=[question])])
            need(False, "a component that is not there")
        except (DaprGrpcError, grpc.RpcError) as error:
            need("failed finding conversation component ghost" in str(error), error)


@test("bodies are protobuf JSON: either spelling, numbers as texts, every message of its kind", "X-CONV-02")
def _():
    body = {"context_id": "c", "inputs": [{"messages": [{"of_user": {"name": None, "content": [{"text": "a"}]}}],
                                           "scrub_pii": False}],
            "temperature": "0.5", "maxTokens": 1e2, "promptCacheRetention": "1.000000001s", "metadata": {"a": "b"},
            "parameters": {"s": {"@type": "type.googleapis.com/google.protobuf.Struct", "value": {"a": [1, None, {}]}},
                           "n": {"@type": "x/google.protobuf.Int64Value", "value": "9007199254740993"}},
            "responseFormat": {"type": "object", "n": [1.5, "\u2028", True, None]}, "nobody": [{"knows": 1}]}
    answer = ask("talk", body)
    equal((answer["contextId"], said(answer)), ("c", "a"))
    equal(ask("talk", user("x", toolChoice="nobody"))["outputs"][0]["choices"][0]["finishReason"], "stop")
    one = {"inputs": [{"content": "p"}], "parameters": body["parameters"], "contextID": "c9", "scrubPII": True}
    answer = ask("talk", one, ALPHA1)
    equal((answer["contextID"], answer["outputs"][0]["parameters"]), ("c9", body["parameters"]))
    equal(said(ask("talk", user("é😀\\u0041\"\n", "b"))), "é😀\\u0041\"\n\nb")
    for wrong, words in (
        (user(5), "invalid value for string field text: 5"),
        ({"inputs": {}}, "unexpected token {}"),
        ({"inputs": [{"messages": [{"ofUser": {}, "ofSystem": {}}]}]}, "already set"),
        ('{"inputs": [], "inputs": []}', "duplicate field"),
        (user("x", maxTokens=1.5), "invalid value for int64 field max_tokens: 1.5"),
        (user("x", maxTokens="9223372036854775808"), "invalid value for int64"),
        (user("x", temperature="hot"), "invalid value for double"),
        (user("x", scrubPii="true"), "invalid value for bool"),
        (user("x", promptCacheRetention="soon"), "invalid google.protobuf.Duration value"),
        (user("x", parameters={"k": {"@type": "x/nobody.Knows", "value": 1}}), "unable to resolve x/nobody.Knows"),
        (user("x", parameters={"k": {"value": 1}}), 'missing "@type" field'),
        ('{"metadata": {"a": "b", "a": "c"}}', "duplicate map key a"),
        (user("a\0b"), "U+0000"),
        ("[]", "unexpected token []"),
        ('{"inputs": [}', "syntax error"),
        ("", "unexpected EOF"),
    ):
        answer = ask("talk", wrong, status=400)
        equal(answer["errorCode"], "ERR_MALFORMED_REQUEST")
        need(words in answer["message"], f"{words}: {answer['message']}")
    for wrong, words in (
        (user("x", promptCacheRetention="-1s"), "prompt cache retention is out of range"),
        ({"inputs": [{"messages": [{"ofAssistant": {"toolCalls": [{"id": "1"}]}}]}]}, "tool types cannot be nil"),
    ):
        answer = ask("talk", wrong, status=400)
        equal(answer["errorCode"], "ERR_CONVERSATION_INVALID_PARMS")
        need(words in answer["message"], answer["message"])


@test("bodies that mean harm are refused or answered, and the sidecar goes on", "CONV-13")
def _():
    deep = "[" * 100000
    for body in (deep, '{"inputs":' + deep, '{"responseFormat":' + '{"a":' * 100 + "1" + "}" * 101,
                 '{"tools":[{"function":{"name":"t","parameters":{"a":' + "[" * 60 + "]" * 60 + "}}}]}",
                 b'{"inputs":[{"messages":[{"ofUser":{"content":[{"text":"\xff\xfe"}]}', b"\xff" * 100, b"\0"):
        need(sidecar.call("POST", f"{ALPHA2}/talk/converse", body).status == 400, body[:60])
    many = sidecar.call("POST", f"{ALPHA2}/talk/converse", '{"inputs":[' + "{}," * 1_300_000 + "{}]}")
    equal((many.status, b"too much memory" in many.body), (400, True), many.body[:200])
    reply = sidecar.call("POST", f"{ALPHA2}/talk/converse", "x" * (5 * 1024 * 1024))
    need(reply.status >= 400, reply.status)
    # Bytes that are no text become U+FFFD, as over the reference's HTTP; over gRPC they are refused.
    raw = b'{"inputs":[{"content":"a\xffb"}]}'
    equal(ask("talk", raw, ALPHA1)["outputs"][0]["result"], "a\ufffdb")
    channel = grpc.insecure_channel(f"127.0.0.1:{sidecar.grpc_port}")
    bare = channel.unary_unary("/dapr.proto.runtime.v1.Dapr/ConverseAlpha1")
    equal(refused(bare, b"\x0a\x04talk\x1a\x04\x0a\x02\xff\xfe").code(), grpc.StatusCode.INTERNAL)
    bare = channel.unary_unary("/dapr.proto.runtime.v1.Dapr/ConverseAlpha2")

    def format_of(depth):
        nested = b""
        for _ in range(depth):  # a Value that is a list of one value
            nested = field(6, field(1, nested))
        return field(1, b"talk") + field(3, field(1, b"")) + field(10, field(1, field(1, b"a") + field(2, nested)))

    equal(refused(bare, format_of(5000)).code(), grpc.StatusCode.INTERNAL)
    need("message type cannot be nil" in refused(bare, format_of(28)).details(), "as deep as may be, and read")
    schema = {"type": "object"}
    for _ in range(9):  # as deep as schemas of people are
        schema = {"type": "object", "properties": {"p": schema}}
    equal(ask("talk", user("x", tools=[{"function": {"name": "t", "parameters": schema}}]))["outputs"][0]["choices"][0][
        "message"]["toolCalls"][0]["function"]["arguments"], "p")
    big = "ann@example.org 4111 1111 1111 1111 " * 40000
    answer = ask("talk", {"inputs": [{"content": big, "scrubPII": True}]}, ALPHA1)
    equal(answer["outputs"][0]["result"], "<EMAIL_ADDRESS> <CREDIT_CARD> " * 40000)
    equal(said(ask("talk", user("still there"))), "still there")


@test("a request that says nothing is refused as such", "CONV-09")
def _():
    for path in (ALPHA1, ALPHA2):
        equal(ask("talk", {}, path, 400)["errorCode"], "ERR_CONVERSATION_MISSING_INPUTS")


@test("personal data is taken out of what is asked, and of what is answered", "CONV-03 CONV-05 X-CONV-02 X-CONV-03")
def _():
    text = "ann@example.org, 10.0.0.1"
    both = {"inputs": [{"messages": [{"ofSystem": {"content": [{"text": text}]}}], "scrubPii": True},
                       {"messages": [{"ofUser": {"content": [{"text": text}]}}]}]}
    equal(said(ask("talk", both)), f"<EMAIL_ADDRESS>, <IP>\n{text}")
    equal(said(ask("talk", user(text, scrubPii=True))), "<EMAIL_ADDRESS>, <IP>")
    one = {"inputs": [{"content": text}, {"content": text, "scrubPII": True}]}
    equal(ask("talk", one, ALPHA1)["outputs"][0]["result"], f"{text}\n<EMAIL_ADDRESS>, <IP>")
    equal(ask("talk", dict(one, scrubPII=True), ALPHA1)["outputs"][0]["result"], "\n".join(2 * ["<EMAIL_ADDRESS>, <IP>"]))


@test("what a model says besides is told, and what is no answer is a failure", "CONV-01")
def _():
    answer = ask("flaky", user("once"))["outputs"][0]
    equal(answer, {"choices": [{"finishReason": "stop", "message": {"content": "1"}}], "model": "flaky-1",
                   "usage": {"completionTokens": "1", "promptTokens": "2", "totalTokens": str(2**64 - 1),
                             "completionTokensDetails": {"reasoningTokens": "4"},
                             "promptTokensDetails": {"cachedTokens": "5"}}})
    equal(ask("flaky", {"inputs": [{"content": "x", "role": "tool"}, {"content": "y", "role": "ai"}]}, ALPHA1)["outputs"],
          [{"result": "1"}])
    equal(ask("talk", {"inputs": [{"content": "x", "role": "tool"}]}, ALPHA1)["outputs"], [{"result": "x"}])
    for text, words in (("bytes", "the plugin's answer is malformed"), ("nothing", "the plugin's answer is malformed"),
                        ("code-8", "told to fail with 8"), ("code-16", "told to fail with 16")):
        answer = ask("flaky", user(text), status=500)
        equal(answer, {"errorCode": "ERR_CONVERSATION_INVOKE",
                       "message": f"failed conversing with component flaky: {words}"})
    error = refused(stub.ConverseAlpha1, ai_pb2.ConversationRequest(
        name="flaky", inputs=[ai_pb2.ConversationInput(content="code-14")]))
    equal((error.code(), error.details()),
          (grpc.StatusCode.INTERNAL, "failed conversing with component flaky: told to fail with 14"))


@test("the same question is answered from memory while it may be, and no other", "CONV-02 CONV-15 CONV-16 X-CONV-04")
def _():
    def count(name, *args, **more):
        return said(ask(name, user(*args, **more)))

    equal([count("flaky", "a") for _ in range(2)], ["1", "2"], "without a time nothing is kept")
    first = count("kept", "q")
    equal([count("kept", "q") for _ in range(3)], 3 * [first])
    seen = {first}
    for more in ({"temperature": 0.5}, {"maxTokens": 1}, {"metadata": {"model": "m"}}, {"contextId": "c"},
                 {"tools": [{"function": {"name": "t"}}]}, {"responseFormat": {"a": 1}},
                 {"parameters": {"k": {"@type": "x/google.protobuf.BoolValue", "value": True}}}):
        got = count("kept", "q", **more)
        need(got not in seen, f"{more} is another question")
        equal(count("kept", "q", **more), got, more)
        seen.add(got)
    need(count("kept", "q", "") not in seen and count("brief", "q") not in seen, "other texts, another component")
    equal(count("kept", "q", scrubPii=True), first, "an answer is scrubbed, not the question")
    for text in ("bytes", "code-13"):
        ask("kept", user(text), status=500)
    ask("kept", user("fail-1"), status=500)
    equal(count("kept", "fail-1"), "2", "failures are not kept")
    old = count("brief", "t")
    eventually(lambda: count("brief", "t") != old, "it is forgotten")
    need("responseCacheTTL is no duration" in sidecar.log(), "a time that is none is logged")


@test("another generation of a component answers anew", "CONV-16")
def _():
    kept = component("kept", "conversation.flaky", [("responseCacheTTL", "10m")])
    side = Sidecar(kept, flags=FLAKY)
    first = said(ask("kept", user("q"), side=side))
    equal(said(ask("kept", user("q"), side=side)), first)
    path = os.path.join(side.folder / "resources", "0.yaml")
    with open(f"{path}.new", "w") as f:
        f.write(component("kept", "conversation.flaky", [("responseCacheTTL", "9m")]))
    os.replace(f"{path}.new", path)
    eventually(lambda: said(ask("kept", user("q"), side=side)) != first, "the new generation answers")


@test("policies repeat, end and refuse questions", "X-CONV-04")
def _():
    policy = """apiVersion: dapr.io/v1alpha1
kind: Resiliency
metadata: {name: r}
spec: {policies: {retries: {twice: {policy: constant, duration: 10ms, maxRetries: 2}}, timeouts: {short: 300ms}},
  targets: {components: {flaky: {outbound: {retry: twice}}, late: {outbound: {timeout: short}}}}}
"""
    side = Sidecar(component("flaky", "conversation.flaky"), component("late", "conversation.flaky"), policy, flags=FLAKY)
    equal(said(ask("flaky", user("fail-2"), side=side)), "3")
    need("told to fail, time 3" in ask("flaky", user("fail-9"), status=500, side=side)["message"], "three times")
    need("context deadline exceeded" in ask("late", user("hang"), status=500, side=side)["message"], "too late")


@test("questions are counted, and what is said reaches no log", "CONV-04 LIM-04")
def _():
    secret = "xyzzy-said-this-xyzzy"
    ask("talk", user(secret))
    ask("talk", '{"inputs": [{"content": "' + secret, status=400)
    ask("flaky", user(f"code-3 {secret}"), status=500)
    text = call(("127.0.0.1", metrics_port), "GET", "/").body.decode()
    line = 'dapr_component_conversation_count{app_id="shop",component="%s",namespace="",success="%s"}'
    need(line % ("talk", "true") in text and line % ("flaky", "false") in text, "both outcomes")
    need('dapr_component_conversation_latencies_bucket{app_id="shop",component="talk"' in text, "how long they took")
    need(secret not in sidecar.log(), "no text in the log")


@test("lists of APIs and scopes of components hold", "LIM-04")
def _():
    config = """apiVersion: dapr.io/v1alpha1
kind: Configuration
metadata: {name: c}
spec: {api: {denied: [{name: conversation, version: v1.0-alpha2, protocol: http}, {name: conversation, version: v1alpha1, protocol: grpc}]}}
"""
    scoped = component("mine", "conversation.echo", extra="scopes: [somebody]\n")
    path = Folder() / "config.yaml"
    with open(path, "w") as f:
        f.write(config)
    side = Sidecar(TALK, scoped, flags=[*FLAKY, "--config", str(path)])
    equal(ask("talk", {"inputs": [{"content": "x"}]}, ALPHA1, side=side)["outputs"], [{"result": "x"}])
    equal(side.call("POST", f"{ALPHA2}/talk/converse", json.dumps(user("x"))).status, 404)
    equal(ask("mine", {"inputs": [{"content": "x"}]}, ALPHA1, 400, side)["errorCode"], "ERR_CONVERSATION_NOT_FOUND")
    ours = dapr_pb2_grpc.DaprStub(grpc.insecure_channel(f"127.0.0.1:{side.grpc_port}"))
    ours.ConverseAlpha2(json_format.ParseDict(user("x", name="talk"), ai_pb2.ConversationRequestAlpha2()), timeout=10)
    error = refused(ours.ConverseAlpha1, ai_pb2.ConversationRequest(name="talk"))
    equal(error.code(), grpc.StatusCode.UNIMPLEMENTED if error.code() == grpc.StatusCode.UNIMPLEMENTED else grpc.StatusCode.PERMISSION_DENIED)


main()
