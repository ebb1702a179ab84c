/* SPDX-License-Identifier: Apache-2.0 */
/* Metadata as headers. What headers are as metadata is for a real server to say. */
#include "plugins/kafka/headers.h"

#include "test.h"

static struct remora_pair
pair(const char *name, const char *value)
{
    return (struct remora_pair){ { name, strlen(name) }, { value, strlen(value) } };
}

static const char *
value_of(const rd_kafka_headers_t *headers, const char *name)
{
    static char text[64];
    const void *value;
    size_t size;
    if (rd_kafka_header_get_last(headers, name, &value, &size) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return "none";
    snprintf(text, sizeof text, "%.*s", (int)size, (const char *)value);
    return text;
}

TEST(metadata_of_the_request_wins_over_that_of_an_entry)
{
    const struct settings settings = { 0 };
    const struct remora_pair own[] = { pair("a", "own"), pair("b", "own"), pair("", "nameless") };
    const struct remora_pair shared[] = { pair("b", "shared"), pair("partitionKey", "k") };
    const struct header_source from = { own, shared, 3, 2 };
    rd_kafka_headers_t *headers = headers_make(&settings, &from);
    REQUIRE(headers != NULL);
    CHECK_EQ_INT(rd_kafka_header_cnt(headers), 3);
    CHECK_EQ_STR(value_of(headers, "a"), "own");
    CHECK_EQ_STR(value_of(headers, "b"), "shared");
    CHECK_EQ_STR(value_of(headers, "partitionKey"), "k");
    rd_kafka_headers_destroy(headers);

    struct remora_slice found;
    CHECK(header_source_find(&from, "b", &found));
    CHECK_SLICE_IS(found, "shared");
    CHECK(!header_source_find(&from, "B", &found));
}

TEST(what_the_pattern_excludes_is_no_header)
{
    struct settings settings = { .has_excluded = true };
    const struct remora_pair own[] = { pair("secret", "s"), pair("open", "o") };
    REQUIRE(regcomp(&settings.excluded, "^sec", REG_EXTENDED | REG_NOSUB) == 0);
    rd_kafka_headers_t *headers = headers_make(&settings,
                                               &(struct header_source){ own, NULL, 2, 0 });
    REQUIRE(headers != NULL);
    CHECK_EQ_INT(rd_kafka_header_cnt(headers), 1);
    CHECK_EQ_STR(value_of(headers, "open"), "o");
    rd_kafka_headers_destroy(headers);
    CHECK(headers_make(&settings, &(struct header_source){ own, NULL, 1, 0 }) == NULL);
    regfree(&settings.excluded);
}

TEST(values_are_avro_or_nothing_of_the_kind)
{
    char words[HEADERS_KIND_BYTES];
    bool is_avro;
    CHECK(headers_read_kind((struct remora_slice){ "AVRO", 4 }, &is_avro, words, sizeof words) &&
          is_avro);
    CHECK(headers_read_kind((struct remora_slice){ "None", 4 }, &is_avro, words, sizeof words) &&
          !is_avro);
    CHECK(!headers_read_kind((struct remora_slice){ "", 0 }, &is_avro, words, sizeof words));
    CHECK(!headers_read_kind((struct remora_slice){ "Proto", 5 }, &is_avro, words, sizeof words));
    CHECK_EQ_STR(words, "error parsing schema type. 'Proto' is not a supported value");
}
