/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signature Version 4 against values that others have published: AWS's test suite (20150830,
 * service "service"), the examples of the S3 API reference (20130524), and botocore's for what
 * neither has.
 */
#include "plugins/shared/sigv4.h"
#include "test.h"

#define EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static struct sigv4_request
suite_request(const char *method, const char *path, const char *query)
{
    return (struct sigv4_request){
        .region = "us-east-1",
        .service = "service",
        .access_key = "AKIDEXAMPLE",
        .secret_key = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
        .at = 1440938160, /* 2015-08-30 12:36:00 */
        .method = method,
        .host = "example.amazonaws.com",
        .path = path,
        .query = query,
        .payload_hash = EMPTY,
    };
}

static struct sigv4_request
s3_request(const char *method, const char *path, const char *query)
{
    return (struct sigv4_request){
        .region = "us-east-1",
        .service = "s3",
        .access_key = "AKIAIOSFODNN7EXAMPLE",
        .secret_key = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        .at = 1369353600, /* 2013-05-24 00:00:00 */
        .method = method,
        .host = "examplebucket.s3.amazonaws.com",
        .path = path,
        .query = query,
        .payload_hash = EMPTY,
        .is_s3 = true,
    };
}

static void
check(const struct sigv4_request *request, const char *signed_headers, const char *signature)
{
    struct sigv4_signature got;
    char wanted[512];
    REQUIRE(sigv4_sign(request, &got));
    (void)snprintf(wanted, sizeof wanted,
                   "AWS4-HMAC-SHA256 Credential=%s/%.8s/us-east-1/%s/aws4_request, "
                   "SignedHeaders=%s, Signature=%s",
                   request->access_key, got.date, request->service, signed_headers, signature);
    CHECK_EQ_STR(got.authorization, wanted);
    free(got.authorization);
}

TEST(sigv4_signs_as_the_test_suite_wants_it)
{
    struct sigv4_request rq = suite_request("GET", "/", NULL);
    check(&rq, "host;x-amz-date",
          "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31");
    rq = suite_request("GET", "/", "Param2=value2&Param1=value1");
    check(&rq, "host;x-amz-date",
          "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500");

    const struct sigv4_header trimmed[] = { { "my-header1", " value1" },
                                            { "my-header2", " \"a   b   c\" " } };
    rq = suite_request("GET", "/", "");
    rq.headers = trimmed;
    rq.header_count = 2;
    check(&rq, "host;my-header1;my-header2;x-amz-date",
          "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736");

    char hash[SIGV4_HASH_BYTES];
    const struct sigv4_header form = { "content-type", "application/x-www-form-urlencoded" };
    rq = suite_request("POST", "/", NULL);
    sigv4_hash("Param1=value1", strlen("Param1=value1"), hash);
    rq.payload_hash = hash;
    rq.headers = &form;
    rq.header_count = 1;
    check(&rq, "content-type;host;x-amz-date",
          "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a");
}

TEST(sigv4_signs_as_the_reference_of_s3_wants_it)
{
    const struct sigv4_header range = { "range", "bytes=0-9" };
    struct sigv4_request rq = s3_request("GET", "/test.txt", NULL);
    rq.headers = &range;
    rq.header_count = 1;
    check(&rq, "host;range;x-amz-content-sha256;x-amz-date",
          "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");

    const struct sigv4_header put[] = { { "x-amz-storage-class", "REDUCED_REDUNDANCY" },
                                        { "date", "Fri, 24 May 2013 00:00:00 GMT" } };
    char hash[SIGV4_HASH_BYTES];
    rq = s3_request("PUT", "/test%24file.text", NULL);
    sigv4_hash("Welcome to Amazon S3.", 21, hash);
    rq.payload_hash = hash;
    rq.headers = put;
    rq.header_count = 2;
    check(&rq, "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
          "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd");

    rq = s3_request("GET", "/", "lifecycle");
    check(&rq, "host;x-amz-content-sha256;x-amz-date",
          "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");
    rq = s3_request("GET", "/", "max-keys=2&prefix=J");
    check(&rq, "host;x-amz-content-sha256;x-amz-date",
          "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
}

TEST(sigv4_presigns_as_the_reference_of_s3_wants_it)
{
    struct sigv4_request rq = s3_request("GET", "/test.txt", NULL);
    char *query = sigv4_presign(&rq, 86400);
    CHECK_EQ_STR(query,
                 "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524"
                 "%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400"
                 "&X-Amz-SignedHeaders=host&X-Amz-Signature="
                 "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404");
    free(query);
    rq = suite_request("GET", "/test.txt", NULL);
    rq.host = "examplebucket.s3.amazonaws.com";
    rq.service = "s3";
    rq.is_s3 = true;
    rq.session_token = "tok/en+=";
    query = sigv4_presign(&rq, 900);
    CHECK(strstr(query, "&X-Amz-Security-Token=tok%2Fen%2B%3D&") != NULL);
    CHECK(strstr(query,
                 "&X-Amz-Signature=3d21082ac204caf7804fb083652cdc7f2106a6b1cf1ac601b74ef549ae"
                 "ca6ccd") != NULL);
    free(query);
}

TEST(sigv4_signs_tokens_and_encoded_paths_as_botocore_does)
{
    const struct sigv4_header json = { "content-type", "application/json" };
    char hash[SIGV4_HASH_BYTES];
    struct sigv4_request rq = suite_request("GET", "/", NULL);
    rq.session_token = "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQW";
    check(&rq, "host;x-amz-date;x-amz-security-token",
          "3923438c9b9bc42001733b2290c80553779557301209c76f2e0326b2415d21ad");

    /* Encoded once more, outside of S3. */
    rq = suite_request("POST", "/model/anthropic.claude%3A0/converse", NULL);
    rq.service = "bedrock";
    rq.host = "bedrock-runtime.us-east-1.amazonaws.com";
    rq.headers = &json;
    rq.header_count = 1;
    sigv4_hash("{}", 2, hash);
    rq.payload_hash = hash;
    check(&rq, "content-type;host;x-amz-date",
          "f4a424169cd18c09604d4d4f73c0fb1a6802cf4c961a2677b8f185acc4bf416c");

    const struct sigv4_header class = { "x-amz-storage-class", "REDUCED_REDUNDANCY" };
    rq = suite_request("PUT", "/a%20b/%E1%88%B4%24.txt", NULL);
    rq.service = "s3";
    rq.is_s3 = true;
    rq.host = "examplebucket.s3.amazonaws.com";
    rq.headers = &class;
    rq.header_count = 1;
    sigv4_hash("Welcome", 7, hash);
    rq.payload_hash = hash;
    check(&rq, "host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
          "6b87065cc76ca585a1330baeaaaa815fd8a305c2b72b39b56d49157daee38bd2");
}

TEST(sigv4_encodes_all_that_is_not_plain)
{
    char *text = sigv4_encode("a b/~-._+\xc3\xa9%\n", strlen("a b/~-._+\xc3\xa9%\n"), true);
    CHECK_EQ_STR(text, "a%20b/~-._%2B%C3%A9%25%0A");
    free(text);
    text = sigv4_encode("a/b=&\0c", 7, false);
    CHECK_EQ_STR(text, "a%2Fb%3D%26%00c");
    free(text);
    text = sigv4_encode("", 0, false);
    CHECK_EQ_STR(text, "");
    free(text);
}

TEST(sigv4_refuses_what_it_has_no_room_for)
{
    struct sigv4_header many[SIGV4_HEADERS_MAX + 1];
    struct sigv4_signature got;
    char query[2 * 70 + 1] = "";
    for (size_t i = 0; i < SIGV4_HEADERS_MAX + 1; i++)
        many[i] = (struct sigv4_header){ "x", "y" };
    struct sigv4_request rq = suite_request("GET", "/", NULL);
    rq.headers = many;
    rq.header_count = SIGV4_HEADERS_MAX + 1;
    CHECK(!sigv4_sign(&rq, &got));
    for (size_t i = 0; i < 70; i++)
        memcpy(query + 2 * i, "a&", 3);
    rq = suite_request("GET", "/", query);
    CHECK(!sigv4_sign(&rq, &got));
    CHECK(sigv4_presign(&rq, 1) == NULL);
}
