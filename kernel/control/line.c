/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions with services of the control plane; see line.h. */
#include "control/line.h"

#include "base/clock.h"
#include "base/limits.h"
#include "base/version.h"
#include "http/grpc_client.h"
#include "peer/peers.h"

/* --- sessions ----------------------------------------------------------------------------------*/

static void begin(struct line *line);

static void
on_pause_over(struct timer *timer)
{
    begin(container_of(timer, struct line, timer));
}

static void
wait_a_little(struct line *line)
{
    timer_set(&line->worker->timers, &line->timer, clock_now_ms() + line->pause_ms);
}

static void
session_main(struct task *t, void *arg)
{
    struct line *line = arg;
    err_t err = line->session(t, line); /* suspends */
    const struct diag *diag = task_diag(t);
    struct slice words = diag->err == err ? diag->message : slice_str(err_info(err)->code);
    line->on_over(line, err, words);
    line->task = NULL;
    if (!line->is_stopping)
        wait_a_little(line);
    else if (line->on_stopped != NULL)
        line->on_stopped(line);
}

static void
begin(struct line *line)
{
    line->task = task_spawn(line->worker, line->name, session_main, line);
    if (line->task == NULL) /* the worker is full */
        wait_a_little(line);
}

void
line_start(struct line *line)
{
    timer_init(&line->timer, on_pause_over);
    line->is_stopping = false;
    begin(line);
}

void
line_stop(struct line *line)
{
    line->is_stopping = true;
    timer_stop(&line->worker->timers, &line->timer);
    if (line->task != NULL)
        task_cancel(line->task);
    else if (line->on_stopped != NULL)
        line->on_stopped(line);
}

/* --- the stream --------------------------------------------------------------------------------*/

/* Clients of other languages write how the name is to be looked up in front. */
static bool
split(struct slice address, struct slice *ret_host, uint16_t *ret_port)
{
    const struct slice schemes[] = { SLICE("dns:///"), SLICE("passthrough:///") };
    for (size_t i = 0; i < ARRAY_LEN(schemes); i++)
        if (slice_has_prefix(address, schemes[i]))
            address = slice_from(address, schemes[i].len);
    return peers_split_address(address, ret_host, ret_port);
}

bool
line_address_is_valid(struct slice address)
{
    struct slice host;
    uint16_t port;
    return split(address, &host, &port);
}

static err_t
read_piece(void *arg, struct slice *ret_piece)
{
    struct line_stream *stream = arg;
    return client_read(stream->task, &stream->call, ret_piece); /* suspends */
}

err_t
line_stream_open(struct task *t, const struct line_dial *dial, struct line_stream *ret_stream)
{
    struct line_stream *stream = ret_stream;
    struct slice host = SLICE_EMPTY;
    uint16_t port = 0;
    *stream = (struct line_stream){ .task = t, .code = GRPC_UNAVAILABLE };
    if (!split(dial->address, &host, &port))
        return DIAG_FAIL(task_diag(t), ERR_MALFORMED, SLICE_FMT " is not of the form host:port",
                         SLICE_ARG(dial->address));
    stream->client = client_new(
        task_worker(t),
        &(struct client_config){ .protocol = CLIENT_H2,
                                 .host = host,
                                 .port = port,
                                 .tls = dial->tls,
                                 .peer_id = dial->tls == NULL ? SLICE_EMPTY : dial->peer_id,
                                 .connections_max = 1,
                                 .head_ms = UINT64_MAX,
                                 .stall_ms = UINT64_MAX });
    const struct http_header headers[] = {
        { SLICE("te"), SLICE("trailers") },
        { SLICE("content-type"), SLICE("application/grpc") },
        { SLICE("user-agent"), SLICE("grpc-c-remora/" REMORA_VERSION) },
    };
    const struct client_head head = { .method = SLICE("POST"),
                                      .target = slice_str(dial->path),
                                      .headers = headers,
                                      .header_count = ARRAY_LEN(headers),
                                      .body_length = HTTP_LENGTH_UNKNOWN };
    return client_start(t, stream->client, &head, &stream->call); /* suspends */
}

err_t
line_stream_send(struct line_stream *stream, struct slice message)
{
    struct arena scratch;
    arena_init(&scratch);
    char *framed = arena_alloc(&scratch, PEER_PREFIX_BYTES + message.len);
    framed[0] = 0;
    for (int i = 0; i < 4; i++)
        framed[1 + i] = (char)(message.len >> (24 - 8 * i));
    if (message.len > 0)
        memcpy(framed + PEER_PREFIX_BYTES, message.data, message.len);
    err_t err = client_write(stream->task, &stream->call,
                             slice_of(framed, PEER_PREFIX_BYTES + message.len)); /* suspends */
    arena_fini(&scratch);
    return err;
}

err_t
line_stream_end(struct line_stream *stream)
{
    return client_end(stream->task, &stream->call); /* suspends */
}

/* The service has ended it, in the trailers or with nothing but a head. */
static err_t
ended(struct line_stream *stream)
{
    const struct client_call *call = &stream->call;
    struct diag *diag = task_diag(stream->task);
    const struct http_header *headers = call->trailers;
    size_t count = call->trailer_count;
    if (!grpc_status_of(headers, count, &stream->code)) {
        headers = call->headers;
        count = call->header_count;
        if (!grpc_status_of(headers, count, &stream->code))
            return DIAG_FAIL(diag, ERR_PEER_LOST, "the stream ended without a status");
    }
    if (stream->code == GRPC_OK)
        return DIAG_FAIL(diag, ERR_PEER_LOST, "EOF");
    struct slice text = grpc_message_decode(task_arena(stream->task),
                                            peer_header_get(headers, count, SLICE("grpc-message")));
    return DIAG_FAIL(diag, ERR_PEER_LOST, "rpc error: code = %s desc = " SLICE_FMT,
                     grpc_code_name(stream->code), SLICE_ARG(text));
}

static err_t
take_head(struct line_stream *stream)
{
    err_t err = client_head(stream->task, &stream->call); /* suspends */
    if (err != OK)
        return err;
    stream->has_head = true;
    stream->reader = (struct peer_reader){ .read = read_piece,
                                           .arg = stream,
                                           .message_bytes_max = LIMIT_control_message_bytes };
    if (grpc_is_answer(&stream->call))
        return OK;
    return DIAG_FAIL(task_diag(stream->task), ERR_PEER_PROTOCOL,
                     "the service does not speak gRPC, it answered with status %d",
                     stream->call.status);
}

err_t
line_stream_next(struct line_stream *stream, struct slice *ret_message)
{
    bool has_message = false;
    err_t err = stream->has_head ? OK : take_head(stream); /* suspends */
    if (err == OK)
        err = peer_reader_next(&stream->reader, ret_message, &has_message); /* suspends */
    return err != OK || has_message ? err : ended(stream);
}

void
line_stream_close(struct line_stream *stream)
{
    client_finish(&stream->call);
    if (stream->has_head)
        peer_reader_fini(&stream->reader);
    client_close(stream->client);
    *stream = (struct line_stream){ .code = stream->code };
}
