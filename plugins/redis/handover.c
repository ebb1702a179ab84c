/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a subscription has read: handed over to the sidecar, acknowledged when it is done with,
 * given back when the subscription ends.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../shared/monotonic.h"
#include "broker.h"

enum {
    ACKNOWLEDGE_WAITS_MS = 1000, /* for a connection; then again */
    RELEASED_MAX = 64,           /* identifiers in one command */
};

/* Messages on their way to the sidecar in one call. */
struct parcel {
    struct parcel *next, **at;
    struct intake *intake; /* NULL: it is gone */
    size_t count;
    struct entry *entries[];
};

/* --- lists -------------------------------------------------------------------------------------*/

void
entries_add(struct entries *list, struct entry *entry)
{
    entry->next = NULL;
    entry->at = list->last;
    *list->last = entry;
    list->last = &entry->next;
    list->count++;
    list->bytes += entry->bytes;
}

static void
entries_remove(struct entries *list, struct entry *entry)
{
    *entry->at = entry->next;
    if (entry->next != NULL)
        entry->next->at = entry->at;
    else
        list->last = entry->at;
    list->count--;
    list->bytes -= entry->bytes;
}

static void
entries_free(struct entries *list)
{
    while (list->first != NULL) {
        struct entry *entry = list->first;
        entries_remove(list, entry);
        entry_free(entry);
    }
}

static bool
entries_have(const struct entries *list, struct remora_slice id)
{
    for (const struct entry *entry = list->first; entry != NULL; entry = entry->next)
        if (entry->message.id.len == id.len && memcmp(entry->message.id.data, id.data, id.len) == 0)
            return true;
    return false;
}

bool
intake_has(const struct intake *intake, struct remora_slice id)
{
    return entries_have(&intake->queued, id) || entries_have(&intake->out, id) ||
           entries_have(&intake->acknowledging, id);
}

/* --- acknowledging -----------------------------------------------------------------------------*/

static void on_acknowledged(const struct conn_result *result, void *arg);

static bool
acknowledge(struct entry *entry)
{
    struct intake *intake = entry->intake;
    const char *consumer = intake->broker->settings.consumer;
    struct remora_slice args[] = { { "XACK", 4 },
                                   { intake->stream, strlen(intake->stream) },
                                   { consumer, strlen(consumer) },
                                   entry->message.id };
    return link_command(intake->broker->link, LINK_MAIN, intake->place.slot, args, 4,
                        ACKNOWLEDGE_WAITS_MS, on_acknowledged, entry);
}

/* It may be said twice, and is said until it is heard: what is not acknowledged comes again. */
static void
on_acknowledged(const struct conn_result *result, void *arg)
{
    struct entry *entry = arg;
    struct intake *intake = entry->intake;
    bool is_lost = result->value == NULL;
    if (is_lost && intake->closing == NULL && !intake->broker->is_quiet && acknowledge(entry))
        return;
    if (is_lost || result->value->type == RESP_ERROR)
        remora_log(REMORA_WARN, "redis streams: a message of topic %s could not be acknowledged",
                   intake->stream);
    entries_remove(&intake->acknowledging, entry);
    entry_free(entry);
    intake_pump(intake);
}

/* --- handing over ------------------------------------------------------------------------------*/

/* Whoever has been slow for so long may see another instance take the message. */
static bool
is_fresh(const struct intake *intake, const struct entry *entry)
{
    const struct broker_settings *settings = &intake->broker->settings;
    return settings->processing_timeout_ms == 0 || settings->redeliver_interval_ms == 0 ||
           monotonic_now_ms() - entry->read_at_ms < (uint64_t)settings->processing_timeout_ms;
}

static void
settle_entry(struct intake *intake, struct entry *entry, enum remora_verdict verdict)
{
    entries_remove(&intake->out, entry);
    if (verdict != REMORA_DONE && intake->closing != NULL) {
        entries_add(&intake->queued, entry); /* to be given back */
        return;
    }
    if (verdict != REMORA_DONE) {
        entry_free(entry);
        return;
    }
    entries_add(&intake->acknowledging, entry);
    if (acknowledge(entry))
        return;
    entries_remove(&intake->acknowledging, entry);
    entry_free(entry);
}

/* What was told of one; of those behind the last that was told of, nothing is known. */
static enum remora_verdict
verdict_on(const struct intake *intake, const enum remora_verdict *verdicts, size_t count, size_t i)
{
    if (i >= count)
        return REMORA_RETRY;
    return intake->broker->settings.acks_on_error && intake->closing == NULL ? REMORA_DONE
                                                                             : verdicts[i];
}

static void
on_delivered(const enum remora_verdict *verdicts, size_t count, void *arg)
{
    struct parcel *parcel = arg;
    struct intake *intake = parcel->intake;
    if (intake == NULL) { /* its entries went with it */
        free(parcel);
        return;
    }
    *parcel->at = parcel->next;
    if (parcel->next != NULL)
        parcel->next->at = parcel->at;
    for (size_t i = 0; i < parcel->count; i++)
        settle_entry(intake, parcel->entries[i], verdict_on(intake, verdicts, count, i));
    free(parcel);
    intake_pump(intake);
}

static void
send_parcel(struct intake *intake, size_t count)
{
    struct parcel *parcel = malloc(sizeof *parcel + count * sizeof(struct entry *));
    struct remora_message *messages = calloc(count, sizeof *messages);
    if (parcel == NULL || messages == NULL)
        abort();
    *parcel = (struct parcel){
        .next = intake->parcels, .at = &intake->parcels, .intake = intake, .count = count
    };
    if (parcel->next != NULL)
        parcel->next->at = &parcel->next;
    intake->parcels = parcel;
    for (size_t i = 0; i < count; i++) {
        struct entry *entry = intake->queued.first;
        entries_remove(&intake->queued, entry);
        entries_add(&intake->out, entry);
        parcel->entries[i] = entry;
        messages[i] = entry->message;
    }
    remora_deliver(intake->id, messages, count, on_delivered, parcel);
    free(messages);
}

/* Forgets the oldest ones that lay here too long: they are pending, and are claimed again. */
static void
drop_stale(struct intake *intake)
{
    struct entry *entry;
    bool is_any = false;
    while ((entry = intake->queued.first) != NULL && !is_fresh(intake, entry)) {
        entries_remove(&intake->queued, entry);
        entry_free(entry);
        is_any = true;
    }
    if (is_any && !intake_is_stopped(intake))
        reclaim_start(intake);
}

/* A batch goes when it is full, when it has waited, and when no more can come. */
static bool
is_batch_ready(const struct intake *intake)
{
    return intake->queued.count >= intake->batch_max || intake->is_batch_due ||
           intake->broker->is_quiet || intake_room(intake) == 0;
}

void
intake_hand_out(struct intake *intake)
{
    drop_stale(intake);
    while (intake->queued.count > 0 && intake->closing == NULL &&
           intake->out.count < intake->out_max) {
        if (!is_batch_ready(intake)) {
            if (!ev_is_active(&intake->await)) {
                ev_timer_set(&intake->await, intake->batch_await_ms / 1e3, 0.0);
                ev_timer_start(remora_loop(), &intake->await);
            }
            return;
        }
        size_t count = intake->out_max - intake->out.count;
        count = count > intake->batch_max ? intake->batch_max : count;
        count = count > intake->queued.count ? intake->queued.count : count;
        ev_timer_stop(remora_loop(), &intake->await);
        intake->is_batch_due = false;
        send_parcel(intake, count);
    }
}

void
intake_on_await(struct ev_loop *loop, ev_timer *watcher, int events)
{
    (void)loop;
    (void)events;
    struct intake *intake = watcher->data;
    intake->is_batch_due = true;
    intake_pump(intake);
}

/* --- the end
 * ------------------------------------------------------------------------------------*/

/* Lets others have what was read and not handed over: as if it had been pending long enough. */
void
intake_give_back(struct intake *intake)
{
    const struct broker_settings *settings = &intake->broker->settings;
    struct remora_slice args[RELEASED_MAX + 8];
    char idle[24];
    drop_stale(intake);
    snprintf(idle, sizeof idle, "%" PRId64, settings->processing_timeout_ms);
    const char *const before[] = { "XCLAIM", intake->stream, settings->consumer, settings->consumer,
                                   "0" };
    const char *const after[] = { "IDLE", idle, "JUSTID" };
    struct link *link = intake->broker->link;
    while (intake->queued.first != NULL && link_is_ready(link, intake->place.slot)) {
        struct entry *entry = intake->queued.first;
        size_t count = 0, ids = 0;
        for (size_t i = 0; i < 5; i++)
            args[count++] = (struct remora_slice){ before[i], strlen(before[i]) };
        for (; entry != NULL && ids < RELEASED_MAX; entry = entry->next, ids++)
            args[count++] = entry->message.id;
        for (size_t i = 0; i < 3; i++)
            args[count++] = (struct remora_slice){ after[i], strlen(after[i]) };
        if (!link_command(link, LINK_MAIN, intake->place.slot, args, count, 0, NULL, NULL))
            return;
        for (; ids > 0; ids--) {
            entry = intake->queued.first;
            entries_remove(&intake->queued, entry);
            entry_free(entry);
        }
    }
}

void
intake_forget_entries(struct intake *intake)
{
    while (intake->parcels != NULL) {
        struct parcel *parcel = intake->parcels;
        intake->parcels = parcel->next;
        parcel->intake = NULL;
    }
    entries_free(&intake->queued);
    entries_free(&intake->out);
    entries_free(&intake->acknowledging);
}
