/* SPDX-License-Identifier: Apache-2.0 */
/* gRPC over HTTP/2 (PROTOCOL-HTTP2.md of the gRPC project); see grpc.h. */
#include "http/grpc.h"

#include <assert.h>

#include "base/arena.h"
#include "base/base64.h"
#include "base/limits.h"
#include "http/gzip.h"

enum {
    PREFIX_BYTES = 5,
    TIMEOUT_DIGITS_MAX = 8,
    FIRST_BYTES = 4096,
    STATUS_HEADERS_MAX = 4,
    OWN_HEADERS_MAX = 2, /* content-type, grpc-encoding */
};

#define CONTENT_TYPE ((struct http_header){ SLICE("content-type"), SLICE("application/grpc") })

/* --- the head ----------------------------------------------------------------------------------*/

bool
grpc_timeout_parse(struct slice text, uint64_t *ret_ms)
{
    uint64_t n;
    if (text.len < 2 || text.len > TIMEOUT_DIGITS_MAX + 1 ||
        !slice_to_u64(slice_first(text, text.len - 1), &n))
        return false;
    switch (text.data[text.len - 1]) {
    case 'H':
        *ret_ms = n * 3600000;
        return true;
    case 'M':
        *ret_ms = n * 60000;
        return true;
    case 'S':
        *ret_ms = n * 1000;
        return true;
    case 'm':
        *ret_ms = n;
        return true;
    case 'u':
        *ret_ms = (n + 999) / 1000;
        return true;
    case 'n':
        *ret_ms = (n + 999999) / 1000000;
        return true;
    default:
        return false;
    }
}

static bool
is_grpc_type(struct slice type)
{
    const struct slice prefix = SLICE("application/grpc");
    return slice_has_prefix_nocase(type, prefix) &&
           (type.len == prefix.len || type.data[prefix.len] == '+' || type.data[prefix.len] == ';');
}

/* "/package.Service/Method" */
static bool
split_path(struct grpc_call *call)
{
    struct slice path = call->x->path;
    size_t slash = path.len;
    while (slash > 0 && path.data[slash - 1] != '/')
        slash--;
    if (slash < 3 || slash == path.len || path.data[0] != '/' || call->x->query.len > 0)
        return false;
    call->service = slice_of(path.data + 1, slash - 2);
    call->method = slice_from(path, slash);
    return true;
}

static bool
refuse(struct grpc_call *call, enum grpc_code code, struct slice message)
{
    grpc_end(call, code, message, SLICE_EMPTY);
    return false;
}

/* Who sends gzip can read it; a list that leaves it out is believed. */
static bool
takes_gzip(const struct grpc_call *call)
{
    struct slice rest = http_header_get(call->x, SLICE("grpc-accept-encoding")), part;
    if (rest.data == NULL)
        return true;
    while (slice_split(&rest, ',', &part))
        if (slice_eq(slice_trim(part), SLICE("gzip")))
            return true;
    return false;
}

static bool
read_encoding(struct grpc_call *call)
{
    struct slice encoding = http_header_get(call->x, SLICE("grpc-encoding"));
    call->is_gzip = encoding.data != NULL && slice_eq(encoding, SLICE("gzip"));
    call->answers_gzip = call->is_gzip && takes_gzip(call);
    if (encoding.data == NULL || call->is_gzip || slice_eq(encoding, SLICE("identity")))
        return true;
    call->metadata[call->metadata_count++] = (struct http_header){ SLICE("grpc-accept-encoding"),
                                                                   SLICE("gzip") };
    return refuse(call, GRPC_UNIMPLEMENTED,
                  arena_printf(task_arena(call->x->task),
                               "grpc: Decompressor is not installed for grpc-encoding \"" SLICE_FMT
                               "\"",
                               SLICE_ARG(encoding)));
}

bool
grpc_begin(struct http_exchange *x, size_t message_bytes_max, struct grpc_call *ret_call)
{
    struct grpc_call *call = ret_call;
    *call = (struct grpc_call){ .x = x,
                                .timeout_ms = UINT64_MAX,
                                .message_bytes_max = message_bytes_max,
                                .rest = SLICE_EMPTY };
    struct slice timeout = http_header_get(x, SLICE("grpc-timeout"));
    struct slice type = http_header_get(x, SLICE("content-type"));
    int wrong = x->version_major != 2                      ? 505
                : !slice_eq(x->method, SLICE("POST"))      ? 405
                : type.data == NULL || !is_grpc_type(type) ? 415
                                                           : 0;
    if (wrong != 0) {
        (void)http_reply(x, wrong, NULL, 0, SLICE_EMPTY); /* no gRPC client asks like this */
        return false;
    }
    if (!split_path(call))
        return refuse(call, GRPC_UNIMPLEMENTED,
                      arena_printf(task_arena(x->task), "malformed method name: \"" SLICE_FMT "\"",
                                   SLICE_ARG(x->path)));
    if (timeout.data != NULL && !grpc_timeout_parse(timeout, &call->timeout_ms))
        return refuse(call, GRPC_INTERNAL, SLICE("malformed grpc-timeout"));
    return read_encoding(call);
}

struct slice
grpc_metadata(const struct grpc_call *call, struct slice name)
{
    return http_header_get(call->x, name);
}

/* --- reading -----------------------------------------------------------------------------------*/

static bool
fail_read(struct grpc_call *call, enum grpc_code code, struct slice message)
{
    call->code = code;
    call->message = message;
    return false;
}

/* More input into `rest`; at the end of the body that stays empty. */
static bool
read_piece(struct grpc_call *call)
{
    err_t err = http_body_read(call->x, &call->rest); /* suspends */
    if (err != OK) {
        call->rest = SLICE_EMPTY;
        return fail_read(call, err == ERR_DEADLINE ? GRPC_DEADLINE_EXCEEDED : GRPC_CANCELLED,
                         SLICE("the request could not be read"));
    }
    call->has_ended = call->rest.len == 0;
    return true;
}

/* Copies `len` bytes, which may come in pieces. */
static bool
read_across(struct grpc_call *call, size_t len, char **data, struct arena *arena)
{
    size_t have = 0, capacity = arena == NULL ? len : 0;
    while (have < len) {
        if (call->rest.len == 0 && !read_piece(call))
            return false;
        if (call->has_ended)
            return fail_read(call, GRPC_INTERNAL, SLICE("the request ends inside a message"));
        struct slice part = slice_first(call->rest, len - have);
        if (have + part.len > capacity) { /* as it comes, not as it was announced */
            size_t more = capacity < FIRST_BYTES ? FIRST_BYTES : capacity * 2;
            while (more < have + part.len)
                more *= 2;
            more = more < len ? more : len;
            *data = arena_grow(arena, *data, capacity, more);
            capacity = more;
        }
        assert(*data != NULL); /* there is room, so there is memory */
        memcpy(*data + have, part.data, part.len);
        have += part.len;
        call->rest = slice_from(call->rest, part.len);
    }
    return true;
}

static bool
read_prefix(struct grpc_call *call, unsigned char *ret_prefix, bool *ret_has)
{
    *ret_has = false;
    while (call->rest.len == 0 && !call->has_ended)
        if (!read_piece(call))
            return false;
    if (call->has_ended)
        return true;
    *ret_has = true;
    char *to = (char *)ret_prefix;
    return read_across(call, PREFIX_BYTES, &to, NULL);
}

/* Clients on Node read no answer before their message is out, however small the window that is left
 * to them. Whoever falls silent gets it at once. */
static void
drop_message(struct grpc_call *call)
{
    struct task *t = call->x->task;
    size_t dropped = call->rest.len;
    while (!call->has_ended && dropped < LIMIT_grpc_drop_bytes) {
        uint64_t outer = task_deadline_push(t, LIMIT_grpc_drop_silence_ms);
        err_t err = http_body_read(call->x, &call->rest); /* suspends */
        task_deadline_pop(t, outer);
        if (err != OK)
            break;
        call->has_ended = call->rest.len == 0;
        dropped += call->rest.len;
    }
    call->rest = SLICE_EMPTY;
}

static bool
check_prefix(struct grpc_call *call, const unsigned char *prefix, size_t len)
{
    struct arena *arena = task_arena(call->x->task);
    if (prefix[0] > 1)
        return fail_read(
            call, GRPC_INTERNAL,
            arena_printf(arena, "grpc: received unexpected payload format %u", prefix[0]));
    if (prefix[0] == 1 && !call->is_gzip)
        return fail_read(call, GRPC_INTERNAL,
                         SLICE("grpc: compressed flag set with identity or empty encoding"));
    if (len <= call->message_bytes_max)
        return true;
    drop_message(call);
    return fail_read(call, GRPC_RESOURCE_EXHAUSTED,
                     arena_printf(arena, "grpc: received message larger than max (%zu vs. %zu)",
                                  len, call->message_bytes_max));
}

static bool
decompress(struct grpc_call *call, struct slice *message)
{
    err_t err = gzip_decode(task_current(), *message, call->message_bytes_max, message);
    if (err == ERR_TOO_LARGE)
        return fail_read(call, GRPC_RESOURCE_EXHAUSTED,
                         arena_printf(task_arena(call->x->task),
                                      "grpc: received message after decompression larger than max "
                                      "%zu",
                                      call->message_bytes_max));
    if (err == ERR_OVERLOADED)
        return fail_read(call, GRPC_RESOURCE_EXHAUSTED,
                         SLICE("too many compressed messages at a time"));
    return err == OK ||
           fail_read(call, GRPC_INTERNAL, SLICE("grpc: failed to decompress the received message"));
}

err_t
grpc_await(struct grpc_call *call)
{
    err_t err = OK;
    if (call->rest.len > 0 || call->has_ended)
        return OK;
    err = http_body_read(call->x, &call->rest); /* suspends */
    if (err != OK)
        call->rest = SLICE_EMPTY;
    call->has_ended = err == OK && call->rest.len == 0;
    return err;
}

bool
grpc_read(struct grpc_call *call, struct slice *ret_message, bool *ret_has)
{
    unsigned char prefix[PREFIX_BYTES];
    if (!read_prefix(call, prefix, ret_has))
        return false;
    if (!*ret_has)
        return true;
    size_t len = (size_t)prefix[1] << 24 | (size_t)prefix[2] << 16 | (size_t)prefix[3] << 8 |
                 prefix[4];
    if (!check_prefix(call, prefix, len))
        return false;
    call->received_bytes += len;
    if (len <= call->rest.len) { /* stays where it is */
        *ret_message = slice_first(call->rest, len);
        call->rest = slice_from(call->rest, len);
    } else {
        char *data = NULL;
        if (!read_across(call, len, &data, task_arena(task_current())))
            return false;
        *ret_message = slice_of(data, len);
    }
    return prefix[0] == 0 || decompress(call, ret_message);
}

/* --- answering ---------------------------------------------------------------------------------*/

/* The head's headers, with room for a status behind them. */
static struct http_header *
head_headers(struct grpc_call *call, size_t *ret_count)
{
    size_t most = OWN_HEADERS_MAX + call->metadata_count + call->more_metadata_count +
                  STATUS_HEADERS_MAX;
    struct http_header *headers = arena_alloc(task_arena(call->x->task), sizeof *headers * most);
    size_t count = 0;
    headers[count++] = CONTENT_TYPE;
    if (call->answers_gzip)
        headers[count++] = (struct http_header){ SLICE("grpc-encoding"), SLICE("gzip") };
    for (size_t i = 0; i < call->metadata_count; i++)
        headers[count++] = call->metadata[i];
    for (size_t i = 0; i < call->more_metadata_count; i++)
        headers[count++] = call->more_metadata[i];
    *ret_count = count;
    return headers;
}

err_t
grpc_start(struct grpc_call *call)
{
    size_t count;
    const struct http_header *headers = head_headers(call, &count);
    call->has_started = true;
    return http_reply_start(call->x, 200, headers, count, HTTP_LENGTH_UNKNOWN);
}

static err_t
write_prefix(struct grpc_call *call, bool is_compressed, uint64_t bytes)
{
    const char prefix[PREFIX_BYTES] = { (char)is_compressed, (char)(bytes >> 24),
                                        (char)(bytes >> 16), (char)(bytes >> 8), (char)bytes };
    err_t err = call->has_started ? OK : grpc_start(call);
    call->sent_bytes += bytes;
    return err == OK ? http_reply_write(call->x, slice_of(prefix, sizeof prefix)) : err;
}

/* As it is, if too many messages wait for the compressor. */
static err_t
send_compressed(struct grpc_call *call, struct slice message)
{
    struct slice packed;
    bool is_packed = gzip_encode(task_current(), message, &packed) == OK;
    err_t err = write_prefix(call, is_packed, is_packed ? packed.len : message.len);
    return err == OK ? http_reply_write(call->x, is_packed ? packed : message) : err;
}

/* Larger than messages may be: the call ends here. */
static err_t
refuse_to_send(struct grpc_call *call, uint64_t bytes)
{
    grpc_end(call, GRPC_RESOURCE_EXHAUSTED,
             arena_printf(task_arena(call->x->task),
                          "grpc: trying to send message larger than max (%lu vs. %zu)", bytes,
                          call->message_bytes_max),
             SLICE_EMPTY);
    return ERR_TOO_LARGE;
}

err_t
grpc_message_begin(struct grpc_call *call, uint64_t bytes)
{
    if (bytes > UINT32_MAX || bytes > call->message_bytes_max)
        return refuse_to_send(call, bytes);
    call->left = bytes;
    if (call->answers_gzip && bytes > 0) {
        call->held = arena_alloc(task_arena(call->x->task), (size_t)bytes);
        call->held_bytes = 0;
        return OK;
    }
    return write_prefix(call, false, bytes);
}

err_t
grpc_message_write(struct grpc_call *call, struct slice piece)
{
    if (piece.len > call->left)
        return ERR_INTERNAL; /* more than announced: the caller's mistake, and the answer is cut */
    call->left -= piece.len;
    if (call->held == NULL)
        return http_reply_write(call->x, piece);
    if (piece.len > 0)
        memcpy(call->held + call->held_bytes, piece.data, piece.len);
    call->held_bytes += piece.len;
    return call->left > 0 ? OK
                          : send_compressed(call, slice_of(TAKE(call->held), call->held_bytes));
}

err_t
grpc_send(struct grpc_call *call, struct slice message)
{
    if (call->answers_gzip && message.len > 0 && message.len <= call->message_bytes_max)
        return send_compressed(call, message);
    err_t err = grpc_message_begin(call, message.len);
    return err == OK ? grpc_message_write(call, message) : err;
}

struct slice
grpc_message_encode(struct arena *arena, struct slice text)
{
    static const char digits[] = "0123456789ABCDEF";
    char *out = arena_alloc(arena, text.len * 3);
    size_t len = 0;
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.data[i];
        bool is_edge = i == 0 || i + 1 == text.len; /* where a header's value has no blank */
        if (c >= ' ' && c <= '~' && c != '%' && !(c == ' ' && is_edge)) {
            out[len++] = (char)c;
            continue;
        }
        out[len++] = '%';
        out[len++] = digits[c >> 4];
        out[len++] = digits[c & 15];
    }
    return slice_of(out, len);
}

/* Base64 without padding, as -bin metadata is sent. */
static struct slice
binary_value(struct arena *arena, struct slice bytes)
{
    size_t len = base64_encoded_len(bytes.len);
    char *text = arena_alloc(arena, len);
    base64_encode(bytes, text);
    while (len > 0 && text[len - 1] == '=')
        len--;
    return slice_of(text, len);
}

/* grpc-status and what belongs to it. */
static size_t
status_headers(struct grpc_call *call, enum grpc_code code, struct slice message,
               struct slice details, struct http_header headers[STATUS_HEADERS_MAX])
{
    struct arena *arena = task_arena(call->x->task);
    size_t count = 0;
    headers[count++] = (struct http_header){ SLICE("grpc-status"),
                                             code == GRPC_OK ? SLICE("0")
                                                             : arena_printf(arena, "%u", code) };
    if (message.len > 0)
        headers[count++] = (struct http_header){ SLICE("grpc-message"),
                                                 grpc_message_encode(arena, message) };
    if (details.len > 0)
        headers[count++] = (struct http_header){ SLICE("grpc-status-details-bin"),
                                                 binary_value(arena, details) };
    return count;
}

void
grpc_end(struct grpc_call *call, enum grpc_code code, struct slice message, struct slice details)
{
    size_t count;
    if (call->left > 0)
        return; /* inside a message: not ended, so it is cut */
    call->ended_code = code;
    if (call->has_started) {
        struct http_header trailers[STATUS_HEADERS_MAX];
        count = status_headers(call, code, message, details, trailers);
        (void)http_reply_end_with(call->x, trailers, count); /* nobody is left to be told */
        return;
    }
    call->answers_gzip = false; /* nothing will come that could be compressed */
    struct http_header *headers = head_headers(call, &count);
    count += status_headers(call, code, message, details, headers + count);
    call->has_started = true;
    /* Length 0: the head ends the stream, which is how a status without messages looks. */
    if (http_reply_start(call->x, 200, headers, count, 0) == OK)
        (void)http_reply_end(call->x);
}
