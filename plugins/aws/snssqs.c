/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a component; see snssqs.h. */
#include "snssqs.h"

#include <stdlib.h>
#include <string.h>

#include "../shared/memory.h"
#include "broker.h"

void
broker_free(struct broker *broker)
{
    query_ask_end(broker->asking);
    while (broker->subscriptions != NULL) {
        struct subscription *first = broker->subscriptions;
        broker->subscriptions = first->next;
        subscription_free(first);
    }
    topics_fini(&broker->topics);
    queue_fini(&broker->queue);
    snssqs_settings_fini(&broker->settings);
    free(broker->place.url);
    free(broker->place.arn);
    free(broker->dead.url);
    free(broker->dead.arn);
    free(broker);
}

/* --- beginning ---------------------------------------------------------------------------------*/

static void
reply_init(struct broker *broker)
{
    remora_call *call = broker->starting;
    broker->starting = NULL;
    broker->queue.owner = memory_text(broker->settings.account);
    remora_reply_init(call, broker, REMORA_CAP_BULK_PUBLISH, 0);
}

static bool
is_account(const char *text)
{
    return text != NULL && strlen(text) == SNSSQS_ACCOUNT_LEN &&
           text[strspn(text, "0123456789")] == '\0';
}

static void
on_identity(const struct query_result *result, void *arg)
{
    struct broker *broker = arg;
    broker->asking = NULL;
    char *account = result->words != NULL
                        ? NULL
                        : query_find(result,
                                     "GetCallerIdentityResponse/GetCallerIdentityResult/Account");
    if (is_account(account)) {
        broker->settings.account = account;
        reply_init(broker);
        return;
    }
    free(account);
    remora_reply_error(broker->starting, REMORA_UNKNOWN, "error fetching sts caller ID: %s",
                       result->words != NULL ? result->words : "the answer has no account");
    broker_free(broker);
}

static void
on_cancel(remora_call *call, void *arg)
{
    struct broker *broker = arg;
    remora_reply_error(call, REMORA_CANCELLED, "error fetching sts caller ID: context canceled");
    broker_free(broker);
}

static void
ask_for_account(struct broker *broker)
{
    struct text form = { .bytes = NULL };
    remora_call_on_cancel(broker->starting, on_cancel, broker);
    broker->asking = query_ask(&broker->settings.sts, &query_sts, "GetCallerIdentity", &form,
                               broker->settings.management_timeout_ms, on_identity, broker);
}

void
snssqs_init(remora_call *call, const struct remora_config *config)
{
    char error[SETTINGS_ERROR_BYTES];
    struct broker *broker = memory_new(sizeof *broker);
    if (!snssqs_settings_read(config, &broker->settings, error)) {
        remora_reply_error(call, REMORA_INVALID_ARGUMENT, "%s", error);
        broker_free(broker);
        return;
    }
    broker->queue = (struct queue){ .settings = broker->settings.sqs,
                                    .name = memory_text(broker->settings.queue_name) };
    broker->settings.sqs = (struct settings){ .region = NULL }; /* moved */
    broker->topics.settings = &broker->settings;
    broker->starting = call;
    intake_init(broker);
    if (broker->settings.account == NULL)
        ask_for_account(broker);
    else
        reply_init(broker);
}

/* --- ending ------------------------------------------------------------------------------------*/

void
snssqs_quiesce(remora_call *call, void *self)
{
    struct broker *broker = self;
    broker_give_up_setups(broker);
    intake_close(broker);
    broker->quiescing = call;
    (void)broker_settle(broker); /* it is not closed */
}

void
snssqs_close(void *self)
{
    struct broker *broker = self;
    broker_give_up_setups(broker);
    intake_close(broker);
    broker->is_closed = true;
    (void)broker_settle(broker);
}

const struct remora_pubsub_ops snssqs_ops = {
    .publish = broker_publish,
    .publish_many = broker_publish_many,
    .subscribe = broker_subscribe,
    .unsubscribe = broker_unsubscribe,
};
