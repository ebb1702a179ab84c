/* SPDX-License-Identifier: Apache-2.0 */
/* Strong writes wait until their server's replicas have them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "state_write.h"

/* Strong writes that a server has done and whose replicas are waited for, on the connection that
 * carried them: those the running WAIT covers, and those that came later. */
struct waiters {
    struct waiters *next;
    struct store *store;
    struct conn *conn;
    unsigned replicas;
    struct write *now, *later;
};

static void on_wait(const struct conn_result *result, void *arg);

static void
finish_waiting(struct waiters *waiters, const struct conn_result *result)
{
    struct write *write = waiters->now;
    waiters->now = NULL;
    for (struct write *next; write != NULL; write = next) {
        char prefix[WRITE_PREFIX_BYTES];
        next = write->next;
        snprintf(prefix, sizeof prefix,
                 "redis waiting for %u replicas to acknowledge write, err: ", waiters->replicas);
        struct remora_failure *failure = failure_of(waiters->store, write->call, result, true,
                                                    prefix);
        if (failure != NULL)
            failure->effect = REMORA_EFFECT_UNKNOWN; /* it is written, only not acknowledged */
        write->finish(write, failure);
    }
}

static void
forget_waiters(struct waiters *waiters)
{
    struct waiters **at = &waiters->store->waiters;
    while (*at != waiters)
        at = &(*at)->next;
    *at = waiters->next;
    free(waiters);
}

void
state_forget_waiters(struct store *store)
{
    while (store->waiters != NULL)
        forget_waiters(store->waiters);
}

/* One WAIT at a time: it covers all writes before it, so those that come meanwhile share the next.
 */
static void
wait_for_replicas(struct waiters *waiters)
{
    char replicas[WRITE_NUMBER_BYTES], timeout[WRITE_NUMBER_BYTES];
    while (waiters->now == NULL && waiters->later != NULL) {
        waiters->now = waiters->later;
        waiters->later = NULL;
        snprintf(replicas, sizeof replicas, "%u", waiters->replicas);
        snprintf(timeout, sizeof timeout, "%d", STORE_WAIT_MS);
        struct remora_slice args[3] = { write_text("WAIT"), write_text(replicas),
                                        write_text(timeout) };
        if (!link_command_over(waiters->store->link, waiters->conn, args, 3, on_wait, waiters))
            finish_waiting(waiters, &(struct conn_result){ .why = "the connection is lost" });
    }
    if (waiters->now == NULL)
        forget_waiters(waiters);
}

static void
on_wait(const struct conn_result *result, void *arg)
{
    finish_waiting(arg, result);
    wait_for_replicas(arg);
}

static struct waiters *
waiters_on(struct store *store, struct conn *conn)
{
    for (struct waiters *one = store->waiters; one != NULL; one = one->next)
        if (one->conn == conn)
            return one;
    struct waiters *waiters = calloc(1, sizeof *waiters);
    if (waiters == NULL)
        abort();
    *waiters = (struct waiters){ .next = store->waiters, .store = store, .conn = conn };
    return store->waiters = waiters;
}

void
write_settle(struct write *write, const struct remora_failure *failure, struct conn *conn)
{
    struct store *store = write->store;
    unsigned replicas = failure != NULL || !write->strong ? 0 : link_replicas(store->link, conn);
    if (replicas == 0) {
        write->finish(write, failure);
        return;
    }
    struct waiters *waiters = waiters_on(store, conn);
    waiters->replicas = replicas;
    write->next = waiters->later;
    waiters->later = write;
    wait_for_replicas(waiters);
}
