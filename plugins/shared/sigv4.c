/* SPDX-License-Identifier: Apache-2.0 */
/* Signature Version 4, as "Create a signed AWS API request" of the IAM User Guide has it. */
#include "sigv4.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DAY_BYTES = 8, QUERY_PARTS_MAX = 64 };

#define ALGORITHM "AWS4-HMAC-SHA256"

/* --- small things ------------------------------------------------------------------------------*/

static void
hex_of(const unsigned char digest[SHA256_DIGEST_LENGTH], char ret[SIGV4_HASH_BYTES])
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < SHA256_DIGEST_LENGTH; i++) {
        ret[2 * i] = digits[digest[i] >> 4];
        ret[2 * i + 1] = digits[digest[i] & 15];
    }
    ret[2 * (size_t)SHA256_DIGEST_LENGTH] = '\0';
}

void
sigv4_hash(const void *data, size_t len, char ret_hash[SIGV4_HASH_BYTES])
{
    unsigned char digest[SHA256_DIGEST_LENGTH];
    if (SHA256(len == 0 ? (const void *)"" : data, len, digest) == NULL)
        abort();
    hex_of(digest, ret_hash);
}

static bool
is_unreserved(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

char *
sigv4_encode(const char *data, size_t len, bool is_path)
{
    static const char digits[] = "0123456789ABCDEF";
    char *out = malloc(3 * len + 1);
    size_t used = 0;
    if (out == NULL)
        abort();
    for (size_t i = 0; i < len; i++) {
        const unsigned char c = (unsigned char)data[i];
        if (is_unreserved(data[i]) || (is_path && c == '/')) {
            out[used++] = data[i];
            continue;
        }
        out[used++] = '%';
        out[used++] = digits[c >> 4];
        out[used++] = digits[c & 15];
    }
    out[used] = '\0';
    return out;
}

/* What is put together with stdio; aborts if memory is out. */
struct writing {
    FILE *file;
    char *text;
    size_t len;
};

static void
begin(struct writing *w)
{
    *w = (struct writing){ .file = NULL };
    w->file = open_memstream(&w->text, &w->len);
    if (w->file == NULL)
        abort();
}

static char *
end(struct writing *w)
{
    if (ferror(w->file) != 0 || fclose(w->file) != 0)
        abort();
    return w->text;
}

static void
wipe(char *text)
{
    if (text != NULL)
        explicit_bzero(text, strlen(text));
    free(text);
}

/* --- headers -----------------------------------------------------------------------------------*/

struct headers {
    struct sigv4_header items[SIGV4_HEADERS_MAX + 4];
    size_t count;
};

static int
compare_headers(const void *a, const void *b)
{
    const struct sigv4_header *left = a, *right = b;
    return strcmp(left->name, right->name);
}

static void
add(struct headers *headers, const char *name, const char *value)
{
    headers->items[headers->count++] = (struct sigv4_header){ name, value };
}

/* Blanks around a value go, and several within it are one. */
static void
put_value(FILE *out, const char *value)
{
    bool has_begun = false, is_blank = false;
    for (const char *c = value; *c != '\0'; c++) {
        if (*c == ' ' || *c == '\t') {
            is_blank = has_begun;
            continue;
        }
        if (is_blank)
            (void)fputc(' ', out);
        (void)fputc(*c, out);
        has_begun = true;
        is_blank = false;
    }
}

static void
put_names(FILE *out, const struct headers *headers)
{
    for (size_t i = 0; i < headers->count; i++)
        (void)fprintf(out, "%s%s", i == 0 ? "" : ";", headers->items[i].name);
}

/* --- the query ---------------------------------------------------------------------------------*/

struct part {
    const char *text;
    size_t len, name_len;
};

static int
compare_bytes(const char *a, size_t a_len, const char *b, size_t b_len)
{
    const int order = memcmp(a, b, a_len < b_len ? a_len : b_len);
    return order != 0 ? order : (a_len > b_len) - (a_len < b_len);
}

/* By name, then by value. */
static int
compare_parts(const void *a, const void *b)
{
    const struct part *left = a, *right = b;
    const int order = compare_bytes(left->text, left->name_len, right->text, right->name_len);
    return order != 0 ? order : compare_bytes(left->text, left->len, right->text, right->len);
}

/* False: there are too many. */
static bool
put_query(FILE *out, const char *query)
{
    struct part parts[QUERY_PARTS_MAX] = { { NULL, 0, 0 } };
    size_t count = 0;
    while (query != NULL && *query != '\0') {
        const size_t len = strcspn(query, "&");
        if (count == QUERY_PARTS_MAX)
            return false;
        const char *equals = memchr(query, '=', len);
        const size_t name_len = equals == NULL ? len : (size_t)(equals - query);
        if (len > 0)
            parts[count++] = (struct part){ query, len, name_len };
        query += len + (query[len] == '&');
    }
    qsort(parts, count, sizeof parts[0], compare_parts);
    for (size_t i = 0; i < count; i++)
        (void)fprintf(out, "%s%.*s%s", i == 0 ? "" : "&", (int)parts[i].len, parts[i].text,
                      parts[i].len == parts[i].name_len ? "=" : "");
    return true;
}

/* --- what is signed ----------------------------------------------------------------------------*/

static bool
hash_canonical_request(const struct sigv4_request *rq, const struct headers *headers,
                       const char *query, char ret_hash[SIGV4_HASH_BYTES])
{
    struct writing w;
    char *path = rq->is_s3 ? NULL : sigv4_encode(rq->path, strlen(rq->path), true);
    begin(&w);
    (void)fprintf(w.file, "%s\n%s\n", rq->method, path == NULL ? rq->path : path);
    const bool ok = put_query(w.file, query);
    (void)fputc('\n', w.file);
    for (size_t i = 0; i < headers->count; i++) {
        (void)fprintf(w.file, "%s:", headers->items[i].name);
        put_value(w.file, headers->items[i].value);
        (void)fputc('\n', w.file);
    }
    (void)fputc('\n', w.file);
    put_names(w.file, headers);
    (void)fprintf(w.file, "\n%s", rq->payload_hash);
    char *text = end(&w);
    sigv4_hash(text, w.len, ret_hash);
    wipe(text); /* the session token is in it */
    free(path);
    return ok;
}

static void
hmac(const void *key, size_t key_len, const char *text, size_t len,
     unsigned char ret[SHA256_DIGEST_LENGTH])
{
    if (HMAC(EVP_sha256(), key, (int)key_len, (const unsigned char *)text, len, ret, NULL) == NULL)
        abort();
}

static void
sign_text(const struct sigv4_request *rq, const char *date, const char *text,
          char ret_signature[SIGV4_HASH_BYTES])
{
    unsigned char key[SHA256_DIGEST_LENGTH], next[SHA256_DIGEST_LENGTH];
    char *secret;
    if (asprintf(&secret, "AWS4%s", rq->secret_key) < 0)
        abort();
    hmac(secret, strlen(secret), date, DAY_BYTES, key);
    hmac(key, sizeof key, rq->region, strlen(rq->region), next);
    hmac(next, sizeof next, rq->service, strlen(rq->service), key);
    hmac(key, sizeof key, "aws4_request", strlen("aws4_request"), next);
    hmac(next, sizeof next, text, strlen(text), key);
    hex_of(key, ret_signature);
    explicit_bzero(key, sizeof key);
    explicit_bzero(next, sizeof next);
    wipe(secret);
}

/* The day, the region and the service that a key is for. */
static char *
scope_of(const struct sigv4_request *rq, const char *date)
{
    char *scope;
    if (asprintf(&scope, "%.*s/%s/%s/aws4_request", DAY_BYTES, date, rq->region, rq->service) < 0)
        abort();
    return scope;
}

static bool
sign(const struct sigv4_request *rq, const struct headers *headers, const char *query,
     const char *date, char ret_signature[SIGV4_HASH_BYTES])
{
    char hash[SIGV4_HASH_BYTES], *scope = scope_of(rq, date), *text;
    const bool ok = hash_canonical_request(rq, headers, query, hash);
    if (asprintf(&text, ALGORITHM "\n%s\n%s\n%s", date, scope, hash) < 0)
        abort();
    sign_text(rq, date, text, ret_signature);
    free(text);
    free(scope);
    return ok;
}

static void
print_date(time_t at, char ret[SIGV4_DATE_BYTES])
{
    struct tm utc;
    (void)gmtime_r(&at, &utc);
    (void)strftime(ret, SIGV4_DATE_BYTES, "%Y%m%dT%H%M%SZ", &utc);
}

static bool
has_token(const struct sigv4_request *rq)
{
    return rq->session_token != NULL && rq->session_token[0] != '\0';
}

/* --- both forms --------------------------------------------------------------------------------*/

bool
sigv4_sign(const struct sigv4_request *request, struct sigv4_signature *ret)
{
    struct headers headers = { .count = 0 };
    char signature[SIGV4_HASH_BYTES];
    struct writing w;
    if (request->header_count > SIGV4_HEADERS_MAX)
        return false;
    print_date(request->at, ret->date);
    for (size_t i = 0; i < request->header_count; i++)
        headers.items[headers.count++] = request->headers[i];
    add(&headers, "host", request->host);
    add(&headers, "x-amz-date", ret->date);
    if (has_token(request))
        add(&headers, "x-amz-security-token", request->session_token);
    if (request->is_s3)
        add(&headers, "x-amz-content-sha256", request->payload_hash);
    qsort(headers.items, headers.count, sizeof headers.items[0], compare_headers);
    if (!sign(request, &headers, request->query, ret->date, signature))
        return false;
    char *scope = scope_of(request, ret->date);
    begin(&w);
    (void)fprintf(w.file, ALGORITHM " Credential=%s/%s, SignedHeaders=", request->access_key,
                  scope);
    put_names(w.file, &headers);
    (void)fprintf(w.file, ", Signature=%s", signature);
    ret->authorization = end(&w);
    free(scope);
    return true;
}

static void
put_encoded(FILE *out, const char *name, const char *value)
{
    char *encoded = sigv4_encode(value, strlen(value), false);
    (void)fprintf(out, "&%s=%s", name, encoded);
    wipe(encoded);
}

char *
sigv4_presign(const struct sigv4_request *request, long expires_s)
{
    struct sigv4_request rq = *request;
    struct headers headers = { .items = { { "host", request->host } }, .count = 1 };
    char date[SIGV4_DATE_BYTES], signature[SIGV4_HASH_BYTES], *credential, *query;
    struct writing w;
    rq.payload_hash = SIGV4_UNSIGNED_PAYLOAD;
    print_date(rq.at, date);
    char *scope = scope_of(&rq, date);
    if (asprintf(&credential, "%s/%s", rq.access_key, scope) < 0)
        abort();
    begin(&w);
    if (rq.query != NULL && rq.query[0] != '\0')
        (void)fprintf(w.file, "%s&", rq.query);
    (void)fputs("X-Amz-Algorithm=" ALGORITHM, w.file);
    put_encoded(w.file, "X-Amz-Credential", credential);
    (void)fprintf(w.file, "&X-Amz-Date=%s&X-Amz-Expires=%ld", date, expires_s);
    if (has_token(&rq))
        put_encoded(w.file, "X-Amz-Security-Token", rq.session_token);
    (void)fputs("&X-Amz-SignedHeaders=host", w.file);
    query = end(&w);
    free(scope);
    free(credential);
    const bool ok = request->header_count == 0 && sign(&rq, &headers, query, date, signature);
    char *signed_query = NULL;
    if (ok && asprintf(&signed_query, "%s&X-Amz-Signature=%s", query, signature) < 0)
        abort();
    wipe(query);
    return signed_query;
}
