/* SPDX-License-Identifier: Apache-2.0 */
/* What statuses and bodies of refusals become, whatever form they have. */
#include "plugins/llm/refusal.h"

#include <time.h>

#include "test.h"

static char words[REFUSAL_WORDS_BYTES];

static struct remora_failure
refused(long status, const char *body, const char *retry_after)
{
    const struct provider *provider = provider_find(
        (struct remora_slice){ "conversation.ollama", 19 });
    const struct settings settings = { .provider = provider };
    const struct remora_slice said = { "my secret question", 18 };
    const struct remora_turn turn = { .content = &said, .content_count = 1 };
    const struct remora_conversation conversation = { .turns = &turn, .turn_count = 1 };
    const struct refusal refusal = { status, body, strlen(body), retry_after };
    return refusal_read(&refusal, &settings, &conversation, words);
}

TEST(each_status_has_a_code_and_says_whether_it_may_have_happened)
{
    static const struct {
        long status;
        enum remora_code code;
        enum remora_effect effect;
    } rows[] = {
        { 400, REMORA_INVALID_ARGUMENT, REMORA_EFFECT_FAILED },
        { 401, REMORA_UNAUTHENTICATED, REMORA_EFFECT_FAILED },
        { 402, REMORA_FAILED_PRECONDITION, REMORA_EFFECT_FAILED },
        { 403, REMORA_PERMISSION_DENIED, REMORA_EFFECT_FAILED },
        { 404, REMORA_NOT_FOUND, REMORA_EFFECT_FAILED },
        { 408, REMORA_DEADLINE_EXCEEDED, REMORA_EFFECT_UNKNOWN },
        { 418, REMORA_INVALID_ARGUMENT, REMORA_EFFECT_FAILED },
        { 429, REMORA_RESOURCE_EXHAUSTED, REMORA_EFFECT_FAILED },
        { 500, REMORA_UNAVAILABLE, REMORA_EFFECT_UNKNOWN },
        { 503, REMORA_UNAVAILABLE, REMORA_EFFECT_UNKNOWN },
        { 504, REMORA_DEADLINE_EXCEEDED, REMORA_EFFECT_UNKNOWN },
        { 529, REMORA_UNAVAILABLE, REMORA_EFFECT_UNKNOWN },
        { 302, REMORA_INTERNAL, REMORA_EFFECT_UNKNOWN },
        { 204, REMORA_INTERNAL, REMORA_EFFECT_UNKNOWN },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct remora_failure failure = refused(rows[i].status, "", "");
        CHECK_EQ_INT(failure.code, rows[i].code);
        CHECK_EQ_INT(failure.effect, rows[i].effect);
        CHECK(strncmp(failure.message, "ollama: ", 8) == 0);
    }
}

TEST(words_of_the_provider_are_found_in_all_their_forms)
{
    const char *wanted = "ollama: the request was refused (HTTP 400): so it is";
    CHECK_EQ_STR(refused(400, "{\"error\":{\"message\":\"so it is\"}}", "").message, wanted);
    CHECK_EQ_STR(refused(400, "{\"error\":\"so it is\"}", "").message, wanted);
    CHECK_EQ_STR(refused(400, "{\"message\":\"so it is\"}", "").message, wanted);
    CHECK_EQ_STR(refused(400, "{\"detail\":\"so it is\"}\n", "").message, wanted);
    const char *none = "ollama: the request was refused (HTTP 400)";
    CHECK_EQ_STR(refused(400, "<html>so it is</html>", "").message, none);
    CHECK_EQ_STR(refused(400, "{\"error\":{\"message\":5}}", "").message, none);
    CHECK_EQ_STR(refused(400, "[\"so it is\"]", "").message, none);
    CHECK_EQ_STR(refused(400, "{\"message\":\"cut of", "").message, none);
    CHECK_EQ_STR(refused(400, "{\"message\":\"\xff\"}", "").message, none);
}

TEST(what_may_repeat_credentials_is_not_told)
{
    CHECK_EQ_STR(refused(401, "{\"message\":\"key sk-123 is wrong\"}", "").message,
                 "ollama: the key was refused (HTTP 401)");
    CHECK_EQ_STR(refused(400, "{\"message\":\"what is my secret question?\"}", "").message,
                 "ollama: the request was refused (HTTP 400): what is ...?");
    struct remora_failure failure = refused(
        400,
        "{\"error\":{\"message\":\"API key AIza123 not valid\",\"details\":[5,{\"reason\":"
        "\"API_KEY_INVALID\"}]}}",
        "");
    CHECK_EQ_INT(failure.code, REMORA_UNAUTHENTICATED);
    CHECK_EQ_STR(failure.message, "ollama: the key was refused (HTTP 400)");
}

TEST(how_long_to_wait_is_told_in_seconds)
{
    const char *none = "ollama: rate limit or quota exceeded (HTTP 429)";
    const char *wait = "ollama: rate limit or quota exceeded (HTTP 429); retry after 17 s";
    CHECK_EQ_STR(refused(429, "", "17").message, wait);
    CHECK_EQ_STR(refused(429, "", "17.5").message, wait);
    CHECK_EQ_STR(refused(429, "{\"error\":{\"details\":[{\"retryDelay\":\"17s\"}]}}", "").message,
                 wait);
    CHECK_EQ_STR(refused(429, "", "").message, none);
    CHECK_EQ_STR(refused(429, "", "99999999999999999999999").message, none);
    CHECK_EQ_STR(refused(429, "", "-5").message, none);
    CHECK_EQ_STR(refused(429, "", "soon").message, none);
    CHECK_EQ_STR(refused(429, "", "Thu, 01 Jan 1998 00:00:00 GMT").message,
                 "ollama: rate limit or quota exceeded (HTTP 429); retry after 0 s");
    CHECK_EQ_STR(refused(503, "", "17").message,
                 "ollama: the provider is unavailable (HTTP 503); retry after 17 s");
    CHECK_EQ_STR(refused(400, "", "17").message, "ollama: the request was refused (HTTP 400)");
    char date[64];
    time_t then = time(NULL) + 1000;
    struct tm parts;
    (void)strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&then, &parts));
    CHECK(strstr(refused(429, "", date).message, "; retry after 9") != NULL ||
          strstr(words, "; retry after 1000 s") != NULL);
}
