/* SPDX-License-Identifier: Apache-2.0 */
/* The Redis plugin's reply decoder: whatever arrives, in whatever pieces, is refused or understood
 * with every text inside the bytes given; and what we encode, we decode to the same. */
#include "plugins/redis/resp.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Returns the number of values below and including this one. */
static size_t
check_value(const struct resp_value *value, const char *data, size_t size, unsigned depth)
{
    size_t count = 1;
    assert(depth <= RESP_DEPTH_MAX);
    switch (value->type) {
    case RESP_STATUS:
    case RESP_ERROR:
    case RESP_STRING:
    case RESP_NUMBER:
        assert(value->text.data >= data && value->text.data + value->text.len <= data + size);
        break;
    case RESP_ARRAY:
    case RESP_MAP:
    case RESP_PUSH:
        for (size_t i = 0; i < value->count; i++)
            count += check_value(&value->items[i], data, size, depth + 1);
        break;
    case RESP_INTEGER:
    case RESP_BOOLEAN:
    case RESP_NIL:
        break;
    }
    return count;
}

/* The first reply in pieces of `step` bytes; its length, or 0. */
static size_t
scan_in_steps(const char *data, size_t size, size_t step, struct resp_scan *scan,
              enum resp_result *ret_result)
{
    *scan = (struct resp_scan){ 0 };
    for (size_t len = step < size ? step : size;; len = len + step < size ? len + step : size) {
        *ret_result = resp_scan(scan, data, len);
        if (*ret_result == RESP_COMPLETE)
            return scan->pos;
        if (*ret_result == RESP_BROKEN || len == size)
            return 0;
    }
}

static void
check_round_trip(const char *data, size_t size)
{
    struct resp_buf buf = { 0 };
    struct resp_scan scan = { 0 };
    struct resp_value values[4];
    size_t middle = size / 2;
    struct remora_slice args[3] = { { "SET", 3 },
                                    { data, middle },
                                    { data + middle, size - middle } };
    resp_put_command(&buf, args, 3);
    assert(resp_scan(&scan, buf.data, buf.len) == RESP_COMPLETE && scan.values == 4);
    const struct resp_value *back = resp_tree(buf.data, values);
    for (size_t i = 0; i < 3; i++)
        assert(
            back->items[i].text.len == args[i].len &&
            (args[i].len == 0 || memcmp(back->items[i].text.data, args[i].data, args[i].len) == 0));
    resp_buf_fini(&buf);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    enum resp_result at_once, in_steps;
    struct resp_scan scan, again;
    size_t pos = 0, len;
    check_round_trip(text, size);
    while ((len = scan_in_steps(text + pos, size - pos, size + 1, &scan, &at_once)) > 0) {
        assert(scan_in_steps(text + pos, size - pos, 3, &again, &in_steps) == len);
        struct resp_value *values = malloc(scan.values * sizeof *values);
        const struct resp_value *top = resp_tree(text + pos, values);
        assert(check_value(top, text + pos, len, 0) == scan.values);
        free(values);
        pos += len;
    }
    scan_in_steps(text + pos, size - pos, 1, &again, &in_steps);
    assert(at_once == in_steps);
    return 0;
}
