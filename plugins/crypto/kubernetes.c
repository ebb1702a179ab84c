/* SPDX-License-Identifier: Apache-2.0 */
/* Keys of a cluster's secrets; see kubernetes.h. Words of failures are the reference's. */
#include "kubernetes.h"

#include <stdio.h>
#include <string.h>

#include "../shared/cluster_answer.h"
#include "../shared/cluster_ask.h"
#include "parse.h"

enum { STATUS_OK = 200, STATUS_NOT_FOUND = 404 };

struct kubernetes {
    struct provider provider;
    struct cluster cluster;
    char *namespace_; /* owned; of keys that name none; NULL: they have to */
};

/* A key that is looked for, in the call's memory. */
struct search {
    struct cluster_ask ask; /* first */
    struct remora_slice secret;
    struct remora_slice key;
    provider_found *found;
    void *arg;
};

/* --- answers -----------------------------------------------------------------------------------*/

/* A secret's type may say what its keys are, as a media type; most are "Opaque". */
static enum key_form
form_of(struct remora_slice type)
{
    static const struct {
        const char *type;
        enum key_form form;
    } forms[] = { { "application/json", KEY_FORM_JWK },
                  { "application/x-pem-file", KEY_FORM_PEM },
                  { "application/pkcs8", KEY_FORM_PEM } };
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++)
        if (remora_slice_eq(type, forms[i].type))
            return forms[i].form;
    return KEY_FORM_ANY;
}

static struct key *
key_of(const struct search *search, const struct remora_pair *pairs, size_t count,
       struct remora_slice type, struct why *why)
{
    struct why inner = { "" };
    for (size_t i = 0; i < count; i++) {
        const struct remora_pair *pair = &pairs[i];
        if (pair->name.len != search->key.len || pair->value.len == 0 ||
            memcmp(pair->name.data, search->key.data, pair->name.len) != 0)
            continue;
        struct key *key = pair->value.len > KEY_BYTES_MAX
                              ? NULL
                              : key_parse(pair->value.data, pair->value.len, form_of(type), &inner);
        if (key == NULL)
            (void)why_set(why, "failed to parse key from secret: %s",
                          pair->value.len > KEY_BYTES_MAX ? "it is too large" : inner.text);
        return key;
    }
    (void)why_set(why, "key not found");
    return NULL;
}

static void
on_secret(const struct fetch_answer *answer, void *arg)
{
    struct search *search = arg;
    struct remora_pair *pairs = NULL;
    struct remora_slice type;
    size_t count = 0;
    struct why why = { "" };
    struct key *key = NULL;
    search->ask.fetch = NULL;
    if (answer->status == STATUS_NOT_FOUND) {
        (void)why_set(&why, "secrets \"%.*s\" not found", (int)search->secret.len,
                      search->secret.data);
    } else if (answer->status != STATUS_OK) {
        cluster_refuse(&search->ask, answer);
        return;
    } else if (!cluster_answer_secret(search->ask.call, answer->body, answer->len, &pairs, &count,
                                      &type)) {
        cluster_refuse_malformed(&search->ask);
        return;
    } else {
        key = key_of(search, pairs, count, type, &why);
    }
    for (size_t i = 0; i < count; i++) /* ours, in the call's memory */
        OPENSSL_cleanse((void *)(uintptr_t)pairs[i].value.data, pairs[i].value.len);
    search->found(key, &why, search->arg);
}

/* --- questions ---------------------------------------------------------------------------------*/

static struct remora_slice
take_part(struct remora_slice *rest)
{
    const char *slash = rest->len == 0 ? NULL : memchr(rest->data, '/', rest->len);
    struct remora_slice part = { rest->data,
                                 slash == NULL ? rest->len : (size_t)(slash - rest->data) };
    size_t taken = part.len + (slash != NULL);
    *rest = (struct remora_slice){ rest->data + taken, rest->len - taken };
    return part;
}

static size_t
count_parts(struct remora_slice name)
{
    size_t count = 1;
    for (size_t i = 0; i < name.len; i++)
        count += name.data[i] == '/';
    return count;
}

static bool
read_name(const struct kubernetes *kubernetes, struct remora_slice name, struct search *search,
          struct why *why)
{
    size_t parts = count_parts(name);
    struct remora_slice namespace_ = {
        kubernetes->namespace_, kubernetes->namespace_ == NULL ? 0 : strlen(kubernetes->namespace_)
    };
    if (parts != 2 && parts != 3)
        return why_set(why, "key is not in a valid format: required namespace/secretName/key or "
                            "secretName/key");
    if (parts == 3)
        namespace_ = take_part(&name);
    if (namespace_.len == 0)
        return why_set(why, "key doesn't have a namespace and the default namespace isn't set");
    search->ask.namespace_ = namespace_;
    search->secret = take_part(&name);
    search->key = name;
    if (!cluster_is_name(namespace_) || !cluster_is_name(search->secret) || name.len == 0)
        return why_set(why, "key not found"); /* a cluster has none of such a name */
    return true;
}

static void
kubernetes_find(struct provider *provider, remora_call *call, struct remora_slice name,
                provider_found *found, void *arg)
{
    struct kubernetes *kubernetes = (struct kubernetes *)provider;
    struct search *search = remora_call_alloc(call, sizeof *search);
    char rest[CLUSTER_NAME_BYTES_MAX + 2];
    struct why why = { "" };
    *search = (struct search){ .ask = { .cluster = &kubernetes->cluster, .call = call },
                               .found = found,
                               .arg = arg };
    if (!read_name(kubernetes, name, search, &why)) {
        found(NULL, &why, arg);
        return;
    }
    (void)snprintf(rest, sizeof rest, "/%.*s", (int)search->secret.len, search->secret.data);
    if (cluster_ask(&search->ask, rest, on_secret, search))
        cluster_ask_until_cancelled(&search->ask);
}

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
kubernetes_init(remora_call *call, const struct remora_config *config)
{
    char error[CLUSTER_ERROR_BYTES];
    struct kubernetes *kubernetes = memory_new(sizeof *kubernetes);
    char *path = text_of(config, "kubeconfigPath");
    kubernetes->provider.find = kubernetes_find;
    bool ok = cluster_init(&kubernetes->cluster, path, error);
    free(path);
    if (!ok) {
        remora_reply_error(call, REMORA_FAILED_PRECONDITION, "failed to init Kubernetes client: %s",
                           error);
        free(kubernetes);
        return;
    }
    kubernetes->namespace_ = text_of(config, "defaultNamespace");
    remora_reply_init(call, kubernetes, 0, 0);
}

void
kubernetes_close(void *self)
{
    struct kubernetes *kubernetes = self;
    cluster_fini(&kubernetes->cluster);
    free(kubernetes->namespace_);
    free(kubernetes);
}
