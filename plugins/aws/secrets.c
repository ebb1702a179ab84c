/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Questions to Secrets Manager and to the Parameter Store, which differ in names and in how an
 * answer reads (secret_answer.h). One secret is one request; all of them are the pages of a list,
 * one after another, and then one request for each name that was found.
 */
#include "secrets.h"

#include <stdlib.h>
#include <string.h>

#include "../shared/memory.h"
#include "secret_answer.h"
#include "service.h"

enum {
    ANSWER_BYTES_MAX = 4 * 1024 * 1024,
    ALL_BYTES_MAX = 16 * 1024 * 1024,
    NAMES_MAX = 10000,
    PAGES_MAX = 1000, /* they may be empty, and a server may say that there is always one more */
    NAME_BYTES_MAX = 2048,
    TIMEOUT_MS = 30 * 1000,
};

struct kind {
    struct service service;
    const char *get, *list; /* operations */
    const char *missing[3]; /* codes of what is not there */
    struct secret_form form;
};

static const struct kind manager = {
    .service = { .name = "secretsmanager",
                 .title = "Secrets Manager",
                 .target = "secretsmanager",
                 .version = "1.1",
                 .is_secret = true },
    .get = "GetSecretValue",
    .list = "ListSecrets",
    .missing = { "ResourceNotFoundException" },
    .form = { .value = "SecretString", .items = "SecretList" },
};

static const struct kind parameters = {
    .service = { .name = "ssm",
                 .title = "SSM",
                 .target = "AmazonSSM",
                 .version = "1.1",
                 .is_secret = true },
    .get = "GetParameter",
    .list = "DescribeParameters",
    .missing = { "ParameterNotFound", "ParameterVersionNotFound", "ResourceNotFoundException" },
    .form = { .within = "Parameter", .value = "Value", .items = "Parameters" },
};

struct store {
    const struct kind *kind;
    struct settings settings;
    struct secret_form form;
    char *prefix; /* of the form; owned */
};

/* A call under way, in its memory. */
struct asking {
    struct store *store;
    remora_call *call;
    struct service_ask *ask;
    struct walk *walk; /* of all secrets, or NULL */
};

struct walk {
    struct remora_secret *secrets; /* by their full names; with their pairs up to `done` */
    size_t count, done, bytes, pages;
};

/* --- asking ------------------------------------------------------------------------------------*/

static void
on_cancelled(remora_call *call, void *arg)
{
    struct asking *asking = arg;
    service_ask_end(asking->ask);
    remora_reply_error(call, REMORA_CANCELLED, "the caller gave up");
}

static void
ask(struct asking *asking, const char *operation, struct text body, service_done *done)
{
    const uint64_t left = remora_call_time_left_ms(asking->call);
    const struct service_question question = {
        .service = &asking->store->kind->service,
        .settings = &asking->store->settings,
        .operation = operation,
        .body = body,
        .answer_bytes_max = ANSWER_BYTES_MAX,
        .timeout_ms = left > TIMEOUT_MS ? TIMEOUT_MS : left,
    };
    asking->ask = service_ask(&question, done, asking);
}

static bool
is_missing(const struct asking *asking, const struct service_reply *reply)
{
    const struct kind *kind = asking->store->kind;
    for (size_t i = 0; i < sizeof kind->missing / sizeof kind->missing[0]; i++)
        if (kind->missing[i] != NULL && strcmp(reply->code, kind->missing[i]) == 0)
            return true;
    return false;
}

static enum remora_code
code_of(const struct service_reply *reply)
{
    if (strstr(reply->code, "Throttling") != NULL || strstr(reply->code, "TooManyUpdates") != NULL)
        return REMORA_RESOURCE_EXHAUSTED;
    if (reply->status == 0 || reply->status >= 500)
        return REMORA_UNAVAILABLE;
    if (reply->status == 401 || reply->status == 403 || strstr(reply->code, "AccessDenied") ||
        strstr(reply->code, "UnrecognizedClient") || strstr(reply->code, "InvalidSignature"))
        return REMORA_PERMISSION_DENIED;
    return REMORA_INTERNAL;
}

static void
refuse(const struct asking *asking, const char *what, const struct service_reply *reply)
{
    remora_reply_error(asking->call, code_of(reply), "couldn't %s: %s", what, reply->words);
}

static void
refuse_malformed(const struct asking *asking)
{
    remora_reply_error(asking->call, REMORA_INTERNAL,
                       "couldn't get secret: the answer makes no sense");
}

static void
refuse_size(const struct asking *asking)
{
    remora_reply_error(asking->call, REMORA_RESOURCE_EXHAUSTED,
                       "couldn't list secrets: the store holds more than can be read at once");
}

static void
put_member(struct text *out, const char *name, struct remora_slice value)
{
    json_put_raw(out, out->len == 0 ? "{\"" : ",\"");
    json_put_raw(out, name);
    json_put_raw(out, "\":");
    json_put(out, value);
}

/* --- one ---------------------------------------------------------------------------------------*/

static void
on_secret(const struct service_reply *reply, void *arg)
{
    struct asking *asking = arg;
    struct remora_pair *pairs;
    size_t count;
    asking->ask = NULL;
    if (is_missing(asking, reply))
        remora_secret_reply_missing(asking->call);
    else if (reply->words != NULL)
        refuse(asking, "get secret", reply);
    else if (secret_read(asking->call, &asking->store->form, reply->tree, &pairs, &count))
        remora_secret_reply_value(asking->call, pairs, count);
    else
        refuse_malformed(asking);
}

/* `name` is complete, with the prefix and the version. */
static void
ask_for(struct asking *asking, struct remora_slice name, const struct remora_pair *metadata,
        size_t metadata_count, service_done *done)
{
    const struct kind *kind = asking->store->kind;
    struct text body = { .bytes = NULL };
    struct remora_slice version;
    if (kind == &parameters) {
        put_member(&body, "Name", name);
        json_put_raw(&body, ",\"WithDecryption\":true}");
    } else {
        put_member(&body, "SecretId", name);
        if (remora_metadata_get(metadata, metadata_count, "version_id", &version))
            put_member(&body, "VersionId", version);
        if (remora_metadata_get(metadata, metadata_count, "version_stage", &version))
            put_member(&body, "VersionStage", version);
        json_put_raw(&body, "}");
    }
    ask(asking, kind->get, body, done);
}

static struct asking *
asking_new(remora_call *call, void *self)
{
    struct asking *asking = remora_call_alloc(call, sizeof *asking);
    *asking = (struct asking){ .store = self, .call = call };
    return asking;
}

/* "prefix" "name", and of the Parameter Store ":version". */
static struct remora_slice
full_name(const struct asking *asking, struct remora_slice name, const struct remora_pair *metadata,
          size_t metadata_count)
{
    const struct store *store = asking->store;
    struct remora_slice version = { "", 0 };
    const bool has_version = store->kind == &parameters &&
                             remora_metadata_get(metadata, metadata_count, "version_id", &version);
    const size_t prefix_len = strlen(store->form.prefix);
    char *full = remora_call_alloc(asking->call, prefix_len + name.len + version.len + 1);
    size_t len = prefix_len;
    memcpy(full, store->form.prefix, prefix_len);
    memcpy(full + len, name.data, name.len);
    len += name.len;
    if (has_version) {
        full[len++] = ':';
        memcpy(full + len, version.data, version.len);
        len += version.len;
    }
    return (struct remora_slice){ full, len };
}

static void
get(remora_call *call, void *self, struct remora_slice name, const struct remora_pair *metadata,
    size_t metadata_count)
{
    struct asking *asking = asking_new(call, self);
    if (name.len == 0 || name.len > NAME_BYTES_MAX) {
        remora_secret_reply_missing(call);
        return;
    }
    ask_for(asking, full_name(asking, name, metadata, metadata_count), metadata, metadata_count,
            on_secret);
    remora_call_on_cancel(call, on_cancelled, asking); /* which may be at once */
}

/* --- all ---------------------------------------------------------------------------------------*/

static void walk_on(struct asking *asking);

/* One that was deleted meanwhile is left out. */
static void
on_next_secret(const struct service_reply *reply, void *arg)
{
    struct asking *asking = arg;
    struct walk *walk = asking->walk;
    struct remora_secret *secret = &walk->secrets[walk->done];
    struct remora_pair *pairs = NULL;
    size_t count = 0;
    asking->ask = NULL;
    walk->bytes += reply->bytes;
    if (is_missing(asking, reply)) {
        *secret = walk->secrets[--walk->count];
        walk_on(asking);
    } else if (reply->words != NULL) {
        char what[NAME_BYTES_MAX];
        (void)snprintf(what, sizeof what, "get secret: %.*s",
                       (int)(secret->name.len < 1024 ? secret->name.len : 1024), secret->name.data);
        refuse(asking, what, reply);
    } else if (walk->bytes > ALL_BYTES_MAX) {
        refuse_size(asking);
    } else if (!secret_read(asking->call, &asking->store->form, reply->tree, &pairs, &count)) {
        refuse_malformed(asking);
    } else {
        const size_t prefix_len = strlen(asking->store->form.prefix);
        secret->name.data += prefix_len;
        secret->name.len -= prefix_len;
        secret->pairs = pairs;
        secret->pair_count = count;
        walk->done++;
        walk_on(asking);
    }
}

static bool
take_name(struct asking *asking, const char *name)
{
    struct walk *walk = asking->walk;
    const char *prefix = asking->store->form.prefix;
    const size_t len = strlen(name);
    if (strncmp(name, prefix, strlen(prefix)) != 0 || len == strlen(prefix))
        return true; /* not asked for */
    if (walk->count == NAMES_MAX || len > NAME_BYTES_MAX)
        return false;
    char *copy = remora_call_alloc(asking->call, len + 1);
    memcpy(copy, name, len + 1);
    walk->secrets[walk->count++] = (struct remora_secret){ .name = { copy, len } };
    return true;
}

static void ask_for_page(struct asking *asking, const char *token);

static void
on_page(const struct service_reply *reply, void *arg)
{
    struct asking *asking = arg;
    bool fits = ++asking->walk->pages <= PAGES_MAX;
    asking->ask = NULL;
    if (reply->words != NULL) {
        refuse(asking, "list secrets", reply);
        return;
    }
    const cJSON *items = cJSON_GetObjectItemCaseSensitive(reply->tree,
                                                          asking->store->kind->form.items);
    const cJSON *item;
    cJSON_ArrayForEach(item, items)
    {
        const char *name = json_text(item, "Name");
        fits = fits && (name == NULL || take_name(asking, name));
    }
    const char *token = json_text(reply->tree, "NextToken");
    if (!fits)
        refuse_size(asking);
    else if (token != NULL && *token != '\0')
        ask_for_page(asking, token);
    else
        walk_on(asking);
}

static void
ask_for_page(struct asking *asking, const char *token)
{
    const struct store *store = asking->store;
    const char *prefix = store->form.prefix;
    struct text body = { .bytes = NULL };
    if (token != NULL)
        put_member(&body, "NextToken", (struct remora_slice){ token, strlen(token) });
    if (*prefix != '\0') {
        json_put_raw(&body, body.len == 0 ? "{" : ",");
        json_put_raw(&body, "\"ParameterFilters\":[{\"Key\":\"Name\",\"Option\":\"BeginsWith\","
                            "\"Values\":[");
        json_put(&body, (struct remora_slice){ prefix, strlen(prefix) });
        json_put_raw(&body, "]}]");
    }
    json_put_raw(&body, body.len == 0 ? "{}" : "}");
    ask(asking, store->kind->list, body, on_page);
}

static void
walk_on(struct asking *asking)
{
    struct walk *walk = asking->walk;
    if (walk->done < walk->count)
        ask_for(asking, walk->secrets[walk->done].name, NULL, 0, on_next_secret);
    else
        remora_secret_reply_all(asking->call, walk->secrets, walk->count);
}

static void
get_all(remora_call *call, void *self, const struct remora_pair *metadata, size_t metadata_count)
{
    (void)metadata, (void)metadata_count;
    struct asking *asking = asking_new(call, self);
    struct walk *walk = remora_call_alloc(call, sizeof *walk);
    *walk = (struct walk){ .secrets = remora_call_alloc(call, NAMES_MAX * sizeof *walk->secrets) };
    asking->walk = walk;
    ask_for_page(asking, NULL);
    remora_call_on_cancel(call, on_cancelled, asking);
}

const struct remora_secret_ops secrets_ops = { .get = get, .get_all = get_all };

/* --- life --------------------------------------------------------------------------------------*/

void
secrets_close(void *self)
{
    struct store *store = self;
    settings_fini(&store->settings);
    free(store->prefix);
    free(store);
}

/* Whether the service is there is seen when it is asked, as in the reference. */
static void
init(remora_call *call, const struct remora_config *config, const struct kind *kind)
{
    char error[SETTINGS_ERROR_BYTES];
    struct reader reader = { .config = config, .why = error, .why_bytes = sizeof error };
    struct store *store = memory_new(sizeof *store);
    store->kind = kind;
    store->form = kind->form;
    settings_read(&reader, kind->service.name, &store->settings);
    if (kind == &parameters)
        store->prefix = settings_text(&reader, "prefix");
    else
        store->form.is_map = settings_flag(&reader, "multipleKeyValuesPerSecret");
    store->form.prefix = store->prefix == NULL ? "" : store->prefix;
    if (!reader.failed && strlen(store->form.prefix) > NAME_BYTES_MAX)
        reader_complain(&reader, "prefix is too long");
    if (reader.failed) {
        remora_reply_error(call, REMORA_INVALID_ARGUMENT, "%s", error);
        secrets_close(store);
        return;
    }
    remora_reply_init(call, store,
                      store->form.is_map ? REMORA_CAP_MULTIPLE_KEY_VALUES_PER_SECRET : 0, 0);
}

void
secrets_init_manager(remora_call *call, const struct remora_config *config)
{
    init(call, config, &manager);
}

void
secrets_init_parameters(remora_call *call, const struct remora_config *config)
{
    init(call, config, &parameters);
}
