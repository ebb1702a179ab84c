/* SPDX-License-Identifier: Apache-2.0 */
/* TLS under a stream, by OpenSSL; see tls.h. */
#include "http/tls.h"

#include <assert.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/limits.h"
#include "http/pem.h"
#include "http/spiffe.h"

enum { READ_BUFFER_BYTES = 64 * 1024 };

/* Shared by all threads; what is not said otherwise is constant. */
struct tls_context {
    atomic_uint refs;
    bool is_server;
    bool verifies;
    bool verifies_spiffe;
    char *ca, *cert, *key; /* NULL: none; owned, key is wiped */
    char *server_name;
    struct tls_context *base; /* counted; makes OpenSSL's for us; NULL: we do */
    unsigned char alpn[16];   /* in wire form: length, name */
    unsigned alpn_len;
    pthread_mutex_t lock;     /* of what follows */
    SSL_CTX *made;            /* at first use */
    STACK_OF(X509) * anchors; /* with it, of verifies_spiffe; constant from then on */
};

/* One connection. */
struct tls {
    SSL *ssl;
    struct tls_context *context;
    bool is_over;             /* an error: OpenSSL must not be called again */
    bool is_ended;            /* the peer has said so */
    bool has_more;            /* the last read has left something, news of the end included */
    char *peer_id;            /* that it has proved; NULL: none */
    struct slice expected_id; /* owned; empty: any */
    char refusal[LIMIT_tls_error_bytes]; /* why its certificate was refused, by our own rules */
    char error[LIMIT_tls_error_bytes];
};

/* --- contexts ----------------------------------------------------------------------------------*/

static char *
keep(struct slice text)
{
    return text.len == 0 ? NULL : slice_dup_str(text);
}

struct tls_context *
tls_context_new(const struct tls_config *config)
{
    struct tls_context *context = calloc(1, sizeof *context);
    if (context == NULL)
        abort();
    atomic_init(&context->refs, 1);
    context->is_server = config->is_server;
    context->verifies = config->verifies;
    context->verifies_spiffe = config->verifies_spiffe;
    context->ca = keep(config->ca);
    context->cert = keep(config->cert);
    context->key = keep(config->key);
    context->server_name = keep(config->server_name);
    if (config->alpn.len > 0) {
        assert(config->alpn.len < sizeof context->alpn);
        context->alpn[0] = (unsigned char)config->alpn.len;
        memcpy(context->alpn + 1, config->alpn.data, config->alpn.len);
        context->alpn_len = (unsigned)config->alpn.len + 1;
    }
    (void)pthread_mutex_init(&context->lock, NULL); /* cannot fail */
    return context;
}

struct tls_context *
tls_context_named(struct tls_context *context, struct slice server_name)
{
    assert(!context->is_server && !context->verifies_spiffe && context->base == NULL);
    struct tls_context *named = calloc(1, sizeof *named);
    if (named == NULL)
        abort();
    atomic_init(&named->refs, 1);
    named->verifies = context->verifies;
    named->server_name = keep(server_name);
    named->base = tls_context_ref(context);
    (void)pthread_mutex_init(&named->lock, NULL); /* cannot fail */
    return named;
}

struct tls_context *
tls_context_ref(struct tls_context *context)
{
    if (context != NULL)
        (void)atomic_fetch_add_explicit(&context->refs, 1, memory_order_relaxed);
    return context;
}

void
tls_context_unref(struct tls_context *context)
{
    /* Release, for the acquire of the last one: it frees what others have written. */
    if (context == NULL || atomic_fetch_sub_explicit(&context->refs, 1, memory_order_acq_rel) > 1)
        return;
    SSL_CTX_free(context->made);
    sk_X509_pop_free(context->anchors, X509_free);
    free(context->ca);
    free(context->cert);
    if (context->key != NULL)
        OPENSSL_cleanse(context->key, strlen(context->key));
    free(context->key);
    free(context->server_name);
    tls_context_unref(context->base);
    (void)pthread_mutex_destroy(&context->lock);
    free(context);
}

/* --- OpenSSL's context -------------------------------------------------------------------------*/

static bool
add_authorities(SSL_CTX *made, const char *pem)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    X509 *cert;
    bool any = false;
    if (bio == NULL)
        return false;
    while ((cert = PEM_read_bio_X509(bio, NULL, pem_no_password, NULL)) != NULL) {
        any |= X509_STORE_add_cert(SSL_CTX_get_cert_store(made), cert) == 1;
        X509_free(cert);
    }
    ERR_clear_error(); /* the end of the text is one */
    BIO_free(bio);
    return any;
}

static bool
use_chain(SSL_CTX *made, const char *pem)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    if (bio == NULL)
        return false;
    X509 *cert = PEM_read_bio_X509(bio, NULL, pem_no_password, NULL);
    bool is_good = cert != NULL && SSL_CTX_use_certificate(made, cert) == 1;
    X509_free(cert);
    while (is_good && (cert = PEM_read_bio_X509(bio, NULL, pem_no_password, NULL)) != NULL)
        is_good = SSL_CTX_add0_chain_cert(made, cert) == 1;
    ERR_clear_error();
    BIO_free(bio);
    return is_good;
}

static bool
use_key(SSL_CTX *made, const char *pem)
{
    EVP_PKEY *key = pem_read_key(slice_str(pem));
    bool is_good = key != NULL && SSL_CTX_use_PrivateKey(made, key) == 1;
    EVP_PKEY_free(key);
    return is_good;
}

static int
on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *in,
        unsigned in_len, void *arg)
{
    (void)ssl;
    const struct tls_context *context = arg;
    unsigned char *chosen;
    if (SSL_select_next_proto(&chosen, out_len, context->alpn, context->alpn_len, in, in_len) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

/* Words for a certificate of a trusted authority that is of no use nevertheless; false: it is. */
static bool
dislikes(struct tls *tls, const char *why, const char *id)
{
    if (why != NULL)
        (void)snprintf(tls->refusal, sizeof tls->refusal,
                       "tls: failed to verify certificate: x509: %s", why);
    else if (tls->expected_id.len > 0 && !slice_eq(slice_str(id), tls->expected_id))
        (void)snprintf(tls->refusal, sizeof tls->refusal,
                       "tls: failed to verify certificate: unexpected ID \"%s\"", id);
    return tls->refusal[0] != '\0';
}

/* OpenSSL asks in place of its own judgement; see spiffe.h for what it lacks. */
static int
on_verify(X509_STORE_CTX *store, void *arg)
{
    const struct tls_context *context = arg;
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct tls *tls = SSL_get_app_data(ssl);
    X509 *leaf = X509_STORE_CTX_get0_cert(store);
    char *id = NULL;
    int code = spiffe_verify(leaf, X509_STORE_CTX_get0_untrusted(store), context->anchors,
                             context->is_server ? SPIFFE_CLIENT : SPIFFE_SERVER, SPIFFE_NOW);
    if (code == X509_V_OK) {
        const char *why = spiffe_of_certificate(leaf, &id);
        if (dislikes(tls, why, id))
            code = X509_V_ERR_CERT_REJECTED;
    }
    X509_STORE_CTX_set_error(store, code);
    if (code != X509_V_OK) {
        free(id);
        return 0;
    }
    free(tls->peer_id);
    tls->peer_id = id;
    return 1;
}

/* NULL, or why not. */
static const char *
set_up_trust(struct tls_context *context, SSL_CTX *made)
{
    int mode = context->is_server ? SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT
                                  : SSL_VERIFY_PEER;
    bool verifies = context->verifies || context->verifies_spiffe;
    SSL_CTX_set_verify(made, verifies ? mode : SSL_VERIFY_NONE, NULL);
    if (context->verifies_spiffe) {
        context->anchors = context->ca == NULL ? NULL : spiffe_read_pem(slice_str(context->ca));
        SSL_CTX_set_cert_verify_callback(made, on_verify, context);
        return context->anchors != NULL ? NULL : "tls: the trust anchors cannot be read";
    }
    if (context->ca != NULL && !add_authorities(made, context->ca))
        return "tls: no certificate is to be read in the trusted authorities";
    if (context->ca == NULL && context->verifies)
        (void)SSL_CTX_set_default_verify_paths(made); /* without any, nobody is trusted */
    return NULL;
}

/* Nobody resumes a session of ours: a certificate is looked at in every handshake. */
static void
set_up_sessions(SSL_CTX *made)
{
    (void)SSL_CTX_set_options(made,
                              SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    (void)SSL_CTX_set_num_tickets(made, 0); /* of a server that speaks TLS 1.3 */
    (void)SSL_CTX_set_session_cache_mode(made, SSL_SESS_CACHE_OFF);
}

/* Between sidecars: what HTTP/2 allows of TLS 1.2 (RFC 9113 section 9.2.2), and the cheapest of
 * what is safe first, whatever the client would rather have. */
static bool
set_up_ciphers(SSL_CTX *made)
{
    (void)SSL_CTX_set_options(made, SSL_OP_CIPHER_SERVER_PREFERENCE);
    return SSL_CTX_set_cipher_list(made, "ECDHE+AESGCM:ECDHE+CHACHA20") == 1 &&
           SSL_CTX_set_ciphersuites(made, "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:"
                                          "TLS_CHACHA20_POLY1305_SHA256") == 1;
}

static const char *
set_up(struct tls_context *context, SSL_CTX *made)
{
    (void)SSL_CTX_set_min_proto_version(made, TLS1_2_VERSION);
    (void)SSL_CTX_set_options(made, SSL_OP_NO_RENEGOTIATION);
    if (context->verifies_spiffe && !set_up_ciphers(made))
        return "tls: none of the ciphers is there";
    (void)SSL_CTX_set_mode(made, SSL_MODE_ENABLE_PARTIAL_WRITE |
                                     SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                     SSL_MODE_RELEASE_BUFFERS);
    set_up_sessions(made);
    /* One read(2) for a record instead of two, or for several. */
    SSL_CTX_set_read_ahead(made, 1);
    SSL_CTX_set_default_read_buffer_len(made, READ_BUFFER_BYTES);
    const char *why = set_up_trust(context, made);
    if (why != NULL)
        return why;
    if (context->cert != NULL && !use_chain(made, context->cert))
        return "tls: failed to read the certificate";
    if (context->key != NULL && !use_key(made, context->key))
        return "tls: failed to read the private key, or it does not belong to the certificate";
    if (context->is_server && context->alpn_len > 0)
        SSL_CTX_set_alpn_select_cb(made, on_alpn, context);
    else if (context->alpn_len > 0 &&
             SSL_CTX_set_alpn_protos(made, context->alpn, context->alpn_len) != 0)
        return "tls: the protocol cannot be offered";
    return NULL;
}

/* NULL: with words in *ret_why. */
static SSL_CTX *
made_of(struct tls_context *context, const char **ret_why)
{
    (void)pthread_mutex_lock(&context->lock);
    if (context->made == NULL) {
        SSL_CTX *made = SSL_CTX_new(context->is_server ? TLS_server_method() : TLS_client_method());
        *ret_why = made == NULL ? "tls: out of memory" : set_up(context, made);
        if (*ret_why != NULL) {
            SSL_CTX_free(made);
            sk_X509_pop_free(context->anchors, X509_free);
            context->anchors = NULL;
        } else
            context->made = made;
    }
    SSL_CTX *made = context->made;
    (void)pthread_mutex_unlock(&context->lock);
    return made;
}

/* --- the socket under OpenSSL ------------------------------------------------------------------*/

/* OpenSSL's own would raise SIGPIPE. */
static int
bio_write(BIO *bio, const char *bytes, int len)
{
    BIO_clear_retry_flags(bio);
    ssize_t sent = send((int)(intptr_t)BIO_get_data(bio), bytes, (size_t)len, MSG_NOSIGNAL);
    if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        BIO_set_retry_write(bio);
    return (int)sent;
}

static int
bio_read(BIO *bio, char *at, int len)
{
    BIO_clear_retry_flags(bio);
    ssize_t got = recv((int)(intptr_t)BIO_get_data(bio), at, (size_t)len, 0);
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        BIO_set_retry_read(bio);
    if (got == 0)
        BIO_set_flags(bio, BIO_FLAGS_IN_EOF);
    return (int)got;
}

static long
bio_ctrl(BIO *bio, int command, long number, void *pointer)
{
    (void)number;
    (void)pointer;
    if (command == BIO_CTRL_EOF)
        return BIO_test_flags(bio, BIO_FLAGS_IN_EOF) != 0;
    return command == BIO_CTRL_FLUSH ? 1 : 0;
}

static BIO_METHOD *bio_method;

static void
make_bio_method(void)
{
    bio_method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "stream");
    if (bio_method == NULL || BIO_meth_set_write(bio_method, bio_write) != 1 ||
        BIO_meth_set_read(bio_method, bio_read) != 1 ||
        BIO_meth_set_ctrl(bio_method, bio_ctrl) != 1)
        abort(); /* out of memory */
}

static BIO *
bio_of(int fd)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, make_bio_method);
    BIO *bio = BIO_new(bio_method);
    if (bio == NULL)
        abort();
    BIO_set_data(bio, (void *)(intptr_t)fd);
    BIO_set_init(bio, 1);
    return bio;
}

/* --- one connection ----------------------------------------------------------------------------*/

static void
put_error(struct tls *tls, const char *words)
{
    (void)snprintf(tls->error, sizeof tls->error, "%s", words); /* may be cut */
}

/* What the peer has complained of, in the reference's words; NULL: it was no complaint. */
static const char *
alert_words(int reason)
{
    switch (reason - SSL_AD_REASON_OFFSET) {
    case SSL_AD_HANDSHAKE_FAILURE:
        return "handshake failure";
    case SSL_AD_BAD_CERTIFICATE:
        return "bad certificate";
    case SSL_AD_UNSUPPORTED_CERTIFICATE:
        return "unsupported certificate";
    case SSL_AD_CERTIFICATE_EXPIRED:
        return "expired certificate";
    case SSL_AD_CERTIFICATE_UNKNOWN:
        return "unknown certificate";
    case SSL_AD_UNKNOWN_CA:
        return "unknown certificate authority";
    case SSL_AD_ACCESS_DENIED:
        return "access denied";
    case SSL_AD_DECRYPT_ERROR:
        return "error decrypting message";
    case SSL_AD_PROTOCOL_VERSION:
        return "protocol version not supported";
    case TLS13_AD_CERTIFICATE_REQUIRED:
        return "certificate required";
    case SSL_AD_NO_APPLICATION_PROTOCOL:
        return "no application protocol";
    default:
        return NULL;
    }
}

/* The words of the reference where users know them. */
static void
explain(struct tls *tls)
{
    unsigned long code = ERR_peek_error();
    long verified = SSL_get_verify_result(tls->ssl);
    int reason = ERR_GET_REASON(code);
    if (tls->refusal[0] != '\0') {
        put_error(tls, tls->refusal);
    } else if (code == 0) {
        put_error(tls, "EOF");
    } else if (reason == SSL_R_CERTIFICATE_VERIFY_FAILED && verified != X509_V_OK) {
        bool is_outside = verified == X509_V_ERR_CERT_HAS_EXPIRED ||
                          verified == X509_V_ERR_CERT_NOT_YET_VALID;
        bool is_unknown = verified == X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY ||
                          verified == X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT ||
                          verified == X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN ||
                          verified == X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE;
        (void)snprintf(tls->error, sizeof tls->error, "tls: failed to verify certificate: x509: %s",
                       is_unknown   ? "certificate signed by unknown authority"
                       : is_outside ? "certificate has expired or is not yet valid"
                                    : X509_verify_cert_error_string(verified));
    } else if (reason == SSL_R_WRONG_VERSION_NUMBER || reason == SSL_R_HTTP_REQUEST) {
        put_error(tls, "tls: first record does not look like a TLS handshake");
    } else if (reason == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
        put_error(tls, "unexpected EOF");
    } else if (alert_words(reason) != NULL) {
        (void)snprintf(tls->error, sizeof tls->error, "remote error: tls: %s", alert_words(reason));
    } else if (reason == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE) {
        put_error(tls, "tls: client didn't provide a certificate");
    } else {
        const char *words = ERR_reason_error_string(code);
        (void)snprintf(tls->error, sizeof tls->error, "tls: %s", words == NULL ? "failed" : words);
    }
    ERR_clear_error();
}

static struct tls *
tls_of(const struct stream *stream)
{
    return stream->filter_state;
}

/* What OpenSSL's return code means: EAGAIN or for good; errno is set. */
static void
take_failure(struct stream *stream, int result)
{
    struct tls *tls = tls_of(stream);
    int saved = errno;
    switch (SSL_get_error(tls->ssl, result)) {
    case SSL_ERROR_WANT_READ:
        errno = EAGAIN;
        break;
    case SSL_ERROR_WANT_WRITE:
        stream->wants_writable = true;
        errno = EAGAIN;
        break;
    case SSL_ERROR_ZERO_RETURN:
        tls->is_ended = true;
        errno = EPIPE;
        break;
    case SSL_ERROR_SYSCALL:
        tls->is_over = true;
        put_error(tls, saved == ECONNRESET ? "connection reset by peer" : "EOF");
        errno = saved != 0 ? saved : EPIPE;
        break;
    default:
        tls->is_over = true;
        explain(tls);
        errno = EPROTO;
        break;
    }
}

/* As many records as have come and fit. */
static enum stream_got
filter_read(struct stream *stream, char *at, size_t bytes, size_t *ret_len)
{
    struct tls *tls = tls_of(stream);
    size_t len = 0, piece = 0;
    int got = 1;
    if (tls->is_over)
        return STREAM_ERROR;
    bool was_agreed = SSL_is_init_finished(tls->ssl);
    do {
        ERR_clear_error();
        errno = 0;
        got = SSL_read_ex(tls->ssl, at + len, bytes - len, &piece);
        if (got == 1)
            len += piece;
        else
            take_failure(stream, got);
    } while (got == 1 && len < bytes && SSL_has_pending(tls->ssl) == 1);
    if (!was_agreed && SSL_is_init_finished(tls->ssl))
        stream_flush_later(stream); /* what the owner has written has waited for this */
    tls->has_more = len > 0 &&
                    (tls->is_over || tls->is_ended || (got == 1 && SSL_has_pending(tls->ssl) == 1));
    *ret_len = len;
    if (len > 0)
        return STREAM_BYTES;
    if (tls->is_over)
        return STREAM_ERROR;
    return tls->is_ended ? STREAM_END : STREAM_NOTHING;
}

/* A handshake or an output has read ahead what the socket will not be readable for. */
static void
read_soon_if_more(struct stream *stream)
{
    struct tls *tls = tls_of(stream);
    if (!tls->is_over && SSL_has_pending(tls->ssl) != 1)
        return;
    tls->has_more = true;
    if (stream->is_reading)
        timer_set(&stream->worker->timers, &stream->again, stream->worker->now_ms);
}

/* A peer that has closed the connection may have said why before. */
static void
look_for_alert(struct tls *tls)
{
    char byte;
    size_t len;
    ERR_clear_error();
    if (SSL_peek_ex(tls->ssl, &byte, 1, &len) != 1 &&
        alert_words(ERR_GET_REASON(ERR_peek_error())) != NULL)
        explain(tls);
    ERR_clear_error();
}

static ssize_t
filter_send(struct stream *stream, const void *bytes, size_t len)
{
    struct tls *tls = tls_of(stream);
    size_t sent = 0;
    if (tls->is_over) {
        errno = EPIPE;
        return -1;
    }
    ERR_clear_error();
    errno = 0;
    int done = SSL_write_ex(tls->ssl, bytes, len, &sent);
    if (done != 1)
        take_failure(stream, done);
    int error = errno;
    if (tls->is_over)
        look_for_alert(tls);
    read_soon_if_more(stream);
    errno = error;
    return done == 1 ? (ssize_t)sent : -1;
}

static bool
filter_has_more(const struct stream *stream)
{
    return tls_of(stream)->has_more;
}

static void
filter_shutdown(struct stream *stream)
{
    struct tls *tls = tls_of(stream);
    if (!tls->is_over && SSL_is_init_finished(tls->ssl))
        (void)SSL_shutdown(tls->ssl); /* a peer that does not hear it sees the socket close */
    ERR_clear_error();
}

static void
filter_close(struct stream *stream)
{
    struct tls *tls = tls_of(stream);
    if (!stream->is_broken)
        filter_shutdown(stream);
    SSL_free(tls->ssl);
    tls_context_unref(tls->context);
    free(tls->peer_id);
    free((void *)(uintptr_t)tls->expected_id.data); /* ours */
    free(tls);
    stream->filter_state = NULL;
}

static const struct stream_filter tls_filter = {
    .read = filter_read,
    .send = filter_send,
    .has_more = filter_has_more,
    .shutdown = filter_shutdown,
    .close = filter_close,
};

/* A literal address is compared with addresses of the certificate, a name with its names. */
static bool
expect_name(SSL *ssl, const struct tls_context *context)
{
    char *name = context->server_name; /* the macro below wants it so */
    if (name == NULL)
        return true;
    if (X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name) == 1)
        return true;
    ERR_clear_error();
    return SSL_set1_host(ssl, name) == 1 && SSL_set_tlsext_host_name(ssl, name) == 1;
}

bool
tls_start(struct stream *stream, struct tls_context *context, struct slice peer_id,
          struct diag *diag)
{
    const char *why = NULL;
    SSL_CTX *made = made_of(context->base != NULL ? context->base : context, &why);
    SSL *ssl = made == NULL ? NULL : SSL_new(made);
    if (ssl == NULL || !expect_name(ssl, context)) {
        (void)DIAG_FAIL(diag, ERR_PEER_UNREACHABLE, "%s", why == NULL ? "tls: out of memory" : why);
        ERR_clear_error();
        SSL_free(ssl);
        return false;
    }
    struct tls *tls = calloc(1, sizeof *tls);
    if (tls == NULL)
        abort();
    tls->ssl = ssl;
    tls->context = tls_context_ref(context);
    tls->expected_id = slice_of(slice_copy(peer_id), peer_id.len);
    SSL_set_app_data(ssl, tls);
    BIO *bio = bio_of(stream->fd);
    SSL_set_bio(ssl, bio, bio);
    stream_set_filter(stream, &tls_filter, tls);
    if (context->is_server) {
        SSL_set_accept_state(ssl);
        return true;
    }
    SSL_set_connect_state(ssl);
    int done = SSL_do_handshake(ssl);
    if (done != 1)
        take_failure(stream, done); /* seen by the owner when it reads */
    read_soon_if_more(stream);
    return true;
}

struct slice
tls_error(const struct stream *stream)
{
    return stream->filter == &tls_filter ? slice_str(tls_of(stream)->error) : SLICE_EMPTY;
}

bool
tls_is_established(const struct stream *stream)
{
    return stream->filter == &tls_filter && SSL_is_init_finished(tls_of(stream)->ssl);
}

struct slice
tls_peer_id(const struct stream *stream)
{
    const char *id = tls_is_established(stream) ? tls_of(stream)->peer_id : NULL;
    return id == NULL ? SLICE_EMPTY : slice_str(id);
}

struct slice
tls_alpn(const struct stream *stream)
{
    const unsigned char *name = NULL;
    unsigned len = 0;
    if (tls_is_established(stream))
        SSL_get0_alpn_selected(tls_of(stream)->ssl, &name, &len);
    return len == 0 ? SLICE_EMPTY : slice_of(name, len);
}
