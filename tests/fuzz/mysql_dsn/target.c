/* SPDX-License-Identifier: Apache-2.0 */
/* Connection strings of the MySQL plugin: refused with words that do not repeat them, or understood
 * with every part of its own. */
#include <assert.h>

#include "plugins/mysql/dsn.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct dsn dsn;
    char why[DSN_WHY_BYTES] = "";
    if (dsn_read(&dsn, (struct remora_slice){ (const char *)bytes, size }, why)) {
        assert(dsn.user != NULL && dsn.password != NULL && dsn.database != NULL);
        assert((dsn.host == NULL) != (dsn.path == NULL));
        assert(dsn.path != NULL || (dsn.port > 0 && dsn.port <= 65535));
        assert(strlen(dsn.user) + strlen(dsn.password) + strlen(dsn.database) <= size);
    } else {
        assert(strncmp(why, "invalid connection string: ", 27) == 0);
    }
    dsn_fini(&dsn);
    return 0;
}
