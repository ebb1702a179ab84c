# SPDX-License-Identifier: Apache-2.0
"""Anthropic: messages."""
import re

from providers.base import Provider, fields, is_count, is_number, is_text, refuse_unless


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
