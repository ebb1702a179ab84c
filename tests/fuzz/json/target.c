/* SPDX-License-Identifier: Apache-2.0 */
/* JSON of any bytes through the cursor: skipping, walking and decoding must agree, and a string
 * that was decoded must survive being written and read again. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "base/json.h"
#include "base/limits.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void walk(struct json *json, struct arena *arena);

/* Written and read again, a decoded text is the same. */
static void
check_text(struct arena *arena, struct slice text, bool escape_html)
{
    struct buf out;
    struct json again;
    struct slice decoded;
    assert(slice_is_utf8(text));
    buf_init(&out, text.len * 6 + 16);
    bool ok = json_write_string(&out, text, escape_html);
    assert(ok);
    json_init(&again, buf_slice(&out));
    ok = json_string(&again, arena, &decoded) && json_end(&again);
    assert(ok);
    assert(slice_eq(decoded, text));
    buf_fini(&out);
}

static void
walk_object(struct json *json, struct arena *arena)
{
    struct slice name;
    json_enter(json);
    while (json_object_next(json, arena, &name)) {
        check_text(arena, name, true);
        walk(json, arena);
    }
}

/* Recursion is bounded by json_depth_max. */
static void
walk(struct json *json, struct arena *arena)
{
    struct slice text;
    switch (json_peek(json)) {
    case JSON_OBJECT:
        walk_object(json, arena);
        break;
    case JSON_ARRAY:
        json_enter(json);
        while (json_array_next(json))
            walk(json, arena);
        break;
    case JSON_STRING:
        if (json_string(json, arena, &text))
            check_text(arena, text, false);
        break;
    case JSON_NULL:
    case JSON_BOOL:
    case JSON_NUMBER:
        if (json_scalar(json, &text))
            assert(text.len > 0);
        break;
    case JSON_NONE:
        break;
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice text = slice_of(data, size), raw;
    struct arena arena;
    struct json json, again;
    arena_init(&arena);
    bool valid = json_is_valid(text);
    json_init(&json, text);
    walk(&json, &arena);
    bool walked = json_end(&json);
    assert(walked == valid);
    assert(walked || json.error[0] != '\0');
    json_init(&again, text);
    if (json_skip(&again, &raw))
        assert(json_is_valid(raw));
    else if (!walked) /* both stumble over the same thing */
        assert(strcmp(json.error, again.error) == 0);
    arena_fini(&arena);
    return 0;
}
