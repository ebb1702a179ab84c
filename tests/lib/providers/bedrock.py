# SPDX-License-Identifier: Apache-2.0
"""Amazon Bedrock: Converse."""
import hashlib
import hmac
import json
import re
from urllib.parse import quote, unquote

from providers.base import Provider, fields, is_count, is_number, is_text, refuse_unless


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
