/* SPDX-License-Identifier: Apache-2.0 */
/* One request of bindings.http and its answer. Plugin thread only. */
#ifndef HTTP_PLUGIN_EXCHANGE_H
#define HTTP_PLUGIN_EXCHANGE_H

#include "settings.h"

/* Answers the call, now or later. `settings` outlive it. */
void exchange_start(remora_call *call, const struct settings *settings,
                    const struct remora_binding_request *request);

#endif
