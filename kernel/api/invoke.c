/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Service invocation, told in the order of a call: who is meant, by which route, and how its
 * failure is reported.
 */
#include "api/invoke_route.h"

#include "api/trace.h"
#include "peer/identity.h"
#include "resiliency/run.h"

/* --- who is meant ------------------------------------------------------------------------------*/

struct slice
invoke_own_namespace(const struct kernel *kernel)
{
    return kernel->namespace_.len > 0 ? kernel->namespace_ : SLICE("default");
}

bool
invoke_is_self(const struct request *rq, struct slice app_id)
{
    const struct kernel *kernel = rq->kernel;
    struct slice own = invoke_own_namespace(kernel);
    if (slice_eq(app_id, kernel->app_id))
        return true;
    return app_id.len == kernel->app_id.len + 1 + own.len &&
           slice_has_prefix(app_id, kernel->app_id) && app_id.data[kernel->app_id.len] == '.' &&
           slice_has_suffix(app_id, own);
}

struct slice
invoke_peer_id(struct request *rq, struct slice id, struct slice namespace_)
{
    const struct identity *own = kernel_worker_of(rq->task)->identity;
    return own == NULL
               ? SLICE_EMPTY
               : arena_printf(rq->arena, "spiffe://" SLICE_FMT "/ns/" SLICE_FMT "/" SLICE_FMT,
                              SLICE_ARG(own->trust_domain), SLICE_ARG(namespace_), SLICE_ARG(id));
}

const char *
invoke_app_trouble(const struct request *rq, enum grpc_code *ret_code)
{
    const struct app *app = kernel_worker_of(rq->task)->app.app;
    *ret_code = GRPC_UNKNOWN;
    if (app == NULL || app_settings(app)->port == 0)
        return "app channel is not initialized";
    *ret_code = GRPC_INTERNAL;
    return app_is_healthy(app) ? NULL : "app is not in a healthy state";
}

/* --- failures ----------------------------------------------------------------------------------*/

err_t
invoke_fail(struct request *rq, struct invoke_call *call, err_t err, enum grpc_code code,
            struct slice words)
{
    call->failure = words;
    call->failure_code = code;
    (void)fail(rq, ERR_DIRECT_INVOKE, "failed to invoke, id: " SLICE_FMT ", err: " SLICE_FMT,
               SLICE_ARG(call->app_id), SLICE_ARG(words));
    if (code == GRPC_CANCELLED || code == GRPC_DEADLINE_EXCEEDED)
        rq->error.grpc = code;
    return err;
}

struct slice
invoke_failure_words(struct request *rq, const struct invoke_call *call, err_t err)
{
    if (call->upload != NULL && call->upload->err != OK)
        return SLICE("the request body ended early");
    if (err == ERR_CANCELLED)
        return SLICE("context canceled");
    if (err == ERR_DEADLINE)
        return SLICE("context deadline exceeded");
    if (err == ERR_OVERLOADED)
        return SLICE("too many calls are waiting for the application");
    return task_diag(rq->task)->message;
}

struct slice
invoke_operation(struct request *rq, struct slice verb)
{
    char *text = arena_str(rq->arena, verb);
    for (size_t i = 1; i < verb.len; i++)
        if (text[i] >= 'A' && text[i] <= 'Z')
            text[i] = (char)(text[i] - 'A' + 'a');
    return slice_of(text, verb.len);
}

/* --- the call ----------------------------------------------------------------------------------*/

bool
invoke_is_safe(struct slice verb)
{
    return slice_eq(verb, SLICE("GET")) || slice_eq(verb, SLICE("HEAD")) ||
           slice_eq(verb, SLICE("OPTIONS"));
}

/* An endpoint's name counts more than a URL, and that more than an app id. Who comes from another
 * sidecar is let to the application only. */
static const struct invoke_route *
find_route(struct request *rq, const struct invoke_call *call)
{
    struct endpoint *endpoint;
    if (call->caller != NULL)
        return &invoke_app_route;
    if (endpoint_find(rq, call->app_id, &endpoint))
        return &invoke_endpoint_route;
    return invoke_is_self(rq, call->app_id) ? &invoke_app_route : &invoke_peer_route;
}

/* What attempts of one call share. */
struct tries {
    struct request *rq;
    struct invoke_call *call;
    struct slice path;
};

static void
give_up(struct request *rq, struct invoke_call *call)
{
    invoke_stop_body(rq, call); /* suspends */
    call->route->finish(call);
    call->invoked = NULL;
    call->answer_header_count = 0;
    call->held_answer = SLICE_EMPTY;
}

static void
tell_answer(struct attempt *attempt, const struct invoke_call *call, err_t err)
{
    attempt->answer = err == ERR_PEER_FAILED || (err == OK && call->invoked != NULL) ? ANSWER_GRPC
                      : err == OK                                                    ? ANSWER_HTTP
                                                                                     : ANSWER_NONE;
    attempt->code = err != OK               ? (int)call->failure_code
                    : call->invoked != NULL ? (int)call->invoked->answer.code
                                            : call->status;
    attempt->is_final = !invoke_can_repeat(call);
}

static err_t
try_once(struct task *t, void *arg, struct attempt *attempt)
{
    const struct tries *tries = arg;
    struct invoke_call *call = tries->call;
    (void)t;
    if (attempt->number > 1)
        give_up(tries->rq, call); /* suspends */
    call->attempt = attempt;
    err_t err = call->route->start(tries->rq, call, tries->path); /* suspends */
    tell_answer(attempt, call, err);
    return err;
}

/* Under the policies for the callee. Calls from other sidecars are under those of their own. */
static err_t
run(struct request *rq, struct invoke_call *call, struct slice path)
{
    struct tries tries = { .rq = rq, .call = call, .path = path };
    struct resiliency_target target;
    if (call->caller != NULL)
        return call->route->start(rq, call, path); /* suspends */
    resiliency_for_app(settings_of(rq->task)->resiliency, call->app_id, &target);
    if (target.retry != NULL && call->keep_bytes_max < rq->kernel->body_bytes_max)
        call->keep_bytes_max = rq->kernel->body_bytes_max;
    const struct run policies = { .target = &target,
                                  .built_in = call->route->is_remote && !target.is_named
                                                  ? &built_in_invoke
                                                  : NULL,
                                  .enters_late = call->route->is_remote,
                                  .is_replayable = call->body_length != HTTP_LENGTH_UNKNOWN,
                                  .is_ending = &rq->kernel->is_ending };
    err_t err = resiliency_run(rq->task, &policies, try_once, &tries); /* suspends */
    if (err == ERR_BREAKER_OPEN)
        return invoke_fail(rq, call, err, GRPC_UNAVAILABLE, task_diag(rq->task)->message);
    if (err == ERR_DEADLINE)
        return invoke_fail(rq, call, err, GRPC_DEADLINE_EXCEEDED,
                           SLICE("context deadline exceeded"));
    return err;
}

err_t
invoke_start(struct request *rq, struct invoke_call *call)
{
    struct slice path;
    trace_invocation(rq, call->app_id, call->method);
    call->route = find_route(rq, call);
    if (!invoke_clean_method(rq->arena, call->method, &path)) {
        (void)invoke_fail(rq, call, ERR_DIRECT_INVOKE, GRPC_INVALID_ARGUMENT,
                          arena_printf(rq->arena,
                                       "rpc error: code = InvalidArgument desc = invalid method: "
                                       "method contains forbidden character: \"" SLICE_FMT "\"",
                                       SLICE_ARG(call->method)));
        return ERR_DIRECT_INVOKE;
    }
    /* A client that has half-closed still gets the effect and the answer of what it has sent; one
     * that only wanted to read something has left. */
    call->is_begun = !invoke_is_safe(call->verb);
    if (call->is_begun)
        task_begun(rq->task);
    return run(rq, call, path) == OK ? OK : ERR_DIRECT_INVOKE; /* suspends */
}

err_t
invoke_read(struct request *rq, struct invoke_call *call, struct slice *ret_chunk)
{
    return call->route->read(rq, call, ret_chunk); /* suspends */
}

void
invoke_finish(struct request *rq, struct invoke_call *call)
{
    invoke_stop_body(rq, call); /* suspends */
    if (call->route != NULL)
        call->route->finish(call);
    if (call->is_begun)
        task_begun_end(rq->task);
    call->is_begun = false;
}
