/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Questions to the API server: one secret of a namespace, or the list of them, page after page.
 */
#include "store.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "answer.h"
#include "cluster.h"

enum {
    ANSWER_BYTES_MAX = 8 * 1024 * 1024,
    ALL_BYTES_MAX = 32 * 1024 * 1024,
    PAGE_ITEMS = 250,
    PAGES_MAX = 100, /* a server may give less than was asked for */
    TIMEOUT_MS = 30 * 1000,
    NAME_BYTES_MAX = 253, /* the cluster's own limit */
    STATUS_OK = 200,
    STATUS_NOT_FOUND = 404,
};

struct store {
    struct cluster cluster;
    char *namespace_; /* owned; of questions that name none; NULL: they have to */
};

/* A call under way, in its memory. */
struct asking {
    struct store *store;
    remora_call *call;
    struct fetch *fetch;
    struct remora_slice namespace_;
    struct remora_secret *secrets; /* of a list */
    size_t count, bytes, pages;
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

/* "Authorization: Bearer …", malloc'ed, or "" without a token. NULL: it cannot be read. */
static char *
authorization(const struct cluster *cluster)
{
    char *read = cluster->token_file != NULL ? fetch_read_token(cluster->token_file) : NULL;
    const char *token = cluster->token_file != NULL ? read : cluster->token;
    char *line = NULL;
    if (cluster->token_file != NULL && read == NULL)
        return NULL;
    if (asprintf(&line, "%s%s", token != NULL ? "Authorization: Bearer " : "",
                 token != NULL ? token : "") < 0)
        abort();
    fetch_wipe(read);
    return line;
}

/* `rest` is what stands behind the namespace's secrets. False: the call has been answered. */
static bool
ask(struct asking *asking, const char *rest, fetch_done *done)
{
    const struct cluster *cluster = &asking->store->cluster;
    char *line = authorization(cluster), *url = NULL;
    if (line == NULL) {
        remora_reply_error(asking->call, REMORA_FAILED_PRECONDITION,
                           "the token of the service account cannot be read");
        return false;
    }
    if (asprintf(&url, "%s/api/v1/namespaces/%.*s/secrets%s", cluster->server,
                 (int)asking->namespace_.len, asking->namespace_.data, rest) < 0)
        abort();
    const char *const headers[] = { "Accept: application/json", *line != '\0' ? line : NULL, NULL };
    asking->fetch = fetch_start(
        &(struct fetch_question){ .method = "GET",
                                  .url = url,
                                  .headers = headers,
                                  .identity = &cluster->identity,
                                  .answer_bytes_max = ANSWER_BYTES_MAX,
                                  .timeout_ms = time_left_ms(asking->call) },
        done, asking);
    free(url);
    fetch_wipe(line);
    return true;
}

static void
refuse(const struct asking *asking, const struct fetch_answer *answer)
{
    if (answer->status == 0) {
        remora_reply_error(asking->call, REMORA_UNAVAILABLE, "%s", answer->error);
        return;
    }
    struct remora_slice words = answer_read_message(asking->call, answer->body, answer->len);
    remora_reply_error(asking->call,
                       answer->status == 401                            ? REMORA_UNAUTHENTICATED
                       : answer->status == 403                          ? REMORA_PERMISSION_DENIED
                       : answer->status == 429 || answer->status >= 500 ? REMORA_UNAVAILABLE
                                                                        : REMORA_INTERNAL,
                       "%.*s (status %ld)", words.len > 512 ? 512 : (int)words.len, words.data,
                       answer->status);
}

static void
refuse_malformed(const struct asking *asking)
{
    remora_reply_error(asking->call, REMORA_INTERNAL, "the API server's answer is malformed");
}

/* Lower-case letters, digits, '-' and '.': nothing that a path would need to be escaped for, and
 * nothing that leads elsewhere. */
static bool
is_name(struct remora_slice text)
{
    if (text.len == 0 || text.len > NAME_BYTES_MAX || text.data[0] == '.' || text.data[0] == '-')
        return false;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.'))
            return false;
    }
    return true;
}

/* NULL: the call has been answered. */
static struct asking *
asking_new(remora_call *call, struct store *store, const struct remora_pair *metadata, size_t count)
{
    struct remora_slice namespace_ = { store->namespace_,
                                       store->namespace_ != NULL ? strlen(store->namespace_) : 0 };
    struct remora_slice own;
    if (remora_metadata_get(metadata, count, "namespace", &own) && own.len > 0)
        namespace_ = own;
    if (namespace_.len == 0 || !is_name(namespace_)) {
        remora_reply_error(call, REMORA_INVALID_ARGUMENT, "%s",
                           namespace_.len == 0
                               ? "namespace is missing on metadata and NAMESPACE env variable"
                               : "the namespace is no name");
        return NULL;
    }
    struct asking *asking = remora_call_alloc(call, sizeof *asking);
    *asking = (struct asking){ .store = store, .call = call, .namespace_ = namespace_ };
    return asking;
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
    else if (answer_read_secret(asking->call, answer->body, answer->len, &pairs, &count))
        remora_secret_reply_value(asking->call, pairs, count);
    else
        refuse_malformed(asking);
}

static void
get(remora_call *call, void *self, struct remora_slice name, const struct remora_pair *metadata,
    size_t metadata_count)
{
    char rest[NAME_BYTES_MAX + 2];
    if (!is_name(name)) { /* the cluster has none of such a name */
        remora_secret_reply_missing(call);
        return;
    }
    struct asking *asking = asking_new(call, self, metadata, metadata_count);
    if (asking == NULL)
        return;
    snprintf(rest, sizeof rest, "/%.*s", (int)name.len, name.data);
    if (ask(asking, rest, on_secret))
        remora_call_on_cancel(call, on_cancelled, asking); /* which may be at once */
}

/* --- all ---------------------------------------------------------------------------------------*/

static bool ask_for_page(struct asking *asking, struct remora_slice token);

static void
on_page(const struct fetch_answer *answer, void *arg)
{
    struct asking *asking = arg;
    struct remora_slice token;
    asking->fetch = NULL;
    asking->bytes += answer->len;
    if (answer->status != STATUS_OK)
        refuse(asking, answer);
    else if (!answer_read_list(asking->call, answer->body, answer->len, asking->secrets,
                               &asking->count, &token))
        refuse_malformed(asking);
    else if (asking->bytes > ALL_BYTES_MAX || ++asking->pages > PAGES_MAX)
        remora_reply_error(asking->call, REMORA_RESOURCE_EXHAUSTED,
                           "the namespace holds more than can be read at once");
    else if (token.len > 0)
        (void)ask_for_page(asking, token); /* false: it has been answered */
    else
        remora_secret_reply_all(asking->call, asking->secrets, asking->count);
}

static bool
ask_for_page(struct asking *asking, struct remora_slice token)
{
    char *escaped = fetch_escape(token.data, token.len), *rest = NULL;
    if (asprintf(&rest, "?limit=%d%s%s", PAGE_ITEMS, token.len > 0 ? "&continue=" : "", escaped) <
        0)
        abort();
    bool is_asked = ask(asking, rest, on_page);
    free(escaped);
    free(rest);
    return is_asked;
}

static void
get_all(remora_call *call, void *self, const struct remora_pair *metadata, size_t metadata_count)
{
    struct asking *asking = asking_new(call, self, metadata, metadata_count);
    if (asking == NULL)
        return;
    asking->secrets = remora_call_alloc(call, ANSWER_SECRETS_MAX * sizeof *asking->secrets);
    if (ask_for_page(asking, (struct remora_slice){ "", 0 }))
        remora_call_on_cancel(call, on_cancelled, asking);
}

const struct remora_secret_ops store_ops = { .get = get, .get_all = get_all };

/* --- life --------------------------------------------------------------------------------------*/

static char *
text_of(const struct remora_config *config, const char *name)
{
    struct remora_slice value;
    return remora_metadata_get(config->metadata, config->metadata_count, name, &value) &&
                   value.len > 0
               ? remora_slice_dup(value)
               : NULL;
}

void
store_init(remora_call *call, const struct remora_config *config)
{
    char error[CLUSTER_ERROR_BYTES];
    struct store *store = calloc(1, sizeof *store);
    if (store == NULL)
        abort();
    char *path = text_of(config, "kubeconfigPath");
    bool ok = cluster_init(&store->cluster, path, error);
    free(path);
    if (!ok) {
        remora_reply_error(call, REMORA_FAILED_PRECONDITION, "%s", error);
        free(store);
        return;
    }
    store->namespace_ = text_of(config, "defaultNamespace");
    if (store->namespace_ == NULL && config->namespace_.len > 0)
        store->namespace_ = remora_slice_dup(config->namespace_);
    if (store->namespace_ == NULL && store->cluster.namespace_ != NULL)
        store->namespace_ = strdup(store->cluster.namespace_);
    remora_reply_init(call, store, REMORA_CAP_MULTIPLE_KEY_VALUES_PER_SECRET, 0);
}

void
store_close(void *self)
{
    struct store *store = self;
    cluster_fini(&store->cluster);
    free(store->namespace_);
    free(store);
}
