/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a provider's refusal means, and which words of it may be told: neither the key nor what was
 * said in the conversation. Providers like to repeat both.
 */
#ifndef LLM_PLUGIN_REFUSAL_H
#define LLM_PLUGIN_REFUSAL_H

#include <cjson/cJSON.h>
#include <remora_plugin.h>

#include "settings.h"

enum { REFUSAL_WORDS_BYTES = 640, REFUSAL_HEADER_BYTES = 64 };

struct refusal {
    long status;
    const char *body; /* whatever it is */
    size_t len;
    const char *retry_after; /* the header; empty: there was none */
};

/* The status that an answer of 200 holds: a router's, whose provider failed when its own head was
 * sent. 0: it holds none. */
long refusal_within(const cJSON *tree);

/* The text of the failure is put into `words`. */
struct remora_failure
refusal_read(const struct refusal *refusal, const struct settings *settings,
             const struct remora_conversation *conversation, char words[REFUSAL_WORDS_BYTES]);

#endif
