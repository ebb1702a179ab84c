/* SPDX-License-Identifier: Apache-2.0 */
/* One question to a provider and its answer, over HTTP. */
#ifndef LLM_PLUGIN_EXCHANGE_H
#define LLM_PLUGIN_EXCHANGE_H

#include "settings.h"

/* Once, in `setup`. */
bool exchange_setup(void);

/* Answers the call. */
void exchange_start(remora_call *call, const struct settings *settings,
                    const struct remora_conversation *conversation);

#endif
