/* SPDX-License-Identifier: Apache-2.0 */
/* From HTTP/1.1 to HTTP/2 on the same socket: who may, and the hand-over. */
#include "http/h1_conn.h"

bool
h1_is_preface(struct slice bytes)
{
    return slice_has_prefix(bytes, SLICE("PRI * HTTP/2.0\r\n\r\n"));
}

/* Whether a comma-separated header of the head names the token; `ret_lines` counts its lines. */
static bool
lists(const struct h1_head *head, struct slice name, struct slice token, size_t *ret_lines)
{
    bool found = false;
    *ret_lines = 0;
    for (size_t i = 0; i < head->header_count; i++) {
        struct slice rest = head->headers[i].value, part;
        if (!slice_eq_nocase(head->headers[i].name, name))
            continue;
        ++*ret_lines;
        while (slice_split(&rest, ',', &part))
            found |= slice_eq_nocase(slice_trim(part), token);
    }
    return found;
}

bool
h1_wants_h2c(const struct h1_head *head)
{
    size_t lines;
    if (head->version_minor == 0 || head->is_chunked || head->content_length != 0 ||
        !lists(head, SLICE("upgrade"), SLICE("h2c"), &lines) ||
        !lists(head, SLICE("connection"), SLICE("upgrade"), &lines) ||
        !lists(head, SLICE("connection"), SLICE("http2-settings"), &lines))
        return false;
    (void)lists(head, SLICE("http2-settings"), SLICE_EMPTY, &lines);
    if (lines != 1)
        return false;
    for (size_t i = 0; i < head->header_count; i++)
        if (slice_eq_nocase(head->headers[i].name, SLICE("http2-settings")))
            return h2_settings_are_valid(head->headers[i].value);
    return false;
}

void
h1_hand_over(struct h1_conn *conn, struct slice bytes, const struct h1_head *head)
{
    struct h1_server *server = conn->server;
    bool fits = head == NULL ||
                stream_write(&conn->stream, SLICE("HTTP/1.1 101 Switching Protocols\r\n"
                                                  "Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n"));
    /* Refused: settings that nobody may send. The connection closes, which is all it deserves. */
    (void)(fits && h2_server_adopt(server->h2, &conn->stream, server->is_local, bytes, head));
}
