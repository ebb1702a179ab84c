/* SPDX-License-Identifier: Apache-2.0 */
/* The map of slots that a server of a Redis Cluster tells, and redirections: refused, or every slot
 * at a server that there is, with a name and a port that can be asked for. */
#include "plugins/redis/slots.c"

#include "plugins/redis/resp.c"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_address(const struct slots_address *address)
{
    int64_t port;
    const struct remora_slice text = { address->port, strlen(address->port) };
    assert(remora_parse_i64(text, &port));
    assert(strlen(address->host) > 0 && strlen(address->host) <= 253);
    assert(strpbrk(address->host, " \r\n\t\"/") == NULL);
    assert(port > 0 && port < 65536);
}

static void
check_map(const struct slots_map *map)
{
    size_t owned = 0;
    assert(map->server_count > 0 && map->server_count <= SLOTS_SERVERS_MAX);
    for (size_t i = 0; i < map->server_count; i++) {
        check_address(&map->servers[i].address);
        assert(map->servers[i].replicas <= SLOTS_SERVERS_MAX);
    }
    for (size_t slot = 0; slot < SLOTS; slot++) {
        assert(map->at[slot] >= -1 && map->at[slot] < (int)map->server_count);
        owned += map->at[slot] >= 0;
    }
    assert(owned > 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct resp_scan scan = { 0 };
    const char *text = (const char *)data;
    assert(slots_of_key((struct remora_slice){ text, size }) < SLOTS);
    if (resp_scan(&scan, text, size) != RESP_COMPLETE)
        return 0;
    struct resp_value *values = malloc(scan.values * sizeof *values);
    struct slots_map *map = malloc(sizeof *map);
    struct slots_address address;
    char why[SLOTS_WHY_BYTES] = "";
    unsigned slot;
    assert(values != NULL && map != NULL);
    const struct resp_value *value = resp_tree(text, values);
    if (slots_parse(value, "10.0.0.1", map, why)) {
        check_map(map);
        slots_map_fini(map);
    } else {
        assert(strlen(why) > 0);
    }
    if (slots_parse_redirection(value, "10.0.0.1", &slot, &address) != SLOTS_NONE) {
        assert(slot < SLOTS);
        check_address(&address);
    }
    free(map);
    free(values);
    return 0;
}
