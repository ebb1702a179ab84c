/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OpenSSL behind a table of function pointers. The table is filled once, on the plugin's thread,
 * and never emptied: unloading OpenSSL is not safe.
 */
#include "tls.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* dlsym() on libssl also finds what it depends on, so libcrypto needs no handle of its own. */
#define LIBSSL "libssl.so.3"

/* clang-format off */
#define FUNCTIONS(X) \
    X(TLS_client_method) X(SSL_CTX_new) X(SSL_CTX_free) X(SSL_CTX_ctrl) X(SSL_CTX_set_verify) \
    X(SSL_CTX_set_default_verify_paths) X(SSL_CTX_load_verify_locations) \
    X(SSL_CTX_get_cert_store) X(SSL_CTX_use_certificate) X(SSL_CTX_use_PrivateKey) \
    X(SSL_CTX_check_private_key) X(SSL_new) X(SSL_free) X(SSL_ctrl) X(SSL_set_fd) \
    X(SSL_set1_host) X(SSL_get0_param) X(SSL_set_connect_state) X(SSL_do_handshake) \
    X(SSL_read) X(SSL_write) X(SSL_get_error) X(SSL_get_verify_result) \
    X(X509_VERIFY_PARAM_set1_ip_asc) X(X509_verify_cert_error_string) X(X509_STORE_add_cert) \
    X(X509_free) X(EVP_PKEY_free) X(BIO_new_mem_buf) X(BIO_free) X(PEM_read_bio_X509) \
    X(PEM_read_bio_PrivateKey) X(ERR_peek_last_error) X(ERR_reason_error_string) \
    X(ERR_clear_error)
/* clang-format on */

static struct {
    void *library; /* NULL until loaded */
#define FIELD(name) __typeof__(name) *name;
    FUNCTIONS(FIELD)
#undef FIELD
} so;

struct tls_context {
    SSL_CTX *ctx;
};

struct tls_session {
    SSL *ssl;
    char error[TLS_ERROR_BYTES];
};

static bool
load(char why[TLS_ERROR_BYTES])
{
    if (so.library != NULL)
        return true;
    void *library = dlopen(LIBSSL, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) {
        snprintf(why, TLS_ERROR_BYTES, "TLS needs OpenSSL 3: %.200s", dlerror());
        return false;
    }
#define FIND(name)                                                                                 \
    *(void **)&so.name = dlsym(library, #name);                                                    \
    if (so.name == NULL) {                                                                         \
        snprintf(why, TLS_ERROR_BYTES, "TLS needs OpenSSL 3: no %s in it", #name);                 \
        (void)dlclose(library); /* nothing can be done about a failure */                          \
        return false;                                                                              \
    }
    FUNCTIONS(FIND)
#undef FIND
    so.library = library;
    return true;
}

/* The latest reason on OpenSSL's error queue, which is emptied. */
static const char *
last_reason(void)
{
    const char *reason = so.ERR_reason_error_string(so.ERR_peek_last_error());
    so.ERR_clear_error();
    return reason == NULL ? "unknown error" : reason;
}

/* --- the context -------------------------------------------------------------------------------*/

/* A folder with a link per certificate is read certificate by certificate, as needed; images
 * without one have a bundle, which is read whole. */
static bool
has_hashed_folder(const char *path)
{
    DIR *folder = opendir(path);
    bool found = false;
    for (const struct dirent *entry; folder != NULL && !found && (entry = readdir(folder)) != NULL;)
        found = strlen(entry->d_name) == 10 && strspn(entry->d_name, "0123456789abcdef") == 8 &&
                entry->d_name[8] == '.';
    if (folder != NULL)
        (void)closedir(folder); /* nothing to lose on a folder that was only read */
    return found;
}

static bool
trust_system(SSL_CTX *ctx)
{
    static const char *const bundles[] = { "/etc/ssl/certs/ca-certificates.crt",
                                           "/etc/pki/tls/certs/ca-bundle.crt",
                                           "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem" };
    if (so.SSL_CTX_set_default_verify_paths(ctx) != 1)
        return false;
    if (getenv("SSL_CERT_FILE") != NULL || getenv("SSL_CERT_DIR") != NULL ||
        has_hashed_folder("/etc/ssl/certs"))
        return true;
    for (size_t i = 0; i < sizeof bundles / sizeof bundles[0]; i++)
        if (so.SSL_CTX_load_verify_locations(ctx, bundles[i], NULL) == 1)
            break;
    so.ERR_clear_error();
    return true; /* without any authority the handshake will say so */
}

static X509 *
read_certificate(BIO *bio)
{
    return so.PEM_read_bio_X509(bio, NULL, NULL, NULL);
}

static bool
trust_pem(SSL_CTX *ctx, const char *pem)
{
    BIO *bio = so.BIO_new_mem_buf(pem, -1);
    X509_STORE *store = so.SSL_CTX_get_cert_store(ctx);
    unsigned count = 0;
    for (X509 *authority; bio != NULL && (authority = read_certificate(bio)) != NULL;) {
        count += so.X509_STORE_add_cert(store, authority) == 1;
        so.X509_free(authority);
    }
    so.BIO_free(bio);
    return count > 0;
}

/* The certificate, then those that lead to its authority. */
static bool
use_certificates(SSL_CTX *ctx, const char *pem)
{
    BIO *bio = so.BIO_new_mem_buf(pem, -1);
    bool sound = false, first = true;
    for (X509 *link; bio != NULL && (link = read_certificate(bio)) != NULL; first = false) {
        sound = first ? so.SSL_CTX_use_certificate(ctx, link) == 1
                      : sound && so.SSL_CTX_ctrl(ctx, SSL_CTRL_CHAIN_CERT, 1, link) == 1;
        so.X509_free(link);
    }
    so.BIO_free(bio);
    return sound;
}

static bool
use_key(SSL_CTX *ctx, const char *pem)
{
    BIO *bio = so.BIO_new_mem_buf(pem, -1);
    EVP_PKEY *key = bio == NULL ? NULL : so.PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
    bool sound = key != NULL && so.SSL_CTX_use_PrivateKey(ctx, key) == 1 &&
                 so.SSL_CTX_check_private_key(ctx) == 1;
    so.EVP_PKEY_free(key);
    so.BIO_free(bio);
    return sound;
}

static bool
configure(SSL_CTX *ctx, const struct tls_settings *settings, const char **ret_what)
{
    *ret_what = "version";
    if (so.SSL_CTX_ctrl(ctx, SSL_CTRL_SET_MIN_PROTO_VERSION, TLS1_2_VERSION, NULL) != 1)
        return false;
    so.SSL_CTX_ctrl(ctx, SSL_CTRL_MODE,
                    SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                        SSL_MODE_RELEASE_BUFFERS,
                    NULL);
    so.SSL_CTX_set_verify(ctx, settings->skip_verify ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
    *ret_what = "caCert";
    if (settings->ca_pem != NULL ? !trust_pem(ctx, settings->ca_pem) : !trust_system(ctx))
        return false;
    if (settings->certificate_pem == NULL || settings->key_pem == NULL)
        return true;
    *ret_what = "clientCert";
    if (!use_certificates(ctx, settings->certificate_pem))
        return false;
    *ret_what = "clientKey";
    return use_key(ctx, settings->key_pem);
}

struct tls_context *
tls_context_new(const struct tls_settings *settings, char why[TLS_ERROR_BYTES])
{
    if (!load(why))
        return NULL;
    struct tls_context *context = calloc(1, sizeof *context);
    if (context == NULL)
        abort();
    context->ctx = so.SSL_CTX_new(so.TLS_client_method());
    if (context->ctx == NULL)
        abort();
    const char *what;
    so.ERR_clear_error();
    if (configure(context->ctx, settings, &what)) {
        so.ERR_clear_error(); /* the end of a PEM text counts as an error there */
        return context;
    }
    snprintf(why, TLS_ERROR_BYTES, "tls: %s is not usable: %.150s", what, last_reason());
    tls_context_free(context);
    return NULL;
}

void
tls_context_free(struct tls_context *context)
{
    if (context == NULL)
        return;
    so.SSL_CTX_free(context->ctx);
    free(context);
}

/* --- a session ---------------------------------------------------------------------------------*/

static bool
is_address(const char *name)
{
    unsigned char bytes[sizeof(struct in6_addr)];
    return inet_pton(AF_INET, name, bytes) == 1 || inet_pton(AF_INET6, name, bytes) == 1;
}

struct tls_session *
tls_session_new(struct tls_context *context, int fd, const char *server_name)
{
    struct tls_session *session = calloc(1, sizeof *session);
    if (session == NULL)
        abort();
    session->ssl = so.SSL_new(context->ctx);
    if (session->ssl == NULL || so.SSL_set_fd(session->ssl, fd) != 1)
        abort(); /* only for want of memory */
    if (is_address(server_name)) {
        (void)so.X509_VERIFY_PARAM_set1_ip_asc(so.SSL_get0_param(session->ssl),
                                               server_name); /* it is one */
    } else {
        (void)so.SSL_ctrl(session->ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
                          (void *)(uintptr_t)server_name); /* too long a name fails below */
        (void)so.SSL_set1_host(session->ssl, server_name);
    }
    so.SSL_set_connect_state(session->ssl);
    return session;
}

void
tls_session_free(struct tls_session *session)
{
    if (session == NULL)
        return;
    so.SSL_free(session->ssl);
    free(session);
}

static enum tls_result
failed(struct tls_session *session, const char *prefix, const char *reason)
{
    snprintf(session->error, sizeof session->error, "tls: %s%.200s", prefix, reason);
    so.ERR_clear_error();
    return TLS_FAILED;
}

static enum tls_result
result_of(struct tls_session *session, int code)
{
    int saved_errno = errno;
    switch (so.SSL_get_error(session->ssl, code)) {
    case SSL_ERROR_NONE:
        return TLS_DONE;
    case SSL_ERROR_WANT_READ:
        return TLS_WANT_READ;
    case SSL_ERROR_WANT_WRITE:
        return TLS_WANT_WRITE;
    case SSL_ERROR_ZERO_RETURN:
        return TLS_CLOSED;
    case SSL_ERROR_SYSCALL:
        if (saved_errno == 0)
            return TLS_CLOSED;
        return failed(session, "", strerrordesc_np(saved_errno));
    default:
        break;
    }
    long verdict = so.SSL_get_verify_result(session->ssl);
    if (verdict != X509_V_OK)
        return failed(session,
                      "failed to verify certificate: ", so.X509_verify_cert_error_string(verdict));
    return failed(session, "", last_reason());
}

enum tls_result
tls_handshake(struct tls_session *session)
{
    so.ERR_clear_error();
    errno = 0;
    return result_of(session, so.SSL_do_handshake(session->ssl));
}

enum tls_result
tls_read(struct tls_session *session, void *data, size_t len, size_t *ret_len)
{
    so.ERR_clear_error();
    errno = 0;
    int got = so.SSL_read(session->ssl, data, len > INT_MAX ? INT_MAX : (int)len);
    if (got <= 0)
        return result_of(session, got);
    *ret_len = (size_t)got;
    return TLS_DONE;
}

enum tls_result
tls_write(struct tls_session *session, const void *data, size_t len, size_t *ret_len)
{
    so.ERR_clear_error();
    errno = 0;
    int put = so.SSL_write(session->ssl, data, len > INT_MAX ? INT_MAX : (int)len);
    if (put <= 0)
        return result_of(session, put);
    *ret_len = (size_t)put;
    return TLS_DONE;
}

const char *
tls_error(const struct tls_session *session)
{
    return session->error;
}
