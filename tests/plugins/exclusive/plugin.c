/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A state store of which only one may work at a time: between Start and Quiesce it holds the lock
 * of its file, and answers nothing else. Start reads the file, each write appends to it.
 *
 * Metadata: `path` of the file, `failStart: "true"` to refuse Start, `hangStart: "true"` to leave
 * it unanswered.
 */
#include <remora_plugin.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

struct item {
    struct item *next;
    struct remora_slice key; /* owned, as the value */
    struct remora_slice value;
};

struct store {
    char *path;
    int fd; /* locked; -1: it does not work */
    bool fails_start;
    bool hangs_start;
    struct item *items;
};

/* --- items -------------------------------------------------------------------------------------*/

static struct remora_slice
copy(struct remora_slice text)
{
    char *bytes = malloc(text.len + 1);
    if (bytes == NULL)
        abort();
    if (text.len > 0)
        memcpy(bytes, text.data, text.len);
    return (struct remora_slice){ bytes, text.len };
}

static bool
is_same(struct remora_slice a, struct remora_slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static struct item *
find(struct store *store, struct remora_slice key)
{
    struct item *item = store->items;
    while (item != NULL && !is_same(item->key, key))
        item = item->next;
    return item;
}

static void
free_bytes(struct remora_slice text)
{
    free((char *)(uintptr_t)text.data); /* ours, const for its readers */
}

/* A value without data is a deletion. */
static void
put(struct store *store, struct remora_slice key, struct remora_slice value)
{
    struct item *item = find(store, key);
    if (item == NULL) {
        item = calloc(1, sizeof *item);
        if (item == NULL)
            abort();
        item->key = copy(key);
        item->next = store->items;
        store->items = item;
    }
    free_bytes(item->value);
    item->value = value.data == NULL ? value : copy(value);
}

static void
forget_items(struct store *store)
{
    while (store->items != NULL) {
        struct item *item = store->items;
        store->items = item->next;
        free_bytes(item->key);
        free_bytes(item->value);
        free(item);
    }
}

/* --- the file: for each change the lengths of key and value, then both; SIZE_MAX deletes
 * --------*/

static bool
append(struct store *store, struct remora_slice key, struct remora_slice value)
{
    size_t lengths[] = { key.len, value.data == NULL ? SIZE_MAX : value.len };
    size_t total = sizeof lengths + key.len + value.len;
    char *record = malloc(total);
    if (record == NULL)
        abort();
    memcpy(record, lengths, sizeof lengths);
    if (key.len > 0)
        memcpy(record + sizeof lengths, key.data, key.len);
    if (value.data != NULL && value.len > 0)
        memcpy(record + sizeof lengths + key.len, value.data, value.len);
    bool ok = write(store->fd, record, total) == (ssize_t)total;
    free(record);
    return ok;
}

static bool
load(struct store *store)
{
    off_t bytes = lseek(store->fd, 0, SEEK_END);
    char *all = malloc((size_t)bytes + 1);
    if (all == NULL || pread(store->fd, all, (size_t)bytes, 0) != bytes) {
        free(all);
        return false;
    }
    for (size_t at = 0; at < (size_t)bytes;) {
        size_t lengths[2];
        memcpy(lengths, all + at, sizeof lengths);
        at += sizeof lengths;
        bool is_deleted = lengths[1] == SIZE_MAX;
        put(store, (struct remora_slice){ all + at, lengths[0] },
            (struct remora_slice){ is_deleted ? NULL : all + at + lengths[0],
                                   is_deleted ? 0 : lengths[1] });
        at += lengths[0] + (is_deleted ? 0 : lengths[1]);
    }
    free(all);
    return true;
}

static void
let_go(struct store *store)
{
    if (store->fd >= 0)
        (void)close(store->fd); /* with it the lock; every write was checked */
    store->fd = -1;
    forget_items(store);
}

/* --- life --------------------------------------------------------------------------------------*/

static void
store_init(remora_call *call, const struct remora_config *config)
{
    struct remora_slice text = { "", 0 };
    struct store *store = calloc(1, sizeof *store);
    if (store == NULL)
        abort();
    store->fd = -1;
    (void)remora_metadata_get(config->metadata, config->metadata_count, "path", &text);
    store->path = remora_slice_dup(text);
    if (remora_metadata_get(config->metadata, config->metadata_count, "failStart", &text))
        store->fails_start = remora_slice_eq(text, "true");
    if (remora_metadata_get(config->metadata, config->metadata_count, "hangStart", &text))
        store->hangs_start = remora_slice_eq(text, "true");
    remora_reply_init(call, store, REMORA_CAP_ETAG | REMORA_CAP_TRANSACTIONAL, 0);
}

static void
store_start(remora_call *call, void *self)
{
    struct store *store = self;
    if (store->hangs_start)
        return;
    if (store->fails_start) {
        remora_reply_error(call, REMORA_FAILED_PRECONDITION, "told to fail");
        return;
    }
    store->fd = open(store->path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (store->fd < 0 || flock(store->fd, LOCK_EX | LOCK_NB) != 0 || !load(store)) {
        remora_reply_error(call, REMORA_FAILED_PRECONDITION, "the file is not free: %s",
                           strerror(errno));
        let_go(store);
        return;
    }
    remora_reply_ok(call);
}

static void
store_quiesce(remora_call *call, void *self)
{
    let_go(self);
    remora_reply_ok(call);
}

static void
store_close(void *self)
{
    struct store *store = self;
    let_go(store);
    free(store->path);
    free(store);
}

/* --- operations --------------------------------------------------------------------------------*/

static bool
works(remora_call *call, const struct store *store)
{
    if (store->fd < 0)
        remora_reply_error(call, REMORA_INTERNAL, "this component does not work now");
    return store->fd >= 0;
}

static void
store_get(remora_call *call, void *self, const struct remora_state_get *get)
{
    struct store *store = self;
    if (!works(call, store))
        return;
    const struct item *item = find(store, get->key);
    struct remora_state_value value = { .found = item != NULL && item->value.data != NULL };
    if (value.found)
        value.value = (struct remora_bytes){ .data = item->value.data, .len = item->value.len };
    remora_state_reply_value(call, &value);
}

static void
change(remora_call *call, struct store *store, struct remora_slice key, struct remora_slice value)
{
    if (!works(call, store))
        return;
    if (!append(store, key, value)) {
        remora_reply_error(call, REMORA_INTERNAL, "cannot write: %s", strerror(errno));
        return;
    }
    put(store, key, value);
    remora_reply_ok(call);
}

static void
store_set(remora_call *call, void *self, const struct remora_state_set *set)
{
    change(call, self, set->key, set->value);
}

static void
store_delete(remora_call *call, void *self, const struct remora_state_delete *del)
{
    change(call, self, del->key, (struct remora_slice){ NULL, 0 });
}

static void
store_transact(remora_call *call, void *self, const struct remora_state_operation *ops,
               size_t count, const struct remora_pair *metadata, size_t metadata_count)
{
    (void)metadata;
    (void)metadata_count;
    struct store *store = self;
    if (!works(call, store))
        return;
    for (size_t i = 0; i < count; i++) {
        const struct remora_slice key = ops[i].is_delete ? ops[i].del.key : ops[i].set.key;
        const struct remora_slice value = ops[i].is_delete ? (struct remora_slice){ NULL, 0 }
                                                           : ops[i].set.value;
        if (!append(store, key, value)) {
            remora_reply_error(call, REMORA_INTERNAL, "cannot write: %s", strerror(errno));
            return;
        }
        put(store, key, value);
    }
    remora_reply_ok(call);
}

static const struct remora_state_ops state_ops = {
    .get = store_get,
    .transact = store_transact,
    .set = store_set,
    .del = store_delete,
};

static const struct remora_component_type types[] = {
    { .type = "state.exclusive",
      .versions = "v1",
      .init = store_init,
      .start = store_start,
      .quiesce = store_quiesce,
      .close = store_close,
      .state = &state_ops },
};

int
main(int argc, char **argv)
{
    static const struct remora_plugin plugin = {
        .name = "exclusive",
        .version = "1.0.0",
        .types = types,
        .type_count = sizeof types / sizeof types[0],
    };
    return remora_plugin_main(&plugin, argc, argv);
}
