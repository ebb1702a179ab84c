/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An instance is its service's address, else its node's, and the port that its meta has for the
 * sidecar.
 */
#include "instances.h"

#include <arpa/inet.h>
#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../shared/memory.h"

static const char *
text_of(const cJSON *from, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(from, name);
    return cJSON_IsString(item) && *item->valuestring != '\0' ? item->valuestring : NULL;
}

static bool
is_port(const char *text)
{
    int64_t port;
    struct remora_slice slice = { text, strlen(text) };
    return strspn(text, "0123456789") == slice.len && remora_parse_i64(slice, &port) && port > 0 &&
           port <= UINT16_MAX;
}

/* Letters, digits, dots and dashes, or an IPv6 address: what stands before a port. */
static bool
is_host(const char *text, bool *ret_is_v6)
{
    struct in6_addr v6;
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                "0123456789-._";
    *ret_is_v6 = inet_pton(AF_INET6, text, &v6) == 1;
    return *ret_is_v6 || strspn(text, plain) == strlen(text);
}

static void
add(struct instances *instances, const char *host, const char *port)
{
    bool is_v6;
    char *address = instances->text[instances->count];
    if (!is_host(host, &is_v6) || !is_port(port))
        return;
    int len = snprintf(address, ADDRESS_BYTES_MAX, is_v6 ? "[%s]:%s" : "%s:%s", host, port);
    if (len <= 0 || len >= ADDRESS_BYTES_MAX)
        return;
    for (size_t i = 0; i < instances->count; i++)
        if (strcmp(instances->text[i], address) == 0)
            return;
    instances->addresses[instances->count++] = (struct remora_slice){ address, (size_t)len };
}

struct instances *
instances_read(const char *json, size_t len, const char *port_key)
{
    cJSON *root = cJSON_ParseWithLength(json, len);
    if (!cJSON_IsArray(root)) {
        cJSON_Delete(root);
        return NULL;
    }
    struct instances *instances = memory_new(sizeof *instances);
    for (const cJSON *entry = root->child;
         entry != NULL && instances->count < REMORA_NAME_ADDRESSES_MAX; entry = entry->next) {
        const cJSON *service = cJSON_GetObjectItemCaseSensitive(entry, "Service");
        const cJSON *node = cJSON_GetObjectItemCaseSensitive(entry, "Node");
        const char *port = text_of(cJSON_GetObjectItemCaseSensitive(service, "Meta"), port_key);
        const char *host = text_of(service, "Address");
        if (host == NULL)
            host = text_of(node, "Address");
        if (port == NULL)
            instances->without_port++;
        else if (host != NULL)
            add(instances, host, port);
    }
    cJSON_Delete(root);
    return instances;
}
