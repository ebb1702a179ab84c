/* SPDX-License-Identifier: Apache-2.0 */
/* One request to a collector, and what its answer means; see exporter.h. */
#include "base/limits.h"
#include "base/version.h"
#include "base/wire.h"
#include "export/attempt.h"
#include "http/grpc_client.h"
#include "telemetry/otlp.h"

#define USER_AGENT SLICE("OTel-OTLP-Exporter-Remora/" REMORA_VERSION)
#define GRPC_PATH SLICE("/opentelemetry.proto.collector.trace.v1.TraceService/Export")

enum { OWN_HEADERS = 2 };

struct slice
exporter_body(const struct exporter_config *config, struct arena *arena,
              const struct span_batch *batch)
{
    struct slice spans = buf_slice(&batch->bytes), tail = SLICE("]");
    struct buf head;
    buf_init(&head, LIMIT_trace_batch_bytes);
    bool fits = config->kind == EXPORTER_ZIPKIN ? buf_append_byte(&head, '[')
                                                : otlp_head(&head, config->resource, spans.len);
    if (config->kind != EXPORTER_ZIPKIN)
        tail = otlp_tail();
    if (!fits)
        buf_clear(&head); /* a resource of a megabyte: collectors refuse what is left */
    char *body = arena_alloc(arena, head.len + spans.len + tail.len);
    (void)wire_put_raw(wire_put_raw(wire_put_raw(body, buf_slice(&head)), spans), tail);
    struct slice whole = slice_of(body, head.len + spans.len + tail.len);
    buf_fini(&head);
    return whole;
}

/* --- failures ----------------------------------------------------------------------------------*/

static struct attempt
failure(struct slice words, bool may_repeat, uint64_t pause_ms)
{
    return (struct attempt){ .may_repeat = may_repeat, .pause_ms = pause_ms, .words = words };
}

/* No answer came to be. Spans may be sent twice: whoever stores them knows them by their ids. */
static struct attempt
lost(struct task *t, err_t err)
{
    struct slice words = task_diag(t)->message;
    if (err == ERR_DEADLINE || words.len == 0)
        words = slice_str(err == ERR_DEADLINE ? "the collector does not answer"
                                              : err_info(err)->name);
    return failure(words, err != ERR_CANCELLED, 0);
}

uint64_t
retry_after_ms(struct slice value)
{
    uint64_t seconds;
    if (value.data == NULL || !slice_to_u64(slice_trim(value), &seconds))
        return 0;
    return seconds > UINT32_MAX ? UINT32_MAX : seconds * 1000;
}

static bool
read_delay(struct slice retry_info, uint64_t *ret_ms)
{
    struct wire_reader outer = wire_reader(retry_info);
    struct wire_field f;
    uint64_t seconds = 0, nanos = 0;
    while (wire_next(&outer, &f)) {
        if (f.field != 1)
            continue;
        struct wire_reader inner = wire_reader(wire_bytes(&outer, &f));
        while (wire_next(&inner, &f)) {
            if (f.field == 1)
                seconds = wire_number(&inner, &f);
            else if (f.field == 2)
                nanos = wire_number(&inner, &f);
        }
        outer.is_bad = outer.is_bad || inner.is_bad;
    }
    if (outer.is_bad || seconds > UINT32_MAX || nanos >= 1000000000)
        return false;
    *ret_ms = seconds * 1000 + nanos / 1000000;
    return true;
}

bool
retry_info_ms(struct slice details, uint64_t *ret_ms)
{
    enum { STATUS_DETAILS = 3, ANY_TYPE = 1, ANY_VALUE = 2 };
    struct wire_reader outer = wire_reader(details);
    struct wire_field f;
    while (wire_next(&outer, &f)) {
        if (f.field != STATUS_DETAILS)
            continue;
        struct wire_reader any = wire_reader(wire_bytes(&outer, &f));
        struct slice type = SLICE_EMPTY, value = SLICE_EMPTY;
        while (wire_next(&any, &f)) {
            if (f.field == ANY_TYPE)
                type = wire_bytes(&any, &f);
            else if (f.field == ANY_VALUE)
                value = wire_bytes(&any, &f);
        }
        if (slice_has_suffix(type, SLICE("/google.rpc.RetryInfo")) && !any.is_bad)
            return read_delay(value, ret_ms);
    }
    return false;
}

/* --- OTLP over gRPC ----------------------------------------------------------------------------*/

static struct attempt
judge_otlp(struct slice answer)
{
    struct attempt attempt = { .is_ok = true };
    struct slice words;
    if (!otlp_refused(answer, &attempt.refused, &words))
        attempt.refused = 0; /* it has taken them, whatever else it says */
    return attempt;
}

static bool
may_repeat_grpc(const struct grpc_answer *answer, uint64_t *ret_pause_ms)
{
    bool has_delay = retry_info_ms(answer->details, ret_pause_ms);
    switch ((int)answer->code) {
    case GRPC_CANCELLED:
    case GRPC_DEADLINE_EXCEEDED:
    case GRPC_ABORTED:
    case GRPC_OUT_OF_RANGE:
    case GRPC_UNAVAILABLE:
    case GRPC_DATA_LOSS:
        return true;
    case GRPC_RESOURCE_EXHAUSTED:
        return has_delay; /* else it is not about time */
    default:
        return false;
    }
}

static struct attempt
attempt_grpc(struct task *t, struct exporter *exporter, struct slice body)
{
    const struct exporter_config *config = exporter->config;
    struct http_header *metadata = ARENA_ARRAY(task_arena(t), struct http_header,
                                               config->header_count + 1);
    metadata[0] = (struct http_header){ SLICE("user-agent"), USER_AGENT };
    for (size_t i = 0; i < config->header_count; i++)
        metadata[i + 1] = config->headers[i];
    const struct grpc_question question = { .path = GRPC_PATH,
                                            .message = body,
                                            .metadata = metadata,
                                            .metadata_count = config->header_count + 1,
                                            .answer_bytes_max = LIMIT_trace_answer_bytes };
    struct grpc_answer answer;
    uint64_t pause_ms = 0;
    err_t err = grpc_ask(t, exporter->client, &question, &answer); /* suspends */
    if (err != OK)
        return lost(t, err);
    if (answer.code == GRPC_OK)
        return judge_otlp(answer.message);
    bool may_repeat = may_repeat_grpc(&answer, &pause_ms);
    struct slice words = arena_printf(task_arena(t), "%s: " SLICE_FMT, grpc_code_name(answer.code),
                                      SLICE_ARG(answer.text));
    return failure(words, may_repeat, pause_ms);
}

/* --- over HTTP ---------------------------------------------------------------------------------*/

static err_t
read_answer(struct task *t, struct client_call *call, struct slice *ret_body)
{
    struct buf body;
    struct slice chunk;
    err_t err;
    buf_init(&body, LIMIT_trace_answer_bytes);
    while ((err = client_read(t, call, &chunk)) == OK && chunk.len > 0)
        if (!buf_append(&body, chunk))
            break; /* what matters would have been in front */
    *ret_body = arena_dup(task_arena(t), buf_slice(&body));
    buf_fini(&body);
    return err;
}

static struct attempt
judge_http(struct task *t, const struct exporter_config *config, const struct client_call *call,
           struct slice answer)
{
    bool is_otlp = config->kind == EXPORTER_OTLP_HTTP;
    if (call->status >= 200 && call->status < 300)
        return is_otlp ? judge_otlp(answer) : (struct attempt){ .is_ok = true };
    bool may_repeat = call->status == 429 || (call->status >= 502 && call->status <= 504);
    return failure(arena_printf(task_arena(t), "it answers %d %s", call->status,
                                http_status_text(call->status)),
                   is_otlp && may_repeat,
                   retry_after_ms(client_header_get(call, SLICE("Retry-After"))));
}

static err_t
ask_http(struct task *t, struct exporter *exporter, struct slice body, struct client_call *call,
         struct slice *ret_answer)
{
    const struct exporter_config *config = exporter->config;
    struct http_header *headers = ARENA_ARRAY(task_arena(t), struct http_header,
                                              config->header_count + OWN_HEADERS);
    headers[0] = (struct http_header){ SLICE("User-Agent"), USER_AGENT };
    headers[1] = (struct http_header){ SLICE("Content-Type"), config->kind == EXPORTER_ZIPKIN
                                                                  ? SLICE("application/json")
                                                                  : SLICE("application/"
                                                                          "x-protobuf") };
    for (size_t i = 0; i < config->header_count; i++)
        headers[i + OWN_HEADERS] = config->headers[i];
    const struct client_head head = { .method = SLICE("POST"),
                                      .target = config->path,
                                      .authority = SLICE_EMPTY,
                                      .headers = headers,
                                      .header_count = config->header_count + OWN_HEADERS,
                                      .body_length = (int64_t)body.len };
    err_t err = client_start(t, exporter->client, &head, call); /* suspends, as all of these do */
    if (err != OK)
        return err;
    err = client_write(t, call, body);
    if (err == OK)
        err = client_end(t, call);
    if (err == OK || err == ERR_PEER_LOST) /* it may have answered before it had read all */
        err = client_head(t, call);
    return err == OK ? read_answer(t, call, ret_answer) : err;
}

static struct attempt
attempt_http(struct task *t, struct exporter *exporter, struct slice body)
{
    struct client_call call = { .transport = NULL };
    struct slice answer = SLICE_EMPTY;
    err_t err = ask_http(t, exporter, body, &call, &answer); /* suspends */
    struct attempt attempt = err == OK ? judge_http(t, exporter->config, &call, answer)
                                       : lost(t, err);
    client_finish(&call);
    return attempt;
}

/* --- either ------------------------------------------------------------------------------------*/

static void
open_client(struct exporter *exporter)
{
    const struct exporter_config *config = exporter->config;
    const struct client_config client = {
        .protocol = config->kind == EXPORTER_OTLP_GRPC ? CLIENT_H2 : CLIENT_H1,
        .host = config->host,
        .port = config->port,
        .unix_path = SLICE_EMPTY,
        .authority = SLICE_EMPTY,
        .tls = config->tls,
        .connections_max = 1,
    };
    exporter->client = client_new(exporter->worker, &client);
}

struct attempt
exporter_attempt(struct task *t, struct exporter *exporter, struct slice body)
{
    const struct exporter_config *config = exporter->config;
    if (exporter->client == NULL)
        open_client(exporter);
    diag_init(task_diag(t), task_arena(t)); /* words of an earlier attempt */
    uint64_t outer = task_deadline_push(t, config->timeout_ms == 0 ? LIMIT_trace_timeout_ms
                                                                   : config->timeout_ms);
    struct attempt attempt = config->kind == EXPORTER_OTLP_GRPC ? attempt_grpc(t, exporter, body)
                                                                : attempt_http(t, exporter, body);
    task_deadline_pop(t, outer);
    return attempt;
}
