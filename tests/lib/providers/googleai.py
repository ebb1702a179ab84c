# SPDX-License-Identifier: Apache-2.0
"""Google AI: generateContent."""
import json
import re
from urllib.parse import unquote

from providers.base import Provider, fields, is_count, is_number, is_text, refuse_unless


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
