# SPDX-License-Identifier: Apache-2.0
"""DECLARED WIRE FAKES of providers of language models, on local ports: no model is behind them. What a provider's public
documentation does not allow in a request is refused, in the provider's own form; what is allowed is kept in `asked` and
answered by a rule that tests know (see `say`). `faults` holds what happens to the next requests instead."""
import hashlib
import hmac
import json
import re
import socket
import struct
import threading
from urllib.parse import parse_qs, quote, unquote, urlsplit

from http_app import App, answer

KEY = "sk-Conform0123456789-never-to-be-told"


class Refused(Exception):
    def __init__(self, words, status=400):
        super().__init__(words)
        self.status = status


def refuse_unless(condition, words, status=400):
    if not condition:
        raise Refused(words, status)


def fields(item, where, needed=(), optional=()):
    refuse_unless(isinstance(item, dict), f"{where}: expected an object")
    for name in needed:
        refuse_unless(name in item, f"Missing required parameter: '{where}.{name}'")
    for name in item:
        refuse_unless(name in needed or name in optional, f"Unrecognized request argument supplied: {where}.{name}")


def is_text(value):
    return isinstance(value, str)


def is_number(value, least, most):
    return isinstance(value, (int, float)) and not isinstance(value, bool) and least <= value <= most


def is_count(value):
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= 2**31 - 1


class Provider(App):
    """One provider. `key` is the one it knows; `usage` and `model` go into its answers."""

    def __init__(self, key=KEY, tls=None):
        self.key, self.asked, self.faults, self.seen, self.lock = key, [], [], [], threading.Lock()
        self.always = None  # a fault of every request
        super().__init__(self.serve_one, tls=tls)

    @property
    def base(self):
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    def serve_one(self, request, exchange):
        with self.lock:
            self.seen.append(request)
            fault = self.faults.pop(0) if self.faults else self.always
        if fault is not None:
            return fault(self, request, exchange)
        try:
            body = self.check(request)
        except Refused as refused:
            return self.reply(self.error(refused.status, str(refused)), refused.status)
        with self.lock:
            self.asked.append(body)
        return self.reply(self.respond(body, request))

    def check(self, request):
        self.check_head(request)
        refuse_unless(request.method == "POST", "method", 405)
        refuse_unless((request.header("Content-Type") or "").startswith("application/json"), "content type", 415)
        refuse_unless(request.header("Content-Encoding") is None, "content encoding", 415)
        try:
            body = json.loads(request.body)
        except ValueError:
            raise Refused("We could not parse the JSON body of your request") from None
        self.check_body(body)
        return body

    @staticmethod
    def reply(document, status=200, headers=()):
        return answer(status, json.dumps(document).encode(), [("Content-Type", "application/json"), *headers])

    @staticmethod
    def say(texts, tools, forced):
        """What the model says: (text, tool). A tool is called if one is asked for or named in the last text."""
        last = texts[-1] if texts else ""
        named = next((name for name in tools if forced in (name, "required") or (forced != "none" and name in last)), None)
        return (None, named) if named else (f"{len(texts)} heard, last: {last}", None)


# --- faults: what happens instead of an answer ------------------------------------------------------------------------


def status(code, words="no", headers=()):
    return lambda provider, request, exchange: provider.reply(provider.error(code, words), code, headers)


def document(content, code=200):
    """Any JSON as an answer."""
    return lambda provider, request, exchange: provider.reply(content, code)


def bytes_of(data, code=200, kind="application/json"):
    return lambda provider, request, exchange: answer(code, data, [("Content-Type", kind)])


def cut(provider, request, exchange):
    exchange.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 4000\r\n\r\n{\"choices\": [")


def reset(provider, request, exchange):
    exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\n{")
    exchange.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def hang(provider, request, exchange):
    while exchange.more():
        exchange.pending = b""


def hang_midway(provider, request, exchange):
    exchange.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n")
    return hang(provider, request, exchange)


def endless(provider, request, exchange):
    exchange.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        exchange.send(b"10000\r\n" + 65536 * b" " + b"\r\n")


def html(provider, request, exchange):
    return answer(502, b"<html><head><title>502 Bad Gateway</title></head></html>", [("Content-Type", "text/html")])


# --- the wire of OpenAI -----------------------------------------------------------------------------------------------


class OpenAI(Provider):
    model = "gpt-5-nano"
    paths = ("/v1/chat/completions",)
    roles = ("developer", "system", "user", "assistant", "tool")
    named = ("developer", "system", "user", "assistant")  # messages with a name
    takes_parts = True
    formats = ("text", "json_object", "json_schema")
    top = ("max_completion_tokens", "max_tokens", "metadata", "prompt_cache_retention", "n", "top_p", "stop", "user", "seed",
           "presence_penalty", "frequency_penalty", "store", "logit_bias", "parallel_tool_calls", "reasoning_effort")

    @property
    def endpoint(self):
        return f"{self.base}/v1"

    def error(self, code, words):
        return {"error": {"message": words, "type": "invalid_request_error", "param": None, "code": None}}

    def check_head(self, request):
        refuse_unless(request.target in self.paths, "Unknown request URL", 404)
        refuse_unless(request.all("Authorization") == [f"Bearer {self.key}"],
                      f"Incorrect API key provided: {request.header('Authorization')}", 401)

    def check_body(self, body):
        fields(body, "body", ("model", "messages"), ("temperature", "tools", "tool_choice", "response_format", *self.top))
        refuse_unless(is_text(body["model"]) and body["model"], "you must provide a model parameter")
        refuse_unless("temperature" not in body or is_number(body["temperature"], 0, 2), "Invalid 'temperature'")
        refuse_unless(not ("max_tokens" in body and "max_completion_tokens" in body), "Set only one of the two")
        refuse_unless(not ("max_tokens" in body and body["model"].startswith("gpt-5")),
                      "Unsupported parameter: 'max_tokens' is not supported with this model")
        for name in ("max_tokens", "max_completion_tokens"):
            refuse_unless(name not in body or is_count(body[name]), f"Invalid '{name}'")
        refuse_unless(body.get("prompt_cache_retention", "24h") in ("24h", "in_memory"), "Invalid 'prompt_cache_retention'")
        refuse_unless(isinstance(body.get("metadata", {}), dict) and all(map(is_text, body.get("metadata", {}).values())),
                      "Invalid 'metadata'")
        self.check_messages(body["messages"])
        self.check_tools(body)
        self.check_format(body)

    def check_messages(self, messages):
        refuse_unless(isinstance(messages, list) and messages, "Invalid 'messages': empty array")
        open_calls = []
        for i, message in enumerate(messages):
            where = f"messages[{i}]"
            role = message.get("role") if isinstance(message, dict) else None
            refuse_unless(role in self.roles, f"Invalid value: '{role}'. Supported values are: {self.roles}")
            optional = ["content"] + ["name"] * (role in self.named) + ["tool_calls"] * (role == "assistant")
            fields(message, where, ("role",) + ("tool_call_id",) * (role == "tool"), optional)
            refuse_unless(role == "tool" or not open_calls, "tool_calls must be followed by tool messages")
            self.check_content(message, where)
            refuse_unless(re.fullmatch(r"[^\s<|\\/>]{1,64}", message.get("name", "x")), f"Invalid '{where}.name'")
            if role == "tool":
                refuse_unless(message["tool_call_id"] in open_calls, "messages with role 'tool' must be a response")
                open_calls.remove(message["tool_call_id"])
            if "tool_calls" in message:
                open_calls = [self.check_call(call, where) for call in message["tool_calls"]]
                refuse_unless(open_calls, f"Invalid '{where}.tool_calls': empty array")
        refuse_unless(not open_calls, "An assistant message with 'tool_calls' must be followed by tool messages")

    def check_content(self, message, where):
        content = message.get("content")
        if content is None:
            refuse_unless("tool_calls" in message, f"Invalid value for '{where}.content': expected a string, got null")
        elif isinstance(content, list):
            refuse_unless(self.takes_parts and content, f"Invalid type for '{where}.content'")
            for part in content:
                fields(part, f"{where}.content", ("type", "text"))
                refuse_unless(part["type"] == "text" and is_text(part["text"]), f"Invalid '{where}.content'")
        else:
            refuse_unless(is_text(content), f"Invalid type for '{where}.content'")

    def check_call(self, call, where):
        fields(call, f"{where}.tool_calls", ("id", "type", "function"))
        fields(call["function"], f"{where}.tool_calls.function", ("name", "arguments"))
        refuse_unless(call["type"] == "function" and is_text(call["id"]), f"Invalid '{where}.tool_calls'")
        refuse_unless(is_text(call["function"]["name"]) and is_text(call["function"]["arguments"]), "Invalid function")
        return call["id"]

    def check_tools(self, body):
        tools = body.get("tools", [])
        refuse_unless("tools" not in body or tools, "Invalid 'tools': empty array")
        names = []
        for tool in tools:
            fields(tool, "tools", ("type", "function"))
            refuse_unless(tool["type"] == "function", "Invalid 'tools.type'")
            fields(tool["function"], "tools.function", ("name",), ("description", "parameters", "strict"))
            refuse_unless(re.fullmatch(r"[A-Za-z0-9_-]{1,64}", tool["function"]["name"]), "Invalid 'tools.function.name'")
            refuse_unless(isinstance(tool["function"].get("parameters", {}), dict), "Invalid 'tools.function.parameters'")
            names.append(tool["function"]["name"])
        choice = body.get("tool_choice", "auto")
        refuse_unless("tool_choice" not in body or tools, "'tool_choice' is only allowed when 'tools' are specified")
        if isinstance(choice, dict):
            fields(choice, "tool_choice", ("type", "function"))
            fields(choice["function"], "tool_choice.function", ("name",))
            refuse_unless(choice["function"]["name"] in names, "Tool choice not found in 'tools'")
        else:
            refuse_unless(choice in ("none", "auto", "required"), "Invalid 'tool_choice'")

    def check_format(self, body):
        form = body.get("response_format")
        if form is None:
            return
        refuse_unless(isinstance(form, dict) and form.get("type") in self.formats, "This response_format type is unavailable")
        if form["type"] == "json_object":
            fields(form, "response_format", ("type",))
            refuse_unless("json" in json.dumps(body["messages"]).lower(), "'messages' must contain the word 'json'")
        if form["type"] == "json_schema":
            fields(form, "response_format", ("type", "json_schema"))
            fields(form["json_schema"], "response_format.json_schema", ("name", "schema"), ("strict", "description"))
            refuse_unless(re.fullmatch(r"[A-Za-z0-9_-]{1,64}", form["json_schema"]["name"]), "Invalid response_format.name")
            schema = form["json_schema"]["schema"]
            refuse_unless(isinstance(schema, dict) and not {"name", "strict"} & set(schema), "Invalid schema")

    def texts(self, body):
        found = []
        for message in body["messages"]:
            content = message.get("content") or ""
            found.append(content if is_text(content) else " ".join(part["text"] for part in content))
        return found

    def respond(self, body, request):
        forced = body.get("tool_choice", "auto")
        forced = forced["function"]["name"] if isinstance(forced, dict) else forced
        text, tool = self.say(self.texts(body), [t["function"]["name"] for t in body.get("tools", [])], forced)
        if "response_format" in body:
            text = json.dumps({"said": text})
        message = {"role": "assistant", "content": text, "refusal": None, "annotations": []}
        if tool:
            message["tool_calls"] = [{"id": "abcDEF123", "type": "function",
                                      "function": {"name": tool, "arguments": '{"zone":"UTC"}'}}]
        return {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": body["model"] + "-2026",
                "choices": [{"index": 0, "message": message, "logprobs": None,
                             "finish_reason": "tool_calls" if tool else "stop"}], "usage": self.usage()}

    @staticmethod
    def usage():
        return {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18,
                "prompt_tokens_details": {"cached_tokens": 3, "audio_tokens": 1},
                "completion_tokens_details": {"reasoning_tokens": 4, "audio_tokens": 0, "accepted_prediction_tokens": 2,
                                              "rejected_prediction_tokens": 1}}


class Azure(OpenAI):
    model = "deployed-here"
    version = "2025-01-01-preview"

    @property
    def endpoint(self):
        return f"{self.base}/"

    def check_head(self, request):
        url = urlsplit(request.target)
        found = re.fullmatch(r"/openai/deployments/([^/]+)/chat/completions", url.path)
        refuse_unless(found, "Resource not found", 404)
        refuse_unless(parse_qs(url.query).get("api-version") == [self.version], "Api version", 404)
        refuse_unless(request.all("api-key") == [self.key] and request.header("Authorization") is None,
                      "Access denied due to invalid subscription key", 401)
        self.deployment = unquote(found.group(1))


class DeepSeek(OpenAI):
    model = "deepseek-chat"
    paths = ("/chat/completions",)
    roles = ("system", "user", "assistant", "tool")
    named = ("system", "user", "assistant")
    takes_parts = False
    formats = ("text", "json_object")
    top = ("max_tokens", "top_p", "stop", "presence_penalty", "frequency_penalty", "logprobs", "thinking")

    @property
    def endpoint(self):
        return self.base

    @staticmethod
    def usage():
        return {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18, "prompt_cache_hit_tokens": 3,
                "prompt_cache_miss_tokens": 8, "completion_tokens_details": {"reasoning_tokens": 4}}


class Mistral(OpenAI):
    model = "open-mistral-7b"
    roles = ("system", "user", "assistant", "tool")
    named = ("tool",)
    top = ("max_tokens", "top_p", "stop", "random_seed", "presence_penalty", "frequency_penalty", "n", "safe_prompt",
           "parallel_tool_calls", "prediction")

    def error(self, code, words):
        return {"object": "error", "message": words, "type": "invalid_request_error", "param": None, "code": "1500"}

    def check_call(self, call, where):
        identifier = super().check_call(call, where)
        refuse_unless(re.fullmatch(r"[a-zA-Z0-9]{9}", identifier),
                      f"Tool call id was {identifier} but must be a-z, A-Z, 0-9, with a length of 9.")
        return identifier

    @staticmethod
    def usage():
        return {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}


class Ollama(OpenAI):
    model = "llama3.2:latest"
    roles = ("system", "user", "assistant", "tool")
    named = ()
    top = ("max_tokens", "top_p", "stop", "seed", "presence_penalty", "frequency_penalty", "reasoning_effort")

    def check_head(self, request):
        refuse_unless(request.target in self.paths, "404 page not found", 404)

    usage = staticmethod(Mistral.usage)


class HuggingFace(OpenAI):
    model = "org/model-7B"
    roles = ("system", "user", "assistant", "tool")
    named = ()
    paths = ("/hf-inference/models/org/model-7B/v1/chat/completions", "/v1/chat/completions")
    top = ("max_tokens", "top_p", "stop", "seed", "presence_penalty", "frequency_penalty", "logprobs")
    usage = staticmethod(Mistral.usage)

    def error(self, code, words):
        return {"error": words}

    @property
    def endpoint(self):
        return f"{self.base}/hf-inference/models/{{{{model}}}}/v1"


class OpenRouter(OpenAI):
    model = "openai/gpt-4o-mini"
    roles = ("system", "user", "assistant", "tool")
    named = ("system", "user", "assistant")
    top = ("max_tokens", "top_p", "top_k", "stop", "seed", "presence_penalty", "frequency_penalty", "provider", "models",
           "reasoning")

    def error(self, code, words):
        return {"error": {"code": code, "message": words, "metadata": {"provider_name": None}}}

    def check_head(self, request):
        super().check_head(request)
        refuse_unless(request.all("HTTP-Referer") == ["https://shop.test/"], "whose site?")
        refuse_unless(request.all("X-Title") == ["The Shop (caf\u00c3\u00a9)"], "whose title?")


# --- Anthropic --------------------------------------------------------------------------------------------------------


class Anthropic(Provider):
    model = "claude-sonnet-4-6"

    @property
    def endpoint(self):
        return f"{self.base}/v1"

    def error(self, code, words):
        return {"type": "error", "error": {"type": "invalid_request_error", "message": words}, "request_id": "req_1"}

    def check_head(self, request):
        refuse_unless(request.target == "/v1/messages", "Not found", 404)
        refuse_unless(request.all("x-api-key") == [self.key], "invalid x-api-key", 401)
        refuse_unless(request.all("anthropic-version") == ["2023-06-01"], "anthropic-version: header is required")

    def check_body(self, body):
        self.cache_points = 0
        fields(body, "body", ("model", "messages", "max_tokens"),
               ("system", "temperature", "tools", "tool_choice", "metadata", "stop_sequences", "top_k", "top_p", "thinking",
                "output_config", "service_tier"))
        refuse_unless(is_count(body["max_tokens"]), "max_tokens: must be greater than or equal to 1")
        refuse_unless("temperature" not in body or is_number(body["temperature"], 0, 1), "temperature: range: 0..1")
        fields(body.get("metadata", {}), "metadata", (), ("user_id",))
        if "system" in body and not is_text(body["system"]):
            refuse_unless(isinstance(body["system"], list) and body["system"], "system: not a list of blocks")
            for block in body["system"]:
                self.check_text(block, "system")
        self.check_messages(body["messages"])
        self.check_tools(body)
        config = body.get("output_config", {})
        fields(config, "output_config", (), ("format", "effort"))
        if "format" in config:
            fields(config["format"], "output_config.format", ("type", "schema"))
            refuse_unless(config["format"]["type"] == "json_schema" and isinstance(config["format"]["schema"], dict), "format")
            refuse_unless("strict" not in config["format"]["schema"], "output_config.format.schema")
        refuse_unless(self.cache_points <= 4, "A maximum of 4 blocks with cache_control may be provided")

    def check_cache(self, block):
        if "cache_control" in block:
            self.cache_points += 1
            fields(block["cache_control"], "cache_control", ("type",), ("ttl",))
            refuse_unless(block["cache_control"]["type"] == "ephemeral", "cache_control.type")
            refuse_unless(block["cache_control"].get("ttl", "5m") in ("5m", "1h"), "cache_control.ttl")

    def check_text(self, block, where):
        fields(block, where, ("type", "text"), ("cache_control",))
        refuse_unless(block["type"] == "text" and is_text(block["text"]) and block["text"],
                      f"{where}: text content blocks must be non-empty")
        self.check_cache(block)

    def check_messages(self, messages):
        refuse_unless(isinstance(messages, list) and messages, "messages: at least one message is required")
        uses, last = [], None
        for i, message in enumerate(messages):
            where = f"messages.{i}"
            fields(message, where, ("role", "content"))
            role, content = message["role"], message["content"]
            refuse_unless(role in ("user", "assistant"), f"{where}: unexpected role {role}")
            refuse_unless(role != last, f"{where}: roles must alternate")  # a rule of the first versions, kept by good clients
            refuse_unless(is_text(content) and content or isinstance(content, list) and content, f"{where}: empty content")
            blocks = [{"type": "text", "text": content}] if is_text(content) else content
            uses, last = self.check_blocks(blocks, where, role, uses), role
        refuse_unless(messages[0]["role"] == "user", "messages: first message must use the user role")
        refuse_unless(not uses, "`tool_use` ids were found without `tool_result` blocks")

    def check_blocks(self, blocks, where, role, uses):
        answered, made, texts = [], [], 0
        for block in blocks:
            kind = block.get("type")
            if kind == "tool_use" and role == "assistant":
                fields(block, where, ("type", "id", "name", "input"), ("cache_control",))
                refuse_unless(re.fullmatch(r"[a-zA-Z0-9_-]+", block["id"]), f"{where}: tool_use.id")
                refuse_unless(isinstance(block["input"], dict), f"{where}: tool_use.input: Input should be a valid dictionary")
                made.append(block["id"])
            elif kind == "tool_result" and role == "user":
                fields(block, where, ("type", "tool_use_id"), ("content", "is_error", "cache_control"))
                refuse_unless(texts == 0, f"{where}: tool_result blocks come first")
                for part in block.get("content", []):
                    self.check_text(part, where)
                answered.append(block["tool_use_id"])
            else:
                self.check_text(block, where)
                texts += 1
            self.cache_points += kind != "text" and "cache_control" in block
        refuse_unless(sorted(answered) == sorted(uses), f"{where}: each tool_use must have its tool_result in the next message")
        return made

    def check_tools(self, body):
        for tool in body.get("tools", []):
            fields(tool, "tools", ("name", "input_schema"), ("description", "cache_control"))
            refuse_unless(tool["input_schema"].get("type") == "object", "tools.0.input_schema.type: Field required")
        if "tool_choice" in body:
            refuse_unless(body.get("tools"), "tool_choice may only be specified while providing tools")
            kind = body["tool_choice"].get("type")
            refuse_unless(kind in ("auto", "any", "none", "tool"), "tool_choice.type")
            fields(body["tool_choice"], "tool_choice", ("type",) + ("name",) * (kind == "tool"), ("disable_parallel_tool_use",))

    def respond(self, body, request):
        texts = []
        for message in body["messages"]:
            blocks = message["content"] if isinstance(message["content"], list) else [{"text": message["content"]}]
            for block in blocks:
                texts += [block["text"]] if "text" in block else [part["text"] for part in block.get("content", [])]
        choice = body.get("tool_choice", {"type": "auto"})
        forced = {"any": "required", "tool": choice.get("name")}.get(choice["type"], choice["type"])
        text, tool = self.say(texts, [t["name"] for t in body.get("tools", [])], forced)
        content = [{"type": "thinking", "thinking": "hm", "signature": "s"}]
        if tool:
            content += [{"type": "text", "text": "I look."},
                        {"type": "tool_use", "id": "toolu_1", "name": tool, "input": {"zone": "UTC"}}]
        else:
            content += [{"type": "text", "text": text}]
        return {"id": "msg_1", "type": "message", "role": "assistant", "model": body["model"] + "-2026", "content": content,
                "stop_reason": "tool_use" if tool else "end_turn", "stop_sequence": None,
                "usage": {"input_tokens": 11, "output_tokens": 7, "cache_read_input_tokens": 3,
                          "cache_creation_input_tokens": 0}}


# --- Google -----------------------------------------------------------------------------------------------------------


class GoogleAI(Provider):
    model = "gemini-2.5-flash-lite"

    @property
    def endpoint(self):
        return f"{self.base}/v1beta"

    def error(self, code, words):
        reason = [{"@type": "ErrorInfo", "reason": "API_KEY_INVALID"}] if "API key" in words else []
        return {"error": {"code": code, "message": words, "status": "INVALID_ARGUMENT", "details": reason}}

    def check_head(self, request):
        found = re.fullmatch(r"/v1beta/models/([^/?:]+):generateContent", request.target)
        refuse_unless(found, "not found", 404)
        self.path_model = unquote(found.group(1))
        refuse_unless(request.all("x-goog-api-key") == [self.key], "API key not valid. Please pass a valid API key.")

    def check_body(self, body):
        fields(body, "body", ("contents",), ("systemInstruction", "tools", "toolConfig", "generationConfig", "safetySettings",
                                             "cachedContent"))
        refuse_unless(isinstance(body["contents"], list) and body["contents"], "* GenerateContentRequest.contents: not specified")
        calls = 0
        for content in body["contents"]:
            fields(content, "contents", ("role", "parts"))
            refuse_unless(content["role"] in ("user", "model"), "Please use a valid role: user, model.")
            counts = self.check_parts(content["parts"])
            refuse_unless(counts["functionResponse"] == calls, "the number of function response parts is not equal to the "
                          "number of function call parts of the function call turn.")
            calls = counts["functionCall"]
        refuse_unless(calls == 0, "function calls without responses")
        if "systemInstruction" in body:
            fields(body["systemInstruction"], "systemInstruction", ("parts",), ("role",))
            self.check_parts(body["systemInstruction"]["parts"])
        generation = body.get("generationConfig", {})
        fields(generation, "generationConfig", (),
               ("temperature", "maxOutputTokens", "responseMimeType", "responseSchema", "responseJsonSchema", "topP", "topK",
                "stopSequences", "candidateCount", "seed", "thinkingConfig", "presencePenalty", "frequencyPenalty"))
        refuse_unless("temperature" not in generation or is_number(generation["temperature"], 0, 2), "temperature")
        refuse_unless("maxOutputTokens" not in generation or is_count(generation["maxOutputTokens"]), "maxOutputTokens")
        refuse_unless("responseJsonSchema" not in generation or generation.get("responseMimeType") == "application/json",
                      "responseMimeType is required with a schema")
        refuse_unless("strict" not in generation.get("responseJsonSchema", {}), "responseJsonSchema")
        self.check_tools(body)

    def check_parts(self, parts):
        refuse_unless(isinstance(parts, list) and parts, "contents.parts must not be empty.")
        counts = {"text": 0, "functionCall": 0, "functionResponse": 0}
        for part in parts:
            refuse_unless(isinstance(part, dict) and len(part) == 1 and set(part) <= set(counts), "part: one of its data")
            kind = next(iter(part))
            counts[kind] += 1
            if kind == "text":
                refuse_unless(is_text(part["text"]), "text")
            else:
                value = "args" if kind == "functionCall" else "response"
                fields(part[kind], kind, ("name", value), ("id",))
                refuse_unless(isinstance(part[kind][value], dict) and part[kind]["name"], f"{kind}.{value}")
        return counts

    def check_tools(self, body):
        names = []
        for tool in body.get("tools", []):
            fields(tool, "tools", ("functionDeclarations",))
            for function in tool["functionDeclarations"]:
                fields(function, "function_declarations", ("name", "description"), ("parameters", "parametersJsonSchema"))
                refuse_unless(not {"parameters", "parametersJsonSchema"} <= set(function), "only one of the two")
                names.append(function["name"])
        config = body.get("toolConfig", {}).get("functionCallingConfig", {"mode": "AUTO"})
        fields(config, "functionCallingConfig", ("mode",), ("allowedFunctionNames",))
        refuse_unless(config["mode"] in ("AUTO", "ANY", "NONE"), "mode")
        refuse_unless("allowedFunctionNames" not in config or config["mode"] == "ANY", "allowedFunctionNames only with ANY")
        refuse_unless(set(config.get("allowedFunctionNames", [])) <= set(names), "allowedFunctionNames")

    def respond(self, body, request):
        texts = [part["text"] if "text" in part else json.dumps(part["functionResponse"]["response"])
                 for content in body["contents"] for part in content["parts"] if "functionCall" not in part]
        names = [f["name"] for tool in body.get("tools", []) for f in tool["functionDeclarations"]]
        config = body.get("toolConfig", {}).get("functionCallingConfig", {"mode": "AUTO"})
        forced = {"ANY": "required", "NONE": "none"}.get(config["mode"], "auto")
        text, tool = self.say(texts, config.get("allowedFunctionNames", names), forced)
        parts = [{"text": "hm", "thought": True}]
        parts += [{"functionCall": {"name": tool, "args": {"zone": "UTC"}}}] if tool else [{"text": text}]
        return {"candidates": [{"content": {"parts": parts, "role": "model"}, "finishReason": "STOP", "index": 0}],
                "modelVersion": self.path_model + "-2026", "responseId": "r",
                "usageMetadata": {"promptTokenCount": 11, "candidatesTokenCount": 3, "thoughtsTokenCount": 4,
                                  "totalTokenCount": 18, "cachedContentTokenCount": 3}}


# --- Amazon Bedrock ---------------------------------------------------------------------------------------------------


class Bedrock(Provider):
    """Converse. The signature is computed anew of what has come."""

    model = "arn:aws:bedrock:eu-west-1:1:inference-profile/m.v1:0"
    region, access_key, token = "eu-west-1", "AKIDCONFORM", "session-Token/+=="

    @property
    def endpoint(self):
        return self.base

    def error(self, code, words):
        return {"message": words}

    def signature(self, request):
        def key(secret, text):
            return hmac.new(secret, text.encode(), hashlib.sha256).digest()

        found = re.search(r"SignedHeaders=([a-z0-9;-]+),", request.header("authorization") or "")
        refuse_unless(found, "The request is not signed", 403)
        date, names = request.header("x-amz-date"), found.group(1).split(";")
        refuse_unless({"host", "x-amz-date", "x-amz-security-token"} <= set(names), "What must be signed is not", 403)
        scope = f"{date[:8]}/{self.region}/bedrock/aws4_request"
        canonical = "\n".join(["POST", quote(request.target), ""] + [f"{n}:{request.header(n)}" for n in names]
                              + ["", ";".join(names), hashlib.sha256(request.body).hexdigest()])
        secret = ("AWS4" + self.key).encode()
        for part in scope.split("/"):
            secret = key(secret, part)
        signed = key(secret, "\n".join(["AWS4-HMAC-SHA256", date, scope, hashlib.sha256(canonical.encode()).hexdigest()]))
        return (f"AWS4-HMAC-SHA256 Credential={self.access_key}/{scope}, SignedHeaders={';'.join(names)}, "
                f"Signature={signed.hex()}")

    def check_head(self, request):
        found = re.fullmatch(r"/model/([^/]+)/converse", request.target)
        refuse_unless(found, "UnknownOperationException", 404)
        self.path_model = unquote(found.group(1))
        refuse_unless(request.all("x-amz-security-token") == [self.token], "The security token is invalid", 403)
        refuse_unless(request.all("authorization") == [self.signature(request)], "The request signature we calculated does "
                      "not match the signature you provided.", 403)

    def check_body(self, body):
        fields(body, "body", (), ("messages", "system", "inferenceConfig", "toolConfig", "guardrailConfig", "requestMetadata",
                                  "additionalModelRequestFields", "outputConfig", "performanceConfig", "promptVariables"))
        inference = body.get("inferenceConfig", {})
        fields(inference, "inferenceConfig", (), ("maxTokens", "temperature", "topP", "stopSequences"))
        refuse_unless("maxTokens" not in inference or is_count(inference["maxTokens"]), "maxTokens")
        refuse_unless("temperature" not in inference or is_number(inference["temperature"], 0, 1), "temperature")
        for block in body.get("system", []):
            self.check_block(block, "system", ("text", "cachePoint"))
        uses, last = [], None
        for message in body.get("messages", []):
            fields(message, "messages", ("role", "content"))
            refuse_unless(message["role"] in ("user", "assistant") and message["role"] != last, "roles must alternate")
            last = message["role"]
            kinds = ("text", "cachePoint", "toolUse" if last == "assistant" else "toolResult")
            refuse_unless(message["content"], "The content field in the Message object is empty.")
            found = [self.check_block(block, "content", kinds) for block in message["content"]]
            refuse_unless(sorted(i for kind, i in found if kind == "toolResult") == sorted(uses),
                          "The number of toolResult blocks does not match the toolUse blocks of previous turn.")
            uses = [i for kind, i in found if kind == "toolUse"]
        refuse_unless(body.get("messages") and body["messages"][0]["role"] == "user", "A conversation must start with a user")
        refuse_unless(not uses, "toolUse without toolResult")
        self.check_tools(body)
        form = body.get("outputConfig", {}).get("textFormat")
        if form is not None:
            fields(form, "textFormat", ("type", "structure"))
            fields(form["structure"]["jsonSchema"], "jsonSchema", ("schema",), ("name", "description"))
            refuse_unless(isinstance(json.loads(form["structure"]["jsonSchema"]["schema"]), dict), "jsonSchema.schema")

    def check_block(self, block, where, kinds):
        refuse_unless(isinstance(block, dict) and len(block) == 1 and set(block) <= set(kinds), f"{where}: one of {kinds}")
        kind, value = next(iter(block.items()))
        if kind == "text":
            refuse_unless(is_text(value) and value, "The text field in the ContentBlock object is blank.")
            return kind, None
        if kind == "cachePoint":
            fields(value, kind, ("type",), ("ttl",))
            refuse_unless(value["type"] == "default" and value.get("ttl", "5m") in ("5m", "1h"), "cachePoint")
            return kind, None
        fields(value, kind, ("toolUseId", "content") if kind == "toolResult" else ("toolUseId", "name", "input"))
        for part in value.get("content", []):
            self.check_block(part, kind, ("text", "json"))
        refuse_unless(isinstance(value.get("input", {}), dict), "input")
        refuse_unless(re.fullmatch(r"[a-zA-Z0-9_.:-]{1,64}", value["toolUseId"]), "toolUseId")
        return kind, value["toolUseId"]

    def check_tools(self, body):
        config, names = body.get("toolConfig"), []
        has_blocks = any("toolUse" in block for message in body["messages"] for block in message["content"])
        refuse_unless(config or not has_blocks, "The toolConfig field must be defined when using toolUse blocks.")
        if config is None:
            return
        fields(config, "toolConfig", ("tools",), ("toolChoice",))
        for tool in config["tools"]:
            fields(tool["toolSpec"], "toolSpec", ("name", "inputSchema"), ("description", "strict"))
            refuse_unless(tool["toolSpec"]["inputSchema"]["json"].get("type") == "object", "inputSchema.json.type")
            refuse_unless(re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", tool["toolSpec"]["name"]), "toolSpec.name")
            names.append(tool["toolSpec"]["name"])
        choice = config.get("toolChoice", {"auto": {}})
        refuse_unless(choice in ({"auto": {}}, {"any": {}}) or choice["tool"]["name"] in names, "toolChoice")

    def respond(self, body, request):
        texts = [part["text"] for message in body["messages"] for block in message["content"]
                 for part in ([block] if "text" in block else block.get("toolResult", {}).get("content", []))]
        config = body.get("toolConfig", {"tools": []})
        choice = config.get("toolChoice", {"auto": {}})
        forced = "required" if "any" in choice else choice.get("tool", {}).get("name", "auto")
        text, tool = self.say(texts, [t["toolSpec"]["name"] for t in config["tools"]], forced)
        content = [{"reasoningContent": {"reasoningText": {"text": "hm", "signature": "s"}}}]
        content += [{"toolUse": {"toolUseId": "tooluse_1", "name": tool, "input": {"zone": "UTC"}}}] if tool else [{"text": text}]
        return {"output": {"message": {"role": "assistant", "content": content}}, "metrics": {"latencyMs": 1},
                "stopReason": "tool_use" if tool else "end_turn",
                "usage": {"inputTokens": 11, "outputTokens": 7, "totalTokens": 18, "cacheReadInputTokens": 3}}


KINDS = {"openai": OpenAI, "azure.openai": Azure, "deepseek": DeepSeek, "mistral": Mistral, "ollama": Ollama,
         "huggingface": HuggingFace, "openrouter": OpenRouter, "anthropic": Anthropic, "googleai": GoogleAI,
         "aws.bedrock": Bedrock}


def metadata(kind, provider):
    """Of a component that asks it."""
    if kind == "aws.bedrock":
        return {"endpoint": provider.endpoint, "model": provider.model, "region": provider.region,
                "accessKey": provider.access_key, "secretKey": provider.key, "sessionToken": provider.token}
    pairs = {"endpoint": provider.endpoint, "key": provider.key, "model": provider.model}
    if kind == "openrouter":
        pairs.update(siteURL="https://shop.test/", siteTitle="The Shop (caf\u00e9)")
    return dict(pairs, apiVersion=provider.version) if kind == "azure.openai" else pairs
