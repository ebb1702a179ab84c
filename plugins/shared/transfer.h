/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP requests of a plugin: libcurl on the plugin's loop. The plugin sets its options on `easy`
 * and is told once how it ended. Plugin thread only.
 */
#ifndef PLUGINS_SHARED_TRANSFER_H
#define PLUGINS_SHARED_TRANSFER_H

#include <stdbool.h>

#include <curl/curl.h>

/* The first member of a plugin's own request, or beside it. */
struct transfer {
    CURL *easy;
    /* Once, unless it is ended before; ends it itself. */
    void (*on_done)(struct transfer *transfer, CURLcode code);
    char error[CURL_ERROR_SIZE]; /* libcurl's words; empty if it has none */
};

/* Once, in `setup` of the plugin. At most so many connections to one host; 0: any number. False if
 * the library cannot be set up. */
bool transfer_setup(long connections_per_host);

/* A request over http or https and through no proxy, for its options to be set; aborts if memory is
 * out. */
void
transfer_init(struct transfer *transfer, void (*on_done)(struct transfer *transfer, CURLcode code));
/* Whom to believe: what SSL_CERT_FILE and SSL_CERT_DIR name, or else the system's authorities; TLS
 * 1.2 at least. */
void transfer_trust(struct transfer *transfer, bool skips_verification);
/* `on_done` follows, later. */
void transfer_start(struct transfer *transfer);
/* Gives up what is under way; nothing is told then. Twice is once. */
void transfer_end(struct transfer *transfer);

/* Why it failed. */
const char *transfer_error(const struct transfer *transfer, CURLcode code);

#endif
