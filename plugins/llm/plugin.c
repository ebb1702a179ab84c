/* SPDX-License-Identifier: Apache-2.0 */
/* Conversations with language models of several providers; which there are stands in settings.c. */
#include "../shared/memory.h"
#include "exchange.h"

static void
init(remora_call *call, const struct remora_config *config)
{
    char error[SETTINGS_ERROR_BYTES] = "";
    struct settings *settings = memory_new(sizeof *settings);
    if (settings_read(config, settings, error)) {
        remora_reply_init(call, settings, 0, 0);
        return;
    }
    remora_reply_error(call, REMORA_INVALID_ARGUMENT, "%s", error);
    free(settings);
}

static void
close_settings(void *self)
{
    settings_fini(self);
    free(self);
}

static void
converse(remora_call *call, void *self, const struct remora_conversation *conversation)
{
    exchange_start(call, self, conversation);
}

static const struct remora_conversation_ops ops = { .converse = converse };

#define TYPE(name)                                                                                 \
    {                                                                                              \
        .type = "conversation." name, .versions = "v1", .init = init, .close = close_settings,     \
        .conversation = &ops,                                                                      \
    }

int
main(int argc, char **argv)
{
    static const struct remora_component_type types[] = {
        TYPE("openai"),   TYPE("azure.openai"), TYPE("deepseek"),   TYPE("mistral"),
        TYPE("ollama"),   TYPE("huggingface"),  TYPE("openrouter"), TYPE("anthropic"),
        TYPE("googleai"), TYPE("aws.bedrock"),
    };
    static const struct remora_plugin plugin = {
        .name = "llm",
        .version = "1.0.0",
        .types = types,
        .type_count = sizeof types / sizeof types[0],
        .setup = exchange_setup,
    };
    return remora_plugin_main(&plugin, argc, argv);
}
