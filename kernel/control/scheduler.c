/* SPDX-License-Identifier: Apache-2.0 */
/* Instances of the scheduler service; see scheduler.h. */
#include "control/scheduler.h"

#include <stdlib.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/pb.h"
#include "control/control.h"
#include "dapr/proto/scheduler/v1/scheduler.pb-c.h"

#define SCOPE "dapr.runtime.scheduler.watchhosts"
#define WATCH_HOSTS "/dapr.proto.scheduler.v1.Scheduler/WatchHosts"

enum { WATCH_PAUSE_MS = 1000, HOST_PAUSE_MS = 1000, ANSWER_DEPTH_MAX = 4 };

static err_t
open_watch(struct task *t, const struct scheduler *scheduler, struct slice address,
           struct line_stream *ret_stream)
{
    const struct control_config *config = scheduler->config;
    const struct line_dial dial = { .address = address,
                                    .peer_id = config->scheduler_id,
                                    .tls = config->tls(config->arg),
                                    .path = WATCH_HOSTS };
    err_t err = line_stream_open(t, &dial, ret_stream); /* these suspend */
    if (err == OK)
        err = line_stream_send(ret_stream, SLICE_EMPTY);
    return err == OK ? line_stream_end(ret_stream) : err;
}

/* --- connections to all ------------------------------------------------------------------------*/

static void
set_connected(struct scheduler_host *host, bool is_connected)
{
    bool is_news = host->is_connected != is_connected;
    host->is_connected = is_connected;
    if (is_news)
        host->scheduler->on_change(host->scheduler);
}

/* What it says is not looked at: it was asked for the connection's sake. */
static err_t
host_session(struct task *t, struct line *line)
{
    struct scheduler_host *host = container_of(line, struct scheduler_host, line);
    struct line_stream stream;
    struct slice message;
    err_t err = open_watch(t, host->scheduler, host->address, &stream); /* suspends */
    while (err == OK) {
        err = line_stream_next(&stream, &message); /* suspends */
        if (err == OK)
            set_connected(host, true);
    }
    bool is_of_old = stream.code == GRPC_UNIMPLEMENTED;
    line_stream_close(&stream);
    set_connected(host, is_of_old); /* it is there, but cannot be watched */
    return err;
}

static void
on_host_over(struct line *line, err_t err, struct slice words)
{
    struct scheduler_host *host = container_of(line, struct scheduler_host, line);
    if (!line->is_stopping && err != OK)
        log_debug(SCOPE,
                  "Connection to scheduler " SLICE_FMT " is lost, connecting again: " SLICE_FMT,
                  SLICE_ARG(host->address), SLICE_ARG(words));
}

static void
one_less(struct scheduler *scheduler)
{
    if (--scheduler->line_count == 0)
        scheduler->on_stopped(scheduler);
}

static void
on_host_stopped(struct line *line)
{
    struct scheduler_host *host = container_of(line, struct scheduler_host, line);
    struct scheduler *scheduler = host->scheduler;
    list_remove(&host->link);
    free((void *)(uintptr_t)host->address.data); /* ours */
    free(host);
    scheduler->on_change(scheduler);
    one_less(scheduler);
}

static void
add_host(struct scheduler *scheduler, struct slice address)
{
    struct scheduler_host *host = calloc(1, sizeof *host);
    if (host == NULL)
        abort();
    host->scheduler = scheduler;
    host->address = slice_of(slice_copy(address), address.len);
    host->is_named = true;
    host->line = (struct line){ .worker = scheduler->watch.worker,
                                .name = "scheduler host",
                                .session = host_session,
                                .on_over = on_host_over,
                                .on_stopped = on_host_stopped,
                                .pause_ms = HOST_PAUSE_MS };
    list_append(&scheduler->hosts, &host->link);
    scheduler->line_count++;
    line_start(&host->line);
}

static struct scheduler_host *
find_host(struct scheduler *scheduler, struct slice address)
{
    struct list *node;
    LIST_FOREACH (node, &scheduler->hosts) {
        struct scheduler_host *host = LIST_ENTRY(node, struct scheduler_host, link);
        if (!host->line.is_stopping && slice_eq(host->address, address))
            return host;
    }
    return NULL;
}

static void
use_hosts(struct scheduler *scheduler, const struct slice *addresses, size_t count)
{
    struct list *node, *next;
    LIST_FOREACH (node, &scheduler->hosts)
        LIST_ENTRY(node, struct scheduler_host, link)->is_named = false;
    for (size_t i = 0; i < count; i++) {
        struct scheduler_host *host = find_host(scheduler, addresses[i]);
        if (host != NULL)
            host->is_named = true;
        else
            add_host(scheduler, addresses[i]);
    }
    LIST_FOREACH_SAFE(node, next, &scheduler->hosts)
    {
        struct scheduler_host *host = LIST_ENTRY(node, struct scheduler_host, link);
        if (!host->is_named && !host->line.is_stopping)
            line_stop(&host->line); /* may free it */
    }
    scheduler->has_hosts = true;
    scheduler->on_change(scheduler);
}

/* --- who they are ------------------------------------------------------------------------------*/

static void
log_hosts(const struct slice *addresses, size_t count)
{
    struct buf text;
    buf_init(&text, 8192);
    bool fits = true;
    for (size_t i = 0; i < count && fits; i++)
        fits = buf_printf(&text, "%s" SLICE_FMT, i == 0 ? "" : " ", SLICE_ARG(addresses[i]));
    log_info(SCOPE, "Connected and received scheduler hosts addresses: [" SLICE_FMT "]",
             SLICE_ARG(buf_slice(&text)));
    buf_fini(&text);
}

static err_t
take_answer(struct task *t, struct scheduler *scheduler, struct slice message)
{
    struct arena scratch;
    size_t count = 0;
    arena_init(&scratch);
    const Dapr__Proto__Scheduler__V1__WatchHostsResponse *answer = pb_unpack(
        &scratch, &dapr__proto__scheduler__v1__watch_hosts_response__descriptor, message,
        ANSWER_DEPTH_MAX, LIMIT_control_unpack_bytes);
    if (answer == NULL || answer->n_hosts > LIMIT_scheduler_hosts_max) {
        arena_fini(&scratch);
        return DIAG_FAIL(task_diag(t), ERR_PEER_PROTOCOL, "the list of scheduler hosts is no such");
    }
    struct slice *addresses = ARENA_ARRAY(&scratch, struct slice, answer->n_hosts);
    for (size_t i = 0; i < answer->n_hosts; i++)
        if (line_address_is_valid(slice_str(answer->hosts[i]->address)))
            addresses[count++] = slice_str(answer->hosts[i]->address);
    scheduler->is_told = false;
    log_hosts(addresses, count);
    use_hosts(scheduler, addresses, count);
    arena_fini(&scratch);
    return OK;
}

static err_t
watch_session(struct task *t, struct line *line)
{
    struct scheduler *scheduler = container_of(line, struct scheduler, watch);
    const struct control_config *config = scheduler->config;
    struct line_stream stream;
    struct slice message;
    err_t err = open_watch(t, scheduler, config->schedulers[scheduler->next], &stream);
    scheduler->next = (scheduler->next + 1) % config->scheduler_count;
    while (err == OK) {
        err = line_stream_next(&stream, &message); /* suspends */
        if (err == OK)
            err = take_answer(t, scheduler, message);
    }
    if (stream.code == GRPC_UNIMPLEMENTED) /* an old service: those given are all */
        use_hosts(scheduler, config->schedulers, config->scheduler_count);
    line_stream_close(&stream);
    return err;
}

static void
on_watch_over(struct line *line, err_t err, struct slice words)
{
    struct scheduler *scheduler = container_of(line, struct scheduler, watch);
    if (line->is_stopping || scheduler->is_told)
        return;
    scheduler->is_told = true; /* what goes on is not told each second */
    if (err == ERR_PEER_LOST)
        log_warn(SCOPE, "Scheduler WatchHosts stream error, reconnecting: " SLICE_FMT,
                 SLICE_ARG(words));
    else
        log_error(SCOPE, "Failed to connect to scheduler host: " SLICE_FMT, SLICE_ARG(words));
}

static void
on_watch_stopped(struct line *line)
{
    one_less(container_of(line, struct scheduler, watch));
}

void
scheduler_start(struct scheduler *scheduler, const struct control_config *config)
{
    scheduler->config = config;
    if (config->scheduler_count == 0) {
        log_warn(SCOPE, "No scheduler host addresses provided. Scheduler disabled");
        return;
    }
    scheduler->line_count = 1;
    scheduler->watch = (struct line){ .worker = config->worker,
                                      .name = "scheduler",
                                      .session = watch_session,
                                      .on_over = on_watch_over,
                                      .on_stopped = on_watch_stopped,
                                      .pause_ms = WATCH_PAUSE_MS };
    line_start(&scheduler->watch);
}

void
scheduler_stop(struct scheduler *scheduler)
{
    struct list *node, *next;
    if (scheduler->line_count == 0) {
        scheduler->on_stopped(scheduler);
        return;
    }
    scheduler->line_count++; /* until all have been told */
    LIST_FOREACH_SAFE(node, next, &scheduler->hosts)
    {
        struct scheduler_host *host = LIST_ENTRY(node, struct scheduler_host, link);
        if (!host->line.is_stopping)
            line_stop(&host->line); /* may free it */
    }
    line_stop(&scheduler->watch);
    one_less(scheduler);
}
