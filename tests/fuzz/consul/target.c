/* SPDX-License-Identifier: Apache-2.0 */
/* What an agent answers about a service's health, and what a user writes as configuration; the
 * first byte picks which. Whatever it is, addresses are host:port, and a registration is JSON
 * again. */
#include <assert.h>
#include <cjson/cJSON.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "plugins/consul/instances.h"
#include "plugins/consul/settings.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
read_answer(const char *text, size_t len)
{
    struct instances *instances = instances_read(text, len, "DAPR_PORT");
    for (size_t i = 0; instances != NULL && i < instances->count; i++) {
        const struct remora_slice address = instances->addresses[i];
        const char *port = memrchr(address.data, ':', address.len);
        assert(port != NULL && port > address.data && address.len < ADDRESS_BYTES_MAX);
        for (size_t j = 0; j < address.len; j++)
            assert(address.data[j] > ' ' && strchr("/?#@\\%", address.data[j]) == NULL);
    }
    free(instances);
}

static void
read_configuration(const char *text, size_t len)
{
    char error[ERROR_BYTES] = "";
    struct settings settings;
    struct remora_config config = { .configuration = { text, len },
                                    .instance = { .app_id = { "shop", 4 },
                                                  .host_address = { "10.0.0.1", 8 },
                                                  .internal_port = 1,
                                                  .http_port = 2 } };
    if (!settings_init(&settings, &config, error)) {
        assert(*error != '\0');
        return;
    }
    assert(strpbrk(settings.agent.url, " \r\n") == NULL);
    assert(settings.agent.token == NULL || strpbrk(settings.agent.token, "\r\n") == NULL);
    assert(strpbrk(settings.query, " \r\n#?") == NULL);
    if (settings.registration != NULL) {
        cJSON *registration = cJSON_Parse(settings.registration);
        assert(cJSON_IsObject(registration) && settings.service_id != NULL);
        cJSON_Delete(registration);
    }
    settings_fini(&settings);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    if (data[0] == 'c')
        read_configuration((const char *)data + 1, size - 1);
    else
        read_answer((const char *)data + 1, size - 1);
    return 0;
}
