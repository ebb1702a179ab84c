/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Addresses from patterns, and what callers must not be able to write into them.
 */
#include "plugins/names/pattern.h"
#include "test.h"

static struct remora_slice
slice(const char *text)
{
    return (struct remora_slice){ text, strlen(text) };
}

/* The address, or the error. */
static const char *
fill(const char *text, enum pattern_syntax syntax, const char *id, const char *namespace_)
{
    static char result[ERROR_BYTES + ADDRESS_BYTES_MAX];
    char address[ADDRESS_BYTES_MAX];
    size_t len = 0;
    struct pattern pattern;
    struct remora_pair data = { slice("region"), slice("eu-1") };
    struct remora_name_query query = { .id = slice(id),
                                       .namespace_ = slice(namespace_),
                                       .port = 50002,
                                       .metadata = &data,
                                       .metadata_count = 1 };
    if (!pattern_init(&pattern, slice(text), syntax, result))
        return result;
    if (pattern_fill(&pattern, &query, slice("default"), address, &len, result))
        snprintf(result, sizeof result, "%.*s", (int)len, address);
    pattern_fini(&pattern);
    return result;
}

#define KUBERNETES "{{.ID}}-dapr.{{.Namespace}}.svc.cluster.local:{{.Port}}"

TEST(INV_07_cluster_dns_has_the_names_of_the_operator)
{
    CHECK_EQ_STR(fill(KUBERNETES, SYNTAX_TEMPLATE, "shop", "prod"),
                 "shop-dapr.prod.svc.cluster.local:50002");
    CHECK_EQ_STR(fill(KUBERNETES, SYNTAX_TEMPLATE, "shop", ""),
                 "shop-dapr.default.svc.cluster.local:50002");
}

TEST(templates_have_places_for_what_is_known)
{
    CHECK_EQ_STR(fill("{{.ID}}-{{ .Data.region }}.internal:{{.Port}}", SYNTAX_TEMPLATE, "shop", ""),
                 "shop-eu-1.internal:50002");
    CHECK_EQ_STR(fill("fixed:1", SYNTAX_TEMPLATE, "shop", ""), "fixed:1");
    CHECK_EQ_STR(fill("{{.ID}}.{{.Data.zone}}", SYNTAX_TEMPLATE, "shop", ""),
                 "nothing is known of .Data.zone");
}

TEST(what_is_no_place_is_refused_beforehand)
{
    static const char *const templates[] = { "{{.Name}}",     "{{}}",       "{{.Data.}}",
                                             "{{.Data.a b}}", "{{if .ID}}", "{{.ID | len}}",
                                             "{{-.ID-}}",     "{{.id}}" };
    for (size_t i = 0; i < sizeof templates / sizeof templates[0]; i++)
        CHECK(strstr(fill(templates[i], SYNTAX_TEMPLATE, "shop", ""), "are known") != NULL);
    CHECK_EQ_STR(fill("{{.ID", SYNTAX_TEMPLATE, "shop", ""), "a {{ is not closed");
    char parts[PATTERN_PARTS_MAX * 8 + 20] = "";
    for (int i = 0; i <= PATTERN_PARTS_MAX; i++)
        memcpy(parts + i * 7, "{{.ID}}", 8);
    CHECK_EQ_STR(fill(parts, SYNTAX_TEMPLATE, "a", ""), "more than 32 parts");
    char big[PATTERN_BYTES_MAX + 2];
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    CHECK_EQ_STR(fill(big, SYNTAX_APPID, "a", ""), "longer than 1024 bytes, or with a NUL");
    big[1000] = '\0';
    CHECK_EQ_STR(fill(big, SYNTAX_APPID, "a", ""), "the address is too long");
}

TEST(formats_put_the_id_wherever_it_is_wanted)
{
    CHECK_EQ_STR(fill("service-{appid}.default.svc.cluster.local", SYNTAX_APPID, "myapp", ""),
                 "service-myapp.default.svc.cluster.local:50002");
    CHECK_EQ_STR(fill("{appid}.{appid}:7", SYNTAX_APPID, "a", ""), "a.a:7");
    CHECK_EQ_STR(fill("{{appid}}", SYNTAX_APPID, "a", ""), "{a}:50002");
    CHECK_EQ_STR(fill("{{.ID}}-{appid}", SYNTAX_APPID, "a", ""), "{{.ID}}-a:50002");
    struct pattern pattern;
    char error[ERROR_BYTES];
    REQUIRE(pattern_init(&pattern, slice("{app-id}.local"), SYNTAX_APPID, error));
    CHECK(!pattern_has(&pattern, PART_ID));
    pattern_fini(&pattern);
}

TEST(a_port_is_added_where_there_is_none)
{
    CHECK_EQ_STR(fill("[fd00::1]", SYNTAX_APPID, "a", ""), "[fd00::1]:50002");
    CHECK_EQ_STR(fill("[fd00::1]:80", SYNTAX_APPID, "a", ""), "[fd00::1]:80");
    CHECK_EQ_STR(fill("host80", SYNTAX_APPID, "a", ""), "host80:50002");
    CHECK_EQ_STR(fill(":80", SYNTAX_APPID, "a", ""), ":80");
    CHECK_EQ_STR(fill("80", SYNTAX_APPID, "a", ""), "80:50002");
}

TEST(ids_and_namespaces_write_no_other_address)
{
    static const char *const ids[] = { "",   "a.b", "evil.com:80/", "a:1",  "a/b", "a b",     "a@b",
                                       "..", "[a]", "a%2e",         "a\nb", "a#b", "\xc3\xa4" };
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        CHECK(strstr(fill("{appid}.local", SYNTAX_APPID, ids[i], ""), "no address") != NULL);
        if (*ids[i] != '\0')
            CHECK(strstr(fill(KUBERNETES, SYNTAX_TEMPLATE, "a", ids[i]), "the namespace is no") !=
                  NULL);
    }
    CHECK_EQ_STR(fill("{appid}.local", SYNTAX_APPID, "A-b_9", ""), "A-b_9.local:50002");
}
