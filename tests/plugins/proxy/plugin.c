/* SPDX-License-Identifier: Apache-2.0 */
/*
 * state.proxy: a state store that keeps everything in another component of the sidecar, the one its
 * metadata `store` names. It exercises calls into the sidecar, answers that come later, the
 * fallback of bulk operations to single ones, values with a release function, and threads that
 * post.
 */
#include <remora_plugin.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct proxy {
    struct remora_slice store; /* owned */
};

static void
proxy_init(remora_call *call, const struct remora_config *config)
{
    struct remora_slice store;
    if (!remora_metadata_get(config->metadata, config->metadata_count, "store", &store)) {
        remora_reply_error(call, REMORA_INVALID_ARGUMENT, "metadata store is missing");
        return;
    }
    struct proxy *proxy = calloc(1, sizeof *proxy);
    char *name = remora_slice_dup(store);
    if (proxy == NULL || name == NULL) {
        free(proxy);
        free(name);
        remora_reply_error(call, REMORA_INVALID_ARGUMENT, "metadata store is malformed");
        return;
    }
    proxy->store = (struct remora_slice){ name, store.len };
    remora_log(REMORA_INFO, "proxying to %s", name);
    remora_reply_init(call, proxy, 0, 0);
}

static void
proxy_close(void *self)
{
    struct proxy *proxy = self;
    char *name = remora_slice_dup(proxy->store); /* proves that the slice is still there */
    free(name);
    free((char *)(uintptr_t)proxy->store.data);
    free(proxy);
}

/* --- values come with a release function
 * --------------------------------------------------------*/

static bool
has_failed(remora_call *call, const struct remora_host_reply *reply)
{
    if (reply->code != REMORA_OK)
        remora_reply_error(call, reply->code, "%.*s", (int)reply->message.len, reply->message.data);
    return reply->code != REMORA_OK;
}

static void
on_value(const struct remora_host_reply *reply, void *arg)
{
    remora_call *call = arg;
    if (has_failed(call, reply))
        return;
    struct remora_state_value value = { .found = reply->found };
    value.has_etag = reply->etag.len > 0;
    value.etag = reply->etag;
    if (reply->value.len > 0) {
        char *copy = malloc(reply->value.len);
        if (copy == NULL)
            abort();
        memcpy(copy, reply->value.data, reply->value.len);
        value.value = (struct remora_bytes){
            .data = copy, .len = reply->value.len, .release = free, .arg = copy
        };
    }
    remora_state_reply_value(call, &value);
}

static void
proxy_get(remora_call *call, void *self, const struct remora_state_get *get)
{
    const struct proxy *proxy = self;
    remora_host_state_get(call, proxy->store, get->key, on_value, call);
}

/* --- writes take the way over another thread
 * ----------------------------------------------------*/

struct errand {
    remora_call *call;
    const struct proxy *proxy;
    const struct remora_state_set *set; /* one of the two */
    const struct remora_state_delete *del;
};

static void
on_written(const struct remora_host_reply *reply, void *arg)
{
    remora_call *call = arg;
    if (!has_failed(call, reply))
        remora_reply_ok(call);
}

static void
on_posted(void *arg)
{
    struct errand *errand = arg;
    if (errand->set != NULL)
        remora_host_state_set(errand->call, errand->proxy->store, errand->set->key,
                              errand->set->value, errand->set->json, on_written, errand->call);
    else
        remora_host_state_delete(errand->call, errand->proxy->store, errand->del->key, on_written,
                                 errand->call);
}

static void *
run_errand(void *arg)
{
    remora_post(on_posted, arg);
    return NULL;
}

static void
send_out(remora_call *call, struct errand errand)
{
    struct errand *kept = remora_call_alloc(call, sizeof *kept);
    *kept = errand;
    pthread_t thread;
    if (pthread_create(&thread, NULL, run_errand, kept) == 0)
        pthread_detach(thread);
    else
        remora_reply_error(call, REMORA_RESOURCE_EXHAUSTED, "no thread");
}

static void
proxy_set(remora_call *call, void *self, const struct remora_state_set *set)
{
    send_out(call, (struct errand){ .call = call, .proxy = self, .set = set });
}

static void
proxy_delete(remora_call *call, void *self, const struct remora_state_delete *del)
{
    send_out(call, (struct errand){ .call = call, .proxy = self, .del = del });
}

int
main(int argc, char **argv)
{
    static const struct remora_state_ops operations = {
        .get = proxy_get,
        .set = proxy_set,
        .del = proxy_delete,
    };
    static const struct remora_component_type types[] = {
        { .type = "state.proxy",
          .versions = "v1",
          .init = proxy_init,
          .close = proxy_close,
          .state = &operations },
    };
    static const struct remora_plugin plugin = {
        .name = "proxy",
        .version = "1.0.0",
        .types = types,
        .type_count = 1,
        .host_services = "state",
    };
    return remora_plugin_main(&plugin, argc, argv);
}
