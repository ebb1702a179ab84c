/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Running an operation under a policy. Without a policy of the user: what never left the kernel is
 * tried again, a lost read once more; nothing that may have happened is ever repeated unasked.
 */
#ifndef RESILIENCY_RUN_H
#define RESILIENCY_RUN_H

#include <stdbool.h>
#include <stdint.h>

#include "async/task.h"

struct policy {
    uint64_t timeout_ms; /* of the whole operation */
    unsigned attempts_max;
    bool is_read; /* repeating it changes nothing */
};

/* One attempt; may run several times. Suspends. */
typedef err_t attempt_fn(struct task *t, void *arg);

struct policy policy_default(bool is_read);
err_t resiliency_run(struct task *t, const struct policy *policy, attempt_fn *attempt, void *arg);

#endif
