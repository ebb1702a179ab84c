/* SPDX-License-Identifier: Apache-2.0 */
/* The authority: what it generates and signs has the form recorded of the reference, and texts that
 * do not fit together are refused. */
#include "base/limits.h"
#include "fixture.h"

enum { DAY_MS = 24 * 3600 * 1000, SKEW_MS = 15 * 60 * 1000 };

static int64_t
lifetime_s(const X509 *certificate)
{
    return certificate_not_after_s(certificate) - certificate_not_before_s(certificate);
}

/* "critical keyUsage basicConstraints …" by their short names, in order. */
static struct slice
extensions(const X509 *certificate)
{
    struct arena_bytes text = { 0 };
    for (int i = 0; i < X509_get_ext_count(certificate); i++) {
        X509_EXTENSION *extension = X509_get_ext(certificate, i);
        if (X509_EXTENSION_get_critical(extension))
            arena_append(&scratch, &text, SLICE("!"));
        arena_append(&scratch, &text,
                     slice_str(OBJ_nid2sn(OBJ_obj2nid(X509_EXTENSION_get_object(extension)))));
        arena_append(&scratch, &text, SLICE(" "));
    }
    return arena_bytes_slice(&text);
}

static struct slice
organization(X509_NAME *name)
{
    char text[256] = "";
    if (X509_NAME_entry_count(name) == 0)
        return SLICE_EMPTY;
    CHECK_EQ_INT(X509_NAME_entry_count(name), 1);
    CHECK(X509_NAME_get_text_by_NID(name, NID_organizationName, text, sizeof text) > 0);
    return arena_dup(&scratch, slice_str(text));
}

TEST(what_is_generated_has_the_recorded_form)
{
    start_clean();
    struct authority_texts texts = generated();
    X509 *root = first_certificate(texts.anchors), *issuer = first_certificate(texts.chain);
    CHECK_SLICE_IS(organization(X509_get_subject_name(root)), "localhost");
    CHECK_SLICE_IS(organization(X509_get_issuer_name(root)), "localhost");
    CHECK_SLICE_IS(organization(X509_get_subject_name(issuer)),
                   "spiffe://localhost/ns/default/dapr-sentry");
    CHECK_SLICE_IS(organization(X509_get_issuer_name(issuer)), "localhost");
    CHECK_SLICE_IS(extensions(root), "!keyUsage !basicConstraints subjectKeyIdentifier ");
    CHECK_SLICE_IS(extensions(issuer), "!keyUsage !basicConstraints subjectKeyIdentifier ");
    CHECK_EQ_INT(X509_get_key_usage(root), KU_DIGITAL_SIGNATURE | KU_KEY_CERT_SIGN);
    CHECK_EQ_INT(X509_get_key_usage(issuer), KU_DIGITAL_SIGNATURE | KU_KEY_CERT_SIGN | KU_CRL_SIGN);
    CHECK_EQ_INT(X509_get_signature_nid(root), NID_ED25519);
    CHECK_EQ_INT(X509_get_version(root), X509_VERSION_3);
    CHECK(EVP_PKEY_is_a(X509_get0_pubkey(issuer), "ED25519"));
    CHECK_EQ_INT(lifetime_s(root), 31536900);
    CHECK_EQ_INT(lifetime_s(issuer), 31536900);
    CHECK(X509_cmp(root, issuer) != 0);
    X509_free(root);
    X509_free(issuer);
}

static struct signed_certificate
sign(const struct authority *authority, EVP_PKEY *key, int64_t lifetime_ms)
{
    const struct sign_request request = { .public_key = key,
                                          .spiffe_id = SLICE("spiffe://public/ns/default/shop"),
                                          .lifetime_ms = lifetime_ms,
                                          .skew_ms = SKEW_MS };
    struct signed_certificate made = { 0 };
    CHECK_OK(authority_sign(authority, &scratch, &request, &made, &diag));
    return made;
}

static struct authority *
authority_of(const struct authority_texts *texts)
{
    struct authority *authority = NULL;
    if (authority_new(texts, &authority, &diag) != OK)
        fprintf(stderr, "  %.*s\n", SLICE_ARG(diag.message));
    REQUIRE(authority != NULL);
    return authority;
}

static void
check_workload(EVP_PKEY *key, unsigned usage)
{
    start_clean();
    struct authority_texts texts = generated();
    struct authority *authority = authority_of(&texts);
    struct signed_certificate made = sign(authority, key, DAY_MS);
    X509 *all[8];
    size_t count = 0;
    REQUIRE(certificates_read(made.chain, all, 8, &count));
    CHECK_EQ_INT(count, 2); /* the root is not sent along */
    CHECK_EQ_INT(X509_NAME_entry_count(X509_get_subject_name(all[0])), 0);
    CHECK_SLICE_IS(extensions(all[0]),
                   "!keyUsage extendedKeyUsage authorityKeyIdentifier !subjectAltName ");
    CHECK_EQ_INT(X509_get_key_usage(all[0]), usage);
    CHECK_EQ_INT(X509_get_extended_key_usage(all[0]), XKU_SSL_SERVER | XKU_SSL_CLIENT);
    CHECK_EQ_INT(lifetime_s(all[0]), 87300);
    CHECK_EQ_INT(EVP_PKEY_eq(X509_get0_pubkey(all[0]), key), 1);
    CHECK_EQ_INT(X509_verify(all[0], X509_get0_pubkey(all[1])), 1);
    CHECK_EQ_INT(made.not_after_s, certificate_not_after_s(all[0]));
    GENERAL_NAMES *names = X509_get_ext_d2i(all[0], NID_subject_alt_name, NULL, NULL);
    CHECK_EQ_INT(sk_GENERAL_NAME_num(names), 1);
    const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, 0);
    CHECK_EQ_INT(name->type, GEN_URI);
    CHECK_SLICE_IS(slice_of(ASN1_STRING_get0_data(name->d.uniformResourceIdentifier),
                            (size_t)ASN1_STRING_length(name->d.uniformResourceIdentifier)),
                   "spiffe://public/ns/default/shop");
    GENERAL_NAMES_free(names);
    certificates_free(all, count);
    authority_unref(authority);
    EVP_PKEY_free(key);
}

TEST(a_workload_gets_a_certificate_of_the_recorded_form_whatever_its_key)
{
    check_workload(key_generate(), KU_DIGITAL_SIGNATURE);
    check_workload(EVP_EC_gen("P-256"), KU_DIGITAL_SIGNATURE);
    check_workload(EVP_EC_gen("P-521"), KU_DIGITAL_SIGNATURE);
    check_workload(key_generate_rsa(), KU_DIGITAL_SIGNATURE | KU_KEY_ENCIPHERMENT);
}

TEST(two_certificates_have_two_serials)
{
    start_clean();
    struct authority_texts texts = generated();
    struct authority *authority = authority_of(&texts);
    EVP_PKEY *key = key_generate();
    X509 *a = first_certificate(sign(authority, key, DAY_MS).chain);
    X509 *b = first_certificate(sign(authority, key, DAY_MS).chain);
    CHECK(ASN1_INTEGER_cmp(X509_get0_serialNumber(a), X509_get0_serialNumber(b)) != 0);
    CHECK(ASN1_STRING_length(X509_get0_serialNumber(a)) >= 12);
    X509_free(a);
    X509_free(b);
    EVP_PKEY_free(key);
    authority_unref(authority);
}

TEST(a_certificate_does_not_outlive_its_issuer)
{
    start_clean();
    struct authority_texts texts = generated();
    struct authority *authority = authority_of(&texts);
    EVP_PKEY *key = key_generate();
    struct signed_certificate made = sign(authority, key, 400LL * DAY_MS);
    CHECK_EQ_INT(made.not_after_s, authority_not_after_s(authority));
    clock_fake(0, (authority_not_after_s(authority) + 1) * 1000);
    const struct sign_request request = { .public_key = key,
                                          .spiffe_id = SLICE("spiffe://public/ns/default/shop"),
                                          .lifetime_ms = DAY_MS };
    CHECK_EQ_INT(authority_sign(authority, &scratch, &request, &made, &diag), ERR_INTERNAL);
    CHECK_SLICE_IS(diag.message, "the issuer certificate has expired");
    clock_use_real();
    EVP_PKEY_free(key);
    authority_unref(authority);
}

/* A root of a life of its own over the same issuer. */
TEST(nothing_outlives_the_root_either)
{
    start_clean();
    EVP_PKEY *root_key = key_generate(), *key = key_generate();
    const int64_t now_s = clock_unix_ms() / 1000;
    struct certificate_form form = { .kind = CERTIFICATE_ROOT,
                                     .organization = SLICE("short"),
                                     .not_before_s = now_s - 60,
                                     .not_after_s = now_s + 600,
                                     .public_key = root_key,
                                     .issuer_key = root_key };
    X509 *root = certificate_make(&form);
    form.kind = CERTIFICATE_ISSUER;
    form.organization = SLICE("below");
    form.not_after_s = now_s + 6000;
    form.public_key = key;
    form.issuer = root;
    X509 *issuer = certificate_make(&form);
    REQUIRE(root != NULL && issuer != NULL);
    struct authority *authority = authority_of(
        &(struct authority_texts){ certificates_write(&scratch, &root, 1),
                                   certificates_write(&scratch, &issuer, 1), key_pem(key) });
    CHECK_EQ_INT(authority_not_after_s(authority), now_s + 600);
    CHECK_EQ_INT(sign(authority, key, DAY_MS).not_after_s, now_s + 600);
    authority_unref(authority);
    X509_free(root);
    X509_free(issuer);
    EVP_PKEY_free(root_key);
    EVP_PKEY_free(key);
}

static void
refused(struct authority_texts texts, const char *words)
{
    struct authority *authority = NULL;
    CHECK_EQ_INT(authority_new(&texts, &authority, &diag), ERR_CONFIG);
    CHECK_SLICE_IS(slice_first(diag.message, strlen(words)), words);
}

TEST(texts_that_do_not_fit_together_are_refused)
{
    start_clean();
    struct authority_texts a = generated(), b = generated();
    refused((struct authority_texts){ a.anchors, b.chain, b.key },
            "issuer chain does not belong to trust anchors: ");
    refused((struct authority_texts){ a.anchors, a.chain, b.key },
            "issuer key does not match issuer certificate");
    refused((struct authority_texts){ a.chain, a.chain, a.key },
            "certificate in trust anchor is not self-signed");
    refused((struct authority_texts){ SLICE(""), a.chain, a.key },
            "failed to decode trust anchors");
    refused((struct authority_texts){ a.anchors, SLICE("x"), a.key },
            "failed to decode the issuer certificate");
    refused((struct authority_texts){ a.anchors, a.chain, SLICE("x") },
            "failed to decode the issuer key");
    struct slice broken = arena_printf(&scratch,
                                       SLICE_FMT "-----BEGIN CERTIFICATE-----\nAAAA\n"
                                                 "-----END CERTIFICATE-----\n",
                                       SLICE_ARG(a.anchors));
    refused((struct authority_texts){ broken, a.chain, a.key }, "failed to decode trust anchors");
}

TEST(a_leaf_cannot_be_an_issuer)
{
    start_clean();
    struct authority_texts texts = generated();
    struct authority *authority = authority_of(&texts);
    EVP_PKEY *key = key_generate();
    struct slice chain = sign(authority, key, DAY_MS).chain;
    refused((struct authority_texts){ texts.anchors, chain, key_pem(key) },
            "intermediate certificate is not valid for signing");
    EVP_PKEY_free(key);
    authority_unref(authority);
}

TEST(an_issuer_out_of_date_is_refused)
{
    start_clean();
    struct authority_texts texts = generated();
    clock_fake(0, clock_unix_ms() + 366LL * DAY_MS);
    refused(texts, "issuer chain does not belong to trust anchors: certificate has expired");
    clock_use_real();
}

TEST(a_bundle_of_several_roots_is_handed_out_whole_and_without_comments)
{
    start_clean();
    struct authority_texts a = generated(), b = generated();
    struct slice both = arena_printf(&scratch, "# old\n" SLICE_FMT "# new\n" SLICE_FMT,
                                     SLICE_ARG(b.anchors), SLICE_ARG(a.anchors));
    struct authority *authority = authority_of(&(struct authority_texts){ both, a.chain, a.key });
    struct slice want = arena_printf(&scratch, SLICE_FMT SLICE_FMT, SLICE_ARG(b.anchors),
                                     SLICE_ARG(a.anchors));
    CHECK_EQ_SLICE(authority_anchors(authority), want);
    authority_unref(authority);
}

TEST(a_root_behind_the_issuer_is_left_out_of_the_chain)
{
    start_clean();
    struct authority_texts texts = generated();
    texts.chain = arena_printf(&scratch, SLICE_FMT SLICE_FMT, SLICE_ARG(texts.chain),
                               SLICE_ARG(texts.anchors));
    struct authority *authority = authority_of(&texts);
    EVP_PKEY *key = key_generate();
    X509 *all[8];
    size_t count = 0;
    REQUIRE(certificates_read(sign(authority, key, DAY_MS).chain, all, 8, &count));
    CHECK_EQ_INT(count, 2);
    certificates_free(all, count);
    EVP_PKEY_free(key);
    authority_unref(authority);
}

/* A root that is its own issuer, of any kind of key: what people bring along. */
static void
check_given(EVP_PKEY *key, int signature_nid)
{
    start_clean();
    const struct certificate_form form = {
        .kind = CERTIFICATE_ROOT,
        .organization = SLICE("given"),
        .not_before_s = clock_unix_ms() / 1000 - 60,
        .not_after_s = clock_unix_ms() / 1000 + 3600,
        .public_key = key,
        .issuer_key = key,
    };
    X509 *root = certificate_make(&form);
    REQUIRE(root != NULL);
    struct slice pem = certificates_write(&scratch, &root, 1);
    struct authority *authority = authority_of(&(struct authority_texts){ pem, pem, key_pem(key) });
    EVP_PKEY *own = key_generate();
    X509 *leaf = first_certificate(sign(authority, own, 60000).chain);
    CHECK_EQ_INT(X509_get_signature_nid(leaf), signature_nid);
    CHECK_EQ_INT(X509_verify(leaf, key), 1);
    X509_free(leaf);
    X509_free(root);
    EVP_PKEY_free(own);
    EVP_PKEY_free(key);
    authority_unref(authority);
}

TEST(given_credentials_of_other_kinds_are_used)
{
    check_given(EVP_EC_gen("P-256"), NID_ecdsa_with_SHA256);
    check_given(EVP_EC_gen("P-384"), NID_ecdsa_with_SHA384);
    check_given(EVP_EC_gen("P-521"), NID_ecdsa_with_SHA512);
    check_given(key_generate_rsa(), NID_sha256WithRSAEncryption);
}
