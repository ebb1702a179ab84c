/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A binding whose events are what it is told to give, by operations of the same or another
 * component of its process (metadata `of`: that one's name; metadata `m.NAME`: metadata of the
 * event):
 *
 *   emit    one event; answers with the application's answer, metadata `handled` is true or false
 *   queue   one event, again and again until it is handled; answers at once
 *   flood   `count` events at once; answers how many were handled, and how many were not
 *   wide    one event with megabytes of metadata, as emit
 *   stale   an event of a reading nobody has asked for (metadata `reading`), as emit
 *   late    an event of the reading that was stopped last, as emit
 *   state   JSON: what was asked of it so far
 *   create  keeps the data; with `x`: fails
 *   last    answers the data of the last create
 *   exit    ends the process
 *
 * Metadata of the component: `failReads`, how many attempts to read fail at first; `deaf: "true"`,
 * stops are not answered.
 */
#include <remora_plugin.h>

#include <ev.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SOURCES_MAX = 32, NAME_BYTES = 64, TEXT_BYTES = 256, DATA_BYTES = 4096, PAIRS_MAX = 512 };
enum { WIDE_BYTES = 8000 };

struct source {
    char name[NAME_BYTES];
    uint64_t reading; /* 0: nobody reads */
    uint64_t stopped; /* the one before */
    uint32_t window;
    unsigned reads, stops, created, open, fail_reads, queued;
    bool is_deaf;
    size_t last_len;
    char last[DATA_BYTES]; /* of the last create */
    remora_call *leaving;  /* a stop or quiesce, until nothing is open */
};

/* In order of init; the latest of a name is meant. */
static struct source *sources[SOURCES_MAX];

/* One event and whoever wants to know what became of it. */
struct errand {
    struct source *source;
    remora_call *call; /* NULL: it is given until it is handled */
    unsigned left, handled, failed;
    ev_timer again;
    size_t len;
    char data[];
};

static bool
is_text(struct remora_slice s, const char *text)
{
    return s.len == strlen(text) && memcmp(s.data, text, s.len) == 0;
}

static struct remora_slice
value_of(const struct remora_pair *pairs, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (is_text(pairs[i].name, name))
            return pairs[i].value;
    return (struct remora_slice){ .data = "", .len = 0 };
}

static unsigned
number_of(const struct remora_pair *pairs, size_t count, const char *name)
{
    struct remora_slice text = value_of(pairs, count, name);
    unsigned value = 0;
    for (size_t i = 0; i < text.len && i < 9; i++)
        value = value * 10 + (unsigned)(text.data[i] - '0');
    return value;
}

static struct source *
find(struct remora_slice name)
{
    for (size_t i = SOURCES_MAX; i-- > 0;)
        if (sources[i] != NULL && is_text(name, sources[i]->name))
            return sources[i];
    return NULL;
}

/* --- reading -----------------------------------------------------------------------------------*/

static void
source_read(remora_call *call, void *self, uint64_t reading, uint32_t window)
{
    struct source *source = self;
    source->reads++;
    if (source->fail_reads > 0) {
        source->fail_reads--;
        remora_reply_error(call, REMORA_INTERNAL, "told to fail");
        return;
    }
    source->reading = reading;
    source->window = window;
    remora_reply_ok(call);
}

static void
leave(struct source *source)
{
    if (source->leaving == NULL || source->open > 0)
        return;
    remora_call *call = source->leaving;
    source->leaving = NULL;
    remora_reply_ok(call);
}

static void
end(remora_call *call, struct source *source)
{
    if (source->reading != 0)
        source->stopped = source->reading;
    source->reading = 0;
    source->leaving = call;
    leave(source);
}

static void
source_stop(remora_call *call, void *self, uint64_t reading)
{
    struct source *source = self;
    source->stops++;
    if (reading != source->reading)
        remora_reply_error(call, REMORA_FAILED_PRECONDITION, "there is no such reading");
    else if (!source->is_deaf)
        end(call, source);
}

static void
source_quiesce(remora_call *call, void *self)
{
    end(call, self);
}

/* --- events ------------------------------------------------------------------------------------*/

static void on_done(bool is_handled, struct remora_slice data, const struct remora_pair *metadata,
                    size_t metadata_count, void *arg);

static void
give(struct errand *errand, uint64_t reading, const struct remora_pair *pairs, size_t count)
{
    const struct remora_event event = { .data = { .data = errand->data, .len = errand->len },
                                        .metadata = pairs,
                                        .metadata_count = count };
    errand->source->open++;
    remora_binding_event(reading, &event, on_done, errand);
}

static void
on_again(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct errand *errand = timer->data;
    (void)events;
    ev_timer_stop(loop, timer);
    if (errand->source->reading != 0)
        give(errand, errand->source->reading, NULL, 0);
    else
        ev_timer_start(loop, timer);
}

static void
answer(struct errand *errand, bool is_handled, struct remora_slice data)
{
    char text[TEXT_BYTES];
    const struct remora_pair handled = { .name = { .data = "handled", .len = 7 },
                                         .value = { .data = is_handled ? "true" : "false",
                                                    .len = is_handled ? 4u : 5u } };
    if (errand->failed + errand->handled > 1) {
        int len = snprintf(text, sizeof text, "{\"handled\":%u,\"failed\":%u}", errand->handled,
                           errand->failed);
        data = (struct remora_slice){ .data = text, .len = (size_t)len };
    }
    remora_binding_reply(errand->call, (struct remora_bytes){ .data = data.data, .len = data.len },
                         &handled, 1, NULL);
    free(errand);
}

static void
on_done(bool is_handled, struct remora_slice data, const struct remora_pair *metadata,
        size_t metadata_count, void *arg)
{
    struct errand *errand = arg;
    struct source *source = errand->source;
    (void)metadata;
    (void)metadata_count;
    source->open--;
    errand->handled += is_handled;
    errand->failed += !is_handled;
    if (errand->call != NULL && --errand->left == 0) {
        answer(errand, is_handled, data);
    } else if (errand->call == NULL && is_handled) {
        source->queued--;
        free(errand);
    } else if (errand->call == NULL) {
        ev_timer_init(&errand->again, on_again, 0.02, 0.02);
        errand->again.data = errand;
        ev_timer_start(remora_loop(), &errand->again);
    }
    leave(source);
}

/* Metadata of the event: what begins with "m.". */
static size_t
pairs_of(const struct remora_binding_request *request, struct remora_pair *pairs)
{
    size_t count = 0;
    for (size_t i = 0; i < request->metadata_count && count < PAIRS_MAX; i++) {
        struct remora_slice name = request->metadata[i].name;
        if (name.len < 2 || memcmp(name.data, "m.", 2) != 0)
            continue;
        pairs[count].name = (struct remora_slice){ .data = name.data + 2, .len = name.len - 2 };
        pairs[count++].value = request->metadata[i].value;
    }
    return count;
}

static size_t
wide_pairs(struct remora_pair *pairs)
{
    static char value[WIDE_BYTES];
    memset(value, 'v', sizeof value);
    for (size_t i = 0; i < PAIRS_MAX; i++)
        pairs[i] = (struct remora_pair){ .name = { .data = "k", .len = 1 },
                                         .value = { .data = value, .len = sizeof value } };
    return PAIRS_MAX;
}

static void
emit(remora_call *call, struct source *source, const struct remora_binding_request *request,
     uint64_t reading)
{
    static struct remora_pair pairs[PAIRS_MAX];
    bool is_wide = is_text(request->operation, "wide");
    size_t count = is_wide ? wide_pairs(pairs) : pairs_of(request, pairs);
    bool is_queued = is_text(request->operation, "queue");
    bool is_flood = is_text(request->operation, "flood");
    unsigned times = is_flood ? number_of(request->metadata, request->metadata_count, "count") : 1;
    struct errand *errand = calloc(1, sizeof *errand + request->data.len);
    if (errand == NULL)
        exit(EXIT_FAILURE);
    errand->source = source;
    errand->call = is_queued ? NULL : call;
    times = times == 0 ? 1 : times;
    errand->left = times;
    errand->len = request->data.len;
    memcpy(errand->data, request->data.data, request->data.len);
    if (is_queued) {
        source->queued++;
        remora_reply_ok(call);
    }
    do
        give(errand, reading, pairs, count);
    while (--times > 0);
}

static void
tell_state(remora_call *call, const struct source *source)
{
    char text[TEXT_BYTES];
    int len = snprintf(text, sizeof text,
                       "{\"reading\":%llu,\"window\":%u,\"reads\":%u,\"stops\":%u,\"created\":%u,"
                       "\"open\":%u,\"queued\":%u}",
                       (unsigned long long)source->reading, source->window, source->reads,
                       source->stops, source->created, source->open, source->queued);
    remora_binding_reply(call, (struct remora_bytes){ .data = text, .len = (size_t)len }, NULL, 0,
                         NULL);
}

static void
create(remora_call *call, struct source *source, struct remora_slice data)
{
    source->created++;
    if (is_text(data, "\"x\"") || data.len > sizeof source->last) {
        remora_reply_error(call, REMORA_INTERNAL, "told to fail");
        return;
    }
    memcpy(source->last, data.data, data.len);
    source->last_len = data.len;
    remora_reply_ok(call);
}

static void
source_invoke(remora_call *call, void *self, const struct remora_binding_request *request)
{
    const struct remora_slice of = value_of(request->metadata, request->metadata_count, "of");
    struct source *source = of.len == 0 ? self : find(of);
    if (source == NULL) {
        remora_reply_error(call, REMORA_NOT_FOUND, "there is no such source");
    } else if (is_text(request->operation, "state")) {
        tell_state(call, source);
    } else if (is_text(request->operation, "create")) {
        create(call, source, request->data);
    } else if (is_text(request->operation, "last")) {
        remora_binding_reply(call,
                             (struct remora_bytes){ .data = source->last, .len = source->last_len },
                             NULL, 0, NULL);
    } else if (is_text(request->operation, "exit")) {
        _exit(EXIT_FAILURE);
    } else if (is_text(request->operation, "stale")) {
        emit(call, source, request,
             number_of(request->metadata, request->metadata_count, "reading"));
    } else if (is_text(request->operation, "late")) {
        emit(call, source, request, source->stopped);
    } else if (source->reading == 0) {
        remora_reply_error(call, REMORA_UNAVAILABLE, "nobody reads");
    } else {
        emit(call, source, request, source->reading);
    }
}

/* --- the component -----------------------------------------------------------------------------*/

static void
source_init(remora_call *call, const struct remora_config *config)
{
    struct source *source = calloc(1, sizeof *source);
    size_t at = 0;
    while (at < SOURCES_MAX && sources[at] != NULL)
        at++;
    if (source == NULL || at == SOURCES_MAX)
        exit(EXIT_FAILURE); /* a test with more of them wants a larger table */
    (void)snprintf(source->name, sizeof source->name, "%.*s", (int)config->name.len,
                   config->name.data);
    source->fail_reads = number_of(config->metadata, config->metadata_count, "failReads");
    source->is_deaf = is_text(value_of(config->metadata, config->metadata_count, "deaf"), "true");
    sources[at] = source;
    remora_reply_init(call, source, REMORA_CAP_INPUT_BINDING | REMORA_CAP_OUTPUT_BINDING, 0);
}

static void
source_close(void *self)
{
    for (size_t i = 0; i < SOURCES_MAX; i++)
        if (sources[i] == self)
            sources[i] = NULL;
    free(self);
}

int
main(int argc, char **argv)
{
    static const struct remora_binding_ops ops = {
        .operations = "emit,queue,flood,wide,stale,late,state,create,last,exit",
        .invoke = source_invoke,
        .read = source_read,
        .stop = source_stop,
    };
    static const struct remora_component_type types[] = { { .type = "bindings.source",
                                                            .versions = "v1",
                                                            .init = source_init,
                                                            .quiesce = source_quiesce,
                                                            .close = source_close,
                                                            .binding = &ops } };
    static const struct remora_plugin plugin = {
        .name = "source", .version = "1.0.0", .types = types, .type_count = 1
    };
    return remora_plugin_main(&plugin, argc, argv);
}
