/* SPDX-License-Identifier: Apache-2.0 */
/* Signed requests on libcurl; see request.h. */
#include "request.h"

#include <ev.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "../shared/memory.h"
#include "../shared/monotonic.h"
#include "../shared/transfer.h"

enum { CONNECT_TIMEOUT_MS = 15 * 1000 };

struct request {
    struct transfer transfer; /* first */
    void (*on_answer)(struct answer *answer, void *arg);
    void *arg;
    struct aws_wait *wait;    /* for keys; NULL: it is on its way */
    struct request_spec spec; /* texts are owned, while it waits */
    uint64_t since_ms;
    ev_timer refusal; /* too many wait */
    struct curl_slist *headers;
    struct remora_slice unsent; /* of the body */
    size_t capacity, most;
    bool is_secret, is_too_large;
    struct answer answer;
};

static void
forget_spec(struct request_spec *spec)
{
    const char *const texts[] = { spec->method, spec->service, spec->host, spec->path,
                                  spec->query };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        free((void *)(uintptr_t)texts[i]);
    for (size_t i = 0; i < spec->header_count; i++) {
        free((void *)(uintptr_t)spec->headers[i].name);
        free((void *)(uintptr_t)spec->headers[i].value);
    }
    *spec = (struct request_spec){ .settings = NULL };
}

void
request_end(struct request *request)
{
    if (request == NULL)
        return;
    aws_wait_cancel(request->wait);
    if (ev_is_active(&request->refusal))
        ev_timer_stop(remora_loop(), &request->refusal);
    forget_spec(&request->spec);
    transfer_end(&request->transfer);
    for (struct curl_slist *line = request->headers; line != NULL; line = line->next)
        explicit_bzero(line->data, strlen(line->data)); /* signatures, tokens */
    curl_slist_free_all(request->headers);
    if (request->is_secret && request->answer.body != NULL)
        explicit_bzero(request->answer.body, request->capacity);
    free(request->answer.body);
    free(request);
}

bool
request_was_sent(const struct request *request)
{
    long bytes = 0;
    curl_easy_getinfo(request->transfer.easy, CURLINFO_REQUEST_SIZE, &bytes);
    return bytes > 0;
}

static void
on_done(struct transfer *transfer, CURLcode code)
{
    struct request *rq = (struct request *)transfer;
    char words[128];
    rq->answer.was_sent = request_was_sent(rq);
    if (rq->is_too_large) {
        (void)snprintf(words, sizeof words, "the answer is longer than %zu bytes", rq->most);
        rq->answer.error = words;
    } else if (code == CURLE_OPERATION_TIMEDOUT) {
        rq->answer.error = "context deadline exceeded";
    } else if (code != CURLE_OK) {
        rq->answer.error = transfer_error(transfer, code);
    } else {
        curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &rq->answer.status);
    }
    rq->on_answer(&rq->answer, rq->arg);
    request_end(rq);
}

/* Of a secret nothing is left behind. */
static bool
grow(struct request *rq, size_t capacity)
{
    char *grown = rq->is_secret ? malloc(capacity) : realloc(rq->answer.body, capacity);
    if (grown == NULL)
        return false;
    if (rq->is_secret && rq->answer.body != NULL) {
        memcpy(grown, rq->answer.body, rq->answer.len);
        explicit_bzero(rq->answer.body, rq->capacity);
        free(rq->answer.body);
    }
    rq->answer.body = grown;
    rq->capacity = capacity;
    return true;
}

static size_t
on_body(char *bytes, size_t size, size_t count, void *arg)
{
    struct request *rq = arg;
    const size_t len = size * count;
    if (len > rq->most - rq->answer.len) {
        rq->is_too_large = true;
        return 0;
    }
    if (rq->answer.len + len + 1 > rq->capacity && !grow(rq, (rq->answer.len + len) * 2 + 1024))
        return 0;
    memcpy(rq->answer.body + rq->answer.len, bytes, len);
    rq->answer.len += len;
    rq->answer.body[rq->answer.len] = '\0';
    return len;
}

static size_t
on_header(char *line, size_t size, size_t count, void *arg)
{
    static const char name[] = "x-amz-version-id:";
    struct request *rq = arg;
    const size_t len = size * count, head = sizeof name - 1;
    if (len <= head || strncasecmp(line, name, head) != 0)
        return len;
    const char *value = line + head;
    const char *end = line + len;
    while (value < end && *value == ' ')
        value++;
    while (end > value && (unsigned char)end[-1] <= ' ')
        end--;
    if ((size_t)(end - value) < sizeof rq->answer.version) {
        memcpy(rq->answer.version, value, (size_t)(end - value));
        rq->answer.version[end - value] = '\0';
    }
    return len;
}

static void
add_header(struct request *rq, const char *name, const char *value)
{
    /* One without a value ends with a semicolon here. */
    char *line = memory_printf(*value == '\0' ? "%s;%s" : "%s: %s", name, value);
    struct curl_slist *longer = curl_slist_append(rq->headers, line);
    if (longer == NULL)
        abort();
    rq->headers = longer;
    memory_wipe(line);
}

static bool
sign(struct request *rq, const struct request_spec *spec)
{
    char hash[SIGV4_HASH_BYTES];
    struct sigv4_signature signature;
    const struct settings *s = spec->settings;
    const struct aws_keys *keys = aws_credentials_last(s->credentials);
    sigv4_hash(spec->body.data, spec->body.len, hash);
    const struct sigv4_request in = {
        .region = s->region,
        .service = spec->service,
        .access_key = keys->access_key,
        .secret_key = keys->secret_key,
        .session_token = keys->session_token,
        .at = time(NULL),
        .method = spec->method,
        .host = spec->host,
        .path = spec->path,
        .query = spec->query,
        .headers = spec->headers,
        .header_count = spec->header_count,
        .payload_hash = hash,
        .is_s3 = strcmp(spec->service, "s3") == 0,
    };
    if (!sigv4_sign(&in, &signature))
        return false;
    for (size_t i = 0; i < spec->header_count; i++)
        add_header(rq, spec->headers[i].name, spec->headers[i].value);
    add_header(rq, "host", spec->host);
    add_header(rq, "x-amz-date", signature.date);
    add_header(rq, "authorization", signature.authorization);
    if (in.is_s3)
        add_header(rq, "x-amz-content-sha256", hash);
    if (keys->session_token != NULL)
        add_header(rq, "x-amz-security-token", keys->session_token);
    /* No kind of its own, and no question before a long body. */
    add_header(rq, "expect", "");
    memory_wipe(signature.authorization);
    return true;
}

static size_t
on_read(char *room, size_t size, size_t count, void *arg)
{
    struct request *rq = arg;
    const size_t most = size * count;
    const size_t len = rq->unsent.len < most ? rq->unsent.len : most;
    memcpy(room, rq->unsent.data, len);
    rq->unsent.data += len;
    rq->unsent.len -= len;
    return len;
}

/* A body that cannot be read twice: libcurl would send it again if a connection that was used
 * before ends without an answer, and what it asks for would be done twice. */
static void
set_body(struct request *rq, const struct request_spec *spec)
{
    CURL *easy = rq->transfer.easy;
    rq->unsent = spec->body;
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)spec->body.len);
    if (spec->body.len == 0) {
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, "");
    } else {
        curl_easy_setopt(easy, CURLOPT_POST, 1L);
        curl_easy_setopt(easy, CURLOPT_READFUNCTION, on_read);
        curl_easy_setopt(easy, CURLOPT_READDATA, rq);
    }
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, spec->method);
}

static void
set_options(struct request *rq, const struct request_spec *spec)
{
    CURL *easy = rq->transfer.easy;
    const bool has_query = spec->query != NULL && *spec->query != '\0';
    char *url = memory_printf("%s://%s%s%s%s", spec->settings->is_plain ? "http" : "https",
                              spec->host, spec->path, has_query ? "?" : "",
                              has_query ? spec->query : "");
    curl_easy_setopt(easy, CURLOPT_URL, url);
    free(url);
    curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, rq->headers);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "remora");
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_TIMEOUT_MS);
    if (spec->timeout_ms < INT32_MAX)
        curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS,
                         spec->timeout_ms > 0 ? (long)spec->timeout_ms : 1L);
    if (strcmp(spec->method, "GET") != 0)
        set_body(rq, spec);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, rq);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, rq);
}

/* False: it cannot be signed. */
static bool
send_signed(struct request *rq, const struct request_spec *spec)
{
    if (!sign(rq, spec))
        return false;
    set_options(rq, spec);
    transfer_trust(&rq->transfer, spec->settings->skips_verification);
    transfer_start(&rq->transfer);
    return true;
}

/* --- without keys ------------------------------------------------------------------------------*/

static void
keep_spec(struct request *rq, const struct request_spec *spec)
{
    rq->since_ms = monotonic_now_ms();
    rq->spec = *spec;
    rq->spec.method = memory_text(spec->method);
    rq->spec.service = memory_text(spec->service);
    rq->spec.host = memory_text(spec->host);
    rq->spec.path = memory_text(spec->path);
    rq->spec.query = spec->query == NULL ? NULL : memory_text(spec->query);
    for (size_t i = 0; i < spec->header_count; i++)
        rq->spec.headers[i] = (struct sigv4_header){ memory_text(spec->headers[i].name),
                                                     memory_text(spec->headers[i].value) };
}

static void
on_keys(const struct aws_keys *keys, const char *words, void *arg)
{
    struct request *rq = arg;
    const uint64_t waited_ms = monotonic_now_ms() - rq->since_ms;
    rq->wait = NULL; /* it goes by itself */
    if (keys == NULL)
        rq->answer.error = words;
    else if (rq->spec.timeout_ms <= waited_ms)
        rq->answer.error = "context deadline exceeded";
    else {
        rq->spec.timeout_ms -= waited_ms;
        if (send_signed(rq, &rq->spec))
            return;
        rq->answer.error = "it cannot be signed";
    }
    rq->on_answer(&rq->answer, rq->arg);
    request_end(rq);
}

static void
on_refusal(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    on_keys(NULL, "too many requests wait for AWS credentials", timer->data);
}

struct request *
request_start(const struct request_spec *spec, void (*on_answer)(struct answer *answer, void *arg),
              void *arg)
{
    struct request *rq = memory_new(sizeof *rq);
    struct aws_credentials *credentials = spec->settings->credentials;
    transfer_init(&rq->transfer, on_done);
    rq->on_answer = on_answer;
    rq->arg = arg;
    rq->most = spec->answer_bytes_max;
    rq->is_secret = spec->is_secret;
    ev_init(&rq->refusal, on_refusal);
    rq->refusal.data = rq;
    if (aws_credentials_now(credentials) == NULL) {
        keep_spec(rq, spec);
        rq->wait = aws_credentials_wait(credentials, on_keys, rq);
        if (rq->wait == NULL)
            ev_timer_start(remora_loop(), &rq->refusal);
        return rq;
    }
    if (send_signed(rq, spec))
        return rq;
    request_end(rq);
    return NULL;
}
