/* SPDX-License-Identifier: Apache-2.0 */
/* What metadata becomes, and which names of secrets stay below the prefix. */
#include "plugins/vault/settings.h"
#include "test.h"

static struct remora_slice
slice(const char *text)
{
    return (struct remora_slice){ text, strlen(text) };
}

static const char *
read_settings(const struct remora_pair *pairs, size_t count, struct settings *settings)
{
    static char error[SETTINGS_ERROR_BYTES];
    const struct remora_config config = { .metadata = pairs, .metadata_count = count };
    *error = '\0';
    return settings_init(settings, &config, error) ? "" : error;
}

static void
check_path(const char *name, const char *escaped)
{
    char *path = settings_escape_path(slice(name));
    CHECK_EQ_STR(path != NULL ? path : "refused", escaped);
    free(path);
}

TEST(only_a_token_is_needed)
{
    struct settings settings;
    const struct remora_pair pairs[] = { { slice("vaultToken"), slice("t") } };
    CHECK_EQ_STR(read_settings(pairs, 1, &settings), "");
    CHECK_EQ_STR(settings.address, "https://127.0.0.1:8200");
    CHECK_EQ_STR(settings.engine, "secret");
    CHECK_EQ_STR(settings.prefix, "dapr/");
    CHECK(!settings.is_text && !settings.identity.skip_verify);
    settings_fini(&settings);
    CHECK_EQ_STR(read_settings(NULL, 0, &settings), "token mount path and token not set");
}

TEST(slashes_around_are_not_part_of_anything)
{
    struct settings settings;
    const struct remora_pair pairs[] = { { slice("vaultToken"), slice("t") },
                                         { slice("vaultAddr"), slice("http://v:1/base//") },
                                         { slice("enginePath"), slice("/kv/of x/") },
                                         { slice("vaultKVPrefix"), slice("/a/b/") } };
    CHECK_EQ_STR(read_settings(pairs, 4, &settings), "");
    CHECK_EQ_STR(settings.address, "http://v:1/base");
    CHECK_EQ_STR(settings.engine, "kv/of%20x");
    CHECK_EQ_STR(settings.prefix, "a/b/");
    settings_fini(&settings);
}

TEST(a_token_cannot_bring_another_header)
{
    struct settings settings;
    const struct remora_pair pairs[] = { { slice("vaultToken"), slice("t\r\nX-Other: 1") } };
    CHECK_EQ_STR(read_settings(pairs, 1, &settings), "vaultToken has a line break");
}

TEST(names_are_escaped_part_by_part_and_lead_nowhere_else)
{
    check_path("plain", "plain");
    check_path("a/b-c_d.e~f", "a/b-c_d.e~f");
    check_path("a b?c#d%e&f", "a%20b%3Fc%23d%25e%26f");
    check_path("gr\xc3\xb6", "gr%C3%B6");
    check_path("..a/.b/...", "..a/.b/...");
    check_path("", "refused");
    check_path(".", "refused");
    check_path("..", "refused");
    check_path("a/../b", "refused");
    check_path("a/./b", "refused");
    check_path("/a", "refused");
    check_path("a/", "refused");
    check_path("a//b", "refused");
}
