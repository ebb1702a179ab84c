/* SPDX-License-Identifier: Apache-2.0 */
/* Documents become topics; see subscriptions.h. */
#include "main/subscriptions.h"

#include "api/subscriber.h"
#include "api/topic_answer.h"
#include "base/log.h"
#include "config/subscription.h"
#include "main/runtime.h"

#define SCOPE "dapr.runtime.processor.subscription"

/* False: it makes no sense, which has been logged. */
static bool
add_topic(struct topic_list *list, struct arena *scratch,
          const struct subscription_document *document)
{
    struct topic_spec *spec = topic_spec_new(TOPIC_DECLARATIVE);
    struct topic_rule_text *rules = ARENA_ARRAY(scratch, struct topic_rule_text,
                                                document->rule_count + 1);
    struct pair *pairs = ARENA_ARRAY(scratch, struct pair, document->metadata_count + 1);
    struct diag diag;
    diag_init(&diag, scratch);
    spec->name = arena_dup(&spec->arena, document->name);
    spec->pubsub = arena_dup(&spec->arena, document->pubsub);
    spec->topic = arena_dup(&spec->arena, document->topic);
    spec->dead_letter_topic = arena_dup(&spec->arena, document->dead_letter_topic);
    for (size_t i = 0; i < document->metadata_count; i++)
        pairs[i] = (struct pair){ document->metadata[i].name, document->metadata[i].value };
    topic_spec_set_metadata(spec, pairs, document->metadata_count);
    for (size_t i = 0; i < document->rule_count; i++)
        rules[i] = (struct topic_rule_text){ document->rules[i].name, document->rules[i].value };
    if (document->has_bulk)
        topic_bulk_set(spec, document->bulk_enabled, document->bulk_messages_max,
                       document->bulk_await_ms);
    bool is_good = topic_rules_set(spec, rules, document->rule_count, document->default_path,
                                   &diag);
    if (is_good)
        topic_list_add(list, topic_spec_ref(spec));
    else
        log_error(SCOPE, "Subscription " SLICE_FMT " is not used: spec.routes.rules: " SLICE_FMT,
                  SLICE_ARG(document->name), SLICE_ARG(diag.message));
    topic_spec_unref(spec);
    return is_good;
}

static bool
has_name(const struct text_list *names, struct slice name)
{
    for (size_t i = 0; i < names->count; i++)
        if (slice_eq(names->items[i], name))
            return true;
    return false;
}

/* What was in force stays where the document that says it is broken, or may stand in one that
 * cannot be read at all. */
static void
keep(struct topic_list *list, const struct topic_list *old, const struct text_list *refused,
     bool all_that_is_missing)
{
    size_t count = list->count;
    for (size_t i = 0; i < old->count; i++) {
        struct slice name = old->items[i]->name;
        bool is_new = false;
        for (size_t j = 0; j < count && !is_new; j++)
            is_new = slice_eq(list->items[j]->name, name);
        if (!is_new && (all_that_is_missing || has_name(refused, name)))
            topic_list_add(list, topic_spec_ref(old->items[i]));
    }
}

void
subscriptions_take(struct runtime *runtime, struct arena *scratch, struct resources *resources,
                   const struct resource_filter *filter)
{
    struct subscription_list documents;
    struct topic_list old = runtime->topics;
    runtime->topics = (struct topic_list){ 0 };
    subscriptions_read(scratch, resources, filter, &documents);
    for (size_t i = 0; i < documents.count; i++)
        if (!add_topic(&runtime->topics, scratch, &documents.items[i]))
            text_list_add(scratch, &documents.refused, documents.items[i].name);
    keep(&runtime->topics, &old, &documents.refused, resources->first_broken.len > 0);
    topic_list_fini(&old);
    if (runtime->kernel.subscriber != NULL)
        subscriptions_hand_over(runtime);
}

void
subscriptions_hand_over(struct runtime *runtime)
{
    subscriber_set(runtime->kernel.subscriber, TOPIC_DECLARATIVE, NULL, runtime->topics.items,
                   runtime->topics.count);
}
