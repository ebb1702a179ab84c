/* SPDX-License-Identifier: Apache-2.0 */
/* Connecting. */
#include "dial.h"

#include <amqp_framing.h>
#include <amqp_ssl_socket.h>
#include <amqp_tcp_socket.h>
#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <sys/time.h>

enum { CHAIN_MAX = 16, CAS_MAX = 1024 };

/* --- words -------------------------------------------------------------------------------------*/

void
exception_in_words(unsigned code, amqp_bytes_t text, char why[WHY_BYTES])
{
    char shown[WHY_BYTES / 2];
    size_t len = text.len < sizeof shown - 1 ? text.len : sizeof shown - 1;
    for (size_t i = 0; i < len; i++) {
        unsigned char byte = ((const unsigned char *)text.bytes)[i];
        shown[i] = byte < 0x20 || byte == 0x7f ? ' ' : (char)byte;
    }
    shown[len] = '\0';
    snprintf(why, WHY_BYTES, "Exception (%u) Reason: \"%s\"", code, shown);
}

void
reply_in_words(const char *what, amqp_rpc_reply_t reply, char why[WHY_BYTES])
{
    why[0] = '\0';
    if (reply.reply_type == AMQP_RESPONSE_NORMAL)
        return;
    if (reply.reply_type == AMQP_RESPONSE_LIBRARY_EXCEPTION)
        snprintf(why, WHY_BYTES, "%s: %s", what, amqp_error_string2(reply.library_error));
    else if (reply.reply_type == AMQP_RESPONSE_SERVER_EXCEPTION &&
             reply.reply.id == AMQP_CHANNEL_CLOSE_METHOD) {
        const amqp_channel_close_t *close = reply.reply.decoded;
        exception_in_words(close->reply_code, close->reply_text, why);
    } else if (reply.reply_type == AMQP_RESPONSE_SERVER_EXCEPTION &&
               reply.reply.id == AMQP_CONNECTION_CLOSE_METHOD) {
        const amqp_connection_close_t *close = reply.reply.decoded;
        exception_in_words(close->reply_code, close->reply_text, why);
    } else
        snprintf(why, WHY_BYTES, "%s: the server answered what was not asked", what);
}

/* --- TLS ---------------------------------------------------------------------------------------*/

static const char *
tls_trouble(const char *otherwise)
{
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());
    return reason == NULL ? otherwise : reason;
}

static bool
trust(SSL_CTX *context, const char *pem, char why[WHY_BYTES])
{
    if (pem == NULL)
        return SSL_CTX_set_default_verify_paths(context) == 1;
    X509_STORE *store = SSL_CTX_get_cert_store(context);
    BIO *bio = BIO_new_mem_buf(pem, -1);
    size_t count = 0;
    X509 *authority;
    while (bio != NULL && count < CAS_MAX &&
           (authority = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL) {
        (void)X509_STORE_add_cert(store, authority); /* twice the same is no harm */
        X509_free(authority);
        count++;
    }
    BIO_free(bio);
    ERR_clear_error();
    if (count == 0)
        snprintf(why, WHY_BYTES, "unable to load CA certificate");
    return count > 0;
}

/* Without a passphrase: nobody is asked on a terminal. */
static int
no_passphrase(char *buffer, int size, int is_writing, void *arg)
{
    (void)buffer, (void)size, (void)is_writing, (void)arg;
    return 0;
}

static bool
take_chain(SSL_CTX *context, BIO *bio)
{
    X509 *leaf = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    bool ok = leaf != NULL && SSL_CTX_use_certificate(context, leaf) == 1;
    X509_free(leaf);
    X509 *issuer;
    for (int i = 0; ok && i < CHAIN_MAX; i++) {
        if ((issuer = PEM_read_bio_X509(bio, NULL, NULL, NULL)) == NULL)
            break;
        if (SSL_CTX_add0_chain_cert(context, issuer) != 1) {
            X509_free(issuer);
            ok = false;
        }
    }
    return ok;
}

static bool
identify(SSL_CTX *context, const struct settings *settings, char why[WHY_BYTES])
{
    if (settings->client_cert == NULL || settings->client_key == NULL)
        return true;
    BIO *certificate = BIO_new_mem_buf(settings->client_cert, -1);
    BIO *secret = BIO_new_mem_buf(settings->client_key, -1);
    EVP_PKEY *key = secret == NULL ? NULL
                                   : PEM_read_bio_PrivateKey(secret, NULL, no_passphrase, NULL);
    bool ok = certificate != NULL && key != NULL && take_chain(context, certificate) &&
              SSL_CTX_use_PrivateKey(context, key) == 1 && SSL_CTX_check_private_key(context) == 1;
    if (!ok)
        snprintf(why, WHY_BYTES, "unable to load client certificate and key pair. Err: %s",
                 tls_trouble("they do not belong together"));
    EVP_PKEY_free(key);
    BIO_free(secret);
    BIO_free(certificate);
    ERR_clear_error();
    return ok;
}

/* The library compares names only; OpenSSL knows addresses too. */
static bool
expect_host(SSL_CTX *context, const char *host)
{
    X509_VERIFY_PARAM *expected = SSL_CTX_get0_param(context);
    struct in6_addr ignored;
    bool is_ip = inet_pton(AF_INET, host, &ignored) == 1 ||
                 inet_pton(AF_INET6, host, &ignored) == 1;
    X509_VERIFY_PARAM_set_hostflags(expected, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return is_ip ? X509_VERIFY_PARAM_set1_ip_asc(expected, host) == 1
                 : X509_VERIFY_PARAM_set1_host(expected, host, 0) == 1;
}

static amqp_socket_t *
tls_socket(amqp_connection_state_t amqp, const struct settings *settings, char why[WHY_BYTES])
{
    amqp_socket_t *socket = amqp_ssl_socket_new(amqp);
    SSL_CTX *context = socket == NULL ? NULL : amqp_ssl_socket_get_context(socket);
    ERR_clear_error();
    snprintf(why, WHY_BYTES, "TLS cannot be set up");
    if (context == NULL || !trust(context, settings->ca_cert, why) ||
        !identify(context, settings, why) || !expect_host(context, settings->address.host))
        return NULL;
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    amqp_ssl_socket_set_verify_peer(socket, 1);
    amqp_ssl_socket_set_verify_hostname(socket, 0);
    return amqp_ssl_socket_set_ssl_versions(socket, AMQP_TLSv1_2, AMQP_TLSvLATEST) == AMQP_STATUS_OK
               ? socket
               : NULL;
}

/* --- the handshake -----------------------------------------------------------------------------*/

static bool
connect_to(amqp_connection_state_t amqp, const struct settings *settings, char why[WHY_BYTES])
{
    const struct address *address = &settings->address;
    struct timeval limit = { CONNECT_MS / 1000, 0 };
    snprintf(why, WHY_BYTES, "out of memory");
    amqp_socket_t *socket = address->is_tls ? tls_socket(amqp, settings, why)
                                            : amqp_tcp_socket_new(amqp);
    if (socket == NULL)
        return false;
    int status = amqp_socket_open_noblock(socket, address->host, address->port, &limit);
    if (status == AMQP_STATUS_OK)
        return true;
    const char *text = status == AMQP_STATUS_SOCKET_ERROR ? "no connection can be made"
                                                          : amqp_error_string2(status);
    if (address->is_tls && status <= AMQP_STATUS_SSL_ERROR)
        text = tls_trouble(text);
    snprintf(why, WHY_BYTES, "dial %s: %s", address->shown, text);
    ERR_clear_error();
    return false;
}

static amqp_table_entry_t
flag(const char *name)
{
    return (amqp_table_entry_t){ .key = amqp_cstring_bytes(name),
                                 .value = { .kind = AMQP_FIELD_KIND_BOOLEAN, .value.boolean = 1 } };
}

static amqp_rpc_reply_t
log_in(amqp_connection_state_t amqp, const struct settings *settings)
{
    const struct address *address = &settings->address;
    amqp_table_entry_t can[] = { flag("consumer_cancel_notify"), flag("connection.blocked"),
                                 flag("publisher_confirms"), flag("basic.nack"),
                                 flag("authentication_failure_close") };
    amqp_table_entry_t entries[] = {
        { .key = amqp_cstring_bytes("capabilities"),
          .value = { .kind = AMQP_FIELD_KIND_TABLE,
                     .value.table = { sizeof can / sizeof can[0], can } } },
        { .key = amqp_cstring_bytes("connection_name"),
          .value = { .kind = AMQP_FIELD_KIND_UTF8,
                     .value.bytes = amqp_cstring_bytes(settings->client_name) } },
    };
    amqp_table_t properties = { *settings->client_name == '\0' ? 1 : 2, entries };
    int64_t heartbeat_s = (settings->heartbeat_ms + 999) / 1000;
    heartbeat_s = heartbeat_s == 0 || heartbeat_s > 3600 ? 60 : heartbeat_s;
    if (settings->sasl_external && address->is_tls)
        return amqp_login_with_properties(amqp, address->vhost, 0, FRAME_BYTES, (int)heartbeat_s,
                                          &properties, AMQP_SASL_METHOD_EXTERNAL, "*");
    return amqp_login_with_properties(amqp, address->vhost, 0, FRAME_BYTES, (int)heartbeat_s,
                                      &properties, AMQP_SASL_METHOD_PLAIN, address->username,
                                      address->password);
}

static void
login_in_words(amqp_rpc_reply_t reply, char why[WHY_BYTES])
{
    reply_in_words("the handshake failed", reply, why);
    const amqp_connection_close_t *close = reply.reply.decoded;
    if (reply.reply_type == AMQP_RESPONSE_SERVER_EXCEPTION &&
        reply.reply.id == AMQP_CONNECTION_CLOSE_METHOD && close->reply_code == AMQP_ACCESS_REFUSED)
        snprintf(why, WHY_BYTES, "Exception (403) Reason: \"username or password not allowed\"");
}

amqp_connection_state_t
dial(const struct settings *settings, char why[WHY_BYTES])
{
    amqp_connection_state_t amqp = amqp_new_connection();
    struct timeval limit = { CONNECT_MS / 1000, 0 }, answer = { RPC_MS / 1000, 0 };
    if (amqp == NULL) {
        snprintf(why, WHY_BYTES, "out of memory");
        return NULL;
    }
    if (amqp_set_handshake_timeout(amqp, &limit) == AMQP_STATUS_OK &&
        amqp_set_rpc_timeout(amqp, &answer) == AMQP_STATUS_OK && connect_to(amqp, settings, why)) {
        amqp_rpc_reply_t reply = log_in(amqp, settings);
        if (reply.reply_type == AMQP_RESPONSE_NORMAL)
            return amqp;
        login_in_words(reply, why);
    }
    amqp_destroy_connection(amqp);
    return NULL;
}
