/* SPDX-License-Identifier: Apache-2.0 */
/* The loop around attempts; see run.h. */
#include "resiliency/run.h"

#include "base/limits.h"

struct policy
policy_default(bool is_read)
{
    return (struct policy){ .timeout_ms = LIMIT_call_default_ms,
                            .attempts_max = LIMIT_call_attempts_max,
                            .is_read = is_read };
}

static bool
may_repeat(const struct policy *policy, err_t err, unsigned attempts, unsigned lost)
{
    if (attempts >= policy->attempts_max)
        return false;
    /* Once: a request that kills its plugin must not be fed to it again and again. */
    if (err == ERR_PLUGIN_UNKNOWN)
        return policy->is_read && lost == 1;
    return err == ERR_PLUGIN_NOT_SENT;
}

err_t
resiliency_run(struct task *t, const struct policy *policy, attempt_fn *attempt, void *arg)
{
    uint64_t outer = task_deadline_push(t, policy->timeout_ms);
    err_t err;
    unsigned attempts = 0, lost = 0;
    do {
        err = attempt(t, arg);
        attempts++;
        lost += err == ERR_PLUGIN_UNKNOWN;
    } while (err != OK && may_repeat(policy, err, attempts, lost));
    task_deadline_pop(t, outer);
    return err;
}
