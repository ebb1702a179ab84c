/* SPDX-License-Identifier: Apache-2.0 */
/* Moving components from one generation to the next; see exchange.h. */
#include "component/exchange.h"

#include <stdlib.h>

#include "async/group.h"
#include "async/worker.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/pb.h"
#include "remora/plugin/v1/plugin.pb-c.h"
#include "telemetry/metrics.h"

#define METHOD(name) REMORA__PLUGIN__V1__METHOD__METHOD_##name

enum { PARALLEL_MAX = 64 };

/* --- life-cycle calls --------------------------------------------------------------------------*/

static void
set_error(struct exchange_item *item, struct slice text)
{
    if (item->error == NULL)
        item->error = slice_copy(text);
}

/* Whether there is somebody to talk to. The link of another worker says so when it is called. */
static bool
is_served(struct task *t, const struct link *link)
{
    return link != NULL && (link->worker != task_worker(t) || link_is_ready(link));
}

/* One call. The caller finishes `ret_call` whatever comes back; on failure the item has the words.
 */
static err_t
ask(struct task *t, struct exchange_item *item, struct link *link, const struct link_args *args,
    struct bus_call *ret_call)
{
    err_t err = bus_call(t, link, args, ret_call); /* suspends */
    const struct frame_status *status = &ret_call->call.status;
    if (err == OK && status->code != GRPC_OK) {
        set_error(item, status->message.len > 0 ? status->message
                                                : slice_str(grpc_code_name(status->code)));
        return ERR_PLUGIN_FAILED;
    }
    if (err == ERR_DEADLINE)
        set_error(item, args->method == METHOD(INIT) ? SLICE("init timeout exceeded")
                                                     : SLICE("the plugin did not answer in time"));
    else if (err != OK)
        set_error(item, SLICE("the plugin ended before it had answered"));
    return err;
}

static err_t
simple(struct task *t, struct exchange_item *item, struct link *link, uint32_t method,
       uint32_t handle)
{
    struct bus_call call;
    const struct link_args args = { .method = method, .component = handle, .is_write = true };
    err_t err = ask(t, item, link, &args, &call);
    bus_call_finish(t, &call);
    return err;
}

/* The same, in so many milliseconds. */
static err_t
within(struct task *t, uint64_t limit_ms, struct exchange_item *item, struct link *link,
       uint32_t method, uint32_t handle)
{
    uint64_t outer = task_deadline_push(t, limit_ms);
    err_t err = simple(t, item, link, method, handle);
    task_deadline_pop(t, outer);
    return err;
}

/* Of what the plugin can do, what the document lets it. */
static void
read_operations(struct task *t, struct exchange_item *item,
                const Remora__Plugin__V1__InitReply *reply)
{
    struct component_facts *facts = &item->facts;
    struct arena_bytes words = { 0 };
    if (!facts->binding.may_read)
        facts->capabilities &= ~(uint32_t)IS_INPUT_BINDING;
    if (!facts->binding.may_invoke)
        facts->capabilities &= ~(uint32_t)IS_OUTPUT_BINDING;
    for (size_t i = 0; i < reply->n_operations; i++) {
        if (i > 0)
            arena_append(task_arena(t), &words, SLICE(" "));
        arena_append(task_arena(t), &words, slice_str(reply->operations[i]));
    }
    struct slice operations = arena_bytes_slice(&words); /* of a task that may end before us */
    free(item->operations);
    item->operations = slice_copy(operations);
    facts->binding.operations = slice_of(item->operations, operations.len);
}

static err_t
read_init_reply(struct task *t, struct exchange_item *item, const struct bus_call *call)
{
    const Remora__Plugin__V1__InitReply *reply = pb_unpack(
        task_arena(t), &remora__plugin__v1__init_reply__descriptor, call->call.message,
        LIMIT_frame_depth_max, LIMIT_init_reply_budget_bytes);
    if (reply == NULL) {
        set_error(item, SLICE("the plugin's answer to Init is malformed"));
        return ERR_PLUGIN_PROTOCOL;
    }
    for (size_t i = 0; i < reply->n_capabilities; i++)
        if (reply->capabilities[i] > 0 && reply->capabilities[i] < 32)
            item->facts.capabilities |= 1u << reply->capabilities[i];
    item->facts.operations_max = reply->transaction_operations_max;
    if (item->facts.kind == COMPONENT_BINDING)
        read_operations(t, item, reply);
    return OK;
}

static err_t
resolve_secrets(struct task *t, struct exchange_item *item)
{
    struct secret_refs_result result;
    if (item->secrets == NULL)
        return OK;
    err_t err = secret_refs_resolve(t, item->secrets, &item->request, &result);
    if (err != OK)
        set_error(item, result.error);
    item->digest = result.digest;
    item->facts.encryption = result.encryption;
    item->is_create_error = result.is_create_error;
    return err;
}

static err_t
create(struct task *t, struct exchange_item *item)
{
    struct bus_call call;
    const struct link_args args = { .method = METHOD(INIT),
                                    .component = item->facts.handle,
                                    .is_write = true,
                                    .message = slice_of(item->request.bytes, item->request.len) };
    err_t err = ask(t, item, item->to, &args, &call);
    if (err == OK)
        err = read_init_reply(t, item, &call);
    item->is_inited = err == OK;
    bus_call_finish(t, &call);
    return err;
}

/* Init, and Start where both generations may work at a time. */
static err_t
init_item(struct task *t, void *arg)
{
    struct exchange_item *item = arg;
    uint64_t outer = task_deadline_push(t, item->init_timeout_ms);
    err_t err = resolve_secrets(t, item);
    if (err == OK)
        err = create(t, item);
    if (err == OK && item->replace == REPLACE_OVERLAP)
        err = simple(t, item, item->to, METHOD(START), item->facts.handle);
    task_deadline_pop(t, outer);
    return err;
}

/* --- handover ----------------------------------------------------------------------------------*/

static err_t
read_export_reply(struct task *t, struct exchange_item *item, const struct bus_call *call,
                  uint64_t *ret_cursor, bool *ret_more)
{
    const Remora__Plugin__V1__ExportReply *reply = pb_unpack(
        task_arena(t), &remora__plugin__v1__export_reply__descriptor, call->call.message,
        LIMIT_frame_depth_max, LIMIT_init_reply_budget_bytes);
    if (reply == NULL) {
        set_error(item, SLICE("the plugin's answer to Export is malformed"));
        return ERR_PLUGIN_PROTOCOL;
    }
    *ret_cursor = reply->cursor;
    *ret_more = reply->more;
    return OK;
}

/* One piece from the old to the new, as it arrives. Both links are of this worker: only a plugin
 * can read what it has written, and its links are of one worker. */
static err_t
carry_piece(struct task *t, struct exchange_item *item, uint64_t *cursor, bool *ret_more)
{
    Remora__Plugin__V1__ExportRequest request = REMORA__PLUGIN__V1__EXPORT_REQUEST__INIT;
    request.cursor = *cursor;
    struct bus_call out;
    struct link_call in = { 0 };
    const struct link_args export_args = { .method = METHOD(EXPORT),
                                           .component = item->from_handle,
                                           .message = pb_pack(task_arena(t), &request.base) };
    const struct link_args import_args = { .method = METHOD(IMPORT),
                                           .component = item->facts.handle,
                                           .is_write = true,
                                           .open_ended = true };
    err_t err = ask(t, item, item->from, &export_args, &out);
    if (err == OK)
        err = read_export_reply(t, item, &out, cursor, ret_more);
    if (err == OK)
        err = link_call_open(t, item->to, &import_args, &in);
    for (struct slice chunk; err == OK;) {
        err = bus_call_body(t, &out, &chunk);
        if (err != OK || chunk.len == 0)
            break;
        err = link_call_write(t, &in, chunk);
    }
    if (err == OK)
        err = link_call_end(&in);
    if (err == OK)
        err = link_call_reply(t, &in);
    if (err == OK && in.status.code != GRPC_OK) {
        set_error(item, in.status.message);
        err = ERR_PLUGIN_FAILED;
    }
    if (err != OK)
        set_error(item, SLICE("its state could not be carried over"));
    link_call_finish(&in);
    bus_call_finish(t, &out);
    return err;
}

/* Everything after the cursor, until there is nothing more just now. */
static err_t
carry(struct task *t, struct exchange_item *item, uint64_t limit_ms, uint64_t *cursor)
{
    bool more = true;
    err_t err = OK;
    uint64_t outer = task_deadline_push(t, limit_ms);
    while (err == OK && more)
        err = carry_piece(t, item, cursor, &more);
    task_deadline_pop(t, outer);
    return err;
}

/* --- one component at a time -------------------------------------------------------------------*/

/* Every worker has stopped beginning what `send` stops, and what had begun is over. */
static err_t
wait_all(struct task *t, struct latch **owned)
{
    return latch_wait(t, TAKE(*owned));
}

/* Writes wait from here on, until publish() or release(). */
static err_t
hold_writes(struct task *t, const struct exchange *x, struct exchange_item *item)
{
    struct latch *ack = latch_new();
    routes_hold(x->routes, slice_str(item->name), ack);
    err_t err = latch_wait(t, ack);
    if (err == OK && item->from_writes != NULL)
        err = wait_all(t, &item->from_writes);
    if (err != OK)
        set_error(item, SLICE("writes under way did not end in time"));
    return err;
}

static void
release(const struct exchange *x, struct exchange_item *item)
{
    latch_unref(item->writes);
    item->writes = latch_new(); /* the old generation goes on with this one */
    routes_release(x->routes, slice_str(item->name), item->writes, NULL);
}

/* Tells all workers, and waits until they know. */
static err_t
tell_all(struct task *t, const struct exchange *x, struct component_facts *facts, struct link *link,
         struct latch *writes)
{
    struct latch *ack = latch_new();
    routes_publish(x->routes, facts, link, writes, ack);
    task_shield_begin(t); /* messages of ours to ourselves: they arrive */
    err_t err = latch_wait(t, ack);
    task_shield_end(t);
    return err;
}

/* With a latch of its own. */
static struct component_facts *
facts_with(const struct component_facts *like, struct latch *gone)
{
    struct component_facts facts = *like;
    facts.gone = gone == NULL ? NULL : latch_ref(gone);
    return component_facts_new(&facts);
}

/* The new generation serves, on every worker, when this returns. While some workers still have the
 * old one nobody writes, so that no read is older than a write that was acknowledged. */
static err_t
publish(struct task *t, const struct exchange *x, struct exchange_item *item, bool writes_are_held)
{
    item->gone = latch_new();
    item->writes = latch_new();
    item->shape = facts_with(&item->facts, NULL);
    struct component_facts *facts = facts_with(&item->facts, item->gone);
    item->is_switched = true;
    err_t err = tell_all(t, x, facts, item->to, writes_are_held ? NULL : item->writes);
    component_facts_unref(facts);
    if (writes_are_held)
        routes_release(x->routes, slice_str(item->name), item->writes, NULL);
    return err;
}

/* With encryption at rest nobody may write with a new key while some worker can read with the old
 * ones only. */
static err_t
switch_overlap(struct task *t, const struct exchange *x, struct exchange_item *item)
{
    if (item->facts.encryption == NULL || item->from == NULL)
        return publish(t, x, item, false);
    uint64_t outer = task_deadline_push(t, LIMIT_exchange_hold_ms);
    err_t err = hold_writes(t, x, item);
    task_deadline_pop(t, outer);
    if (err == OK)
        return publish(t, x, item, true);
    release(x, item);
    return err;
}

/* The old generation serves after all. */
static void
bring_back(struct task *t, const struct exchange *x, struct exchange_item *item, bool is_quiesced)
{
    /* What the new one may have begun to hold comes first: only one may work. */
    (void)within(t, LIMIT_exchange_hold_ms / 4, item, item->to, METHOD(CLOSE), item->facts.handle);
    item->is_inited = false;
    if (is_quiesced &&
        within(t, LIMIT_exchange_hold_ms, item, item->from, METHOD(START), item->from_handle) != OK)
        log_error("remora.exchange", "component %s: the old generation did not take up again",
                  item->name);
    item->gone = latch_new();
    item->writes = latch_new();
    struct component_facts *facts = facts_with(item->from_shape, item->gone);
    (void)tell_all(t, x, facts, item->from, item->writes); /* there is nothing else to do */
    component_facts_unref(facts);
}

/* Nobody begins a call once the workers have the new one's facts without a link, and all calls of
 * the old one are over once nobody has its facts: then it may let go. */
static err_t
switch_exclusive(struct task *t, const struct exchange *x, struct exchange_item *item)
{
    bool is_quiesced = false;
    uint64_t outer = task_deadline_push(t, LIMIT_exchange_hold_ms);
    struct component_facts *facts = facts_with(&item->facts, NULL);
    err_t err = tell_all(t, x, facts, NULL, NULL);
    component_facts_unref(facts);
    if (err == OK)
        err = wait_all(t, &item->from_gone);
    if (err == OK) {
        is_quiesced = true;
        err = simple(t, item, item->from, METHOD(QUIESCE), item->from_handle);
    } else {
        set_error(item, SLICE("calls under way did not end in time"));
    }
    if (err == OK)
        err = simple(t, item, item->to, METHOD(START), item->facts.handle);
    task_deadline_pop(t, outer);
    if (err == OK)
        return publish(t, x, item, false);
    bring_back(t, x, item, is_quiesced);
    return err;
}

static err_t
switch_handover(struct task *t, const struct exchange *x, struct exchange_item *item)
{
    uint64_t cursor = 0;
    err_t err = carry(t, item, LIMIT_exchange_carry_ms, &cursor);
    if (err != OK)
        return err;
    uint64_t outer = task_deadline_push(t, LIMIT_exchange_hold_ms);
    err = hold_writes(t, x, item);
    if (err == OK)
        err = carry(t, item, LIMIT_exchange_hold_ms, &cursor);
    if (err == OK)
        err = simple(t, item, item->to, METHOD(START), item->facts.handle);
    task_deadline_pop(t, outer);
    if (err != OK) {
        release(x, item);
        return err;
    }
    return publish(t, x, item, true);
}

static err_t
switch_item(struct task *t, const struct exchange *x, struct exchange_item *item)
{
    if (item->replace != REPLACE_OVERLAP && !is_served(t, item->from)) {
        err_t err = within(t, item->init_timeout_ms, item, item->to, METHOD(START),
                           item->facts.handle);
        return err != OK ? err : publish(t, x, item, false);
    }
    switch (item->replace) {
    case REPLACE_EXCLUSIVE:
        return switch_exclusive(t, x, item);
    case REPLACE_HANDOVER:
        return switch_handover(t, x, item);
    case REPLACE_OVERLAP:
        break;
    }
    return switch_overlap(t, x, item);
}

/* --- the whole ---------------------------------------------------------------------------------*/

/* Init of all. False: some failed; those that were created are closed again. */
static bool
init_all(struct task *t, struct exchange *x)
{
    struct group group;
    if (x->count == 1)
        return init_item(t, &x->items[0]) == OK;
    group_init(&group, t, PARALLEL_MAX);
    for (size_t i = 0; i < x->count; i++)
        group_go(&group, "component init", init_item, &x->items[i]);
    return group_join(&group) == OK;
}

static void
close_new(struct task *t, struct exchange *x)
{
    for (size_t i = 0; i < x->count; i++) {
        struct exchange_item *item = &x->items[i];
        if (item->is_inited && !item->is_switched && is_served(t, item->to))
            (void)within(t, LIMIT_exchange_hold_ms, item, item->to, METHOD(CLOSE),
                         item->facts.handle); /* it goes anyway */
    }
}

/* Calls that began with the old generation end, until then, and it is closed. */
static void
retire(struct task *t, struct exchange_item *item, uint64_t until_ms)
{
    uint64_t now_ms = clock_now_ms();
    if (item->from_gone != NULL) {
        uint64_t outer = task_deadline_push(t, until_ms > now_ms ? until_ms - now_ms : 1);
        if (latch_wait(t, TAKE(item->from_gone)) != OK)
            log_warn("remora.exchange",
                     "component %s: calls of the old generation have not ended in time and are cut",
                     item->name);
        task_deadline_pop(t, outer);
    }
    if (!is_served(t, item->from))
        return;
    if (item->replace != REPLACE_EXCLUSIVE) /* else it was quiesced before the switch */
        (void)within(t, LIMIT_exchange_hold_ms, item, item->from, METHOD(QUIESCE),
                     item->from_handle); /* it goes anyway */
    (void)within(t, LIMIT_exchange_hold_ms, item, item->from, METHOD(CLOSE), item->from_handle);
}

static void
on_switched(struct mail *mail)
{
    struct exchange *x = container_of(mail, struct exchange, switched_mail);
    x->report(x, false);
}

static void
on_over(struct mail *mail)
{
    struct exchange *x = container_of(mail, struct exchange, over_mail);
    x->report(x, true);
}

/* How long it took, for each component that was served before; while its item is still ours. */
static void
observe(struct task *t, const struct exchange *x, uint64_t started_ns)
{
    for (size_t i = 0; i < x->count; i++) {
        const struct exchange_item *item = &x->items[i];
        const struct slice labels[] = { slice_str(item->name),
                                        item->is_switched ? SLICE("true") : SLICE("false") };
        if (item->from != NULL)
            metrics_record(metrics_series(METRICS_swap, labels),
                           task_worker(t)->now_ns - started_ns);
    }
}

/* The items that were switched have their owner's references taken by the receiver on the main
 * thread; from here on this side touches only what belongs to the old generation. */
static void
exchange_main(struct task *t, void *arg)
{
    struct exchange *x = arg;
    uint64_t started_ns = task_worker(t)->now_ns;
    if (!init_all(t, x)) {
        x->error = "a component could not be initialised";
        close_new(t, x);
        observe(t, x, started_ns);
        mailbox_post(x->control, &x->over_mail, on_over);
        return;
    }
    bool any = false;
    for (size_t i = 0; i < x->count && x->error == NULL; i++) {
        if (switch_item(t, x, &x->items[i]) != OK && !x->items[i].is_switched)
            x->error = "a component could not be switched";
        any = any || x->items[i].is_switched;
    }
    close_new(t, x);
    observe(t, x, started_ns);
    if (!any) {
        mailbox_post(x->control, &x->over_mail, on_over);
        return;
    }
    mailbox_post(x->control, &x->switched_mail, on_switched);
    uint64_t until_ms = clock_now_ms() + x->drain_ms;
    for (size_t i = 0; i < x->count; i++)
        if (x->items[i].is_switched)
            retire(t, &x->items[i], until_ms);
    mailbox_post(x->control, &x->over_mail, on_over);
}

static struct component_table *
table_of(const struct exchange *x)
{
    unsigned i = 0;
    while (x->routes->workers[i] != x->worker)
        i++;
    return x->routes->tables[i];
}

/* One after the other, so that many at once do not take the tasks that requests need. */
static void
retire_main(struct task *t, void *arg)
{
    struct exchange *x = arg;
    struct component_table *table = table_of(x);
    struct list *next = &x->in_line;
    do {
        x = LIST_ENTRY(next, struct exchange, in_line);
        retire(t, &x->items[0], clock_now_ms() + x->drain_ms);
        exchange_free(x);
    } while ((next = list_take_first(&table->retiring)) != NULL);
    table->retiring_count--;
}

static void
forget(struct exchange *x)
{
    latch_unref(TAKE(x->items[0].from_gone));
    exchange_free(x);
}

static void
on_retire(struct mail *mail)
{
    struct exchange *x = container_of(mail, struct exchange, start_mail);
    struct component_table *table = table_of(x);
    list_init(&x->in_line);
    if (table->retiring_count >= LIMIT_retiring_max) {
        list_append(&table->retiring, &x->in_line);
        return;
    }
    if (task_spawn(x->worker, "retire", retire_main, x) != NULL)
        table->retiring_count++;
    else
        forget(x); /* the plugin keeps a component that nobody calls */
}

void
exchange_forget_retiring(struct component_table *table)
{
    struct list *node, *next;
    LIST_FOREACH_SAFE(node, next, &table->retiring)
    forget(LIST_ENTRY(node, struct exchange, in_line));
    list_init(&table->retiring);
}

void
exchange_retire(const struct routes *routes, struct link *link, uint32_t handle, struct latch *gone,
                struct slice name)
{
    struct exchange *x = exchange_new(1);
    x->routes = routes;
    x->worker = link->worker;
    x->items[0] = (struct exchange_item){
        .name = slice_copy(name), .from = link_ref(link), .from_handle = handle, .from_gone = gone
    };
    worker_post(x->worker, &x->start_mail, on_retire);
}

static void
on_start(struct mail *mail)
{
    struct exchange *x = container_of(mail, struct exchange, start_mail);
    if (task_spawn(x->worker, "exchange", exchange_main, x) != NULL)
        return;
    x->error = "no task is free";
    mailbox_post(x->control, &x->over_mail, on_over);
}

struct exchange *
exchange_new(size_t count)
{
    struct exchange *x = calloc(1, sizeof *x);
    if (x == NULL)
        abort();
    x->items = calloc(count, sizeof *x->items);
    if (x->items == NULL)
        abort();
    x->count = count;
    x->drain_ms = LIMIT_exchange_drain_ms;
    return x;
}

void
exchange_start(struct exchange *exchange)
{
    worker_post(exchange->worker, &exchange->start_mail, on_start);
}

void
exchange_free(struct exchange *exchange)
{
    for (size_t i = 0; i < exchange->count; i++) {
        struct exchange_item *item = &exchange->items[i];
        if (item->request.bytes != NULL)
            explicit_bzero(item->request.bytes, item->request.len); /* it may hold secrets */
        free(item->request.bytes);
        secret_refs_free(item->secrets);
        free(item->operations);
        encryption_unref(item->facts.encryption);
        free(item->name);
        free(item->error);
        component_facts_unref(item->from_shape);
        component_facts_unref(item->shape);
        link_unref(item->from);
        link_unref(item->to);
        latch_unref(item->from_gone);
        latch_unref(item->from_writes);
        latch_unref(item->gone);
        latch_unref(item->writes);
    }
    free(exchange->items);
    free(exchange);
}
