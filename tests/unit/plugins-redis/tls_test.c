/* SPDX-License-Identifier: Apache-2.0 */
/* The store over TLS: whom it trusts, how it shows itself, and that plain use never loads OpenSSL.
 */
#include "redis_server.h"
#include "store_calls.h"

static struct redis_server server;
static char ca[8192], wrong_ca[8192], certificate[8192], key[8192];

static void
shell(const char *command)
{
    char line[2048];
    snprintf(line, sizeof line, "cd %s && { %.1500s; } >/dev/null 2>&1", server.dir, command);
    REQUIRE(system(line) == 0);
}

static void
read_pem(const char *name, char ret[8192])
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", server.dir, name);
    FILE *file = fopen(path, "r");
    REQUIRE(file != NULL);
    size_t len = fread(ret, 1, 8191, file);
    ret[len] = '\0';
    fclose(file);
}

#define NEW_KEY " -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes "

static void
make_certificates(void)
{
    shell("for n in ca other; do openssl req -x509 -days 2" NEW_KEY
          "-subj /CN=$n -keyout $n.key -out $n.pem; done");
    shell("for n in server client; do "
          "openssl req -new" NEW_KEY "-subj /CN=$n -keyout $n.key -out $n.csr && "
          "printf 'subjectAltName=DNS:localhost,IP:127.0.0.1' > ext && "
          "openssl x509 -req -in $n.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 "
          "-extfile ext -out $n.pem; done");
    read_pem("ca.pem", ca);
    read_pem("other.pem", wrong_ca);
    read_pem("client.pem", certificate);
    read_pem("client.key", key);
}

static bool
prepare(void)
{
    signal(SIGPIPE, SIG_IGN); /* as plugin.c does */
    static const char *const files[] = { "server.pem", "server.key", "ca.pem" };
    static char paths[3][512], port[8];
    if (server.pid != 0)
        return true;
    if (!redis_server_is_installed() || system("openssl version >/dev/null 2>&1") != 0)
        return false;
    redis_server_prepare(&server);
    make_certificates();
    for (size_t i = 0; i < 3; i++)
        snprintf(paths[i], sizeof paths[i], "%s/%s", server.dir, files[i]);
    snprintf(port, sizeof port, "%u", server.port);
    /* The last --port wins: TLS only. */
    redis_server_start_more(&server,
                            (const char *[]){ "--port", "0", "--tls-port", port, "--tls-cert-file",
                                              paths[0], "--tls-key-file", paths[1],
                                              "--tls-ca-cert-file", paths[2], NULL });
    return true;
}

#define NEED_SERVER()                                                                              \
    if (!prepare())                                                                                \
    SKIP("redis-server or openssl not installed")

static const char *
host(const char *name)
{
    static char text[64];
    snprintf(text, sizeof text, "%s:%u", name, server.port);
    return text;
}

#define FIELDS(...)                                                                                \
    ((struct field[]){ { "redisMaxRetries", "-1" }, { "dialTimeout", "2s" }, __VA_ARGS__, { 0 } })

static bool
is_mapped(const char *library)
{
    char line[1024];
    bool found = false;
    FILE *maps = fopen("/proc/self/maps", "r");
    while (!found && fgets(line, sizeof line, maps) != NULL)
        found = strstr(line, library) != NULL;
    fclose(maps);
    return found;
}

TEST(a_plain_store_does_not_load_openssl)
{
    NEED_SERVER();
    failed(init_at(host("127.0.0.1"), FIELDS({ "redisDB", "0" })), REMORA_UNAVAILABLE,
           REMORA_EFFECT_FAILED, "error connecting");
    CHECK(!is_mapped("libssl") && !is_mapped("libcrypto"));
}

TEST(a_certificate_of_the_given_authority_is_accepted)
{
    NEED_SERVER();
    struct field *fields = FIELDS({ "enableTLS", "true" }, { "caCert", ca },
                                  { "clientCert", certificate }, { "clientKey", key });
    struct store *by_address = open_at(host("127.0.0.1"), fields);
    struct store *by_name = open_at(host("localhost"), fields);
    set_ok(by_address, item("k", "1"));
    get_is(by_name, "k", "1", "1");
    size_t len = 5 << 20;
    char *value = malloc(len);
    memset(value, 'v', len);
    struct remora_state_set wanted = item("big", "");
    wanted.value = (struct remora_slice){ value, len };
    set_ok(by_name, wanted);
    remora_call *call = get(by_address, "big");
    CHECK_EQ_MEM(call->values[0].value, call->values[0].len, value, len);
    fake_free(call);
    free(value);
    for (unsigned i = 0; i < 500; i++)
        set_ok(by_name, item("k", "2"));
    store_close(by_address);
    store_close(by_name);
}

TEST(other_certificates_are_refused)
{
    NEED_SERVER();
    failed(init_at(host("127.0.0.1"), FIELDS({ "enableTLS", "true" })), REMORA_UNAVAILABLE,
           REMORA_EFFECT_FAILED, "tls: failed to verify certificate: ");
    failed(init_at(host("127.0.0.1"), FIELDS({ "enableTLS", "true" }, { "caCert", wrong_ca })),
           REMORA_UNAVAILABLE, REMORA_EFFECT_FAILED, "tls: failed to verify certificate: ");
    /* Right authority, wrong name. */
    failed(init_at(host("127.0.0.2"), FIELDS({ "enableTLS", "true" }, { "caCert", ca })),
           REMORA_UNAVAILABLE, REMORA_EFFECT_FAILED, "");
}

TEST(verification_can_be_switched_off)
{
    NEED_SERVER();
    struct store *store = open_at(
        host("127.0.0.1"), FIELDS({ "enableTLS", "true" }, { "insecureSkipTLSVerify", "true" },
                                  { "clientCert", certificate }, { "clientKey", key }));
    set_ok(store, item("k", "1"));
    store_close(store);
}

TEST(a_server_that_wants_our_certificate_refuses_us_without)
{
    NEED_SERVER();
    /* The words depend on whether its alert or its reset arrives first. */
    failed(init_at(host("127.0.0.1"), FIELDS({ "enableTLS", "true" }, { "caCert", ca })),
           REMORA_UNAVAILABLE, REMORA_EFFECT_FAILED, "error connecting to redis at");
}

TEST(pem_texts_that_are_none_fail_init_and_are_not_shown)
{
    NEED_SERVER();
    remora_call *call = init_at(host("127.0.0.1"),
                                FIELDS({ "enableTLS", "true" }, { "caCert", "rubbish" }));
    failed(call, REMORA_INVALID_ARGUMENT, REMORA_EFFECT_FAILED,
           "redis client configuration error: tls: caCert is not usable: ");
    call = init_at(host("127.0.0.1"),
                   FIELDS({ "enableTLS", "true" }, { "caCert", ca }, { "clientCert", certificate },
                          { "clientKey", "s3cret-key" }));
    CHECK(strstr(call->failure.message, "s3cret-key") == NULL);
    failed(call, REMORA_INVALID_ARGUMENT, REMORA_EFFECT_FAILED, "tls: clientKey is not usable: ");
}

TEST(tls_to_a_plain_server_fails_clearly)
{
    NEED_SERVER();
    struct redis_server plain;
    char address[64];
    redis_server_start(&plain);
    snprintf(address, sizeof address, "127.0.0.1:%u", plain.port);
    failed(init_at(address, FIELDS({ "enableTLS", "true" })), REMORA_UNAVAILABLE,
           REMORA_EFFECT_FAILED, "error connecting to redis at");
    redis_server_stop(&plain);
}
