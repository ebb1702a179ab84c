/* SPDX-License-Identifier: Apache-2.0 */
/* One letter on its way to the server. Plugin thread only. */
#ifndef SMTP_PLUGIN_DELIVERY_H
#define SMTP_PLUGIN_DELIVERY_H

#include "letter.h"
#include "settings.h"

/* Answers the call, later. `settings` outlive it; `letter` is moved. */
void delivery_start(remora_call *call, const struct settings *settings,
                    const struct letter_written *letter);

#endif
