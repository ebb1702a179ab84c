/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The launcher's story; see launch.h. A pair goes through these steps:
 *
 *   start_pair           the sidecar is started, a greeter waits for its APIs
 *   on_greeter           they answer: the application is started, the sidecar is told about it
 *   on_app_exit          the sidecar is stopped
 *   on_sidecar_exit      the application is stopped, if it has not ended
 *
 * One thread, libev's default loop; the programs are the supervisor's processes (process.h).
 */
#include "launch.h"

#include <assert.h>
#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "greet.h"
#include "outlet.h"
#include "say.h"
#include "supervisor/process.h"

enum {
    APP_INT_MS = 5000,       /* after Ctrl-C, until it is told to terminate */
    APP_TERM_MS = 10000,     /* from there until it is killed */
    SIDECAR_SLACK_MS = 3000, /* beyond the times it was given for its own end */
    KILL_MS = 2000,
    MARK_BYTES = 160,
};

enum greeting { GREETED, WAITING, TELLING };

struct program {
    struct process *process; /* NULL: not started, or gone */
    bool was_started;
    bool was_stopped; /* by us */
    int status;       /* once it is gone: of wait(2) */
    struct stream out;
    char mark[MARK_BYTES];
    const char *log_path; /* NULL: none */
};

struct pair {
    struct launch *launch;
    struct plan *plan;
    struct program sidecar, app;
    bool is_stopping; /* on request */
    bool has_failed;  /* could not be started */
    enum greeting greeting;
    ev_child greeter;
    ev_timer patience; /* with an application that was interrupted */
};

struct launch {
    struct ev_loop *loop;
    struct outlet outlet;
    struct pair *pairs;
    size_t count;
    bool is_template;
    unsigned signals;
    ev_signal on_int, on_term, on_hup;
    struct arena arena;
};

static void start_app(struct pair *pair);

/* --- the end of a pair -------------------------------------------------------------------------*/

static bool
is_over(const struct pair *pair)
{
    return pair->sidecar.process == NULL && pair->app.process == NULL;
}

static struct process_delays
app_delays(void)
{
    return (struct process_delays){ .term_ms = APP_TERM_MS, .kill_ms = KILL_MS };
}

static struct process_delays
sidecar_delays(const struct pair *pair)
{
    const struct options *options = &pair->plan->options;
    uint64_t term_ms = options->grace_ms + options->block_shutdown_ms + SIDECAR_SLACK_MS;
    return (struct process_delays){ .term_ms = term_ms > UINT32_MAX ? UINT32_MAX
                                                                    : (uint32_t)term_ms,
                                    .kill_ms = KILL_MS };
}

static void
end_greeter(struct pair *pair)
{
    if (pair->greeting != GREETED)
        (void)kill(pair->greeter.pid, SIGKILL); /* not waited for yet, so it is ours */
}

static void
stop_sidecar(struct pair *pair)
{
    end_greeter(pair);
    if (pair->sidecar.process == NULL)
        return;
    pair->sidecar.was_stopped = true;
    process_stop(pair->sidecar.process, sidecar_delays(pair));
}

static void
on_impatient(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    struct pair *pair = timer->data;
    if (pair->app.process != NULL)
        process_stop(pair->app.process, app_delays());
}

static void
stop_app(struct pair *pair, int number)
{
    pair->app.was_stopped = true;
    if (number != SIGINT) {
        process_stop(pair->app.process, app_delays());
        return;
    }
    (void)kill(-process_pid(pair->app.process), SIGINT); /* its whole group, as a terminal would */
    ev_timer_set(&pair->patience, APP_INT_MS / 1e3, 0.);
    ev_timer_start(pair->launch->loop, &pair->patience);
}

/* The application first, so that it can say goodbye through its sidecar. */
static void
stop_pair(struct pair *pair, int number)
{
    pair->is_stopping = true;
    if (pair->app.process != NULL)
        stop_app(pair, number);
    else
        stop_sidecar(pair);
}

static void
stop_all(struct launch *launch, int number)
{
    for (size_t i = 0; i < launch->count; i++)
        stop_pair(&launch->pairs[i], number);
}

static void
kill_all(struct launch *launch)
{
    for (size_t i = 0; i < launch->count; i++) {
        struct pair *pair = &launch->pairs[i];
        struct program *programs[] = { &pair->app, &pair->sidecar };
        for (size_t j = 0; j < ARRAY_LEN(programs); j++)
            if (programs[j]->process != NULL) {
                programs[j]->was_stopped = true;
                process_kill(programs[j]->process, app_delays());
            }
    }
}

/* What cannot start takes everything else with it. */
static void
fail(struct pair *pair)
{
    pair->has_failed = true;
    if (pair->launch->is_template)
        stop_all(pair->launch, SIGTERM);
    else
        stop_pair(pair, SIGTERM);
}

static int
code_of(int status)
{
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Of a program that was told to end and did so as told: 0. */
static int
code_of_stopped(int status)
{
    int code = code_of(status);
    return code == 128 + SIGINT || code == 128 + SIGTERM ? 0 : code;
}

static int
pair_code(const struct pair *pair)
{
    const struct program *app = &pair->app, *sidecar = &pair->sidecar;
    if (pair->has_failed)
        return sidecar->was_started && !sidecar->was_stopped && code_of(sidecar->status) != 0
                   ? code_of(sidecar->status)
                   : 1;
    if (app->was_started && !app->was_stopped)
        return code_of(app->status);
    int code = app->was_started ? code_of_stopped(app->status) : 0;
    if (code == 0 && sidecar->was_started)
        code = sidecar->was_stopped ? code_of_stopped(sidecar->status) : code_of(sidecar->status);
    return code;
}

/* --- what programs do --------------------------------------------------------------------------*/

static void
say_end(struct pair *pair, const struct program *program, const char *name)
{
    char text[48];
    struct slice how = process_status_text(program->status, text);
    int code = program->was_stopped ? code_of_stopped(program->status) : code_of(program->status);
    if (code == 0)
        outlet_say(&pair->launch->outlet, "✅  Exited %s successfully", name);
    else
        outlet_say(&pair->launch->outlet, "❌  %s of %s ended: " SLICE_FMT, name, pair->plan->app_id,
                   SLICE_ARG(how));
}

static void
let_go(struct program *program, int status)
{
    program->status = status;
    stream_flush(&program->out);
    process_free(TAKE(program->process));
}

static void
on_app_exit(void *arg, int status)
{
    struct pair *pair = arg;
    let_go(&pair->app, status);
    ev_timer_stop(pair->launch->loop, &pair->patience);
    say_end(pair, &pair->app, "App");
    stop_sidecar(pair);
}

static void
on_sidecar_exit(void *arg, int status)
{
    struct pair *pair = arg;
    let_go(&pair->sidecar, status);
    plan_release(pair->plan);
    say_end(pair, &pair->sidecar, "Dapr");
    end_greeter(pair);
    if (pair->app.process != NULL)
        stop_app(pair, SIGTERM);
    else if (pair->plan->app_argv != NULL && !pair->app.was_started && !pair->is_stopping)
        fail(pair);
}

static void
on_app_output(void *arg, struct slice bytes)
{
    stream_feed(&((struct pair *)arg)->app.out, bytes);
}

static void
on_sidecar_output(void *arg, struct slice bytes)
{
    stream_feed(&((struct pair *)arg)->sidecar.out, bytes);
}

/* --- starting ----------------------------------------------------------------------------------*/

/* In `folder`, NULL: the current one. */
static bool
start_program(struct pair *pair, struct program *program, const char *folder,
              const struct process_command *command, const struct process_hooks *hooks)
{
    struct launch *launch = pair->launch;
    struct diag diag;
    diag_init(&diag, &launch->arena);
    int here = folder == NULL ? -1 : open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder != NULL && (here < 0 || chdir(folder) != 0)) {
        outlet_say(&launch->outlet, "❌  %s: %s", folder, strerror(errno));
        if (here >= 0)
            (void)close(here); /* only read from */
        return false;
    }
    err_t err = process_spawn(launch->loop, command, hooks, &program->process, &diag);
    if (here >= 0 && fchdir(here) != 0)
        outlet_say(&launch->outlet, "⚠  cannot go back to where we were: %s", strerror(errno));
    if (here >= 0)
        (void)close(here); /* only read from */
    program->was_started = err == OK;
    if (err != OK)
        outlet_say(&launch->outlet, "❌  " SLICE_FMT, SLICE_ARG(diag.message));
    return err == OK;
}

static void on_greeter(struct ev_loop *loop, ev_child *watcher, int events);

static void
greet(struct pair *pair, enum greeting greeting, pid_t pid)
{
    if (pid < 0)
        return; /* it was said; the pair goes on without */
    pair->greeting = greeting;
    ev_child_set(&pair->greeter, pid, 0);
    ev_child_start(pair->launch->loop, &pair->greeter);
}

static void
say_up(struct pair *pair)
{
    const char *what = pair->plan->app_argv == NULL ? "Dapr logs" : "Both Dapr and your app logs";
    if (pair->launch->is_template)
        outlet_say(&pair->launch->outlet, "✅  %s is up and running.", pair->plan->app_id);
    else
        outlet_say(&pair->launch->outlet, "✅  You're up and running! %s will appear here.\n", what);
}

static void
on_greeter(struct ev_loop *loop, ev_child *watcher, int events)
{
    (void)events;
    struct pair *pair = watcher->data;
    struct outlet *outlet = &pair->launch->outlet;
    enum greeting greeting = pair->greeting;
    bool ok = WIFEXITED(watcher->rstatus) && WEXITSTATUS(watcher->rstatus) == 0;
    ev_child_stop(loop, watcher);
    pair->greeting = GREETED;
    if (pair->is_stopping || pair->sidecar.process == NULL ||
        process_is_stopping(pair->sidecar.process))
        return;
    if (greeting == WAITING) {
        if (!ok)
            outlet_say(outlet, "⚠  Dapr sidecar might not be responding.");
        plan_release(pair->plan);
        start_app(pair);
    } else if (!ok) {
        outlet_say(outlet, "⚠  Could not update sidecar metadata.");
    }
}

static void
start_app(struct pair *pair)
{
    static const struct process_hooks hooks = { .output = on_app_output, .exited = on_app_exit };
    struct plan *plan = pair->plan;
    pid_t keeper = 0;
    if (plan->app_argv != NULL) {
        struct process_hooks own = hooks;
        own.arg = pair;
        if (!start_program(pair, &pair->app, plan->wish.folder,
                           &(struct process_command){ .path = plan->exec_path,
                                                      .argv = plan->app_argv,
                                                      .envp = plan->app_env },
                           &own)) {
            fail(pair);
            return;
        }
        keeper = process_pid(pair->app.process);
    }
    say_up(pair);
    greet(pair, TELLING, greet_tell(plan, keeper, pair->app.log_path, pair->sidecar.log_path));
}

static void
say_start(struct pair *pair)
{
    const struct plan *plan = pair->plan;
    struct outlet *outlet = &pair->launch->outlet;
    if (plan->app_argv == NULL)
        outlet_say(outlet, "WARNING: no application command found.");
    if (plan->http_socket != NULL)
        outlet_say(outlet, "ℹ️  Starting Dapr with id %s. HTTP Socket: %s. gRPC Socket: %s.",
                   plan->app_id, plan->http_socket, plan->grpc_socket);
    else
        outlet_say(outlet, "ℹ️  Starting Dapr with id %s. HTTP Port: %u. gRPC Port: %u",
                   plan->app_id, plan->options.http_port, plan->options.grpc_port);
    const struct program *programs[] = { &pair->sidecar, &pair->app };
    for (size_t i = 0; i < ARRAY_LEN(programs); i++)
        if (programs[i]->log_path != NULL)
            outlet_say(outlet, "ℹ️  Writing log files to: %s", programs[i]->log_path);
}

static void
start_pair(struct pair *pair)
{
    struct process_hooks hooks = { .arg = pair,
                                   .output = on_sidecar_output,
                                   .exited = on_sidecar_exit };
    say_start(pair);
    if (!start_program(pair, &pair->sidecar, NULL,
                       &(struct process_command){ .path = pair->plan->exec_path,
                                                  .argv = pair->plan->sidecar_argv,
                                                  .envp = pair->plan->sidecar_env },
                       &hooks)) {
        fail(pair);
        return;
    }
    greet(pair, WAITING, greet_wait(pair->plan));
    if (pair->greeting != WAITING)
        start_app(pair);
}

/* --- outputs -----------------------------------------------------------------------------------*/

/* "20261125194500": of all logs of one start. */
static void
stamp(char ret_text[16])
{
    char text[CLOCK_RFC3339_BYTES];
    struct slice now = clock_rfc3339(clock_unix_ms(), text);
    size_t len = 0;
    for (size_t i = 0; i < now.len && len < 14; i++)
        if (now.data[i] >= '0' && now.data[i] <= '9')
            ret_text[len++] = now.data[i];
    ret_text[len] = '\0';
}

/* <folder of the application>/.dapr/logs/<app id>_<kind>_<time>.log */
static void
open_log(struct pair *pair, struct program *program, const char *kind)
{
    struct arena *arena = &pair->launch->arena;
    char when[16];
    stamp(when);
    const char *dapr = path_from(arena, pair->plan->wish.folder, ".dapr");
    const char *logs = path_from(arena, dapr, "logs");
    (void)mkdir(dapr, 0755); /* what is missing shows below */
    (void)mkdir(logs, 0755);
    const char *path =
        arena_printf(arena, "%s/%s_%s_%s.log", logs, pair->plan->app_id, kind, when).data;
    program->out.log_fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (program->out.log_fd < 0)
        complain("%s: %s", path, strerror(errno));
    else
        program->log_path = path;
}

static void
init_program(struct pair *pair, struct program *program, const char *kind, unsigned logs)
{
    static const unsigned colours[] = { 34, 36, 32, 35, 94, 96, 92, 95 };
    struct launch *launch = pair->launch;
    bool is_app = program == &pair->app;
    const char *word = is_app ? "APP" : "DAPR";
    if (launch->is_template)
        (void)snprintf(program->mark, sizeof program->mark, "== %s - %s ==", word,
                       pair->plan->app_id); /* cut if the id is very long */
    else
        (void)snprintf(program->mark, sizeof program->mark, "== %s ==", word); /* fits */
    unsigned colour = is_app ? colours[(size_t)(pair - launch->pairs) % ARRAY_LEN(colours)] : 33;
    stream_init(&program->out, (logs & LOG_TO_CONSOLE) != 0 ? &launch->outlet : NULL, program->mark,
                colour);
    if ((logs & LOG_TO_FILE) != 0)
        open_log(pair, program, kind);
}

static void
on_outlet(void *arg, enum outlet_event event)
{
    struct launch *launch = arg;
    if (event == OUTLET_GONE) {
        stop_all(launch, SIGTERM); /* as SIGPIPE would end a program that prints by itself */
        return;
    }
    for (size_t i = 0; i < launch->count; i++) {
        struct pair *pair = &launch->pairs[i];
        if (pair->app.process != NULL)
            process_hold_output(pair->app.process, event == OUTLET_FULL);
        if (pair->sidecar.process != NULL)
            process_hold_output(pair->sidecar.process, event == OUTLET_FULL);
    }
}

/* --- signals, and the whole --------------------------------------------------------------------*/

static void
on_signal(struct ev_loop *loop, ev_signal *watcher, int events)
{
    (void)loop;
    (void)events;
    struct launch *launch = watcher->data;
    if (launch->signals++ > 0) {
        kill_all(launch);
        outlet_drop(&launch->outlet);
        return;
    }
    outlet_say(&launch->outlet, "ℹ️  terminated signal received: shutting down");
    stop_all(launch, watcher->signum == SIGINT ? SIGINT : SIGTERM);
}

/* One that whoever started us has switched off stays off. */
static void
watch_signal(struct launch *launch, ev_signal *watcher, int number)
{
    struct sigaction action;
    ev_signal_init(watcher, on_signal, number);
    watcher->data = launch;
    if (sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_IGN)
        return;
    ev_signal_start(launch->loop, watcher);
}

static void
init_pair(struct launch *launch, struct pair *pair, struct plan *plan)
{
    *pair = (struct pair){ .launch = launch, .plan = plan };
    ev_child_init(&pair->greeter, on_greeter, 0, 0);
    pair->greeter.data = pair;
    ev_timer_init(&pair->patience, on_impatient, 0., 0.);
    pair->patience.data = pair;
    init_program(pair, &pair->sidecar, "daprd", plan->wish.sidecar_log);
    if (plan->app_argv != NULL)
        init_program(pair, &pair->app, "app", plan->wish.app_log);
}

static bool
all_over(const struct launch *launch)
{
    for (size_t i = 0; i < launch->count; i++)
        if (!is_over(&launch->pairs[i]))
            return false;
    return outlet_is_empty(&launch->outlet);
}

int
launch_run(struct plan *plans, size_t count, bool is_template)
{
    struct launch launch = { .loop = ev_default_loop(0),
                             .pairs = calloc(count, sizeof *launch.pairs),
                             .count = count,
                             .is_template = is_template };
    if (launch.loop == NULL || launch.pairs == NULL)
        abort();
    int code = 0;
    arena_init(&launch.arena);
    (void)signal(SIGPIPE, SIG_IGN); /* errors of write(2) tell */
    outlet_init(&launch.outlet, launch.loop, on_outlet, &launch);
    watch_signal(&launch, &launch.on_int, SIGINT);
    watch_signal(&launch, &launch.on_term, SIGTERM);
    watch_signal(&launch, &launch.on_hup, SIGHUP);
    for (size_t i = 0; i < count; i++)
        init_pair(&launch, &launch.pairs[i], &plans[i]);
    for (size_t i = 0; i < count && launch.signals == 0; i++)
        if (!launch.pairs[i].is_stopping)
            start_pair(&launch.pairs[i]);
    while (!all_over(&launch))
        (void)ev_run(launch.loop, EVRUN_ONCE); /* whether watchers are left does not matter */
    for (size_t i = 0; i < count; i++) {
        struct pair *pair = &launch.pairs[i];
        code = code == 0 ? pair_code(pair) : code;
        stream_fini(&pair->sidecar.out);
        if (pair->plan->app_argv != NULL)
            stream_fini(&pair->app.out);
        plan_release(pair->plan);
    }
    outlet_fini(&launch.outlet);
    arena_fini(&launch.arena);
    free(launch.pairs);
    return code;
}
