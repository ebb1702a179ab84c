/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exec, query and close. Each statement has a connection to itself while it runs. It may run for as
 * long as its caller waits, and is then ended.
 */
#include "binding.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../shared/memory.h"
#include "cell.h"
#include "params.h"
#include "pool.h"

enum {
    DURATION_BYTES = 96,
    ROWS_MAX = 1000 * 1000,
    ANSWER_BYTES_MAX = 32 * 1024 * 1024,
    STATEMENT_BYTES_MAX = 1 << 20
};

/* What cell.c reads is in this form. */
#define GREETING "SET DateStyle = ISO; SET IntervalStyle = postgres; SET bytea_output = hex"

struct binding {
    struct settings settings;
    struct pool *pool; /* NULL: it is closed */
    size_t running;    /* invocations */
    bool is_closed;    /* by the operation */
    remora_call *init;
};

struct invocation {
    struct job job; /* first */
    struct command command;
    struct binding *binding;
    remora_call *call;
    char *sql; /* owned */
    struct params params;
    struct timespec started;
    uint64_t rows; /* of a query, or affected */
    struct text answer;
    const char *failed; /* it cannot be told; else NULL */
    bool is_query, has_arrays;
};

/* --- what is told ------------------------------------------------------------------------------*/

/* As Go writes a time with nanoseconds, in UTC. */
static void
put_time(char out[40], const struct timespec *at)
{
    struct tm tm;
    char fraction[12];
    (void)gmtime_r(&at->tv_sec, &tm);
    snprintf(fraction, sizeof fraction, ".%09u", (unsigned)at->tv_nsec % 1000000000);
    size_t len = strlen(fraction);
    while (fraction[len - 1] == '0')
        fraction[--len] = '\0';
    if (len == 1)
        fraction[0] = '\0';
    size_t end = strftime(out, 40, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(out + end, 40 - end, "%sZ", fraction);
}

/* And a duration: "1.5ms", "2m3s". */
static void
put_duration(char out[DURATION_BYTES], int64_t ns)
{
    char number[40];
    const char *unit = ns < 1000 ? "ns" : ns < 1000000 ? "µs" : ns < 1000000000 ? "ms" : "s";
    int64_t scale = ns < 1000 ? 1 : ns < 1000000 ? 1000 : ns < 1000000000 ? 1000000 : 1000000000;
    int64_t minutes = scale < 1000000000 ? 0 : ns / 60000000000, rest = ns - minutes * 60000000000;
    int digits = scale == 1 ? 0 : scale == 1000 ? 3 : scale == 1000000 ? 6 : 9;
    snprintf(number, sizeof number, "%" PRId64 ".%0*" PRId64, rest / scale, digits, rest % scale);
    size_t len = strlen(number);
    while (number[len - 1] == '0')
        number[--len] = '\0';
    if (number[len - 1] == '.')
        number[--len] = '\0';
    if (minutes >= 60)
        snprintf(out, DURATION_BYTES, "%" PRId64 "h%" PRId64 "m%s%s", minutes / 60, minutes % 60,
                 number, unit);
    else if (minutes > 0)
        snprintf(out, DURATION_BYTES, "%" PRId64 "m%s%s", minutes, number, unit);
    else
        snprintf(out, DURATION_BYTES, "%s%s", number, unit);
}

static struct remora_slice
slice(const char *text)
{
    return (struct remora_slice){ text, strlen(text) };
}

static void
reply(struct invocation *invocation)
{
    struct timespec now;
    char started[40], ended[40], duration[DURATION_BYTES], rows[24];
    (void)clock_gettime(CLOCK_REALTIME, &now);
    int64_t ns = (now.tv_sec - invocation->started.tv_sec) * 1000000000 + now.tv_nsec -
                 invocation->started.tv_nsec;
    put_time(started, &invocation->started);
    put_time(ended, &now);
    put_duration(duration, ns < 0 ? 0 : ns);
    snprintf(rows, sizeof rows, "%" PRIu64, invocation->rows);
    const struct remora_pair metadata[] = {
        { slice("operation"), slice(invocation->is_query ? "query" : "exec") },
        { slice("sql"), slice(invocation->sql) },
        { slice("start-time"), slice(started) },
        { slice("end-time"), slice(ended) },
        { slice("duration"), slice(duration) },
        { slice("rows-affected"), slice(rows) },
    };
    struct remora_bytes data = { "", 0, NULL, NULL };
    if (invocation->is_query) {
        text_put(&invocation->answer, "]", 1);
        data = (struct remora_bytes){ invocation->answer.bytes, invocation->answer.len, free,
                                      invocation->answer.bytes };
        invocation->answer = (struct text){ 0 }; /* given away */
    }
    remora_binding_reply(invocation->call, data, metadata, invocation->is_query ? 5 : 6, NULL);
}

static void
reply_trouble(struct invocation *invocation, const struct trouble *trouble)
{
    char why[TROUBLE_WHY_BYTES + 64];
    snprintf(why, sizeof why, "%s%s",
             invocation->failed != NULL ? "error serializing results: " : "error executing query: ",
             trouble->why);
    const struct remora_failure failure = { .code = trouble->code,
                                            .effect = trouble->effect,
                                            .message = why };
    remora_reply_failure(invocation->call, &failure);
}

/* --- a statement -------------------------------------------------------------------------------*/

static void
invocation_free(struct invocation *invocation)
{
    invocation->binding->running--;
    params_fini(&invocation->params);
    free(invocation->answer.bytes);
    free(invocation->sql);
    free(invocation);
}

/* The rest of the rows is not wanted, and the connection goes with it. */
static void
give_up(struct invocation *invocation, enum remora_code code, const char *why)
{
    struct trouble trouble = { .code = code, .effect = REMORA_EFFECT_UNKNOWN };
    snprintf(trouble.why, sizeof trouble.why, "%s", why);
    invocation->failed = why;
    pool_abandon(&invocation->job, &trouble);
}

static bool
put_row(struct invocation *invocation, const PGresult *result, int row)
{
    struct text *out = &invocation->answer;
    bool ok = true;
    text_put(out, invocation->rows > 0 ? ",[" : "[", invocation->rows > 0 ? 2 : 1);
    for (int i = 0; ok && i < PQnfields(result); i++) {
        if (i > 0)
            text_put(out, ",", 1);
        if (PQgetisnull(result, row, i))
            text_put(out, "null", strlen("null"));
        else
            ok = cell_put(out, PQftype(result, i), PQgetvalue(result, row, i));
    }
    text_put(out, "]", 1);
    return ok;
}

static bool
on_result(struct job *job, size_t command, PGresult *result)
{
    (void)command;
    struct invocation *invocation = (struct invocation *)job;
    if (!invocation->is_query) {
        if (PQresultStatus(result) != PGRES_SINGLE_TUPLE)
            invocation->rows = pool_rows_changed(result); /* of the last statement */
        return false;
    }
    for (int row = 0; row < PQntuples(result) && invocation->failed == NULL; row++) {
        if (invocation->rows == ROWS_MAX || invocation->answer.len > ANSWER_BYTES_MAX)
            give_up(invocation, REMORA_RESOURCE_EXHAUSTED, "the result is longer than 32 MiB");
        else if (!put_row(invocation, result, row))
            give_up(invocation, REMORA_UNKNOWN, "JSON has nothing for a value of the result");
        else
            invocation->rows++;
    }
    return false;
}

static void submit(struct invocation *invocation);

static void
on_done(struct job *job, const struct trouble *trouble)
{
    struct invocation *invocation = (struct invocation *)job;
    /* A list was meant as an array: its parameter was refused before anything was done. */
    bool is_array = trouble != NULL && invocation->params.has_list && !invocation->has_arrays &&
                    strcmp(trouble->state, "22P02") == 0 &&
                    strstr(trouble->why, "malformed array literal") != NULL;
    if (is_array) {
        invocation->has_arrays = true;
        params_make_arrays(&invocation->params);
        submit(invocation);
        return;
    }
    if (trouble != NULL)
        reply_trouble(invocation, trouble);
    else
        reply(invocation);
    invocation_free(invocation);
}

static void
submit(struct invocation *invocation)
{
    invocation->command = (struct command){
        .statement = -1,
        .sql = invocation->sql,
        .count = invocation->params.count,
        .values = (const char *const *)invocation->params.values
    };
    invocation->job = (struct job){ .commands = &invocation->command,
                                    .count = 1,
                                    .call = invocation->call,
                                    .bytes = strlen(invocation->sql) + 512,
                                    .is_write = true,
                                    .is_exclusive = true,
                                    .is_plain = true,
                                    .is_script = !invocation->is_query &&
                                                 invocation->params.count == 0,
                                    .is_row_by_row = true,
                                    .on_result = on_result,
                                    .done = on_done };
    pool_submit(invocation->binding->pool, &invocation->job);
}

static void
run(remora_call *call, struct binding *binding, const struct remora_binding_request *request)
{
    struct remora_slice sql = { "", 0 }, params = { "", 0 };
    char why[PARAMS_WHY_BYTES];
    (void)remora_metadata_get(request->metadata, request->metadata_count, "sql", &sql);
    (void)remora_metadata_get(request->metadata, request->metadata_count, "params", &params);
    char *text = sql.len > STATEMENT_BYTES_MAX ? NULL : remora_slice_dup(sql);
    if (text == NULL || sql.len == 0) {
        remora_reply_error(call, REMORA_INVALID_ARGUMENT, "%s",
                           text != NULL ? "required metadata not set: sql"
                                        : "the statement is too long or holds a NUL");
        free(text);
        return;
    }
    struct invocation *invocation = memory_new(sizeof *invocation);
    invocation->binding = binding;
    invocation->call = call;
    invocation->sql = text;
    invocation->is_query = remora_slice_eq(request->operation, "query");
    binding->running++;
    (void)clock_gettime(CLOCK_REALTIME, &invocation->started);
    if (!params_init(&invocation->params, params, why)) {
        remora_reply_error(call, REMORA_INVALID_ARGUMENT, "%s", why);
        invocation_free(invocation);
        return;
    }
    text_put(&invocation->answer, "[", 1);
    submit(invocation);
}

static void
invoke(remora_call *call, void *self, const struct remora_binding_request *request)
{
    struct binding *binding = self;
    if (!remora_slice_eq(request->operation, "close")) {
        if (binding->is_closed)
            remora_reply_error(call, REMORA_UNKNOWN, "component is closed");
        else
            run(call, binding, request);
        return;
    }
    binding->is_closed = true;
    if (binding->running == 0) { /* else connections stay until the component goes */
        pool_free(binding->pool);
        binding->pool = NULL;
    }
    remora_reply_ok(call);
}

const struct remora_binding_ops binding_ops = { .operations = "exec,query,close",
                                                .invoke = invoke };

/* --- life --------------------------------------------------------------------------------------*/

void
binding_close(void *self)
{
    struct binding *binding = self;
    pool_free(binding->pool);
    settings_fini(&binding->settings);
    free(binding);
}

struct probe {
    struct job job; /* first */
    struct command command;
    struct binding *binding;
};

static void
on_probed(struct job *job, const struct trouble *trouble)
{
    struct probe *probe = (struct probe *)job;
    struct binding *binding = probe->binding;
    free(probe);
    pool_probe(binding->pool, false);
    if (trouble == NULL) {
        remora_reply_init(binding->init, binding, REMORA_CAP_OUTPUT_BINDING, 0);
        return;
    }
    remora_reply_error(binding->init, REMORA_FAILED_PRECONDITION, "failed to ping the DB: %s",
                       trouble->why);
    remora_post(binding_close, binding); /* the pool is in use up the stack */
}

void
binding_init(remora_call *call, const struct remora_config *config)
{
    char why[SETTINGS_WHY_BYTES];
    struct binding *binding = memory_new(sizeof *binding);
    if (!settings_init(&binding->settings, config, why)) {
        remora_reply_error(call, REMORA_INVALID_ARGUMENT, "%s", why);
        free(binding);
        return;
    }
    binding->init = call;
    binding->pool = pool_new(
        &(struct pool_options){ .settings = &binding->settings, .greeting = GREETING });
    pool_probe(binding->pool, true);
    struct probe *probe = memory_new(sizeof *probe);
    probe->binding = binding;
    probe->command = (struct command){ .statement = -1, .sql = "SELECT 1" };
    probe->job = (struct job){ .commands = &probe->command,
                               .count = 1,
                               .is_exclusive = true,
                               .is_plain = true,
                               .done = on_probed };
    pool_submit(binding->pool, &probe->job);
}
