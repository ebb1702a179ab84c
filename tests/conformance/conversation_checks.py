# SPDX-License-Identifier: Apache-2.0
"""The requirements every conversation component must meet; see checks.py. What is answered is the model's affair, and a
provider may be away, so that whether one succeeds is not judged, only that it is answered as the contract wants it."""
from checks import HANDLE, MIB, check
from kernel import need
import plugin_pb2 as pb

SECRET = "conform-said-this"
SCHEMA = b'{"type":"object","properties":{"zone":{"type":"string"}},"required":["zone"]}'
FINISHES = ("stop", "length", "tool_calls", "content_filter")


def turn(text, role=pb.CONVERSATION_ROLE_USER, **more):
    return pb.ConversationMessage(role=role, content=[text] if text is not None else [], **more)


def judged(answer, what):
    """Its reply, or None if it has failed."""
    if answer.status.code != 0:
        need(answer.status.message, f"{what} failed without words")
        need(SECRET not in answer.status.message, f"{what} failed with what was said")
        need(answer.status.code != pb.CODE_UNIMPLEMENTED, f"{what} is not implemented")
        return None
    reply = answer.message(pb.ConverseReply)
    need(reply.choices, f"{what} has no choice")
    for choice in reply.choices:
        need(choice.finish_reason in FINISHES, f"{what} finished by {choice.finish_reason!r}")
        need(all(call.name for call in choice.tool_calls), f"{what} calls a tool without a name")
        need((choice.finish_reason == "tool_calls") == bool(choice.tool_calls), f"{what} finished by {choice.finish_reason}")
    return reply


def ask(link, what, *messages, **more):
    return judged(link.call(pb.METHOD_CONVERSE, HANDLE, pb.Converse(messages=messages, **more)), what)


@check(needs="conversation")
def conversation_roles(bench):
    """answers messages of every role"""
    link = bench.component()
    call = pb.ConversationToolCall(id="c1", name="get_time", arguments="{}")
    for role in (pb.CONVERSATION_ROLE_USER, pb.CONVERSATION_ROLE_SYSTEM, pb.CONVERSATION_ROLE_DEVELOPER):
        ask(link, "a role", turn(SECRET, role), turn("x"))
    ask(link, "a tool's result", turn(SECRET), turn(None, pb.CONVERSATION_ROLE_ASSISTANT, tool_calls=[call]),
        turn("noon", pb.CONVERSATION_ROLE_TOOL, name="get_time", tool_id="c1"))


@check(needs="conversation")
def conversation_options(bench):
    """takes tools, a choice of them, a format, numbers at their ends and metadata that means nothing"""
    link = bench.component()
    tools = [pb.ConversationTool(name="get_time", description="d", parameters=SCHEMA)]
    for choice in ("", "auto", "none", "required", "get_time"):
        ask(link, f"choice {choice}", turn(SECRET), tools=tools, tool_choice=choice)
    ask(link, "a format", turn(SECRET), response_format=SCHEMA)
    for temperature in (0.0, 2.0, -1.0, 1e308):
        ask(link, f"temperature {temperature}", turn(SECRET), temperature=temperature)
    for most in (0, 1, -1, 2**63 - 1):
        ask(link, f"at most {most} tokens", turn(SECRET), max_tokens=most)
    ask(link, "options", turn(SECRET), parameters=b'{"k":[1,null]}', context_id="c", prompt_cache_retention_ms=5000,
        metadata=[pb.Pair(name="Conform", value="\r\nX: y")])


@check(needs="conversation")
def conversation_text(bench):
    """takes any text, none and a mebibyte, and any number of messages"""
    link = bench.component()
    for text in ("", "\u2028\U0001f600\x01\"\\", MIB * "x"):
        ask(link, f"{len(text)} characters", turn(text))
    ask(link, "no message")
    ask(link, "a message without content", turn(None))
    ask(link, "many messages", *(turn(f"m{i}") for i in range(2000)))


@check(needs="conversation")
def conversation_pipelined(bench):
    """answers many questions at once"""
    link = bench.component()
    calls = [link.open(pb.METHOD_CONVERSE, HANDLE, pb.Converse(messages=[turn(f"{SECRET} {i}")])) for i in range(50)]
    for call in calls:
        judged(link.finish(call), "one of many")


@check(needs="conversation")
def conversation_malformed(bench):
    """refuses a message of no role, and a schema that is no JSON or takes it as it is"""
    link = bench.component()
    answer = link.call(pb.METHOD_CONVERSE, HANDLE, pb.Converse(messages=[turn("x", 77)]))
    need(answer.status.code == pb.CODE_INVALID_ARGUMENT, f"code {answer.status.code}")
    ask(link, "a broken schema", turn(SECRET), tools=[pb.ConversationTool(name="t", parameters=b'{"properties":[')])
    ask(link, "a deep schema", turn(SECRET), tools=[pb.ConversationTool(name="t", parameters=b"[" * 5000)])
