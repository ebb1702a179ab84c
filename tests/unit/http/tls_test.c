/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS under streams: two streams of one worker talk over a socket pair, one as client and one as
 * server, with certificates made here.
 */
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include "unit/http/tls_bed.h"

/* --- certificates ------------------------------------------------------------------------------*/

struct identity {
    char cert[4096];
    char key[1024];
};

static void
pem_of(BIO *bio, char *text, size_t room)
{
    int len = BIO_read(bio, text, (int)room - 1);
    REQUIRE(len > 0);
    text[len] = '\0';
    BIO_free(bio);
}

/* Signed by itself; for `name`, as DNS name or address. */
static void
make_identity(struct identity *identity, const char *name)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    REQUIRE(key != NULL && cert != NULL);
    (void)ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
    (void)X509_gmtime_adj(X509_getm_notBefore(cert), -3600);
    (void)X509_gmtime_adj(X509_getm_notAfter(cert), 86400);
    (void)X509_set_version(cert, 2);
    (void)X509_set_pubkey(cert, key);
    X509_NAME *subject = X509_get_subject_name(cert);
    (void)X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1,
                                     -1, 0);
    (void)X509_set_issuer_name(cert, subject);
    char alternative[128];
    snprintf(alternative, sizeof alternative, "%s:%s",
             name[0] >= '0' && name[0] <= '9' ? "IP" : "DNS", name);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, alternative);
    REQUIRE(extension != NULL);
    (void)X509_add_ext(cert, extension, -1);
    X509_EXTENSION_free(extension);
    REQUIRE(X509_sign(cert, key, EVP_sha256()) > 0);
    BIO *bio = BIO_new(BIO_s_mem());
    REQUIRE(PEM_write_bio_X509(bio, cert) == 1);
    pem_of(bio, identity->cert, sizeof identity->cert);
    bio = BIO_new(BIO_s_mem());
    REQUIRE(PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1);
    pem_of(bio, identity->key, sizeof identity->key);
    X509_free(cert);
    EVP_PKEY_free(key);
}

static struct identity one, other;

static struct tls_config
server_of(const struct identity *identity)
{
    if (one.cert[0] == '\0') {
        make_identity(&one, "app.test");
        make_identity(&other, "127.0.0.1");
    }
    return (struct tls_config){ .is_server = true,
                                .cert = slice_str(identity->cert),
                                .key = slice_str(identity->key) };
}

/* --- tests -------------------------------------------------------------------------------------*/

TEST(what_one_writes_the_other_reads)
{
    struct bed bed;
    struct tls_config server = server_of(&one);
    open_bed(&bed, &(struct tls_config){ 0 }, &server);
    REQUIRE(stream_write(&bed.client.stream, SLICE("question"))); /* before it is agreed on */
    DRIVE_UNTIL(&bed.worker, bed.server.in.len == 8);
    CHECK_EQ_SLICE(buf_slice(&bed.server.in), SLICE("question"));
    REQUIRE(stream_write(&bed.server.stream, SLICE("answer")));
    DRIVE_UNTIL(&bed.worker, bed.client.in.len == 6);
    CHECK_EQ_SLICE(buf_slice(&bed.client.in), SLICE("answer"));
    CHECK(tls_is_established(&bed.client.stream));
    CHECK_EQ_U64(tls_alpn(&bed.client.stream).len, 0);
    stream_shutdown_write(&bed.server.stream);
    DRIVE_UNTIL(&bed.worker, bed.client.is_ended);
    CHECK(!bed.client.is_failed);
    close_bed(&bed);
}

static void
exchange_much(bool reads_little, size_t size)
{
    struct bed bed;
    struct tls_config server = server_of(&one);
    open_bed(&bed, &(struct tls_config){ 0 }, &server);
    bed.client.reads_little = reads_little;
    char *data = malloc(size);
    REQUIRE(data != NULL);
    for (size_t i = 0; i < size; i++)
        data[i] = (char)(i * 7 + i / 251);
    REQUIRE(stream_write(&bed.client.stream, slice_of(data, size)));
    REQUIRE(stream_write(&bed.server.stream, slice_of(data, size)));
    DRIVE_UNTIL(&bed.worker, bed.server.in.len == size && bed.client.in.len == size);
    CHECK(memcmp(buf_slice(&bed.server.in).data, data, size) == 0);
    CHECK(memcmp(buf_slice(&bed.client.in).data, data, size) == 0);
    free(data);
    close_bed(&bed);
}

TEST(much_goes_both_ways_at_once)
{
    exchange_much(false, 16 * 1024 * 1024);
}

TEST(an_owner_that_reads_little_at_a_time_gets_everything)
{
    exchange_much(true, 100 * 1000);
}

TEST(a_paused_owner_is_told_of_what_waits_inside_when_it_resumes)
{
    struct bed bed;
    struct tls_config server = server_of(&one);
    open_bed(&bed, &(struct tls_config){ 0 }, &server);
    bed.client.reads_little = true;
    REQUIRE(stream_write(&bed.server.stream, SLICE("0123456789abcdef"))); /* one record */
    DRIVE_UNTIL(&bed.worker, bed.client.in.len > 0);
    stream_pause(&bed.client.stream);
    turns(&bed.worker, 5);
    size_t paused = bed.client.in.len;
    CHECK(paused < 16);
    stream_resume(&bed.client.stream);
    DRIVE_UNTIL(&bed.worker, bed.client.in.len == 16);
    close_bed(&bed);
}

TEST(a_protocol_is_agreed_on)
{
    struct bed bed;
    struct tls_config server = server_of(&one);
    server.alpn = SLICE("h2");
    open_bed(&bed, &(struct tls_config){ .alpn = SLICE("h2") }, &server);
    DRIVE_UNTIL(&bed.worker, are_both_done(&bed));
    CHECK_SLICE_IS(tls_alpn(&bed.client.stream), "h2");
    CHECK_SLICE_IS(tls_alpn(&bed.server.stream), "h2");
    close_bed(&bed);
}

static void
check_verified(const struct identity *shown, const struct identity *trusted, const char *name,
               const char *complaint)
{
    struct bed bed;
    struct tls_config server = server_of(shown);
    open_bed(&bed,
             &(struct tls_config){
                 .verifies = true, .ca = slice_str(trusted->cert), .server_name = slice_str(name) },
             &server);
    DRIVE_UNTIL(&bed.worker, are_both_done(&bed));
    CHECK_EQ_INT(tls_is_established(&bed.client.stream), complaint == NULL);
    CHECK_EQ_INT(bed.client.is_failed, complaint != NULL);
    if (complaint != NULL)
        CHECK(slice_find(tls_error(&bed.client.stream), slice_str(complaint)) >= 0);
    close_bed(&bed);
}

TEST(certificates_are_verified_where_that_is_asked_for)
{
    (void)server_of(&one);
    check_verified(&one, &one, "app.test", NULL);
    check_verified(&other, &other, "127.0.0.1", NULL);
    check_verified(&one, &other, "app.test",
                   "tls: failed to verify certificate: x509: certificate signed by unknown "
                   "authority");
    check_verified(&one, &one, "evil.test", "tls: failed to verify certificate: x509: hostname");
    check_verified(&other, &other, "127.0.0.2", "tls: failed to verify certificate: x509: IP");
}

TEST(one_context_serves_for_several_servers)
{
    struct bed bed;
    struct tls_config server = server_of(&one);
    struct tls_context *base = tls_context_new(
        &(struct tls_config){ .verifies = true, .ca = slice_str(one.cert) });
    static const char *const names[] = { "app.test", "evil.test" };
    for (int i = 0; i < 2; i++) {
        open_bed(&bed, NULL, &server);
        struct tls_context *named = tls_context_named(base, slice_str(names[i]));
        struct diag diag;
        diag_init(&diag, NULL);
        REQUIRE(tls_start(&bed.client.stream, named, SLICE_EMPTY, &diag));
        tls_context_unref(named);
        DRIVE_UNTIL(&bed.worker, are_both_done(&bed));
        CHECK_EQ_INT(tls_is_established(&bed.client.stream), i == 0);
        close_bed(&bed);
    }
    tls_context_unref(base);
}

TEST(a_server_may_ask_for_a_certificate)
{
    struct bed bed;
    struct tls_config server = server_of(&one);
    server.verifies = true;
    server.ca = slice_str(other.cert);
    open_bed(&bed,
             &(struct tls_config){ .cert = slice_str(other.cert), .key = slice_str(other.key) },
             &server);
    DRIVE_UNTIL(&bed.worker, are_both_done(&bed));
    CHECK(!bed.server.is_failed);
    close_bed(&bed);
    open_bed(&bed, &(struct tls_config){ 0 }, &server);
    DRIVE_UNTIL(&bed.worker, bed.server.is_failed);
    DRIVE_UNTIL(&bed.worker, bed.client.is_failed); /* TLS 1.3 tells the client afterwards */
    close_bed(&bed);
}

TEST(a_peer_that_speaks_no_tls_is_an_error_with_words)
{
    struct bed bed;
    open_bed(&bed, &(struct tls_config){ 0 }, NULL);
    REQUIRE(stream_write(&bed.server.stream, SLICE("HTTP/1.1 400 Bad Request\r\n\r\n")));
    DRIVE_UNTIL(&bed.worker, bed.client.is_failed);
    CHECK_SLICE_IS(tls_error(&bed.client.stream),
                   "tls: first record does not look like a TLS handshake");
    close_bed(&bed);
}

TEST(an_end_that_was_not_announced_is_no_end)
{
    struct bed bed;
    struct tls_config server = server_of(&one);
    open_bed(&bed, &(struct tls_config){ 0 }, &server);
    DRIVE_UNTIL(&bed.worker, are_both_done(&bed));
    REQUIRE(stream_write(&bed.server.stream, SLICE("half")));
    DRIVE_UNTIL(&bed.worker, bed.client.in.len == 4);
    (void)shutdown(bed.server.stream.fd, SHUT_WR); /* behind the back of TLS */
    DRIVE_UNTIL(&bed.worker, bed.client.is_failed || bed.client.is_ended);
    CHECK(bed.client.is_failed);
    close_bed(&bed);
}

TEST(a_stream_may_change_its_owner)
{
    struct bed bed;
    struct tls_config server = server_of(&one);
    open_bed(&bed, &(struct tls_config){ 0 }, &server);
    DRIVE_UNTIL(&bed.worker, are_both_done(&bed));
    struct end heir = { 0 };
    buf_init(&heir.in, MOST);
    stream_move(&heir.stream, &bed.client.stream, &bed_events);
    REQUIRE(stream_write(&bed.server.stream, SLICE("for the heir")));
    DRIVE_UNTIL(&bed.worker, heir.in.len == 12);
    stream_close(&heir.stream);
    buf_fini(&heir.in);
    close_bed(&bed);
}

TEST(a_context_that_is_no_good_says_why)
{
    static const struct {
        const char *what;
        struct tls_config config;
    } rows[] = {
        { "trusted authorities", { .verifies = true, .ca = SLICE("no PEM") } },
        { "certificate", { .cert = SLICE("no PEM") } },
        { "private key", { .key = SLICE("no PEM") } },
    };
    struct worker worker;
    driver_open(&worker);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct tls_context *context = tls_context_new(&rows[i].config);
        struct arena arena;
        struct diag diag;
        struct stream stream;
        int fds[2];
        arena_init(&arena);
        diag_init(&diag, &arena);
        REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
        stream_open(&stream, &worker, fds[0], &bed_events, 1024);
        CHECK(!tls_start(&stream, context, SLICE_EMPTY, &diag));
        CHECK(slice_find(diag.message, slice_str(rows[i].what)) >= 0);
        stream_close(&stream);
        (void)close(fds[1]);
        arena_fini(&arena);
        tls_context_unref(context);
    }
    driver_close(&worker);
}
