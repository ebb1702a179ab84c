/* SPDX-License-Identifier: Apache-2.0 */
/* Questions to a registry, and what is remembered of its answers; see registry.h. */
#include "registry.h"

#include <inttypes.h>

#include "../shared/base64.h"
#include "../shared/fetch.h"
#include "../shared/memory.h"
#include "../shared/monotonic.h"
#include "tokens.h"

enum {
    TIMEOUT_MS = 5000, /* the reference's */
    ANSWER_BYTES_MAX = 2 * AVRO_SCHEMA_BYTES_MAX,
    KEPT_MAX = 256, /* answers; then the one that was of use the longest ago goes */
    KEPT_BYTES_MAX = 64 * 1024 * 1024,
    BODY_SHOWN = 256,
};

/* An answer that is remembered. */
struct kept {
    struct kept *next;
    char *path; /* of the question; owned */
    struct avro_schema *schema;
    uint32_t id;
    uint64_t until_ms; /* UINT64_MAX: for good */
};

struct registry_wait {
    struct registry_wait *next;
    struct question *question;
    registry_done *done;
    void *arg;
};

/* A question that is on its way. */
struct question {
    struct question *next;
    struct registry *registry;
    struct fetch *fetch;
    char *path;     /* owned */
    bool is_latest; /* of a subject; else of an id, which is: */
    uint32_t id;
    struct registry_wait *waits; /* owned */
};

struct registry {
    const struct settings *settings;
    struct fetch_identity identity; /* of nobody: the system's authorities are trusted */
    char *authorization;            /* a header; NULL: none */
    struct kept *kept;              /* owned, the latest that was of use first */
    struct question *questions;     /* owned */
};

/* --- what is remembered ------------------------------------------------------------------------*/

static void
kept_free(struct kept *kept)
{
    avro_schema_unref(kept->schema);
    free(kept->path);
    free(kept);
}

/* The place of an answer that is still good; what is not goes. */
static struct kept *
find_kept(struct registry *registry, const char *path)
{
    for (struct kept **at = &registry->kept; *at != NULL; at = &(*at)->next) {
        struct kept *kept = *at;
        if (strcmp(kept->path, path) != 0)
            continue;
        *at = kept->next;
        if (kept->until_ms <= monotonic_now_ms()) {
            kept_free(kept);
            return NULL;
        }
        kept->next = registry->kept;
        registry->kept = kept;
        return kept;
    }
    return NULL;
}

static void
forget_surplus(struct registry *registry)
{
    size_t count = 0, bytes = 0;
    struct kept **at = &registry->kept;
    while (*at != NULL && (count == 0 || (count < KEPT_MAX && bytes < KEPT_BYTES_MAX))) {
        bytes += avro_schema_bytes((*at)->schema);
        count++;
        at = &(*at)->next;
    }
    while (*at != NULL) {
        struct kept *kept = *at;
        *at = kept->next;
        kept_free(kept);
    }
}

static void
keep(struct registry *registry, const char *path, struct avro_schema *schema, uint32_t id,
     uint64_t until_ms)
{
    if (!registry->settings->keeps_schemas || find_kept(registry, path) != NULL)
        return;
    struct kept *kept = memory_new(sizeof *kept);
    *kept = (struct kept){ .next = registry->kept,
                           .path = memory_text(path),
                           .schema = avro_schema_ref(schema),
                           .id = id,
                           .until_ms = until_ms };
    registry->kept = kept;
    forget_surplus(registry);
}

/* --- answers -----------------------------------------------------------------------------------*/

/* An id is a number of 32 bits, also one that others take for negative. */
static bool
read_id(const struct tokens *tokens, uint32_t token, uint32_t *ret)
{
    int64_t number;
    if (token == 0 || tokens->list[token].type != TOKEN_NUMBER ||
        !remora_parse_i64(
            (struct remora_slice){ tokens->text + tokens->list[token].at, tokens->list[token].len },
            &number) ||
        number < INT32_MIN || number > UINT32_MAX)
        return false;
    *ret = (uint32_t)number;
    return true;
}

static struct avro_schema *
read_schema(const struct tokens *tokens, char why[AVRO_WHY_BYTES])
{
    uint32_t token = tokens_member(tokens, 0, "schema");
    uint32_t type = tokens_member(tokens, 0, "schemaType");
    const char *words;
    size_t len;
    if (type != 0 && tokens->list[type].type == TOKEN_STRING && !tokens_is(tokens, type, "AVRO")) {
        (void)snprintf(why, AVRO_WHY_BYTES, "the schema is not one of Avro");
        return NULL;
    }
    if (token == 0 || tokens->list[token].type != TOKEN_STRING) {
        (void)snprintf(why, AVRO_WHY_BYTES, "the registry's answer has no schema");
        return NULL;
    }
    char *text = memory_new(tokens->list[token].len + 1);
    struct avro_schema *schema = NULL;
    if (tokens_unescape(tokens, token, TOKEN_AS_TEXT, text, &len, &words))
        schema = avro_schema_new(text, len, why);
    else
        (void)snprintf(why, AVRO_WHY_BYTES, "the registry's schema is no text: %s", words);
    free(text);
    return schema;
}

/* The schema of a good answer, and its id; NULL: `why` says what is wrong with it. */
static struct avro_schema *
read_answer(const struct question *question, const struct fetch_answer *answer, uint32_t *ret_id,
            char why[AVRO_WHY_BYTES])
{
    struct tokens tokens;
    const char *words;
    if (!tokens_read(&tokens, answer->body, answer->len, &words)) {
        (void)snprintf(why, AVRO_WHY_BYTES, "the registry's answer cannot be read: %s", words);
        return NULL;
    }
    struct avro_schema *schema = NULL;
    *ret_id = question->id;
    if (question->is_latest && !read_id(&tokens, tokens_member(&tokens, 0, "id"), ret_id))
        (void)snprintf(why, AVRO_WHY_BYTES, "the registry's answer has no id");
    else
        schema = read_schema(&tokens, why);
    tokens_fini(&tokens);
    return schema;
}

/* --- failures ----------------------------------------------------------------------------------*/

static enum remora_code
code_of(long status)
{
    switch (status) {
    case 401:
    case 403:
        return REMORA_PERMISSION_DENIED;
    case 404:
        return REMORA_NOT_FOUND;
    default:
        return REMORA_UNAVAILABLE;
    }
}

static const char *
status_words(long status)
{
    static const struct {
        long status;
        const char *words;
    } known[] = { { 301, " Moved Permanently" },  { 302, " Found" },
                  { 401, " Unauthorized" },       { 403, " Forbidden" },
                  { 404, " Not Found" },          { 429, " Too Many Requests" },
                  { 502, " Bad Gateway" },        { 500, " Internal Server Error" },
                  { 503, " Service Unavailable" } };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (known[i].status == status)
            return known[i].words;
    return "";
}

/* Who asks and their password may stand in front of a host. */
static const char *
host_of(const char *url, int *ret_scheme_len)
{
    const char *scheme = strstr(url, "://");
    const char *host = scheme == NULL ? url : scheme + 3;
    size_t len = strcspn(host, "/?#");
    *ret_scheme_len = (int)(host - url);
    const char *at = memrchr(host, '@', len);
    return at == NULL ? host : at + 1;
}

/* As the reference's client has it: an error of the registry is its JSON, or the status. */
static void
say_failure(const struct question *question, const struct fetch_answer *answer,
            char why[AVRO_WHY_BYTES])
{
    struct tokens tokens;
    const char *words;
    int scheme_len;
    if (answer->status == 0) {
        const char *url = question->registry->settings->registry_url;
        const char *host = host_of(url, &scheme_len);
        (void)snprintf(why, AVRO_WHY_BYTES, "Get \"%.*s%s%s\": %s", scheme_len, url, host,
                       question->path, answer->error);
        return;
    }
    (void)snprintf(why, AVRO_WHY_BYTES, "%ld%s", answer->status, status_words(answer->status));
    if (answer->len > BODY_SHOWN || !tokens_read(&tokens, answer->body, answer->len, &words))
        return;
    if (tokens.list[0].type == TOKEN_OBJECT)
        (void)snprintf(why, AVRO_WHY_BYTES, "%.*s", (int)answer->len, answer->body);
    tokens_fini(&tokens);
}

/* --- questions ---------------------------------------------------------------------------------*/

static void
unlink_question(struct question *question)
{
    struct question **at = &question->registry->questions;
    while (*at != question)
        at = &(*at)->next;
    *at = question->next;
}

/* Whoever waits may ask again, or cancel somebody else's waiting. */
static void
tell(struct question *question, const struct registry_answer *answer)
{
    while (question->waits != NULL) {
        struct registry_wait *wait = question->waits;
        question->waits = wait->next;
        registry_done *done = wait->done;
        void *arg = wait->arg;
        free(wait);
        done(answer, arg);
    }
    free(question->path);
    free(question);
}

static void
remember(struct question *question, struct avro_schema *schema, uint32_t id)
{
    struct registry *registry = question->registry;
    char path[64];
    uint64_t now = monotonic_now_ms(), until = UINT64_MAX;
    if (question->is_latest)
        until = now + (uint64_t)registry->settings->latest_ms;
    (void)snprintf(path, sizeof path, "/schemas/ids/%" PRIu32, id);
    if (question->is_latest)
        keep(registry, path, schema, id, UINT64_MAX);
    keep(registry, question->path, schema, id, until);
}

static void
on_answer(const struct fetch_answer *answer, void *arg)
{
    struct question *question = arg;
    char why[AVRO_WHY_BYTES] = "";
    struct registry_answer told = { .code = REMORA_FAILED_PRECONDITION, .why = why };
    unlink_question(question);
    if (answer->status < 200 || answer->status > 299) {
        told.code = code_of(answer->status);
        say_failure(question, answer, why);
    } else {
        told.schema = read_answer(question, answer, &told.id, why);
    }
    if (told.schema != NULL)
        remember(question, told.schema, told.id);
    struct avro_schema *schema = told.schema;
    tell(question, &told);
    avro_schema_unref(schema);
}

static void
start(struct registry *registry, struct question *question)
{
    const char *headers[3] = { "Content-Type: application/vnd.schemaregistry.v1+json",
                               registry->authorization, NULL };
    char *url = memory_printf("%s%s", registry->settings->registry_url, question->path);
    question->fetch = fetch_start(&(struct fetch_question){ .method = "GET",
                                                            .url = url,
                                                            .headers = headers,
                                                            .identity = &registry->identity,
                                                            .answer_bytes_max = ANSWER_BYTES_MAX,
                                                            .timeout_ms = TIMEOUT_MS },
                                  on_answer, question);
    memory_wipe(url);
}

static struct question *
find_question(struct registry *registry, const char *path)
{
    struct question *question = registry->questions;
    while (question != NULL && strcmp(question->path, path) != 0)
        question = question->next;
    return question;
}

/* The path is moved. */
static struct registry_wait *
ask(struct registry *registry, char *path, const struct question *what, registry_done *done,
    void *arg)
{
    struct kept *kept = find_kept(registry, path);
    if (kept != NULL) {
        struct avro_schema *schema = avro_schema_ref(kept->schema);
        free(path);
        done(&(struct registry_answer){ .schema = schema, .id = kept->id }, arg);
        avro_schema_unref(schema);
        return NULL;
    }
    struct question *question = find_question(registry, path);
    struct registry_wait *wait = memory_new(sizeof *wait);
    if (question == NULL) {
        question = memory_new(sizeof *question);
        *question = *what;
        question->registry = registry;
        question->path = path;
        question->next = registry->questions;
        registry->questions = question;
        start(registry, question);
    } else {
        free(path);
    }
    *wait = (struct registry_wait){ .question = question, .done = done, .arg = arg };
    struct registry_wait **last = &question->waits; /* they are told in their order */
    while (*last != NULL)
        last = &(*last)->next;
    *last = wait;
    return wait;
}

struct registry_wait *
registry_ask_latest(struct registry *registry, struct remora_slice topic, registry_done *done,
                    void *arg)
{
    char *name = fetch_escape(topic.data, topic.len);
    char *path = memory_printf("/subjects/%s-value/versions/latest", name);
    free(name);
    return ask(registry, path, &(struct question){ .is_latest = true }, done, arg);
}

struct registry_wait *
registry_ask_id(struct registry *registry, uint32_t id, registry_done *done, void *arg)
{
    char *path = memory_printf("/schemas/ids/%" PRIu32, id);
    return ask(registry, path, &(struct question){ .id = id }, done, arg);
}

/* The question goes on: its answer is worth remembering. */
void
registry_cancel(struct registry_wait *wait)
{
    if (wait == NULL)
        return;
    struct registry_wait **at = &wait->question->waits;
    while (*at != wait)
        at = &(*at)->next;
    *at = wait->next;
    free(wait);
}

/* --- the life ----------------------------------------------------------------------------------*/

/* The reference sends neither of the two alone. */
static char *
authorization_of(const struct settings *settings)
{
    if (settings->registry_key[0] == '\0' || settings->registry_secret[0] == '\0')
        return NULL;
    char *pair = memory_printf("%s:%s", settings->registry_key, settings->registry_secret);
    size_t len = strlen(pair);
    char *coded = memory_new(base64_encoded_len(len) + 1);
    base64_encode(pair, len, coded);
    char *header = memory_printf("Authorization: Basic %s", coded);
    memory_wipe(coded);
    memory_wipe(pair);
    return header;
}

struct registry *
registry_new(const struct settings *settings)
{
    struct registry *registry = memory_new(sizeof *registry);
    registry->settings = settings;
    registry->authorization = authorization_of(settings);
    return registry;
}

void
registry_close(struct registry *registry)
{
    if (registry == NULL)
        return;
    while (registry->questions != NULL) {
        struct question *question = registry->questions;
        registry->questions = question->next;
        fetch_cancel(question->fetch);
        tell(question,
             &(struct registry_answer){ .code = REMORA_UNAVAILABLE, .why = "component is closed" });
    }
    while (registry->kept != NULL) {
        struct kept *kept = registry->kept;
        registry->kept = kept->next;
        kept_free(kept);
    }
    memory_wipe(registry->authorization);
    free(registry);
}
