/* SPDX-License-Identifier: Apache-2.0 */
/* Declaring. */
#include "topology.h"

#include <stdio.h>

enum { ARGUMENTS_MAX = 8 };

/* --- what a subscription says ------------------------------------------------------------------*/

static bool
get(const struct remora_subscription *wanted, const char *name, struct remora_slice *ret)
{
    return remora_metadata_get(wanted->metadata, wanted->metadata_count, name, ret) && ret->len > 0;
}

static bool
take_number(const struct settings *settings, const struct remora_subscription *wanted,
            const char *name, int64_t *ret, char why[WHY_BYTES])
{
    struct remora_slice text;
    *ret = 0;
    if (!get(wanted, name, &text) || (remora_parse_i64(text, ret) && *ret >= 0))
        return true;
    snprintf(why, WHY_BYTES, ERROR_PREFIX "can't parse %s value on subscription metadata: \"%.*s\"",
             settings->shown, name, text.len > 64 ? 64 : (int)text.len, text.data);
    return false;
}

static bool
take_type(const struct remora_subscription *wanted, struct feed *feed, char why[WHY_BYTES])
{
    struct remora_slice text;
    bool is_given = get(wanted, "queueType", &text);
    bool is_quorum = is_given && remora_slice_eq(text, "quorum");
    feed->type = is_quorum ? "quorum" : "classic";
    if (!is_given || is_quorum || remora_slice_eq(text, "classic"))
        return true;
    snprintf(why, WHY_BYTES, "invalid queue type %.*s. Valid types are classic and quorum",
             text.len > 64 ? 64 : (int)text.len, text.data);
    return false;
}

bool
dead_letter_name(const char *prefix, const char *queue, char ret[NAME_BYTES_MAX + 1])
{
    return snprintf(ret, NAME_BYTES_MAX + 1, "%s-%s", prefix, queue) <= NAME_BYTES_MAX;
}

static bool
take_queue(const struct settings *settings, const struct remora_subscription *wanted,
           struct feed *feed, char why[WHY_BYTES])
{
    struct remora_slice name;
    char queue[NAME_BYTES_MAX + 1], dead[NAME_BYTES_MAX + 1];
    int len;
    if (get(wanted, "queueName", &name)) {
        len = snprintf(queue, sizeof queue, "%.*s", (int)name.len, name.data);
    } else if (*settings->consumer_id == '\0') {
        snprintf(why, WHY_BYTES,
                 "consumerID is required for subscriptions that don't specify a queue name");
        return false;
    } else {
        len = snprintf(queue, sizeof queue, "%s-%s", settings->consumer_id, feed->topic);
    }
    if (len > NAME_BYTES_MAX ||
        (settings->enable_dead_letter && !dead_letter_name("dlx", queue, dead))) {
        snprintf(why, WHY_BYTES, ERROR_PREFIX "the queue's name is longer than %d bytes",
                 settings->shown, NAME_BYTES_MAX);
        return false;
    }
    feed->queue = memory_text(queue);
    return true;
}

/* A consistent hash exchange takes them as weights. */
static bool
take_routing_keys(const struct settings *settings, const struct remora_subscription *wanted,
                  struct feed *feed, char why[WHY_BYTES])
{
    struct remora_slice keys = { "", 0 };
    (void)get(wanted, "routingKey", &keys);
    feed->routing_keys = memory_slice(keys);
    bool are_weights = !settings->queue_passive &&
                       strcmp(settings->exchange_kind, "x-consistent-hash") == 0;
    size_t count = 0;
    for (const char *at = feed->routing_keys; at != NULL; count++) {
        const char *comma = strchrnul(at, ',');
        struct remora_slice key = { at, (size_t)(comma - at) };
        int64_t weight;
        if (key.len > NAME_BYTES_MAX || count == ROUTING_KEYS_MAX) {
            snprintf(why, WHY_BYTES, ERROR_PREFIX "routingKey is too long, or there are too many",
                     settings->shown);
            return false;
        }
        if (are_weights && (!remora_parse_i64(key, &weight) || weight < 1)) {
            snprintf(why, WHY_BYTES,
                     ERROR_PREFIX "routingKey of a subscription to an x-consistent-hash exchange "
                                  "must be a weight, a whole number from 1: \"%.*s\"",
                     settings->shown, (int)key.len, key.data);
            return false;
        }
        at = *comma == ',' ? comma + 1 : NULL;
    }
    return true;
}

static uint16_t
choose_prefetch(const struct settings *settings, uint32_t window)
{
    uint32_t prefetch = window > PREFETCH_MAX ? PREFETCH_MAX : window;
    if (settings->prefetch_count > 0 && settings->prefetch_count < prefetch)
        prefetch = settings->prefetch_count;
    return (uint16_t)prefetch;
}

bool
feed_init(struct feed *feed, const struct settings *settings,
          const struct remora_subscription *wanted, char why[WHY_BYTES])
{
    struct remora_slice text;
    *feed = (struct feed){ .prefetch = choose_prefetch(settings, wanted->window) };
    if (wanted->topic.len > NAME_BYTES_MAX ||
        memchr(wanted->topic.data, '\0', wanted->topic.len) != NULL) {
        snprintf(why, WHY_BYTES, ERROR_PREFIX "the topic's name is longer than %d bytes",
                 settings->shown, NAME_BYTES_MAX);
        return false;
    }
    feed->topic = memory_slice(wanted->topic);
    bool ok = take_queue(settings, wanted, feed, why) && take_type(wanted, feed, why) &&
              take_routing_keys(settings, wanted, feed, why) &&
              take_number(settings, wanted, "maxPriority", &feed->max_priority, why) &&
              take_number(settings, wanted, "maxLen", &feed->max_len, why) &&
              take_number(settings, wanted, "maxLenBytes", &feed->max_len_bytes, why);
    feed->max_priority = feed->max_priority > 255 ? 255 : feed->max_priority;
    bool flag;
    feed->is_single_active = get(wanted, "singleActiveConsumer", &text) &&
                             remora_parse_bool(text, &flag) && flag;
    if (!ok)
        feed_fini(feed);
    return ok;
}

void
feed_init_binding(struct feed *feed, const struct settings *settings, uint32_t window)
{
    *feed = (struct feed){ .topic = memory_text(""),
                           .queue = memory_text(settings->queue),
                           .routing_keys = memory_text(""),
                           .prefetch = choose_prefetch(settings, window) };
}

void
feed_fini(struct feed *feed)
{
    free(feed->topic);
    free(feed->queue);
    free(feed->routing_keys);
}

/* --- arguments ---------------------------------------------------------------------------------*/

struct arguments {
    amqp_table_entry_t entries[ARGUMENTS_MAX];
    int count;
};

static amqp_table_entry_t *
add(struct arguments *arguments, const char *name, uint8_t kind)
{
    amqp_table_entry_t *entry = &arguments->entries[arguments->count++];
    entry->key = amqp_cstring_bytes(name);
    entry->value.kind = kind;
    return entry;
}

static void
add_text(struct arguments *arguments, const char *name, const char *value)
{
    add(arguments, name, AMQP_FIELD_KIND_UTF8)->value.value.bytes = amqp_cstring_bytes(value);
}

/* 0 is left out. */
static void
add_number(struct arguments *arguments, const char *name, int64_t value)
{
    if (value > 0)
        add(arguments, name, AMQP_FIELD_KIND_I64)->value.value.i64 = value;
}

/* --- questions ---------------------------------------------------------------------------------*/

/* A frequent misunderstanding said in more words than the server's. */
static void
explain(const char *what, amqp_bytes_t name, bool is_passive, char why[WHY_BYTES])
{
    char said[WHY_BYTES / 2];
    snprintf(said, sizeof said, "%.*s", (int)sizeof said - 1, why);
    if (is_passive && strstr(said, "(404)") != NULL)
        snprintf(why, WHY_BYTES, "%s '%.*s' does not exist, and %sDeclareMode is passive: %s", what,
                 (int)name.len, (const char *)name.bytes, what, said);
    else if (!is_passive && strstr(said, "(406)") != NULL)
        snprintf(why, WHY_BYTES,
                 "%s '%.*s' already exists with properties that differ; %sDeclareMode passive "
                 "would take it as it is: %s",
                 what, (int)name.len, (const char *)name.bytes, what, said);
}

static bool
declare_one_exchange(struct session *session, const struct settings *settings, uint16_t channel,
                     amqp_bytes_t name, bool is_dead_letter, char why[WHY_BYTES])
{
    const char *kind = is_dead_letter ? "fanout" : settings->exchange_kind;
    bool durable = is_dead_letter || settings->durable;
    session_enter(session);
    (void)amqp_exchange_declare(session_amqp(session), channel, name, amqp_cstring_bytes(kind),
                                settings->exchange_passive, durable, settings->delete_when_unused,
                                0, amqp_empty_table);
    bool ok = session_answered(session, channel, "the exchange cannot be declared", why);
    if (!ok)
        explain("exchange", name, settings->exchange_passive, why);
    return ok;
}

bool
declare_exchange(struct session *session, const struct settings *settings, uint16_t channel,
                 amqp_bytes_t topic, char why[WHY_BYTES])
{
    return declare_one_exchange(session, settings, channel, topic, false, why);
}

static bool
declare_queue(struct session *session, const struct settings *settings, uint16_t channel,
              const char *name, bool durable, struct arguments *arguments, char why[WHY_BYTES])
{
    amqp_table_t table = { arguments->count, arguments->entries };
    session_enter(session);
    (void)amqp_queue_declare(session_amqp(session), channel, amqp_cstring_bytes(name),
                             settings->queue_passive, durable, settings->is_exclusive,
                             settings->delete_when_unused, table);
    bool ok = session_answered(session, channel, "the queue cannot be declared", why);
    if (!ok)
        explain("queue", amqp_cstring_bytes(name), settings->queue_passive, why);
    return ok;
}

static bool
bind_queue(struct session *session, uint16_t channel, const char *queue, const char *exchange,
           amqp_bytes_t key, char why[WHY_BYTES])
{
    session_enter(session);
    (void)amqp_queue_bind(session_amqp(session), channel, amqp_cstring_bytes(queue),
                          amqp_cstring_bytes(exchange), key, amqp_empty_table);
    return session_answered(session, channel, "the queue cannot be bound", why);
}

static bool
declare_dead_letters(struct session *session, const struct settings *settings,
                     const struct feed *feed, uint16_t channel, char why[WHY_BYTES])
{
    char exchange[NAME_BYTES_MAX + 1], queue[NAME_BYTES_MAX + 1];
    struct arguments arguments = { .count = 0 };
    (void)dead_letter_name("dlx", feed->queue, exchange); /* fits: feed_init() */
    (void)dead_letter_name("dlq", feed->queue, queue);
    add_number(&arguments, "x-max-length", settings->max_len);
    add_number(&arguments, "x-max-length-bytes", settings->max_len_bytes);
    add_text(&arguments, "x-queue-mode", "lazy");
    return declare_one_exchange(session, settings, channel, amqp_cstring_bytes(exchange), true,
                                why) &&
           declare_queue(session, settings, channel, queue, true, &arguments, why) &&
           (settings->queue_passive ||
            bind_queue(session, channel, queue, exchange, amqp_empty_bytes, why));
}

static bool
declare_own_queue(struct session *session, const struct settings *settings, const struct feed *feed,
                  uint16_t channel, char why[WHY_BYTES])
{
    char exchange[NAME_BYTES_MAX + 1];
    struct arguments arguments = { .count = 0 };
    if (settings->enable_dead_letter && dead_letter_name("dlx", feed->queue, exchange))
        add_text(&arguments, "x-dead-letter-exchange", exchange);
    add_number(&arguments, "x-max-length", feed->max_len > 0 ? feed->max_len : settings->max_len);
    add_number(&arguments, "x-max-length-bytes",
               feed->max_len_bytes > 0 ? feed->max_len_bytes : settings->max_len_bytes);
    add_number(&arguments, "x-max-priority", feed->max_priority);
    add_text(&arguments, "x-queue-type", feed->type);
    if (feed->is_single_active)
        add(&arguments, "x-single-active-consumer", AMQP_FIELD_KIND_BOOLEAN)->value.value.boolean =
            1;
    return declare_queue(session, settings, channel, feed->queue, settings->durable, &arguments,
                         why);
}

/* Without a word of its kind, as the reference does: what differs would be refused. */
bool
declare_binding_queue(struct session *session, const struct settings *settings, uint16_t channel,
                      char why[WHY_BYTES])
{
    struct arguments arguments = { .count = 0 };
    if (settings->queue_ttl_ms >= 0)
        add(&arguments, "x-message-ttl", AMQP_FIELD_KIND_I64)->value.value.i64 =
            settings->queue_ttl_ms;
    if (settings->max_priority >= 0)
        add(&arguments, "x-max-priority", AMQP_FIELD_KIND_I64)->value.value.i64 =
            settings->max_priority;
    return declare_queue(session, settings, channel, settings->queue, settings->durable, &arguments,
                         why);
}

static bool
bind_keys(struct session *session, const struct feed *feed, uint16_t channel, char why[WHY_BYTES])
{
    for (char *at = feed->routing_keys; at != NULL;) {
        char *comma = strchrnul(at, ',');
        amqp_bytes_t key = { (size_t)(comma - at), at };
        if (!bind_queue(session, channel, feed->queue, feed->topic, key, why))
            return false;
        at = *comma == ',' ? comma + 1 : NULL;
    }
    return true;
}

static bool
consume(struct session *session, const struct feed *feed, uint16_t channel, char why[WHY_BYTES])
{
    amqp_bytes_t queue = amqp_cstring_bytes(feed->queue);
    session_enter(session);
    (void)amqp_basic_qos(session_amqp(session), channel, 0, feed->prefetch, 0);
    if (!session_answered(session, channel, "the window cannot be set", why))
        return false;
    session_enter(session);
    (void)amqp_basic_consume(session_amqp(session), channel, queue, queue, 0, 0, 0,
                             amqp_empty_table);
    return session_answered(session, channel, "the queue cannot be consumed", why);
}

bool
feed_open(struct session *session, const struct settings *settings, const struct feed *feed,
          uint16_t channel, char why[WHY_BYTES])
{
    if (settings->queue != NULL)
        return session_open_channel(session, channel, why) &&
               declare_binding_queue(session, settings, channel, why) &&
               consume(session, feed, channel, why);
    return session_open_channel(session, channel, why) &&
           declare_exchange(session, settings, channel, amqp_cstring_bytes(feed->topic), why) &&
           (!settings->enable_dead_letter ||
            declare_dead_letters(session, settings, feed, channel, why)) &&
           declare_own_queue(session, settings, feed, channel, why) &&
           (settings->queue_passive || bind_keys(session, feed, channel, why)) &&
           consume(session, feed, channel, why);
}
