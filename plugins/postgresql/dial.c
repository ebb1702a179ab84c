/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libpq looks names up itself, and waits for it. So it is given addresses (`hostaddr`), one for
 * each that the names have, beside the names, which certificates are checked against.
 */
#include "dial.h"

#include <ev.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../shared/memory.h"
#include "../shared/resolve.h"

enum { TIMEOUT_MS = 5000, ADDRESSES_MAX = 32, HOSTS_BYTES_MAX = 4096 };

/* A comma list that grows. */
struct list {
    char text[HOSTS_BYTES_MAX];
    size_t len;
};

struct dial {
    const struct settings *settings;
    const char *greeting;
    dial_done *done;
    void *arg;
    ev_timer timeout;
    ev_io io;
    PGconn *db;
    bool is_greeting;

    struct resolve *lookup;
    char *hosts, *ports;         /* owned, being taken apart */
    char *next_host, *next_port; /* into them; NULL: no more */
    const char *host, *port;     /* that is looked up */
    struct list out_hosts, out_addresses, out_ports;
    size_t addresses;
};

void
dial_copy_words(char *ret, size_t bytes, const char *words)
{
    int len = snprintf(ret, bytes, "%s", words);
    size_t end = len < 0 ? 0 : (size_t)len < bytes ? (size_t)len : bytes - 1;
    while (end > 0 && ret[end - 1] == '\n')
        ret[--end] = '\0';
    for (size_t i = 0; i < end; i++)
        if (ret[i] == '\n' || ret[i] == '\t')
            ret[i] = ' ';
}

/* --- the end -----------------------------------------------------------------------------------*/

static void
dial_free(struct dial *dial)
{
    ev_timer_stop(remora_loop(), &dial->timeout);
    ev_io_stop(remora_loop(), &dial->io);
    resolve_cancel(dial->lookup);
    PQfinish(dial->db);
    free(dial->hosts);
    free(dial->ports);
    free(dial);
}

void
dial_cancel(struct dial *dial)
{
    if (dial != NULL)
        dial_free(dial);
}

static void
finish(struct dial *dial, const char *failure)
{
    char why[DIAL_WHY_BYTES] = "";
    dial_done *done = dial->done;
    void *arg = dial->arg;
    PGconn *db = failure == NULL ? dial->db : NULL;
    if (failure != NULL)
        dial_copy_words(why, sizeof why, failure);
    else
        dial->db = NULL;
    dial_free(dial);
    done(db, why, arg);
}

static void
on_timeout(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop, (void)events;
    finish(timer->data, "the server does not answer: timeout expired");
}

/* --- libpq -------------------------------------------------------------------------------------*/

static void
await(struct dial *dial, int events)
{
    ev_io_stop(remora_loop(), &dial->io); /* between attempts it is another socket */
    ev_io_set(&dial->io, PQsocket(dial->db), events);
    ev_io_start(remora_loop(), &dial->io);
}

static void
greet(struct dial *dial)
{
    if (dial->greeting == NULL) {
        finish(dial, NULL);
        return;
    }
    dial->is_greeting = true;
    if (PQsendQuery(dial->db, dial->greeting) == 0) {
        finish(dial, PQerrorMessage(dial->db));
        return;
    }
    await(dial, PQflush(dial->db) == 1 ? EV_READ | EV_WRITE : EV_READ);
}

static void
hear_greeting(struct dial *dial)
{
    if (PQconsumeInput(dial->db) == 0) {
        finish(dial, PQerrorMessage(dial->db));
        return;
    }
    while (PQisBusy(dial->db) == 0) {
        PGresult *result = PQgetResult(dial->db);
        if (result == NULL) {
            finish(dial, NULL);
            return;
        }
        ExecStatusType status = PQresultStatus(result);
        if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) {
            char why[DIAL_WHY_BYTES];
            dial_copy_words(why, sizeof why, PQresultErrorMessage(result));
            PQclear(result);
            finish(dial, why);
            return;
        }
        PQclear(result);
    }
    await(dial, PQflush(dial->db) == 1 ? EV_READ | EV_WRITE : EV_READ);
}

static void
poll_connection(struct dial *dial)
{
    switch (PQconnectPoll(dial->db)) {
    case PGRES_POLLING_READING:
        await(dial, EV_READ);
        break;
    case PGRES_POLLING_WRITING:
        await(dial, EV_WRITE);
        break;
    case PGRES_POLLING_OK:
        (void)PQsetnonblocking(dial->db, 1);
        greet(dial);
        break;
    case PGRES_POLLING_FAILED:
    case PGRES_POLLING_ACTIVE:
    default:
        finish(dial, PQerrorMessage(dial->db));
    }
}

static void
on_io(struct ev_loop *loop, ev_io *io, int events)
{
    (void)loop, (void)events;
    struct dial *dial = io->data;
    if (dial->is_greeting)
        hear_greeting(dial);
    else
        poll_connection(dial);
}

static void
on_notice(void *arg, const PGresult *result)
{
    (void)arg, (void)result; /* nobody's business */
}

struct arguments {
    const char *names[CONNINFO_PAIRS_MAX + 8], *values[CONNINFO_PAIRS_MAX + 8];
    size_t count;
};

static void
argument(struct arguments *arguments, const char *name, const char *value)
{
    arguments->names[arguments->count] = name;
    arguments->values[arguments->count++] = value;
}

static void
connect_now(struct dial *dial)
{
    const struct conninfo *conninfo = &dial->settings->conninfo;
    struct arguments arguments = { .count = 0 };
    argument(&arguments, "fallback_application_name", "remora");
    argument(&arguments, "tcp_user_timeout", "10000");
    argument(&arguments, "gssencmode", "disable"); /* it blocks */
    for (size_t i = 0; i < conninfo->count; i++) {
        const char *name = conninfo->names[i];
        bool is_address = strcmp(name, "host") == 0 || strcmp(name, "port") == 0;
        if (!is_address || dial->addresses == 0)
            argument(&arguments, name, conninfo->values[i]);
    }
    if (dial->addresses > 0) {
        argument(&arguments, "host", dial->out_hosts.text);
        argument(&arguments, "hostaddr", dial->out_addresses.text);
        argument(&arguments, "port", dial->out_ports.text);
    }
    argument(&arguments, "client_encoding", "UTF8");
    dial->db = PQconnectStartParams(arguments.names, arguments.values, 0);
    if (dial->db == NULL)
        abort();
    if (PQstatus(dial->db) == CONNECTION_BAD) {
        finish(dial, PQerrorMessage(dial->db));
        return;
    }
    (void)PQsetNoticeReceiver(dial->db, on_notice, NULL);
    await(dial, EV_WRITE);
}

/* --- names -------------------------------------------------------------------------------------*/

static void look_up_next(struct dial *dial);

static void
put(struct list *list, const char *text)
{
    int len = snprintf(list->text + list->len, HOSTS_BYTES_MAX - list->len, "%s%s",
                       list->len > 0 ? "," : "", text);
    list->len += len > 0 ? (size_t)len : 0;
}

static bool
add_address(struct dial *dial, const char *address)
{
    size_t most = strlen(dial->host) + strlen(dial->port) + strlen(address) + 4;
    if (dial->addresses == ADDRESSES_MAX || dial->out_hosts.len + most > HOSTS_BYTES_MAX ||
        dial->out_addresses.len + most > HOSTS_BYTES_MAX ||
        dial->out_ports.len + most > HOSTS_BYTES_MAX)
        return false;
    put(&dial->out_hosts, dial->host);
    put(&dial->out_addresses, address);
    put(&dial->out_ports, dial->port);
    dial->addresses++;
    return true;
}

static void
on_looked_up(struct addrinfo *addresses, const char *why, void *arg)
{
    struct dial *dial = arg;
    dial->lookup = NULL;
    bool is_last = dial->next_host == NULL;
    if (addresses == NULL && is_last && dial->addresses == 0) {
        finish(dial, why);
        return;
    }
    for (const struct addrinfo *at = addresses; at != NULL; at = at->ai_next) {
        char text[NI_MAXHOST];
        if (getnameinfo(at->ai_addr, at->ai_addrlen, text, sizeof text, NULL, 0, NI_NUMERICHOST) !=
                0 ||
            !add_address(dial, text))
            break;
    }
    if (addresses != NULL)
        freeaddrinfo(addresses);
    look_up_next(dial);
}

static void
look_up_next(struct dial *dial)
{
    if (dial->next_host == NULL) {
        connect_now(dial);
        return;
    }
    dial->host = strsep(&dial->next_host, ",");
    if (dial->next_port != NULL) /* one port is that of all hosts */
        dial->port = strsep(&dial->next_port, ",");
    if (*dial->host == '\0')
        dial->host = "localhost";
    if (*dial->port == '\0')
        dial->port = "5432";
    dial->lookup = resolve_start(remora_loop(), dial->host, dial->port, on_looked_up, dial);
    if (dial->lookup == NULL)
        finish(dial, "no thread for a look-up");
}

/* Without names, or with sockets of this machine among them, libpq does not look anything up. */
static bool
has_names(const struct conninfo *conninfo)
{
    const char *host = conninfo_get(conninfo, "host");
    const char *address = conninfo_get(conninfo, "hostaddr");
    return (address == NULL || *address == '\0') && host != NULL && *host != '\0' &&
           strchr(host, '/') == NULL && strchr(host, '@') == NULL;
}

static void
on_start(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop, (void)events;
    struct dial *dial = timer->data;
    const struct conninfo *conninfo = &dial->settings->conninfo;
    const char *given = conninfo_get(conninfo, "connect_timeout");
    int64_t seconds = 0;
    if (given != NULL)
        (void)remora_parse_i64((struct remora_slice){ given, strlen(given) }, &seconds);
    double timeout_s = seconds > 0 && seconds < 600 ? (double)seconds : TIMEOUT_MS / 1000.0;
    ev_timer_init(&dial->timeout, on_timeout, timeout_s, 0);
    ev_timer_start(remora_loop(), &dial->timeout);
    if (!has_names(conninfo)) {
        connect_now(dial);
        return;
    }
    const char *port = conninfo_get(conninfo, "port");
    dial->hosts = dial->next_host = memory_text(conninfo_get(conninfo, "host"));
    dial->ports = dial->next_port = memory_text(port != NULL && *port != '\0' ? port : "5432");
    look_up_next(dial);
}

struct dial *
dial_start(const struct settings *settings, const char *greeting, dial_done *done, void *arg)
{
    struct dial *dial = memory_new(sizeof *dial);
    dial->settings = settings;
    dial->greeting = greeting;
    dial->done = done;
    dial->arg = arg;
    dial->port = "5432";
    ev_io_init(&dial->io, on_io, 0, 0);
    dial->io.data = dial;
    ev_timer_init(&dial->timeout, on_start, 0, 0); /* `done` must not come from within this call */
    dial->timeout.data = dial;
    ev_timer_start(remora_loop(), &dial->timeout);
    return dial;
}
