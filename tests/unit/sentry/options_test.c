/* SPDX-License-Identifier: Apache-2.0 */
/* What the certificate authority is told: the defaults are the reference's, files and flags are
 * checked. */
#include "sentry/options.h"

#include "fixture.h"

static struct sentry_options options;
static const char *namespace_name;

static const char *
get(void *arg, const char *name)
{
    (void)arg;
    return strcmp(name, "NAMESPACE") == 0 ? namespace_name : NULL;
}

/* Flags up to the first NULL; the message, "" if there is nothing to complain of. */
static struct slice
read_flags(const char *a, const char *b, const char *c)
{
    char *argv[] = { arena_str(&scratch, SLICE("remora-sentry")), NULL, NULL, NULL, NULL };
    const char *const flags[] = { a, b, c };
    int argc = 1;
    for (size_t i = 0; i < ARRAY_LEN(flags) && flags[i] != NULL; i++)
        argv[argc++] = arena_str(&scratch, slice_str(flags[i]));
    struct slice message = SLICE_EMPTY;
    enum options_verdict verdict = sentry_options_read(
        &scratch, argc, argv, (struct env){ .get = get }, &options, &message);
    CHECK_EQ_INT(message.len > 0, verdict == OPTIONS_BAD_USAGE || verdict == OPTIONS_FATAL);
    return message;
}

static struct slice
read_configuration(const char *mtls)
{
    struct slice path = arena_printf(&scratch, "%s/c.yaml", test_dir());
    FILE *f = fopen(path.data, "w");
    REQUIRE(f != NULL);
    fprintf(f, "kind: Configuration\nspec:\n  mtls:\n%s", mtls);
    REQUIRE(fclose(f) == 0);
    return read_flags("--config", path.data, NULL);
}

TEST(the_defaults_are_those_of_the_reference)
{
    start_clean();
    CHECK_SLICE_IS(read_flags(NULL, NULL, NULL), "");
    CHECK_SLICE_IS(options.own_id, "spiffe://localhost/ns/default/dapr-sentry");
    CHECK_SLICE_IS(options.anchors_path, "/var/run/secrets/dapr.io/credentials/ca.crt");
    CHECK_SLICE_IS(options.key_path, "/var/run/secrets/dapr.io/credentials/issuer.key");
    CHECK_EQ_INT(options.port, 50001);
    CHECK_EQ_INT(options.healthz_port, 8080);
    CHECK_EQ_INT(options.metrics_port, 9090);
    CHECK_EQ_INT(options.lifetime_ms, 86400000);
    CHECK_EQ_INT(options.skew_ms, 900000);
    CHECK(options.enable_metrics && !options.has_jwt && !options.has_jwks);
}

TEST(paths_are_in_the_folder_or_absolute)
{
    start_clean();
    CHECK_SLICE_IS(read_flags("--issuer-credentials=/c", "-issuer-key-filename=/k/x",
                              "--issuer-ca-filename=y"),
                   "");
    CHECK_SLICE_IS(options.anchors_path, "/c/y");
    CHECK_SLICE_IS(options.chain_path, "/c/issuer.crt");
    CHECK_SLICE_IS(options.key_path, "/k/x");
}

TEST(namespace_and_trust_domain_make_its_id)
{
    start_clean();
    namespace_name = "dapr-system";
    CHECK_SLICE_IS(read_flags("--trust-domain", "cp.test", NULL), "");
    CHECK_SLICE_IS(options.own_id, "spiffe://cp.test/ns/dapr-system/dapr-sentry");
    CHECK_SLICE_IS(read_flags("--trust-domain", "a/b", NULL),
                   "trust domain \"a/b\" and namespace \"dapr-system\" make no SPIFFE ID");
    namespace_name = NULL;
}

TEST(flags_that_make_no_sense_are_refused)
{
    start_clean();
    CHECK_SLICE_IS(read_flags("--port", "70000", NULL),
                   "Invalid options: a port is larger than 65535");
    CHECK_SLICE_IS(read_flags("--mode", "cloud", NULL), "Invalid options: invalid mode: cloud");
    CHECK_SLICE_IS(read_flags("--jwt-issuer", "x", NULL),
                   "Invalid options: jwt-issuer cannot be set when jwt-enabled is false");
    CHECK_SLICE_IS(read_flags("--jwt-ttl", "-1s", NULL),
                   "Invalid options: jwt-ttl must be positive");
    CHECK_SLICE_IS(read_flags("--magic", NULL, NULL), "unknown flag: --magic");
    CHECK_SLICE_IS(read_flags("--log-level", "loud", NULL), "undefined Log Output Level: loud");
}

TEST(the_configuration_sets_lives_and_names)
{
    start_clean();
    CHECK_SLICE_IS(read_configuration("    workloadCertTTL: 4s\n    allowedClockSkew: 10ms\n"
                                      "    controlPlaneTrustDomain: cp.test\n"),
                   "");
    CHECK_EQ_INT(options.lifetime_ms, 4000);
    CHECK_EQ_INT(options.skew_ms, 10);
    CHECK_SLICE_IS(options.trust_domain, "cp.test");
    CHECK_SLICE_IS(read_configuration("    workloadCertTTL: ''\n"), "");
    CHECK_EQ_INT(options.lifetime_ms, 86400000);
    CHECK(slice_has_prefix(read_configuration("    allowedClockSkew: -1s\n"),
                           SLICE("error parsing allowedClockSkew duration")));
    CHECK_SLICE_IS(read_configuration("    workloadCertTTL: []\n"),
                   "error parsing workloadCertTTL: it is a list");
}

TEST(validators_are_read)
{
    start_clean();
    CHECK_SLICE_IS(
        read_configuration("    tokenValidators:\n    - name: JWKS\n      options:\n"
                           "        source: https://a.b/c\n        minRefreshInterval: 1m\n"
                           "        requestTimeout: 2s\n        more: x\n"),
        "");
    CHECK(options.has_jwks && options.jwks.is_url && options.jwks.inline_set.len == 0);
    CHECK_EQ_INT(options.jwks.refresh_ms, 60000);
    CHECK_EQ_INT(options.jwks.timeout_ms, 2000);
    CHECK_EQ_INT(options.warnings.count, 1);
    CHECK_SLICE_IS(read_configuration("    tokenValidators:\n    - name: jwks\n      options:\n"
                                      "        source: eyJrZXlzIjpbXX0=\n"),
                   "");
    CHECK_SLICE_IS(options.jwks.inline_set, "{\"keys\":[]}");
    CHECK_SLICE_IS(read_configuration("    tokenValidators:\n    - name: jwks\n"),
                   "option 'source' of token validator 'jwks' is missing");
    CHECK_SLICE_IS(read_configuration("    tokenValidators:\n    - name: insecure\n"),
                   "invalid token validator: the built-in 'kubernetes' and 'insecure' validators "
                   "cannot be configured manually");
    CHECK_SLICE_IS(read_configuration("    tokenValidators: x\n"),
                   "error parsing tokenValidators: it is text");
}
