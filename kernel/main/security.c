/* SPDX-License-Identifier: Apache-2.0 */
/* The sidecar's identity in the mesh, from its first moment to its last; see security.h. */
#include "main/security.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/log.h"
#include "config/file.h"
#include "http/spiffe.h"
#include "http/tls.h"
#include "main/runtime.h"
#include "main/watch.h"
#include "peer/keeper.h"
#include "telemetry/metrics.h"

#define SCOPE "dapr.runtime.security"

enum { SETTLE_MS = 100, LOOK_MS = 5000, WAIT_FOR_FILE_MS = 500 };

struct security {
    struct runtime *runtime;
    struct worker worker; /* of the keeper alone: it must work before the others may begin */
    bool has_worker;
    bool is_stopped;
    struct keeper keeper; /* the worker's */
    struct sentry_config config;
    struct identity *identity; /* counted; NULL: not yet */
    char *anchors;             /* PEM, in force; owned */
    struct watch watch;
    ev_io on_watch;
    ev_timer on_settled; /* a file that changes is read once it is written */
    ev_timer on_look;    /* and now and then, where no event comes */
    struct mail start_mail, stop_mail;
};

/* --- identities come ---------------------------------------------------------------------------*/

/* Sent to the main thread, then to every worker. */
struct identity_letter {
    struct mail mail;
    struct security *security;
    struct runtime_worker *worker;
    struct identity *identity; /* counted */
    bool is_renewal;
};

/* Worker, in no task. */
static void
on_worker_mail(struct mail *mail)
{
    struct identity_letter *letter = container_of(mail, struct identity_letter, mail);
    struct runtime_worker *worker = letter->worker;
    identity_unref(worker->kernel_worker.identity);
    worker->kernel_worker.identity = letter->identity;
    for (size_t i = 0; i < worker->server_count; i++)
        if (h1_server_has_tls(worker->servers[i]))
            h1_server_set_tls(worker->servers[i], letter->identity->server);
    peers_use(worker->kernel_worker.peers, letter->identity->client);
    free(letter);
}

static struct identity_letter *
letter_new(struct security *security, struct identity *identity)
{
    struct identity_letter *letter = malloc(sizeof *letter);
    if (letter == NULL)
        abort();
    *letter = (struct identity_letter){ .security = security, .identity = identity };
    return letter;
}

static void
publish(struct security *security)
{
    struct runtime *runtime = security->runtime;
    for (unsigned i = 0; i < runtime->worker_count; i++) {
        struct identity_letter *letter = letter_new(security, identity_ref(security->identity));
        letter->worker = &runtime->workers[i];
        worker_post(&letter->worker->kernel_worker.worker, &letter->mail, on_worker_mail);
    }
}

/* Main thread. */
static void
on_identity_mail(struct mail *mail)
{
    struct identity_letter *letter = container_of(mail, struct identity_letter, mail);
    struct security *security = letter->security;
    bool is_renewal = letter->is_renewal && security->identity != NULL;
    struct identity *old = security->identity;
    security->identity = letter->identity;
    free(letter);
    identity_unref(old);
    if (security->is_stopped)
        return;
    if (is_renewal)
        metrics_record(metrics_series(METRICS_mtls_rotated, NULL), 0);
    publish(security);
}

/* The keeper's thread. */
static void
on_identity(void *arg, struct identity *identity, bool is_renewal)
{
    struct security *security = arg;
    struct identity_letter *letter = letter_new(security, identity);
    letter->is_renewal = is_renewal;
    mailbox_post(&security->runtime->control, &letter->mail, on_identity_mail);
}

/* Main thread. */
static void
on_failure_mail(struct mail *mail)
{
    free(container_of(mail, struct identity_letter, mail));
    metrics_record(metrics_series(METRICS_mtls_rotate_fail, &SLICE("sign")), 0);
}

/* The keeper's thread. */
static void
on_failure(void *arg)
{
    struct security *security = arg;
    mailbox_post(&security->runtime->control, &letter_new(security, NULL)->mail, on_failure_mail);
}

struct identity *
security_identity(const struct runtime *runtime)
{
    return runtime->security == NULL ? NULL : runtime->security->identity;
}

/* --- trust anchors -----------------------------------------------------------------------------*/

static bool
are_anchors(const char *pem)
{
    struct stack_st_X509 *certs = spiffe_read_pem(slice_str(pem));
    bool is_good = certs != NULL;
    spiffe_free(certs);
    return is_good;
}

/* NULL, with words: it cannot be read. The caller frees it. */
static char *
read_anchors(struct arena *arena, const char *path, const char **ret_words)
{
    size_t len;
    char *bytes = file_read(arena, path, &len, ret_words);
    if (bytes == NULL)
        return NULL;
    char *text = slice_dup_str(slice_of(bytes, len));
    free(bytes);
    if (text != NULL && are_anchors(text))
        return text;
    free(text);
    *ret_words = "failed to decode trust anchors";
    return NULL;
}

struct anchors_letter {
    struct mail mail;
    struct security *security;
    char *anchors; /* owned */
};

/* The keeper's thread. */
static void
on_anchors_mail(struct mail *mail)
{
    struct anchors_letter *letter = container_of(mail, struct anchors_letter, mail);
    keeper_trust(&letter->security->keeper, slice_str(letter->anchors));
    free(letter->anchors);
    free(letter);
}

static void
use_anchors(struct security *security, char *anchors)
{
    struct anchors_letter *letter = malloc(sizeof *letter);
    if (letter == NULL)
        abort();
    free(security->anchors);
    security->anchors = anchors;
    *letter = (struct anchors_letter){ .security = security,
                                       .anchors = slice_dup_str(slice_str(anchors)) };
    worker_post(&security->worker, &letter->mail, on_anchors_mail);
}

static void
look_at_anchors(struct security *security)
{
    const char *path = security->runtime->options.trust_anchors_file.data, *words;
    struct arena scratch;
    arena_init(&scratch);
    char *text = read_anchors(&scratch, path, &words);
    if (text == NULL) {
        log_error(SCOPE, "Failed to read trust anchors file '%s': %s; those in force stay so", path,
                  words);
    } else if (strcmp(text, security->anchors) != 0) {
        log_info(SCOPE, "Trust anchors file changed, reloading trust anchors");
        use_anchors(security, TAKE(text));
    }
    free(text);
    arena_fini(&scratch);
}

static void
on_settled(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    look_at_anchors(timer->data);
}

static void
on_event(void *arg, unsigned kinds, int id, const char *name)
{
    (void)kinds;
    (void)id;
    (void)name; /* a cluster exchanges a folder beside the file's name: everything is news */
    struct security *security = arg;
    ev_timer_again(security->runtime->loop, &security->on_settled);
}

static void
on_watch(struct ev_loop *loop, ev_io *watcher, int events)
{
    (void)loop;
    (void)events;
    struct security *security = watcher->data;
    watch_read(&security->watch, on_event, security);
}

/* A timer that is armed anew repeats, this one is not to. */
static void
on_settled_once(struct ev_loop *loop, ev_timer *timer, int events)
{
    ev_timer_stop(loop, timer);
    on_settled(loop, timer, events);
}

static void
watch_anchors(struct security *security)
{
    struct ev_loop *loop = security->runtime->loop;
    const char *path = security->runtime->options.trust_anchors_file.data;
    char folder[WATCH_FOLDER_BYTES];
    log_info(SCOPE, "Watching trust anchors file '%s' for changes", path);
    ev_init(&security->on_settled, on_settled_once);
    security->on_settled.repeat = SETTLE_MS / 1000.;
    ev_timer_init(&security->on_look, on_settled, LOOK_MS / 1000., LOOK_MS / 1000.);
    security->on_settled.data = security->on_look.data = security->on_watch.data = security;
    ev_timer_start(loop, &security->on_look);
    if (!watch_open(&security->watch))
        return; /* then looking has to do */
    if (watch_folder_of(path, folder))
        watch_folder(&security->watch, folder, WATCH_ANCHORS, false);
    ev_io_init(&security->on_watch, on_watch, security->watch.fd, EV_READ);
    security->on_watch.data = security;
    ev_io_start(loop, &security->on_watch);
}

static void
unwatch_anchors(struct security *security)
{
    struct ev_loop *loop = security->runtime->loop;
    ev_timer_stop(loop, &security->on_settled);
    ev_timer_stop(loop, &security->on_look);
    if (security->watch.fd < 0)
        return;
    ev_io_stop(loop, &security->on_watch);
    watch_close(&security->watch);
}

/* --- start -------------------------------------------------------------------------------------*/

static bool
fatal(const char *words, const char *more)
{
    log_fatal("dapr.runtime", "Fatal error from runtime: %s%s", words, more);
    return false;
}

static void
on_pause_over(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)timer;
    (void)events;
}

/* Runs the main loop until something has happened, or for so long. */
static void
pause_start(struct runtime *runtime, double seconds)
{
    ev_timer timer;
    ev_now_update(runtime->loop);
    ev_timer_init(&timer, on_pause_over, seconds, 0.);
    ev_timer_start(runtime->loop, &timer);
    ev_run(runtime->loop, EVRUN_ONCE);
    ev_timer_stop(runtime->loop, &timer);
}

/* Who provides the file may be later than we are. */
static bool
first_anchors(struct security *security)
{
    struct runtime *runtime = security->runtime;
    const struct options *options = &runtime->options;
    const char *path = options->trust_anchors_file.data, *words = "";
    struct stat info;
    if (options->trust_anchors_file.len == 0) {
        security->anchors = slice_dup_str(options->trust_anchors);
        return are_anchors(security->anchors) || fatal("failed to decode trust anchors", "");
    }
    for (bool is_told = false; stat(path, &info) != 0 || info.st_size == 0; is_told = true) {
        if (!is_told)
            log_warn(SCOPE, "Trust anchors file '%s' not found, waiting...", path);
        pause_start(runtime, WAIT_FOR_FILE_MS / 1000.);
        if (runtime->ending.stage != STAGE_WORKING)
            return false;
    }
    security->anchors = read_anchors(&runtime->arena, path, &words);
    if (security->anchors == NULL)
        return fatal("failed to read trust anchors file: ", words);
    watch_anchors(security);
    return true;
}

static bool
configure_sentry(struct security *security)
{
    struct runtime *runtime = security->runtime;
    const struct options *options = &runtime->options;
    struct slice domain = options->control_plane_trust_domain;
    struct slice server_id = arena_printf(
        &runtime->arena, "spiffe://" SLICE_FMT "/ns/" SLICE_FMT "/dapr-sentry", SLICE_ARG(domain),
        SLICE_ARG(options->control_plane_namespace));
    struct spiffe_id id;
    const char *error = sentry_address_error(options->sentry_address);
    if (!spiffe_trust_domain_is_valid(domain))
        return fatal("invalid control plane trust domain: ", domain.data);
    if (!spiffe_parse(server_id, &id))
        return fatal("invalid control plane namespace: ", options->control_plane_namespace.data);
    if (error != NULL)
        return fatal(error, "");
    bool has_namespace = options->namespace_name.len > 0;
    security->config = (struct sentry_config){
        .address = options->sentry_address,
        .server_id = server_id,
        .app_id = options->sentry_identity.len > 0 ? options->sentry_identity : options->app_id,
        .namespace_ = has_namespace ? options->namespace_name : SLICE("default"),
        .token_file = options->sentry_token_file,
        .in_cluster = slice_eq(options->mode, SLICE("kubernetes")),
        .jwt_audiences = options->sentry_jwt_audiences.items,
        .jwt_audience_count = options->sentry_jwt_audiences.count,
    };
    return true;
}

/* The keeper's thread. */
static void
on_start_mail(struct mail *mail)
{
    keeper_start(&container_of(mail, struct security, start_mail)->keeper);
}

static bool
start_keeper(struct security *security)
{
    if (worker_init(&security->worker, security->runtime->options.worker_count) != OK)
        return fatal("cannot create the worker of the identity", "");
    keeper_init(&security->keeper, &security->worker, &security->config,
                slice_str(security->anchors));
    security->keeper.arg = security;
    security->keeper.on_identity = on_identity;
    security->keeper.on_failure = on_failure;
    worker_post(&security->worker, &security->start_mail, on_start_mail);
    security->has_worker = true;
    return worker_start(&security->worker) == OK ||
           fatal("cannot start the worker of the identity", "");
}

bool
security_start(struct runtime *runtime)
{
    if (!runtime->options.enable_mtls) {
        log_warn(SCOPE, "mTLS is disabled. Skipping certificate request and tls validation");
        return true;
    }
    struct security *security = calloc(1, sizeof *security);
    if (security == NULL)
        abort();
    security->runtime = runtime;
    security->watch.fd = -1;
    runtime->security = security;
    if (!configure_sentry(security) || !first_anchors(security) || !start_keeper(security))
        return false;
    while (security->identity == NULL && runtime->ending.stage == STAGE_WORKING)
        ev_run(runtime->loop, EVRUN_ONCE);
    return security->identity != NULL && runtime->ending.stage == STAGE_WORKING;
}

/* --- end ---------------------------------------------------------------------------------------*/

/* The keeper's thread. */
static void
on_stop_mail(struct mail *mail)
{
    keeper_stop(&container_of(mail, struct security, stop_mail)->keeper);
}

void
security_stop(struct runtime *runtime)
{
    struct security *security = runtime->security;
    if (security == NULL)
        return;
    security->is_stopped = true;
    unwatch_anchors(security);
    if (!security->has_worker)
        return;
    worker_post(&security->worker, &security->stop_mail, on_stop_mail);
    worker_stop(&security->worker);
    worker_join(&security->worker);
}

void
security_free(struct runtime *runtime)
{
    struct security *security = TAKE(runtime->security);
    if (security == NULL)
        return;
    if (security->has_worker) {
        keeper_fini(&security->keeper);
        worker_fini(&security->worker);
    }
    identity_unref(security->identity);
    free(security->anchors);
    free(security);
}
