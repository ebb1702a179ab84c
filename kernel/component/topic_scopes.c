/* SPDX-License-Identifier: Apache-2.0 */
/* What an application may do with a broker's topics; see topic_scopes.h. */
#include "component/topic_scopes.h"

static bool
is_in(struct slice list, struct slice topic)
{
    struct slice item;
    while (slice_split(&list, ',', &item))
        if (slice_eq(item, topic))
            return true;
    return false;
}

/* Blanks mean nothing anywhere in these lists. */
static struct slice
text_of(struct arena *arena, const struct component_spec *spec, struct slice name,
        struct topic_scopes *scopes)
{
    const struct component_value *value = component_value(spec, name);
    if (value == NULL)
        return SLICE_EMPTY;
    if (value->secret_name.len > 0)
        scopes->is_unknown = true;
    char *text = arena_alloc(arena, value->value.len + 1);
    size_t len = 0;
    for (size_t i = 0; i < value->value.len; i++)
        if (value->value.data[i] != ' ')
            text[len++] = value->value.data[i];
    return slice_of(text, len);
}

/* Of "app1=a,b;app2=" what stands for the application; of several entries all count. */
static bool
list_of(struct arena *arena, struct slice text, struct slice app_id, struct slice *ret_list)
{
    struct slice entry, name, topics;
    bool is_listed = false;
    *ret_list = SLICE_EMPTY;
    while (slice_split(&text, ';', &entry)) {
        if (!slice_split(&entry, '=', &name) || !slice_eq(name, app_id) ||
            !slice_split(&entry, '=', &topics))
            continue;
        *ret_list = is_listed ? arena_printf(arena, SLICE_FMT "," SLICE_FMT, SLICE_ARG(*ret_list),
                                             SLICE_ARG(topics))
                              : topics;
        is_listed = true;
    }
    return is_listed;
}

struct topic_scopes
topic_scopes_read(struct arena *arena, const struct component_spec *spec, struct slice app_id)
{
    struct topic_scopes scopes = { 0 };
    scopes.allowed = text_of(arena, spec, SLICE("allowedTopics"), &scopes);
    scopes.protected_ = text_of(arena, spec, SLICE("protectedTopics"), &scopes);
    struct slice publishing = text_of(arena, spec, SLICE("publishingScopes"), &scopes);
    struct slice subscribing = text_of(arena, spec, SLICE("subscriptionScopes"), &scopes);
    scopes.has_publishing = list_of(arena, publishing, app_id, &scopes.publishing);
    scopes.has_subscribing = list_of(arena, subscribing, app_id, &scopes.subscribing);
    return scopes;
}

static bool
may_use(const struct topic_scopes *scopes, bool is_listed, struct slice list, struct slice topic)
{
    if (scopes->is_unknown)
        return false;
    if (scopes->allowed.len > 0 && !is_in(scopes->allowed, topic))
        return false;
    if (is_listed)
        return topic.len > 0 && is_in(list, topic);
    return scopes->protected_.len == 0 || !is_in(scopes->protected_, topic);
}

bool
topic_scopes_may_publish(const struct topic_scopes *scopes, struct slice topic)
{
    return may_use(scopes, scopes->has_publishing, scopes->publishing, topic);
}

bool
topic_scopes_may_subscribe(const struct topic_scopes *scopes, struct slice topic)
{
    return may_use(scopes, scopes->has_subscribing, scopes->subscribing, topic);
}
