/* SPDX-License-Identifier: Apache-2.0 */
/* Envelopes: of whatever bytes one is made or completed, it can be read again, and says the same.
 */
#include <assert.h>
#include <stdint.h>

#include "api/cloudevent.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_written(struct arena *arena, const struct cloudevent *event, struct diag *diag)
{
    struct cloudevent again;
    struct slice text = cloudevent_write(event);
    err_t err = cloudevent_read(&again, arena, text, diag);
    assert(err == OK);
    struct slice twice = cloudevent_write(&again);
    assert(slice_eq(text, twice));
    (void)cloudevent_is_expired(&again, 1);
    (void)cloudevent_text(&again, SLICE("id"));
    (void)cloudevent_text(&again, SLICE("data_base64"));
}

/* A line is the content type, the rest the data. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    struct diag diag;
    struct cloudevent event;
    struct slice all = slice_of(data, size);
    ptrdiff_t line = slice_find_byte(all, '\n');
    struct slice type = line < 0 ? SLICE_EMPTY : slice_first(all, (size_t)line);
    struct slice body = line < 0 ? all : slice_from(all, (size_t)line + 1);
    arena_init(&arena);
    diag_init(&diag, &arena);
    const struct cloudevent_origin origin = {
        .pubsub = SLICE("bus"), .topic = type, .source = type, .traceparent = type, .now_unix_ms = 1
    };
    if (cloudevent_read(&event, &arena, body, &diag) == OK) {
        cloudevent_complete(&event, &origin);
        check_written(&arena, &event, &diag);
    }
    cloudevent_make(&event, &arena, &origin, type, body);
    if (cloudevent_expire_at(&event, 1000))
        assert(cloudevent_is_expired(&event, 2000));
    check_written(&arena, &event, &diag);
    cloudevent_wrap(&event, &arena, SLICE("bus"), type, body);
    check_written(&arena, &event, &diag);
    arena_fini(&arena);
    return 0;
}
