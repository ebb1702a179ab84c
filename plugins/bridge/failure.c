/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See failure.h. A conflict is FailedPrecondition (it does not match) or InvalidArgument (it is no
 * etag of this store) with one detail, a google.rpc.BadRequest with one violation, of the field
 * `etag`. Rows that a bulk delete has not met are Internal with a google.rpc.ErrorInfo whose
 * metadata has `expected` and `affected`. Neither message is in a .proto here: what is asked of
 * them is two fields, read from the wire.
 */
#include "failure.h"

#include <stdio.h>
#include <string.h>

#include <google/rpc/status.pb-c.h>

#include "wire.h"

static const char *
code_name(enum remora_code code)
{
    static const char *const names[] = {
        "OK",
        "Canceled",
        "Unknown",
        "InvalidArgument",
        "DeadlineExceeded",
        "NotFound",
        "AlreadyExists",
        "PermissionDenied",
        "ResourceExhausted",
        "FailedPrecondition",
        "Aborted",
        "OutOfRange",
        "Unimplemented",
        "Internal",
        "Unavailable",
        "DataLoss",
        "Unauthenticated",
    };
    return (unsigned)code < sizeof names / sizeof names[0] ? names[code] : "Unknown";
}

/* --- fields of a message, by hand --------------------------------------------------------------*/

static bool
read_varint(struct remora_slice *rest, uint64_t *ret)
{
    *ret = 0;
    for (unsigned shift = 0; shift < 64 && rest->len > 0; shift += 7) {
        const unsigned char c = (unsigned char)*rest->data++;
        rest->len--;
        *ret |= (uint64_t)(c & 0x7f) << shift;
        if ((c & 0x80) == 0)
            return true;
    }
    return false;
}

/* The next field whose value has a length; the others of these messages are not wanted. */
static bool
next_field(struct remora_slice *rest, unsigned *ret_number, struct remora_slice *ret_value)
{
    uint64_t tag, len;
    if (!read_varint(rest, &tag) || (tag & 7) != 2 || !read_varint(rest, &len) || len > rest->len)
        return false;
    *ret_number = (unsigned)(tag >> 3);
    *ret_value = (struct remora_slice){ rest->data, (size_t)len };
    rest->data += len;
    rest->len -= (size_t)len;
    return true;
}

/* How many fields of that number there are; the last one's value. */
static size_t
find_field(struct remora_slice message, unsigned number, struct remora_slice *ret_value)
{
    unsigned found;
    struct remora_slice value;
    size_t count = 0;
    *ret_value = (struct remora_slice){ "", 0 };
    while (next_field(&message, &found, &value))
        if (found == number) {
            *ret_value = value;
            count++;
        }
    return count;
}

/* --- details -----------------------------------------------------------------------------------*/

/* The bytes of the only detail if it is of that type. */
static bool
only_detail(remora_call *call, const struct rpc_end *end, const char *type,
            struct remora_slice *ret_detail)
{
    char url[64];
    bool is_found = false;
    Google__Rpc__Status *status = end->details.len == 0
                                      ? NULL
                                      : wire_unpack(&google__rpc__status__descriptor, end->details);
    (void)snprintf(url, sizeof url, "type.googleapis.com/google.rpc.%s", type);
    if (status != NULL && status->n_details == 1 &&
        strcmp(status->details[0]->type_url, url) == 0) {
        const struct remora_slice value = wire_slice(status->details[0]->value);
        *ret_detail = (struct remora_slice){ wire_text(call, value), value.len };
        is_found = true;
    }
    wire_free(status);
    return is_found;
}

/* The description of the only violation, which is of the field `etag`. */
static bool
is_conflict(remora_call *call, const struct rpc_end *end, struct remora_slice *ret_why)
{
    struct remora_slice detail, violation, field;
    return only_detail(call, end, "BadRequest", &detail) &&
           find_field(detail, 1, &violation) == 1 && find_field(violation, 1, &field) > 0 &&
           remora_slice_eq(field, "etag") && find_field(violation, 2, ret_why) <= 1;
}

static bool
info_number(struct remora_slice info, const char *wanted, int64_t *ret_number)
{
    unsigned number;
    struct remora_slice entry, name, value;
    while (next_field(&info, &number, &entry))
        if (number == 3 && find_field(entry, 1, &name) == 1 && remora_slice_eq(name, wanted))
            return find_field(entry, 2, &value) == 1 && remora_parse_i64(value, ret_number);
    return false;
}

static bool
is_of_kit(struct remora_slice info)
{
    unsigned number;
    struct remora_slice entry, name, value;
    while (next_field(&info, &number, &entry))
        if (number == 3 && find_field(entry, 1, &name) == 1 && remora_slice_eq(name, "kit_error"))
            return find_field(entry, 2, &value) == 1 && remora_slice_eq(value, "true");
    return false;
}

/* --- words -------------------------------------------------------------------------------------*/

void
failure_words(const struct rpc_end *end, char *ret_words, size_t bytes)
{
    (void)snprintf(ret_words, bytes, "rpc error: code = %s desc = %s", code_name(end->code),
                   end->words);
}

__attribute__((format(printf, 2, 3))) static const char *
words(remora_call *call, const char *format, ...)
{
    char *text = remora_call_alloc(call, RPC_WORDS_BYTES_MAX + 128);
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, RPC_WORDS_BYTES_MAX + 128, format, args);
    va_end(args);
    return text;
}

struct remora_failure
failure_of(remora_call *call, const struct rpc_end *end)
{
    struct remora_slice info;
    const bool is_kit = end->is_of_component && only_detail(call, end, "ErrorInfo", &info) &&
                        is_of_kit(info);
    return (struct remora_failure){
        .code = end->code,
        .effect = end->effect,
        .message = words(call, "%s error: code = %s desc = %s", is_kit ? "api" : "rpc",
                         code_name(end->code), end->words),
    };
}

struct remora_failure
failure_of_write(remora_call *call, const struct rpc_end *end)
{
    struct remora_failure failure = failure_of(call, end);
    struct remora_slice why;
    int64_t expected, affected;
    if (end->code == REMORA_INTERNAL && only_detail(call, end, "ErrorInfo", &why) &&
        info_number(why, "expected", &expected) && info_number(why, "affected", &affected)) {
        failure.message = words(call, "delete affected only %lld rows, expected %lld",
                                (long long)affected, (long long)expected);
        return failure;
    }
    if ((end->code != REMORA_FAILED_PRECONDITION && end->code != REMORA_INVALID_ARGUMENT) ||
        !is_conflict(call, end, &why))
        return failure;
    const bool is_mismatch = end->code == REMORA_FAILED_PRECONDITION;
    failure.code = is_mismatch ? REMORA_ABORTED : REMORA_INVALID_ARGUMENT;
    failure.reason = is_mismatch ? REMORA_REASON_ETAG_MISMATCH : REMORA_REASON_ETAG_INVALID;
    failure.message = words(
        call, "%s%.*s",
        is_mismatch ? "possible etag mismatch. error from state store: " : "invalid etag value: ",
        (int)(why.len < RPC_WORDS_BYTES_MAX ? why.len : RPC_WORDS_BYTES_MAX), why.data);
    return failure;
}
