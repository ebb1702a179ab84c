/* SPDX-License-Identifier: Apache-2.0 */
/* A body of bulk publishing, and an application's answer to a batch, from one input. What is taken
 * is bounded and of the type it claims; what is refused says why. */
#include <assert.h>
#include <stdint.h>

#include "api/cloudevent.h"
#include "api/deliver_bulk.h"
#include "base/json.h"
#include "base/limits.h"
#include "surface/http_publish_json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_publish(struct slice body)
{
    static struct kernel kernel;
    struct arena arena;
    arena_init(&arena);
    kernel.app_id = SLICE("shop");
    struct request rq = { .arena = &arena, .kernel = &kernel };
    struct publish_bulk bulk = { .request = { .pubsub = SLICE("bus"), .topic = SLICE("t") } };
    err_t err = parse_bulk_entries(&rq, body, &bulk);
    if (err != OK) {
        assert(rq.error.http == 400 && rq.error.message.len > 0 && rq.error.reason.len > 0);
    } else {
        assert(json_is_valid(slice_trim(body)));
        assert(bulk.entry_count <= LIMIT_publish_entries_max);
    }
    for (size_t i = 0; err == OK && i < bulk.entry_count; i++) {
        const struct bulk_entry *entry = &bulk.entries[i];
        if (cloudevent_is_json(entry->content_type) || cloudevent_is_type(entry->content_type))
            assert(json_is_valid(entry->data));
        for (size_t k = 0; k < entry->metadata_count; k++)
            assert(slice_is_utf8(entry->metadata[k].value));
    }
    arena_fini(&arena);
}

static void
take(void *arg, struct slice entry_id, struct slice status)
{
    size_t *count = arg;
    assert(slice_is_utf8(entry_id) && slice_is_utf8(status) && status.len > 0);
    ++*count;
}

static void
check_answer(struct slice body)
{
    struct arena arena;
    size_t count = 0;
    arena_init(&arena);
    bool is_answer = bulk_statuses_read(&arena, body, take, &count);
    assert(is_answer || count == 0);
    arena_fini(&arena);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice body = slice_of((const char *)data, size);
    check_publish(body);
    check_answer(body);
    return 0;
}
