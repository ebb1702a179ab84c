/* SPDX-License-Identifier: Apache-2.0 */
/* Ids as text, ids in certificates, and whom a chain of certificates makes believable. */
#include "http/spiffe.h"

#include <openssl/err.h>
#include <openssl/x509.h>
#include <time.h>

#include "unit/http/authority.h"

#define SHOP "spiffe://public/ns/default/shop"

/* --- text --------------------------------------------------------------------------------------*/

TEST(an_id_is_a_trust_domain_and_a_path)
{
    struct spiffe_id id;
    REQUIRE(spiffe_parse(SLICE(SHOP), &id));
    CHECK_SLICE_IS(id.text, SHOP);
    CHECK_SLICE_IS(id.trust_domain, "public");
    CHECK_SLICE_IS(id.path, "/ns/default/shop");
    REQUIRE(spiffe_parse(SLICE("spiffe://a.b-c_9"), &id));
    CHECK_SLICE_IS(id.trust_domain, "a.b-c_9");
    CHECK_EQ_U64(id.path.len, 0);
    CHECK(spiffe_parse(SLICE("spiffe://d/Aa0.-_/..."), &id));
}

TEST(what_could_be_read_in_two_ways_is_no_id)
{
    static const char *const texts[] = {
        "",
        "spiffe:",
        "spiffe://",
        "spiffe:///ns/a/b",
        "SPIFFE://d/a",
        "Spiffe://d/a",
        "spiffe:/d/a",
        "https://d/a",
        " spiffe://d/a",
        "spiffe://d/a ",
        "spiffe://D/a",
        "spiffe://d:1/a",
        "spiffe://u@d/a",
        "spiffe://[::1]/a",
        "spiffe://d\xc3\xa9/a",
        "spiffe://d/",
        "spiffe://d//a",
        "spiffe://d/a/",
        "spiffe://d/a//b",
        "spiffe://d/./a",
        "spiffe://d/../a",
        "spiffe://d/a/..",
        "spiffe://d/a%2fb",
        "spiffe://d/a?b",
        "spiffe://d/a#b",
        "spiffe://d/a;b",
        "spiffe://d/a\\b",
        "spiffe://d?a",
        "spiffe://d#a",
        "spiffe://d/a\nb",
        "spiffe://d/\xef\xbc\x8f",
        "spiffe://d/*",
        "spiffe://d/a b",
        "spiffe://%64/a",
    };
    struct spiffe_id id;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        if (!CHECK(!spiffe_parse(slice_str(texts[i]), &id)))
            fprintf(stderr, "  %s\n", texts[i]);
    CHECK(!spiffe_parse(slice_of("spiffe://d/a\0b", 14), &id));
}

TEST(ids_have_the_lengths_of_the_standard)
{
    char text[LIMIT_spiffe_id_bytes + 2];
    struct spiffe_id id;
    memset(text, 'a', sizeof text);
    memcpy(text, "spiffe://d/", 11);
    CHECK(spiffe_parse(slice_of(text, LIMIT_spiffe_id_bytes), &id));
    CHECK(!spiffe_parse(slice_of(text, LIMIT_spiffe_id_bytes + 1), &id));
    memset(text, 'a', sizeof text);
    CHECK(spiffe_trust_domain_is_valid(slice_of(text, LIMIT_spiffe_trust_domain_bytes)));
    CHECK(!spiffe_trust_domain_is_valid(slice_of(text, LIMIT_spiffe_trust_domain_bytes + 1)));
    CHECK(!spiffe_trust_domain_is_valid(SLICE_EMPTY));
}

TEST(an_application_is_a_namespace_and_a_name)
{
    static const char *const others[] = {
        "spiffe://public",
        "spiffe://public/ns",
        "spiffe://public/ns/default",
        "spiffe://public/ns/default/shop/more",
        "spiffe://public/NS/default/shop",
        "spiffe://public/sa/default/shop",
    };
    struct spiffe_app app;
    REQUIRE(spiffe_app_of(SLICE("spiffe://public/ns/prod/shop"), &app));
    CHECK_SLICE_IS(app.trust_domain, "public");
    CHECK_SLICE_IS(app.namespace_, "prod");
    CHECK_SLICE_IS(app.app_id, "shop");
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        CHECK(!spiffe_app_of(slice_str(others[i]), &app));
}

/* --- certificates ------------------------------------------------------------------------------*/

/* NULL: it carries that id. */
static void
check_leaf(const struct leaf *leaf, const char *complaint)
{
    struct authority authority;
    authority_open(&authority, KEY_ED25519, "root");
    EVP_PKEY *key = key_new(KEY_ED25519);
    X509 *cert = certify(&authority, leaf, key);
    char *id = NULL;
    const char *why = spiffe_of_certificate(cert, &id);
    if (complaint == NULL && CHECK(why == NULL))
        CHECK_EQ_STR(id, SHOP);
    else if (complaint != NULL && CHECK(why != NULL) && CHECK(id == NULL))
        CHECK(slice_find(slice_str(why), slice_str(complaint)) >= 0);
    free(id);
    X509_free(cert);
    EVP_PKEY_free(key);
    authority_close(&authority);
}

TEST(a_certificate_carries_exactly_one_id)
{
    check_leaf(&(struct leaf){ .names = "URI:" SHOP }, NULL);
    check_leaf(&(struct leaf){ .names = "critical,DNS:shop.test,URI:" SHOP ",IP:10.0.0.1" }, NULL);
    check_leaf(&(struct leaf){ .names = NULL }, "no URI SAN");
    check_leaf(&(struct leaf){ .names = "DNS:shop.test" }, "no URI SAN");
    check_leaf(&(struct leaf){ .names = "URI:" SHOP ",URI:spiffe://public/ns/default/bank" },
               "more than one URI SAN");
    check_leaf(&(struct leaf){ .names = "URI:" SHOP ",URI:" SHOP }, "more than one URI SAN");
    check_leaf(&(struct leaf){ .names = "URI:https://shop.test/" }, "no SPIFFE ID");
    check_leaf(&(struct leaf){ .names = "URI:" SHOP "/../bank" }, "no SPIFFE ID");
}

TEST(what_may_sign_for_others_is_nobodys_identity)
{
    check_leaf(&(struct leaf){ .names = "URI:" SHOP, .is_authority = true }, "CA flag");
    check_leaf(
        &(struct leaf){ .names = "URI:" SHOP, .usage = "critical,digitalSignature,keyCertSign" },
        "KeyCertSign");
    check_leaf(&(struct leaf){ .names = "URI:" SHOP, .usage = "critical,digitalSignature,cRLSign" },
               "CRLSign");
}

/* Two extensions of one kind: whoever reads the first sees another id than whoever reads the last.
 */
TEST(a_certificate_with_alternative_names_twice_is_refused)
{
    struct authority authority;
    authority_open(&authority, KEY_ED25519, "root");
    EVP_PKEY *key = key_new(KEY_ED25519);
    X509 *cert = certify(&authority, &(struct leaf){ .names = "URI:" SHOP }, key);
    extend(cert, authority.issuer, NID_subject_alt_name, "URI:spiffe://public/ns/default/bank");
    sign_with(cert, authority.issuer_key);
    char *id = NULL;
    CHECK(spiffe_of_certificate(cert, &id) != NULL);
    CHECK(id == NULL);
    X509_free(cert);
    EVP_PKEY_free(key);
    authority_close(&authority);
}

/* --- trust -------------------------------------------------------------------------------------*/

static int
verify(const struct authority *signer, const struct leaf *leaf, const char *anchors,
       enum spiffe_side side)
{
    struct workload workload;
    workload_make(&workload, signer, leaf);
    STACK_OF(X509) *chain = spiffe_read_pem(slice_str(workload.chain));
    STACK_OF(X509) *trusted = spiffe_read_pem(slice_str(anchors));
    REQUIRE(chain != NULL && trusted != NULL);
    int code = spiffe_verify(sk_X509_value(chain, 0), chain, trusted, side, SPIFFE_NOW);
    spiffe_free(chain);
    spiffe_free(trusted);
    workload_free(&workload);
    return code;
}

TEST(an_authority_that_is_trusted_answers_for_its_certificates)
{
    for (int kind = 0; kind < KEY_KINDS; kind++) {
        struct authority ours, other;
        const struct leaf leaf = { .names = "URI:" SHOP, .kind = (enum key_kind)kind };
        authority_open(&ours, (enum key_kind)kind, "root");
        authority_open(&other, (enum key_kind)kind, "other");
        CHECK_EQ_INT(verify(&ours, &leaf, ours.anchors, SPIFFE_SERVER), X509_V_OK);
        CHECK_EQ_INT(verify(&ours, &leaf, ours.anchors, SPIFFE_CLIENT), X509_V_OK);
        CHECK_EQ_INT(verify(&other, &leaf, ours.anchors, SPIFFE_SERVER),
                     X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY);
        authority_close(&ours);
        authority_close(&other);
    }
    CHECK_EQ_U64(ERR_peek_error(), 0);
}

TEST(times_and_purposes_of_a_certificate_count)
{
    struct authority ours;
    authority_open(&ours, KEY_ED25519, "root");
    CHECK_EQ_INT(verify(&ours, &(struct leaf){ .names = "URI:" SHOP, .ends_s = -5 }, ours.anchors,
                        SPIFFE_SERVER),
                 X509_V_ERR_CERT_HAS_EXPIRED);
    CHECK_EQ_INT(verify(&ours, &(struct leaf){ .names = "URI:" SHOP, .starts_s = 60 }, ours.anchors,
                        SPIFFE_SERVER),
                 X509_V_ERR_CERT_NOT_YET_VALID);
    const struct leaf server = { .names = "URI:" SHOP, .purpose = "serverAuth" };
    CHECK_EQ_INT(verify(&ours, &server, ours.anchors, SPIFFE_SERVER), X509_V_OK);
    CHECK_EQ_INT(verify(&ours, &server, ours.anchors, SPIFFE_CLIENT), X509_V_ERR_INVALID_PURPOSE);
    const struct leaf any = { .names = "URI:" SHOP, .purpose = "" };
    CHECK_EQ_INT(verify(&ours, &any, ours.anchors, SPIFFE_CLIENT), X509_V_OK);
    CHECK(verify(&ours, &(struct leaf){ .names = "URI:" SHOP, .is_bare = true }, ours.anchors,
                 SPIFFE_SERVER) != X509_V_OK);
    authority_close(&ours);
}

/* OpenSSL by itself takes the first anchor of the right name and looks no further. */
TEST(anchors_of_one_name_are_all_trusted)
{
    struct authority old, new, foreign;
    static char both[4096];
    const struct leaf leaf = { .names = "URI:" SHOP };
    authority_open(&old, KEY_ED25519, "localhost");
    authority_open(&new, KEY_ED25519, "localhost");
    authority_open(&foreign, KEY_ED25519, "localhost");
    for (int turn = 0; turn < 2; turn++) {
        (void)snprintf(both, sizeof both, "%s%s", turn == 0 ? old.anchors : new.anchors,
                       turn == 0 ? new.anchors : old.anchors);
        CHECK_EQ_INT(verify(&old, &leaf, both, SPIFFE_SERVER), X509_V_OK);
        CHECK_EQ_INT(verify(&new, &leaf, both, SPIFFE_SERVER), X509_V_OK);
        CHECK(verify(&foreign, &leaf, both, SPIFFE_SERVER) != X509_V_OK);
    }
    CHECK(verify(&old, &leaf, new.anchors, SPIFFE_SERVER) != X509_V_OK);
    authority_close(&old);
    authority_close(&new);
    authority_close(&foreign);
}

/* A bundle may hold an issuer without the root above it. */
TEST(an_anchor_need_not_be_a_root)
{
    struct authority ours;
    authority_open(&ours, KEY_ECDSA, "root");
    char *issuer = add_pem(NULL, ours.issuer);
    CHECK_EQ_INT(verify(&ours, &(struct leaf){ .names = "URI:" SHOP }, issuer, SPIFFE_SERVER),
                 X509_V_OK);
    free(issuer);
    authority_close(&ours);
}

/* --- PEM ---------------------------------------------------------------------------------------*/

TEST(a_text_of_certificates_is_read_whole_or_not_at_all)
{
    struct authority ours;
    authority_open(&ours, KEY_ED25519, "root");
    STACK_OF(X509) *certs = spiffe_read_pem(slice_str(ours.anchors));
    REQUIRE(certs != NULL);
    CHECK_EQ_INT(sk_X509_num(certs), 1);
    spiffe_free(certs);
    CHECK(spiffe_read_pem(SLICE_EMPTY) == NULL);
    CHECK(spiffe_read_pem(SLICE("nothing of the kind")) == NULL);
    CHECK(spiffe_read_pem(slice_first(slice_str(ours.anchors), strlen(ours.anchors) - 40)) == NULL);
    char *text = add_pem(NULL, ours.root);
    text[strlen(text) - 40] = '!';
    CHECK(spiffe_read_pem(slice_str(text)) == NULL);
    free(text);
    text = NULL;
    for (int i = 0; i < LIMIT_spiffe_certificates_max; i++)
        text = add_pem(text, ours.root);
    certs = spiffe_read_pem(slice_str(text));
    CHECK(certs != NULL);
    spiffe_free(certs);
    text = add_pem(text, ours.root);
    CHECK(spiffe_read_pem(slice_str(text)) == NULL);
    free(text);
    authority_close(&ours);
    CHECK_EQ_U64(ERR_peek_error(), 0);
}
