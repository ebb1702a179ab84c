/* SPDX-License-Identifier: Apache-2.0 */
/* One request and its answer; see exchange.h. */
#include "exchange.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "../shared/transfer.h"
#include "target.h"

enum {
    CONNECT_TIMEOUT_MS = 15 * 1000,
    REDIRECTS_MAX = 10,
    HEADERS_MAX = 200, /* of an answer; further ones are left out */
    HEADER_BYTES_MAX = 16 * 1024,
    STATUS_BYTES = 128,
};

struct exchange {
    struct transfer transfer; /* first */
    remora_call *call;
    const struct settings *settings;
    const char *verb; /* "Get", for errors */
    char *target;
    struct curl_slist *headers;
    bool fails_if_not_2xx;
    bool is_too_large;
    bool is_gzip; /* what came is not what the answer's head says of it */
    char *body;
    size_t len, capacity;
    /* Of the answer: name and value one after another, from malloc(). */
    struct remora_pair pairs[HEADERS_MAX + 2];
    size_t pair_count;
    char status[STATUS_BYTES];
    char code[16];
};

/* --- the end -----------------------------------------------------------------------------------*/

static void
forget_headers(struct exchange *x)
{
    while (x->pair_count > 0)
        free((char *)(uintptr_t)x->pairs[--x->pair_count].name.data); /* ours */
}

static void
free_exchange(struct exchange *x)
{
    transfer_end(&x->transfer);
    for (struct curl_slist *line = x->headers; line != NULL; line = line->next)
        explicit_bzero(line->data, strlen(line->data)); /* tokens */
    curl_slist_free_all(x->headers);
    forget_headers(x);
    free(x->target);
    free(x->body);
    free(x);
}

static struct remora_slice
slice_of(const char *text)
{
    return (struct remora_slice){ text, strlen(text) };
}

/* Without what is about the bytes on the wire, if those were not the ones we give. */
static size_t
metadata_of(struct exchange *x, struct remora_pair *pairs)
{
    size_t count = 0;
    for (size_t i = 0; i < x->pair_count; i++) {
        struct remora_slice name = x->pairs[i].name;
        bool is_of_wire = (name.len == 16 && strncasecmp(name.data, "Content-Encoding", 16) == 0) ||
                          (name.len == 14 && strncasecmp(name.data, "Content-Length", 14) == 0);
        if (!x->is_gzip || !is_of_wire)
            pairs[count++] = x->pairs[i];
    }
    pairs[count++] = (struct remora_pair){ slice_of("statusCode"), slice_of(x->code) };
    pairs[count++] = (struct remora_pair){ slice_of("status"), slice_of(x->status) };
    return count;
}

static void
answer(struct exchange *x, long status)
{
    char words[64];
    const struct remora_failure failure = { .code = REMORA_UNKNOWN, .message = words };
    struct remora_pair *pairs = remora_call_alloc(x->call, (x->pair_count + 2) * sizeof *pairs);
    bool has_failed = x->fails_if_not_2xx && status / 100 != 2;
    snprintf(x->code, sizeof x->code, "%ld", status);
    snprintf(words, sizeof words, "received status code %ld", status);
    size_t count = metadata_of(x, pairs);
    const struct remora_bytes body = { x->body, x->len, free, x->body };
    x->body = NULL; /* the call has it now */
    remora_binding_reply(x->call, body, pairs, count, has_failed ? &failure : NULL);
}

/* As Go's client says it: Get "http://host/path": words */
static void
fail(struct exchange *x, const char *words)
{
    char *shown = target_shown(x->target);
    remora_reply_error(x->call, REMORA_UNKNOWN, "%s \"%s\": %s", x->verb, shown, words);
    free(shown);
}

static void
on_done(struct transfer *transfer, CURLcode code)
{
    struct exchange *x = (struct exchange *)transfer;
    long status = 0;
    curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
    if (x->is_too_large)
        remora_reply_error(x->call, REMORA_RESOURCE_EXHAUSTED,
                           "the response is larger than maxResponseBodySize, %llu bytes",
                           (unsigned long long)x->settings->answer_bytes);
    else if (code == CURLE_OPERATION_TIMEDOUT)
        fail(x, "context deadline exceeded");
    else if (code != CURLE_OK)
        fail(x, transfer_error(transfer, code));
    else
        answer(x, status);
    free_exchange(x);
}

static void
on_cancel(remora_call *call, void *arg)
{
    struct exchange *x = arg;
    (void)call;
    fail(x,
         remora_call_time_left_ms(x->call) == 0 ? "context deadline exceeded" : "context canceled");
    free_exchange(x);
}

/* --- the answer --------------------------------------------------------------------------------*/

static size_t
on_body(char *data, size_t size, size_t count, void *arg)
{
    struct exchange *x = arg;
    size_t len = size * count;
    if (len > x->settings->answer_bytes - x->len) {
        x->is_too_large = true;
        return 0;
    }
    if (len > x->capacity - x->len) {
        size_t capacity = (x->len + len) * 2;
        char *body = realloc(x->body, capacity);
        if (body == NULL)
            return 0;
        x->body = body;
        x->capacity = capacity;
    }
    memcpy(x->body + x->len, data, len);
    x->len += len;
    return len;
}

/* "HTTP/1.1 200 OK": another answer begins, of a redirect or behind a 100. */
static void
take_status(struct exchange *x, struct remora_slice line)
{
    forget_headers(x);
    x->is_gzip = false;
    const char *space = memchr(line.data, ' ', line.len);
    size_t at = space == NULL ? line.len : (size_t)(space + 1 - line.data), len = line.len - at;
    len = len < STATUS_BYTES ? len : STATUS_BYTES - 1;
    memcpy(x->status, line.data + at, len);
    x->status[len] = '\0';
}

/* A name that was there before gets both values. */
static struct remora_pair *
find_header(struct exchange *x, struct remora_slice name)
{
    for (size_t i = 0; i < x->pair_count; i++)
        if (x->pairs[i].name.len == name.len &&
            strncasecmp(x->pairs[i].name.data, name.data, name.len) == 0)
            return &x->pairs[i];
    return NULL;
}

static void
take_header(struct exchange *x, struct remora_slice name, struct remora_slice value)
{
    struct remora_pair *pair = find_header(x, name);
    size_t before = pair == NULL ? 0 : pair->value.len;
    if ((pair == NULL && x->pair_count == HEADERS_MAX) || before + value.len > HEADER_BYTES_MAX)
        return;
    char *text = malloc(name.len + before + value.len + 2), *at = text;
    if (text == NULL)
        abort();
    memcpy(at, name.data, name.len);
    at += name.len;
    if (pair != NULL) {
        memcpy(at, pair->value.data, before);
        memcpy(at + before, ", ", 2);
        at += before + 2;
        free((char *)(uintptr_t)pair->name.data); /* ours */
    } else {
        pair = &x->pairs[x->pair_count++];
    }
    memcpy(at, value.data, value.len);
    *pair = (struct remora_pair){
        { text, name.len },
        { text + name.len, (size_t)(at - text) - name.len + value.len },
    };
    if (name.len == 16 && strncasecmp(name.data, "Content-Encoding", 16) == 0 && value.len == 4 &&
        strncasecmp(value.data, "gzip", 4) == 0)
        x->is_gzip = true;
}

static size_t
on_header(char *data, size_t size, size_t count, void *arg)
{
    struct exchange *x = arg;
    size_t whole = size * count, len = whole;
    while (len > 0 && (data[len - 1] == '\n' || data[len - 1] == '\r' || data[len - 1] == ' '))
        len--;
    const char *colon = memchr(data, ':', len);
    if (len >= 5 && memcmp(data, "HTTP/", 5) == 0) {
        take_status(x, (struct remora_slice){ data, len });
    } else if (colon != NULL && colon > data) {
        size_t at = (size_t)(colon + 1 - data);
        while (at < len && (data[at] == ' ' || data[at] == '\t'))
            at++;
        take_header(x, (struct remora_slice){ data, (size_t)(colon - data) },
                    (struct remora_slice){ data + at, len - at });
    }
    return whole;
}

/* --- the request -------------------------------------------------------------------------------*/

static void
add_header(struct exchange *x, struct remora_slice name, struct remora_slice value)
{
    char *line = malloc(name.len + value.len + 3);
    if (line == NULL)
        abort();
    memcpy(line, name.data, name.len);
    /* An empty value is one only behind a semicolon, for libcurl. */
    memcpy(line + name.len, value.len == 0 ? ";" : ": ", 2);
    memcpy(line + name.len + (value.len == 0 ? 1 : 2), value.data, value.len);
    line[name.len + (value.len == 0 ? 1 : 2) + value.len] = '\0';
    struct curl_slist *headers = curl_slist_append(x->headers, line);
    explicit_bzero(line, name.len + value.len + 2);
    free(line);
    if (headers == NULL)
        abort();
    x->headers = headers;
}

static bool
is_named(struct remora_slice name, const char *text)
{
    return name.len == strlen(text) && strncasecmp(name.data, text, name.len) == 0;
}

/* What Go's client takes from elsewhere, and what is the trace's. */
static bool
is_left_out(struct remora_slice name)
{
    static const char *const names[] = { "Host",        "Content-Length", "Transfer-Encoding",
                                         "Trailer",     "Connection",     "Expect",
                                         "Traceparent", "Tracestate",     "Baggage" };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (is_named(name, names[i]))
            return true;
    return false;
}

/* Metadata with a capital letter are headers; of the others, the trace. False: one cannot be. */
static bool
add_metadata(struct exchange *x, const struct remora_binding_request *request)
{
    for (size_t i = 0; i < request->metadata_count; i++) {
        const struct remora_pair *pair = &request->metadata[i];
        bool is_capital = pair->name.len > 0 && pair->name.data[0] >= 'A' &&
                          pair->name.data[0] <= 'Z';
        bool is_trace = remora_slice_eq(pair->name, "traceparent") ||
                        remora_slice_eq(pair->name, "tracestate") ||
                        remora_slice_eq(pair->name, "baggage");
        if (is_trace && pair->value.len > 0)
            add_header(x, pair->name, pair->value);
        if (!is_capital || is_left_out(pair->name))
            continue;
        if (!target_is_header_name(pair->name) || !target_is_header_value(pair->value)) {
            remora_reply_error(x->call, REMORA_INVALID_ARGUMENT,
                               "net/http: invalid header field %s for \"%.*s\"",
                               target_is_header_name(pair->name) ? "value" : "name",
                               (int)(pair->name.len < 100 ? pair->name.len : 100), pair->name.data);
            return false;
        }
        add_header(x, pair->name, pair->value);
    }
    return true;
}

static bool
has_header(const struct remora_binding_request *request, const char *name)
{
    for (size_t i = 0; i < request->metadata_count; i++)
        if (remora_slice_eq(request->metadata[i].name, name))
            return true;
    return false;
}

static bool
add_headers(struct exchange *x, const struct remora_binding_request *request, bool has_body)
{
    const struct remora_slice json = slice_of("application/json; charset=utf-8");
    const struct settings *s = x->settings;
    if (has_body && !has_header(request, "Content-Type"))
        add_header(x, slice_of("Content-Type"), json);
    if (!has_header(request, "Accept"))
        add_header(x, slice_of("Accept"), json);
    if (s->token != NULL && s->token_header != NULL && !has_header(request, s->token_header))
        add_header(x, slice_of(s->token_header), slice_of(s->token));
    struct curl_slist *headers = curl_slist_append(x->headers, "Expect:");
    x->headers = headers == NULL ? x->headers : headers;
    return add_metadata(x, request);
}

static void
set_method(CURL *easy, const char *method, const struct remora_binding_request *request,
           bool has_body)
{
    if (has_body) {
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->data.len);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request->data.len > 0 ? request->data.data : "");
        if (strcmp(method, "POST") != 0)
            curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, method);
    } else if (strcmp(method, "HEAD") == 0) {
        curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
    } else if (strcmp(method, "GET") != 0) {
        curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, method);
    }
}

static void
set_blob(CURL *easy, CURLoption option, const char *pem)
{
    struct curl_blob blob = { .data = (void *)(uintptr_t)pem,
                              .len = pem == NULL ? 0 : strlen(pem),
                              .flags = CURL_BLOB_NOCOPY };
    if (pem != NULL)
        curl_easy_setopt(easy, option, &blob);
}

static void
set_options(struct exchange *x)
{
    CURL *easy = x->transfer.easy;
    uint64_t left = remora_call_time_left_ms(x->call);
    if (x->settings->timeout_ms > 0 && (uint64_t)x->settings->timeout_ms < left)
        left = (uint64_t)x->settings->timeout_ms;
    curl_easy_setopt(easy, CURLOPT_URL, x->target);
    curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, x->headers);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "remora");
    curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "gzip");
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(easy, CURLOPT_MAXREDIRS, (long)REDIRECTS_MAX);
    curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_TIMEOUT_MS);
    if (left < INT32_MAX)
        curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, left > 0 ? (long)left : 1L);
    transfer_trust(&x->transfer, false);
    set_blob(easy, CURLOPT_CAINFO_BLOB, x->settings->root_ca);
    set_blob(easy, CURLOPT_SSLCERT_BLOB, x->settings->client_cert);
    set_blob(easy, CURLOPT_SSLKEY_BLOB, x->settings->client_key);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, x);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, x);
}

struct method {
    const char *operation, *name, *verb;
    bool has_body;
};

/* "create" is an old name of "post". The kernel has checked the operation. */
static const struct method *
method_of(struct remora_slice operation)
{
    static const struct method methods[] = {
        { "create", "POST", "Post", true },      { "get", "GET", "Get", false },
        { "head", "HEAD", "Head", false },       { "post", "POST", "Post", true },
        { "put", "PUT", "Put", true },           { "patch", "PATCH", "Patch", true },
        { "delete", "DELETE", "Delete", false }, { "options", "OPTIONS", "Options", false },
        { "trace", "TRACE", "Trace", false },
    };
    const struct method *method = methods;
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++)
        if (remora_slice_eq(operation, methods[i].operation))
            method = &methods[i];
    return method;
}

void
exchange_start(remora_call *call, const struct settings *settings,
               const struct remora_binding_request *request)
{
    struct remora_slice path = { "", 0 };
    struct exchange *x = calloc(1, sizeof *x);
    const struct method *method = method_of(request->operation);
    if (x == NULL)
        abort();
    transfer_init(&x->transfer, on_done);
    x->call = call;
    x->settings = settings;
    x->verb = method->verb;
    x->fails_if_not_2xx = settings->fails_if_not_2xx;
    for (size_t i = 0; i < request->metadata_count; i++) {
        const struct remora_pair *pair = &request->metadata[i];
        if (remora_slice_eq(pair->name, "path"))
            path = pair->value;
        if (remora_slice_eq(pair->name, "errorIfNot2XX") && pair->value.len > 0)
            x->fails_if_not_2xx = settings_is_truthy(pair->value);
    }
    x->target = target_make(settings->url == NULL ? "" : settings->url, path);
    if (x->target == NULL) {
        remora_reply_error(call, REMORA_INVALID_ARGUMENT,
                           "net/url: invalid control character in URL, or it is too long");
        free_exchange(x);
        return;
    }
    if (!add_headers(x, request, method->has_body)) { /* answered */
        free_exchange(x);
        return;
    }
    set_options(x);
    set_method(x->transfer.easy, method->name, request, method->has_body);
    remora_call_on_cancel(call, on_cancel, x);
    transfer_start(&x->transfer);
}
