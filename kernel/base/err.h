/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Errors: a number of err.def that callers can test, and a diag that holds the words. The number
 * travels as the return value, the words stay with the request until somebody answers or logs.
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/macros.h"
#include "base/slice.h"

/* Canonical gRPC status codes. */
enum grpc_code {
    GRPC_OK = 0,
    GRPC_CANCELLED = 1,
    GRPC_UNKNOWN = 2,
    GRPC_INVALID_ARGUMENT = 3,
    GRPC_DEADLINE_EXCEEDED = 4,
    GRPC_NOT_FOUND = 5,
    GRPC_ALREADY_EXISTS = 6,
    GRPC_PERMISSION_DENIED = 7,
    GRPC_RESOURCE_EXHAUSTED = 8,
    GRPC_FAILED_PRECONDITION = 9,
    GRPC_ABORTED = 10,
    GRPC_OUT_OF_RANGE = 11,
    GRPC_UNIMPLEMENTED = 12,
    GRPC_INTERNAL = 13,
    GRPC_UNAVAILABLE = 14,
    GRPC_DATA_LOSS = 15,
    GRPC_UNAUTHENTICATED = 16,
};

typedef enum err {
    OK = 0,
#define ERR(name, code, http, grpc, retry, reason) name,
#include "base/err.def"
#undef ERR
    ERR_COUNT
} err_t;

struct err_info {
    const char *name; /* ERR_STATE_GET */
    const char *code; /* errorCode on the wire */
    int http;         /* HTTP status */
    enum grpc_code grpc;
    bool retry;
    const char *reason; /* ErrorInfo reason, NULL for plain errors */
};

/* Never NULL; OK has HTTP 200. */
const struct err_info *err_info(err_t err);

/* "InvalidArgument" and so on, as Go prints codes; "Code(N)" has no name here and gives "Unknown".
 */
const char *grpc_code_name(enum grpc_code code);
/* The HTTP status daprd answers for a gRPC code. */
int grpc_code_to_http(enum grpc_code code);

/* The words of the last failure of one request or task. The message lives in the arena. */
struct diag {
    struct arena *arena; /* borrowed, may be NULL: then only the number is kept */
    err_t err;
    struct slice message; /* shown to the client; holds no secret */
    const char *file;
    int line;
};

void diag_init(struct diag *diag, struct arena *arena);
/* Records err and the words, returns err. Messages are cut at 4,096 bytes. */
err_t diag_fail(struct diag *diag, err_t err, const char *file, int line, const char *format, ...)
    PRINTF_LIKE(5, 6);

#define DIAG_FAIL(diag, err, ...) diag_fail((diag), (err), __FILE__, __LINE__, __VA_ARGS__)

#endif
