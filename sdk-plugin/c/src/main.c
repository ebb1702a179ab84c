/* SPDX-License-Identifier: Apache-2.0 */
/* A plugin's life: environment, token, connection, loop, end. See remora_plugin.h for the story. */
#include "sdk.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { TOKEN_FD = 3, TOKEN_HEX = 64, DRAIN_MS = 300, STATUS_USAGE = 2 };

struct sdk sdk;

static void
explain(const char *problem)
{
    fprintf(stderr, "%s: %s\n", sdk.plugin->name, problem);
}

void
sdk_end(int exit_status, const char *reason)
{
    if (sdk.is_ending)
        return;
    if (reason != NULL)
        explain(reason);
    sdk.is_ending = true;
    sdk.exit_status = exit_status;
    ev_break(sdk.loop, EVBREAK_ALL);
}

/* From the environment only if the manifest asked for it there; else from file descriptor 3, which
 * nothing else can read. */
static bool
read_token(char ret_token[TOKEN_HEX + 1])
{
    const char *given = getenv("REMORA_TOKEN");
    size_t len = 0;
    if (given != NULL) {
        len = strnlen(given, TOKEN_HEX);
        memcpy(ret_token, given, len);
        (void)unsetenv("REMORA_TOKEN"); /* fails for malformed names only */
    } else {
        ssize_t n;
        while (len < TOKEN_HEX && (n = read(TOKEN_FD, ret_token + len, TOKEN_HEX - len)) > 0)
            len += (size_t)n;
        (void)close(TOKEN_FD); /* read only: nothing can be lost */
    }
    ret_token[len] = '\0';
    return len == TOKEN_HEX && strspn(ret_token, "0123456789abcdefABCDEF") == TOKEN_HEX;
}

/* Blocking: the socket of a local sidecar that waits for us. -1 after explaining. */
static int
connect_to(const char *url)
{
    static const char scheme[] = "ipc://";
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    const char *path = url + sizeof scheme - 1;
    if (strncmp(url, scheme, sizeof scheme - 1) != 0 || strlen(path) >= sizeof address.sun_path) {
        explain("REMORA_URL is not ipc:// and a path");
        return -1;
    }
    memcpy(address.sun_path, path, strlen(path));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        fprintf(stderr, "%s: %s: %s\n", sdk.plugin->name, url, strerror(errno));
        if (fd >= 0)
            (void)close(fd); /* nothing was written */
        return -1;
    }
    return fd;
}

static void
on_signal(struct ev_loop *loop, ev_signal *watcher, int events)
{
    (void)loop;
    (void)watcher;
    (void)events;
    sdk_end(EXIT_SUCCESS, NULL);
}

static void
on_handshake_timeout(struct ev_loop *loop, ev_timer *watcher, int events)
{
    (void)loop;
    (void)watcher;
    (void)events;
    if (!sdk.link.is_up)
        sdk_end(EXIT_FAILURE, "the sidecar did not answer the greeting");
}

static void
run_loop(int fd, const char *token)
{
    ev_signal terminate, interrupt;
    ev_timer handshake;
    ev_signal_init(&terminate, on_signal, SIGTERM);
    ev_signal_init(&interrupt, on_signal, SIGINT);
    ev_timer_init(&handshake, on_handshake_timeout, LIMIT_handshake_ms / 1000.0, 0);
    ev_signal_start(sdk.loop, &terminate);
    ev_signal_start(sdk.loop, &interrupt);
    ev_timer_start(sdk.loop, &handshake);
    link_open(fd);
    link_send_hello(token);
    ev_run(sdk.loop, 0);
    link_drain(DRAIN_MS);
    host_fail_all();
    component_close_all();
    if (sdk.plugin->teardown != NULL)
        sdk.plugin->teardown();
    link_close();
    ev_timer_stop(sdk.loop, &handshake);
    ev_signal_stop(sdk.loop, &interrupt);
    ev_signal_stop(sdk.loop, &terminate);
}

int
remora_plugin_main(const struct remora_plugin *plugin, int argc, char **argv)
{
    sdk = (struct sdk){ .plugin = plugin, .link = { .fd = -1 } };
    list_init(&sdk.pool);
    if (argc > 1 && strcmp(argv[1], "--version") == 0) {
        printf("%s %s\n", plugin->name, plugin->version);
        return EXIT_SUCCESS;
    }
    const char *url = getenv("REMORA_URL");
    if (url == NULL) {
        explain("REMORA_URL is not set: a plugin is started by the sidecar, not by hand");
        return STATUS_USAGE;
    }
    char token[TOKEN_HEX + 1];
    if (!read_token(token)) {
        explain("no token of 64 hex digits on file descriptor 3");
        return STATUS_USAGE;
    }
    (void)signal(SIGPIPE, SIG_IGN); /* a number known to exist cannot fail */
    sdk.loop = ev_default_loop(0);
    if (sdk.loop == NULL) {
        explain("libev found no way to wait");
        return EXIT_FAILURE;
    }
    post_init();
    int fd = -1;
    sdk.exit_status = EXIT_FAILURE;
    if (plugin->setup == NULL || plugin->setup())
        fd = connect_to(url);
    if (fd >= 0)
        run_loop(fd, token);
    post_fini();
    return sdk.exit_status;
}

struct ev_loop *
remora_loop(void)
{
    return sdk.loop;
}
