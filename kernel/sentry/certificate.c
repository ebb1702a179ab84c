/* SPDX-License-Identifier: Apache-2.0 */
/* See certificate.h. */
#include "sentry/certificate.h"

#include <assert.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <time.h>

#include "base/limits.h"
#include "sentry/key.h"

enum { SERIAL_BITS = 128 };

/* --- making ------------------------------------------------------------------------------------*/

static bool
set_serial(X509 *certificate)
{
    BIGNUM *number = BN_new();
    bool is_good = number != NULL &&
                   BN_rand(number, SERIAL_BITS, BN_RAND_TOP_ANY, BN_RAND_BOTTOM_ANY) == 1 &&
                   BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate)) != NULL;
    BN_free(number);
    return is_good;
}

static bool
set_times(X509 *certificate, const struct certificate_form *form)
{
    return ASN1_TIME_set(X509_getm_notBefore(certificate), form->not_before_s) != NULL &&
           ASN1_TIME_set(X509_getm_notAfter(certificate), form->not_after_s) != NULL;
}

/* A workload has no subject: the alternative name says who it is. */
static bool
set_names(X509 *certificate, const struct certificate_form *form)
{
    X509_NAME *subject = X509_get_subject_name(certificate);
    if (form->kind != CERTIFICATE_WORKLOAD &&
        X509_NAME_add_entry_by_NID(subject, NID_organizationName, MBSTRING_UTF8,
                                   (const unsigned char *)form->organization.data,
                                   (int)form->organization.len, -1, 0) != 1)
        return false;
    return X509_set_issuer_name(certificate, form->issuer == NULL
                                                 ? subject
                                                 : X509_get_subject_name(form->issuer)) == 1;
}

static bool
add_extension(X509 *certificate, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    bool is_good = extension != NULL && X509_add_ext(certificate, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    return is_good;
}

static bool
add_name(GENERAL_NAMES *names, int type, struct slice text)
{
    GENERAL_NAME *name = GENERAL_NAME_new();
    ASN1_IA5STRING *value = ASN1_IA5STRING_new();
    if (name == NULL || value == NULL || ASN1_STRING_set(value, text.data, (int)text.len) != 1) {
        GENERAL_NAME_free(name);
        ASN1_IA5STRING_free(value);
        return false;
    }
    GENERAL_NAME_set0_value(name, type, value);
    if (sk_GENERAL_NAME_push(names, name) > 0)
        return true;
    GENERAL_NAME_free(name);
    return false;
}

/* Put together from parts, not from a text that OpenSSL would take apart. */
static bool
add_alternative_names(X509 *certificate, const struct certificate_form *form)
{
    GENERAL_NAMES *names = GENERAL_NAMES_new();
    bool is_good = names != NULL;
    for (size_t i = 0; i < form->dns_name_count && is_good; i++)
        is_good = add_name(names, GEN_DNS, form->dns_names[i]);
    is_good = is_good && add_name(names, GEN_URI, form->spiffe_id) &&
              X509_add1_ext_i2d(certificate, NID_subject_alt_name, names, 1, 0) == 1;
    GENERAL_NAMES_free(names);
    return is_good;
}

static bool
add_authority_extensions(X509 *certificate, const struct certificate_form *form)
{
    const char *usage = form->kind == CERTIFICATE_ROOT
                            ? "critical,digitalSignature,keyCertSign"
                            : "critical,digitalSignature,keyCertSign,cRLSign";
    return add_extension(certificate, NULL, NID_key_usage, usage) &&
           add_extension(certificate, NULL, NID_basic_constraints, "critical,CA:TRUE") &&
           add_extension(certificate, NULL, NID_subject_key_identifier, "hash");
}

static bool
add_workload_extensions(X509 *certificate, const struct certificate_form *form)
{
    /* TLS 1.2 may have RSA keys decrypt. */
    const char *usage = EVP_PKEY_is_a(form->public_key, "RSA")
                            ? "critical,digitalSignature,keyEncipherment"
                            : "critical,digitalSignature";
    bool has_key_id = X509_get0_subject_key_id(form->issuer) != NULL;
    return add_extension(certificate, NULL, NID_key_usage, usage) &&
           add_extension(certificate, NULL, NID_ext_key_usage, "serverAuth,clientAuth") &&
           (!has_key_id || add_extension(certificate, form->issuer, NID_authority_key_identifier,
                                         "keyid:always")) &&
           add_alternative_names(certificate, form);
}

X509 *
certificate_make(const struct certificate_form *form)
{
    assert(form->kind != CERTIFICATE_WORKLOAD || form->issuer != NULL);
    X509 *certificate = X509_new();
    bool is_workload = form->kind == CERTIFICATE_WORKLOAD;
    bool is_good = certificate != NULL && X509_set_version(certificate, X509_VERSION_3) == 1 &&
                   set_serial(certificate) && set_times(certificate, form) &&
                   set_names(certificate, form) &&
                   X509_set_pubkey(certificate, form->public_key) == 1;
    if (is_good && is_workload)
        is_good = add_workload_extensions(certificate, form);
    else if (is_good)
        is_good = add_authority_extensions(certificate, form);
    if (is_good && X509_sign(certificate, form->issuer_key, key_digest(form->issuer_key)) > 0)
        return certificate;
    X509_free(certificate);
    key_clear_errors();
    return NULL;
}

/* --- text --------------------------------------------------------------------------------------*/

bool
certificates_read(struct slice pem, X509 **ret_certificates, size_t max, size_t *ret_count)
{
    const struct slice begin = SLICE("-----BEGIN CERTIFICATE-----");
    size_t count = 0;
    if (pem.len > LIMIT_sentry_file_bytes)
        return false;
    BIO *bio = BIO_new_mem_buf(pem.data, (int)pem.len);
    if (bio == NULL)
        return false;
    /* Counted, so that a broken block is not taken for the end of the text. */
    size_t announced = 0;
    for (struct slice rest = pem;; announced++) {
        ptrdiff_t at = slice_find(rest, begin);
        if (at < 0)
            break;
        rest = slice_from(rest, (size_t)at + begin.len);
    }
    bool is_good = announced > 0 && announced <= max;
    while (is_good && count < announced) {
        X509 *certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL);
        is_good = certificate != NULL;
        if (is_good)
            ret_certificates[count++] = certificate;
    }
    BIO_free(bio);
    key_clear_errors();
    if (is_good)
        *ret_count = count;
    else
        certificates_free(ret_certificates, count);
    return is_good;
}

void
certificates_free(X509 **certificates, size_t count)
{
    for (size_t i = 0; i < count; i++)
        X509_free(certificates[i]);
}

struct slice
certificates_write(struct arena *arena, X509 *const *certificates, size_t count)
{
    BIO *bio = BIO_new(BIO_s_mem());
    for (size_t i = 0; i < count; i++)
        if (bio == NULL || PEM_write_bio_X509(bio, certificates[i]) != 1)
            abort(); /* out of memory */
    char *data = NULL;
    long len = BIO_get_mem_data(bio, &data);
    struct slice text = arena_dup(arena, slice_of(data, (size_t)len));
    BIO_free(bio);
    return text;
}

/* --- times -------------------------------------------------------------------------------------*/

static int64_t
seconds_of(const ASN1_TIME *time)
{
    struct tm tm;
    return ASN1_TIME_to_tm(time, &tm) == 1 ? (int64_t)timegm(&tm) : 0; /* malformed: long ago */
}

int64_t
certificate_not_before_s(const X509 *certificate)
{
    return seconds_of(X509_get0_notBefore(certificate));
}

int64_t
certificate_not_after_s(const X509 *certificate)
{
    return seconds_of(X509_get0_notAfter(certificate));
}
