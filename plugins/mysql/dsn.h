/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connection strings in the form of Go's MySQL driver:
 * `user:password@tcp(host:port)/database?name=value&…`, `unix(/path)` for a socket.
 */
#ifndef MYSQL_PLUGIN_DSN_H
#define MYSQL_PLUGIN_DSN_H

#include <remora_plugin.h>

enum { DSN_WHY_BYTES = 256 };

enum dsn_tls {
    DSN_PLAIN,
    DSN_TLS,         /* certificate and name are verified with the system's authorities */
    DSN_CUSTOM,      /* with those of pemPath */
    DSN_SKIP_VERIFY, /* encrypted, by whoever it is */
    DSN_PREFERRED,   /* likewise, if the server can */
};

struct dsn {
    char *user, *password; /* "" if there is none */
    char *host, *path;     /* one of them; path is a socket's */
    char *database;        /* "" as a rule */
    char *ignored;         /* the name of a parameter that has no effect here, or NULL */
    unsigned port;
    enum dsn_tls tls;
    bool no_native_password; /* allowNativePasswords=false */
    bool cleartext_password; /* allowCleartextPasswords=true */
};

/* False: `why` says what is wrong with it, and does not show it. */
bool dsn_read(struct dsn *dsn, struct remora_slice text, char why[DSN_WHY_BYTES]);
void dsn_fini(struct dsn *dsn);

#endif
