/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies that are flat protobuf messages. What is accepted is well-formed JSON; what is refused
 * says why; and the same body is always read the same way. */
#include "surface/body_proto.h"

#include <assert.h>

#include "base/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct message {
    struct slice text, more;
    int32_t number;
};

static const struct body_proto_field fields[] = {
    { "resourceId", "resource_id", BODY_PROTO_STRING, offsetof(struct message, text) },
    { "lockOwner", "lock_owner", BODY_PROTO_STRING, offsetof(struct message, more) },
    { "expiryInSeconds", "expiry_in_seconds", BODY_PROTO_INT32, offsetof(struct message, number) },
};

static err_t
read_body(struct request *rq, struct slice body, struct message *message)
{
    *message = (struct message){ .text = SLICE(""), .more = SLICE("") };
    return body_proto_read(rq, body, fields, ARRAY_LEN(fields), message);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    struct message one, other;
    arena_init(&arena);
    struct request first = { .arena = &arena }, second = { .arena = &arena };
    struct slice body = slice_of((const char *)data, size);
    err_t err = read_body(&first, body, &one);
    err_t again = read_body(&second, body, &other);
    assert(again == err);
    assert(slice_eq(first.error.message, second.error.message));
    if (err == OK) {
        assert(json_is_valid(body));
        assert(slice_is_utf8(one.text) && slice_is_utf8(one.more));
        assert(slice_eq(one.text, other.text) && one.number == other.number);
    } else {
        assert(first.error.http == 400 && first.error.message.len > 0);
    }
    arena_fini(&arena);
    return 0;
}
