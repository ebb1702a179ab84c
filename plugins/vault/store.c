/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Questions to the server. One secret is one request; all of them are a walk over the folders under
 * the prefix, one request after another, and then one for each name that was found.
 */
#include "store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "answer.h"
#include "settings.h"

enum {
    ANSWER_BYTES_MAX = 4 * 1024 * 1024,
    ALL_BYTES_MAX = 16 * 1024 * 1024,
    NAMES_MAX = 10000,
    TIMEOUT_MS = 30 * 1000,
    NAME_BYTES_MAX = 4096,
    STATUS_OK = 200,
    STATUS_NOT_FOUND = 404,
};

struct store {
    struct settings settings;
};

/* A call under way, in its memory. */
struct asking {
    struct store *store;
    remora_call *call;
    struct fetch *fetch;
    struct remora_slice name; /* of the secret asked for */
    struct walk *walk;        /* of all secrets, or NULL */
};

struct walk {
    struct remora_slice *folders; /* still to be listed; the root is "" */
    size_t folder_count;
    struct remora_secret *secrets; /* named, and with their pairs up to `done` */
    size_t count, done, bytes;
};

/* --- asking ------------------------------------------------------------------------------------*/

static void
on_cancelled(remora_call *call, void *arg)
{
    struct asking *asking = arg;
    fetch_cancel(asking->fetch);
    remora_reply_error(call, REMORA_CANCELLED, "the caller gave up");
}

static long
time_left_ms(const remora_call *call)
{
    uint64_t left = remora_call_time_left_ms(call);
    return left > TIMEOUT_MS ? (long)TIMEOUT_MS : left == 0 ? 1 : (long)left;
}

/* False: the call has been answered. */
static bool
ask(struct asking *asking, const char *method, const char *url, fetch_done *done)
{
    const struct settings *settings = &asking->store->settings;
    char *read = settings->token == NULL ? fetch_read_token(settings->token_file) : NULL;
    const char *token = settings->token != NULL ? settings->token : read;
    char *line = NULL, *namespace = NULL;
    if (token == NULL) {
        remora_reply_error(asking->call, REMORA_FAILED_PRECONDITION,
                           "couldn't read vault token from mount path");
        return false;
    }
    if (asprintf(&line, "X-Vault-Token: %s", token) < 0 ||
        (settings->namespace != NULL &&
         asprintf(&namespace, "X-Vault-Namespace: %s", settings->namespace) < 0))
        abort();
    const char *const headers[] = { line, "X-Vault-Request: true", namespace, NULL };
    asking->fetch = fetch_start(
        &(struct fetch_question){ .method = method,
                                  .url = url,
                                  .headers = headers,
                                  .identity = &settings->identity,
                                  .answer_bytes_max = ANSWER_BYTES_MAX,
                                  .timeout_ms = time_left_ms(asking->call) },
        done, asking);
    fetch_wipe(line);
    fetch_wipe(read);
    free(namespace);
    return true;
}

/* Answers what is no secret; the server's own words are for its log. */
static void
refuse(const struct asking *asking, const struct fetch_answer *answer)
{
    if (answer->status == 0)
        remora_reply_error(asking->call, REMORA_UNAVAILABLE, "couldn't get secret: %s",
                           answer->error);
    else
        remora_reply_error(asking->call,
                           answer->status == 403   ? REMORA_PERMISSION_DENIED
                           : answer->status >= 500 ? REMORA_UNAVAILABLE
                                                   : REMORA_INTERNAL,
                           "couldn't get successful response, status code %ld", answer->status);
}

static void
refuse_malformed(const struct asking *asking)
{
    remora_reply_error(asking->call, REMORA_INTERNAL, "couldn't decode vault response body");
}

static char *
url_of(const struct settings *settings, const char *kind, const char *path, const char *version)
{
    char *url;
    if (asprintf(&url, "%s/v1/%s/%s/%s%s%s%s", settings->address, settings->engine, kind,
                 settings->prefix, path, version != NULL ? "?version=" : "",
                 version != NULL ? version : "") < 0)
        abort();
    return url;
}

/* NULL if a name is none of the prefix's own. */
static char *
path_of(struct remora_slice name)
{
    return name.len > NAME_BYTES_MAX ? NULL : settings_escape_path(name);
}

/* NULL, and the call answered, if the server told such a name. */
static char *
escape_name(remora_call *call, struct remora_slice name)
{
    char *path = path_of(name);
    if (path == NULL)
        remora_reply_error(call, REMORA_INVALID_ARGUMENT,
                           "the name of a secret is too long, or has an empty part, \".\" or "
                           "\"..\"");
    return path;
}

static bool
ask_for_secret(struct asking *asking, struct remora_slice name, const char *version,
               fetch_done *done)
{
    char *path = escape_name(asking->call, name);
    if (path == NULL)
        return false;
    char *url = url_of(&asking->store->settings, "data", path, version);
    bool is_asked = ask(asking, "GET", url, done);
    free(path);
    free(url);
    return is_asked;
}

/* --- one ---------------------------------------------------------------------------------------*/

static void
on_secret(const struct fetch_answer *answer, void *arg)
{
    struct asking *asking = arg;
    struct remora_pair *pairs;
    size_t count;
    asking->fetch = NULL;
    if (answer->status == STATUS_NOT_FOUND)
        remora_secret_reply_missing(asking->call);
    else if (answer->status != STATUS_OK)
        refuse(asking, answer);
    else if (answer_read_secret(asking->call, answer->body, answer->len, asking->name,
                                asking->store->settings.is_text, &pairs, &count))
        remora_secret_reply_value(asking->call, pairs, count);
    else
        refuse_malformed(asking);
}

static struct asking *
asking_new(remora_call *call, void *self)
{
    struct asking *asking = remora_call_alloc(call, sizeof *asking);
    *asking = (struct asking){ .store = self, .call = call };
    return asking;
}

static bool
is_version(struct remora_slice text)
{
    size_t i = 0;
    while (i < text.len && text.data[i] >= '0' && text.data[i] <= '9')
        i++;
    return i == text.len && text.len > 0 && text.len < 16;
}

static void
get(remora_call *call, void *self, struct remora_slice name, const struct remora_pair *metadata,
    size_t metadata_count)
{
    struct asking *asking = asking_new(call, self);
    struct remora_slice version = { "0", 1 }; /* the latest */
    char text[16] = "";
    (void)remora_metadata_get(metadata, metadata_count, "version_id", &version);
    if (!is_version(version)) {
        remora_reply_error(call, REMORA_INVALID_ARGUMENT, "version_id is no number");
        return;
    }
    char *path = path_of(name);
    if (path == NULL) {
        remora_secret_reply_missing(call);
        return;
    }
    free(path);
    memcpy(text, version.data, version.len);
    asking->name = name;
    if (ask_for_secret(asking, name, text, on_secret))
        remora_call_on_cancel(call, on_cancelled, asking); /* which may be at once */
}

/* --- all ---------------------------------------------------------------------------------------*/

static void walk_on(struct asking *asking);

/* Names of secrets are kept to be asked for, those of folders to be listed. */
static bool
take_names(struct asking *asking, struct remora_slice folder, const struct remora_slice *names,
           size_t count)
{
    struct walk *walk = asking->walk;
    for (size_t i = 0; i < count; i++) {
        size_t len = folder.len + names[i].len;
        bool is_folder = names[i].data[names[i].len - 1] == '/';
        if (len > NAME_BYTES_MAX || walk->count + walk->folder_count >= NAMES_MAX)
            return false;
        char *path = remora_call_alloc(asking->call, len + 1);
        memcpy(path, folder.data, folder.len);
        memcpy(path + folder.len, names[i].data, names[i].len);
        if (is_folder)
            walk->folders[walk->folder_count++] = (struct remora_slice){ path, len };
        else
            walk->secrets[walk->count++] = (struct remora_secret){ .name = { path, len } };
    }
    return true;
}

static void
refuse_size(const struct asking *asking)
{
    remora_reply_error(asking->call, REMORA_RESOURCE_EXHAUSTED,
                       "the store holds more than can be read at once");
}

static void
on_names(const struct fetch_answer *answer, void *arg)
{
    struct asking *asking = arg;
    struct remora_slice folder = asking->name, *names = NULL;
    size_t count = 0;
    asking->fetch = NULL;
    if (answer->status != STATUS_OK && answer->status != STATUS_NOT_FOUND)
        refuse(asking, answer);
    else if (answer->status == STATUS_OK &&
             !answer_read_names(asking->call, answer->body, answer->len, &names, &count))
        refuse_malformed(asking);
    else if (!take_names(asking, folder, names, count))
        refuse_size(asking);
    else
        walk_on(asking);
}

/* One that was deleted has no data any more: it is left out. */
static void
on_next_secret(const struct fetch_answer *answer, void *arg)
{
    struct asking *asking = arg;
    struct walk *walk = asking->walk;
    struct remora_pair *pairs = NULL;
    size_t count = 0;
    asking->fetch = NULL;
    walk->bytes += answer->len;
    if (answer->status == STATUS_NOT_FOUND) {
        walk->secrets[walk->done] = walk->secrets[--walk->count];
        walk_on(asking);
    } else if (answer->status != STATUS_OK) {
        refuse(asking, answer);
    } else if (!answer_read_secret(asking->call, answer->body, answer->len,
                                   walk->secrets[walk->done].name, asking->store->settings.is_text,
                                   &pairs, &count)) {
        refuse_malformed(asking);
    } else if (walk->bytes > ALL_BYTES_MAX) {
        refuse_size(asking);
    } else {
        walk->secrets[walk->done].pairs = pairs;
        walk->secrets[walk->done++].pair_count = count;
        walk_on(asking);
    }
}

static bool
list_folder(struct asking *asking)
{
    struct walk *walk = asking->walk;
    struct remora_slice folder = walk->folders[--walk->folder_count];
    struct remora_slice inner = { folder.data, folder.len > 0 ? folder.len - 1 : 0 };
    char *path = folder.len == 0 ? strdup("") : escape_name(asking->call, inner);
    if (path == NULL)
        return false;
    asking->name = folder;
    char *url = url_of(&asking->store->settings, "metadata", path, NULL);
    bool is_asked = ask(asking, "LIST", url, on_names);
    free(path);
    free(url);
    return is_asked;
}

static void
walk_on(struct asking *asking)
{
    struct walk *walk = asking->walk;
    if (walk->folder_count > 0)
        (void)list_folder(asking); /* false: it has been answered */
    else if (walk->done < walk->count)
        (void)ask_for_secret(asking, walk->secrets[walk->done].name, "0", on_next_secret);
    else
        remora_secret_reply_all(asking->call, walk->secrets, walk->count);
}

static void
get_all(remora_call *call, void *self, const struct remora_pair *metadata, size_t metadata_count)
{
    (void)metadata, (void)metadata_count;
    struct asking *asking = asking_new(call, self);
    struct walk *walk = remora_call_alloc(call, sizeof *walk);
    *walk = (struct walk){
        .folders = remora_call_alloc(call, NAMES_MAX * sizeof *walk->folders),
        .secrets = remora_call_alloc(call, NAMES_MAX * sizeof *walk->secrets),
        .folder_count = 1,
    };
    walk->folders[0] = (struct remora_slice){ "", 0 };
    asking->walk = walk;
    if (list_folder(asking))
        remora_call_on_cancel(call, on_cancelled, asking);
}

const struct remora_secret_ops store_ops = { .get = get, .get_all = get_all };

/* --- life --------------------------------------------------------------------------------------*/

/* Whether the server is there is seen when it is asked, as in the reference. */
void
store_init(remora_call *call, const struct remora_config *config)
{
    char error[SETTINGS_ERROR_BYTES];
    struct store *store = calloc(1, sizeof *store);
    if (store == NULL)
        abort();
    if (!settings_init(&store->settings, config, error)) {
        remora_reply_error(call, REMORA_INVALID_ARGUMENT, "%s", error);
        free(store);
        return;
    }
    remora_reply_init(call, store,
                      store->settings.is_text ? 0 : REMORA_CAP_MULTIPLE_KEY_VALUES_PER_SECRET, 0);
}

void
store_close(void *self)
{
    struct store *store = self;
    settings_fini(&store->settings);
    free(store);
}
