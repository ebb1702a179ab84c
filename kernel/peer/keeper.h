/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keeps the sidecar's identity: gets the first certificate, however long that takes, renews each at
 * half of its life, and goes on with other trust anchors when it is told to. What fails is tried
 * again; the identity that there is stays in use meanwhile.
 *
 * Lives on one worker, whose thread alone may call this. There is a task only while Sentry is
 * asked.
 */
#ifndef PEER_KEEPER_H
#define PEER_KEEPER_H

#include "async/worker.h"
#include "peer/identity.h"
#include "peer/sentry_client.h"

struct keeper {
    struct worker *worker;
    const struct sentry_config *config;
    /* A new one is in force; a reference of the callee's. `is_renewal`: Sentry has signed it. */
    void (*on_identity)(void *arg, struct identity *identity, bool is_renewal);
    /* Sentry could not be had, or not be trusted. NULL: not wanted. */
    void (*on_failure)(void *arg);
    void *arg;

    struct slice anchors;       /* PEM; owned */
    struct credentials present; /* of the identity in force */
    struct identity *identity;  /* counted; NULL: there is none yet */
    struct timer timer;
    struct task *task; /* asks Sentry; NULL: nobody does */
    int64_t renew_unix_ms;
    uint64_t pause_ms;
    bool is_stopping;
};

/* Borrows the configuration; `worker` may not run yet. */
void keeper_init(struct keeper *keeper, struct worker *worker, const struct sentry_config *config,
                 struct slice anchors);
/* Asks for the first certificate. */
void keeper_start(struct keeper *keeper);
/* Other trust anchors are in force: at once, and with a new certificate if they do not confirm the
 * one that there is. */
void keeper_trust(struct keeper *keeper, struct slice anchors);
/* Nothing is begun any more. */
void keeper_stop(struct keeper *keeper);
/* After the worker has ended. */
void keeper_fini(struct keeper *keeper);

/* When a certificate is renewed: at half of its life or, if that has passed when it is issued,
 * after half of what is left. */
int64_t
keeper_renewal_unix_ms(int64_t not_before_unix_s, int64_t not_after_unix_s, int64_t now_unix_ms);

#endif
