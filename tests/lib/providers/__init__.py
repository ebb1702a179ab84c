# SPDX-License-Identifier: Apache-2.0
"""DECLARED WIRE FAKES of providers of language models, on local ports: no model is behind them. What a provider's public
documentation does not allow in a request is refused, in the provider's own form; what is allowed is kept in `asked` and
answered by a rule that tests know (see `say`). `faults` holds what happens to the next requests instead."""
from providers.anthropic import Anthropic
from providers.base import KEY, Provider, Refused
from providers.bedrock import Bedrock
from providers.faults import bytes_of, cut, document, endless, hang, hang_midway, html, reset, status
from providers.googleai import GoogleAI
from providers.openai import Azure, DeepSeek, HuggingFace, Mistral, Ollama, OpenAI, OpenRouter

__all__ = ["Bedrock", "KEY", "KINDS", "Provider", "Refused", "bytes_of", "cut", "document", "endless", "hang", "hang_midway",
           "html", "metadata", "reset", "status"]

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
