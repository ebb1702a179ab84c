/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An authority of the test's own: a root, an issuer below it, and certificates of workloads, right
 * or wrong in the way that a test wants.
 */
#ifndef AUTHORITY_H
#define AUTHORITY_H

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "base/slice.h"
#include "test.h"

enum key_kind { KEY_ED25519, KEY_ECDSA, KEY_RSA, KEY_KINDS };

/* What a workload's certificate is to say. */
struct leaf {
    const char *names; /* as OpenSSL's configuration has them: "URI:spiffe://…,DNS:…" */
    long starts_s;     /* from now; 0: an hour ago */
    long ends_s;       /* from now; 0: in an hour */
    bool is_authority;
    const char *usage;   /* NULL: digitalSignature */
    const char *purpose; /* NULL: serverAuth,clientAuth; "": none is said */
    enum key_kind kind;
    bool is_bare; /* the issuer is not in the chain */
};

struct authority {
    EVP_PKEY *root_key, *issuer_key;
    X509 *root, *issuer;
    char *anchors; /* PEM of the root; owned */
};

struct workload {
    char *chain, *key; /* PEM; owned */
};

static inline EVP_PKEY *
key_new(enum key_kind kind)
{
    EVP_PKEY *key = kind == KEY_ED25519 ? EVP_PKEY_Q_keygen(NULL, NULL, "ED25519")
                    : kind == KEY_ECDSA ? EVP_EC_gen("P-256")
                                        : EVP_RSA_gen(2048);
    REQUIRE(key != NULL);
    return key;
}

static inline void
extend(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    REQUIRE(extension != NULL);
    REQUIRE(X509_add_ext(cert, extension, -1) == 1);
    X509_EXTENSION_free(extension);
}

/* With neither extensions nor a signature yet. */
static inline X509 *
cert_new(EVP_PKEY *key, const char *subject, const X509_NAME *issuer, long starts_s, long ends_s)
{
    static long serial = 1000;
    X509 *cert = X509_new();
    REQUIRE(cert != NULL);
    (void)X509_set_version(cert, 2);
    (void)ASN1_INTEGER_set(X509_get_serialNumber(cert), ++serial);
    (void)X509_gmtime_adj(X509_getm_notBefore(cert), starts_s == 0 ? -3600 : starts_s);
    (void)X509_gmtime_adj(X509_getm_notAfter(cert), ends_s == 0 ? 3600 : ends_s);
    (void)X509_set_pubkey(cert, key);
    if (subject != NULL)
        (void)X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "O", MBSTRING_ASC,
                                         (const unsigned char *)subject, -1, -1, 0);
    (void)X509_set_issuer_name(cert, issuer != NULL ? issuer : X509_get_subject_name(cert));
    return cert;
}

static inline void
sign_with(X509 *cert, EVP_PKEY *key)
{
    bool is_pure = EVP_PKEY_is_a(key, "ED25519") == 1;
    REQUIRE(X509_sign(cert, key, is_pure ? NULL : EVP_sha256()) > 0);
}

/* What a memory BIO holds, behind `text`, which is NULL or grows. */
static inline char *
text_of(char *text, BIO *bio)
{
    char *bytes;
    size_t old = text == NULL ? 0 : strlen(text);
    size_t len = (size_t)BIO_get_mem_data(bio, &bytes);
    text = realloc(text, old + len + 1);
    REQUIRE(text != NULL);
    memcpy(text + old, bytes, len);
    text[old + len] = '\0';
    BIO_free(bio);
    return text;
}

static inline char *
add_pem(char *text, X509 *cert)
{
    BIO *bio = BIO_new(BIO_s_mem());
    REQUIRE(PEM_write_bio_X509(bio, cert) == 1);
    return text_of(text, bio);
}

/* Two of one name differ in their keys alone, as those of a bundle under rotation do: neither names
 * the key of its issuer. */
static inline void
authority_open(struct authority *authority, enum key_kind kind, const char *name)
{
    *authority = (struct authority){ .root_key = key_new(kind), .issuer_key = key_new(kind) };
    authority->root = cert_new(authority->root_key, name, NULL, 0, 0);
    extend(authority->root, authority->root, NID_basic_constraints, "critical,CA:TRUE");
    extend(authority->root, authority->root, NID_key_usage, "critical,keyCertSign");
    sign_with(authority->root, authority->root_key);
    authority->issuer = cert_new(authority->issuer_key, "issuer",
                                 X509_get_subject_name(authority->root), 0, 0);
    extend(authority->issuer, authority->root, NID_basic_constraints, "critical,CA:TRUE");
    extend(authority->issuer, authority->root, NID_key_usage, "critical,keyCertSign,cRLSign");
    sign_with(authority->issuer, authority->root_key);
    authority->anchors = add_pem(NULL, authority->root);
}

static inline void
authority_close(struct authority *authority)
{
    free(authority->anchors);
    X509_free(authority->root);
    X509_free(authority->issuer);
    EVP_PKEY_free(authority->root_key);
    EVP_PKEY_free(authority->issuer_key);
}

static inline X509 *
certify(const struct authority *authority, const struct leaf *leaf, EVP_PKEY *key)
{
    X509 *cert = cert_new(key, NULL, X509_get_subject_name(authority->issuer), leaf->starts_s,
                          leaf->ends_s);
    extend(cert, authority->issuer, NID_basic_constraints,
           leaf->is_authority ? "critical,CA:TRUE" : "critical,CA:FALSE");
    extend(cert, authority->issuer, NID_key_usage,
           leaf->usage == NULL ? "critical,digitalSignature" : leaf->usage);
    if (leaf->purpose == NULL || leaf->purpose[0] != '\0')
        extend(cert, authority->issuer, NID_ext_key_usage,
               leaf->purpose == NULL ? "serverAuth,clientAuth" : leaf->purpose);
    if (leaf->names != NULL)
        extend(cert, authority->issuer, NID_subject_alt_name, leaf->names);
    sign_with(cert, authority->issuer_key);
    return cert;
}

static inline void
workload_make(struct workload *workload, const struct authority *authority, const struct leaf *leaf)
{
    EVP_PKEY *key = key_new(leaf->kind);
    X509 *cert = certify(authority, leaf, key);
    *workload = (struct workload){ .chain = add_pem(NULL, cert) };
    if (!leaf->is_bare)
        workload->chain = add_pem(workload->chain, authority->issuer);
    BIO *bio = BIO_new(BIO_s_mem());
    REQUIRE(PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1);
    workload->key = text_of(NULL, bio);
    X509_free(cert);
    EVP_PKEY_free(key);
}

static inline void
workload_free(struct workload *workload)
{
    free(workload->chain);
    free(workload->key);
}

#endif
