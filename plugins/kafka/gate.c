/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets for librdkafka that lead through passages; see gate.h. */
#include "gate.h"

#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "passage.h"

enum {
    SOUND_VERSION = 0x020601ff, /* of librdkafka */
    SOCKETS_MAX = 256,          /* made and not connected yet */
    NAMES_MAX = 512, /* addresses whose host names are remembered; then the oldest goes */
};

struct pair {
    int own, other; /* librdkafka's and the passage's */
};

struct name {
    struct sockaddr_storage address;
    socklen_t bytes;
    char host[PASSAGE_HOST_BYTES];
};

struct gate {
    atomic_uint refs; /* the plugin, the client, each passage, each word on its way */
    struct passage_login login;
    char *mechanism, *username, *password;
    void (*trouble)(void *owner, const char *words, bool is_refused); /* plugin's thread only */
    void *owner;                                                      /* likewise; NULL: closed */
    pthread_mutex_t lock;                                             /* for what follows */
    struct pair pairs[SOCKETS_MAX];
    size_t pair_count;
    struct name names[NAMES_MAX];
    size_t name_count, name_next;
};

bool
gate_is_needed(const struct settings *settings)
{
    return settings->auth == AUTH_PASSWORD && strcmp(settings->sasl_mechanism, "PLAIN") != 0 &&
           rd_kafka_version() < SOUND_VERSION;
}

static struct gate *
gate_ref(struct gate *gate)
{
    atomic_fetch_add_explicit(&gate->refs, 1, memory_order_relaxed); /* the caller has one */
    return gate;
}

void
gate_unref(struct gate *gate)
{
    /* Pairs with itself: whoever is last sees what all others did. */
    if (gate == NULL || atomic_fetch_sub_explicit(&gate->refs, 1, memory_order_acq_rel) > 1)
        return;
    tls_context_free(gate->login.tls);
    free(gate->mechanism);
    free(gate->username);
    explicit_bzero(gate->password, strlen(gate->password));
    free(gate->password);
    pthread_mutex_destroy(&gate->lock);
    free(gate);
}

/* --- words -------------------------------------------------------------------------------------*/

struct word {
    struct gate *gate; /* counted */
    bool is_refused;
    char words[PASSAGE_WHY_BYTES + PASSAGE_HOST_BYTES];
};

static void
tell(void *arg)
{
    struct word *word = arg;
    if (word->gate->owner != NULL)
        word->gate->trouble(word->gate->owner, word->words, word->is_refused);
    gate_unref(word->gate);
    free(word);
}

/* What a passage has of its gate. */
struct ticket {
    struct gate *gate; /* counted */
    char host[PASSAGE_HOST_BYTES];
};

static void
on_failed(void *arg, const char *why, bool is_refused)
{
    struct ticket *ticket = arg;
    struct word *word = calloc(1, sizeof *word);
    if (word == NULL)
        abort();
    *word = (struct word){ .gate = gate_ref(ticket->gate), .is_refused = is_refused };
    snprintf(word->words, sizeof word->words, "%s: %s", ticket->host, why);
    remora_post(tell, word);
}

static void
on_over(void *arg)
{
    struct ticket *ticket = arg;
    gate_unref(ticket->gate);
    free(ticket);
}

/* --- names -------------------------------------------------------------------------------------*/

static void
remember(struct gate *gate, const struct addrinfo *at, const char *host)
{
    struct name name = { .bytes = at->ai_addrlen };
    if (at->ai_addrlen > sizeof name.address || strlen(host) >= sizeof name.host)
        return;
    memcpy(&name.address, at->ai_addr, at->ai_addrlen);
    snprintf(name.host, sizeof name.host, "%s", host);
    pthread_mutex_lock(&gate->lock);
    size_t i = 0;
    while (i < gate->name_count &&
           (gate->names[i].bytes != name.bytes ||
            memcmp(&gate->names[i].address, &name.address, name.bytes) != 0))
        i++;
    if (i == NAMES_MAX)
        i = gate->name_next++ % NAMES_MAX;
    else if (i == gate->name_count)
        gate->name_count++;
    gate->names[i] = name;
    pthread_mutex_unlock(&gate->lock);
}

/* Certificates are for names, and a socket is connected to an address. */
static int
on_resolve(const char *node, const char *service, const struct addrinfo *hints,
           struct addrinfo **res, void *opaque)
{
    if (node == NULL && service == NULL) {
        freeaddrinfo(*res);
        return 0;
    }
    int error = getaddrinfo(node, service, hints, res);
    for (const struct addrinfo *at = error == 0 ? *res : NULL; at != NULL; at = at->ai_next)
        remember(opaque, at, node == NULL ? "localhost" : node);
    return error;
}

static bool
recall(struct gate *gate, const struct sockaddr *address, socklen_t bytes,
       char ret[PASSAGE_HOST_BYTES])
{
    bool is_known = false;
    pthread_mutex_lock(&gate->lock);
    for (size_t i = 0; i < gate->name_count && !is_known; i++) {
        const struct name *name = &gate->names[i];
        is_known = name->bytes == bytes && memcmp(&name->address, address, bytes) == 0;
        if (is_known)
            memcpy(ret, name->host, PASSAGE_HOST_BYTES);
    }
    pthread_mutex_unlock(&gate->lock);
    return is_known;
}

/* --- sockets -----------------------------------------------------------------------------------*/

static int
on_socket(int domain, int type, int protocol, void *opaque)
{
    struct gate *gate = opaque;
    int ends[2];
    (void)domain;
    (void)type;
    (void)protocol;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        return -1;
    pthread_mutex_lock(&gate->lock);
    bool has_room = gate->pair_count < SOCKETS_MAX;
    if (has_room)
        gate->pairs[gate->pair_count++] = (struct pair){ ends[0], ends[1] };
    pthread_mutex_unlock(&gate->lock);
    if (has_room)
        return ends[0];
    close(ends[0]);
    close(ends[1]);
    errno = EMFILE;
    return -1;
}

/* The passage's end of a socket; -1: it has been taken. */
static int
take_other(struct gate *gate, int own)
{
    int other = -1;
    pthread_mutex_lock(&gate->lock);
    for (size_t i = 0; i < gate->pair_count && other < 0; i++)
        if (gate->pairs[i].own == own) {
            other = gate->pairs[i].other;
            gate->pairs[i] = gate->pairs[--gate->pair_count];
        }
    pthread_mutex_unlock(&gate->lock);
    return other;
}

static int
on_connect(int own, const struct sockaddr *address, int bytes, const char *id, void *opaque)
{
    struct gate *gate = opaque;
    struct ticket *ticket = calloc(1, sizeof *ticket);
    struct passage *passage = calloc(1, sizeof *passage);
    if (ticket == NULL || passage == NULL)
        abort();
    (void)id;
    int other = take_other(gate, own);
    if (other < 0 || (size_t)bytes > sizeof passage->address ||
        !recall(gate, address, (socklen_t)bytes, passage->host)) {
        if (other >= 0)
            close(other);
        free(ticket);
        free(passage);
        return EADDRNOTAVAIL;
    }
    ticket->gate = gate_ref(gate);
    memcpy(ticket->host, passage->host, sizeof ticket->host);
    passage->login = &gate->login;
    passage->near = other;
    memcpy(&passage->address, address, (size_t)bytes);
    passage->address_bytes = (socklen_t)bytes;
    passage->failed = on_failed;
    passage->over = on_over;
    passage->arg = ticket;
    passage_start(passage);
    return 0;
}

static int
on_close(int own, void *opaque)
{
    int other = take_other(opaque, own);
    if (other >= 0)
        close(other);
    return close(own);
}

void
gate_set(struct gate *gate, rd_kafka_conf_t *conf)
{
    rd_kafka_conf_set_opaque(conf, gate);
    rd_kafka_conf_set_socket_cb(conf, on_socket);
    rd_kafka_conf_set_connect_cb(conf, on_connect);
    rd_kafka_conf_set_closesocket_cb(conf, on_close);
    rd_kafka_conf_set_resolve_cb(conf, on_resolve);
}

/* --- the life ----------------------------------------------------------------------------------*/

struct gate *
gate_new(const struct settings *settings,
         void (*trouble)(void *owner, const char *words, bool is_refused), void *owner, char *why,
         size_t why_bytes)
{
    char words[TLS_ERROR_BYTES];
    struct tls_context *tls = NULL;
    if (settings_use_tls(settings)) {
        tls = tls_context_new(&(struct tls_settings){ .skip_verify = settings->skip_verify,
                                                      .ca_pem = settings->ca_cert },
                              words);
        if (tls == NULL) {
            snprintf(why, why_bytes, "kafka error: %s", words);
            return NULL;
        }
    }
    struct gate *gate = calloc(1, sizeof *gate);
    if (gate == NULL)
        abort();
    *gate = (struct gate){ .refs = 2,
                           .trouble = trouble,
                           .owner = owner,
                           .mechanism = strdup(settings->sasl_mechanism),
                           .username = strdup(settings->sasl_username),
                           .password = strdup(settings->sasl_password) };
    if (gate->mechanism == NULL || gate->username == NULL || gate->password == NULL ||
        pthread_mutex_init(&gate->lock, NULL) != 0)
        abort();
    gate->login = (struct passage_login){ .mechanism = gate->mechanism,
                                          .username = gate->username,
                                          .password = gate->password,
                                          .tls = tls };
    return gate;
}

void
gate_close(struct gate *gate)
{
    if (gate == NULL)
        return;
    gate->owner = NULL;
    gate_unref(gate);
}
