/* SPDX-License-Identifier: Apache-2.0 */
/* Secrets of the environment: what may be told, and the prefix. */
#include "plugins/local-secrets/environment.h"

#include "test.h"

static struct remora_slice
slice(const char *text)
{
    return (struct remora_slice){ text, strlen(text) };
}

TEST(what_belongs_to_the_sidecar_is_not_told)
{
    static const char *const hidden[] = {
        "DAPR_API_TOKEN", "dapr_x", "DAPR_", "APP_API_TOKEN", "App_Api_Token", "with a blank", ""
    };
    static const char *const told[] = { "DAPR", "APP_API_TOKEN_2", "MY_DAPR_X", "x" };
    for (size_t i = 0; i < sizeof hidden / sizeof hidden[0]; i++)
        CHECK(!environment_is_allowed(slice(hidden[i])));
    for (size_t i = 0; i < sizeof told / sizeof told[0]; i++)
        CHECK(environment_is_allowed(slice(told[i])));
}

TEST(the_prefix_is_cut_off_and_selects)
{
    const struct remora_pair variables[] = {
        { slice("APP_A"), slice("1") },
        { slice("APP_"), slice("2") },
        { slice("B"), slice("3") },
        { slice("APP_API_TOKEN"), slice("4") },
    };
    const struct remora_pair metadata[] = { { slice("Prefix"), slice("APP_") } };
    struct remora_config config = {
        .metadata = metadata, .metadata_count = 1, .environment = variables, .environment_count = 4
    };
    struct environment *environment = environment_open(&config);
    CHECK_EQ_INT(environment->secrets->count, 2);
    const struct remora_secret *a = secrets_find(environment->secrets, slice("A"));
    REQUIRE(a != NULL && a->pair_count == 1);
    CHECK_SLICE_IS(a->pairs[0].value, "1");
    CHECK_SLICE_IS(a->pairs[0].name, "A");
    CHECK(secrets_find(environment->secrets, slice("API_TOKEN")) == NULL);
    environment_close(environment);
    config.metadata_count = 0;
    environment = environment_open(&config);
    CHECK_EQ_INT(environment->secrets->count, 3);
    CHECK(secrets_find(environment->secrets, slice("B")) != NULL);
    environment_close(environment);
}
