/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Access control of calls; see access.h. Where the reference runtime leaves room for doubt, a call
 * has to pass every reading: of the list as the reference reads it and as it stands, of an HTTP
 * path with and without regard to case, as it stands and as the application decodes it. So nothing
 * is let through that the reference refuses.
 */
#include "api/access.h"

#include "base/limits.h"
#include "config/access_control.h"
#include "http/path.h"
#include "http/spiffe.h"

/* HTTP's verbs have a case; one that is refused is refused in any. */
static bool
concerns(const struct access_verb *item, struct slice verb)
{
    return slice_eq(item->verb, verb) ||
           (item->action == ACCESS_DENY && slice_eq_nocase(item->verb, verb));
}

/* What the rule says of the verb; ACCESS_UNSET: nothing. A verb's own word goes before that of `*`.
 * A rule without verbs denies all of them or says nothing, for allowing HTTP calls takes a verb;
 * likewise a call without one can be denied only. */
static enum access_action
action_of_verb(const struct access_rule *rule, struct slice verb)
{
    enum access_action own = ACCESS_UNSET, any = ACCESS_UNSET, none = ACCESS_UNSET;
    for (const struct access_verb *item = rule->verbs; item != NULL; item = item->next) {
        enum access_action *said = NULL;
        if (item->verb.len == 0 || verb.len == 0)
            said = item->action == ACCESS_DENY ? &none : NULL;
        else if (concerns(item, verb))
            said = &own;
        else if (slice_eq(item->verb, SLICE("*")))
            said = &any;
        if (said != NULL && *said != ACCESS_DENY)
            *said = item->action;
    }
    if (own == ACCESS_UNSET)
        own = any;
    return own == ACCESS_UNSET ? none : own;
}

/* A call whose application has no default of its own falls under the policy's, but for an HTTP call
 * without a verb that a rule covers: the reference refuses it. */
static bool
passes(const struct access_policy *policy, const struct access_app *app,
       const struct access_question *question, struct slice path, struct access_reading reading)
{
    enum access_action action = ACCESS_UNSET;
    const struct access_rule *rule = access_trie_find(app->operations, path, reading);
    if (rule != NULL)
        action = question->is_http ? action_of_verb(rule, question->verb) : rule->action;
    if (action == ACCESS_UNSET)
        action = app->default_action;
    bool is_doubtful = rule != NULL && question->is_http && question->verb.len == 0;
    if (action == ACCESS_UNSET && !is_doubtful)
        action = policy->default_action;
    return action == ACCESS_ALLOW;
}

static bool
passes_all(const struct access_policy *policy, const struct access_app *app,
           const struct access_question *question, struct slice path)
{
    static const struct access_reading readings[] = {
        { .is_thorough = false, .ignores_case = false },
        { .is_thorough = true, .ignores_case = false },
        { .is_thorough = false, .ignores_case = true },
        { .is_thorough = true, .ignores_case = true },
    };
    size_t count = question->is_http ? 4 : 2;
    for (size_t i = 0; i < count; i++)
        if (!passes(policy, app, question, path, readings[i]))
            return false;
    return true;
}

/* What an encoded separator or dot means is the application's affair, which the list cannot know.
 */
static bool
is_plain(struct slice path)
{
    if (slice_find_byte(path, '\\') >= 0 || !path_escapes_are_valid(path))
        return false;
    for (size_t i = 0; i + 2 < path.len; i++) {
        int byte = path.data[i] == '%'
                       ? hex_value(path.data[i + 1]) * 16 + hex_value(path.data[i + 2])
                       : 0;
        if (byte == '/' || byte == '\\' || byte == '.')
            return false;
    }
    return true;
}

static bool
passes_decoded(const struct access_policy *policy, const struct access_app *app,
               const struct access_question *question)
{
    struct slice decoded;
    struct arena scratch;
    arena_init(&scratch);
    bool is_fine = path_decode(&scratch, question->path, &decoded) &&
                   passes_all(policy, app, question, decoded);
    arena_fini(&scratch);
    return is_fine;
}

bool
access_is_allowed(const struct access_policy *policy, const struct access_question *question)
{
    struct spiffe_app id;
    if (policy == NULL)
        return true;
    if (question->path.len == 0 || question->path.data[0] != '/' ||
        question->path.len > LIMIT_access_path_bytes_max)
        return false;
    if (question->is_http && !is_plain(question->path))
        return false;
    const struct access_app *app = NULL;
    if (spiffe_app_of(question->caller_id, &id))
        app = access_policy_find(policy, id.trust_domain, id.namespace_, id.app_id);
    if (app == NULL)
        return policy->default_action == ACCESS_ALLOW;
    if (!passes_all(policy, app, question, question->path))
        return false;
    bool is_encoded = question->is_http && slice_find_byte(question->path, '%') >= 0;
    return !is_encoded || passes_decoded(policy, app, question);
}
