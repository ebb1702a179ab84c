/* SPDX-License-Identifier: Apache-2.0 */
/* The providers there are, and the metadata of their components. */
#ifndef LLM_PLUGIN_SETTINGS_H
#define LLM_PLUGIN_SETTINGS_H

#include <remora_plugin.h>

struct aws_credentials;
struct wire;

/* What a provider of the OpenAI wire takes or does not take. */
enum dialect {
    DIALECT_DEVELOPER = 1u << 0,    /* the role "developer"; it is "system" elsewhere */
    DIALECT_NAMES = 1u << 1,        /* who speaks has a name */
    DIALECT_TOOL_NAMES = 1u << 2,   /* the answer of a tool has its name */
    DIALECT_PARTS = 1u << 3,        /* several texts in one message */
    DIALECT_MODERN = 1u << 4,       /* max_completion_tokens, metadata, prompt_cache_retention */
    DIALECT_NO_SCHEMA = 1u << 5,    /* answers are JSON, of no schema */
    DIALECT_KEY_OPTIONAL = 1u << 6, /* there may be no key */
    DIALECT_SITE = 1u << 7          /* requests tell whose application asks */
};

struct provider {
    const char *type;  /* "conversation.openai" */
    const char *label; /* in errors */
    const struct wire *wire;
    const char *endpoint;    /* "{{model}}" is the model; NULL: has to be given */
    const char *model;       /* by default */
    const char *environment; /* names another default */
    unsigned dialect;
    bool is_azure, is_aws;
};

/* Texts are owned; NULL: not given. */
struct settings {
    const struct provider *provider;
    char *key;
    char *model, *endpoint, *api_version;
    char *site_url, *site_title;         /* of the application that asks */
    char *region;                        /* AWS, as the next, which there are instead of a key */
    struct aws_credentials *credentials; /* NULL elsewhere */
    int64_t max_tokens;                  /* 0: not given */
    bool has_temperature;
    double temperature;
    bool has_legacy_max_tokens;
};

enum { SETTINGS_ERROR_BYTES = 256 };

const struct provider *provider_find(struct remora_slice type);

/* False with words, without a secret in them. */
bool settings_read(const struct remora_config *config, struct settings *ret_settings,
                   char ret_error[SETTINGS_ERROR_BYTES]);
void settings_fini(struct settings *settings);

/* With what may not stand in a path percent-encoded, slashes not if they are kept; malloc'ed. */
char *settings_escape(const char *text, bool keeps_slashes);

#endif
