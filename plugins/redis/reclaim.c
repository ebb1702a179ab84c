/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages that were handed to the consumer and never acknowledged: their application refused
 * them, or whoever had them is dead. In each round the list of pending ones is walked once, a page
 * at a time, and those that have been pending for processingTimeout are claimed, as far as there is
 * room. Claiming begins their time anew, so that one of several instances gets a message. While a
 * round lasts nothing new is read, or a full queue would keep the old ones waiting for ever.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker.h"

enum { PAGE = 100 };

static void
on_round_due(struct ev_loop *loop, ev_timer *watcher, int events)
{
    (void)loop;
    (void)events;
    struct intake *intake = watcher->data;
    reclaim_start(intake);
    intake_pump(intake);
}

void
reclaim_start(struct intake *intake)
{
    const struct broker_settings *settings = &intake->broker->settings;
    if (settings->redeliver_interval_ms == 0 || settings->processing_timeout_ms == 0)
        return;
    if (!intake->is_reclaiming)
        snprintf(intake->reclaim_from, sizeof intake->reclaim_from, "-");
    intake->is_reclaiming = true;
    ev_timer_stop(remora_loop(), &intake->reclaim);
    ev_timer_init(&intake->reclaim, on_round_due, (double)settings->redeliver_interval_ms / 1e3,
                  0.0);
    intake->reclaim.data = intake;
    ev_timer_start(remora_loop(), &intake->reclaim);
}

void
reclaim_stop(struct intake *intake)
{
    ev_timer_stop(remora_loop(), &intake->reclaim);
    intake->is_reclaiming = false;
}

/* What every answer begins with. False: there is nothing to be had from it. */
static bool
is_usable(struct intake *intake, const struct conn_result *result)
{
    intake->commands--;
    intake->is_asking = false;
    if (result->value == NULL)
        return false; /* the round goes on with the next connection */
    if (resp_is_error(result->value, "NOGROUP"))
        intake_lost_group(intake);
    if (result->value->type == RESP_ARRAY)
        return true;
    intake->is_reclaiming = false; /* until the next one */
    return false;
}

static void
on_claimed(const struct conn_result *result, void *arg)
{
    struct intake *intake = arg;
    if (is_usable(intake, result))
        intake_take(intake, result->value);
    intake_pump(intake);
}

static void
claim(struct intake *intake, const struct remora_slice *ids, size_t count)
{
    const struct broker_settings *settings = &intake->broker->settings;
    struct remora_slice args[5 + PAGE];
    char idle[24];
    snprintf(idle, sizeof idle, "%" PRId64, settings->processing_timeout_ms);
    const char *const words[] = { "XCLAIM", intake->stream, settings->consumer, settings->consumer,
                                  idle };
    for (size_t i = 0; i < 5; i++)
        args[i] = (struct remora_slice){ words[i], strlen(words[i]) };
    memcpy(args + 5, ids, count * sizeof *ids);
    intake->is_asking = link_command(intake->broker->link, LINK_MAIN, intake->place.slot, args,
                                     5 + count, 0, on_claimed, intake);
    intake->commands += intake->is_asking;
}

/* [id, consumer, milliseconds since, deliveries] */
static bool
is_pending(const struct resp_value *value)
{
    return value->type == RESP_ARRAY && value->count == 4 && value->items[0].type == RESP_STRING &&
           value->items[2].type == RESP_INTEGER;
}

static void
on_pending(const struct conn_result *result, void *arg)
{
    struct intake *intake = arg;
    const struct resp_value *value = result->value;
    int64_t timeout_ms = intake->broker->settings.processing_timeout_ms;
    struct remora_slice ids[PAGE];
    size_t count = 0, room = intake_room(intake), i = 0;
    if (!is_usable(intake, result)) {
        intake_pump(intake);
        return;
    }
    for (; i < value->count && is_pending(&value->items[i]); i++) {
        struct remora_slice id = value->items[i].items[0].text;
        bool is_due = value->items[i].items[2].integer >= timeout_ms && !intake_has(intake, id);
        if (is_due && (count == room || count == PAGE))
            break;
        if (!entry_id_after(id, intake->reclaim_from))
            break;
        if (is_due)
            ids[count++] = id;
    }
    bool is_over = i == value->count && value->count < PAGE;
    if (is_over || (i == 0 && room > 0))
        intake->is_reclaiming = false;
    if (count > 0 && !intake_is_stopped(intake))
        claim(intake, ids, count);
    intake_pump(intake);
}

void
reclaim_step(struct intake *intake)
{
    char page[8];
    if (!intake->is_reclaiming || intake->is_asking || intake_is_stopped(intake) ||
        !intake->has_group || intake_room(intake) == 0 ||
        !link_is_ready(intake->broker->link, intake->place.slot))
        return;
    snprintf(page, sizeof page, "%d", PAGE);
    const char *const words[] = {
        "XPENDING", intake->stream, intake->broker->settings.consumer, intake->reclaim_from, "+",
        page
    };
    intake->is_asking = intake_command(intake, words, 6, 0, on_pending);
    intake->commands += intake->is_asking;
}
