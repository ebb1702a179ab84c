/* SPDX-License-Identifier: Apache-2.0 */
/* Connection strings of the RabbitMQ plugin: whatever is configured is refused in words that hold
 * nothing of it, or understood; and what is shown of it leads to the same place. */
#include <assert.h>

#include "plugins/rabbitmq/address.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SECRET_BYTES_MIN = 12 }; /* shorter ones may be in any sentence */

static void
check_understood(const struct address *address)
{
    struct address again;
    char why[WHY_BYTES];
    assert(address->port >= 1 && address->port <= 65535);
    assert(strlen(address->host) <= HOST_BYTES_MAX && *address->host != '\0');
    assert(strlen(address->vhost) <= NAME_BYTES_MAX);
    assert(address->username != NULL && address->password != NULL);
    assert(strlen(address->shown) < SHOWN_BYTES - 1);
    assert(address_parse(slice_of(address->shown), &again, why));
    assert(strcmp(again.host, address->host) == 0 && again.port == address->port);
    assert(again.is_tls == address->is_tls && strcmp(again.shown, address->shown) == 0);
    address_fini(&again);
}

static void
check_uri(struct remora_slice uri)
{
    struct address address;
    char why[WHY_BYTES] = "";
    if (address_parse(uri, &address, why)) {
        check_understood(&address);
        address_fini(&address);
        return;
    }
    assert(*why != '\0');
    assert(uri.len < SECRET_BYTES_MIN || memmem(why, strlen(why), uri.data, uri.len) == NULL);
}

static void
check_parts(struct remora_slice text)
{
    struct address address = { 0 };
    char why[WHY_BYTES] = "";
    if (address_from_parts(slice_of("amqps"), text, text, text, &address, why))
        check_understood(&address);
    address_fini(&address);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_uri((struct remora_slice){ (const char *)data, size });
    check_parts((struct remora_slice){ (const char *)data, size });
    return 0;
}
