# SPDX-License-Identifier: Apache-2.0
"""OpenAI, and those that speak its wire, each with its own ways."""
import json
import re
from urllib.parse import parse_qs, unquote, urlsplit

from providers.base import Provider, fields, is_count, is_number, is_text, refuse_unless


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
