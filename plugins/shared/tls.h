/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS for a connection, on OpenSSL, which is loaded with dlopen() when the first component asks for
 * it: a process of plain connections never maps it (about 2.5 MB). For plugins that dial servers.
 */
#ifndef SHARED_TLS_H
#define SHARED_TLS_H

#include <stdbool.h>
#include <stddef.h>

enum { TLS_ERROR_BYTES = 256 };

struct tls_context; /* what the connections of one component share */
struct tls_session;

struct tls_settings {
    bool skip_verify;
    const char *ca_pem;                    /* trusted instead of the system's, or NULL */
    const char *certificate_pem, *key_pem; /* ours, or NULL */
};

/* NULL on failure, with the reason in `why`. Strings of `settings` are copied. */
struct tls_context *tls_context_new(const struct tls_settings *settings, char why[TLS_ERROR_BYTES]);
void tls_context_free(struct tls_context *context);

/* On a connected non-blocking socket, which stays the caller's. The certificate must be for
 * `server_name`, a name or an address. */
struct tls_session *tls_session_new(struct tls_context *context, int fd, const char *server_name);
void tls_session_free(struct tls_session *session);

enum tls_result { TLS_DONE, TLS_WANT_READ, TLS_WANT_WRITE, TLS_CLOSED, TLS_FAILED };

enum tls_result tls_handshake(struct tls_session *session);
/* At most `len` bytes; *ret_len is set on TLS_DONE. */
enum tls_result tls_read(struct tls_session *session, void *data, size_t len, size_t *ret_len);
enum tls_result
tls_write(struct tls_session *session, const void *data, size_t len, size_t *ret_len);
/* After TLS_FAILED. */
const char *tls_error(const struct tls_session *session);

#endif
