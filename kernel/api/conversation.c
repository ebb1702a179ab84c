/* SPDX-License-Identifier: Apache-2.0 */
/* Conversation; see conversation.h. */
#include "api/conversation.h"

#include <assert.h>

#include "api/conversation_pack.h"
#include "api/operation.h"
#include "api/prompt_cache.h"
#include "async/offload.h"
#include "base/limits.h"
#include "pii/pii.h"
#include "telemetry/metrics.h"

typedef Remora__Plugin__V1__Converse converse_t;
typedef Remora__Plugin__V1__ConverseReply reply_t;
typedef Remora__Plugin__V1__ConversationToolCall call_t;
typedef Dapr__Proto__Runtime__V1__ConversationRequest alpha1_t;
typedef Dapr__Proto__Runtime__V1__ConversationRequestAlpha2 alpha2_t;
typedef Dapr__Proto__Runtime__V1__ConversationResponse answer1_t;
typedef Dapr__Proto__Runtime__V1__ConversationResponseAlpha2 answer2_t;
typedef Dapr__Proto__Runtime__V1__ConversationResultAlpha2 result_t;
typedef Dapr__Proto__Runtime__V1__ConversationResultChoices choice_t;
typedef Dapr__Proto__Runtime__V1__ConversationResultAlpha2CompletionUsage usage_t;

static err_t
fail_conversing(struct request *rq, struct slice name, struct slice reason)
{
    return fail(rq, ERR_CONVERSATION_INVOKE, CONVERSING SLICE_FMT, SLICE_ARG(name),
                SLICE_ARG(reason));
}

/* --- personal data -----------------------------------------------------------------------------*/

struct scrub_job {
    struct arena *arena;
    const struct scrub_list *list;
};

static err_t
scrub_all(void *arg)
{
    const struct scrub_job *job = arg;
    for (size_t i = 0; i < job->list->count; i++) {
        char **text = job->list->texts[i];
        struct slice before = slice_str(*text), after = pii_scrub(job->arena, before);
        if (after.data != before.data)
            *text = arena_str(job->arena, after);
    }
    return OK;
}

/* Much of it on another thread, so that the worker's other requests do not wait. Suspends. */
static void
scrub(struct request *rq, const struct scrub_list *list)
{
    struct scrub_job job = { .arena = rq->arena, .list = list };
    err_t err = ERR_OVERLOADED;
    if (list->count == 0)
        return;
    if (list->bytes > LIMIT_scrub_here_bytes)
        err = offload_run(rq->task, scrub_all, &job); /* suspends */
    if (err == ERR_OVERLOADED) /* little, or no thread is to be had: slower for others, not wrong */
        (void)scrub_all(&job); /* it does not fail */
}

/* --- asking ------------------------------------------------------------------------------------*/

static bool
is_text(const char *text)
{
    return slice_is_utf8(slice_str(text));
}

static bool
are_calls_sound(call_t *const *calls, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!is_text(calls[i]->id) || !is_text(calls[i]->name) || !is_text(calls[i]->arguments))
            return false;
    return true;
}

/* A plugin's answer is input from outside: clients take nothing but text for text. */
static bool
is_sound(const reply_t *reply)
{
    bool is_good = reply->n_choices > 0 && is_text(reply->model) && is_text(reply->context_id);
    for (size_t i = 0; i < reply->n_choices && is_good; i++)
        is_good = is_text(reply->choices[i]->content) &&
                  is_text(reply->choices[i]->finish_reason) &&
                  are_calls_sound(reply->choices[i]->tool_calls, reply->choices[i]->n_tool_calls);
    return is_good;
}

/* Of the plugin; the bytes it answered with are kept if they are to be given again. */
static err_t
ask(struct request *rq, struct slice name, struct component *model, struct slice question,
    struct slice *ret_bytes, const reply_t **ret_reply)
{
    struct component_call call;
    const struct operation operation = { .method = REMORA__PLUGIN__V1__METHOD__METHOD_CONVERSE,
                                         .is_write = true,
                                         .message = question };
    err_t err = operation_run(rq, model, &operation, &call); /* suspends */
    if (operation_has_failed(err, &call)) {
        err = fail_conversing(rq, name, operation_reason(rq, err, &call));
    } else {
        const reply_t *reply = operation_unpack(rq, &remora__plugin__v1__converse_reply__descriptor,
                                                LIMIT_conversation_items_max, &call);
        *ret_bytes = arena_dup(rq->arena, call.bus.call.message);
        *ret_reply = reply;
        if (reply == NULL || !is_sound(reply))
            err = fail_conversing(rq, name, SLICE("the plugin's answer is malformed"));
    }
    component_call_finish(rq->task, &call);
    return err;
}

/* From memory, if the same was asked before and may be answered so. */
static err_t
answer_question(struct request *rq, struct slice name, struct component *model,
                const converse_t *message, const reply_t **ret_reply)
{
    enum { BYTES_FACTOR = 16, BYTES_MORE = 4096 };
    const uint64_t ttl_ms = model->facts->prompt_ttl_ms;
    const struct slice question = pb_pack(rq->arena, &message->base);
    struct prompt_cache *cache = &rq->kernel->prompts;
    struct prompt_key key;
    struct slice bytes;
    if (ttl_ms == 0)
        return ask(rq, name, model, question, &bytes, ret_reply); /* suspends */
    key = prompt_key_of(model->facts->name, model->facts->handle, question);
    if (prompt_cache_get(cache, &key, rq->arena, &bytes)) {
        *ret_reply = pb_unpack(rq->arena, &remora__plugin__v1__converse_reply__descriptor, bytes,
                               LIMIT_frame_depth_max,
                               (size_t)LIMIT_conversation_items_max * BYTES_FACTOR +
                                   bytes.len * BYTES_FACTOR + BYTES_MORE);
        if (*ret_reply != NULL)
            return OK;
    }
    err_t err = ask(rq, name, model, question, &bytes, ret_reply); /* suspends */
    if (err == OK)
        prompt_cache_put(cache, &key, ttl_ms, bytes);
    return err;
}

static void
observe(struct request *rq, const struct component *model, bool is_good, uint64_t started_ns)
{
    const struct slice labels[] = { model->facts->name, rq->kernel->namespace_,
                                    is_good ? SLICE("true") : SLICE("false") };
    if (metrics_is_on())
        metrics_record(metrics_series(METRICS_component_conversation, labels),
                       task_worker(rq->task)->now_ns - started_ns);
}

/* The question put to the component, scrubbed first. Suspends. */
static err_t
converse(struct request *rq, struct slice name, struct component *model, const converse_t *question,
         const struct scrub_list *list, const reply_t **ret_reply)
{
    scrub(rq, list);
    uint64_t started_ns = task_worker(rq->task)->now_ns;
    err_t err = answer_question(rq, name, model, question, ret_reply);
    observe(rq, model, err == OK, started_ns);
    return err;
}

/* The component, if the request has anything to say to it; suspends. */
static err_t
find(struct request *rq, struct slice name, size_t inputs, struct component **ret_model)
{
    *ret_model = operation_component(rq, COMPONENT_CONVERSATION, name); /* suspends */
    if (*ret_model == NULL)
        return fail(rq, ERR_CONVERSATION_NOT_FOUND,
                    "failed finding conversation component " SLICE_FMT, SLICE_ARG(name));
    return inputs > 0 ? OK
                      : fail(rq, ERR_CONVERSATION_MISSING_INPUTS,
                             CONVERSING "missing inputs in request", SLICE_ARG(name));
}

static void
scrub_answer(struct request *rq, const reply_t *reply)
{
    struct scrub_list list = { .texts = ARENA_ARRAY(rq->arena, char **, reply->n_choices + 1) };
    for (size_t i = 0; i < reply->n_choices; i++) {
        list.texts[list.count++] = &reply->choices[i]->content;
        list.bytes += strlen(reply->choices[i]->content);
    }
    scrub(rq, &list); /* suspends */
}

/* What the plugin says is the context, else what the client has said. */
static char *
context_of(const reply_t *reply, char *given)
{
    return reply->context_id[0] != '\0' ? reply->context_id : given;
}

/* --- alpha1 ------------------------------------------------------------------------------------*/

typedef Dapr__Proto__Runtime__V1__ConversationResult__ParametersEntry parameter_t;

static Dapr__Proto__Runtime__V1__ConversationResult *
result_of(struct request *rq, const alpha1_t *in, const reply_t *reply)
{
    Dapr__Proto__Runtime__V1__ConversationResult *result = ARENA_NEW(
        rq->arena, Dapr__Proto__Runtime__V1__ConversationResult);
    dapr__proto__runtime__v1__conversation_result__init(result);
    result->result = reply->choices[0]->content;
    result->n_parameters = in->n_parameters;
    result->parameters = ARENA_ARRAY(rq->arena, parameter_t *, in->n_parameters + 1);
    for (size_t i = 0; i < in->n_parameters; i++) {
        parameter_t *parameter = ARENA_NEW(rq->arena, parameter_t);
        dapr__proto__runtime__v1__conversation_result__parameters_entry__init(parameter);
        parameter->key = in->parameters[i]->key;
        parameter->value = in->parameters[i]->value;
        result->parameters[i] = parameter;
    }
    return result;
}

err_t
conversation_alpha1(struct request *rq, struct slice name, const alpha1_t *in, answer1_t *ret)
{
    struct component *model;
    converse_t question;
    struct scrub_list list;
    const reply_t *reply = NULL;
    err_t err = find(rq, name, in->n_inputs, &model); /* suspends */
    if (err == OK)
        err = conversation_pack_alpha1(rq, name, in, &question, &list);
    if (err == OK)
        err = converse(rq, name, model, &question, &list, &reply); /* suspends */
    if (err != OK)
        return err;
    assert(reply != NULL);
    if (in->scrubpii)
        scrub_answer(rq, reply); /* suspends */
    *ret = (answer1_t)DAPR__PROTO__RUNTIME__V1__CONVERSATION_RESPONSE__INIT;
    char *context = context_of(reply, in->_context_id_case != 0 ? in->contextid : NULL);
    if (slice_str(context).len > 0) {
        ret->_context_id_case =
            DAPR__PROTO__RUNTIME__V1__CONVERSATION_RESPONSE___CONTEXT_ID_CONTEXT_ID;
        ret->contextid = context;
    }
    ret->n_outputs = 1;
    ret->outputs = ARENA_ARRAY(rq->arena, Dapr__Proto__Runtime__V1__ConversationResult *, 1);
    ret->outputs[0] = result_of(rq, in, reply);
    return OK;
}

/* --- alpha2 ------------------------------------------------------------------------------------*/

static Dapr__Proto__Runtime__V1__ConversationToolCalls *
tool_call_of(struct request *rq, const call_t *from)
{
    Dapr__Proto__Runtime__V1__ConversationToolCalls *call = ARENA_NEW(
        rq->arena, Dapr__Proto__Runtime__V1__ConversationToolCalls);
    dapr__proto__runtime__v1__conversation_tool_calls__init(call);
    if (from->id[0] != '\0') {
        call->_id_case = DAPR__PROTO__RUNTIME__V1__CONVERSATION_TOOL_CALLS___ID_ID;
        call->id = from->id;
    }
    call->tool_types_case = DAPR__PROTO__RUNTIME__V1__CONVERSATION_TOOL_CALLS__TOOL_TYPES_FUNCTION;
    call->function = ARENA_NEW(rq->arena,
                               Dapr__Proto__Runtime__V1__ConversationToolCallsOfFunction);
    dapr__proto__runtime__v1__conversation_tool_calls_of_function__init(call->function);
    call->function->name = from->name;
    call->function->arguments = from->arguments;
    return call;
}

static choice_t *
choice_of(struct request *rq, const Remora__Plugin__V1__ConversationChoice *from, size_t index)
{
    choice_t *choice = ARENA_NEW(rq->arena, choice_t);
    dapr__proto__runtime__v1__conversation_result_choices__init(choice);
    choice->finish_reason = from->finish_reason;
    choice->index = (int64_t)index;
    choice->message = ARENA_NEW(rq->arena, Dapr__Proto__Runtime__V1__ConversationResultMessage);
    dapr__proto__runtime__v1__conversation_result_message__init(choice->message);
    choice->message->content = from->content;
    choice->message->n_tool_calls = from->n_tool_calls;
    choice->message->tool_calls = ARENA_ARRAY(
        rq->arena, Dapr__Proto__Runtime__V1__ConversationToolCalls *, from->n_tool_calls + 1);
    for (size_t i = 0; i < from->n_tool_calls; i++)
        choice->message->tool_calls[i] = tool_call_of(rq, from->tool_calls[i]);
    return choice;
}

#define USAGE(name) dapr__proto__runtime__v1__conversation_result_alpha2_completion_usage##name
#define USAGE_CASE(name)                                                                           \
    DAPR__PROTO__RUNTIME__V1__CONVERSATION_RESULT_ALPHA2_COMPLETION_USAGE___##name

static void
put_usage_details(struct request *rq, const Remora__Plugin__V1__ConversationUsage *from,
                  usage_t *usage)
{
    if (from->completion_details != NULL) {
        usage->_completion_tokens_details_case = USAGE_CASE(
            COMPLETION_TOKENS_DETAILS_COMPLETION_TOKENS_DETAILS);
        usage->completion_tokens_details = arena_alloc(rq->arena,
                                                       sizeof *usage->completion_tokens_details);
        USAGE(_completion_tokens_details__init)(usage->completion_tokens_details);
        usage->completion_tokens_details->accepted_prediction_tokens =
            from->completion_details->accepted_prediction;
        usage->completion_tokens_details->audio_tokens = from->completion_details->audio;
        usage->completion_tokens_details->reasoning_tokens = from->completion_details->reasoning;
        usage->completion_tokens_details->rejected_prediction_tokens =
            from->completion_details->rejected_prediction;
    }
    if (from->prompt_details != NULL) {
        usage->_prompt_tokens_details_case = USAGE_CASE(
            PROMPT_TOKENS_DETAILS_PROMPT_TOKENS_DETAILS);
        usage->prompt_tokens_details = arena_alloc(rq->arena, sizeof *usage->prompt_tokens_details);
        USAGE(_prompt_tokens_details__init)(usage->prompt_tokens_details);
        usage->prompt_tokens_details->audio_tokens = from->prompt_details->audio;
        usage->prompt_tokens_details->cached_tokens = from->prompt_details->cached;
    }
}

static result_t *
result2_of(struct request *rq, const reply_t *reply)
{
    result_t *result = ARENA_NEW(rq->arena, result_t);
    dapr__proto__runtime__v1__conversation_result_alpha2__init(result);
    result->n_choices = reply->n_choices;
    result->choices = ARENA_ARRAY(rq->arena, choice_t *, reply->n_choices + 1);
    for (size_t i = 0; i < reply->n_choices; i++)
        result->choices[i] = choice_of(rq, reply->choices[i], i);
    if (reply->model[0] != '\0') {
        result->_model_case = DAPR__PROTO__RUNTIME__V1__CONVERSATION_RESULT_ALPHA2___MODEL_MODEL;
        result->model = reply->model;
    }
    if (reply->usage != NULL) {
        result->_usage_case = DAPR__PROTO__RUNTIME__V1__CONVERSATION_RESULT_ALPHA2___USAGE_USAGE;
        result->usage = ARENA_NEW(rq->arena, usage_t);
        USAGE(__init)(result->usage);
        result->usage->completion_tokens = reply->usage->completion_tokens;
        result->usage->prompt_tokens = reply->usage->prompt_tokens;
        result->usage->total_tokens = reply->usage->total_tokens;
        put_usage_details(rq, reply->usage, result->usage);
    }
    return result;
}

err_t
conversation_alpha2(struct request *rq, struct slice name, const alpha2_t *in, answer2_t *ret)
{
    struct component *model;
    converse_t question;
    struct scrub_list list;
    const reply_t *reply = NULL;
    err_t err = find(rq, name, in->n_inputs, &model); /* suspends */
    if (err == OK)
        err = conversation_pack_alpha2(rq, name, in, &question, &list);
    if (err == OK)
        err = converse(rq, name, model, &question, &list, &reply); /* suspends */
    if (err != OK)
        return err;
    assert(reply != NULL);
    if (in->scrub_pii)
        scrub_answer(rq, reply); /* suspends */
    *ret = (answer2_t)DAPR__PROTO__RUNTIME__V1__CONVERSATION_RESPONSE_ALPHA2__INIT;
    char *context = context_of(reply, in->_context_id_case != 0 ? in->context_id : NULL);
    if (slice_str(context).len > 0) {
        ret->_context_id_case =
            DAPR__PROTO__RUNTIME__V1__CONVERSATION_RESPONSE_ALPHA2___CONTEXT_ID_CONTEXT_ID;
        ret->context_id = context;
    }
    ret->n_outputs = 1;
    ret->outputs = ARENA_ARRAY(rq->arena, result_t *, 1);
    ret->outputs[0] = result2_of(rq, reply);
    return OK;
}
