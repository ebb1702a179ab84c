/* SPDX-License-Identifier: Apache-2.0 */
/* gRPC from the asking side (PROTOCOL-HTTP2.md of the gRPC project); see grpc_client.h. */
#include "http/grpc_client.h"

#include "base/arena.h"
#include "base/base64.h"
#include "base/version.h"
#include "http/chars.h"
#include "http/gzip.h"

enum {
    PREFIX_BYTES = 5,
    OWN_HEADERS = 5,
    TIMEOUT_DIGITS_MAX = 99999999,
    CLOCKS_APART_MS = 5,
};

/* --- status ------------------------------------------------------------------------------------*/

static struct slice
find(const struct http_header *headers, size_t count, struct slice name)
{
    for (size_t i = 0; i < count; i++)
        if (slice_eq_nocase(headers[i].name, name))
            return headers[i].value;
    return (struct slice){ 0 };
}

bool
grpc_status_of(const struct http_header *headers, size_t count, enum grpc_code *ret_code)
{
    struct slice text = find(headers, count, SLICE("grpc-status"));
    uint64_t code;
    if (text.data == NULL)
        return false;
    bool is_number = slice_to_u64(text, &code) && code <= INT32_MAX;
    *ret_code = is_number ? (enum grpc_code)code : GRPC_UNKNOWN;
    return true;
}

/* HTTP/2 error codes, as PROTOCOL-HTTP2.md has them. */
static enum grpc_code
code_of_reset(uint32_t reset_code)
{
    enum { REFUSED = 7, CANCEL = 8, CALM = 11, INADEQUATE = 12 };
    switch (reset_code) {
    case REFUSED:
        return GRPC_UNAVAILABLE;
    case CANCEL:
        return GRPC_CANCELLED;
    case CALM:
        return GRPC_RESOURCE_EXHAUSTED;
    case INADEQUATE:
        return GRPC_PERMISSION_DENIED;
    default:
        return GRPC_INTERNAL;
    }
}

enum grpc_code
grpc_failure(struct task *t, const struct client_call *call, err_t err, struct slice *ret_text)
{
    const struct diag *diag = task_diag(t);
    enum grpc_code code = err_info(err)->grpc;
    *ret_text = err == ERR_CANCELLED ? SLICE("context canceled")
                : diag->err == err   ? diag->message
                                     : slice_str(err_info(err)->code);
    if (err == ERR_PEER_LOST && call->was_reset)
        code = code_of_reset(call->reset_code);
    /* The peer has been told the deadline, and may be the first to act on it. */
    if (err == ERR_DEADLINE || (code == GRPC_CANCELLED && err == ERR_PEER_LOST &&
                                task_time_left_ms(t) <= CLOCKS_APART_MS)) {
        *ret_text = SLICE("context deadline exceeded");
        code = GRPC_DEADLINE_EXCEEDED;
    }
    return code;
}

enum grpc_code
grpc_code_of_http(int status)
{
    switch (status) {
    case 400:
        return GRPC_INTERNAL;
    case 401:
        return GRPC_UNAUTHENTICATED;
    case 403:
        return GRPC_PERMISSION_DENIED;
    case 404:
        return GRPC_UNIMPLEMENTED;
    case 429:
    case 502:
    case 503:
    case 504:
        return GRPC_UNAVAILABLE;
    default:
        return GRPC_UNKNOWN;
    }
}

bool
grpc_is_reserved(struct slice name)
{
    static const char *const names[] = {
        "content-type",           "user-agent",    "te",
        "grpc-timeout",           "grpc-encoding", "grpc-accept-encoding",
        "grpc-message-type",      "grpc-status",   "grpc-message",
        "grpc-status-details-bin"
    };
    return slice_is_one_of_nocase(name, names, ARRAY_LEN(names));
}

struct slice
grpc_message_decode(struct arena *arena, struct slice text)
{
    char *out = arena_alloc(arena, text.len + 1);
    size_t len = 0;
    for (size_t i = 0; i < text.len; i++) {
        int high = -1, low = -1;
        if (text.data[i] == '%' && text.len - i > 2) {
            high = char_hex(text.data[i + 1]);
            low = char_hex(text.data[i + 2]);
        }
        if (high < 0 || low < 0) {
            out[len++] = text.data[i];
            continue;
        }
        out[len++] = (char)(high << 4 | low);
        i += 2;
    }
    return slice_of(out, len);
}

/* Base64 with or without padding; empty if it is neither. */
static struct slice
decode_binary(struct arena *arena, struct slice text)
{
    char *padded = arena_alloc(arena, text.len + 4), *bytes = arena_alloc(arena, text.len + 4);
    size_t len = text.len, bytes_len;
    if (len > 0)
        memcpy(padded, text.data, len);
    while (len % 4 != 0)
        padded[len++] = '=';
    return base64_decode(slice_of(padded, len), bytes, &bytes_len) ? slice_of(bytes, bytes_len)
                                                                   : SLICE_EMPTY;
}

static void
take_status(struct arena *arena, const struct http_header *headers, size_t count,
            struct grpc_answer *answer)
{
    struct slice text = find(headers, count, SLICE("grpc-message"));
    struct slice details = find(headers, count, SLICE("grpc-status-details-bin"));
    answer->is_peers = true;
    if (text.len > 0)
        answer->text = grpc_message_decode(arena, text);
    if (details.len > 0)
        answer->details = decode_binary(arena, details);
}

/* --- the question ------------------------------------------------------------------------------*/

struct slice
grpc_timeout_text(struct arena *arena, uint64_t ms)
{
    if (ms <= TIMEOUT_DIGITS_MAX)
        return arena_printf(arena, "%llum", (unsigned long long)ms);
    uint64_t s = ms / 1000 <= TIMEOUT_DIGITS_MAX ? ms / 1000 : TIMEOUT_DIGITS_MAX;
    return arena_printf(arena, "%lluS", (unsigned long long)s);
}

static err_t
send(struct task *t, struct client *client, const struct grpc_question *question,
     struct client_call *call)
{
    struct arena *arena = task_arena(t);
    struct http_header *headers = ARENA_ARRAY(arena, struct http_header,
                                              question->metadata_count + OWN_HEADERS);
    size_t count = 0, len = question->message.len;
    uint64_t left_ms = task_time_left_ms(t);
    if (len > UINT32_MAX)
        return DIAG_FAIL(task_diag(t), ERR_TOO_LARGE, "the message is too large");
    headers[count++] = (struct http_header){ SLICE("te"), SLICE("trailers") };
    headers[count++] = (struct http_header){ SLICE("content-type"), SLICE("application/grpc") };
    headers[count++] = (struct http_header){ SLICE("user-agent"), SLICE("remora/" REMORA_VERSION) };
    if (left_ms != UINT64_MAX)
        headers[count++] = (struct http_header){ SLICE("grpc-timeout"),
                                                 grpc_timeout_text(arena, left_ms) };
    for (size_t i = 0; i < question->metadata_count; i++)
        headers[count++] = question->metadata[i];
    const struct client_head head = { .method = SLICE("POST"),
                                      .target = question->path,
                                      .headers = headers,
                                      .header_count = count,
                                      .body_length = HTTP_LENGTH_UNKNOWN };
    const char prefix[PREFIX_BYTES] = { 0, (char)(len >> 24), (char)(len >> 16), (char)(len >> 8),
                                        (char)len };
    err_t err = client_start(t, client, &head, call); /* suspends */
    if (err == OK)
        err = client_write(t, call, slice_of(prefix, sizeof prefix));
    if (err == OK)
        err = client_write(t, call, question->message);
    if (err == OK)
        err = client_end(t, call);
    /* Who answers early need not have read: the answer counts. */
    return err == ERR_PEER_LOST && call->transport != NULL ? OK : err;
}

/* --- the answer --------------------------------------------------------------------------------*/

static err_t
read_body(struct task *t, struct client_call *call, size_t bytes_max, struct slice *ret_body)
{
    struct arena_bytes body = { 0 };
    for (;;) {
        struct slice piece;
        err_t err = client_read(t, call, &piece); /* suspends */
        if (err != OK)
            return err;
        if (piece.len == 0)
            break;
        if (piece.len > bytes_max + PREFIX_BYTES - body.len)
            return DIAG_FAIL(task_diag(t), ERR_TOO_LARGE,
                             "grpc: received message larger than max (%zu)", bytes_max);
        arena_append(task_arena(t), &body, piece);
    }
    *ret_body = arena_bytes_slice(&body);
    return OK;
}

/* The one message of a body. */
static err_t
unframe(struct task *t, const struct client_call *call, size_t bytes_max, struct slice body,
        struct slice *ret_message)
{
    const unsigned char *prefix = (const unsigned char *)body.data;
    if (body.len < PREFIX_BYTES)
        return DIAG_FAIL(task_diag(t), ERR_PEER_PROTOCOL, "the answer has no message");
    size_t len = (size_t)prefix[1] << 24 | (size_t)prefix[2] << 16 | (size_t)prefix[3] << 8 |
                 prefix[4];
    struct slice message = slice_from(body, PREFIX_BYTES);
    if (prefix[0] > 1 || message.len != len)
        return DIAG_FAIL(task_diag(t), ERR_PEER_PROTOCOL, "the answer is not one whole message");
    if (prefix[0] == 0) {
        *ret_message = message;
        return OK;
    }
    if (!slice_eq(client_header_get(call, SLICE("grpc-encoding")), SLICE("gzip")) ||
        gzip_decode(t, message, bytes_max, ret_message) != OK)
        return DIAG_FAIL(task_diag(t), ERR_PEER_PROTOCOL,
                         "the answer is compressed in a way that is not understood");
    return OK;
}

bool
grpc_is_answer(const struct client_call *call)
{
    return call->status == 200 &&
           slice_has_prefix_nocase(client_header_get(call, SLICE("content-type")),
                                   SLICE("application/grpc"));
}

static err_t
receive(struct task *t, struct client_call *call, const struct grpc_question *question,
        struct grpc_answer *answer)
{
    struct arena *arena = task_arena(t);
    struct slice body = SLICE_EMPTY;
    err_t err = client_head(t, call); /* suspends */
    if (err != OK)
        return err;
    answer->headers = call->headers;
    answer->header_count = call->header_count;
    if (!grpc_is_answer(call)) {
        answer->code = grpc_code_of_http(call->status);
        answer->text = arena_printf(arena,
                                    "unexpected HTTP status code received from server: %d (%s)",
                                    call->status, http_status_text(call->status));
        answer->is_peers = true;
        return OK;
    }
    err = read_body(t, call, question->answer_bytes_max, &body); /* suspends */
    if (err != OK)
        return err;
    answer->trailers = call->trailers;
    answer->trailer_count = call->trailer_count;
    if (grpc_status_of(call->trailers, call->trailer_count, &answer->code)) {
        take_status(arena, call->trailers, call->trailer_count, answer);
    } else if (call->trailer_count == 0 &&
               grpc_status_of(call->headers, call->header_count, &answer->code)) {
        take_status(arena, call->headers, call->header_count, answer);
        answer->trailers = call->headers; /* a head alone is one of trailers */
        answer->trailer_count = call->header_count;
        answer->header_count = 0;
    } else {
        return DIAG_FAIL(task_diag(t), ERR_PEER_PROTOCOL,
                         "server closed the stream without sending trailers");
    }
    return answer->code == GRPC_OK
               ? unframe(t, call, question->answer_bytes_max, body, &answer->message)
               : OK;
}

err_t
grpc_ask(struct task *t, struct client *client, const struct grpc_question *question,
         struct grpc_answer *ret_answer)
{
    struct client_call call = { 0 };
    *ret_answer = (struct grpc_answer){
        .code = GRPC_UNKNOWN, .text = SLICE_EMPTY, .details = SLICE_EMPTY, .message = SLICE_EMPTY
    };
    err_t err = send(t, client, question, &call); /* suspends */
    if (err == OK)
        err = receive(t, &call, question, ret_answer); /* suspends */
    ret_answer->was_sent = call.was_sent;
    if (err != OK) {
        ret_answer->is_peers = false;
        ret_answer->code = grpc_failure(t, &call, err, &ret_answer->text);
    }
    client_finish(&call);
    return err;
}
