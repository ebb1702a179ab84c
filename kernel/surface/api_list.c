/* SPDX-License-Identifier: Apache-2.0 */
/* Parts of the API by name; see api_list.h. */
#include "surface/api_list.h"

#include "api/kernel.h"
#include "config/api_rules.h"

static bool
allows(const struct request *rq, enum api_protocol protocol, struct slice name,
       struct slice version)
{
    return api_rules_allow(&settings_of(rq->task)->api_rules, protocol, name, version);
}

static bool
has_rules(const struct request *rq)
{
    const struct api_rules *rules = &settings_of(rq->task)->api_rules;
    return rules->allowed.count > 0 || rules->denied.count > 0;
}

bool
api_list_allows_path(const struct request *rq, const char *pattern)
{
    struct slice rest = slice_str(pattern), version, name;
    if (!has_rules(rq))
        return true;
    bool is_named = slice_split(&rest, '/', &version) && slice_split(&rest, '/', &name);
    if (!is_named)
        return false;
    return slice_eq(name, SLICE("healthz")) || allows(rq, API_HTTP, name, version);
}

/* Methods without the stage at their end. */
static const struct {
    const char *method;
    const char *name;
} parts[] = {
    { "InvokeService", "invoke" },
    { "GetState", "state" },
    { "GetBulkState", "state" },
    { "SaveState", "state" },
    { "DeleteState", "state" },
    { "DeleteBulkState", "state" },
    { "ExecuteStateTransaction", "state" },
    { "QueryState", "state" },
    { "PublishEvent", "publish" },
    { "BulkPublishEvent", "publish" },
    { "SubscribeTopicEvents", "subscribe" },
    { "InvokeBinding", "bindings" },
    { "GetSecret", "secrets" },
    { "GetBulkSecret", "secrets" },
    { "RegisterActorTimer", "actors" },
    { "UnregisterActorTimer", "actors" },
    { "GetActorTimer", "actors" },
    { "ListActorTimers", "actors" },
    { "RegisterActorReminder", "actors" },
    { "UnregisterActorReminder", "actors" },
    { "UnregisterActorRemindersByType", "actors" },
    { "GetActorReminder", "actors" },
    { "ListActorReminders", "actors" },
    { "GetActorState", "actors" },
    { "ExecuteActorStateTransaction", "actors" },
    { "InvokeActor", "actors" },
    { "SubscribeActorEvents", "actors" },
    { "GetMetadata", "metadata" },
    { "SetMetadata", "metadata" },
    { "GetConfiguration", "configuration" },
    { "SubscribeConfiguration", "configuration" },
    { "UnsubscribeConfiguration", "configuration" },
    { "TryLock", "lock" },
    { "Unlock", "unlock" },
    { "Encrypt", "crypto" },
    { "Decrypt", "crypto" },
    { "SubtleGetKey", "subtlecrypto" },
    { "SubtleEncrypt", "subtlecrypto" },
    { "SubtleDecrypt", "subtlecrypto" },
    { "SubtleWrapKey", "subtlecrypto" },
    { "SubtleUnwrapKey", "subtlecrypto" },
    { "SubtleSign", "subtlecrypto" },
    { "SubtleVerify", "subtlecrypto" },
    { "StartWorkflow", "workflows" },
    { "GetWorkflow", "workflows" },
    { "PurgeWorkflow", "workflows" },
    { "TerminateWorkflow", "workflows" },
    { "PauseWorkflow", "workflows" },
    { "ResumeWorkflow", "workflows" },
    { "RaiseEventWorkflow", "workflows" },
    { "ScheduleJob", "jobs" },
    { "GetJob", "jobs" },
    { "DeleteJob", "jobs" },
    { "DeleteJobsByPrefix", "jobs" },
    { "ListJobs", "jobs" },
    { "Converse", "conversation" },
    { "Shutdown", "shutdown" },
};

static struct slice
part_of(struct slice method)
{
    for (size_t i = 0; i < ARRAY_LEN(parts); i++)
        if (slice_eq(method, slice_str(parts[i].method)))
            return slice_str(parts[i].name);
    return SLICE_EMPTY;
}

/* "TryLockAlpha1" is version v1alpha1 of TryLock. */
static struct slice
take_version(struct slice *method)
{
    static const struct {
        const char *suffix;
        const char *version;
    } stages[] = { { "Alpha1", "v1alpha1" }, { "Alpha2", "v1alpha2" }, { "Beta1", "v1beta1" } };
    for (size_t i = 0; i < ARRAY_LEN(stages); i++) {
        struct slice suffix = slice_str(stages[i].suffix);
        if (slice_has_suffix(*method, suffix)) {
            *method = slice_first(*method, method->len - suffix.len);
            return slice_str(stages[i].version);
        }
    }
    return SLICE("v1");
}

bool
api_list_allows_rpc(const struct request *rq, struct slice service, struct slice method)
{
    if (!has_rules(rq) || !slice_has_prefix(service, SLICE("dapr.proto.runtime.")))
        return true;
    struct slice version = take_version(&method);
    struct slice name = slice_eq(service, SLICE("dapr.proto.runtime.v1.Dapr")) ? part_of(method)
                                                                               : SLICE_EMPTY;
    return allows(rq, API_GRPC, name, version);
}
