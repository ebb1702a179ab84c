/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Payloads on their way out. Those that may send stand in link.ready and take turns, a frame each.
 * One without credit of its own leaves the queue until credit comes; without credit of the
 * connection all wait in order.
 */
#include "sdk.h"

#include <assert.h>

static uint64_t
pending(const struct outbound *out)
{
    return out->left + out->stream.len;
}

static bool
is_finished(const struct outbound *out)
{
    return out->head.kind == 0 && pending(out) == 0 && (!out->is_stream || out->is_ended);
}

/* Queues it if a frame could be sent now. */
static void
update_ready(struct outbound *out)
{
    const bool can_send = out->head.kind != 0 || is_finished(out) ||
                          (pending(out) > 0 && out->credit > 0);
    if (out->is_active && can_send && !list_is_linked(&out->node))
        list_append(&sdk.link.ready, &out->node);
}

void
outbound_start(struct outbound *out)
{
    list_init(&out->node);
    out->is_active = true;
    out->credit = sdk.link.call_credit;
    out->left = 0;
    for (size_t i = 0; i < out->part_count; i++)
        out->left += out->parts[i].len;
    if (out->is_stream)
        buf_init(&out->stream, sdk.link.call_credit);
    update_ready(out);
}

bool
outbound_stream(struct outbound *out, struct slice bytes)
{
    assert(out->is_active && out->is_stream && !out->is_ended);
    if (!buf_append(&out->stream, bytes))
        return false;
    update_ready(out);
    return true;
}

void
outbound_end(struct outbound *out)
{
    out->is_ended = true;
    update_ready(out);
}

void
outbound_credit(struct outbound *out, uint64_t bytes)
{
    if (!out->is_active)
        return;
    if (bytes > sdk.link.call_credit - out->credit) {
        sdk_end(1, "the sidecar gave a call credit that was not used");
        return;
    }
    out->credit += bytes;
    update_ready(out);
}

void
outbound_stop(struct outbound *out)
{
    if (!out->is_active)
        return;
    list_remove(&out->node);
    out->is_active = false;
    if (out->is_stream)
        buf_fini(&out->stream);
}

static uint64_t
least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static void
append_frame(struct outbound *out, const struct slice *parts, size_t part_count)
{
    static const struct slice nothing = { .data = "", .len = 0 };
    const struct frame data = { .kind = FRAME_DATA, .call = out->call };
    link_append(out->head.kind != 0 ? &out->head : &data, part_count == 0 ? &nothing : parts,
                part_count == 0 ? 1 : part_count);
    out->head.kind = 0;
}

/* The first parts up to `bytes`; the last one may be cut, and is shortened afterwards. */
static void
send_parts(struct outbound *out, size_t bytes)
{
    size_t count = 0, taken = 0;
    while (taken < bytes)
        taken += out->parts[count++].len;
    const size_t uncut = count > 0 ? out->parts[count - 1].len : 0;
    const size_t beyond = taken - bytes;
    if (count > 0)
        out->parts[count - 1].len -= beyond;
    append_frame(out, out->parts, count);
    if (beyond > 0) {
        count--;
        out->parts[count] = slice_from(slice_of(out->parts[count].data, uncut), uncut - beyond);
    }
    out->parts += count;
    out->part_count -= count;
    out->left -= bytes;
}

static void
send_stream(struct outbound *out, size_t bytes)
{
    const struct slice part = slice_first(buf_slice(&out->stream), bytes);
    append_frame(out, &part, 1);
    buf_consume(&out->stream, bytes);
    if (out->on_sent != NULL)
        out->on_sent(out, bytes);
}

/* One frame of the first in the queue; false if the connection's credit is used up. */
static bool
send_next(void)
{
    struct link *link = &sdk.link;
    struct outbound *out = container_of(link->ready.next, struct outbound, node);
    const bool is_head = out->head.kind != 0;
    const bool is_fixed = is_head || out->left > 0; /* a head takes fixed content along only */
    const uint64_t wanted = least(is_fixed ? out->left : out->stream.len,
                                  is_head ? FRAME_PAYLOAD_MAX : SDK_CHUNK_BYTES);
    const uint64_t bytes = least(wanted, least(out->credit, link->credit));
    if (wanted > 0 && link->credit == 0)
        return false;
    list_remove(&out->node);
    link->credit -= bytes;
    out->credit -= bytes;
    if (is_fixed)
        send_parts(out, (size_t)bytes);
    else if (bytes > 0)
        send_stream(out, (size_t)bytes);
    if (!is_finished(out)) {
        update_ready(out);
        return true;
    }
    if (out->is_stream)
        link_append(&(struct frame){ .kind = FRAME_END, .call = out->call }, NULL, 0);
    outbound_stop(out);
    out->on_done(out); /* `out` may be gone */
    return true;
}

void
outbound_pump(void)
{
    struct link *link = &sdk.link;
    while (!sdk.is_ending && !list_is_empty(&link->ready) &&
           link->out.len < SDK_OUTPUT_PAUSE_BYTES && send_next())
        continue;
}
