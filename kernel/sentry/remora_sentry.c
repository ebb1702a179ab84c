/* SPDX-License-Identifier: Apache-2.0 */
/*
 * remora-sentry: the certificate authority of a mesh, in place of the reference's. The main thread
 * reads files, waits for signals and for changes of the files, and renews the server's own
 * certificate; one worker answers. What the worker uses is handed to it by message.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "async/listener.h"
#include "async/offload.h"
#include "async/worker.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/version.h"
#include "config/file.h"
#include "http/h1_server.h"
#include "http/tls.h"
#include "sentry/authority.h"
#include "sentry/credentials.h"
#include "sentry/file_watch.h"
#include "sentry/join_tokens.h"
#include "sentry/jwks.h"
#include "sentry/jwks_fetch.h"
#include "sentry/key.h"
#include "sentry/service.h"
#include "telemetry/metrics.h"

#define SCOPE "dapr.sentry"
#define SCOPE_SERVER "dapr.sentry.server"
#define SCOPE_SECURITY "dapr.runtime.security"

#define WARN_BEFORE_MS (30LL * 24 * 3600 * 1000) /* credentials that end */

enum {
    OWN_LIFETIME_MS = 3600 * 1000, /* of the server's certificate at least, however short others */
    RENEW_AGAIN_MS = 10 * 1000,
    DRAIN_LOOK_MS = 10,
};

enum { SHARD_WORKER, SHARD_MAIN, SHARDS };

/* What has to be read anew. */
enum { GROUP_CREDENTIALS = 1, GROUP_JOIN = 2, GROUP_JWKS = 4 };

struct sentry {
    struct arena arena; /* of the options */
    struct sentry_options options;
    struct metrics *metrics;
    struct authority *authority; /* main's reference */
    int64_t expires_unix_ms;     /* the server's certificate */
    int64_t renew_unix_ms;       /* it is made anew */
    struct file_watch watch;
    int signals; /* descriptor */

    struct worker worker;
    /* The worker's. */
    struct service service;
    struct jwks_fetch fetch;
    struct h1_server *server, *health, *exposition;
    struct timer drain_timer;
    uint64_t drain_until_ms;
    struct mail begin_mail;
    struct mail end_mail;
};

/* --- handing over ------------------------------------------------------------------------------*/

struct update {
    struct mail mail;
    struct sentry *sentry;
    struct service_parts parts;
    struct tls_context *tls; /* moved; NULL: stays */
};

/* Worker. */
static void
on_update(struct mail *mail)
{
    struct update *update = container_of(mail, struct update, mail);
    service_take(&update->sentry->service, &update->parts);
    if (update->tls != NULL)
        h1_server_set_tls(update->sentry->server, update->tls);
    tls_context_unref(update->tls);
    free(update);
}

static void
hand_over(struct sentry *sentry, struct service_parts parts, struct tls_context *tls)
{
    struct update *update = malloc(sizeof *update);
    if (update == NULL)
        abort();
    *update = (struct update){ .sentry = sentry, .parts = parts, .tls = tls };
    worker_post(&sentry->worker, &update->mail, on_update);
}

/* --- the server's own certificate --------------------------------------------------------------*/

static struct tls_context *
tls_of(struct slice chain, EVP_PKEY *key)
{
    struct key_text text;
    if (!key_write(key, &text))
        return NULL;
    struct tls_context *tls = tls_context_new(
        &(struct tls_config){ .is_server = true,
                              .cert = chain,
                              .key = slice_of(text.data, text.len),
                              .alpn = SLICE("h2") });
    key_text_free(&text);
    return tls;
}

static void
log_renewal(const struct sentry *sentry)
{
    char expires[CLOCK_RFC3339_BYTES], renewal[CLOCK_RFC3339_BYTES];
    log_info(SCOPE_SECURITY,
             "Starting workload identity expiry watcher; cert expires on: " SLICE_FMT
             ", renewal at: " SLICE_FMT,
             SLICE_ARG(clock_rfc3339(sentry->expires_unix_ms, expires)),
             SLICE_ARG(clock_rfc3339(sentry->renew_unix_ms, renewal)));
    const int64_t end_ms = authority_not_after_s(sentry->authority) * 1000;
    if (end_ms - clock_unix_ms() < WARN_BEFORE_MS)
        log_warn(SCOPE, "The issuer credentials expire on " SLICE_FMT ": nothing is signed beyond",
                 SLICE_ARG(clock_rfc3339(end_ms, expires)));
}

/* NULL with an error in the log. */
static struct tls_context *
own_tls(struct sentry *sentry, struct arena *scratch)
{
    const struct sentry_options *options = &sentry->options;
    struct diag diag;
    struct signed_certificate made = { 0 };
    struct tls_context *tls = NULL;
    const struct sign_request request = {
        .public_key = key_generate(),
        .spiffe_id = options->own_id,
        .lifetime_ms = options->lifetime_ms > OWN_LIFETIME_MS ? options->lifetime_ms
                                                              : OWN_LIFETIME_MS,
        .skew_ms = options->skew_ms,
    };
    diag_init(&diag, scratch);
    if (request.public_key == NULL)
        (void)DIAG_FAIL(&diag, ERR_INTERNAL, "no key can be made");
    else if (authority_sign(sentry->authority, scratch, &request, &made, &diag) == OK)
        tls = tls_of(made.chain, request.public_key);
    EVP_PKEY_free(request.public_key);
    if (tls != NULL) {
        const int64_t now_ms = clock_unix_ms();
        sentry->expires_unix_ms = made.not_after_s * 1000;
        sentry->renew_unix_ms = now_ms + (sentry->expires_unix_ms - now_ms) / 2;
        return tls;
    }
    const struct slice reason = SLICE("ca_error");
    metrics_record(metrics_series(METRICS_sentry_server_failed, &reason), 1);
    sentry->renew_unix_ms = clock_unix_ms() + RENEW_AGAIN_MS;
    log_error(SCOPE_SECURITY, "failed to make the server's certificate: " SLICE_FMT,
              SLICE_ARG(diag.message));
    return NULL;
}

static void
renew(struct sentry *sentry)
{
    struct arena scratch;
    arena_init(&scratch);
    struct tls_context *tls = own_tls(sentry, &scratch);
    if (tls != NULL) {
        hand_over(sentry, (struct service_parts){ 0 }, tls);
        log_renewal(sentry);
    }
    arena_fini(&scratch);
}

/* --- files -------------------------------------------------------------------------------------*/

static err_t
read_join_tokens(const struct sentry_options *options, struct arena *scratch,
                 struct join_tokens **ret_tokens, struct diag *diag)
{
    const char *path = options->join_token_file.data, *words;
    size_t len;
    char *text = file_read(scratch, path, &len, &words);
    if (text == NULL)
        return DIAG_FAIL(diag, ERR_CONFIG, "open %s: %s", path, words);
    err_t err = join_tokens_parse(slice_of(text, len), ret_tokens, diag);
    explicit_bzero(text, len);
    free(text);
    return err;
}

/* From a file or the Configuration itself. */
static err_t
read_jwks(const struct sentry_options *options, struct arena *scratch, struct jwks **ret_set,
          struct diag *diag)
{
    const struct jwks_source *source = &options->jwks;
    const char *words;
    size_t len;
    if (source->inline_set.len > 0)
        return jwks_parse(source->inline_set, ret_set, diag);
    char *text = file_read(scratch, source->text.data, &len, &words);
    if (text == NULL)
        return DIAG_FAIL(diag, ERR_CONFIG, "open %s: %s", source->text.data, words);
    err_t err = jwks_parse(slice_of(text, len), ret_set, diag);
    free(text);
    return err;
}

/* NULL: the old one stays, with an error in the log. */
static struct tls_context *
reload_credentials(struct sentry *sentry, struct arena *scratch, struct service_parts *parts)
{
    struct credentials credentials;
    struct diag diag;
    diag_init(&diag, scratch);
    if (credentials_load(&sentry->options, false, scratch, &credentials, &diag) != OK) {
        log_error(SCOPE, "the changed credentials cannot be used, the old ones stay: " SLICE_FMT,
                  SLICE_ARG(diag.message));
        return NULL;
    }
    metrics_record(metrics_single(METRICS_sentry_issuer_changed), 1);
    log_info(SCOPE, "CA certificate key pair ready");
    authority_unref(sentry->authority);
    sentry->authority = authority_ref(credentials.authority);
    parts->authority = TAKE(credentials.authority);
    parts->tokens = TAKE(credentials.tokens);
    return own_tls(sentry, scratch);
}

/* One group after the other: what cannot be read leaves what was there in use. */
static void
reload(struct sentry *sentry, unsigned groups)
{
    struct arena scratch;
    struct diag diag;
    struct service_parts parts = { 0 };
    struct tls_context *tls = NULL;
    arena_init(&scratch);
    diag_init(&diag, &scratch);
    log_warn(SCOPE, "Issuer credentials changed; reloading");
    if ((groups & GROUP_CREDENTIALS) != 0)
        tls = reload_credentials(sentry, &scratch, &parts);
    if ((groups & GROUP_JOIN) != 0 &&
        read_join_tokens(&sentry->options, &scratch, &parts.join, &diag) != OK)
        log_error(SCOPE, "the changed join tokens cannot be used, the old ones stay: " SLICE_FMT,
                  SLICE_ARG(diag.message));
    if ((groups & GROUP_JWKS) != 0 &&
        read_jwks(&sentry->options, &scratch, &parts.jwks, &diag) != OK)
        log_error(SCOPE, "the changed JWKS cannot be used, the old one stays: " SLICE_FMT,
                  SLICE_ARG(diag.message));
    if (tls != NULL)
        log_renewal(sentry);
    hand_over(sentry, parts, tls);
    arena_fini(&scratch);
}

static unsigned
all_groups(const struct sentry_options *options)
{
    return GROUP_CREDENTIALS | (options->join_token_file.len > 0 ? GROUP_JOIN : 0) |
           (options->has_jwks && !options->jwks.is_url && options->jwks.inline_set.len == 0
                ? GROUP_JWKS
                : 0);
}

static void
watch_files(struct sentry *sentry)
{
    const struct sentry_options *options = &sentry->options;
    const unsigned groups = all_groups(options);
    file_watch_open(&sentry->watch);
    file_watch_add(&sentry->watch, options->anchors_path, GROUP_CREDENTIALS);
    file_watch_add(&sentry->watch, options->chain_path, GROUP_CREDENTIALS);
    file_watch_add(&sentry->watch, options->key_path, GROUP_CREDENTIALS);
    if (options->has_jwt) {
        file_watch_add(&sentry->watch, options->jwt_key_path, GROUP_CREDENTIALS);
        file_watch_add(&sentry->watch, options->jwks_path, GROUP_CREDENTIALS);
    }
    if ((groups & GROUP_JOIN) != 0)
        file_watch_add(&sentry->watch, options->join_token_file, GROUP_JOIN);
    if ((groups & GROUP_JWKS) != 0)
        file_watch_add(&sentry->watch, options->jwks.text, GROUP_JWKS);
}

/* --- the start ---------------------------------------------------------------------------------*/

static bool
fatal(const struct diag *diag)
{
    log_fatal(SCOPE, SLICE_FMT, SLICE_ARG(diag->message));
    return false;
}

static bool
load(struct sentry *sentry, struct arena *scratch)
{
    const struct sentry_options *options = &sentry->options;
    struct credentials credentials;
    struct service_parts parts = { 0 };
    struct diag diag;
    bool has_join = options->join_token_file.len > 0;
    const char *validator = options->has_jwks ? "jwks" : has_join ? "join-token" : "insecure";
    diag_init(&diag, scratch);
    if (options->has_jwks)
        log_info(SCOPE, "Adding validator 'jwks' with Sentry ID: " SLICE_FMT,
                 SLICE_ARG(options->own_id));
    else
        log_info(SCOPE, "Adding validator '%s'", validator);
    if (has_join && read_join_tokens(options, scratch, &parts.join, &diag) != OK)
        return fatal(&diag);
    if (options->has_jwks && !options->jwks.is_url &&
        read_jwks(options, scratch, &parts.jwks, &diag) != OK) {
        join_tokens_free(parts.join);
        return fatal(&diag);
    }
    if (credentials_load(options, true, scratch, &credentials, &diag) != OK) {
        join_tokens_free(parts.join);
        jwks_free(parts.jwks);
        return fatal(&diag);
    }
    log_info(SCOPE, "CA certificate key pair ready");
    log_info(SCOPE, "OIDC HTTP server is disabled");
    log_info(SCOPE, "Using validator '%s'", validator);
    sentry->authority = authority_ref(credentials.authority);
    parts.authority = TAKE(credentials.authority);
    parts.tokens = TAKE(credentials.tokens);
    sentry->service = (struct service){ .options = options, .metrics = sentry->metrics };
    service_take(&sentry->service, &parts);
    return true;
}

/* NULL with words in the log. The worker does not run yet. */
static struct h1_server *
listen_on(struct sentry *sentry, struct slice address, uint64_t port, http_handler *handler,
          struct tls_context *tls, unsigned *ret_port)
{
    int fd = listener_bind_tcp(address, (uint16_t)port, false);
    if (fd < 0) {
        log_fatal(SCOPE, "could not listen on port %u: listen tcp " SLICE_FMT ":%u: bind: %s",
                  (unsigned)port, SLICE_ARG(address), (unsigned)port,
                  file_error_words(&sentry->arena, errno));
        return NULL;
    }
    struct h1_config config = h1_config_default();
    config.connections_max = LIMIT_sentry_connections_max;
    config.idle_ms = LIMIT_sentry_idle_ms;
    config.has_keepalive = tls != NULL;
    config.has_h2c = tls != NULL;
    config.tls = tls;
    *ret_port = listener_port(fd);
    return h1_server_new(&sentry->worker, fd, &config, handler, &sentry->service);
}

static bool
open_servers(struct sentry *sentry, struct tls_context *tls)
{
    const struct sentry_options *options = &sentry->options;
    unsigned port;
    if (options->enable_metrics) {
        sentry->exposition = listen_on(sentry, options->metrics_address, options->metrics_port,
                                       service_metrics, NULL, &port);
        if (sentry->exposition == NULL)
            return false;
        log_info(SCOPE, "metrics server started on " SLICE_FMT ":%u/",
                 SLICE_ARG(options->metrics_address), port);
    }
    sentry->health = listen_on(sentry, options->healthz_address, options->healthz_port,
                               service_health, NULL, &port);
    if (sentry->health == NULL)
        return false;
    bool is_any = options->healthz_address.len == 0;
    log_info(SCOPE, "Healthz server is listening on " SLICE_FMT ":%u",
             SLICE_ARG(is_any ? SLICE("[::]") : options->healthz_address), port);
    sentry->server = listen_on(sentry, options->listen_address, options->port, service_handle, tls,
                               &port);
    if (sentry->server == NULL)
        return false;
    log_info(SCOPE_SECURITY, "Security is initialized successfully");
    log_renewal(sentry);
    log_info(SCOPE_SERVER, "Running gRPC server on port %u", port);
    return true;
}

static bool
start(struct sentry *sentry)
{
    struct arena scratch;
    arena_init(&scratch);
    struct tls_context *tls = NULL;
    bool is_good = load(sentry, &scratch);
    if (is_good) {
        log_info(SCOPE_SECURITY, "Fetching initial identity");
        tls = own_tls(sentry, &scratch);
        is_good = tls != NULL && open_servers(sentry, tls);
    }
    tls_context_unref(tls);
    arena_fini(&scratch);
    return is_good;
}

/* --- the end -----------------------------------------------------------------------------------*/

static void
close_server(struct h1_server **server)
{
    if (*server != NULL)
        h1_server_close(TAKE(*server), NULL, NULL);
}

static void
close_all(struct sentry *sentry)
{
    jwks_fetch_stop(&sentry->fetch);
    close_server(&sentry->server);
    close_server(&sentry->health);
    close_server(&sentry->exposition);
}

/* Worker: until the answers that are on their way have gone. */
static void
check_drained(struct timer *timer)
{
    struct sentry *sentry = container_of(timer, struct sentry, drain_timer);
    const uint64_t now_ms = sentry->worker.now_ms;
    if (h1_server_connections(sentry->server) > 0 && now_ms < sentry->drain_until_ms) {
        timer_set(&sentry->worker.timers, timer, now_ms + DRAIN_LOOK_MS);
        return;
    }
    close_all(sentry);
    worker_stop(&sentry->worker);
}

static void
on_end(struct mail *mail)
{
    struct sentry *sentry = container_of(mail, struct sentry, end_mail);
    h1_server_drain(sentry->server);
    sentry->drain_until_ms = sentry->worker.now_ms + LIMIT_sentry_drain_ms;
    timer_init(&sentry->drain_timer, check_drained);
    check_drained(&sentry->drain_timer);
}

static void
end(struct sentry *sentry)
{
    if (sentry->worker.has_thread) {
        log_info(SCOPE, "Healthz server is shutting down");
        log_info(SCOPE_SERVER, "Shutting down gRPC server");
        worker_post(&sentry->worker, &sentry->end_mail, on_end);
        worker_join(&sentry->worker);
    } else {
        close_all(sentry);
    }
    offload_fini(); /* its threads may be waking the worker still */
    worker_fini(&sentry->worker);
    service_fini(&sentry->service);
    authority_unref(TAKE(sentry->authority));
    file_watch_close(&sentry->watch);
}

/* --- running -----------------------------------------------------------------------------------*/

/* Before any thread exists: threads inherit what is blocked. */
static void
open_signals(struct sentry *sentry)
{
    sigset_t set;
    (void)signal(SIGPIPE, SIG_IGN); /* writing to who left is an error code, not an end */
    (void)sigemptyset(&set);        /* these three fail for no such numbers only */
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGHUP);
    (void)pthread_sigmask(SIG_BLOCK, &set, NULL);
    sentry->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (sentry->signals < 0)
        abort();
}

/* False: it is time to end. */
static bool
take_signals(struct sentry *sentry)
{
    struct signalfd_siginfo info;
    while (read(sentry->signals, &info, sizeof info) == (ssize_t)sizeof info) {
        if (info.ssi_signo != SIGHUP) {
            log_info("dapr.signals", "Received signal '%s'; beginning shutdown",
                     info.ssi_signo == SIGINT ? "interrupt" : "terminated");
            return false;
        }
        (void)file_watch_look(&sentry->watch); /* all is read whatever it says */
        reload(sentry, all_groups(&sentry->options));
    }
    return true;
}

/* By the wall clock, as certificates are: a machine that slept has some catching up to do, and is
 * given the chance within a minute. */
static int
time_left(const struct sentry *sentry, uint64_t now_ms)
{
    enum { LONGEST_MS = 60000 };
    const int64_t until_renewal = sentry->renew_unix_ms - clock_unix_ms();
    const uint64_t due_ms = file_watch_due_ms(&sentry->watch);
    uint64_t left = until_renewal <= 0 ? 0 : (uint64_t)until_renewal;
    if (due_ms != UINT64_MAX && (due_ms <= now_ms || due_ms - now_ms < left))
        left = due_ms <= now_ms ? 0 : due_ms - now_ms;
    return left > LONGEST_MS ? LONGEST_MS : (int)left;
}

static void
watch_and_wait(struct sentry *sentry)
{
    for (;;) {
        struct pollfd fds[] = { { .fd = sentry->signals, .events = POLLIN },
                                { .fd = sentry->watch.fd, .events = POLLIN } };
        /* Interrupted: once more. */
        (void)poll(fds, ARRAY_LEN(fds), time_left(sentry, clock_now_ms()));
        if (!take_signals(sentry))
            return;
        const uint64_t now_ms = clock_now_ms();
        if ((fds[1].revents & POLLIN) != 0)
            file_watch_on_event(&sentry->watch, now_ms);
        if (file_watch_due_ms(&sentry->watch) <= now_ms) {
            unsigned groups = file_watch_look(&sentry->watch);
            if (groups != 0)
                reload(sentry, groups);
        }
        if (sentry->renew_unix_ms <= clock_unix_ms())
            renew(sentry);
    }
}

/* Worker: the first it does. */
static void
on_begin(struct mail *mail)
{
    struct sentry *sentry = container_of(mail, struct sentry, begin_mail);
    metrics_attach(sentry->metrics, SHARD_WORKER);
    sentry->fetch = (struct jwks_fetch){ .source = &sentry->options.jwks,
                                         .service = &sentry->service };
    if (sentry->options.has_jwks && sentry->options.jwks.is_url)
        jwks_fetch_start(&sentry->fetch, &sentry->worker);
}

static bool
start_worker(struct sentry *sentry)
{
    if (worker_start(&sentry->worker) != OK) {
        log_fatal(SCOPE, "no thread can be started");
        return false;
    }
    worker_post(&sentry->worker, &sentry->begin_mail, on_begin);
    return true;
}

static int
run(struct sentry *sentry)
{
    const struct sentry_options *options = &sentry->options;
    log_info(SCOPE,
             "Starting Dapr Sentry certificate authority -- version %s -- implementation Remora",
             REMORA_VERSION);
    log_info(SCOPE, "Log level set to: " SLICE_FMT, SLICE_ARG(options->log_level_name));
    for (size_t i = 0; i < options->ignored.count; i++)
        log_warn(SCOPE, SLICE_FMT " has no effect", SLICE_ARG(options->ignored.items[i]));
    for (size_t i = 0; i < options->warnings.count; i++)
        log_warn(SCOPE, SLICE_FMT, SLICE_ARG(options->warnings.items[i]));
    sentry->metrics = metrics_new(
        &(struct metrics_config){ .app_id = SLICE_EMPTY, .shard_count = SHARDS });
    metrics_attach(sentry->metrics, SHARD_MAIN);
    open_signals(sentry);
    log_info(SCOPE, "Starting watch on filesystem directories: [" SLICE_FMT "]",
             SLICE_ARG(options->folder));
    bool is_good = worker_init(&sentry->worker, 0) == OK && start(sentry);
    if (is_good) {
        watch_files(sentry);
        is_good = start_worker(sentry);
    }
    if (is_good)
        watch_and_wait(sentry);
    end(sentry);
    metrics_attach(NULL, 0);
    metrics_unref(sentry->metrics);
    if (is_good)
        log_info(SCOPE, "Sentry shut down gracefully");
    arena_fini(&sentry->arena); /* last: the log's own texts are in it */
    return is_good ? 0 : 1;
}

/* The issuer's key is in it: nobody else of this user looks into our memory, and there are no core
 * dumps but on request, for those who look for a fault. */
static void
conceal_memory(void)
{
#if !defined(REMORA_SANITIZE)
    const char *wish = getenv("REMORA_CORE_DUMPS");
    if (wish == NULL || strcmp(wish, "full") != 0)
        (void)prctl(PR_SET_DUMPABLE, 0); /* has no other outcome */
#endif
}

/* Many connections need many descriptors, and the soft limit is often a habit. */
static void
raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit); /* then it stays as it was */
}

static void
print_help(const char *program)
{
    struct buf help;
    buf_init(&help, 64 * 1024);
    sentry_options_help(&help, program);
    (void)fwrite(buf_slice(&help).data, 1, help.len, stderr); /* nowhere to complain */
    buf_fini(&help);
}

static void
setup_log(const struct sentry_options *options, char hostname[256])
{
    if (gethostname(hostname, 255) != 0)
        hostname[0] = '\0';
    log_setup(&(struct log_config){ .level = options->log_level,
                                    .json = options->log_as_json,
                                    .app_id = "",
                                    .instance = hostname,
                                    .version = REMORA_VERSION,
                                    .fd = STDOUT_FILENO });
}

int
main(int argc, char **argv)
{
    static struct sentry sentry;
    static char hostname[256];
    struct slice message = SLICE_EMPTY;
    conceal_memory();
    raise_descriptor_limit();
    arena_init(&sentry.arena);
    sentry.watch.fd = -1;
    enum options_verdict verdict = sentry_options_read(&sentry.arena, argc, argv, env_of_process(),
                                                       &sentry.options, &message);
    setup_log(&sentry.options, hostname);
    switch (verdict) {
    case OPTIONS_HELP:
        print_help(argv[0]);
        return 0;
    case OPTIONS_VERSION:
        return puts(REMORA_VERSION) < 0;
    case OPTIONS_BAD_USAGE:
        print_help(argv[0]);
        (void)fprintf(stderr, "%.*s\n", (int)message.len, message.data);
        return 2;
    case OPTIONS_FATAL:
        log_fatal(SCOPE, SLICE_FMT, SLICE_ARG(message));
        return 1;
    case OPTIONS_RUN:
        break;
    }
    return run(&sentry);
}
