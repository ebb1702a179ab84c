/* SPDX-License-Identifier: Apache-2.0 */
/* Connection strings of the PostgreSQL plugin: understood, or refused in words that do not hold the
 * password, in whichever form they are written. */
#include <assert.h>

#include "plugins/postgresql/conninfo.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PASSWORD "not-to-be-told"

static void
check_understood(const struct conninfo *conninfo)
{
    assert(conninfo->count < CONNINFO_PAIRS_MAX);
    assert(conninfo->names[conninfo->count] == NULL && conninfo->values[conninfo->count] == NULL);
    assert(conninfo->pool_max_conns >= 0 && conninfo->pool_idle_ms >= 0);
    for (size_t i = 0; i < conninfo->count; i++) {
        assert(is_libpq_name(conninfo->names[i]) && conninfo->values[i] != NULL);
        assert(find(conninfo, conninfo->names[i]) == i);
    }
}

/* Settings of a component are set on top of it. */
static void
check(const char *before, const char *text)
{
    struct conninfo conninfo;
    char why[CONNINFO_WHY_BYTES] = "", *whole = memory_printf("%s%s", before, text);
    conninfo_init(&conninfo);
    if (conninfo_parse(&conninfo, whole, why)) {
        check_understood(&conninfo);
        (void)conninfo_set(&conninfo, "user", "shop"); /* or there is no room for it */
        check_understood(&conninfo);
    } else {
        assert(strncmp(why, "failed to parse connection string: ", 35) == 0);
        assert(strstr(why, PASSWORD) == NULL);
    }
    conninfo_fini(&conninfo);
    free(whole);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = memory_new(size + 1);
    memcpy(text, data, size);
    check("", text);
    check("password=" PASSWORD " ", text);
    check("postgres://shop:" PASSWORD "@", text);
    check("postgresql://localhost/db?password=" PASSWORD "&", text);
    free(text);
    return 0;
}
