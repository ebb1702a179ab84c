/* SPDX-License-Identifier: Apache-2.0 */
/* Answers to events of input bindings, read; see binding_directive.h. */
#include "api/binding_directive.h"

#include "api/state_message.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/pb.h"
#include "dapr/proto/runtime/v1/appcallback.pb-c.h"

/* Memory for an unpacked answer beside its data: an item without anything in it takes two bytes. */
enum { ANSWER_DEPTH_MAX = 8, ANSWER_BUDGET_BYTES = 16 * 1024 * 1024 };

typedef Dapr__Proto__Runtime__V1__BindingEventResponse response_t;

static struct binding_directive
nothing(void)
{
    return (struct binding_directive){ .store = SLICE_EMPTY,
                                       .state_json = SLICE_EMPTY,
                                       .data = SLICE_EMPTY };
}

/* --- JSON --------------------------------------------------------------------------------------*/

/* False: it is no text. */
static bool
read_text(struct json *json, struct arena *arena, struct slice *ret_text)
{
    return json_peek(json) == JSON_STRING && json_string(json, arena, ret_text);
}

/* False: it is no list of names, or of too many. */
static bool
read_names(struct json *json, struct arena *arena, struct binding_directive *directive)
{
    size_t count = 0;
    if (json_peek(json) != JSON_ARRAY || directive->to != NULL)
        return false;
    struct slice *names = ARENA_ARRAY(arena, struct slice, LIMIT_binding_targets_max);
    json_enter(json);
    while (json_array_next(json))
        if (count == LIMIT_binding_targets_max || !read_text(json, arena, &names[count++]))
            return false;
    directive->to = names;
    directive->to_count = count;
    return true;
}

static struct slice
in_brackets(struct arena *arena, struct slice raw)
{
    char *text = arena_alloc(arena, raw.len + 2);
    text[0] = '[';
    memcpy(text + 1, raw.data, raw.len);
    text[raw.len + 1] = ']';
    return slice_of(text, raw.len + 2);
}

/* One item alone is taken as well; whether they are well-formed is for the reader of items. */
static bool
read_states(struct json *json, struct arena *arena, struct binding_directive *directive)
{
    enum json_type type = json_peek(json);
    struct slice raw;
    if ((type != JSON_ARRAY && type != JSON_OBJECT) || !json_skip(json, &raw))
        return false;
    directive->state_json = type == JSON_ARRAY ? raw : in_brackets(arena, raw);
    return true;
}

/* False: the member is not what it is in a directive, so this is none. */
static bool
read_member(struct json *json, struct arena *arena, struct slice name,
            struct binding_directive *directive)
{
    struct slice text;
    if (slice_eq_nocase(name, SLICE("data")))
        return json_skip(json, &directive->data);
    bool is_null = json_peek(json) == JSON_NULL;
    if (slice_eq_nocase(name, SLICE("storeName")) && !is_null)
        return read_text(json, arena, &directive->store);
    if ((slice_eq_nocase(name, SLICE("state")) || slice_eq_nocase(name, SLICE("states"))) &&
        !is_null)
        return read_states(json, arena, directive);
    if (slice_eq_nocase(name, SLICE("to")) && !is_null)
        return read_names(json, arena, directive);
    if (slice_eq_nocase(name, SLICE("concurrency")) && !is_null) {
        bool is_text = read_text(json, arena, &text);
        directive->is_parallel = is_text && slice_eq_nocase(text, SLICE("parallel"));
        return is_text;
    }
    return json_skip(json, &text);
}

bool
binding_directive_read(struct arena *arena, struct slice answer,
                       struct binding_directive *ret_directive)
{
    struct binding_directive directive = nothing();
    struct json json;
    struct slice name;
    json_init(&json, answer);
    if (json_peek(&json) != JSON_OBJECT)
        return false;
    directive.data = SLICE("null");
    json_enter(&json);
    while (json_object_next(&json, arena, &name))
        if (!read_member(&json, arena, name, &directive))
            return false;
    if (json.failed || !json_end(&json))
        return false;
    if (directive.store.len == 0)
        directive.state_json = SLICE_EMPTY; /* an answer that happens to have a `state` */
    *ret_directive = directive;
    return !binding_directive_is_empty(&directive);
}

/* --- gRPC --------------------------------------------------------------------------------------*/

bool
binding_directive_unpack(struct arena *arena, struct slice answer,
                         struct binding_directive *ret_directive)
{
    const response_t *in = pb_unpack(arena,
                                     &dapr__proto__runtime__v1__binding_event_response__descriptor,
                                     answer, ANSWER_DEPTH_MAX, ANSWER_BUDGET_BYTES + answer.len);
    if (in == NULL || in->n_to > LIMIT_binding_targets_max)
        return false;
    struct binding_directive directive = nothing();
    directive.store = slice_str(in->store_name);
    directive.states = state_items_of(arena, in->states, in->n_states);
    directive.state_count = in->n_states;
    directive.data = pb_slice(in->data);
    directive.is_parallel =
        in->concurrency ==
        DAPR__PROTO__RUNTIME__V1__BINDING_EVENT_RESPONSE__BINDING_EVENT_CONCURRENCY__PARALLEL;
    struct slice *to = ARENA_ARRAY(arena, struct slice, in->n_to + 1);
    for (size_t i = 0; i < in->n_to; i++)
        to[i] = slice_str(in->to[i]);
    directive.to = to;
    directive.to_count = in->n_to;
    *ret_directive = directive;
    return true;
}
