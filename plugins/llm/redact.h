/* SPDX-License-Identifier: Apache-2.0 */
/* Takes out of a provider's words what they repeat of the request. */
#ifndef LLM_PLUGIN_REDACT_H
#define LLM_PLUGIN_REDACT_H

#include <remora_plugin.h>

#include "settings.h"

enum { REDACT_BYTES_MAX = 400 };

/* `message`, cut, on one line, of whole characters, into `out`: without the keys, without any 16
 * bytes that stand in what was said as well, and without any shorter thing that was said as a
 * whole. What is left out is "...". Takes time linear in the conversation. */
void redact(const char *message, const struct settings *settings,
            const struct remora_conversation *conversation, char out[REDACT_BYTES_MAX + 1]);

#endif
