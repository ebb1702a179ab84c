/* SPDX-License-Identifier: Apache-2.0 */
/* What a JSON text holds, without understanding the rest of it. */
#ifndef POSTGRESQL_JSON_H
#define POSTGRESQL_JSON_H

#include <remora_plugin.h>

/* False for what is JSON and jsonb refuses: the character NUL, and halves of surrogate pairs. */
bool json_fits_jsonb(struct remora_slice text);

#endif
