/* SPDX-License-Identifier: Apache-2.0 */
/* What both sides of HTTP/2 do alike; see h2_common.h. */
#include "http/h2_common.h"

#include "base/clock.h"
#include "base/limits.h"

enum { FRAME_HEAD_BYTES = 9 };

void
h2_budget_refill(struct h2_budget *budget, uint32_t burst, uint32_t per_s)
{
    uint64_t now_ms = clock_now_ms();
    uint64_t more = (now_ms - budget->since_ms) * per_s / 1000;
    if (more == 0)
        return;
    budget->left = more > burst - budget->left ? burst : budget->left + (uint32_t)more;
    budget->since_ms = now_ms;
}

bool
h2_budget_take(struct h2_budget *budget, uint32_t burst, uint32_t per_s)
{
    h2_budget_refill(budget, burst, per_s);
    if (budget->left == 0)
        return false;
    budget->left--;
    return true;
}

bool
h2_make_frames(nghttp2_session *session, struct stream *to)
{
    while (stream_queued(to) < LIMIT_h2_flush_bytes) {
        const uint8_t *data;
        ssize_t len = nghttp2_session_mem_send(session, &data);
        if (len <= 0)
            return len == 0;
        if (!buf_append(&to->out, h2_slice(data, (size_t)len)))
            return false; /* a frame larger than any of ours */
    }
    return true;
}

int
h2_put_data(struct stream *to, const nghttp2_frame *frame, const uint8_t *head,
            struct slice payload, struct buf *owner)
{
    if (stream_queued(to) >= LIMIT_h2_flush_bytes)
        return NGHTTP2_ERR_WOULDBLOCK;
    bool is_put = frame->data.padlen == 0 &&
                  buf_append(&to->out, h2_slice(head, FRAME_HEAD_BYTES)) &&
                  (owner != NULL ? stream_give(to, owner) : buf_append(&to->out, payload));
    return is_put ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE; /* we pad nothing, and there is room */
}

ssize_t
h2_frame_length(nghttp2_session *session, uint8_t frame_type, int32_t id, int32_t conn_window,
                int32_t stream_window, uint32_t frame_bytes_max, void *arg)
{
    (void)session;
    (void)frame_type;
    (void)id;
    (void)arg;
    int32_t window = conn_window < stream_window ? conn_window : stream_window;
    uint32_t max = frame_bytes_max < LIMIT_h2_frame_bytes ? frame_bytes_max : LIMIT_h2_frame_bytes;
    return window < (int32_t)max ? window : (int32_t)max;
}
