/* SPDX-License-Identifier: Apache-2.0 */
/* middleware.http.uppercase: bodies of requests in capitals. The reference has it for its tests. */
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>
#include <wctype.h>

#include "types.h"

enum { UTF8_BYTES_MAX = 4 };

void
uppercase_init(remora_call *call, const struct remora_config *config)
{
    (void)config;
    if (setlocale(LC_CTYPE, "C.UTF-8") == NULL)
        remora_log(REMORA_WARN, "there is no UTF-8 locale: only letters of ASCII get capitals");
    remora_reply_init(call, NULL, REMORA_CAP_REQUEST_BODY, 0);
}

/* One character; what is no UTF-8 stays as it is. Returns how many bytes were read. */
static size_t
raise(const char *from, size_t len, char *to, size_t *ret_written)
{
    wchar_t wide;
    mbstate_t state = { 0 };
    char out[UTF8_BYTES_MAX + 1];
    size_t read = mbrtowc(&wide, from, len < UTF8_BYTES_MAX ? len : UTF8_BYTES_MAX, &state);
    if (read == 0 || read > UTF8_BYTES_MAX) { /* a NUL, or no character */
        *to = *from;
        *ret_written = 1;
        return 1;
    }
    state = (mbstate_t){ 0 };
    size_t written = wcrtomb(out, (wchar_t)towupper((wint_t)wide), &state);
    if (written == 0 || written > UTF8_BYTES_MAX) {
        memcpy(to, from, read);
        *ret_written = read;
        return read;
    }
    memcpy(to, out, written);
    *ret_written = written;
    return read;
}

void
uppercase_handle(remora_call *call, void *self, const struct remora_http_request *request)
{
    (void)self;
    /* A capital takes at most one byte more than its letter, and a letter of two bytes at least. */
    char *out = remora_call_alloc(call, request->body.len * 2 + 1);
    size_t len = 0, at = 0, written;
    while (at < request->body.len) {
        at += raise(request->body.data + at, request->body.len - at, out + len, &written);
        len += written;
    }
    const struct remora_http_verdict verdict = { .sets_body = true, .body = { out, len } };
    remora_middleware_reply(call, &verdict);
}
