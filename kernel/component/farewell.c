/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The last calls of the sidecar to its components: each that serves is told to take nothing in any
 * more and to close, before its process is asked to end. What does not answer in time, or is in the
 * middle of an exchange, ends with its process.
 */
#include <stdlib.h>

#include "async/group.h"
#include "async/worker.h"
#include "base/clock.h"
#include "base/log.h"
#include "bus/bus.h"
#include "component/host_internal.h"
#include "remora/plugin/v1/plugin.pb-c.h"

#define METHOD(name) REMORA__PLUGIN__V1__METHOD__METHOD_##name

enum { PARALLEL_MAX = 64 };

/* The components of one plugin process. */
struct parting {
    struct farewell *farewell;
    struct link *link; /* counted */
    uint32_t deadline_ms;
    struct mail mail; /* to the worker, and back */
    size_t count;
    struct parting_member {
        struct link *link; /* the same */
        uint32_t handle;
    } members[];
};

/* Of one host; main thread. */
struct farewell {
    struct host *host;
    size_t under_way;
    uint64_t until_ms;
    farewell_fn *over;
    void *arg;
};

/* --- worker ------------------------------------------------------------------------------------*/

static err_t
tell(struct task *t, const struct parting_member *member, uint32_t method)
{
    struct bus_call call;
    const struct link_args args = { .method = method,
                                    .component = member->handle,
                                    .is_write = true };
    err_t err = bus_call(t, member->link, &args, &call); /* suspends */
    bus_call_finish(t, &call);
    return err;
}

static err_t
part(struct task *t, void *arg)
{
    const struct parting_member *member = arg;
    err_t err = tell(t, member, METHOD(QUIESCE));
    return err == OK ? tell(t, member, METHOD(CLOSE)) : err;
}

static void on_parted(struct mail *mail);

static void
parting_main(struct task *t, void *arg)
{
    struct parting *parting = arg;
    struct group group;
    uint64_t outer = task_deadline_push(t, parting->deadline_ms);
    group_init(&group, t, PARALLEL_MAX);
    for (size_t i = 0; i < parting->count; i++)
        group_go(&group, "component close", part, &parting->members[i]);
    (void)group_join(&group); /* its process ends either way */
    task_deadline_pop(t, outer);
    mailbox_post(parting->farewell->host->config.control, &parting->mail, on_parted);
}

static void
on_part(struct mail *mail)
{
    struct parting *parting = container_of(mail, struct parting, mail);
    if (task_spawn(parting->link->worker, "farewell", parting_main, parting) == NULL)
        mailbox_post(parting->farewell->host->config.control, &parting->mail, on_parted);
}

/* --- main thread -------------------------------------------------------------------------------*/

/* One of the partings, or the beginning, is over. */
static void
one_less(struct farewell *farewell)
{
    if (--farewell->under_way > 0)
        return;
    uint64_t now_ms = clock_now_ms();
    uint32_t left_ms = farewell->until_ms > now_ms ? (uint32_t)(farewell->until_ms - now_ms) : 0;
    farewell->over(farewell->arg, left_ms);
    free(farewell);
}

static void
on_parted(struct mail *mail)
{
    struct parting *parting = container_of(mail, struct parting, mail);
    struct farewell *farewell = parting->farewell;
    link_unref(parting->link);
    free(parting);
    one_less(farewell);
}

/* Those of a link; NULL if there are none. */
static struct parting *
parting_new(struct farewell *farewell, const struct ward *ward)
{
    const struct host *host = farewell->host;
    struct parting *parting = calloc(1, sizeof *parting +
                                            host->member_count * sizeof(struct parting_member));
    if (parting == NULL)
        abort();
    for (size_t i = 0; i < host->member_count; i++) {
        const struct member *member = host->members[i];
        if (member == NULL || member->ward != ward || member->link == NULL ||
            member->link != ward->link || member->standing != STANDING_READY)
            continue;
        log_info("dapr.runtime",
                 "Shutting down component " SLICE_FMT " (" SLICE_FMT "/" SLICE_FMT ")",
                 SLICE_ARG(member->spec->name), SLICE_ARG(member->spec->type),
                 SLICE_ARG(member->spec->version));
        parting->members[parting->count++] = (struct parting_member){ ward->link, member->handle };
    }
    if (parting->count > 0)
        return parting;
    free(parting);
    return NULL;
}

void
farewell_start(struct host *host, uint32_t deadline_ms, farewell_fn *over, void *arg)
{
    struct farewell *farewell = calloc(1, sizeof *farewell);
    if (farewell == NULL)
        abort();
    *farewell = (struct farewell){ .host = host,
                                   .under_way = 1,
                                   .until_ms = clock_now_ms() + deadline_ms,
                                   .over = over,
                                   .arg = arg };
    for (size_t i = 0; i < host->ward_count; i++) {
        struct parting *parting = parting_new(farewell, host->wards[i]);
        if (parting == NULL)
            continue;
        parting->farewell = farewell;
        parting->link = link_ref(host->wards[i]->link);
        parting->deadline_ms = deadline_ms / 2; /* the rest is for the processes */
        farewell->under_way++;
        worker_post(parting->link->worker, &parting->mail, on_part);
    }
    one_less(farewell);
}
