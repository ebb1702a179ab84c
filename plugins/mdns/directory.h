/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The applications that were asked for, and what the network has said of their instances. Knows
 * nothing of sockets, and time is a parameter. What nobody asked for is not kept, so that a noisy
 * network costs nothing, and all of it is bounded.
 *
 * An instance counts once its port, its address and a text with exactly the app id are known, and
 * as long as somebody says so at least every LIFE_MS.
 */
#ifndef DIRECTORY_H
#define DIRECTORY_H

#include <remora_plugin.h>

#include "dns.h"

enum {
    APPS_MAX = 1024,
    INSTANCES_MAX = REMORA_NAME_ADDRESSES_MAX, /* of one app */
    ADDRESS_BYTES = 80,                        /* "[IPv6%interface]:port" */
    LIFE_MS = 60000,      /* whatever the records say: who was killed says no goodbye */
    SUSPECT_MS = 10000,   /* until one that could not be reached ends, RFC 6762 section 10.5 */
    GOODBYE_MS = 1000,    /* it may be taken back, RFC 6762 section 10.1 */
    ASK_AGAIN_MS = 30000, /* before it ends, those that are asked for are looked for again */
    ASK_PAUSE_MS = 5000,
    WANTED_MS = 120000, /* after the last question for an app; then it is left alone */
    KEEP_MS = 600000,   /* and forgotten */
};

struct instance {
    struct instance *next;
    struct dns_name name;
    struct dns_name target;
    uint16_t port; /* 0: not known */
    bool has_text; /* and it is the app id */
    bool has_v4;
    bool has_v6;
    uint8_t v4[4];
    uint8_t v6[16];
    unsigned interface; /* where it was heard, for addresses of one link */
    uint64_t ends_ms;
    bool is_suspect; /* could not be reached, or said goodbye, and has not been heard since */
};

/* Who waits for an answer; of the resolver. */
struct waiter;

struct app {
    struct app *next;
    char id[DNS_LABEL_BYTES * 4 + 1];
    struct dns_name type;
    struct instance *instances; /* owned; in the order in which they came */
    size_t instance_count;
    uint64_t wanted_ms; /* last question of the sidecar */
    uint64_t asked_ms;  /* last question to the network; 0: never */
    bool was_not_found; /* once */
    struct waiter *waiters;
    uint64_t browse_ms;    /* since when they wait */
    unsigned browse_asked; /* questions since then */
};

struct directory {
    struct app *apps;
    size_t count;
};

/* NULL if there is none. */
struct app *directory_find(struct directory *directory, struct remora_slice id);
/* Makes one if there is none; the one nobody has wanted for longest gives way. NULL: it cannot be a
 * name here, or all are waited for. */
struct app *directory_get(struct directory *directory, struct remora_slice id, uint64_t now_ms);
void directory_fini(struct directory *directory);

/* Takes from a packet what concerns the apps here. */
void directory_take(struct directory *directory, const void *packet, size_t len, unsigned interface,
                    uint64_t now_ms);
/* Drops what has ended, and apps nobody wants any more. */
void directory_expire(struct directory *directory, uint64_t now_ms);

/* Whether the network should be asked for an app again, so that nothing of it ends unnoticed. */
bool app_is_due(const struct app *app, uint64_t now_ms);
/* Addresses of all instances that count; returns how many. */
size_t app_addresses(const struct app *app, uint64_t now_ms,
                     char ret_addresses[INSTANCES_MAX][ADDRESS_BYTES]);
bool app_has_address(const struct app *app, uint64_t now_ms);
/* The first instance of which something is missing; NULL if there is none. */
const struct instance *app_incomplete(const struct app *app, uint64_t now_ms);
/* The instance at that address could not be reached: unless it says soon that it is there it ends,
 * and meanwhile it counts only where there is no other. */
void app_suspect(struct app *app, struct remora_slice address, uint64_t now_ms);

#endif
