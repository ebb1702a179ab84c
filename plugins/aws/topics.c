/* SPDX-License-Identifier: Apache-2.0 */
/* Topics and their ARNs; see topics.h. */
#include "topics.h"

#include <stdlib.h>
#include <string.h>

#include "../shared/memory.h"

struct topic_wait {
    struct topic *topic;
    struct topic_wait *next;
    topic_found *found;
    void *arg;
};

enum { ARN_BYTES_MAX = 512, WORDS_BYTES = 2048 };

/* --- the table ---------------------------------------------------------------------------------*/

struct topic *
topics_find(const struct topics *topics, const char *name)
{
    for (size_t i = 0; i < topics->count; i++)
        if (strcmp(topics->list[i]->name, name) == 0)
            return topics->list[i];
    return NULL;
}

struct topic *
topics_get(struct topics *topics, struct remora_slice name)
{
    char at_sns[SNSSQS_NAME_BYTES];
    snssqs_name(name, topics->settings->is_fifo, at_sns);
    struct topic *topic = topics_find(topics, at_sns);
    if (topic != NULL || topics->count == TOPICS_MAX)
        return topic;
    if (topics->list == NULL)
        topics->list = memory_new(TOPICS_MAX * sizeof(struct topic *)); /* touched as it grows */
    topic = memory_new(sizeof *topic);
    topic->name = memory_text(at_sns);
    topic->settings = topics->settings;
    topics->list[topics->count++] = topic;
    return topic;
}

void
topics_fini(struct topics *topics)
{
    for (size_t i = 0; i < topics->count; i++) {
        query_ask_end(topics->list[i]->asking);
        free(topics->list[i]->name);
        free(topics->list[i]->arn);
        free(topics->list[i]);
    }
    free(topics->list);
    *topics = (struct topics){ .settings = NULL };
}

void
topic_forget(struct topic *topic)
{
    free(topic->arn);
    topic->arn = NULL;
}

/* --- finding -----------------------------------------------------------------------------------*/

static void
tell(struct topic *topic, const char *words)
{
    while (topic->waits != NULL) {
        struct topic_wait *wait = topic->waits;
        topic->waits = wait->next;
        wait->found(words, wait->arg);
        free(wait);
    }
}

static void
on_created(const struct query_result *result, void *arg)
{
    struct topic *topic = arg;
    char words[WORDS_BYTES];
    const char *why = result->words;
    char *arn = why != NULL ? NULL
                            : query_find(result, "CreateTopicResponse/CreateTopicResult/TopicArn");
    topic->asking = NULL;
    if (arn != NULL && strlen(arn) <= ARN_BYTES_MAX) {
        topic_forget(topic);
        topic->arn = arn;
        tell(topic, NULL);
        return;
    }
    free(arn);
    (void)snprintf(words, sizeof words,
                   "error creating new (sanitized) topic '%s': error while creating an SNS topic: "
                   "%s",
                   topic->name, why != NULL ? why : "the answer has no ARN");
    tell(topic, words);
}

static void
create(struct topic *topic)
{
    const struct snssqs_settings *s = topic->settings;
    struct text form = { .bytes = NULL };
    query_put_text(&form, "Name", topic->name);
    query_put_text(&form, "Tags.member.1.Key", "dapr-topic-name");
    query_put_text(&form, "Tags.member.1.Value", topic->name);
    if (s->is_fifo) {
        query_put_text(&form, "Attributes.entry.1.key", "FifoTopic");
        query_put_text(&form, "Attributes.entry.1.value", "true");
        query_put_text(&form, "Attributes.entry.2.key", "ContentBasedDeduplication");
        query_put_text(&form, "Attributes.entry.2.value", "true");
    }
    topic->asking = query_ask(&s->sns, &query_sns, "CreateTopic", &form, s->management_timeout_ms,
                              on_created, topic);
}

static char *
arn_of(const struct topic *topic)
{
    const struct snssqs_settings *s = topic->settings;
    return memory_printf("arn:%s:sns:%s:%s:%s", snssqs_partition(s->sns.region), s->sns.region,
                         s->account, topic->name);
}

static void
on_looked_up(const struct query_result *result, void *arg)
{
    struct topic *topic = arg;
    char words[WORDS_BYTES];
    char *arn = arn_of(topic);
    topic->asking = NULL;
    if (result->words == NULL) {
        topic_forget(topic);
        topic->arn = arn;
        tell(topic, NULL);
        return;
    }
    (void)snprintf(words, sizeof words,
                   "error fetching info for (sanitized) topic: %s. wrapped error is: error: %s, "
                   "while getting (sanitized) topic: %s with arn: %s",
                   topic->name, result->words, topic->name, arn);
    free(arn);
    tell(topic, words);
}

static void
look_up(struct topic *topic)
{
    const struct snssqs_settings *s = topic->settings;
    struct text form = { .bytes = NULL };
    char *arn = arn_of(topic);
    query_put_text(&form, "TopicArn", arn);
    free(arn);
    topic->asking = query_ask(&s->sns, &query_sns, "GetTopicAttributes", &form,
                              s->management_timeout_ms, on_looked_up, topic);
}

struct topic_wait *
topic_want(struct topic *topic, topic_found *found, void *arg)
{
    struct topic_wait *wait = memory_new(sizeof *wait);
    struct topic_wait **last = &topic->waits;
    *wait = (struct topic_wait){ .topic = topic, .found = found, .arg = arg };
    while (*last != NULL) /* in their order */
        last = &(*last)->next;
    *last = wait;
    if (topic->asking != NULL)
        return wait;
    if (topic->settings->manages_entities)
        create(topic);
    else
        look_up(topic);
    return wait;
}

void
topic_wait_cancel(struct topic_wait *wait)
{
    if (wait == NULL)
        return;
    struct topic_wait **place = &wait->topic->waits;
    while (*place != wait)
        place = &(*place)->next;
    *place = wait->next;
    free(wait);
}
