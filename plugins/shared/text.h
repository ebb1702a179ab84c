/* SPDX-License-Identifier: Apache-2.0 */
/* What users send to bindings as data, as the bytes that are meant; and JSON for what is said back.
 */
#ifndef PLUGINS_SHARED_TEXT_H
#define PLUGINS_SHARED_TEXT_H

#include <remora_plugin.h>

/* As the reference reads it: of a JSON string what it says, of anything else the bytes as they are.
 * The result is in memory of the call or the data themselves. */
struct remora_slice text_unquote(remora_call *call, struct remora_slice data);

/* And then of base64 what it encodes, in standard form and with padding, even if it was not meant
 * as that ("abcd"). */
struct remora_slice text_to_bytes(remora_call *call, struct remora_slice data);

/* A JSON string, quotes included, of any bytes; malloc()ed parts of `out` grow. */
struct text {
    char *bytes;
    size_t len, capacity;
};
void text_put(struct text *out, const char *bytes, size_t len);
void text_put_string(struct text *out, const char *string);

#endif
