/* SPDX-License-Identifier: Apache-2.0 */
/* The table behind err.def and the diag; see err.h. */
#include "base/err.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

enum { MESSAGE_BYTES_MAX = 4096 };

static const struct err_info infos[] = {
    [OK] = { "OK", "OK", 200, GRPC_OK, false, NULL },
#define ERR(name, code, http, grpc, retry, reason)                                                 \
    [name] = { #name, code, http, grpc, retry, reason },
#include "base/err.def"
#undef ERR
};

const struct err_info *
err_info(err_t err)
{
    assert(err < ERR_COUNT);
    return &infos[err];
}

static const struct {
    const char *name;
    int http;
} grpc_codes[] = {
    [GRPC_OK] = { "OK", 200 },
    [GRPC_CANCELLED] = { "Canceled", 408 },
    [GRPC_UNKNOWN] = { "Unknown", 500 },
    [GRPC_INVALID_ARGUMENT] = { "InvalidArgument", 400 },
    [GRPC_DEADLINE_EXCEEDED] = { "DeadlineExceeded", 504 },
    [GRPC_NOT_FOUND] = { "NotFound", 404 },
    [GRPC_ALREADY_EXISTS] = { "AlreadyExists", 409 },
    [GRPC_PERMISSION_DENIED] = { "PermissionDenied", 403 },
    [GRPC_RESOURCE_EXHAUSTED] = { "ResourceExhausted", 429 },
    [GRPC_FAILED_PRECONDITION] = { "FailedPrecondition", 400 },
    [GRPC_ABORTED] = { "Aborted", 409 },
    [GRPC_OUT_OF_RANGE] = { "OutOfRange", 400 },
    [GRPC_UNIMPLEMENTED] = { "Unimplemented", 501 },
    [GRPC_INTERNAL] = { "Internal", 500 },
    [GRPC_UNAVAILABLE] = { "Unavailable", 503 },
    [GRPC_DATA_LOSS] = { "DataLoss", 500 },
    [GRPC_UNAUTHENTICATED] = { "Unauthenticated", 401 },
};

const char *
grpc_code_name(enum grpc_code code)
{
    return (unsigned)code < ARRAY_LEN(grpc_codes) ? grpc_codes[code].name : "Unknown";
}

int
grpc_code_to_http(enum grpc_code code)
{
    return (unsigned)code < ARRAY_LEN(grpc_codes) ? grpc_codes[code].http : 500;
}

void
diag_init(struct diag *diag, struct arena *arena)
{
    *diag = (struct diag){ .arena = arena, .message = SLICE_EMPTY };
}

err_t
diag_fail(struct diag *diag, err_t err, const char *file, int line, const char *format, ...)
{
    assert(err != OK);
    diag->err = err;
    diag->file = file;
    diag->line = line;
    if (diag->arena == NULL)
        return err;
    va_list args;
    va_start(args, format);
    va_list again;
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    size_t room = (len > MESSAGE_BYTES_MAX ? MESSAGE_BYTES_MAX : (size_t)(len < 0 ? 0 : len)) + 1;
    char *text = arena_alloc(diag->arena, room);
    text[0] = '\0';
    (void)vsnprintf(text, room, format, again); /* cut at the maximum on purpose */
    va_end(again);
    diag->message = slice_of(text, room - 1);
    return err;
}
