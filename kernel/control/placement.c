/* SPDX-License-Identifier: Apache-2.0 */
/* The stream to the placement service; see placement.h. */
#include "control/placement.h"

#include "base/limits.h"
#include "base/log.h"
#include "base/wire.h"
#include "control/control.h"

#define SCOPE "dapr.runtime.actors.placement"
#define REPORT_STATUS "/dapr.proto.placement.v1.Placement/ReportDaprStatus"

enum { PAUSE_MS = 500, API_LEVEL = 20, NUMBER_BYTES = 12 };

/* --- messages ----------------------------------------------------------------------------------*/

/* PlacementTables: older services have the version there, as text. Hosts are nobody's business
 * here, and may be many. */
static bool
version_of_tables(struct slice bytes, uint64_t *ret_version)
{
    enum { VERSION = 2 };
    struct wire_reader r = wire_reader(bytes);
    struct wire_field f;
    while (wire_next(&r, &f))
        if (f.field == VERSION && !slice_to_u64(wire_bytes(&r, &f), ret_version))
            *ret_version = 0;
    return !r.is_bad;
}

bool
placement_order_unpack(struct slice bytes, struct placement_order *ret_order)
{
    enum { TABLES = 1, OPERATION = 2, VERSION = 3 };
    struct wire_reader r = wire_reader(bytes);
    struct wire_field f;
    struct slice operation = SLICE_EMPTY;
    uint64_t version = 0, old_version = 0;
    while (wire_next(&r, &f)) {
        if (f.field == TABLES && !version_of_tables(wire_bytes(&r, &f), &old_version))
            return false;
        if (f.field == OPERATION)
            operation = wire_bytes(&r, &f);
        if (f.field == VERSION)
            version = wire_number(&r, &f);
    }
    *ret_order = (struct placement_order){
        .operation = slice_eq(operation, SLICE("lock"))     ? PLACEMENT_LOCK
                     : slice_eq(operation, SLICE("update")) ? PLACEMENT_UPDATE
                     : slice_eq(operation, SLICE("unlock")) ? PLACEMENT_UNLOCK
                                                            : PLACEMENT_UNKNOWN,
        .version = version > 0 ? version : old_version,
    };
    return !r.is_bad;
}

err_t
placement_round_take(struct placement_round *round, const struct placement_order *order,
                     bool *ret_confirm)
{
    bool is_late = round->version > order->version;
    *ret_confirm = false;
    switch (order->operation) {
    case PLACEMENT_LOCK:
        *round = (struct placement_round){ PLACEMENT_LOCK, order->version, true };
        break;
    case PLACEMENT_UPDATE:
        if (is_late)
            return ERR_PEER_PROTOCOL;
        round->operation = PLACEMENT_UPDATE;
        break;
    case PLACEMENT_UNLOCK:
        if (is_late || round->operation != PLACEMENT_UPDATE)
            return OK; /* of another round: nothing to say */
        *round = (struct placement_round){ PLACEMENT_UNLOCK, order->version, false };
        break;
    case PLACEMENT_UNKNOWN:
    case PLACEMENT_REPORT:
        return ERR_PEER_PROTOCOL;
    }
    *ret_confirm = true;
    return OK;
}

/* Host: the report, or the confirmation of a step. */
static err_t
send_host(const struct placement *placement, struct line_stream *stream,
          const struct placement_round *round)
{
    enum { NAME = 1, ID = 5, LEVEL = 7, NAMESPACE = 8, OPERATION = 9, VERSION = 10 };
    const struct control_config *config = placement->config;
    struct arena scratch;
    arena_init(&scratch);
    char *start = arena_alloc(&scratch, config->host_name.len + config->app_id.len +
                                            config->namespace_.len + 6 * NUMBER_BYTES);
    char *at = start;
    if (round == NULL)
        at = wire_put_bytes(at, NAME, config->host_name);
    at = wire_put_bytes(at, ID, config->app_id);
    if (round == NULL)
        at = wire_put_number(at, LEVEL, API_LEVEL);
    at = wire_put_bytes(at, NAMESPACE, config->namespace_);
    at = wire_put_number(at, OPERATION, round == NULL ? PLACEMENT_REPORT : round->operation);
    if (round != NULL)
        at = wire_put_present_number(at, VERSION, round->version);
    err_t err = line_stream_send(stream, slice_of(start, (size_t)(at - start))); /* suspends */
    arena_fini(&scratch);
    return err;
}

/* --- the session -------------------------------------------------------------------------------*/

static void
set_connected(struct placement *placement, bool is_connected)
{
    bool is_news = placement->is_connected != is_connected;
    placement->is_connected = is_connected;
    if (is_news)
        placement->on_change(placement);
}

/* A round that has begun must come to its end. */
static err_t
next_order(struct task *t, const struct placement *placement, struct line_stream *stream,
           const struct placement_round *round, struct slice *ret_message)
{
    uint64_t ms = round->is_open ? placement->config->round_ms : UINT64_MAX;
    uint64_t outer = task_deadline_push(t, ms);
    err_t err = line_stream_next(stream, ret_message); /* suspends */
    task_deadline_pop(t, outer);
    if (err == ERR_DEADLINE)
        return DIAG_FAIL(task_diag(t), err, "dissemination of version %llu took too long",
                         (unsigned long long)round->version);
    return err;
}

static err_t
follow(struct task *t, struct placement *placement, struct line_stream *stream)
{
    struct placement_round round = { PLACEMENT_REPORT, 0, false };
    for (;;) {
        struct placement_order order;
        struct slice message;
        bool confirm;
        err_t err = next_order(t, placement, stream, &round, &message); /* suspends */
        if (err != OK)
            return err;
        if (!placement_order_unpack(message, &order) ||
            placement_round_take(&round, &order, &confirm) != OK)
            return DIAG_FAIL(task_diag(t), ERR_PEER_PROTOCOL,
                             "an order of placement makes no sense");
        if (confirm && (err = send_host(placement, stream, &round)) != OK) /* suspends */
            return err;
        if (confirm && round.operation == PLACEMENT_UNLOCK) {
            log_debug(SCOPE, "Dissemination complete for version %llu",
                      (unsigned long long)round.version);
            set_connected(placement, true);
        }
    }
}

static err_t
session(struct task *t, struct line *line)
{
    struct placement *placement = container_of(line, struct placement, line);
    const struct control_config *config = placement->config;
    struct slice address = config->placements[placement->next];
    const struct line_dial dial = { .address = address,
                                    .peer_id = config->placement_id,
                                    .tls = config->tls(config->arg),
                                    .path = REPORT_STATUS };
    struct line_stream stream;
    placement->next = (placement->next + 1) % config->placement_count;
    err_t err = line_stream_open(t, &dial, &stream); /* these suspend */
    if (err == OK)
        err = send_host(placement, &stream, NULL);
    if (err == OK) {
        log_info(SCOPE, "Connected to placement service: " SLICE_FMT, SLICE_ARG(address));
        log_info(SCOPE, "Reporting initial host to placement service with initial types []");
        err = follow(t, placement, &stream);
    }
    line_stream_close(&stream);
    return err;
}

static void
on_over(struct line *line, err_t err, struct slice words)
{
    struct placement *placement = container_of(line, struct placement, line);
    bool was_connected = placement->is_connected;
    set_connected(placement, false);
    if (line->is_stopping || (placement->is_told && !was_connected))
        return;
    placement->is_told = true; /* what goes on is not told each time */
    if (was_connected || err == ERR_PEER_LOST)
        log_info(SCOPE, "Placement stream closed: " SLICE_FMT ". Reconnecting...",
                 SLICE_ARG(words));
    else
        log_error(SCOPE, "Failed to connect to placement service: " SLICE_FMT ". Retrying...",
                  SLICE_ARG(words));
}

static void
on_stopped(struct line *line)
{
    struct placement *placement = container_of(line, struct placement, line);
    placement->on_stopped(placement);
}

void
placement_start(struct placement *placement, const struct control_config *config)
{
    static const char words[] = "Actor runtime disabled: api error: code = Unavailable desc = "
                                "placement service is not configured";
    placement->config = config;
    if (config->placement_count == 0) {
        log_warn("dapr.runtime.actor", "%s. Actors and Workflow APIs will be unavailable", words);
        log_info("dapr.runtime.actor", "%s", words);
        return;
    }
    placement->line = (struct line){ .worker = config->worker,
                                     .name = "placement",
                                     .session = session,
                                     .on_over = on_over,
                                     .on_stopped = on_stopped,
                                     .pause_ms = PAUSE_MS };
    line_start(&placement->line);
}

void
placement_stop(struct placement *placement)
{
    if (placement->config->placement_count == 0)
        placement->on_stopped(placement);
    else
        line_stop(&placement->line);
}
