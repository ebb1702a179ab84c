/* SPDX-License-Identifier: Apache-2.0 */
/* Answers of S3: lists as the reference's library gives them in JSON, refusals, and what is
 * neither. */
#include "plugins/aws/xml.h"
#include "test.h"

static const char *
json_of(const char *xml)
{
    static char out[4096];
    struct text json = { .bytes = NULL };
    const bool ok = xml_list_to_json(xml, strlen(xml), &json);
    (void)snprintf(out, sizeof out, "%.*s", ok ? (int)json.len : 4, ok ? json.bytes : "none");
    free(json.bytes);
    return out;
}

TEST(BIND_s3_lists_are_those_of_the_reference)
{
    CHECK_EQ_STR(
        json_of(
            "<?xml version=\"1.0\"?>\n<ListBucketResult xmlns=\"http://s3/\">\n<Name>shop</Name>"
            "<Prefix></Prefix><Marker>m</Marker><MaxKeys>0001</MaxKeys><Delimiter>/</Delimiter>"
            "<IsTruncated>true</IsTruncated><Contents><Key>a &amp; \"b\"</Key>"
            "<LastModified>2021-08-16T06:44:14.000Z</LastModified><ETag>&quot;7e&quot;</ETag>"
            "<Size>6916</Size><Owner><ID>o</ID></Owner></Contents>"
            "<Contents><Key>c</Key><LastModified>2021-08-16T06:44:14.120Z</LastModified>"
            "<Size>many</Size></Contents>"
            "<CommonPrefixes><Prefix>x/</Prefix></CommonPrefixes>"
            "<CommonPrefixes><Prefix>y/</Prefix></CommonPrefixes></ListBucketResult>"),
        "{\"CommonPrefixes\":[{\"Prefix\":\"x/\"},{\"Prefix\":\"y/\"}],\"Contents\":["
        "{\"ETag\":\"\\\"7e\\\"\",\"Key\":\"a \\u0026 \\\"b\\\"\",\"LastModified\":"
        "\"2021-08-16T06:44:14Z\",\"Owner\":{\"DisplayName\":null,\"ID\":\"o\"},\"Size\":6916,"
        "\"StorageClass\":null},"
        "{\"ETag\":null,\"Key\":\"c\",\"LastModified\":\"2021-08-16T06:44:14.120Z\",\"Owner\":null,"
        "\"Size\":null,\"StorageClass\":null}],\"Delimiter\":\"/\",\"EncodingType\":null,"
        "\"IsTruncated\":true,\"Marker\":\"m\",\"MaxKeys\":1,\"Name\":\"shop\",\"NextMarker\":null,"
        "\"Prefix\":\"\"}");
    CHECK_EQ_STR(json_of("<ListBucketResult/>"),
                 "{\"CommonPrefixes\":null,\"Contents\":null,\"Delimiter\":null,\"EncodingType\":"
                 "null,\"IsTruncated\":null,\"Marker\":null,\"MaxKeys\":null,\"Name\":null,"
                 "\"NextMarker\":null,\"Prefix\":null}");
}

TEST(BIND_s3_what_is_no_list_is_refused)
{
    static const char *const wrong[] = {
        "",
        "text",
        "<Other/>",
        "<ListBucketResult>",
        "<ListBucketResult></Other>",
        "<!DOCTYPE ListBucketResult><ListBucketResult/>",
        "<!DOCTYPE a [<!ENTITY a SYSTEM 'file:///etc/passwd'>]><ListBucketResult>&a;"
        "</ListBucketResult>",
        "<ListBucketResult>&unknown;</ListBucketResult>",
        "<ListBucketResult><a><b><c><d><e><f><g><h/></g></f></e></d></c></b></a></"
        "ListBucketResult>",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        if (!CHECK_EQ_STR(json_of(wrong[i]), "none"))
            fprintf(stderr, "  %s\n", wrong[i]);
    static char longer[40000];
    (void)snprintf(longer, sizeof longer,
                   "<ListBucketResult><Name>%020000d</Name></ListBucketResult>", 0);
    CHECK_EQ_STR(json_of(longer), "none");
}

TEST(BIND_s3_refusals_have_a_code_and_one_line)
{
    static const char text[] = "<Error><Code>NoSuchKey</Code><Message>not\r\nhere</Message>"
                               "<Key>k</Key></Error>";
    struct xml_error error;
    REQUIRE(xml_read_error(text, sizeof text - 1, &error));
    CHECK_EQ_STR(error.code, "NoSuchKey");
    CHECK_EQ_STR(error.message, "not here");
    CHECK(!xml_read_error("<Error/>", 8, &error));
    CHECK(!xml_read_error("", 0, &error));
    CHECK(!xml_read_error(NULL, 0, &error));
}
