/* SPDX-License-Identifier: Apache-2.0 */
/* Kubeconfigs: whatever the file holds is understood or refused in words, and leaves nothing
 * behind. */
#include <assert.h>

#include "plugins/shared/kubeconfig.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cluster cluster = { .server = NULL };
    char error[CLUSTER_ERROR_BYTES] = "";
    if (kubeconfig_read(&cluster, (const char *)data, size, "/nowhere", error)) {
        assert(cluster.server != NULL && strncmp(cluster.server, "http", 4) == 0);
        assert(strpbrk(cluster.server, "\r\n") == NULL);
        assert(cluster.token == NULL || strpbrk(cluster.token, "\r\n") == NULL);
    } else {
        assert(*error != '\0');
    }
    cluster_fini(&cluster);
    return 0;
}
