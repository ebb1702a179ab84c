/* SPDX-License-Identifier: Apache-2.0 */
/* Slots, the map of them and redirections; see slots.h. */
#include "slots.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    CRC_POLYNOMIAL = 0x1021, /* CRC-16/XMODEM, as the specification of Redis Cluster has it */
    TABLE = 4 * SLOTS_SERVERS_MAX,
    HOST_BYTES_MAX = SLOTS_HOST_BYTES - 3,
};

/* --- keys --------------------------------------------------------------------------------------*/

static const uint16_t *
crc_table(void)
{
    static uint16_t table[256];
    for (unsigned i = 0; i < 256 && table[1] == 0; i++) {
        for (unsigned byte = 0; byte < 256; byte++) {
            unsigned crc = byte << 8;
            for (unsigned bit = 0; bit < 8; bit++)
                crc = (crc << 1) ^ ((crc & 0x8000) != 0 ? CRC_POLYNOMIAL : 0);
            table[byte] = (uint16_t)crc;
        }
    }
    return table;
}

static struct remora_slice
hashed_part(struct remora_slice key)
{
    const char *end = key.data + key.len;
    const char *open = key.len == 0 ? NULL : memchr(key.data, '{', key.len);
    const char *close = open == NULL ? NULL : memchr(open, '}', (size_t)(end - open));
    if (close == NULL || close == open + 1)
        return key;
    return (struct remora_slice){ open + 1, (size_t)(close - open - 1) };
}

unsigned
slots_of_key(struct remora_slice key)
{
    const uint16_t *table = crc_table();
    struct remora_slice part = hashed_part(key);
    unsigned crc = 0;
    for (size_t i = 0; i < part.len; i++)
        crc = ((crc << 8) ^ table[((crc >> 8) ^ (unsigned char)part.data[i]) & 0xff]) & 0xffff;
    return crc % SLOTS;
}

/* --- addresses ---------------------------------------------------------------------------------*/

/* What a resolver may be asked for, and no more: it ends up in texts for users too. */
static bool
host_is_sound(struct remora_slice host)
{
    if (host.len == 0 || host.len > HOST_BYTES_MAX)
        return false;
    for (size_t i = 0; i < host.len; i++) {
        char byte = host.data[i];
        bool is_alnum = (byte >= '0' && byte <= '9') ||
                        ((byte | 0x20) >= 'a' && (byte | 0x20) <= 'z');
        if (!is_alnum && (byte == '\0' || strchr(".:-_%", byte) == NULL))
            return false;
    }
    return true;
}

static bool
is_loopback(const char *host)
{
    struct in_addr four;
    struct in6_addr six;
    if (inet_pton(AF_INET, host, &four) == 1)
        return (ntohl(four.s_addr) >> 24) == 127;
    return inet_pton(AF_INET6, host, &six) == 1 && IN6_IS_ADDR_LOOPBACK(&six);
}

static bool
is_numeric(const char *host)
{
    struct in6_addr room;
    return inet_pton(AF_INET, host, &room) == 1 || inet_pton(AF_INET6, host, &room) == 1;
}

/* A server that has no name, or only one that leads from itself to itself, is where we asked. */
static bool
set_address(struct slots_address *ret, struct remora_slice host, int64_t port, const char *origin)
{
    if (port < 1 || port > 65535)
        return false;
    snprintf(ret->port, sizeof ret->port, "%d", (int)port);
    if (host.len == 0 || remora_slice_eq(host, "?")) {
        snprintf(ret->host, sizeof ret->host, "%s", origin);
        return true;
    }
    if (!host_is_sound(host))
        return false;
    memcpy(ret->host, host.data, host.len);
    ret->host[host.len] = '\0';
    if (is_loopback(ret->host) && is_numeric(origin) && !is_loopback(origin))
        snprintf(ret->host, sizeof ret->host, "%s", origin);
    return true;
}

static bool
read_number(struct remora_slice text, int64_t *ret)
{
    int64_t number = 0;
    if (text.len == 0 || text.len > 5)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
        number = number * 10 + (text.data[i] - '0');
    }
    *ret = number;
    return true;
}

enum slots_redirection
slots_parse_redirection(const struct resp_value *value, const char *origin, unsigned *ret_slot,
                        struct slots_address *ret_address)
{
    bool is_moved = resp_is_error(value, "MOVED");
    int64_t slot, port;
    if (!is_moved && !resp_is_error(value, "ASK"))
        return SLOTS_NONE;
    const char *end = value->text.data + value->text.len;
    const char *at = value->text.data + (is_moved ? 5 : 3);
    const char *space = at == end ? NULL : memchr(at + 1, ' ', (size_t)(end - at - 1));
    const char *colon = space == NULL ? NULL : memrchr(space, ':', (size_t)(end - space));
    if (colon == NULL ||
        !read_number((struct remora_slice){ at + 1, (size_t)(space - at - 1) }, &slot) ||
        slot >= SLOTS ||
        !read_number((struct remora_slice){ colon + 1, (size_t)(end - colon - 1) }, &port) ||
        !set_address(ret_address, (struct remora_slice){ space + 1, (size_t)(colon - space - 1) },
                     port, origin))
        return SLOTS_NONE;
    *ret_slot = (unsigned)slot;
    return is_moved ? SLOTS_MOVED : SLOTS_ASK;
}

/* --- the map -----------------------------------------------------------------------------------*/

struct parsing {
    const char *origin;
    struct slots_map *map;
    int16_t *table; /* of TABLE: servers by hash of their address, or -1 */
    char *why;
};

static unsigned
hash_address(const struct slots_address *address)
{
    unsigned hash = 2166136261u;
    for (const char *at = address->host; *at != '\0'; at++)
        hash = (hash ^ (unsigned char)*at) * 16777619u;
    for (const char *at = address->port; *at != '\0'; at++)
        hash = (hash ^ (unsigned char)*at) * 16777619u;
    return hash;
}

/* Its index, new or not; -1: there are too many. */
static int16_t
find_server(struct parsing *parsing, const struct slots_address *address)
{
    struct slots_map *map = parsing->map;
    unsigned at = hash_address(address) % TABLE;
    for (; parsing->table[at] >= 0; at = (at + 1) % TABLE) {
        assert(map->servers != NULL);
        const struct slots_address *known = &map->servers[parsing->table[at]].address;
        if (strcmp(known->host, address->host) == 0 && strcmp(known->port, address->port) == 0)
            return parsing->table[at];
    }
    if (map->server_count == SLOTS_SERVERS_MAX)
        return -1;
    if ((map->server_count & (map->server_count - 1)) == 0) { /* grown to a power of two */
        size_t cap = map->server_count == 0 ? 1 : map->server_count * 2;
        map->servers = reallocarray(map->servers, cap, sizeof *map->servers);
        if (map->servers == NULL)
            abort();
    }
    map->servers[map->server_count] = (struct slots_server){ .address = *address };
    return parsing->table[at] = (int16_t)map->server_count++;
}

static bool
refuse(struct parsing *parsing, const char *why)
{
    snprintf(parsing->why, SLOTS_WHY_BYTES, "%s", why);
    return false;
}

/* [first, last, [host, port, …], replica, …] */
static bool
take_range(struct parsing *parsing, const struct resp_value *range)
{
    struct slots_address address;
    if (range->type != RESP_ARRAY || range->count < 3 || range->items[0].type != RESP_INTEGER ||
        range->items[1].type != RESP_INTEGER || range->items[2].type != RESP_ARRAY ||
        range->items[2].count < 2 || range->items[2].items[1].type != RESP_INTEGER)
        return refuse(parsing, "redis answered CLUSTER SLOTS with something else");
    int64_t first = range->items[0].integer, last = range->items[1].integer;
    const struct resp_value *host = &range->items[2].items[0];
    if (first < 0 || last < first || last >= SLOTS)
        return refuse(parsing, "redis told of slots that there are not");
    struct remora_slice name = host->type == RESP_STRING ? host->text
                                                         : (struct remora_slice){ "", 0 };
    if (!set_address(&address, name, range->items[2].items[1].integer, parsing->origin))
        return refuse(parsing, "redis told of a node without a usable address");
    int16_t index = find_server(parsing, &address);
    if (index < 0)
        return refuse(parsing, "redis told of more than 1024 nodes");
    assert(parsing->map->servers != NULL);
    struct slots_server *server = &parsing->map->servers[index];
    size_t replicas = range->count - 3;
    if (replicas > server->replicas && replicas <= SLOTS_SERVERS_MAX)
        server->replicas = (unsigned)replicas;
    for (int64_t slot = first; slot <= last; slot++) {
        if (parsing->map->at[slot] >= 0)
            return refuse(parsing, "redis told of two nodes for one slot");
        parsing->map->at[slot] = index;
    }
    return true;
}

bool
slots_parse(const struct resp_value *answer, const char *origin, struct slots_map *ret,
            char why[SLOTS_WHY_BYTES])
{
    struct parsing parsing = { .origin = origin, .map = ret, .why = why };
    parsing.table = malloc(TABLE * sizeof *parsing.table);
    if (parsing.table == NULL)
        abort();
    memset(parsing.table, -1, TABLE * sizeof *parsing.table);
    ret->servers = NULL;
    ret->server_count = 0;
    memset(ret->at, -1, sizeof ret->at);
    bool is_sound = answer->type == RESP_ARRAY ||
                    refuse(&parsing, "redis answered CLUSTER SLOTS with something else");
    for (size_t i = 0; is_sound && i < answer->count; i++)
        is_sound = take_range(&parsing, &answer->items[i]);
    if (is_sound && ret->server_count == 0)
        is_sound = refuse(&parsing, "redis: cluster has no slots");
    free(parsing.table);
    if (!is_sound)
        slots_map_fini(ret);
    return is_sound;
}

void
slots_map_fini(struct slots_map *map)
{
    free(map->servers);
    map->servers = NULL;
    map->server_count = 0;
}
