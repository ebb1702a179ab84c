/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A resolver's story; see resolver.h. Announcing: two probes, two announcements a second apart, one
 * more whenever another process takes our records back (the generation before us, when the plugin
 * is exchanged) or interfaces come. Finding: what is known is answered at once and looked for again
 * before it ends; what is not is asked for up to three times, and the first answer counts.
 */
#include "resolver.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../shared/monotonic.h"

enum {
    BROWSE_MS = 1000,    /* until an app is not there, as with the reference */
    NEW_TTL_MS = 100,    /* others may follow the first */
    TTL_MS = 1000,       /* a goodbye takes effect at the sidecar so fast */
    GATHER_MS = 2000,    /* so long after asking */
    ANSWERS_PER_S = 100, /* and at once; whoever asks for more does not get it */
    TICK_S = 1,
    PROBE_MS_MAX = 250,
    STEPS = 4, /* of announcing: two probes, two announcements */
};

static const uint64_t browse_at_ms[] = { 0, 120, 400 }; /* questions of one search */
enum { BROWSE_QUESTIONS = sizeof browse_at_ms / sizeof *browse_at_ms };

struct waiter {
    struct waiter *next;
    remora_call *call;
};

struct resolver {
    struct net net;
    struct service service;
    struct directory directory;
    bool is_started;
    unsigned step; /* of announcing, what comes next */
    ev_timer announcer;
    ev_timer again;   /* announces once more */
    ev_timer browser; /* while somebody waits */
    ev_timer ticker;  /* while there is somebody in the directory */
    unsigned answers_left;
    uint64_t answers_s; /* the second they are for */
};

static uint16_t
random_number(void)
{
    return (uint16_t)(random() & 0xFFFF);
}

static void
set_timer(ev_timer *timer, uint64_t delay_ms)
{
    ev_timer_stop(remora_loop(), timer);
    ev_timer_set(timer, (double)delay_ms / 1000., 0.);
    ev_timer_start(remora_loop(), timer);
}

static void
send_packet(struct resolver *resolver, const struct dns_writer *writer)
{
    if (!writer->is_full)
        net_send(&resolver->net, writer->data, writer->len);
}

/* --- our own service ---------------------------------------------------------------------------*/

static void
announce(struct resolver *resolver, bool is_goodbye)
{
    struct dns_writer writer;
    service_announce(&resolver->service, is_goodbye, &writer);
    send_packet(resolver, &writer);
}

static void
on_announce(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    struct resolver *resolver = timer->data;
    struct dns_writer writer;
    if (resolver->step < STEPS / 2) {
        service_probe(&resolver->service, random_number(), &writer);
        send_packet(resolver, &writer);
    } else {
        announce(resolver, false);
    }
    resolver->step++;
    if (resolver->step < STEPS)
        set_timer(timer, resolver->step <= STEPS / 2 ? random_number() % PROBE_MS_MAX : 1000);
}

static void
on_again(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)events;
    struct resolver *resolver = timer->data;
    ev_timer_stop(loop, timer);
    if (resolver->is_started)
        announce(resolver, false);
}

static void
announce_again(struct resolver *resolver)
{
    if (resolver->is_started && !ev_is_active(&resolver->again))
        set_timer(&resolver->again, 20);
}

void
resolver_start(struct resolver *resolver)
{
    resolver->is_started = true;
    resolver->step = 0;
    remora_log(REMORA_INFO, "local service entry announced: %s -> %s", resolver->service.app_id,
               resolver->service.address_text);
    set_timer(&resolver->announcer, 0);
}

void
resolver_stop(struct resolver *resolver)
{
    if (!resolver->is_started)
        return;
    resolver->is_started = false;
    ev_timer_stop(remora_loop(), &resolver->announcer);
    ev_timer_stop(remora_loop(), &resolver->again);
    remora_log(REMORA_INFO, "stopping mDNS server for app id: %s", resolver->service.app_id);
    announce(resolver, true);
    announce(resolver, true); /* packets get lost, and nobody asks for this one */
}

/* A flood of questions must not become a flood of answers. */
static bool
may_answer(struct resolver *resolver)
{
    uint64_t second = monotonic_now_ms() / 1000;
    if (second != resolver->answers_s)
        resolver->answers_left = ANSWERS_PER_S;
    resolver->answers_s = second;
    resolver->answers_left -= resolver->answers_left > 0;
    return resolver->answers_left > 0;
}

static void
answer(struct resolver *resolver, struct dns_reader *query, const struct net_source *source)
{
    struct dns_writer writer;
    enum service_reply reply = service_answer(&resolver->service, query, source->is_legacy,
                                              &writer);
    if (reply == SERVICE_SILENT || writer.is_full || !may_answer(resolver))
        return;
    if (reply == SERVICE_UNICAST)
        net_reply(&resolver->net, source, writer.data, writer.len);
    else
        net_answer(&resolver->net, source, writer.data, writer.len);
}

/* --- others ------------------------------------------------------------------------------------*/

static void
ask_network(struct resolver *resolver, struct app *app)
{
    struct dns_writer writer;
    uint64_t now = monotonic_now_ms();
    const struct instance *part = app_incomplete(app, now);
    app->asked_ms = now;
    dns_write_start(&writer, random_number(), 0);
    dns_write_question(&writer, app->type.text, DNS_PTR, DNS_CLASS_IN);
    if (part != NULL && (part->port == 0 || !part->has_text)) {
        dns_write_question(&writer, part->name.text, DNS_SRV, DNS_CLASS_IN);
        dns_write_question(&writer, part->name.text, DNS_TXT, DNS_CLASS_IN);
    } else if (part != NULL) {
        dns_write_question(&writer, part->target.text, DNS_A, DNS_CLASS_IN);
        dns_write_question(&writer, part->target.text, DNS_AAAA, DNS_CLASS_IN);
    }
    send_packet(resolver, &writer);
}

static void
reply_addresses(const struct app *app, remora_call *call)
{
    static char addresses[INSTANCES_MAX][ADDRESS_BYTES]; /* large, and the plugin has one thread */
    static struct remora_slice slices[INSTANCES_MAX];
    uint64_t now = monotonic_now_ms();
    size_t count = app_addresses(app, now, addresses);
    for (size_t i = 0; i < count; i++)
        slices[i] = (struct remora_slice){ addresses[i], strlen(addresses[i]) };
    remora_name_reply(call, slices, count, now - app->asked_ms < GATHER_MS ? NEW_TTL_MS : TTL_MS);
}

static void
answer_waiters(struct app *app)
{
    while (app->waiters != NULL) {
        struct waiter *waiter = app->waiters;
        app->waiters = waiter->next;
        reply_addresses(app, waiter->call);
        free(waiter);
    }
}

static void
fail_waiters(struct app *app)
{
    bool is_first = !app->was_not_found;
    app->was_not_found = true;
    while (app->waiters != NULL) {
        struct waiter *waiter = app->waiters;
        app->waiters = waiter->next;
        if (is_first)
            remora_reply_error(waiter->call, REMORA_NOT_FOUND, "couldn't find service: %s",
                               app->id);
        else
            remora_reply_error(waiter->call, REMORA_NOT_FOUND,
                               "timeout waiting for address for app id %s", app->id);
        free(waiter);
    }
}

/* When a search needs something next. */
static uint64_t
browse_next_ms(const struct app *app)
{
    uint64_t after = app->browse_asked < BROWSE_QUESTIONS ? browse_at_ms[app->browse_asked]
                                                          : BROWSE_MS;
    return app->browse_ms + after;
}

/* All searches: asks, gives up, and sets the timer for what comes next. */
static void
browse(struct resolver *resolver)
{
    uint64_t now = monotonic_now_ms(), next_ms = UINT64_MAX;
    for (struct app *app = resolver->directory.apps; app != NULL; app = app->next) {
        if (app->waiters != NULL && now >= app->browse_ms + BROWSE_MS)
            fail_waiters(app);
        if (app->waiters == NULL)
            continue;
        if (now >= browse_next_ms(app)) {
            app->browse_asked++;
            ask_network(resolver, app);
        }
        if (browse_next_ms(app) < next_ms)
            next_ms = browse_next_ms(app);
    }
    if (next_ms == UINT64_MAX)
        ev_timer_stop(remora_loop(), &resolver->browser);
    else
        set_timer(&resolver->browser, next_ms > now ? next_ms - now : 1);
}

static void
on_browse(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    browse(timer->data);
}

static void
on_tick(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)events;
    struct resolver *resolver = timer->data;
    uint64_t now = monotonic_now_ms();
    directory_expire(&resolver->directory, now);
    for (struct app *app = resolver->directory.apps; app != NULL; app = app->next)
        if (app_is_due(app, now))
            ask_network(resolver, app);
    if (resolver->directory.apps == NULL)
        ev_timer_stop(loop, timer);
}

static void
wait_for_answer(struct resolver *resolver, struct app *app, remora_call *call)
{
    struct waiter *waiter = malloc(sizeof *waiter);
    if (waiter == NULL)
        abort();
    if (app->waiters == NULL) {
        app->browse_ms = monotonic_now_ms();
        app->browse_asked = 0;
    }
    *waiter = (struct waiter){ .next = app->waiters, .call = call };
    app->waiters = waiter;
    browse(resolver);
}

void
resolver_ask(struct resolver *resolver, remora_call *call, const struct remora_name_query *query)
{
    uint64_t now = monotonic_now_ms();
    struct remora_slice unreachable;
    struct app *app = directory_get(&resolver->directory, query->id, now);
    if (app == NULL) {
        remora_reply_error(call, REMORA_NOT_FOUND, "couldn't find service: %.*s",
                           (int)query->id.len, query->id.data);
        return;
    }
    if (!ev_is_active(&resolver->ticker))
        ev_timer_again(remora_loop(), &resolver->ticker);
    if (remora_metadata_get(query->metadata, query->metadata_count, "unreachable", &unreachable)) {
        app_suspect(app, unreachable, now);
        ask_network(resolver, app);
    }
    if (app_has_address(app, now))
        reply_addresses(app, call);
    else
        wait_for_answer(resolver, app, call);
}

/* --- packets -----------------------------------------------------------------------------------*/

static void
on_packet(struct net *net, const void *data, size_t len, const struct net_source *source)
{
    struct resolver *resolver = (struct resolver *)(void *)net; /* its first member */
    struct dns_reader reader;
    if (!dns_read_start(&reader, data, len))
        return;
    if ((reader.flags & DNS_IS_RESPONSE) == 0) {
        if (resolver->is_started)
            answer(resolver, &reader, source);
        return;
    }
    if (source->is_legacy)
        return; /* answers come from the port alone: RFC 6762 section 6 */
    if (resolver->is_started && service_is_taken_back(&resolver->service, data, len))
        announce_again(resolver);
    directory_take(&resolver->directory, data, len, source->interface, monotonic_now_ms());
    for (struct app *app = resolver->directory.apps; app != NULL; app = app->next)
        if (app->waiters != NULL && app_has_address(app, monotonic_now_ms()))
            answer_waiters(app);
}

static void
on_interfaces(struct net *net)
{
    announce_again((struct resolver *)(void *)net);
}

/* --- life --------------------------------------------------------------------------------------*/

static void
init_timer(struct resolver *resolver, ev_timer *timer,
           void (*fn)(struct ev_loop *, ev_timer *, int), double repeat_s)
{
    ev_timer_init(timer, fn, 0., repeat_s);
    timer->data = resolver;
}

struct resolver *
resolver_new(const struct remora_instance *instance, char ret_error[RESOLVER_ERROR_BYTES])
{
    struct resolver *resolver = calloc(1, sizeof *resolver);
    const char *error;
    if (resolver == NULL)
        abort();
    init_timer(resolver, &resolver->announcer, on_announce, 0.);
    init_timer(resolver, &resolver->again, on_again, 0.);
    init_timer(resolver, &resolver->browser, on_browse, 0.);
    init_timer(resolver, &resolver->ticker, on_tick, TICK_S);
    resolver->net.on_packet = on_packet;
    resolver->net.on_interfaces = on_interfaces;
    if (!service_init(&resolver->service, instance, &error)) {
        (void)snprintf(ret_error, RESOLVER_ERROR_BYTES, "%s", error); /* it is shorter */
    } else if (!net_open(&resolver->net, remora_loop())) {
        (void)snprintf(ret_error, RESOLVER_ERROR_BYTES,
                       "cannot listen for multicast DNS on port 5353: %s", strerror(errno));
    } else {
        return resolver;
    }
    free(resolver);
    return NULL;
}

void
resolver_free(struct resolver *resolver)
{
    ev_timer *const timers[] = { &resolver->announcer, &resolver->again, &resolver->browser,
                                 &resolver->ticker };
    resolver_stop(resolver);
    for (size_t i = 0; i < sizeof timers / sizeof *timers; i++)
        ev_timer_stop(remora_loop(), timers[i]);
    net_close(&resolver->net);
    directory_fini(&resolver->directory); /* no call is open: nobody waits */
    free(resolver);
}
