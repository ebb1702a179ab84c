/* SPDX-License-Identifier: Apache-2.0 */
/* Where buckets and objects are, tags, and the files that requests may name. */
#include <errno.h>
#include <sys/stat.h>

#include "plugins/aws/file.h"
#include "plugins/aws/object.h"
#include "test.h"

static struct remora_slice
slice(const char *text)
{
    return (struct remora_slice){ text, strlen(text) };
}

/* "host path" of a key, or the words. */
static const char *
place(const char *bucket, const char *region, const char *endpoint, const char *path_style,
      const char *key)
{
    static char out[1024];
    const struct remora_pair metadata[] = {
        { slice("bucket"), slice(bucket) },     { slice("region"), slice(region) },
        { slice("endpoint"), slice(endpoint) }, { slice("accessKey"), slice("a") },
        { slice("awsSecretKey"), slice("s") },  { slice("forcePathStyle"), slice(path_style) },
    };
    const struct remora_config config = { .metadata = metadata,
                                          .metadata_count = sizeof metadata / sizeof metadata[0] };
    struct bucket b;
    char error[SETTINGS_ERROR_BYTES];
    if (bucket_read(&config, &b, error)) {
        char *host = bucket_host(&b), *where = bucket_path(&b, slice(key));
        (void)snprintf(out, sizeof out, "%s://%s%s", b.settings.is_plain ? "http" : "https", host,
                       where);
        free(host);
        free(where);
    } else {
        (void)snprintf(out, sizeof out, "%s", error);
    }
    bucket_fini(&b);
    return out;
}

TEST(BIND_s3_buckets_are_in_the_host_or_in_the_path)
{
    CHECK_EQ_STR(place("shop", "eu-west-1", "", "", "a b/c"),
                 "https://shop.s3.eu-west-1.amazonaws.com/a%20b/c");
    CHECK_EQ_STR(place("shop", "us-east-1", "", "", "k"), "https://shop.s3.amazonaws.com/k");
    CHECK_EQ_STR(place("shop", "cn-north-1", "", "", "k"),
                 "https://shop.s3.cn-north-1.amazonaws.com.cn/k");
    CHECK_EQ_STR(place("shop", "us-east-1", "", "true", "k"), "https://s3.amazonaws.com/shop/k");
    CHECK_EQ_STR(place("my.shop", "us-east-1", "", "", ""), "https://s3.amazonaws.com/my.shop/");
    CHECK_EQ_STR(place("shop", "x", "http://localhost:4566", "", "k"),
                 "http://shop.localhost:4566/k");
    CHECK_EQ_STR(place("shop", "x", "http://127.0.0.1:4566/", "", "k"),
                 "http://127.0.0.1:4566/shop/k");
    CHECK_EQ_STR(place("shop", "x", "https://[::1]:9000/base/", "", "k"),
                 "https://[::1]:9000/base/shop/k");
    CHECK_EQ_STR(place("shop", "x", "minio", "true", "../k?x#y"),
                 "https://minio/shop/../k%3Fx%23y");
}

TEST(BIND_s3_places_that_are_none_are_refused)
{
    CHECK_EQ_STR(place("shop", "x", "http://", "", "k"), "endpoint is no URL of one");
    CHECK_EQ_STR(place("shop", "x", "http://a@b", "", "k"), "endpoint is no URL of one");
    CHECK_EQ_STR(place("shop", "x", "http://a/b?c", "", "k"), "endpoint is no URL of one");
    CHECK_EQ_STR(place("shop", "evil.com/", "", "", "k"), "region is not the name of one");
    CHECK_EQ_STR(place("shop", "a\nb", "", "", "k"), "region has a control character in it");
    CHECK_EQ_STR(place("a/b", "x", "", "", "k"), "bucket is not the name of one");
    CHECK_EQ_STR(place("", "x", "", "", "k"), "bucket is missing");
}

static const char *
tags_of(const char *text)
{
    static char out[2 * SETTINGS_ERROR_BYTES];
    char error[SETTINGS_ERROR_BYTES];
    char *tags = object_tags(slice(text), error);
    (void)snprintf(out, sizeof out, "%s", tags == NULL ? error : tags);
    free(tags);
    return out;
}

TEST(BIND_s3_tags_are_a_query)
{
    CHECK_EQ_STR(tags_of(""), "");
    CHECK_EQ_STR(tags_of("a=1"), "a=1");
    CHECK_EQ_STR(tags_of(" a = 1 ,b c=d=e&f"), "a=1&b%20c=d%3De%26f");
    CHECK_EQ_STR(tags_of("a=1,"), "a=1");
    CHECK_EQ_STR(tags_of("a"), "invalid tag format: 'a' (expected key=value)");
    CHECK_EQ_STR(tags_of("a=1,=2"), "invalid tag format: '=2' (expected key=value)");
    CHECK_EQ_STR(tags_of("a=1,,b=2"), "invalid tag format: '' (expected key=value)");
}

static char folder[] = "/tmp/aws-file-XXXXXX";

static int
reading(const char *root, const char *path)
{
    char *bytes = NULL;
    size_t len = 0;
    const int failed = file_read(root, path, 100, &bytes, &len);
    if (failed == 0)
        CHECK_EQ_MEM(bytes, len, "hello", 5);
    free(bytes);
    return failed;
}

static void
write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    REQUIRE(file != NULL && fputs(text, file) >= 0 && fclose(file) == 0);
}

TEST(BIND_s3_files_are_those_that_the_component_opens)
{
    char inner[64], file[96], beside[96], link[96], up[128], big[96];
    REQUIRE(mkdtemp(folder) != NULL);
    (void)snprintf(inner, sizeof inner, "%s/in", folder);
    (void)snprintf(file, sizeof file, "%s/file", inner);
    (void)snprintf(beside, sizeof beside, "%s/inside", folder);
    (void)snprintf(link, sizeof link, "%s/link", inner);
    (void)snprintf(up, sizeof up, "%s/../inside", inner);
    (void)snprintf(big, sizeof big, "%s/big", inner);
    REQUIRE(mkdir(inner, 0700) == 0);
    write_file(file, "hello");
    write_file(beside, "hello");
    REQUIRE(symlink(beside, link) == 0);
    CHECK_EQ_INT(reading(inner, file), 0);
    CHECK_EQ_INT(reading(file, file), 0);
    CHECK_EQ_INT(reading(beside, beside), 0);
    CHECK_EQ_INT(reading("/", file), 0);
    CHECK_EQ_INT(reading(inner, beside), EACCES);
    CHECK_EQ_INT(reading(inner, link), EACCES);
    CHECK_EQ_INT(reading(inner, up), EACCES);
    CHECK_EQ_INT(reading(NULL, file), EACCES);
    CHECK_EQ_INT(reading("", file), EACCES);
    CHECK_EQ_INT(reading(inner, inner), EISDIR);
    CHECK_EQ_INT(reading(inner, "file"), EACCES);
    write_file(big, "a text that is longer than a hundred bytes, which is all that this test would "
                    "ever want to have of one");
    CHECK_EQ_INT(reading(inner, big), EFBIG);
    (void)unlink(big);
    (void)unlink(link);
    (void)unlink(file);
    (void)unlink(beside);
    (void)rmdir(inner);
    (void)rmdir(folder);
}
