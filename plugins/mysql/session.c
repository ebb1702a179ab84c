/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The connection. libmariadb has an interface that does not block, which is not used: it runs on
 * stacks of its own that sanitizers do not know, and it looks up names in place.
 */
#include "session.h"

#include <mariadb/errmsg.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "../shared/memory.h"

void
session_init(struct session *session, const struct server *server)
{
    *session = (struct session){ .server = server };
    atomic_init(&session->fd, -1);
}

void
session_close(struct session *session)
{
    atomic_store(&session->fd, -1);
    if (session->db != NULL)
        mysql_close(session->db);
    session->db = NULL;
}

void
session_fini(struct session *session)
{
    session_close(session);
    text_fini(&session->text);
}

/* --- making it ---------------------------------------------------------------------------------*/

static void
set_tls(MYSQL *db, const struct server *server)
{
    my_bool verify = server->dsn.tls == DSN_TLS || server->dsn.tls == DSN_CUSTOM;
    my_bool enforce = server->dsn.tls != DSN_PLAIN;
    if (enforce) {
        mysql_ssl_set(db, NULL, NULL, verify ? server->pem_path : NULL, NULL, NULL);
        mysql_optionsv(db, MARIADB_OPT_TLS_VERSION, "TLSv1.2,TLSv1.3");
    }
    mysql_optionsv(db, MYSQL_OPT_SSL_ENFORCE, &enforce);
    mysql_optionsv(db, MYSQL_OPT_SSL_VERIFY_SERVER_CERT, &verify);
}

/* A server chooses how the client authenticates: not with the password as it is, unless the user
 * says so, and not with files. */
static void
set_trust(MYSQL *db, const struct dsn *dsn)
{
    unsigned local_files = 0;
    struct text words = { .data = NULL };
    text_put(&words, "caching_sha2_password,sha256_password,client_ed25519");
    if (!dsn->no_native_password)
        text_put(&words, ",mysql_native_password");
    if (dsn->cleartext_password)
        text_put(&words, ",mysql_clear_password");
    mysql_optionsv(db, MYSQL_OPT_LOCAL_INFILE, &local_files);
    char *list = memory_slice((struct remora_slice){ words.data, words.len });
    mysql_optionsv(db, MARIADB_OPT_RESTRICTED_AUTH, list);
    free(list);
    text_fini(&words);
}

static MYSQL *
new_handle(const struct server *server)
{
    MYSQL *db = mysql_init(NULL);
    if (db == NULL)
        abort();
    int64_t connect_ms = server->timeout_ms < CONNECT_MS_MAX ? server->timeout_ms : CONNECT_MS_MAX;
    unsigned connect_s = (unsigned)(connect_ms / 1000),
             wait_s = (unsigned)(server->timeout_ms / 1000);
    size_t packet_bytes = PACKET_BYTES_MAX;
    mysql_optionsv(db, MYSQL_OPT_CONNECT_TIMEOUT, &connect_s);
    mysql_optionsv(db, MYSQL_OPT_READ_TIMEOUT, &wait_s);
    mysql_optionsv(db, MYSQL_OPT_WRITE_TIMEOUT, &wait_s);
    mysql_optionsv(db, MYSQL_OPT_MAX_ALLOWED_PACKET, &packet_bytes);
    mysql_optionsv(db, MYSQL_SET_CHARSET_NAME, "utf8mb4");
    /* Otherwise "localhost" is a socket. */
    unsigned protocol = server->dsn.path != NULL ? MYSQL_PROTOCOL_SOCKET : MYSQL_PROTOCOL_TCP;
    mysql_optionsv(db, MYSQL_OPT_PROTOCOL, &protocol);
    set_tls(db, server);
    set_trust(db, &server->dsn);
    return db;
}

static struct failure *
take_bytes_max(char **columns, const unsigned long *lengths, void *arg)
{
    struct session *session = arg;
    int64_t bytes = 0;
    if (columns[0] != NULL &&
        remora_parse_i64((struct remora_slice){ columns[0], lengths[0] }, &bytes) && bytes > 0)
        session->statement_bytes_max = (uint64_t)bytes;
    return NULL;
}

/* Statements must not depend on what the server's administrator has chosen: which errors are errors
 * and what a backslash means are modes of the connection, and so is the time zone. */
static struct failure *
settle(struct session *session)
{
    session->statement_bytes_max = PACKET_BYTES_MAX;
    text_clear(&session->text);
    text_add(&session->text,
             "SET SESSION sql_mode = 'STRICT_TRANS_TABLES,STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION'"
             ", time_zone = '+00:00', autocommit = 1, innodb_lock_wait_timeout = %lld",
             (long long)(session->server->timeout_ms / 1000));
    struct failure *failure = session_run(session, NULL);
    if (failure != NULL)
        return failure;
    text_put(&session->text, "SELECT @@max_allowed_packet");
    return session_read(session, 1, take_bytes_max, session);
}

/* Bytes or an end that nobody has asked for: the server is gone, or about to close. */
static bool
is_dead(const struct session *session)
{
    struct pollfd poll_fd = { .fd = (int)mysql_get_socket(session->db), .events = POLLRDHUP };
    return poll(&poll_fd, 1, 0) != 0;
}

static bool
dial(struct session *session)
{
    const struct dsn *dsn = &session->server->dsn;
    unsigned long flags = 0; /* above all no CLIENT_MULTI_STATEMENTS */
    session_close(session);
    session->db = new_handle(session->server);
    if (mysql_real_connect(session->db, dsn->host, dsn->user, dsn->password, NULL, dsn->port,
                           dsn->path, flags) == NULL)
        return false;
    atomic_store(&session->fd, (int)mysql_get_socket(session->db));
    session->is_mariadb = mariadb_connection(session->db) != 0;
    return true;
}

static struct failure *
start(struct session *session, bool with_schema)
{
    enum dsn_tls tls = session->server->dsn.tls;
    bool is_connected = dial(session);
    struct failure *failure = is_connected ? NULL : failure_from_server(session->db);
    /* The library goes on without TLS where a server does not offer it. */
    if (failure == NULL && tls != DSN_PLAIN && tls != DSN_PREFERRED &&
        mysql_get_ssl_cipher(session->db) == NULL)
        failure = failure_new(REMORA_UNAVAILABLE, REMORA_EFFECT_NOT_SENT,
                              "the server at %s does not offer TLS", session->server->address);
    if (failure == NULL)
        failure = settle(session);
    if (failure == NULL && with_schema &&
        mysql_select_db(session->db, session->server->schema) != 0)
        failure = failure_from_server(session->db);
    return failure;
}

struct failure *
session_open(struct session *session, bool with_schema)
{
    if (session->db != NULL && !is_dead(session))
        return NULL;
    struct failure *failure = start(session, with_schema);
    if (failure == NULL)
        return NULL;
    session_close(session);
    failure->kind = FAILURE_LOST;
    /* Nothing of a request has left. */
    if (failure->base.effect == REMORA_EFFECT_UNKNOWN)
        failure->base.effect = REMORA_EFFECT_NOT_SENT;
    return failure;
}

/* --- using it ----------------------------------------------------------------------------------*/

static struct failure *
last_failure(struct session *session)
{
    struct failure *failure = failure_from_server(session->db);
    if (failure->kind == FAILURE_LOST)
        session_close(session);
    return failure;
}

static struct failure *
send_text(struct session *session)
{
    struct text *text = &session->text;
    size_t len = text->len;
    if (len >= session->statement_bytes_max) { /* the server would hang up */
        text_clear(text);
        return failure_new(REMORA_INVALID_ARGUMENT, REMORA_EFFECT_FAILED,
                           "a statement of %zu bytes is larger than the server's "
                           "max_allowed_packet (%llu)",
                           len, (unsigned long long)session->statement_bytes_max);
    }
    bool is_sent = mysql_real_query(session->db, text->data, (unsigned long)text->len) == 0;
    text_clear(text);
    return is_sent ? NULL : last_failure(session);
}

struct failure *
session_run(struct session *session, uint64_t *ret_changed)
{
    struct failure *failure = send_text(session);
    if (failure != NULL)
        return failure;
    if (mysql_field_count(session->db) > 0) { /* no statement of ours: not what it says it is */
        session_close(session);
        return failure_new(REMORA_INTERNAL, REMORA_EFFECT_UNKNOWN,
                           "the server answers a statement with rows");
    }
    if (ret_changed != NULL)
        *ret_changed = mysql_affected_rows(session->db);
    return NULL;
}

struct failure *
session_run_words(struct session *session, const char *words)
{
    text_clear(&session->text);
    text_put(&session->text, words);
    return session_run(session, NULL);
}

struct failure *
session_read(struct session *session, unsigned column_count, session_row_fn *take, void *arg)
{
    struct failure *failure = send_text(session);
    if (failure != NULL)
        return failure;
    MYSQL_RES *result = mysql_use_result(session->db);
    if (result == NULL) {
        failure = mysql_errno(session->db) != 0
                      ? last_failure(session)
                      : failure_new(REMORA_INTERNAL, REMORA_EFFECT_FAILED,
                                    "the server answers a query without rows");
        session_close(session);
        return failure;
    }
    if (mysql_num_fields(result) != column_count)
        failure = failure_new(REMORA_INTERNAL, REMORA_EFFECT_FAILED,
                              "the server answers with %u columns instead of %u",
                              mysql_num_fields(result), column_count);
    MYSQL_ROW row = NULL;
    while (failure == NULL && (row = mysql_fetch_row(result)) != NULL)
        failure = take(row, mysql_fetch_lengths(result), arg);
    if (failure == NULL && mysql_errno(session->db) != 0)
        failure = failure_from_server(session->db);
    mysql_free_result(result); /* reads what is left */
    if (failure_is(failure, FAILURE_LOST))
        session_close(session);
    return failure;
}
