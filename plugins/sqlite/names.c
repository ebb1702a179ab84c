/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The resolver. From Start to Quiesce it keeps the row of its own sidecar: written at once, renewed
 * a `timeout` before the others would think it gone, deleted at the end. A question is a short read
 * on the plugin's own thread; whatever writes or may wait for a lock is a job of a database thread.
 */
#include "names.h"

#include <ev.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../shared/monotonic.h"
#include "allocate.h"
#include "host.h"
#include "opening.h"

enum {
    UPDATE_INTERVAL_DEFAULT_MS = 5000,
    RETRY_MS = 1000, /* after a renewal that failed */
    /* Intervals without a word after which a sidecar is gone for good. */
    SILENT_INTERVALS = 3,
    /* How long the sidecar may go on with an answer. A new instance is seen that much later; one
     * that is gone is noticed by whoever calls it. */
    TTL_MS = 1000,
};

struct names {
    struct store_config config;
    int64_t update_interval_ms; /* whole seconds */
    struct database *database;
    struct host host; /* constant once initialised; jobs read it */
    ev_timer renewal, cleanup;
    unsigned jobs; /* on their way; each holds this */
    bool is_registered;
    bool is_closed;
    bool has_lost;     /* another sidecar has the address, and that has been said */
    bool is_reopening; /* the file was taken away, it is made anew */
    bool has_tables;   /* false after that has failed */
};

/* --- jobs --------------------------------------------------------------------------------------*/

struct host_job {
    struct job job; /* first */
    struct names *names;
    remora_call *call; /* NULL: nobody waits for it */
    bool is_ours;
    struct remora_slice app_id; /* in the call's memory */
    struct hosts *hosts;
};

static void
free_if_done(struct names *names)
{
    if (!names->is_closed || names->jobs > 0)
        return;
    database_release(names->database);
    store_config_fini(&names->config);
    free(names->host.address);
    free(names->host.app_id);
    free(names);
}

/* The end of each `finish`. */
static void
end_job(struct host_job *job)
{
    struct names *names = job->names;
    failure_free(job->job.failure);
    free(job->hosts);
    free(job);
    names->jobs--;
    free_if_done(names);
}

static void
submit(struct names *names, remora_call *call, struct worker *worker, const struct host_job *wanted)
{
    struct host_job *job = allocate(sizeof(*job));
    *job = *wanted;
    job->names = names;
    job->call = call;
    job->job.bytes = sizeof(*job);
    job->job.deadline_ms = monotonic_now_ms() + (uint64_t)names->config.timeout_ms;
    names->jobs++;
    struct failure *failure = worker_submit(worker, &job->job);
    if (failure != NULL) {
        job->job.failure = failure;
        job->job.finish(&job->job);
    } else {
        worker_flush(worker); /* a timer has no turn of incoming calls that would do it */
    }
}

static int64_t
seconds(const struct names *names, int64_t intervals)
{
    return intervals * names->update_interval_ms / 1000;
}

/* --- the own sidecar ---------------------------------------------------------------------------*/

static void
set_timer(ev_timer *timer, int64_t ms)
{
    ev_timer_stop(remora_loop(), timer);
    ev_timer_set(timer, (double)ms / 1000, 0);
    ev_timer_start(remora_loop(), timer);
}

static void
stop_timers(struct names *names)
{
    ev_timer_stop(remora_loop(), &names->renewal);
    ev_timer_stop(remora_loop(), &names->cleanup);
}

static void
run_register(struct job *job, struct connection *connection)
{
    const struct names *names = ((struct host_job *)job)->names;
    job->failure = host_register(connection, names->config.table, &names->host);
}

static void
finish_register(struct job *job)
{
    struct host_job *self = (struct host_job *)job;
    struct names *names = self->names;
    if (job->failure != NULL) {
        remora_reply_failure(self->call, &job->failure->base);
    } else {
        names->is_registered = true;
        set_timer(&names->renewal, names->update_interval_ms - names->config.timeout_ms);
        if (names->config.cleanup_interval_ms > 0)
            set_timer(&names->cleanup, names->config.cleanup_interval_ms);
        remora_reply_ok(self->call);
    }
    end_job(self);
}

static void
run_renew(struct job *job, struct connection *connection)
{
    struct host_job *self = (struct host_job *)job;
    const struct names *names = self->names;
    job->failure = host_renew(connection, names->config.table, &names->host,
                              seconds(names, SILENT_INTERVALS), &self->is_ours);
}

static void
finish_renew(struct job *job)
{
    struct host_job *self = (struct host_job *)job;
    struct names *names = self->names;
    int64_t next_ms = names->update_interval_ms - names->config.timeout_ms;
    if (job->failure != NULL) {
        remora_log(REMORA_ERROR, "Failed to update host registration: %s",
                   job->failure->base.message);
        next_ms = next_ms < RETRY_MS ? next_ms : RETRY_MS;
    } else {
        if (!self->is_ours && !names->has_lost)
            remora_log(REMORA_WARN, "host registration lost: another sidecar has registered %s",
                       names->host.address);
        names->has_lost = !self->is_ours;
    }
    if (names->is_registered)
        set_timer(&names->renewal, next_ms);
    end_job(self);
}

/* Somebody has deleted the file or put another one in its place. What was in it is worth nothing:
 * each sidecar says again that it is there. */
static void
on_reopened(void *arg, struct failure *failure)
{
    struct names *names = arg;
    names->is_reopening = false;
    names->has_tables = failure == NULL;
    names->jobs--;
    if (failure != NULL)
        remora_log(REMORA_ERROR, "Failed to update host registration: %s", failure->message);
    failure_free(failure);
    if (names->is_registered)
        set_timer(&names->renewal, failure == NULL ? 0 : RETRY_MS);
    free_if_done(names);
}

static void
reopen(struct names *names)
{
    struct database *gone = names->database;
    struct database_config config;
    database_config_copy(&config, &gone->config);
    names->database = database_take(&config);
    database_config_fini(&config); /* empty if it was moved */
    database_release(gone);
    names->is_reopening = true;
    names->jobs++;
    database_open(names->database,
                  &(struct tables){ .schema = &schema_hosts,
                                    .table = names->config.table,
                                    .metadata_table = names->config.metadata_table },
                  on_reopened, names);
    worker_flush(&names->database->writer);
}

static void
on_renewal_due(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop, (void)events;
    struct names *names = timer->data;
    if (names->is_reopening)
        return;
    if (!names->has_tables || !database_is_usable(names->database))
        reopen(names);
    else
        submit(names, NULL, &names->database->writer,
               &(struct host_job){ .job = { .run = run_renew, .finish = finish_renew } });
}

static void
run_remove(struct job *job, struct connection *connection)
{
    const struct names *names = ((struct host_job *)job)->names;
    job->failure = host_remove(connection, names->config.table, &names->host);
}

/* That a row stays is no reason to stay oneself: it becomes silent. */
static void
finish_remove(struct job *job)
{
    struct host_job *self = (struct host_job *)job;
    if (job->failure != NULL)
        remora_log(REMORA_WARN, "%s", job->failure->base.message);
    if (self->call != NULL)
        remora_reply_ok(self->call);
    end_job(self);
}

/* Once; `call` may be NULL. */
static void
unregister(struct names *names, remora_call *call)
{
    stop_timers(names);
    if (!names->is_registered) {
        if (call != NULL)
            remora_reply_ok(call);
        return;
    }
    names->is_registered = false;
    submit(names, call, &names->database->writer,
           &(struct host_job){ .job = { .run = run_remove, .finish = finish_remove } });
}

static void
run_clean(struct job *job, struct connection *connection)
{
    const struct names *names = ((struct host_job *)job)->names;
    job->failure = hosts_clean(connection, names->config.table, names->config.metadata_table,
                               names->config.cleanup_interval_ms, seconds(names, SILENT_INTERVALS));
}

static void
finish_clean(struct job *job)
{
    struct host_job *self = (struct host_job *)job;
    if (job->failure != NULL)
        remora_log(REMORA_WARN, "%s", job->failure->base.message);
    if (self->names->is_registered)
        set_timer(&self->names->cleanup, self->names->config.cleanup_interval_ms);
    end_job(self);
}

static void
on_cleanup_due(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop, (void)events;
    struct names *names = timer->data;
    submit(names, NULL, &names->database->writer,
           &(struct host_job){ .job = { .run = run_clean, .finish = finish_clean } });
}

/* --- the others --------------------------------------------------------------------------------*/

static void
reply_hosts(remora_call *call, const struct hosts *hosts)
{
    if (hosts->count == 0)
        remora_reply_error(call, REMORA_NOT_FOUND, "no host found with the given ID");
    else
        remora_name_reply(call, hosts->addresses, hosts->count, TTL_MS);
}

static struct failure *
find(const struct names *names, struct connection *connection, struct remora_slice app_id,
     struct hosts **ret_hosts)
{
    return hosts_find(connection, names->config.table, app_id, seconds(names, 1),
                      seconds(names, SILENT_INTERVALS), ret_hosts);
}

static void
run_find(struct job *job, struct connection *connection)
{
    struct host_job *self = (struct host_job *)job;
    job->failure = connection_check_file(connection);
    if (job->failure == NULL)
        job->failure = find(self->names, connection, self->app_id, &self->hosts);
}

static void
finish_find(struct job *job)
{
    struct host_job *self = (struct host_job *)job;
    struct names *names = self->names;
    if (job->failure != NULL)
        remora_reply_failure(self->call, &job->failure->base);
    else
        reply_hosts(self->call, self->hosts);
    /* Sooner than at its turn. */
    if (names->is_registered && !database_is_usable(names->database))
        set_timer(&names->renewal, 0);
    end_job(self);
}

static void
resolve(remora_call *call, void *self, const struct remora_name_query *query)
{
    struct names *names = self;
    if (query->id.len > APP_ID_BYTES_MAX) {
        remora_reply_error(call, REMORA_INVALID_ARGUMENT, "the application's id is too long");
        return;
    }
    struct connection *reader = database_reader(names->database);
    struct hosts *hosts = NULL;
    struct failure *failure = reader != NULL ? find(names, reader, query->id, &hosts) : NULL;
    if (reader == NULL || failure_is_lock(failure))
        submit(names, call, database_reads(names->database),
               &(struct host_job){ .job = { .run = run_find, .finish = finish_find },
                                   .app_id = query->id });
    else if (failure != NULL)
        remora_reply_failure(call, &failure->base);
    else
        reply_hosts(call, hosts);
    failure_free(failure);
    free(hosts);
}

const struct remora_name_ops names_ops = { .resolve = resolve };

/* --- life --------------------------------------------------------------------------------------*/

static const struct store_defaults defaults = {
    .table = "hosts",
    .invalid_table = "invalid identifier for table name",
    .invalid_metadata_table = "invalid identifier for metadata table name",
    /* Low: a caller waits meanwhile. */
    .timeout_ms = 1000,
    .busy_timeout_ms = 800,
    .cleanup_interval_ms = 3600 * 1000,
};

static bool
read_instance(struct names *names, const struct remora_instance *instance, char *error)
{
    const char *missing = instance->app_id.len == 0         ? "name is missing"
                          : instance->host_address.len == 0 ? "address is missing"
                          : instance->internal_port == 0    ? "port is missing or invalid"
                                                            : NULL;
    char *host = missing == NULL ? remora_slice_dup(instance->host_address) : NULL;
    char address[ADDRESS_BYTES_MAX];
    int len = host == NULL ? 0
                           : snprintf(address, sizeof(address),
                                      strchr(host, ':') != NULL ? "[%s]:%u" : "%s:%u", host,
                                      instance->internal_port);
    free(host);
    if (missing == NULL && (len <= 0 || (size_t)len >= sizeof(address)))
        missing = "address is invalid";
    if (missing == NULL && instance->app_id.len > APP_ID_BYTES_MAX)
        missing = "name is too long";
    if (missing != NULL) {
        snprintf(error, FAILURE_BYTES_MAX, "%s", missing);
        return false;
    }
    names->host.app_id = remora_slice_dup(instance->app_id);
    names->host.address = strdup(address);
    if (names->host.address == NULL)
        abort();
    remora_uuid(names->host.registration_id);
    return true;
}

static bool
read_interval(struct names *names, const struct remora_config *config, char *error)
{
    const char *wrong = NULL;
    names->update_interval_ms = UPDATE_INTERVAL_DEFAULT_MS;
    if (!config_read_duration(config, "updateInterval", NULL, &names->update_interval_ms, error))
        return false;
    if (names->update_interval_ms % 1000 != 0)
        wrong = "update interval must not contain fractions of seconds";
    else if (names->update_interval_ms - names->config.timeout_ms < 1000)
        wrong = "update interval must be at least 1s greater than timeout";
    else if (names->update_interval_ms > UPDATE_INTERVAL_MAX_MS)
        wrong = "update interval must not be greater than 24h";
    if (wrong != NULL)
        snprintf(error, FAILURE_BYTES_MAX, "%s", wrong);
    return wrong == NULL;
}

struct initialising {
    remora_call *call;
    struct names *names;
};

static void
on_opened(void *arg, struct failure *failure)
{
    struct initialising *initialising = arg;
    if (failure != NULL) {
        remora_reply_failure(initialising->call, &failure->base);
        failure_free(failure);
        names_close(initialising->names);
    } else {
        initialising->names->has_tables = true;
        remora_reply_init(initialising->call, initialising->names, 0, 0);
    }
    free(initialising);
}

static void
say_what_is_odd(const struct names *names)
{
    if (names->config.database.in_memory)
        remora_log(REMORA_WARN, "Configuring name resolution with an in-memory SQLite database. "
                                "Service invocation across different apps will not work.");
    if (*names->config.warning != '\0')
        remora_log(REMORA_WARN, "name resolution: %s", names->config.warning);
}

void
names_init(remora_call *call, const struct remora_config *config)
{
    char error[FAILURE_BYTES_MAX];
    struct names *names = allocate(sizeof(*names));
    ev_timer_init(&names->renewal, on_renewal_due, 0, 0);
    ev_timer_init(&names->cleanup, on_cleanup_due, 0, 0);
    names->renewal.data = names->cleanup.data = names;
    bool ok = read_instance(names, &config->instance, error) &&
              store_config_init(&names->config, &defaults, config, error);
    if (!ok || !read_interval(names, config, error)) {
        if (ok)
            store_config_fini(&names->config);
        free(names->host.address);
        free(names->host.app_id);
        free(names);
        remora_reply_error(call, REMORA_INVALID_ARGUMENT, "%s", error);
        return;
    }
    say_what_is_odd(names);
    names->database = database_take(&names->config.database);
    struct initialising *initialising = allocate(sizeof(*initialising));
    *initialising = (struct initialising){ .call = call, .names = names };
    database_open(names->database,
                  &(struct tables){ .schema = &schema_hosts,
                                    .table = names->config.table,
                                    .metadata_table = names->config.metadata_table },
                  on_opened, initialising);
}

void
names_start(remora_call *call, void *self)
{
    struct names *names = self;
    submit(names, call, &names->database->writer,
           &(struct host_job){ .job = { .run = run_register, .finish = finish_register } });
}

void
names_quiesce(remora_call *call, void *self)
{
    unregister(self, call);
}

void
names_close(void *self)
{
    struct names *names = self;
    names->is_closed = true;
    unregister(names, NULL);
    free_if_done(names);
}
