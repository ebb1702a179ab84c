/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of one component: assigned to a plugin, created, published, exchanged for another
 * generation of itself, removed. Creating it is the same as exchanging it for what was not there
 * before: one path for the first start, for a plugin that came back, and for every change.
 */
#include <assert.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/log.h"
#include "component/host_internal.h"
#include "component/key_prefix.h"
#include "component/prompt_ttl.h"

#define SCOPE "dapr.runtime.processor.loops.root"

enum { RETRY_MS_FIRST = 500, RETRY_MS_MAX = 30000 };

/* --- failing and settling ----------------------------------------------------------------------*/

void
member_settle(struct member *member)
{
    struct host *host = member->host;
    if (member->is_settled)
        return;
    member->is_settled = true;
    if (!host->is_starting)
        return;
    assert(host->unsettled > 0);
    if (--host->unsettled == 0) {
        host->is_starting = false;
        host->config.on_settled(host->config.arg);
    }
}

static void
set_error(struct member *member, struct slice error)
{
    free(member->error);
    member->error = malloc(error.len + 1);
    if (member->error == NULL)
        abort();
    memcpy(member->error, error.data, error.len);
    member->error[error.len] = '\0';
}

/* The only place that changes it. */
static void
set_standing(struct member *member, enum standing standing)
{
    struct host *host = member->host;
    enum standing was = member->standing;
    member->standing = standing;
    if (was == standing || member->is_trial || host->config.on_component == NULL)
        return;
    struct host_component component = member_describe(member);
    host->config.on_component(host->config.arg, &component, standing_name(was));
}

/* Ends the start, or goes on without the component. `text` is what the reference says after
 * "process component N error: ". */
static void
give_up(struct member *member, struct slice text)
{
    struct host *host = member->host;
    struct arena scratch;
    arena_init(&scratch);
    struct slice whole = arena_printf(&scratch, "process component " SLICE_FMT " error: " SLICE_FMT,
                                      SLICE_ARG(member->spec->name), SLICE_ARG(text));
    if (member->error == NULL)
        set_error(member, text);
    set_standing(member, STANDING_FAILED);
    if (member->spec->ignore_errors || !host->is_starting) {
        log_error("dapr.runtime", "Ignoring error processing component: " SLICE_FMT,
                  SLICE_ARG(whole));
        member_settle(member);
    } else {
        log_warn("dapr.runtime",
                 "Error processing component, daprd will exit gracefully: " SLICE_FMT,
                 SLICE_ARG(whole));
        host->config.on_fatal(host->config.arg, whole);
    }
    arena_fini(&scratch);
    members_store_changed(member);
}

struct slice
member_resolver_name(const struct member *member)
{
    ptrdiff_t dot = slice_find_byte(member->spec->type, '.');
    return dot < 0 ? member->spec->type : slice_from(member->spec->type, (size_t)dot + 1);
}

/* Sidecars go on without a resolver, and try again. */
static void
resolver_failed(struct member *member, const char *tag, struct slice cause)
{
    struct slice name = member_resolver_name(member);
    log_error("dapr.runtime",
              "[%s]: initialization error occurred for nr (" SLICE_FMT "/" SLICE_FMT
              "): " SLICE_FMT,
              tag, SLICE_ARG(name), SLICE_ARG(member->spec->version), SLICE_ARG(cause));
    set_error(member, cause);
    set_standing(member, STANDING_FAILED);
    member_settle(member);
}

/* The prefix stands twice in the reference's texts, and tools look for them. */
void
member_init_failed(struct member *member, struct slice cause)
{
    struct arena scratch;
    if (member->kind == COMPONENT_NAMES) {
        resolver_failed(member, "INIT_COMPONENT_FAILURE", cause);
        return;
    }
    arena_init(&scratch);
    struct slice name = component_log_name(&scratch, member->spec);
    struct slice once = arena_printf(
        &scratch, "[INIT_COMPONENT_FAILURE]: initialization error occurred for " SLICE_FMT ": ",
        SLICE_ARG(name));
    log_error(SCOPE, "Failed to init component " SLICE_FMT ": " SLICE_FMT SLICE_FMT,
              SLICE_ARG(name), SLICE_ARG(once), SLICE_ARG(cause));
    set_error(member, cause);
    give_up(member, arena_printf(&scratch, SLICE_FMT SLICE_FMT SLICE_FMT, SLICE_ARG(once),
                                 SLICE_ARG(once), SLICE_ARG(cause)));
    arena_fini(&scratch);
}

/* What fails before anything of the component exists. */
void
member_create_failed(struct member *member, struct slice cause)
{
    struct arena scratch;
    if (member->kind == COMPONENT_NAMES) {
        resolver_failed(member, "CREATE_COMPONENT_FAILURE", cause);
        return;
    }
    arena_init(&scratch);
    struct slice name = component_log_name(&scratch, member->spec);
    struct slice once = arena_printf(
        &scratch,
        "[CREATE_COMPONENT_FAILURE]: initialization error occurred for " SLICE_FMT ": " SLICE_FMT,
        SLICE_ARG(name), SLICE_ARG(cause));
    log_error(SCOPE, "Failed to init component " SLICE_FMT ": " SLICE_FMT, SLICE_ARG(name),
              SLICE_ARG(once));
    set_error(member, cause);
    give_up(member,
            arena_printf(&scratch,
                         "[INIT_COMPONENT_FAILURE]: initialization error occurred for " SLICE_FMT
                         ": " SLICE_FMT,
                         SLICE_ARG(name), SLICE_ARG(once)));
    arena_fini(&scratch);
}

/* --- assigning ---------------------------------------------------------------------------------*/

/* "state store" for state: what the reference calls a component it has no code for. */
static const char *
kind_words(enum component_kind kind)
{
    static const char *const words[COMPONENT_KINDS] = {
        [COMPONENT_STATE] = "state store",
        [COMPONENT_SECRETS] = "secret store",
        [COMPONENT_PUBSUB] = "pub/sub",
        [COMPONENT_NAMES] = "name resolution",
        [COMPONENT_CONFIGURATION] = "configuration store",
        [COMPONENT_LOCK] = "lock store",
        [COMPONENT_CRYPTO] = "crypto provider",
        [COMPONENT_BINDING] = "binding",
        [COMPONENT_CONVERSATION] = "conversation",
        [COMPONENT_MIDDLEWARE] = "HTTP middleware",
        [COMPONENT_TEST] = "component",
    };
    return words[kind];
}

static struct slice
isolation(const struct component_spec *spec)
{
    const struct component_annotation *wish = component_annotation(spec,
                                                                   SLICE("remora.io/isolate"));
    bool is_isolated = false;
    if (wish != NULL && !slice_to_bool(wish->value, &is_isolated))
        is_isolated = false;
    return is_isolated ? spec->name : SLICE_EMPTY;
}

static void
no_such_type(struct member *member)
{
    const struct component_spec *spec = member->spec;
    struct arena scratch;
    arena_init(&scratch);
    member_create_failed(member, arena_printf(&scratch, "couldn't find %s " SLICE_FMT "/" SLICE_FMT,
                                              kind_words(member->kind), SLICE_ARG(spec->type),
                                              SLICE_ARG(spec->version)));
    arena_fini(&scratch);
}

static bool
resolve(struct member *member)
{
    struct text_list warnings = { 0 };
    struct diag diag;
    if (member->kind == COMPONENT_NAMES)
        return true; /* its placeholders are its own */
    diag_init(&diag, &member->load->arena);
    err_t err = component_resolve(&member->load->arena, member->spec, &member->host->config.context,
                                  &warnings, &diag);
    for (size_t i = 0; i < warnings.count; i++)
        log_warn(SCOPE, SLICE_FMT, SLICE_ARG(warnings.items[i]));
    if (err != OK)
        member_init_failed(member, diag.message);
    return err == OK;
}

bool
member_assign(struct member *member, bool *ret_is_allowed)
{
    struct host *host = member->host;
    struct component_spec *spec = member->spec;
    *ret_is_allowed = true;
    if (!component_kind_of(spec->type, &member->kind)) {
        struct slice text = arena_printf(&member->load->arena, "incorrect type " SLICE_FMT,
                                         SLICE_ARG(spec->type));
        give_up(member, text);
        return false;
    }
    const struct manifest *manifest = catalogue_find(host->config.catalogue, spec->type,
                                                     spec->version);
    if (manifest == NULL) {
        no_such_type(member);
        return false;
    }
    struct slice error;
    if (!secret_refs_check(spec, member->kind == COMPONENT_STATE, &error)) {
        member_create_failed(member, error);
        return false;
    }
    if (!resolve(member))
        return false;
    member->ward = ward_for(host, manifest, isolation(spec));
    plugin_renew_manifest(member->ward->plugin, manifest);
    for (size_t i = 0; i < spec->value_count; i++)
        if (spec->values[i].secret_name.len == 0)
            *ret_is_allowed &= plugin_allow_metadata(member->ward->plugin, spec->values[i].name,
                                                     spec->values[i].value);
    return true;
}

/* --- exchanging --------------------------------------------------------------------------------*/

static enum manifest_replace
replace_of(const struct ward *to, const struct member *member, const struct component_spec *spec)
{
    /* Only a plugin understands what it has written itself, and only one worker has both links. */
    bool is_same = member->ward != NULL && member->ward->worker == to->worker &&
                   strcmp(plugin_name(member->ward->plugin), plugin_name(to->plugin)) == 0 &&
                   slice_eq_nocase(member->spec->type, spec->type);
    const struct manifest_type *type = manifest_find_type(plugin_manifest(to->plugin), spec->type,
                                                          spec->version);
    return is_same && type != NULL ? type->replace : REPLACE_OVERLAP;
}

struct component_spec *
member_spec_on(const struct member *member, const struct ward *ward)
{
    bool is_wanted = member->next_spec != NULL &&
                     (member->next_ward == ward || member->next_to == ward);
    return is_wanted ? member->next_spec : member->spec;
}

static void
fill_item(struct exchange_item *item, struct member *member, struct ward *to)
{
    struct host *host = member->host;
    struct component_spec *spec = member_spec_on(member, to);
    struct host_load *load = spec == member->spec ? member->load : member->next_load;
    const struct component_value *strategy = component_value(spec, SLICE("keyPrefix"));
    enum component_kind kind = member->kind;
    (void)component_kind_of(spec->type, &kind); /* it was checked */
    member->init_count++;
    *item = (struct exchange_item){
        .user = member,
        .spec = spec,
        .load = host_load_ref(load),
        .name = slice_dup_str(spec->name),
        .replace = replace_of(to, member, spec),
        .init_timeout_ms = spec->init_timeout_ms,
        .facts = { .kind = kind,
                   .name = spec->name,
                   .type = spec->type,
                   .version = spec->version,
                   .key_prefix = key_prefix(
                       &load->arena, strategy == NULL ? SLICE_EMPTY : strategy->value,
                       host->config.app_id, host->config.namespace_, spec->name),
                   .topic_prefix = spec->has_namespace ? host->config.namespace_ : SLICE_EMPTY,
                   .scopes = topic_scopes_read(&load->arena, spec, host->config.app_id),
                   .outbox = kind == COMPONENT_STATE
                                 ? outbox_route_read(&load->arena, spec, host->config.app_id,
                                                     host->config.namespace_)
                                 : (struct outbox_route){ .pubsub = SLICE_EMPTY },
                   .binding = binding_facts_read(&load->arena, spec),
                   .prompt_ttl_ms = kind == COMPONENT_CONVERSATION ? prompt_ttl_read(spec) : 0,
                   .generation = member->init_count,
                   .handle = ++host->last_handle },
        .to = link_ref(to->link),
    };
    item->request = init_request_pack(host, spec, plugin_manifest(to->plugin));
    item->secrets = secret_refs_new(&host->routes, spec, kind == COMPONENT_STATE);
    if (member->standing == STANDING_READY) {
        item->from = TAKE(member->link);
        item->from_handle = member->handle;
        item->from_gone = TAKE(member->gone);
        item->from_writes = TAKE(member->writes);
        item->from_shape = component_facts_ref(member->shape);
    }
}

static void exchange_report(struct exchange *x, bool is_over);

/* Whether the exchange to that ward makes the change that waits: one asked for meanwhile has no
 * ward yet, though its words may be the same when it is secrets that have changed. */
static bool
is_change_to(const struct member *member, const struct ward *to)
{
    return member->next_spec != NULL && (member->next_ward == to || member->next_to == to);
}

void
members_exchange(struct host *host, struct member *const *members, size_t count, struct ward *to)
{
    struct exchange *x = exchange_new(count);
    x->user = to;
    x->routes = &host->routes;
    x->worker = to->worker;
    x->control = host->config.control;
    x->report = exchange_report;
    for (size_t i = 0; i < count; i++) {
        fill_item(&x->items[i], members[i], to);
        members[i]->exchange = x;
    }
    x->from = members[0]->ward; /* of all, where the process is exchanged */
    to->exchange_count++;
    if (members[0]->ward != NULL)
        members[0]->ward->exchange_count++;
    exchange_start(x);
}

void
member_move(struct member *member, struct ward *to)
{
    members_exchange(member->host, &member, 1, to);
}

static void
log_ready(const struct member *member, bool was_ready)
{
    struct slice resolver = member_resolver_name(member);
    struct arena scratch;
    if (member->kind == COMPONENT_NAMES) {
        log_info("dapr.runtime", "Initialized name resolution to " SLICE_FMT, SLICE_ARG(resolver));
        return;
    }
    arena_init(&scratch);
    struct slice name = component_log_name(&scratch, member->spec);
    log_info(SCOPE, "%s: " SLICE_FMT, was_ready ? "Component updated" : "Component loaded",
             SLICE_ARG(name));
    arena_fini(&scratch);
}

/* Another generation serves. */
static void
switched(struct member *member, struct exchange_item *item, struct ward *to)
{
    bool was_ready = member->standing == STANDING_READY;
    if (is_change_to(member, to)) {
        host_load_unref(member->load);
        member->load = TAKE(member->next_load);
        member->spec = TAKE(member->next_spec);
        member->next_ward = member->next_to = NULL;
    }
    link_unref(member->link);
    latch_unref(member->gone);
    latch_unref(member->writes);
    component_facts_unref(member->shape);
    member->link = link_ref(item->to);
    member->gone = TAKE(item->gone);
    member->writes = TAKE(item->writes);
    member->shape = TAKE(item->shape);
    member->kind = item->facts.kind;
    member->generation = item->facts.generation;
    member->handle = item->facts.handle;
    member->secrets = item->digest;
    member->is_looked_at = false;
    member->capabilities = item->facts.capabilities;
    member->ward = to;
    member->retry_ms = 0;
    if (member->next_spec == NULL)
        member->is_stale = false; /* else its secrets have changed since, and are still to come */
    free(TAKE(member->error));
    set_standing(member, STANDING_READY);
    log_ready(member, was_ready);
    if (item->facts.encryption != NULL)
        log_info(SCOPE, "automatic encryption enabled for state store " SLICE_FMT,
                 SLICE_ARG(member->spec->name));
    member_settle(member);
    members_store_changed(member);
}

void
member_retry(struct member *member)
{
    struct host *host = member->host;
    if (host->is_stopping || ev_is_active(&member->retry))
        return;
    member->retry_ms = member->retry_ms == 0 ? RETRY_MS_FIRST : member->retry_ms * 2;
    if (member->retry_ms > RETRY_MS_MAX)
        member->retry_ms = RETRY_MS_MAX;
    ev_timer_set(&member->retry, member->retry_ms / 1000.0, 0.);
    ev_timer_start(host->config.loop, &member->retry);
}

void
member_forget_change(struct member *member)
{
    member->next_ward = member->next_to = NULL;
    member->next_spec = NULL;
    member->is_waiting_to_change = false;
    if (member->next_load != NULL)
        host_load_unref(TAKE(member->next_load));
}

void
member_stays(struct member *member, struct slice cause)
{
    set_error(member, cause);
    log_error(SCOPE,
              "component " SLICE_FMT
              ": the change has failed, what was there before goes on: " SLICE_FMT,
              SLICE_ARG(member->spec->name), SLICE_ARG(cause));
}

/* The old generation goes on, if there was one; else the component has failed for now. */
static void
not_switched(struct member *member, struct exchange_item *item, const struct exchange *x)
{
    bool is_change = is_change_to(member, x->user);
    const char *words = item->error != NULL ? item->error : x->error;
    if (item->from != NULL) {
        member->link = TAKE(item->from);
        latch_unref(member->gone);
        latch_unref(member->writes);
        /* One that has been brought back, or whose writes were held, has other latches now. */
        member->gone = item->gone != NULL ? TAKE(item->gone) : TAKE(item->from_gone);
        member->writes = item->writes != NULL ? TAKE(item->writes) : TAKE(item->from_writes);
        member_stays(member, slice_str(words));
        if (member->is_stale)
            member_retry(member); /* no file will change again on its account */
    } else if (member->ward->link == NULL && !member->host->is_starting) {
        return; /* the plugin ended: its next process gets another try */
    } else if (item->error != NULL) {
        if (item->is_create_error)
            member_create_failed(member, slice_str(words));
        else
            member_init_failed(member, slice_str(words));
        member_retry(member);
    } else {
        member_retry(member); /* another of the exchange has failed, or there was no task for it */
    }
    if (is_change)
        member_forget_change(member);
}

/* What was asked for meanwhile. */
static void
go_on(struct member *member)
{
    if (member->is_leaving) {
        member_remove(member);
    } else if (member->next_spec != NULL) {
        struct host_load *load = TAKE(member->next_load);
        struct component_spec *spec = TAKE(member->next_spec);
        member_change(member, load, spec);
        host_load_unref(load);
    } else if (member->standing != STANDING_READY && !ev_is_active(&member->retry)) {
        member_init(member);
    } else if (member->standing == STANDING_READY && member->link != member->ward->link) {
        member_lost(member); /* the link went while the exchange was under way */
        member_init(member);
    } else if (member->standing == STANDING_READY && member->ward->is_left) {
        member_retry(member); /* it was created where another has taken over meanwhile */
    }
}

static void
settle_items(struct exchange *x, struct ward *to)
{
    for (size_t i = 0; i < x->count; i++) {
        struct exchange_item *item = &x->items[i];
        struct member *member = TAKE(item->user);
        member->exchange = NULL;
        if (to->host->is_stopping)
            continue;
        if (item->is_switched)
            switched(member, item, to);
        else
            not_switched(member, item, x);
        go_on(member);
    }
}

static void
exchange_report(struct exchange *x, bool is_over)
{
    struct ward *to = x->user;
    struct host *host = to->host;
    struct ward *from = x->from;
    if (x->items[0].user != NULL) { /* the first report; a second one finds nothing left to do */
        settle_items(x, to);
        if (!host->is_stopping)
            ward_swapped(to, x->error);
    }
    if (is_over) {
        for (size_t i = 0; i < x->count; i++)
            host_load_unref(TAKE(x->items[i].load));
        exchange_free(x);
        to->exchange_count--;
        if (from != NULL)
            from->exchange_count--;
    }
    if (!host->is_stopping)
        wards_look(host);
}

void
member_init(struct member *member)
{
    struct ward *ward = member->ward;
    if (ward == NULL || ward->link == NULL || member->exchange != NULL || member->waits_for_swap ||
        member->host->is_stopping)
        return; /* it is tried when the plugin is back, or what is under way is over */
    if (member_hold(member))
        return; /* when its secret store is there */
    set_standing(member, STANDING_WAITING);
    if (!ward_has_turn(ward, member))
        return; /* when others are created: a plugin may have thousands */
    member_move(member, ward);
}

void
member_take_turn(struct member *member)
{
    struct ward *to = member->next_ward;
    if (member->exchange != NULL || member->next_to != NULL)
        return;
    if (to == NULL && member->standing != STANDING_READY)
        member_init(member);
    else if (to != NULL && to->link != NULL && ward_has_turn(to, member))
        member_move(member, to);
}

void
member_lost(struct member *member)
{
    if (member->standing != STANDING_READY || member->link == NULL)
        return; /* in exchange: it hears of the link itself */
    set_standing(member, STANDING_WAITING);
    ev_timer_stop(member->host->config.loop, &member->retry); /* it will be made anew anyway */
    member->is_stale = false;
    routes_detach(&member->host->routes, member->spec->name, member->link, NULL);
    link_unref(TAKE(member->link));
    latch_unref(TAKE(member->gone));
    latch_unref(TAKE(member->writes));
}

/* --- changing and removing ---------------------------------------------------------------------*/

void
member_bring_up(struct member *member, bool is_allowed)
{
    plugin_start(member->ward->plugin);
    member->waits_for_swap = !is_allowed;
    if (is_allowed)
        member_init(member);
    else
        ward_swap(member->ward, NULL);
}

/* A failed component takes the new words at once: there is nothing to go on with. */
static void
start_anew(struct member *member, struct host_load *load, struct component_spec *spec)
{
    struct host *host = member->host;
    bool is_allowed;
    ev_timer_stop(host->config.loop, &member->retry);
    host_load_unref(member->load);
    member->load = host_load_ref(load);
    member->spec = spec;
    member->retry_ms = 0;
    free(TAKE(member->error));
    if (!member_assign(member, &is_allowed))
        return;
    set_standing(member, STANDING_WAITING);
    member_bring_up(member, is_allowed);
}

void
member_change(struct member *member, struct host_load *load, struct component_spec *spec)
{
    if (member->exchange != NULL) {
        member_forget_change(member);
        member->next_load = host_load_ref(load);
        member->next_spec = spec;
        return;
    }
    if (member->standing != STANDING_READY) {
        start_anew(member, load, spec);
        return;
    }
    struct arena scratch;
    arena_init(&scratch);
    struct slice name = component_log_name(&scratch, member->spec);
    log_info(SCOPE, "Closing existing Component to reload: " SLICE_FMT, SLICE_ARG(name));
    arena_fini(&scratch);
    bool is_allowed;
    struct member trial = {
        .host = member->host, .load = load, .spec = spec, .is_settled = true, .is_trial = true
    };
    if (!member_assign(&trial, &is_allowed)) {
        member_stays(member, slice_str(trial.error));
        free(trial.error);
        return;
    }
    if (member_is_held(&trial) && !member_store_may_come(&trial)) {
        member_stays(member, arena_printf(&load->arena, "secret store " SLICE_FMT " isn't loaded",
                                          SLICE_ARG(spec->auth_secret_store)));
        return;
    }
    member_forget_change(member);
    member->next_load = host_load_ref(load);
    member->next_spec = spec;
    if (member_is_held(&trial)) {
        member->is_waiting_to_change = true;
        return;
    }
    member->next_ward = trial.ward;
    plugin_start(trial.ward->plugin);
    if (!is_allowed)
        ward_swap(trial.ward, NULL);
    else
        member_take_turn(member); /* or when its plugin is there */
}

void
member_renew(struct member *member)
{
    bool is_changing = member->next_spec != NULL;
    struct component_spec *spec = is_changing ? member->next_spec : member->spec;
    struct host_load *load = host_load_ref(is_changing ? member->next_load : member->load);
    member->is_stale = true;
    member_change(member, load, spec);
    host_load_unref(load); /* it was held: the member gives up its own before it counts again */
    if (member->standing == STANDING_READY && member->exchange == NULL && member->next_spec == NULL)
        member_retry(member); /* it could not even be tried */
}

static void
close_behind(struct member *member)
{
    struct host *host = member->host;
    struct latch *gone = TAKE(member->gone);
    routes_remove(&host->routes, member->spec->name, NULL);
    latch_unref(TAKE(member->writes));
    exchange_retire(&host->routes, member->link, member->handle, gone, member->spec->name);
    link_unref(TAKE(member->link));
}

void
member_remove(struct member *member)
{
    struct host *host = member->host;
    if (member->exchange != NULL) {
        member->is_leaving = true;
        return;
    }
    ev_timer_stop(host->config.loop, &member->retry);
    if (member->standing == STANDING_READY && member->link != NULL)
        close_behind(member);
    else
        routes_remove(&host->routes, member->spec->name, NULL);
    log_info(SCOPE, "Component removed: " SLICE_FMT " (" SLICE_FMT "/" SLICE_FMT ")",
             SLICE_ARG(member->spec->name), SLICE_ARG(member->spec->type),
             SLICE_ARG(member->spec->version));
    member_settle(member);
    for (size_t i = 0; i < host->member_count; i++) {
        if (host->members[i] != member)
            continue;
        host->members[i] = NULL;
        host->free_places++;
    }
    if (map_get(&host->by_name, member->spec->name) == member)
        (void)map_remove(&host->by_name, member->spec->name); /* itself */
    member_free(member);
}

static void
on_retry(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)events;
    struct member *member = timer->data;
    ev_timer_stop(loop, timer);
    if (member->host->is_stopping || member->exchange != NULL)
        return;
    struct ward *heir = member->ward->is_left ? ward_heir(member->ward) : member->ward;
    if (member->standing != STANDING_READY)
        member_init(member);
    else if (heir != member->ward && heir->link != NULL)
        member_move(member, heir); /* it was left behind by a swap */
    else if (heir != member->ward)
        member_retry(member);
    else if (member->is_stale)
        member_renew(member);
}

struct member *
member_new(struct host *host, struct host_load *load, struct component_spec *spec)
{
    struct member *member = calloc(1, sizeof *member);
    if (member == NULL)
        abort();
    member->host = host;
    member->load = host_load_ref(load);
    member->spec = spec;
    list_init(&member->turn);
    ev_timer_init(&member->retry, on_retry, 0., 0.);
    member->retry.data = member;
    return member;
}

void
member_free(struct member *member)
{
    if (member == NULL)
        return;
    if (list_is_linked(&member->turn))
        list_remove(&member->turn);
    link_unref(member->link);
    latch_unref(member->gone);
    latch_unref(member->writes);
    component_facts_unref(member->shape);
    host_load_unref(member->load);
    host_load_unref(member->next_load);
    free(member->error);
    free(member);
}
