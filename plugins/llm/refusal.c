/* SPDX-License-Identifier: Apache-2.0 */
/* Statuses and words of failures; see refusal.h. */
#include "refusal.h"

#include <curl/curl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "json.h"
#include "redact.h"

enum { WAIT_SECONDS_MAX = 30 * 24 * 3600 };

struct meaning {
    long status;
    enum remora_code code;
    enum remora_effect effect;
    const char *words;
    bool has_message; /* what the provider says of it helps, and is no echo of credentials */
};

static const struct meaning meanings[] = {
    { 400, REMORA_INVALID_ARGUMENT, REMORA_EFFECT_FAILED, "the request was refused", true },
    { 401, REMORA_UNAUTHENTICATED, REMORA_EFFECT_FAILED, "the key was refused", false },
    { 402, REMORA_FAILED_PRECONDITION, REMORA_EFFECT_FAILED, "payment is required", false },
    { 403, REMORA_PERMISSION_DENIED, REMORA_EFFECT_FAILED, "the key does not permit this", false },
    { 404, REMORA_NOT_FOUND, REMORA_EFFECT_FAILED, "no such model or endpoint", true },
    { 408, REMORA_DEADLINE_EXCEEDED, REMORA_EFFECT_UNKNOWN, "the provider took too long", false },
    { 409, REMORA_ABORTED, REMORA_EFFECT_FAILED, "the request conflicts", true },
    { 413, REMORA_INVALID_ARGUMENT, REMORA_EFFECT_FAILED, "the request is too large", true },
    { 422, REMORA_INVALID_ARGUMENT, REMORA_EFFECT_FAILED, "the request was refused", true },
    { 424, REMORA_UNAVAILABLE, REMORA_EFFECT_UNKNOWN, "the model failed", false },
    { 429, REMORA_RESOURCE_EXHAUSTED, REMORA_EFFECT_FAILED, "rate limit or quota exceeded", true },
    { 504, REMORA_DEADLINE_EXCEEDED, REMORA_EFFECT_UNKNOWN, "the provider took too long", false },
};

static struct meaning
meaning_of(long status)
{
    for (size_t i = 0; i < sizeof meanings / sizeof meanings[0]; i++)
        if (meanings[i].status == status)
            return meanings[i];
    if (status >= 500)
        return (struct meaning){ status, REMORA_UNAVAILABLE, REMORA_EFFECT_UNKNOWN,
                                 "the provider is unavailable", false };
    if (status >= 400)
        return (struct meaning){ status, REMORA_INVALID_ARGUMENT, REMORA_EFFECT_FAILED,
                                 "the request was refused", true };
    return (struct meaning){ status, REMORA_INTERNAL, REMORA_EFFECT_UNKNOWN,
                             "a status that no answer has", false };
}

/* --- what the provider says --------------------------------------------------------------------*/

/* {"error": {...}} or {"choices": [{"error": {...}}]} */
static const cJSON *
error_of(const cJSON *tree)
{
    const cJSON *error = json_get_object(tree, "error");
    const cJSON *choices = json_get_array(tree, "choices");
    return error != NULL || choices == NULL ? error : json_get_object(choices->child, "error");
}

long
refusal_within(const cJSON *tree)
{
    const cJSON *code = json_get(error_of(tree), "code");
    bool is_status = cJSON_IsNumber(code) && code->valuedouble >= 400 && code->valuedouble < 600;
    return is_status ? (long)code->valuedouble : 0;
}

/* {"error": {"message": ...}}, {"error": "..."}, {"message": ...} or {"detail": ...} */
static const char *
message_of(const cJSON *tree)
{
    const char *inner = json_get_text(error_of(tree), "message");
    const char *const found[] = { inner, json_get_text(tree, "error"),
                                  json_get_text(tree, "message"), json_get_text(tree, "detail") };
    for (size_t i = 0; i < sizeof found / sizeof found[0]; i++)
        if (found[i] != NULL && *found[i] != '\0')
            return found[i];
    return NULL;
}

/* Google answers a wrong key with 400. */
static bool
is_about_key(const cJSON *tree)
{
    const cJSON *detail;
    cJSON_ArrayForEach(detail, json_get_array(json_get_object(tree, "error"), "details"))
    {
        const char *reason = json_get_text(detail, "reason");
        if (reason != NULL && strcmp(reason, "API_KEY_INVALID") == 0)
            return true;
    }
    return false;
}

/* --- how long to wait --------------------------------------------------------------------------*/

static long
whole_seconds(const char *text, char end)
{
    long seconds = 0;
    size_t i = 0;
    for (; text[i] >= '0' && text[i] <= '9'; i++) {
        seconds = seconds * 10 + (text[i] - '0');
        if (seconds > WAIT_SECONDS_MAX)
            return -1;
    }
    return i > 0 && (text[i] == '\0' || text[i] == end || text[i] == '.') ? seconds : -1;
}

/* Of the header: a number of seconds or a date. Google has it in the body: "17s". -1: it is not
 * said. */
static long
wait_of(const char *retry_after, const cJSON *tree)
{
    long seconds = whole_seconds(retry_after, '\0');
    if (seconds >= 0)
        return seconds;
    time_t then = *retry_after == '\0' ? -1 : curl_getdate(retry_after, NULL);
    if (then != -1) {
        time_t now = time(NULL);
        return then <= now ? 0 : then - now > WAIT_SECONDS_MAX ? -1 : (long)(then - now);
    }
    const cJSON *detail;
    cJSON_ArrayForEach(detail, json_get_array(json_get_object(tree, "error"), "details"))
    {
        const char *delay = json_get_text(detail, "retryDelay");
        if (delay != NULL && (seconds = whole_seconds(delay, 's')) >= 0)
            return seconds;
    }
    return -1;
}

struct remora_failure
refusal_read(const struct refusal *refusal, const struct settings *settings,
             const struct remora_conversation *conversation, char words[REFUSAL_WORDS_BYTES])
{
    struct meaning meaning = meaning_of(refusal->status);
    cJSON *tree = json_parse(refusal->body, refusal->len);
    char said[REDACT_BYTES_MAX + 1] = "", wait[64] = "";
    if (is_about_key(tree))
        meaning = meaning_of(401);
    const char *message = meaning.has_message ? message_of(tree) : NULL;
    if (message != NULL)
        redact(message, settings, conversation, said);
    long seconds = refusal->status == 429 || refusal->status >= 500
                       ? wait_of(refusal->retry_after, tree)
                       : -1;
    if (seconds >= 0)
        (void)snprintf(wait, sizeof wait, "; retry after %ld s", seconds);
    (void)snprintf(words, REFUSAL_WORDS_BYTES, "%s: %s (HTTP %ld)%s%s%s", settings->provider->label,
                   meaning.words, refusal->status, wait, *said == '\0' ? "" : ": ", said);
    cJSON_Delete(tree);
    return (
        struct remora_failure){ .code = meaning.code, .effect = meaning.effect, .message = words };
}
