/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS as a layer between a stream and its owner: what the owner reads and writes is plain text,
 * what the socket carries is not. A context holds certificates and rules and is shared by all
 * workers; OpenSSL's own context is made when the first connection needs it (2 ms and 2.6 MB).
 */
#ifndef HTTP_TLS_H
#define HTTP_TLS_H

#include <stdbool.h>

#include "async/stream.h"
#include "base/err.h"
#include "base/slice.h"

struct tls_context;

/* Copied. PEM texts; empty: none. */
struct tls_config {
    bool is_server;
    bool verifies;            /* the peer's certificate, against `ca` or the system's store */
    bool verifies_spiffe;     /* instead: by rules of SPIFFE, against `ca`; names do not count */
    struct slice ca;          /* trusted authorities */
    struct slice cert;        /* our chain, leaf first */
    struct slice key;         /* of the leaf; secret */
    struct slice server_name; /* expected and sent by a client; empty: not sent, not checked */
    struct slice alpn; /* the one protocol offered or accepted, "h2" or "http/1.1"; empty: none */
};

/* Any thread. */
struct tls_context *tls_context_new(const struct tls_config *config);
/* A client's context for another server: what OpenSSL needs is made once for all such. */
struct tls_context *tls_context_named(struct tls_context *context, struct slice server_name);
struct tls_context *tls_context_ref(struct tls_context *context);
void tls_context_unref(struct tls_context *context);

/* Puts TLS on a connected stream before anything was read or written. The handshake goes on by
 * itself; the owner may write at once. `peer_id` is what the peer must prove where verifies_spiffe
 * is set (copied); empty: any id of a trusted authority. False with words: the context is no
 * good. */
bool tls_start(struct stream *stream, struct tls_context *context, struct slice peer_id,
               struct diag *diag) WARN_UNUSED;
/* After on_broken or STREAM_ERROR: why, for people; empty if TLS was not the reason. */
struct slice tls_error(const struct stream *stream);
/* The peer has proved itself and everything is agreed on. */
bool tls_is_established(const struct stream *stream);
/* The SPIFFE id that the peer has proved; empty before, and where verifies_spiffe is not set. Lives
 * as long as the stream's TLS. */
struct slice tls_peer_id(const struct stream *stream);
/* The protocol agreed on; empty before, and if there is none. */
struct slice tls_alpn(const struct stream *stream);

#endif
