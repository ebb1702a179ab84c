/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Questions to the API server: one secret of a namespace, or the list of them, page after page.
 */
#include "store.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../shared/cluster_answer.h"
#include "../shared/cluster_ask.h"

enum {
    ALL_BYTES_MAX = 32 * 1024 * 1024,
    PAGE_ITEMS = 250,
    PAGES_MAX = 100, /* a server may give less than was asked for */
    STATUS_OK = 200,
    STATUS_NOT_FOUND = 404,
};

struct store {
    struct cluster cluster;
    char *namespace_; /* owned; of questions that name none; NULL: they have to */
};

/* A call under way, in its memory. */
struct asking {
    struct cluster_ask ask;
    struct remora_secret *secrets; /* of a list */
    size_t count, bytes, pages;
};

/* --- asking ------------------------------------------------------------------------------------*/

/* NULL: the call has been answered. */
static struct asking *
asking_new(remora_call *call, struct store *store, const struct remora_pair *metadata, size_t count)
{
    struct remora_slice namespace_ = { store->namespace_,
                                       store->namespace_ != NULL ? strlen(store->namespace_) : 0 };
    struct remora_slice own;
    if (remora_metadata_get(metadata, count, "namespace", &own) && own.len > 0)
        namespace_ = own;
    if (namespace_.len == 0 || !cluster_is_name(namespace_)) {
        remora_reply_error(call, REMORA_INVALID_ARGUMENT, "%s",
                           namespace_.len == 0
                               ? "namespace is missing on metadata and NAMESPACE env variable"
                               : "the namespace is no name");
        return NULL;
    }
    struct asking *asking = remora_call_alloc(call, sizeof *asking);
    *asking = (struct asking){
        .ask = { .cluster = &store->cluster, .call = call, .namespace_ = namespace_ }
    };
    return asking;
}

/* --- one ---------------------------------------------------------------------------------------*/

static void
on_secret(const struct fetch_answer *answer, void *arg)
{
    struct asking *asking = arg;
    struct remora_pair *pairs;
    size_t count;
    asking->ask.fetch = NULL;
    if (answer->status == STATUS_NOT_FOUND)
        remora_secret_reply_missing(asking->ask.call);
    else if (answer->status != STATUS_OK)
        cluster_refuse(&asking->ask, answer);
    else if (cluster_answer_secret(asking->ask.call, answer->body, answer->len, &pairs, &count,
                                   NULL))
        remora_secret_reply_value(asking->ask.call, pairs, count);
    else
        cluster_refuse_malformed(&asking->ask);
}

static void
get(remora_call *call, void *self, struct remora_slice name, const struct remora_pair *metadata,
    size_t metadata_count)
{
    char rest[CLUSTER_NAME_BYTES_MAX + 2];
    if (!cluster_is_name(name)) { /* the cluster has none of such a name */
        remora_secret_reply_missing(call);
        return;
    }
    struct asking *asking = asking_new(call, self, metadata, metadata_count);
    if (asking == NULL)
        return;
    snprintf(rest, sizeof rest, "/%.*s", (int)name.len, name.data);
    if (cluster_ask(&asking->ask, rest, on_secret, asking))
        cluster_ask_until_cancelled(&asking->ask);
}

/* --- all ---------------------------------------------------------------------------------------*/

static bool ask_for_page(struct asking *asking, struct remora_slice token);

static void
on_page(const struct fetch_answer *answer, void *arg)
{
    struct asking *asking = arg;
    struct remora_slice token;
    asking->ask.fetch = NULL;
    asking->bytes += answer->len;
    if (answer->status != STATUS_OK)
        cluster_refuse(&asking->ask, answer);
    else if (!cluster_answer_list(asking->ask.call, answer->body, answer->len, asking->secrets,
                                  &asking->count, &token))
        cluster_refuse_malformed(&asking->ask);
    else if (asking->bytes > ALL_BYTES_MAX || ++asking->pages > PAGES_MAX)
        remora_reply_error(asking->ask.call, REMORA_RESOURCE_EXHAUSTED,
                           "the namespace holds more than can be read at once");
    else if (token.len > 0)
        (void)ask_for_page(asking, token); /* false: it has been answered */
    else
        remora_secret_reply_all(asking->ask.call, asking->secrets, asking->count);
}

static bool
ask_for_page(struct asking *asking, struct remora_slice token)
{
    char *escaped = fetch_escape(token.data, token.len), *rest = NULL;
    if (asprintf(&rest, "?limit=%d%s%s", PAGE_ITEMS, token.len > 0 ? "&continue=" : "", escaped) <
        0)
        abort();
    bool is_asked = cluster_ask(&asking->ask, rest, on_page, asking);
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
        cluster_ask_until_cancelled(&asking->ask);
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
