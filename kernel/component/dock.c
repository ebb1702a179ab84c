/* SPDX-License-Identifier: Apache-2.0 */
/* The worker's end of a plugin process; see dock.h. */
#include "component/dock.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "base/pb.h"
#include "component/component.h"
#include "remora/plugin/v1/plugin.pb-c.h"

enum { TOKEN_BYTES = 65, SCOPE_BYTES = 64 };

struct dock {
    struct dock_config config;
    char token[TOKEN_BYTES];
    char scope[SCOPE_BYTES]; /* of the plugin's log lines */
    bool is_closed;
    bool was_ready;
    pid_t process_group;
    char build[DOCK_BUILD_BYTES_MAX + 1];
    struct listener listener;
    struct link *link; /* counted; NULL before and after */
    struct mail open_mail;
    struct mail close_mail;
};

static struct dock_event *
event_new(struct dock *dock, enum dock_event_kind kind)
{
    struct dock_event *event = calloc(1, sizeof *event);
    if (event == NULL)
        abort();
    event->user = dock->config.user;
    event->epoch = dock->config.epoch;
    event->kind = kind;
    return event;
}

static void
tell(struct dock *dock, struct dock_event *event)
{
    if (dock->is_closed) { /* the main thread has forgotten us */
        link_unref(event->link);
        free(event);
        return;
    }
    mailbox_post(dock->config.control, &event->mail, dock->config.on_event);
}

/* --- the link ----------------------------------------------------------------------------------*/

static struct dock *
dock_of(const struct link *link)
{
    return link->config.arg;
}

static const char *
on_hello(struct link *link, const Remora__Plugin__V1__Hello *hello)
{
    struct dock *dock = dock_of(link);
    size_t len = 0;
    for (const char *p = hello->build_id; *p > ' ' && *p <= '~' && len < DOCK_BUILD_BYTES_MAX; p++)
        dock->build[len++] = *p; /* for people: what is no plain text is cut off */
    dock->build[len] = '\0';
    /* What a process can host is known from its manifest; one that says another name is not the
     * process that was started. */
    return strcmp(hello->name, dock->config.plugin_name) == 0
               ? NULL
               : "the plugin's name is not that of its manifest";
}

static void
on_ready(struct link *link)
{
    struct dock *dock = dock_of(link);
    dock->was_ready = true;
    struct dock_event *event = event_new(dock, DOCK_READY);
    event->link = link_ref(link);
    memcpy(event->build, dock->build, sizeof event->build);
    tell(dock, event);
}

/* Told at once: the end of the process may be seen before that of its link, and counts otherwise if
 * nothing was ever answered. */
static void
on_answered(struct link *link)
{
    struct dock *dock = dock_of(link);
    tell(dock, event_new(dock, DOCK_ANSWERED));
}

static void
on_lost(struct link *link, const char *reason)
{
    struct dock *dock = dock_of(link);
    struct dock_event *event = event_new(dock, dock->was_ready ? DOCK_LOST : DOCK_FAILED);
    event->reason = reason;
    tell(dock, event);
    link_unref(TAKE(dock->link));
}

static void
on_log(struct link *link, int level, struct slice message)
{
    static const enum log_level levels[] = { LOG_INFO, LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };
    enum log_level at = level >= 0 && (size_t)level < ARRAY_LEN(levels) ? levels[level] : LOG_INFO;
    LOG_AT(at, dock_of(link)->scope, SLICE_FMT, SLICE_ARG(message));
}

static void
on_host_call(struct task *t, struct host_call *call)
{
    dock_of(call->link)->config.on_host_call(t, call);
}

static const struct link_events link_events = {
    .on_hello = on_hello,
    .on_ready = on_ready,
    .on_answered = on_answered,
    .on_lost = on_lost,
    .on_log = on_log,
    .on_host_call = on_host_call,
};

static void
on_accept(struct listener *listener, int fd)
{
    struct dock *dock = container_of(listener, struct dock, listener);
    if (dock->link != NULL || !link_peer_is(fd, dock->process_group)) {
        /* Another process of ours, or a second connection: PAIR0 has one peer. */
        (void)close(fd); /* nothing was said on it */
        return;
    }
    const struct link_config config = {
        .events = &link_events,
        .arg = dock,
        .token = dock->token,
        .process_group = dock->process_group,
        .epoch = dock->config.epoch,
        .kernel_version = dock->config.kernel_version,
        .app_id = dock->config.app_id,
        .namespace_ = dock->config.namespace_,
        .host_services = dock->config.host_services,
        .host_service_count = dock->config.host_service_count,
    };
    struct dock_event *event = event_new(dock, DOCK_CONNECTED);
    event->pid = link_peer_pid(fd);
    dock->link = link_new(dock->config.worker, fd, &config);
    tell(dock, event);
}

/* --- commands ----------------------------------------------------------------------------------*/

struct dock *
dock_new(const struct dock_config *config)
{
    struct dock *dock = calloc(1, sizeof *dock);
    if (dock == NULL)
        abort();
    dock->config = *config;
    (void)snprintf(dock->token, sizeof dock->token, "%s", config->token); /* 64 digits */
    (void)snprintf(dock->scope, sizeof dock->scope, "remora.plugin.%s", config->plugin_name);
    return dock;
}

static void
on_open(struct mail *mail)
{
    struct dock *dock = container_of(mail, struct dock, open_mail);
    listener_open(&dock->listener, dock->config.worker, dock->config.listen_fd, on_accept);
    dock->config.listen_fd = -1;
}

void
dock_open(struct dock *dock, pid_t process_group)
{
    dock->process_group = process_group;
    worker_post(dock->config.worker, &dock->open_mail, on_open);
}

static void
on_close(struct mail *mail)
{
    struct dock *dock = container_of(mail, struct dock, close_mail);
    dock->is_closed = true;
    listener_close(&dock->listener);
    if (dock->config.listen_fd >= 0)
        (void)close(dock->config.listen_fd); /* never opened */
    if (dock->link != NULL)
        link_close(dock->link, "the plugin has ended");
    mailbox_post(dock->config.control, &event_new(dock, DOCK_CLOSED)->mail, dock->config.on_event);
    free(dock);
}

void
dock_close(struct dock *dock)
{
    worker_post(dock->config.worker, &dock->close_mail, on_close);
}
