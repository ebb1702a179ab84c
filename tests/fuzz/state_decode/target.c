/* SPDX-License-Identifier: Apache-2.0 */
/* State operations from the wire: the first byte picks the decoder, the second where the body
 * starts. */
#include "sdk-plugin/c/src/sdk.h"

#include <assert.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
decode(struct remora_call *call, unsigned which)
{
    size_t count = 0;
    uint32_t parallelism;
    const struct remora_state_get *get;
    struct remora_state_get *gets;
    struct remora_state_set *sets = NULL;
    struct remora_state_delete *deletes;
    struct state_transact t;
    struct state_query query;
    struct remora_slice prefix;
    struct state_like like;
    bool is_sound = false;
    switch (which % 8) {
    case 0:
        is_sound = state_decode_get(call, &get);
        break;
    case 1:
        is_sound = state_decode_gets(call, &gets, &count, &parallelism);
        break;
    case 2:
        is_sound = state_decode_sets(call, &sets, &count);
        break;
    case 3:
        is_sound = state_decode_deletes(call, &deletes, &count);
        break;
    case 4:
        is_sound = state_decode_transact(call, &t);
        break;
    case 5:
        is_sound = state_decode_query(call, &query);
        break;
    case 6:
        is_sound = state_decode_prefix(call, &prefix);
        break;
    default:
        is_sound = state_decode_like(call, &like);
        break;
    }
    size_t bytes = 0;
    for (size_t i = 0; is_sound && sets != NULL && i < count; i++)
        bytes += sets[i].value.len;
    assert(!is_sound || sets == NULL || bytes == call->body.len);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    const struct slice payload = slice_of((const char *)data + 2, size - 2);
    struct remora_call *call = calloc(1, sizeof *call);
    if (call == NULL)
        abort();
    arena_init(&call->arena);
    call->message = slice_first(payload, data[1]);
    call->body = slice_from(payload, data[1]);
    decode(call, data[0]);
    arena_fini(&call->arena);
    free(call);
    return 0;
}
