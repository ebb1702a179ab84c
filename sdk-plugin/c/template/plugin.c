/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A state store to begin with: it keeps what it is given in a list. Replace `struct store` and the
 * three operations; add more of struct remora_state_ops as the store can do more, and say so in the
 * capabilities.
 */
#include <remora_plugin.h>

#include <stdlib.h>
#include <string.h>

struct pair {
    struct pair *next;
    struct remora_slice key; /* both in `bytes` */
    struct remora_slice value;
    char bytes[];
};

struct store {
    struct pair *pairs; /* owned */
};

/* --- component ---------------------------------------------------------------------------------*/

static void
store_init(remora_call *call, const struct remora_config *config)
{
    struct remora_slice greeting;
    if (remora_metadata_get(config->metadata, config->metadata_count, "greeting", &greeting))
        remora_log(REMORA_INFO, "greeting=\"%.*s\"", (int)greeting.len, greeting.data);
    struct store *store = calloc(1, sizeof *store);
    if (store == NULL)
        remora_reply_error(call, REMORA_RESOURCE_EXHAUSTED, "out of memory");
    else
        remora_reply_init(call, store, 0, 0);
}

static void
store_close(void *self)
{
    struct store *store = self;
    while (store->pairs != NULL) {
        struct pair *pair = store->pairs;
        store->pairs = pair->next;
        free(pair);
    }
    free(store);
}

/* --- operations: each answers its call exactly once, now or later ------------------------------*/

static bool
is_same(struct remora_slice a, struct remora_slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

/* Where the pointer to the pair of that key is, or would be. */
static struct pair **
find(struct store *store, struct remora_slice key)
{
    struct pair **at = &store->pairs;
    while (*at != NULL && !is_same((*at)->key, key))
        at = &(*at)->next;
    return at;
}

static void
remove_at(struct pair **at)
{
    struct pair *pair = *at;
    if (pair != NULL) {
        *at = pair->next;
        free(pair);
    }
}

static void
store_get(remora_call *call, void *self, const struct remora_state_get *get)
{
    const struct pair *pair = *find(self, get->key);
    struct remora_state_value value = { .found = pair != NULL };
    if (pair != NULL)
        value.value = (struct remora_bytes){ .data = pair->value.data, .len = pair->value.len };
    remora_state_reply_value(call, &value);
}

static void
store_set(remora_call *call, void *self, const struct remora_state_set *set)
{
    struct store *store = self;
    struct pair *pair = malloc(sizeof *pair + set->key.len + set->value.len);
    if (pair == NULL) {
        remora_reply_error(call, REMORA_RESOURCE_EXHAUSTED, "out of memory");
        return;
    }
    memcpy(pair->bytes, set->key.data, set->key.len);
    memcpy(pair->bytes + set->key.len, set->value.data, set->value.len);
    pair->key = (struct remora_slice){ pair->bytes, set->key.len };
    pair->value = (struct remora_slice){ pair->bytes + set->key.len, set->value.len };
    remove_at(find(store, set->key));
    pair->next = store->pairs;
    store->pairs = pair;
    remora_reply_ok(call);
}

static void
store_delete(remora_call *call, void *self, const struct remora_state_delete *del)
{
    remove_at(find(self, del->key));
    remora_reply_ok(call);
}

static const struct remora_state_ops operations = {
    .get = store_get,
    .set = store_set,
    .del = store_delete,
};

static const struct remora_component_type types[] = {
    { .type = "state.example",
      .versions = "v1",
      .init = store_init,
      .close = store_close,
      .state = &operations },
};

int
main(int argc, char **argv)
{
    static const struct remora_plugin plugin = {
        .name = "example", /* as in plugin.yaml */
        .version = "0.1.0",
        .types = types,
        .type_count = sizeof types / sizeof types[0],
    };
    return remora_plugin_main(&plugin, argc, argv);
}
