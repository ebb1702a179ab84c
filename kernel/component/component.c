/* SPDX-License-Identifier: Apache-2.0 */
/* A worker's view of the components; see component.h. */
#include "component/component.h"

#include <assert.h>
#include <stdlib.h>

#include "base/limits.h"
#include "telemetry/metrics.h"

static const struct {
    const char *category;
    enum component_kind kind;
} categories[] = {
    { "state", COMPONENT_STATE },
    { "secretstores", COMPONENT_SECRETS },
    { "pubsub", COMPONENT_PUBSUB },
    { "nameresolution", COMPONENT_NAMES },
    { "configuration", COMPONENT_CONFIGURATION },
    { "lock", COMPONENT_LOCK },
    { "crypto", COMPONENT_CRYPTO },
    { "bindings", COMPONENT_BINDING },
    { "conversation", COMPONENT_CONVERSATION },
    { "middleware", COMPONENT_MIDDLEWARE },
    { "test", COMPONENT_TEST },
};

bool
component_kind_of(struct slice type, enum component_kind *ret_kind)
{
    ptrdiff_t dot = slice_find_byte(type, '.');
    if (dot < 0)
        return false;
    for (size_t i = 0; i < ARRAY_LEN(categories); i++) {
        if (slice_eq(slice_first(type, (size_t)dot), slice_str(categories[i].category))) {
            *ret_kind = categories[i].kind;
            return true;
        }
    }
    return false;
}

size_t
component_capability_names(uint32_t capabilities, const char *ret_names[COMPONENT_CAPABILITY_NAMES])
{
    static const struct {
        uint32_t bits;
        const char *name;
    } names[COMPONENT_CAPABILITY_NAMES] = {
        { CAN_ETAG, "ETAG" },
        { CAN_TRANSACT, "TRANSACTIONAL" },
        { CAN_QUERY, "QUERY_API" },
        { CAN_TTL, "TTL" },
        { CAN_DELETE_PREFIX, "DELETE_WITH_PREFIX" },
        { CAN_KEYS_LIKE, "KEYS_LIKE" },
        { CAN_ETAG | CAN_TRANSACT, "ACTOR" }, /* follows from two others */
        { HAS_MANY_VALUES_PER_SECRET, "MULTIPLE_KEY_VALUES_PER_SECRET" },
        { CAN_MESSAGE_TTL, "MESSAGE_TTL" },
        { CAN_WILDCARDS, "SUBSCRIBE_WILDCARDS" },
        { CAN_BULK_PUBLISH | CAN_BULK_SUBSCRIBE, "BULK_PUBSUB" },
        { IS_INPUT_BINDING, "INPUT_BINDING" },
        { IS_OUTPUT_BINDING, "OUTPUT_BINDING" },
    };
    size_t count = 0;
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if ((capabilities & names[i].bits) == names[i].bits)
            ret_names[count++] = names[i].name;
    return count;
}

/* --- facts -------------------------------------------------------------------------------------*/

static struct slice
copy_to(char **at, struct slice text)
{
    struct slice copy = slice_of(*at, text.len);
    if (text.len > 0)
        memcpy(*at, text.data, text.len);
    *at += text.len;
    return copy;
}

struct component_facts *
component_facts_new(const struct component_facts *from)
{
    size_t bytes = from->name.len + from->type.len + from->version.len + from->key_prefix.len +
                   from->topic_prefix.len + from->scopes.allowed.len + from->scopes.protected_.len +
                   from->scopes.publishing.len + from->scopes.subscribing.len +
                   from->outbox.pubsub.len + from->outbox.topic.len +
                   from->outbox.inner_pubsub.len + from->outbox.inner_topic.len +
                   from->binding.operations.len + from->binding.route.len;
    struct component_facts *facts = malloc(sizeof *facts + bytes);
    if (facts == NULL)
        abort();
    char *at = (char *)(facts + 1);
    *facts = *from;
    atomic_init(&facts->refs, 1);
    if (facts->encryption != NULL)
        encryption_ref(facts->encryption);
    facts->name = copy_to(&at, from->name);
    facts->type = copy_to(&at, from->type);
    facts->version = copy_to(&at, from->version);
    facts->key_prefix = copy_to(&at, from->key_prefix);
    facts->topic_prefix = copy_to(&at, from->topic_prefix);
    facts->scopes.allowed = copy_to(&at, from->scopes.allowed);
    facts->scopes.protected_ = copy_to(&at, from->scopes.protected_);
    facts->scopes.publishing = copy_to(&at, from->scopes.publishing);
    facts->scopes.subscribing = copy_to(&at, from->scopes.subscribing);
    facts->outbox.pubsub = copy_to(&at, from->outbox.pubsub);
    facts->outbox.topic = copy_to(&at, from->outbox.topic);
    facts->outbox.inner_pubsub = copy_to(&at, from->outbox.inner_pubsub);
    facts->outbox.inner_topic = copy_to(&at, from->outbox.inner_topic);
    facts->binding.operations = copy_to(&at, from->binding.operations);
    facts->binding.route = copy_to(&at, from->binding.route);
    return facts;
}

struct component_facts *
component_facts_ref(struct component_facts *facts)
{
    atomic_fetch_add_explicit(&facts->refs, 1, memory_order_relaxed);
    return facts;
}

void
component_facts_unref(struct component_facts *facts)
{
    if (facts == NULL || atomic_fetch_sub_explicit(&facts->refs, 1, memory_order_acq_rel) != 1)
        return;
    latch_unref(facts->gone);
    encryption_unref(facts->encryption);
    free(facts);
}

/* --- the table ---------------------------------------------------------------------------------*/

struct waiter {
    struct list link;
    struct wait wait;
};

void
component_table_init(struct component_table *table)
{
    *table = (struct component_table){ 0 };
    map_init(&table->by_name);
    list_init(&table->watchers);
    list_init(&table->retiring);
    gate_init(&table->starting, 0, LIMIT_tasks_max);
    gate_close(&table->starting, ERR_CLOSED);
}

void
component_table_starting(struct component_table *table)
{
    gate_init(&table->starting, 0, LIMIT_tasks_max);
}

void
component_table_started(struct component_table *table)
{
    gate_close(&table->starting, ERR_CLOSED);
}

static void
wake_waiters(struct component *component, err_t err)
{
    struct list *node;
    while ((node = list_take_first(&component->waiters)) != NULL)
        wait_done(&LIST_ENTRY(node, struct waiter, link)->wait, err);
}

struct component *
component_ref(struct component *component)
{
    component->refs++;
    return component;
}

void
component_unref(struct component *component)
{
    if (--component->refs > 0)
        return;
    assert(component->is_removed && list_is_empty(&component->waiters));
    latch_unref(component->writes);
    component_facts_unref(component->facts);
    free(component);
}

/* Out of the table; requests that still hold it find nothing to call. Its facts stay readable. */
static void
discard(struct component *component)
{
    component->is_removed = true;
    component->away_reason = "the component was removed";
    link_unref(TAKE(component->link));
    wake_waiters(component, ERR_PLUGIN_AWAY);
    component_unref(component);
}

void
component_table_fini(struct component_table *table)
{
    size_t cursor = 0;
    struct slice name;
    void *component;
    while (map_next(&table->by_name, &cursor, &name, &component))
        discard(component);
    map_fini(&table->by_name);
}

struct component *
component_find(const struct component_table *table, enum component_kind kind, struct slice name)
{
    struct component *component = map_get(&table->by_name, name);
    return component != NULL && component->facts->kind == kind ? component : NULL;
}

struct component *
component_await(struct task *t, struct component_table *table, enum component_kind kind,
                struct slice name)
{
    struct component *found = component_find(table, kind, name);
    if (found != NULL || table->starting.closed != OK)
        return found;
    /* Nobody opens it but by closing it: any other end is the caller's, who then sees what there
     * is. */
    err_t err = gate_enter(t, &table->starting, 1); /* suspends */
    assert(err != OK);
    return component_find(table, kind, name);
}

static void
tell_change(const struct component_table *table)
{
    for (struct list *at = table->watchers.next; at != &table->watchers; at = at->next) {
        struct component_watcher *watcher = container_of(at, struct component_watcher, link);
        watcher->on_change(watcher);
    }
}

void
component_publish(struct component_table *table, struct component_facts *facts, struct link *link,
                  struct latch *writes)
{
    struct component *component = map_get(&table->by_name, facts->name);
    if (component == NULL) {
        component = calloc(1, sizeof *component);
        if (component == NULL)
            abort();
        component->refs = 1;
        list_init(&component->waiters);
        gate_init(&component->suspects, 1, LIMIT_tasks_max);
        (void)map_put(&table->by_name, facts->name, component); /* was not there */
    } else {
        table->kind_count[component->facts->kind]--;
    }
    struct component_facts *old_facts = component->facts;
    struct link *old_link = component->link;
    struct latch *old_writes = component->writes;
    component->facts = component_facts_ref(facts);
    component->link = link == NULL ? NULL : link_ref(link);
    component->writes = writes == NULL ? NULL : latch_ref(writes);
    component->away_reason = "it has not started yet";
    table->kind_count[facts->kind]++;
    component_facts_unref(old_facts);
    link_unref(old_link);
    latch_unref(old_writes);
    wake_waiters(component, OK);
    tell_change(table);
}

void
component_hold(struct component_table *table, struct slice name)
{
    struct component *component = map_get(&table->by_name, name);
    if (component != NULL)
        latch_unref(TAKE(component->writes));
}

void
component_release(struct component_table *table, struct slice name, struct latch *writes)
{
    struct component *component = map_get(&table->by_name, name);
    if (component == NULL || component->writes != NULL)
        return;
    component->writes = latch_ref(writes);
    wake_waiters(component, OK);
}

void
component_detach(struct component_table *table, struct slice name, const struct link *link,
                 const char *reason)
{
    struct component *component = map_get(&table->by_name, name);
    if (component == NULL || component->link != link)
        return;
    component->away_reason = reason;
    link_unref(TAKE(component->link));
    tell_change(table);
}

void
component_remove(struct component_table *table, struct slice name)
{
    struct component *component = map_remove(&table->by_name, name);
    if (component == NULL)
        return;
    table->kind_count[component->facts->kind]--;
    discard(component);
    tell_change(table);
}

/* --- calls -------------------------------------------------------------------------------------*/

/* Until something of the component has changed. */
static err_t
wait_for_change(struct task *t, struct component *component)
{
    struct waiter waiter;
    wait_init(&waiter.wait, t, NULL);
    list_append(&component->waiters, &waiter.link);
    err_t err = TASK_WAIT(t, &waiter.wait);
    list_remove(&waiter.link);
    return err;
}

static bool
is_callable(const struct component *component, bool is_write)
{
    return component->link != NULL && (!is_write || component->writes != NULL);
}

static err_t
ensure_callable(struct task *t, struct component *component, bool is_write)
{
    if (is_callable(component, is_write) && !component->is_removed)
        return OK;
    err_t err = OK;
    uint64_t started_ns = task_worker(t)->now_ns;
    uint64_t outer = task_deadline_push(t, LIMIT_component_wait_ms);
    while (err == OK && !component->is_removed && !is_callable(component, is_write))
        err = wait_for_change(t, component); /* suspends */
    task_deadline_pop(t, outer);
    metrics_record(metrics_single(METRICS_link_wait), task_worker(t)->now_ns - started_ns);
    if (component->is_removed || (err == ERR_DEADLINE && task_time_left_ms(t) > 0))
        err = ERR_PLUGIN_AWAY;
    if (err == ERR_PLUGIN_AWAY)
        return DIAG_FAIL(task_diag(t), err, "the plugin is not available: %s",
                         component->link == NULL ? component->away_reason
                                                 : "it is being exchanged");
    return err;
}

err_t
component_call(struct task *t, struct component *component, const struct link_args *args,
               struct component_call *ret_call)
{
    *ret_call = (struct component_call){ 0 };
    err_t err = ensure_callable(t, component, args->is_write); /* suspends */
    if (err != OK)
        return err;
    ret_call->facts = component_facts_ref(component->facts);
    ret_call->writes = args->is_write ? latch_ref(component->writes) : NULL;
    struct link *link = link_ref(component->link);
    struct link_args with_handle = *args;
    with_handle.component = component->facts->handle;
    err = bus_call(t, link, &with_handle, &ret_call->bus); /* suspends */
    if (err == ERR_PLUGIN_NOT_SENT && component->link == link) {
        /* Dead, and we know before the main thread tells us: the next attempt waits for another. */
        component->away_reason = "it is being restarted";
        link_unref(TAKE(component->link));
    }
    link_unref(link);
    return err;
}

void
component_call_finish(struct task *t, struct component_call *call)
{
    bus_call_finish(t, &call->bus);
    latch_unref(TAKE(call->writes));
    component_facts_unref(TAKE(call->facts));
}
