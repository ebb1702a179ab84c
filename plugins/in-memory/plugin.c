/* SPDX-License-Identifier: Apache-2.0 */
/*
 * state.in-memory: a state store in the plugin's own memory. Also the example to begin with when
 * writing a state store: every function below answers its call before it returns, so there is
 * nothing to wait for, to cancel or to remember.
 */
#include <remora_plugin.h>

#include <ev.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "broker.h"
#include "handover.h"
#include "like.h"
#include "table.h"

enum {
    SWEEP_SECONDS = 1,
    EXPORT_IDLE_SWEEPS = 30, /* nobody asks any more: the exchange was given up */
    BURIAL_ENTRIES = 4096,   /* freed at a time */
    SWEEP_BUCKETS = 16384,   /* a sweep this long takes less than a millisecond */
    COPY_BYTES_MAX = 65536,  /* larger values are kept and sent where they are: copies take time */
};

struct store {
    struct table table;
    ev_timer sweeper;
    struct store *next_closed;
    unsigned export_idle_sweeps; /* since the last piece was asked for */
};

static int64_t
now_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* --- component ---------------------------------------------------------------------------------*/

static void
on_sweep(struct ev_loop *loop, ev_timer *watcher, int events)
{
    (void)loop;
    (void)events;
    struct store *store = watcher->data;
    table_sweep(&store->table, now_ms(), SWEEP_BUCKETS);
    if (store->table.is_exporting && ++store->export_idle_sweeps > EXPORT_IDLE_SWEEPS)
        table_export_end(&store->table);
}

static void
store_init(remora_call *call, const struct remora_config *config)
{
    (void)config; /* there is nothing to configure */
    struct store *store = calloc(1, sizeof *store);
    if (store == NULL || !table_init(&store->table)) {
        free(store);
        remora_reply_error(call, REMORA_RESOURCE_EXHAUSTED, "out of memory");
        return;
    }
    ev_timer_init(&store->sweeper, on_sweep, SWEEP_SECONDS, SWEEP_SECONDS);
    store->sweeper.data = store;
    ev_timer_start(remora_loop(), &store->sweeper);
    remora_reply_init(call, store,
                      REMORA_CAP_ETAG | REMORA_CAP_TRANSACTIONAL | REMORA_CAP_TTL |
                          REMORA_CAP_DELETE_WITH_PREFIX | REMORA_CAP_KEYS_LIKE,
                      0);
}

/* What is left of closed stores goes while nobody waits: after an exchange the successor serves
 * from this very process. */
static struct store *closed;
static ev_idle burial;

static void
on_burial(struct ev_loop *loop, ev_idle *watcher, int events)
{
    (void)events;
    struct store *store = closed;
    if (store == NULL) {
        ev_idle_stop(loop, watcher);
    } else if (table_fini_some(&store->table, BURIAL_ENTRIES)) {
        closed = store->next_closed;
        free(store);
    }
}

static void
store_close(void *self)
{
    struct store *store = self;
    ev_timer_stop(remora_loop(), &store->sweeper);
    store->next_closed = closed;
    closed = store;
    if (!ev_is_active(&burial)) {
        ev_idle_init(&burial, on_burial);
        ev_idle_start(remora_loop(), &burial);
    }
}

/* --- handover ----------------------------------------------------------------------------------*/

static void
store_export(remora_call *call, void *self, uint64_t cursor)
{
    struct store *store = self;
    char *piece;
    size_t bytes;
    store->export_idle_sweeps = 0;
    if (!table_export(&store->table, cursor)) {
        remora_reply_error(call, REMORA_FAILED_PRECONDITION, "no export is at that cursor");
        return;
    }
    if (!handover_pack(&store->table, &piece, &bytes)) {
        remora_reply_error(call, REMORA_RESOURCE_EXHAUSTED, "out of memory");
        return;
    }
    remora_reply_export(call, store->table.export_cursor, store->table.export_next != NULL,
                        (struct remora_bytes){ piece, bytes, free, piece });
}

static void
store_import(remora_call *call, void *self, struct remora_slice piece)
{
    struct store *store = self;
    if (handover_apply(&store->table, piece))
        remora_reply_ok(call);
    else
        remora_reply_error(call, REMORA_INVALID_ARGUMENT,
                           "the piece is malformed, or memory is out");
}

/* --- checks ------------------------------------------------------------------------------------*/

#define TEXT(s) (int)(s).len, (s).data

/* What a write asks of the entry it meets. */
struct condition {
    struct remora_slice key;
    struct remora_slice etag; /* empty: none given */
    enum remora_concurrency concurrency;
};

static struct condition
condition_of_set(const struct remora_state_set *set)
{
    return (struct condition){ set->key, set->etag, set->concurrency };
}

static struct condition
condition_of_delete(const struct remora_state_delete *del)
{
    return (struct condition){ del->key, del->etag, del->concurrency };
}

/* Users compare these texts with the reference's, so all of it is here. */
#define MISMATCH "possible etag mismatch. error from state store: "

/* Answers the call and returns false if the condition does not hold. */
static bool
check_condition(remora_call *call, struct store *store, struct condition want)
{
    const struct entry *entry = table_get(&store->table, want.key, now_ms());
    char text[1024];
    if (want.etag.len == 0) {
        if (want.concurrency != REMORA_FIRST_WRITE || entry == NULL)
            return true;
        snprintf(text, sizeof text, MISMATCH "item already exists and no etag was passed");
    } else if (entry == NULL) {
        snprintf(text, sizeof text, MISMATCH "state not exist or expired for key=%.*s",
                 TEXT(want.key));
    } else if (!remora_slice_eq(want.etag, entry->etag)) {
        snprintf(text, sizeof text,
                 MISMATCH "state etag not match for key=%.*s: current=%s, expect=%.*s",
                 TEXT(want.key), entry->etag, TEXT(want.etag));
    } else {
        return true;
    }
    remora_reply_failure(call, &(struct remora_failure){ .code = REMORA_ABORTED,
                                                         .reason = REMORA_REASON_ETAG_MISMATCH,
                                                         .message = text });
    return false;
}

/* When a value set now expires. Zero and negative times to live mean never. Answers the call and
 * returns false if the metadata has no number. */
static bool
read_expiry(remora_call *call, const struct remora_state_set *set, int64_t *ret_expires)
{
    int64_t seconds = set->has_ttl ? set->ttl_seconds : 0;
    struct remora_slice text;
    if (remora_metadata_get(set->metadata, set->metadata_count, "ttlInSeconds", &text) &&
        text.len > 0 && !remora_parse_i64(text, &seconds)) {
        const size_t sign = text.data[0] == '-' || text.data[0] == '+';
        size_t digits = sign;
        while (digits < text.len && text.data[digits] >= '0' && text.data[digits] <= '9')
            digits++;
        remora_reply_error(
            call, REMORA_INVALID_ARGUMENT, "strconv.Atoi: parsing \"%.*s\": %s", TEXT(text),
            digits == text.len && digits > sign ? "value out of range" : "invalid syntax");
        return false;
    }
    const int64_t now = now_ms();
    const int64_t most = (INT64_MAX - now) / 1000;
    *ret_expires = seconds <= 0 ? 0 : now + (seconds < most ? seconds : most) * 1000;
    return true;
}

/* The entry a set asks for; NULL after answering the call. */
static struct entry *
make_entry(remora_call *call, struct store *store, const struct remora_state_set *set)
{
    int64_t expires;
    if (!read_expiry(call, set, &expires))
        return NULL;
    struct remora_bytes value = { .data = set->value.data, .len = set->value.len };
    if (value.len > COPY_BYTES_MAX && !remora_call_keep(call, set->value, &value)) {
        remora_reply_error(call, REMORA_RESOURCE_EXHAUSTED, "out of memory");
        return NULL;
    }
    struct entry *entry = entry_new(&store->table, set->key, value, expires);
    if (entry == NULL)
        remora_reply_error(call, REMORA_RESOURCE_EXHAUSTED, "out of memory");
    return entry;
}

/* --- operations on one key ---------------------------------------------------------------------*/

static void
on_value_sent(void *arg)
{
    entry_drop(arg);
}

static void
store_get(remora_call *call, void *self, const struct remora_state_get *get)
{
    struct store *store = self;
    struct entry *entry = table_get(&store->table, get->key, now_ms());
    if (entry == NULL) {
        remora_state_reply_value(call, &(struct remora_state_value){ .found = false });
        return;
    }
    struct remora_state_value value = {
        .found = true,
        .has_etag = true,
        .etag = { entry->etag, strlen(entry->etag) },
        .value = { .data = entry->value.data, .len = entry->value.len },
        .expires_unix_ms = entry->expires_unix_ms,
    };
    if (entry->value.len > COPY_BYTES_MAX) {
        entry->users++;
        value.value.release = on_value_sent;
        value.value.arg = entry;
    }
    remora_state_reply_value(call, &value);
}

static void
store_set(remora_call *call, void *self, const struct remora_state_set *set)
{
    struct store *store = self;
    if (!check_condition(call, store, condition_of_set(set)))
        return;
    struct entry *entry = make_entry(call, store, set);
    if (entry == NULL)
        return;
    table_put(&store->table, entry);
    remora_reply_ok(call);
}

static void
store_delete(remora_call *call, void *self, const struct remora_state_delete *del)
{
    struct store *store = self;
    if (!check_condition(call, store, condition_of_delete(del)))
        return;
    table_remove(&store->table, del->key);
    remora_reply_ok(call);
}

/* --- transactions ------------------------------------------------------------------------------*/

/* Checks one operation and prepares its entry; answers the call and returns false if it cannot be.
 */
static bool
prepare(remora_call *call, struct store *store, const struct remora_state_operation *op,
        struct entry **ret_entry)
{
    *ret_entry = NULL;
    if (op->is_delete)
        return check_condition(call, store, condition_of_delete(&op->del));
    if (!check_condition(call, store, condition_of_set(&op->set)))
        return false;
    *ret_entry = make_entry(call, store, &op->set);
    return *ret_entry != NULL;
}

/* As the reference: all conditions are checked against the state before the transaction. The
 * entries are not in the call's memory, because that is gone once a failing operation has answered.
 */
static void
store_transact(remora_call *call, void *self, const struct remora_state_operation *ops,
               size_t count, const struct remora_pair *metadata, size_t metadata_count)
{
    (void)metadata;
    (void)metadata_count;
    struct store *store = self;
    struct entry **entries = calloc(count, sizeof(struct entry *));
    size_t ready = 0;
    if (entries == NULL) {
        remora_reply_error(call, REMORA_RESOURCE_EXHAUSTED, "out of memory");
        return;
    }
    while (ready < count && prepare(call, store, &ops[ready], &entries[ready]))
        ready++;
    if (ready < count) {
        while (ready > 0)
            entry_drop(entries[--ready]);
        free(entries);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        if (ops[i].is_delete)
            table_remove(&store->table, ops[i].del.key);
        else
            table_put(&store->table, entries[i]);
    }
    free(entries);
    remora_reply_ok(call);
}

/* --- operations on many keys -------------------------------------------------------------------*/

struct prefix_delete {
    struct remora_slice prefix;
    uint64_t count;
};

static bool
delete_with_prefix(const struct entry *entry, void *arg)
{
    struct prefix_delete *work = arg;
    if (entry->key.len < work->prefix.len ||
        memcmp(entry->key.data, work->prefix.data, work->prefix.len) != 0)
        return false;
    work->count++;
    return true;
}

static void
store_delete_prefix(remora_call *call, void *self, struct remora_slice prefix)
{
    struct store *store = self;
    struct prefix_delete work = { .prefix = prefix };
    table_scan(&store->table, now_ms(), delete_with_prefix, &work);
    remora_state_reply_count(call, work.count);
}

struct key_search {
    struct remora_slice pattern;
    struct remora_slice after; /* only greater keys */
    struct remora_slice *keys; /* owned; room for every key of the table */
    size_t count;
};

static int
compare_keys(const void *a, const void *b)
{
    const struct remora_slice *x = a, *y = b;
    const int order = memcmp(x->data, y->data, x->len < y->len ? x->len : y->len);
    return order != 0 ? order : (x->len > y->len) - (x->len < y->len);
}

static bool
note_matching(const struct entry *entry, void *arg)
{
    struct key_search *search = arg;
    const bool is_later = search->after.len == 0 || compare_keys(&entry->key, &search->after) > 0;
    if (is_later && like_matches(search->pattern, entry->key))
        search->keys[search->count++] = entry->key;
    return false;
}

/* In byte order; the token of a page is its last key. */
static void
store_keys_like(remora_call *call, void *self, struct remora_slice pattern, uint32_t page_size,
                struct remora_slice token)
{
    struct store *store = self;
    struct key_search search = { .pattern = pattern, .after = token };
    search.keys = calloc(store->table.count + 1, sizeof *search.keys);
    if (search.keys == NULL) {
        remora_reply_error(call, REMORA_RESOURCE_EXHAUSTED, "out of memory");
        return;
    }
    table_scan(&store->table, now_ms(), note_matching, &search);
    qsort(search.keys, search.count, sizeof *search.keys, compare_keys);
    struct remora_slice next = { "", 0 };
    if (page_size > 0 && search.count > page_size) {
        search.count = page_size;
        next = search.keys[page_size - 1];
    }
    remora_state_reply_keys(call, search.keys, search.count, next);
    free(search.keys);
}

/* --- registration ------------------------------------------------------------------------------*/

static const struct remora_state_ops state_ops = {
    .get = store_get,
    .set = store_set,
    .del = store_delete,
    .transact = store_transact,
    .delete_prefix = store_delete_prefix,
    .keys_like = store_keys_like,
};

static const struct remora_component_type types[] = {
    { .type = "state.in-memory",
      .versions = "v1",
      .init = store_init,
      .close = store_close,
      .export_state = store_export,
      .import_state = store_import,
      .state = &state_ops },
    { .type = "pubsub.in-memory",
      .versions = "v1",
      .init = broker_init,
      .quiesce = broker_quiesce,
      .close = broker_close,
      .pubsub = &broker_ops },
};

int
main(int argc, char **argv)
{
    static const struct remora_plugin plugin = {
        .name = "in-memory",
        .version = "1.0.0",
        .types = types,
        .type_count = sizeof types / sizeof types[0],
    };
    return remora_plugin_main(&plugin, argc, argv);
}
