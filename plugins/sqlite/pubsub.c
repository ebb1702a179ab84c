/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of a `pubsub.sqlite` component, and publishing. What another process publishes is found
 * by a look at the file's version, which costs no I/O, some times a second.
 */
#include "pubsub.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../shared/monotonic.h"
#include "allocate.h"
#include "opening.h"

enum { CLEAN_INTERVAL_MS = 1000, POLL_MIN_MS = 10, POLL_MAX_MS = 60 * 1000 };

static const uint32_t capabilities = REMORA_CAP_MESSAGE_TTL | REMORA_CAP_BULK_PUBLISH;

/* --- publishing --------------------------------------------------------------------------------*/

struct publishing {
    struct write write; /* first */
    struct pubsub *pubsub;
    remora_call *call; /* its memory holds the messages */
    const struct remora_publish *messages;
    size_t count;
    bool is_bulk;
};

/* On the writer's thread. */
static struct failure *
apply_publishing(struct write *write, struct connection *connection)
{
    struct publishing *publishing = (struct publishing *)write;
    struct failure *failure = NULL;
    for (size_t i = 0; failure == NULL && i < publishing->count; i++)
        failure = topic_publish(connection, &publishing->pubsub->rules, &publishing->messages[i]);
    return failure;
}

static void
reply_bulk(const struct publishing *publishing)
{
    const struct failure *failure = publishing->write.job.failure;
    const struct remora_failure **failures = remora_call_alloc(
        publishing->call, publishing->count * sizeof(failures[0]) + 1);
    for (size_t i = 0; i < publishing->count; i++)
        failures[i] = failure != NULL ? &failure->base : NULL;
    remora_pubsub_reply_failures(publishing->call, failures, publishing->count);
}

static void
tell_subscribers(struct pubsub *pubsub)
{
    for (struct subscriber *one = pubsub->subscribers, *next; one != NULL; one = next) {
        next = one->next;
        one->has_news = true;
        subscriber_go_on(one);
    }
}

static void
finish_publishing(struct job *job)
{
    struct publishing *publishing = (struct publishing *)job;
    struct pubsub *pubsub = publishing->pubsub;
    bool ok = job->failure == NULL;
    if (publishing->is_bulk)
        reply_bulk(publishing);
    else if (ok)
        remora_reply_ok(publishing->call);
    else
        remora_reply_failure(publishing->call, &job->failure->base);
    failure_free(job->failure);
    free(publishing);
    if (ok)
        tell_subscribers(pubsub);
    pubsub_unhold(pubsub);
}

static void
on_publish_cancelled(remora_call *call, void *arg)
{
    (void)call;
    struct publishing *publishing = arg;
    atomic_store(&publishing->write.job.is_cancelled, true);
}

static void
submit_publishing(remora_call *call, struct pubsub *pubsub, const struct remora_publish *messages,
                  size_t count, bool is_bulk)
{
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++)
        bytes += messages[i].data.len + messages[i].topic.len;
    struct publishing *publishing = allocate(sizeof(*publishing));
    *publishing = (struct publishing){
        .write = { .job = { .finish = finish_publishing,
                            .deadline_ms = monotonic_now_ms() + (uint64_t)pubsub->config.timeout_ms,
                            .bytes = sizeof(*publishing) + bytes },
                   .table = pubsub->rules.table,
                   .count = count,
                   .is_atomic = true,
                   .apply = apply_publishing },
        .pubsub = pubsub,
        .call = call,
        .messages = messages,
        .count = count,
        .is_bulk = is_bulk,
    };
    pubsub->jobs++;
    remora_call_on_cancel(call, on_publish_cancelled, publishing);
    struct job *job = &publishing->write.job;
    job->failure = worker_submit(&pubsub->database->writer, job);
    if (job->failure != NULL)
        job->finish(job);
}

static bool
is_valid_topic(struct remora_slice topic)
{
    return topic.len > 0 && topic.len <= TOPIC_BYTES_MAX &&
           memchr(topic.data, '\0', topic.len) == NULL;
}

static void
publish(remora_call *call, void *self, const struct remora_publish *message)
{
    if (is_valid_topic(message->topic))
        submit_publishing(call, self, message, 1, false);
    else
        remora_reply_error(call, REMORA_INVALID_ARGUMENT, "the topic's name is empty or too long");
}

static void
publish_many(remora_call *call, void *self, const struct remora_publish *messages, size_t count,
             const struct remora_pair *metadata, size_t metadata_count)
{
    (void)metadata, (void)metadata_count;
    for (size_t i = 0; i < count; i++) {
        if (!is_valid_topic(messages[i].topic)) {
            remora_reply_error(call, REMORA_INVALID_ARGUMENT,
                               "the topic's name is empty or too long");
            return;
        }
    }
    submit_publishing(call, self, messages, count, true);
}

const struct remora_pubsub_ops pubsub_ops = { .publish = publish,
                                              .publish_many = publish_many,
                                              .subscribe = subscriber_open,
                                              .unsubscribe = subscriber_unsubscribe };

/* --- what others do ----------------------------------------------------------------------------*/

static void
on_poll(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop, (void)events;
    struct pubsub *pubsub = timer->data;
    if (pubsub->subscribers == NULL)
        return;
    bool is_clean_due = ++pubsub->polls * (uint64_t)pubsub->poll_ms >= CLEAN_INTERVAL_MS;
    bool changed = database_has_changed(pubsub->database, &pubsub->data_version);
    if (is_clean_due)
        pubsub->polls = 0;
    if (!changed && !is_clean_due)
        return;
    for (struct subscriber *one = pubsub->subscribers; one != NULL; one = one->next) {
        one->is_clean_due |= is_clean_due;
        one->has_news |= changed;
    }
    for (struct subscriber *one = pubsub->subscribers, *next; one != NULL; one = next) {
        next = one->next;
        subscriber_go_on(one);
    }
}

/* --- life --------------------------------------------------------------------------------------*/

static void
free_pubsub(struct pubsub *pubsub)
{
    while (pubsub->subscribers != NULL) {
        struct subscriber *subscriber = pubsub->subscribers;
        pubsub->subscribers = subscriber->next;
        subscriber_free(subscriber);
    }
    owner_fini(&pubsub->owner);
    if (pubsub->database != NULL)
        database_release(pubsub->database);
    store_config_fini(&pubsub->config);
    free(pubsub->group_name);
    free(pubsub);
}

static bool
is_idle(const struct pubsub *pubsub)
{
    for (const struct subscriber *one = pubsub->subscribers; one != NULL; one = one->next)
        if (!subscriber_is_idle(one))
            return false;
    return true;
}

void
pubsub_unhold(struct pubsub *pubsub)
{
    pubsub->jobs--;
    remora_call *call = pubsub->quiescing;
    if (call != NULL && is_idle(pubsub)) {
        pubsub->quiescing = NULL;
        remora_reply_ok(call);
    }
    if (pubsub->is_closed && pubsub->jobs == 0)
        free_pubsub(pubsub);
}

void
pubsub_quiesce(remora_call *call, void *self)
{
    struct pubsub *pubsub = self;
    pubsub->jobs++;
    pubsub->quiescing = call;
    for (struct subscriber *one = pubsub->subscribers, *next; one != NULL; one = next) {
        next = one->next;
        subscriber_stop(one);
    }
    pubsub_unhold(pubsub);
}

void
pubsub_close(void *self)
{
    struct pubsub *pubsub = self;
    pubsub->jobs++;
    pubsub->is_closed = true;
    ev_timer_stop(remora_loop(), &pubsub->poll);
    for (struct subscriber *one = pubsub->subscribers, *next; one != NULL; one = next) {
        next = one->next;
        subscriber_stop(one);
    }
    pubsub_unhold(pubsub);
}

void
pubsub_start(remora_call *call, void *self)
{
    struct pubsub *pubsub = self;
    if (!ev_is_active(&pubsub->poll)) {
        double interval_s = (double)pubsub->poll_ms / 1000;
        ev_timer_set(&pubsub->poll, interval_s, interval_s);
        ev_timer_start(remora_loop(), &pubsub->poll);
    }
    remora_reply_ok(call);
}

static const struct store_defaults defaults = {
    .table = "messages",
    .invalid_table = "invalid identifier",
    .invalid_metadata_table = "invalid identifier",
    .timeout_ms = 20000,
    .busy_timeout_ms = 2000,
};

static bool
read_duration(const struct remora_config *from, const char *name, int64_t *ret_ms, char *error)
{
    if (!config_read_duration(from, name, NULL, ret_ms, error))
        return false;
    bool ok = *ret_ms >= 0 && *ret_ms <= INT64_C(10) * 365 * 24 * 3600 * 1000;
    if (!ok)
        snprintf(error, FAILURE_BYTES_MAX, "invalid value for '%s': out of range", name);
    return ok;
}

static bool
read_rules(struct pubsub *pubsub, const struct remora_config *from, char *error)
{
    struct topic_rules *rules = &pubsub->rules;
    *rules = (struct topic_rules){ .table = pubsub->config.table,
                                   .lease_ms = 60 * 1000,
                                   .redeliver_ms = 1000 };
    pubsub->poll_ms = 100;
    if (!read_duration(from, "processingTimeout", &rules->lease_ms, error) ||
        !read_duration(from, "redeliverInterval", &rules->redeliver_ms, error) ||
        !read_duration(from, "retention", &rules->retention_ms, error) ||
        !read_duration(from, "maxAge", &rules->age_max_ms, error) ||
        !read_duration(from, "pollInterval", &pubsub->poll_ms, error))
        return false;
    bool ok = pubsub->poll_ms >= POLL_MIN_MS && pubsub->poll_ms <= POLL_MAX_MS;
    if (!ok)
        snprintf(error, FAILURE_BYTES_MAX, "invalid value for 'pollInterval': 10ms to 60s");
    if (rules->redeliver_ms == 0)
        rules->redeliver_ms = 1;
    return ok;
}

static bool
read_group(struct pubsub *pubsub, const struct remora_config *from, char *error)
{
    struct remora_slice name = from->app_id, text;
    if (remora_metadata_get(from->metadata, from->metadata_count, "consumerID", &text) &&
        text.len > 0)
        name = text;
    pubsub->group_name = name.len <= GROUP_NAME_BYTES_MAX ? remora_slice_dup(name) : NULL;
    if (pubsub->group_name == NULL) {
        snprintf(error, FAILURE_BYTES_MAX, "invalid value for 'consumerID'");
        return false;
    }
    bool ok = !remora_metadata_get(from->metadata, from->metadata_count, "consumeFromStart",
                                   &text) ||
              text.len == 0 || remora_parse_bool(text, &pubsub->from_start);
    if (!ok)
        snprintf(error, FAILURE_BYTES_MAX, "invalid value for 'consumeFromStart': not a boolean");
    return ok;
}

struct initialising {
    remora_call *call;
    struct pubsub *pubsub;
};

static void
on_opened(void *arg, struct failure *failure)
{
    struct initialising *initialising = arg;
    struct pubsub *pubsub = initialising->pubsub;
    if (failure != NULL) {
        remora_reply_failure(initialising->call, &failure->base);
        failure_free(failure);
        pubsub_close(pubsub);
    } else {
        if (!owner_init(&pubsub->owner, pubsub->database->config.path))
            remora_log(REMORA_WARN,
                       "no lock file next to %s (%s): what a killed process had claimed comes "
                       "again after processingTimeout only",
                       pubsub->database->config.path, strerror(errno));
        remora_reply_init(initialising->call, pubsub, capabilities, 0);
    }
    free(initialising);
}

void
pubsub_init(remora_call *call, const struct remora_config *config)
{
    char error[FAILURE_BYTES_MAX];
    struct pubsub *pubsub = allocate(sizeof(*pubsub));
    pubsub->owner.fd = -1;
    ev_timer_init(&pubsub->poll, on_poll, 0, 0);
    pubsub->poll.data = pubsub;
    bool has_config = store_config_init(&pubsub->config, &defaults, config, error);
    if (!has_config || !read_rules(pubsub, config, error) || !read_group(pubsub, config, error)) {
        if (has_config)
            store_config_fini(&pubsub->config);
        free(pubsub->group_name);
        free(pubsub);
        remora_reply_error(call, REMORA_INVALID_ARGUMENT, "%s", error);
        return;
    }
    if (*pubsub->config.warning != '\0')
        remora_log(REMORA_WARN, "component %.*s: %s", (int)config->name.len, config->name.data,
                   pubsub->config.warning);
    pubsub->database = database_take(&pubsub->config.database);

    struct initialising *initialising = allocate(sizeof(*initialising));
    *initialising = (struct initialising){ .call = call, .pubsub = pubsub };
    database_open(pubsub->database,
                  &(struct tables){ .schema = &schema_topics,
                                    .table = pubsub->config.table,
                                    .metadata_table = pubsub->config.metadata_table },
                  on_opened, initialising);
}
