/* SPDX-License-Identifier: Apache-2.0 */
/* Answers of the HTTP API: common headers, JSON, errors in the reference's form. */
#include <assert.h>

#include "base/limits.h"
#include "surface/http_surface.h"
#include "surface/observe.h"

enum {
    ERROR_BYTES_MAX = 64 * 1024,
    WRITER_PIECE_BYTES = 64 * 1024,
    WRITER_BYTES_MAX = 1024 * 1024,
};

#define JSON_HEADER ((struct http_header){ SLICE("Content-Type"), SLICE("application/json") })

/* `few` is room for all but those of call->more. */
static const struct http_header *
collect_headers(const struct http_call *call, const struct http_header *headers, size_t count,
                struct http_header few[HTTP_COMMON_HEADERS_MAX + HTTP_OWN_HEADERS_MAX],
                size_t *ret_count)
{
    assert(count <= HTTP_OWN_HEADERS_MAX);
    struct http_header *all = few;
    if (call->more_count > 0)
        all = ARENA_ARRAY(call->rq.arena, struct http_header,
                          count + call->common_count + call->more_count);
    for (size_t i = 0; i < count; i++)
        all[i] = headers[i];
    for (size_t i = 0; i < call->common_count; i++)
        all[count + i] = call->common[i];
    count += call->common_count;
    for (size_t i = 0; i < call->more_count; i++)
        all[count + i] = call->more[i];
    *ret_count = count + call->more_count;
    return all;
}

void
http_answer(struct http_call *call, int status, const struct http_header *headers,
            size_t header_count, struct slice body)
{
    struct http_header few[HTTP_COMMON_HEADERS_MAX + HTTP_OWN_HEADERS_MAX];
    size_t count;
    const struct http_header *all = collect_headers(call, headers, header_count, few, &count);
    (void)http_reply(call->x, status, all, count,
                     body); /* a client that is gone is nobody's loss */
}

err_t
http_answer_start(struct http_call *call, int status, const struct http_header *headers,
                  size_t header_count, int64_t length)
{
    struct http_header few[HTTP_COMMON_HEADERS_MAX + HTTP_OWN_HEADERS_MAX];
    size_t count;
    const struct http_header *all = collect_headers(call, headers, header_count, few, &count);
    return http_reply_start(call->x, status, all, count, length);
}

void
http_no_content(struct http_call *call)
{
    http_answer(call, 204, NULL, 0, SLICE_EMPTY);
}

void
http_json(struct http_call *call, int status, struct slice body)
{
    http_answer(call, status, &JSON_HEADER, 1, body);
}

void
http_plain(struct http_call *call, int status, struct slice text)
{
    const struct http_header headers[] = {
        { SLICE("Content-Type"), SLICE("text/plain; charset=utf-8") },
        { SLICE("X-Content-Type-Options"), SLICE("nosniff") },
    };
    http_answer(call, status, headers, ARRAY_LEN(headers), text);
}

/* --- errors ------------------------------------------------------------------------------------*/

static bool
put_text(struct buf *out, const char *text)
{
    return buf_append(out, slice_str(text));
}

static bool
put_violation(struct buf *out, const struct api_error *error)
{
    bool ok = put_text(out, "{\"@type\":\"type.googleapis.com/google.rpc.BadRequest\","
                            "\"field_violations\":[{");
    if (error->violation_field.len > 0)
        ok = ok && put_text(out, "\"field\":") &&
             json_write_string(out, error->violation_field, false) && put_text(out, ",");
    return ok && put_text(out, "\"description\":") &&
           json_write_string(out, error->message, false) && put_text(out, "}]},");
}

static bool
put_resource(struct buf *out, const struct api_error *error)
{
    struct slice words = error->resource_has_words ? error->message : SLICE_EMPTY;
    return put_text(out, "{\"@type\":\"type.googleapis.com/google.rpc.ResourceInfo\","
                         "\"description\":") &&
           json_write_string(out, words, false) &&
           put_text(out, ",\"owner\":\"\",\"resource_name\":") &&
           json_write_string(out, error->resource_name, false) &&
           put_text(out, ",\"resource_type\":") &&
           json_write_string(out, error->resource_type, false) && put_text(out, "},");
}

static bool
put_help(struct buf *out, const struct api_error *error)
{
    return put_text(out, ",{\"@type\":\"type.googleapis.com/google.rpc.Help\",\"links\":[{"
                         "\"description\":") &&
           json_write_string(out, slice_str(error->help_text), false) &&
           put_text(out, ",\"url\":") &&
           json_write_string(out, slice_str(error->help_url), false) && put_text(out, "}]}");
}

static bool
put_error_info(struct buf *out, const struct api_error *error)
{
    bool ok = put_text(out, "{\"@type\":\"type.googleapis.com/google.rpc.ErrorInfo\","
                            "\"domain\":\"dapr.io\",\"metadata\":");
    if (error->info == NULL)
        ok = ok && put_text(out, "null");
    else
        ok = ok && put_text(out, "{");
    for (size_t i = 0; error->info != NULL && i < error->info_count; i++)
        ok = ok && put_text(out, i == 0 ? "" : ",") &&
             json_write_string(out, error->info[i].name, false) && put_text(out, ":") &&
             json_write_string(out, error->info[i].value, false);
    if (error->info != NULL)
        ok = ok && put_text(out, "}");
    struct slice reason = error->reason.len > 0 ? error->reason
                                                : slice_str(err_info(error->err)->reason);
    return ok && put_text(out, ",\"reason\":") && json_write_string(out, reason, false) &&
           put_text(out, "}");
}

static bool
put_error(struct buf *out, const struct api_error *error)
{
    const struct err_info *info = err_info(error->err);
    bool ok = put_text(out, "{\"errorCode\":") &&
              json_write_string(out, slice_str(info->code), false) &&
              put_text(out, ",\"message\":") && json_write_string(out, error->message, false);
    if (info->reason != NULL) {
        ok = ok && put_text(out, ",\"details\":[");
        if (error->has_violation)
            ok = ok && put_violation(out, error);
        if (error->has_resource)
            ok = ok && put_resource(out, error);
        ok = ok && put_error_info(out, error);
        if (error->help_url != NULL)
            ok = ok && put_help(out, error);
        ok = ok && put_text(out, "]");
    }
    return ok && put_text(out, "}");
}

void
http_fail(struct http_call *call)
{
    observe_error(&call->rq);
    struct buf out;
    buf_init(&out, ERROR_BYTES_MAX);
    struct slice body = SLICE(
        "{\"errorCode\":\"ERR_INTERNAL\",\"message\":\"the error is too long\"}");
    if (put_error(&out, &call->rq.error))
        body = buf_slice(&out);
    http_json(call, call->rq.error.http, body);
    buf_fini(&out);
}

/* --- answers of unknown size -------------------------------------------------------------------*/

void
http_json_writer_init(struct http_json_writer *writer, struct http_call *call)
{
    *writer = (struct http_json_writer){ .call = call };
    buf_init(&writer->buf, WRITER_BYTES_MAX);
}

static void
send_piece(struct http_json_writer *writer)
{
    if (writer->err == OK && !writer->has_started) {
        writer->has_started = true;
        writer->err = http_answer_start(writer->call, 200, &JSON_HEADER, 1, HTTP_LENGTH_UNKNOWN);
    }
    if (writer->err == OK && writer->buf.len > 0)
        writer->err = http_reply_write(writer->call->x, buf_slice(&writer->buf));
    buf_clear(&writer->buf);
}

void
http_json_put(struct http_json_writer *writer, struct slice bytes)
{
    while (bytes.len > 0 && writer->err == OK) {
        struct slice piece = slice_first(bytes, WRITER_PIECE_BYTES);
        bool fits = buf_append(&writer->buf, piece);
        assert(fits); /* a piece is sent before the buffer holds two */
        if (writer->buf.len >= WRITER_PIECE_BYTES)
            send_piece(writer);
        bytes = slice_from(bytes, piece.len);
    }
}

void
http_json_put_string(struct http_json_writer *writer, struct slice text)
{
    /* Escaping makes a string at most six times as long. */
    struct buf quoted;
    buf_init(&quoted, text.len * 6 + 2);
    bool fits = json_write_string(&quoted, text, true);
    assert(fits);
    http_json_put(writer, buf_slice(&quoted));
    buf_fini(&quoted);
}

void
http_json_writer_end(struct http_json_writer *writer)
{
    if (!writer->has_started && writer->err == OK) {
        http_json(writer->call, 200, buf_slice(&writer->buf));
    } else {
        send_piece(writer);
        if (writer->err == OK)
            (void)http_reply_end(writer->call->x); /* nothing follows that it could spoil */
    }
    buf_fini(&writer->buf);
}

void
http_json_writer_abort(struct http_json_writer *writer)
{
    buf_fini(&writer->buf);
    if (!writer->has_started && writer->err == OK)
        http_fail(writer->call);
}
