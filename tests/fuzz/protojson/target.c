/* SPDX-License-Identifier: Apache-2.0 */
/* Protobuf JSON. What is read is well-formed, and is written as what is read again and written so;
 * it survives the wire. What is refused says why. */
#include "api/protojson.h"

#include <assert.h>

#include "base/limits.h"
#include "dapr/proto/runtime/v1/ai.pb-c.h"
#include "google/protobuf/struct.pb-c.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct slice
written(struct arena *arena, const void *message)
{
    struct buf out;
    buf_init(&out, LIMIT_conversation_json_bytes_max);
    bool is_good = protojson_write(&out, arena, message);
    assert(is_good);
    struct slice text = arena_dup(arena, buf_slice(&out));
    buf_fini(&out);
    return text;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const ProtobufCMessageDescriptor *const types[] = {
        &dapr__proto__runtime__v1__conversation_request__descriptor,
        &dapr__proto__runtime__v1__conversation_request_alpha2__descriptor,
        &dapr__proto__runtime__v1__conversation_response_alpha2__descriptor,
        &google__protobuf__value__descriptor,
    };
    struct arena arena;
    struct slice words = SLICE_EMPTY;
    if (size == 0)
        return 0;
    const ProtobufCMessageDescriptor *type = types[data[0] % ARRAY_LEN(types)];
    struct slice text = slice_of((const char *)data + 1, size - 1);
    arena_init(&arena);
    const void *message = protojson_read(&arena, type, text, &words);
    if (message == NULL) {
        assert(words.len > 0);
    } else {
        assert(words.len == 0 && json_is_valid(text));
        struct slice one = written(&arena, message);
        assert(json_is_valid(one));
        const void *again = protojson_read(&arena, type, one, &words);
        assert(again != NULL || slice_find(words, SLICE("memory")) >= 0);
        assert(again == NULL || slice_eq(written(&arena, again), one));
        const void *wired = pb_unpack(&arena, type, pb_pack(&arena, message), LIMIT_grpc_depth_max,
                                      SIZE_MAX / 2);
        assert(wired != NULL && slice_eq(written(&arena, wired), one));
    }
    arena_fini(&arena);
    return 0;
}
