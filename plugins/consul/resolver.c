/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Init looks whether the agent is there, or leaves that to the registration, which Start makes.
 * From then on it is looked after: an agent may forget what it was told. Quiesce takes it back if
 * the configuration says so and no later generation has made it its own.
 */
#include "resolver.h"

#include <cjson/cJSON.h>
#include <ev.h>
#include <stdlib.h>
#include <string.h>

#include "../shared/memory.h"
#include "watch.h"

struct resolver {
    struct settings settings;
    struct watches *watches;       /* NULL: the agent is asked each time */
    struct agent_request *request; /* of the registration's life; NULL: none is open */
    remora_call *call;             /* that waits for it, or NULL */
    ev_timer check;
    bool is_registered;
    struct question *questions; /* open ones */
};

/* --- requests ----------------------------------------------------------------------------------*/

static struct agent_request *
ask(struct resolver *resolver, const char *method, const char *path, const char *body,
    agent_done *done)
{
    return agent_ask(
        &resolver->settings.agent,
        &(struct agent_question){
            .method = method, .path = path, .body = body, .timeout_ms = REQUEST_TIMEOUT_MS },
        done, resolver);
}

static void
ask_service(struct resolver *resolver, const char *method, const char *prefix, agent_done *done)
{
    char *id = agent_escape(resolver->settings.service_id, strlen(resolver->settings.service_id));
    char *path = memory_printf("%s%s", prefix, id);
    resolver->request = ask(resolver, method, path, strcmp(method, "PUT") == 0 ? "" : NULL, done);
    free(path);
    free(id);
}

static enum remora_code
code_of(const struct agent_answer *answer)
{
    return answer->status == 403   ? REMORA_PERMISSION_DENIED
           : answer->status == 400 ? REMORA_INVALID_ARGUMENT
                                   : REMORA_UNAVAILABLE;
}

/* --- registration ------------------------------------------------------------------------------*/

static void
check_later(struct resolver *resolver)
{
    ev_timer_set(&resolver->check, (double)REGISTRATION_CHECK_MS / 1000, 0);
    ev_timer_start(remora_loop(), &resolver->check);
}

static void
on_registered(const struct agent_answer *answer, void *arg)
{
    struct resolver *resolver = arg;
    remora_call *call = resolver->call;
    resolver->request = NULL;
    resolver->call = NULL;
    if (call != NULL && !answer->is_ok) {
        remora_reply_error(call, code_of(answer), "failed to register consul service: %s",
                           answer->error);
        return;
    }
    if (!answer->is_ok)
        remora_log(REMORA_ERROR, "failed to register consul service: %s", answer->error);
    else
        remora_log(REMORA_INFO, "service:%s registered on consul agent",
                   resolver->settings.service_name);
    resolver->is_registered = true;
    check_later(resolver);
    if (call != NULL)
        remora_reply_ok(call);
}

static void
make_registration(struct resolver *resolver)
{
    resolver->request = ask(resolver, "PUT", "/v1/agent/service/register",
                            resolver->settings.registration, on_registered);
}

/* Is what the agent knows the registration of this very component? */
static bool
is_ours(const struct resolver *resolver, const struct agent_answer *answer)
{
    cJSON *service = cJSON_ParseWithLength(answer->body, answer->len);
    const cJSON *meta = cJSON_GetObjectItemCaseSensitive(service, "Meta");
    const cJSON *generation = cJSON_GetObjectItemCaseSensitive(meta, GENERATION_KEY);
    bool ours = cJSON_IsString(generation) &&
                strcmp(generation->valuestring, resolver->settings.generation) == 0;
    cJSON_Delete(service);
    return ours;
}

static void
on_checked(const struct agent_answer *answer, void *arg)
{
    struct resolver *resolver = arg;
    resolver->request = NULL;
    if (answer->status == 404) {
        remora_log(REMORA_WARN, "the consul agent has lost the service, it is registered again");
        make_registration(resolver);
    } else {
        check_later(resolver); /* an agent that is away is asked again */
    }
}

static void
on_check_due(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop, (void)events;
    struct resolver *resolver = timer->data;
    if (resolver->request == NULL)
        ask_service(resolver, "GET", "/v1/agent/service/", on_checked);
}

static void
finish_quiesce(struct resolver *resolver)
{
    remora_call *call = resolver->call;
    resolver->call = NULL;
    remora_reply_ok(call);
}

static void
on_deregistered(const struct agent_answer *answer, void *arg)
{
    struct resolver *resolver = arg;
    resolver->request = NULL;
    if (answer->is_ok)
        remora_log(REMORA_INFO, "deregistered service from consul");
    else
        remora_log(REMORA_WARN, "failed to deregister consul service: %s", answer->error);
    finish_quiesce(resolver);
}

static void
on_owner_known(const struct agent_answer *answer, void *arg)
{
    struct resolver *resolver = arg;
    resolver->request = NULL;
    if (answer->is_ok && is_ours(resolver, answer))
        ask_service(resolver, "PUT", "/v1/agent/service/deregister/", on_deregistered);
    else
        finish_quiesce(resolver);
}

void
resolver_start(remora_call *call, void *self)
{
    struct resolver *resolver = self;
    ev_timer_stop(remora_loop(), &resolver->check);
    if (resolver->call != NULL) {
        remora_reply_error(call, REMORA_FAILED_PRECONDITION, "it is being started already");
        return;
    }
    if (resolver->settings.registration == NULL) {
        remora_reply_ok(call);
        return;
    }
    agent_cancel(resolver->request);
    resolver->call = call;
    make_registration(resolver);
}

void
resolver_quiesce(remora_call *call, void *self)
{
    struct resolver *resolver = self;
    ev_timer_stop(remora_loop(), &resolver->check);
    if (!resolver->is_registered || !resolver->settings.deregisters || resolver->call != NULL) {
        remora_reply_ok(call);
        return;
    }
    agent_cancel(resolver->request);
    resolver->is_registered = false;
    resolver->call = call;
    ask_service(resolver, "GET", "/v1/agent/service/", on_owner_known);
}

/* --- questions ---------------------------------------------------------------------------------*/

/* A call that waits for an answer; in the call's memory. */
struct waiting {
    struct waiting *next;
    struct question *question;
    remora_call *call;
};

/* What the agent is asked, once for all who want to know the same. */
struct question {
    struct question *next;
    struct resolver *resolver;
    struct agent_request *request;
    char *app_id; /* owned */
    struct waiting *first;
};

static void
reply_instances(remora_call *call, const struct resolver *resolver, const char *app_id,
                const struct instances *instances)
{
    if (instances->count > 0)
        remora_name_reply(call, instances->addresses, instances->count, ANSWER_TTL_MS);
    else if (instances->without_port > 0)
        remora_reply_error(call, REMORA_NOT_FOUND,
                           "target service AppID '%s' found but %s missing from meta", app_id,
                           resolver->settings.port_key);
    else
        remora_reply_error(call, REMORA_NOT_FOUND, "no healthy services found with AppID '%s'",
                           app_id);
}

static void
drop_question(struct question *question)
{
    struct question **link = &question->resolver->questions;
    while (*link != question)
        link = &(*link)->next;
    *link = question->next;
    agent_cancel(question->request);
    free(question->app_id);
    free(question);
}

static void
on_health(const struct agent_answer *answer, void *arg)
{
    struct question *question = arg;
    const struct resolver *resolver = question->resolver;
    struct instances *instances = answer->is_ok ? instances_read(answer->body, answer->len,
                                                                 resolver->settings.port_key)
                                                : NULL;
    question->request = NULL;
    for (struct waiting *waiting; (waiting = question->first) != NULL;) {
        question->first = waiting->next;
        if (instances != NULL)
            reply_instances(waiting->call, resolver, question->app_id, instances);
        else
            remora_reply_error(
                waiting->call, REMORA_UNAVAILABLE, "failed to query healthy consul services: %s",
                answer->error != NULL ? answer->error : "an answer that cannot be read");
    }
    free(instances);
    drop_question(question);
}

/* The question goes on: its answer may come in time for others. */
static void
on_caller_gone(remora_call *call, void *arg)
{
    struct waiting *waiting = arg, **link = &waiting->question->first;
    while (*link != waiting)
        link = &(*link)->next;
    *link = waiting->next;
    remora_reply_error(call, REMORA_DEADLINE_EXCEEDED,
                       "failed to query healthy consul services: no answer in time");
}

static struct question *
find_question(struct resolver *resolver, struct remora_slice id)
{
    struct question *question = resolver->questions;
    while (question != NULL && !remora_slice_eq(id, question->app_id))
        question = question->next;
    if (question != NULL)
        return question;
    const struct settings *settings = &resolver->settings;
    char *path = health_path(settings, id, false, 0);
    question = memory_new(sizeof *question);
    question->resolver = resolver;
    question->app_id = memory_printf("%.*s", (int)id.len, id.data);
    question->next = resolver->questions;
    resolver->questions = question;
    question->request = agent_ask(
        &settings->agent,
        &(struct agent_question){ .method = "GET",
                                  .path = path,
                                  .cache_control = settings->cache_control,
                                  .token = settings->query_token,
                                  .timeout_ms = REQUEST_TIMEOUT_MS },
        on_health, question);
    free(path);
    return question;
}

static void
ask_health(remora_call *call, struct resolver *resolver, struct remora_slice id)
{
    struct waiting *waiting = remora_call_alloc(call, sizeof *waiting);
    struct question *question = find_question(resolver, id);
    *waiting = (struct waiting){ question->first, question, call };
    question->first = waiting;
    remora_call_on_cancel(call, on_caller_gone, waiting);
}

static void
resolve(remora_call *call, void *self, const struct remora_name_query *query)
{
    struct resolver *resolver = self;
    if (query->id.len > APP_ID_BYTES_MAX) {
        remora_reply_error(call, REMORA_INVALID_ARGUMENT, "the application's id is too long");
        return;
    }
    const struct instances *known = resolver->watches != NULL
                                        ? watches_find(resolver->watches, query->id)
                                        : NULL;
    if (known != NULL && known->count > 0)
        remora_name_reply(call, known->addresses, known->count, ANSWER_TTL_MS);
    else
        ask_health(call, resolver, query->id);
}

const struct remora_name_ops resolver_ops = { .resolve = resolve };

/* --- life --------------------------------------------------------------------------------------*/

static void
free_resolver(struct resolver *resolver)
{
    for (struct question *question = resolver->questions, *next; question != NULL;
         question = next) {
        next = question->next;
        drop_question(question);
    }
    watches_free(resolver->watches);
    settings_fini(&resolver->settings);
    free(resolver);
}

static void
on_agent_known(const struct agent_answer *answer, void *arg)
{
    struct resolver *resolver = arg;
    remora_call *call = resolver->call;
    resolver->call = NULL;
    resolver->request = NULL;
    if (answer->is_ok) {
        remora_reply_init(call, resolver, 0, 0);
    } else {
        remora_reply_error(call, code_of(answer), "failed check on consul agent: %s",
                           answer->error);
        free_resolver(resolver);
    }
}

void
resolver_init(remora_call *call, const struct remora_config *config)
{
    char error[ERROR_BYTES];
    struct resolver *resolver = memory_new(sizeof *resolver);
    if (!settings_init(&resolver->settings, config, error)) {
        free(resolver);
        remora_reply_error(call, REMORA_INVALID_ARGUMENT, "%s", error);
        return;
    }
    if (resolver->settings.agent.skip_verify)
        remora_log(REMORA_INFO, "hashicorp consul: you are using 'insecureSkipVerify' to skip "
                                "server config verify which is unsafe!");
    if (resolver->settings.uses_cache)
        resolver->watches = watches_new(&resolver->settings);
    ev_timer_init(&resolver->check, on_check_due, 0, 0);
    resolver->check.data = resolver;
    if (resolver->settings.registration != NULL) {
        remora_reply_init(call, resolver, 0, 0);
        return;
    }
    resolver->call = call;
    resolver->request = ask(resolver, "GET", "/v1/agent/self", NULL, on_agent_known);
}

void
resolver_close(void *self)
{
    struct resolver *resolver = self;
    ev_timer_stop(remora_loop(), &resolver->check);
    agent_cancel(resolver->request);
    free_resolver(resolver);
}
