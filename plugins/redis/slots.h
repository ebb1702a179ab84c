/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keys of a Redis Cluster: which of the 16,384 slots a key is in, which server a slot is at,
 * and what a server says of that. Pure: no sockets, no clock. Servers are not trusted: names, ports
 * and numbers are checked, and there are at most SLOTS_SERVERS_MAX servers.
 */
#ifndef REDIS_SLOTS_H
#define REDIS_SLOTS_H

#include "resp.h"

enum {
    SLOTS = 16384,
    SLOTS_SERVERS_MAX = 1024,
    SLOTS_HOST_BYTES = 256, /* names of 253 bytes at most, and the end */
    SLOTS_PORT_BYTES = 8,
    SLOTS_WHY_BYTES = 128,
};

struct slots_address {
    char host[SLOTS_HOST_BYTES], port[SLOTS_PORT_BYTES];
};

struct slots_server {
    struct slots_address address;
    unsigned replicas;
};

/* Who is responsible for what. */
struct slots_map {
    struct slots_server *servers; /* owned; each once, in the order of their lowest slots as told */
    size_t server_count;
    int16_t at[SLOTS]; /* index of a server, or -1 */
};

/* Of the whole key, or of what stands in its first {…} if that is not empty. Below SLOTS. */
unsigned slots_of_key(struct remora_slice key);

/* Reads the answer to CLUSTER SLOTS, which came from `origin`: a server that does not know its own
 * name is the one that was asked. False, with the reason in `why`; `ret` then needs no
 * slots_map_fini(). */
bool slots_parse(const struct resp_value *answer, const char *origin, struct slots_map *ret,
                 char why[SLOTS_WHY_BYTES]);
void slots_map_fini(struct slots_map *map);

enum slots_redirection { SLOTS_NONE, SLOTS_MOVED, SLOTS_ASK };

/* "MOVED 3999 host:port" and "ASK …", answered by a server at `origin`. */
enum slots_redirection
slots_parse_redirection(const struct resp_value *value, const char *origin, unsigned *ret_slot,
                        struct slots_address *ret_address);

#endif
