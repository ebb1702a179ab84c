/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The request is sent once: whether it is worth another try is for the sidecar's policies to say.
 * Redirects are not followed, since the key would go along. See exchange.h.
 */
#include "exchange.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "../shared/aws_credentials.h"
#include "../shared/memory.h"
#include "../shared/transfer.h"
#include "json.h"
#include "refusal.h"
#include "wire.h"

enum {
    CONNECT_TIMEOUT_MS = 15 * 1000,
    TIMEOUT_MS = 10 * 60 * 1000, /* where the caller has none */
    ANSWER_BYTES_MAX = 8 * 1024 * 1024,
    MODEL_BYTES_MAX = 2048,
};

struct exchange {
    struct transfer transfer; /* first */
    remora_call *call;
    struct aws_wait *wait; /* for keys of AWS */
    const struct settings *settings;
    const struct remora_conversation *conversation; /* the call's */
    char *model, *url, *body;
    struct curl_slist *headers;
    char *answer;
    size_t len, capacity;
    bool is_too_large;
    char retry_after[REFUSAL_HEADER_BYTES];
};

static void
free_exchange(struct exchange *x)
{
    aws_wait_cancel(x->wait);
    transfer_end(&x->transfer);
    for (struct curl_slist *line = x->headers; line != NULL; line = line->next)
        explicit_bzero(line->data, strlen(line->data)); /* the key */
    curl_slist_free_all(x->headers);
    free(x->model);
    free(x->url);
    free(x->body);
    free(x->answer);
    free(x);
}

/* --- the end -----------------------------------------------------------------------------------*/

__attribute__((format(printf, 4, 5))) static void
fail(struct exchange *x, enum remora_code code, enum remora_effect effect, const char *format, ...)
{
    char what[1024], words[1100];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    (void)snprintf(words, sizeof words, "%s: %s", x->settings->provider->label, what);
    remora_reply_failure(
        x->call, &(struct remora_failure){ .code = code, .effect = effect, .message = words });
}

static void
refuse(struct exchange *x, long status)
{
    char words[REFUSAL_WORDS_BYTES];
    const struct refusal refusal = {
        .status = status,
        .body = x->answer != NULL ? x->answer : "",
        .len = x->len,
        .retry_after = x->retry_after,
    };
    struct remora_failure failure = refusal_read(&refusal, x->settings, x->conversation, words);
    remora_reply_failure(x->call, &failure);
}

static void
reply(struct exchange *x)
{
    struct answer answer = { .blocks = NULL };
    cJSON *tree = json_parse(x->answer != NULL ? x->answer : "", x->len);
    long status = refusal_within(tree);
    if (status != 0) {
        refuse(x, status);
    } else if (tree == NULL || !x->settings->provider->wire->read(tree, &answer)) {
        fail(x, REMORA_INTERNAL, REMORA_EFFECT_UNKNOWN, "the answer makes no sense: %s",
             x->len == 0    ? "it is empty"
             : tree == NULL ? "it is no JSON object, or one beyond all bounds"
                            : "something is missing in it, or of another type");
    } else {
        if (answer.reply.model.len == 0 || answer.reply.model.len > MODEL_BYTES_MAX)
            answer.reply.model = json_slice(x->model);
        answer.reply.context_id = x->conversation->context_id;
        remora_conversation_reply(x->call, &answer.reply);
    }
    answer_fini(&answer);
    cJSON_Delete(tree);
}

/* Nothing was sent, as far as one can know: another try is harmless. */
static bool
is_unsent(CURLcode code)
{
    return code == CURLE_COULDNT_RESOLVE_HOST || code == CURLE_COULDNT_CONNECT ||
           code == CURLE_SSL_CONNECT_ERROR || code == CURLE_PEER_FAILED_VERIFICATION ||
           code == CURLE_SSL_CACERT_BADFILE || code == CURLE_URL_MALFORMAT;
}

static void
on_done(struct transfer *transfer, CURLcode code)
{
    struct exchange *x = (struct exchange *)transfer;
    long status = 0;
    curl_off_t connected = 0;
    curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(transfer->easy, CURLINFO_PRETRANSFER_TIME_T, &connected);
    enum remora_effect effect = is_unsent(code) || connected == 0 ? REMORA_EFFECT_NOT_SENT
                                                                  : REMORA_EFFECT_UNKNOWN;
    if (x->is_too_large)
        fail(x, REMORA_INTERNAL, REMORA_EFFECT_UNKNOWN, "the answer is larger than %d bytes",
             (int)ANSWER_BYTES_MAX);
    else if (code == CURLE_OPERATION_TIMEDOUT)
        fail(x, REMORA_DEADLINE_EXCEEDED, effect, "the provider did not answer in time");
    else if (code != CURLE_OK)
        fail(x, REMORA_UNAVAILABLE, effect, "%s", transfer_error(transfer, code));
    else if (status != 200)
        refuse(x, status);
    else
        reply(x);
    free_exchange(x);
}

static void
on_cancel(remora_call *call, void *arg)
{
    struct exchange *x = arg;
    if (remora_call_time_left_ms(call) == 0)
        fail(x, REMORA_DEADLINE_EXCEEDED, REMORA_EFFECT_UNKNOWN,
             "the provider did not answer in time");
    else
        fail(x, REMORA_CANCELLED, REMORA_EFFECT_UNKNOWN, "the caller has given up");
    free_exchange(x);
}

/* --- the answer --------------------------------------------------------------------------------*/

static size_t
on_body(char *data, size_t size, size_t count, void *arg)
{
    struct exchange *x = arg;
    size_t len = size * count;
    if (len > ANSWER_BYTES_MAX - x->len) {
        x->is_too_large = true;
        return 0;
    }
    if (len > x->capacity - x->len) {
        size_t twice = (x->len + len) * 2;
        x->capacity = twice < ANSWER_BYTES_MAX ? twice : (size_t)ANSWER_BYTES_MAX;
        x->answer = realloc(x->answer, x->capacity);
        if (x->answer == NULL)
            abort();
    }
    memcpy(x->answer + x->len, data, len);
    x->len += len;
    return len;
}

static size_t
on_header(char *data, size_t size, size_t count, void *arg)
{
    static const char name[] = "retry-after:";
    struct exchange *x = arg;
    size_t whole = size * count, from = sizeof name - 1, to = whole;
    if (whole < from || strncasecmp(data, name, from) != 0)
        return whole;
    while (from < to && (data[from] == ' ' || data[from] == '\t'))
        from++;
    while (to > from && (data[to - 1] == '\n' || data[to - 1] == '\r' || data[to - 1] == ' '))
        to--;
    if (to - from < sizeof x->retry_after) {
        memcpy(x->retry_after, data + from, to - from);
        x->retry_after[to - from] = '\0';
    }
    return whole;
}

/* --- the request -------------------------------------------------------------------------------*/

/* Of the request's metadata, or the component's; NULL: it is no name. It may become part of a path,
 * where it must not lead elsewhere. */
static char *
model_of(const struct settings *settings, const struct remora_conversation *conversation)
{
    struct remora_slice asked;
    if (!remora_metadata_get(conversation->metadata, conversation->metadata_count, "model",
                             &asked) ||
        asked.len == 0)
        return memory_text(settings->model);
    bool is_good = asked.len <= MODEL_BYTES_MAX && memmem(asked.data, asked.len, "..", 2) == NULL;
    for (size_t i = 0; i < asked.len && is_good; i++)
        is_good = asked.data[i] > ' ' && asked.data[i] < 0x7f;
    return is_good ? memory_slice(asked) : NULL;
}

static void
set_options(struct exchange *x)
{
    CURL *easy = x->transfer.easy;
    const char *ca_file = getenv("SSL_CERT_FILE"), *ca_path = getenv("SSL_CERT_DIR");
    uint64_t left = remora_call_time_left_ms(x->call);
    left = left > TIMEOUT_MS ? TIMEOUT_MS : left;
    curl_easy_setopt(easy, CURLOPT_URL, x->url);
    curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, x->headers);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "remora");
    curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, NULL); /* what is compressed may be a bomb */
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, x->body);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(x->body));
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_TIMEOUT_MS);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, left > 0 ? (long)left : 1L);
    curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (ca_file != NULL)
        curl_easy_setopt(easy, CURLOPT_CAINFO, ca_file);
    if (ca_path != NULL)
        curl_easy_setopt(easy, CURLOPT_CAPATH, ca_path);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, x);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, x);
}

/* False, and the call is answered. */
static bool
make_request(struct exchange *x)
{
    const struct wire *wire = x->settings->provider->wire;
    char error[WIRE_ERROR_BYTES] = "";
    x->model = model_of(x->settings, x->conversation);
    if (x->model == NULL) {
        fail(x, REMORA_INVALID_ARGUMENT, REMORA_EFFECT_NOT_SENT, "the model's name is no name");
        return false;
    }
    cJSON *tree = wire->ask(x->settings, x->conversation, x->model, error);
    if (tree == NULL) {
        fail(x, REMORA_INVALID_ARGUMENT, REMORA_EFFECT_NOT_SENT, "%s", error);
        return false;
    }
    x->body = json_print(tree);
    cJSON_Delete(tree);
    return true;
}

static void
send_signed(struct exchange *x)
{
    const struct wire *wire = x->settings->provider->wire;
    x->url = wire->url(x->settings, x->model);
    x->headers = wire_add_header(NULL, "Content-Type: ", "application/json");
    x->headers = wire_add_header(x->headers, "Accept: ", "application/json");
    x->headers = wire_add_header(x->headers, "Expect:", ""); /* no waiting for a 100 */
    x->headers = wire->sign(x->settings, x->headers, x->url, x->body);
    set_options(x);
    transfer_start(&x->transfer);
}

static void
on_keys(const struct aws_keys *keys, const char *words, void *arg)
{
    struct exchange *x = arg;
    x->wait = NULL; /* it goes by itself */
    if (keys != NULL) {
        send_signed(x);
        return;
    }
    fail(x, REMORA_UNAUTHENTICATED, REMORA_EFFECT_NOT_SENT, "%s", words);
    free_exchange(x);
}

void
exchange_start(remora_call *call, const struct settings *settings,
               const struct remora_conversation *conversation)
{
    struct aws_credentials *credentials = settings->credentials;
    struct exchange *x = memory_new(sizeof *x);
    transfer_init(&x->transfer, on_done);
    x->call = call;
    x->settings = settings;
    x->conversation = conversation;
    if (!make_request(x)) {
        free_exchange(x);
        return;
    }
    const bool has_keys = credentials == NULL || aws_credentials_now(credentials) != NULL;
    if (!has_keys && (x->wait = aws_credentials_wait(credentials, on_keys, x)) == NULL) {
        on_keys(NULL, "too many requests wait for AWS credentials", x);
        return;
    }
    remora_call_on_cancel(call, on_cancel, x);
    if (has_keys)
        send_signed(x);
}

bool
exchange_setup(void)
{
    json_setup();
    return transfer_setup(0);
}
