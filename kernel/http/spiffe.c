/* SPDX-License-Identifier: Apache-2.0 */
/* SPIFFE ids and the certificates that carry them, by OpenSSL; see spiffe.h. */
#include "http/spiffe.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "http/pem.h"

enum { CHAIN_DEPTH_MAX = 8, SECURITY_LEVEL = 2 };

/* --- text --------------------------------------------------------------------------------------*/

static bool
is_segment_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_';
}

static bool
is_segment(struct slice text)
{
    if (text.len == 0 || slice_eq(text, SLICE(".")) || slice_eq(text, SLICE("..")))
        return false;
    for (size_t i = 0; i < text.len; i++)
        if (!is_segment_byte(text.data[i]))
            return false;
    return true;
}

bool
spiffe_trust_domain_is_valid(struct slice text)
{
    if (text.len == 0 || text.len > LIMIT_spiffe_trust_domain_bytes)
        return false;
    for (size_t i = 0; i < text.len; i++)
        if (!is_segment_byte(text.data[i]) || (text.data[i] >= 'A' && text.data[i] <= 'Z'))
            return false;
    return true;
}

bool
spiffe_parse(struct slice text, struct spiffe_id *ret_id)
{
    const struct slice scheme = SLICE("spiffe://");
    if (text.len > LIMIT_spiffe_id_bytes || !slice_has_prefix(text, scheme))
        return false;
    struct slice rest = slice_from(text, scheme.len), part;
    ptrdiff_t slash = slice_find_byte(rest, '/');
    struct slice domain = slash < 0 ? rest : slice_first(rest, (size_t)slash);
    struct slice path = slice_from(rest, domain.len);
    if (!spiffe_trust_domain_is_valid(domain))
        return false;
    if (path.len > 0)
        for (rest = slice_from(path, 1); slice_split(&rest, '/', &part);)
            if (!is_segment(part))
                return false;
    if (path.len == 1)
        return false;
    *ret_id = (struct spiffe_id){ .text = text, .trust_domain = domain, .path = path };
    return true;
}

bool
spiffe_app_of(struct slice text, struct spiffe_app *ret_app)
{
    struct spiffe_id id;
    struct slice ns, namespace_, app_id, beyond;
    if (!spiffe_parse(text, &id) || id.path.len == 0)
        return false;
    struct slice rest = slice_from(id.path, 1);
    if (!slice_split(&rest, '/', &ns) || !slice_eq(ns, SLICE("ns")) ||
        !slice_split(&rest, '/', &namespace_) || !slice_split(&rest, '/', &app_id) ||
        slice_split(&rest, '/', &beyond))
        return false;
    *ret_app = (struct spiffe_app){ .trust_domain = id.trust_domain,
                                    .namespace_ = namespace_,
                                    .app_id = app_id };
    return true;
}

/* --- certificates ------------------------------------------------------------------------------*/

static const char *
only_uri(const GENERAL_NAMES *names, struct slice *ret_uri)
{
    size_t count = 0;
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type != GEN_URI)
            continue;
        const ASN1_IA5STRING *uri = name->d.uniformResourceIdentifier;
        *ret_uri = slice_of((const char *)ASN1_STRING_get0_data(uri),
                            (size_t)ASN1_STRING_length(uri));
        count++;
    }
    return count == 1  ? NULL
           : count > 1 ? "certificate contains more than one URI SAN"
                       : "certificate contains no URI SAN";
}

/* An authority speaks for others: what it signs is no proof of who is at the other end. */
static const char *
check_leaf(X509 *leaf)
{
    uint32_t flags = X509_get_extension_flags(leaf), usage = X509_get_key_usage(leaf);
    if ((flags & EXFLAG_INVALID) != 0)
        return "certificate has extensions that cannot be read";
    if ((flags & EXFLAG_CA) != 0)
        return "leaf certificate with CA flag set to true";
    if ((flags & EXFLAG_KUSAGE) != 0 && (usage & (KU_KEY_CERT_SIGN | KU_CRL_SIGN)) != 0)
        return "leaf certificate with KeyCertSign or CRLSign key usage";
    return NULL;
}

const char *
spiffe_of_certificate(struct x509_st *leaf, char **ret_id)
{
    struct slice uri = SLICE_EMPTY;
    struct spiffe_id id;
    int critical;
    const char *why = check_leaf(leaf);
    GENERAL_NAMES *names = X509_get_ext_d2i(leaf, NID_subject_alt_name, &critical, NULL);
    if (why == NULL && names == NULL)
        why = critical == -1 ? "certificate contains no URI SAN"
                             : "alternative names of the certificate cannot be read";
    if (why == NULL)
        why = only_uri(names, &uri);
    if (why == NULL && !spiffe_parse(uri, &id))
        why = "the URI SAN of the certificate is no SPIFFE ID";
    if (why == NULL)
        *ret_id = slice_copy(uri); /* no NUL is in it: spiffe_parse() has none */
    GENERAL_NAMES_free(names);
    ERR_clear_error();
    return why;
}

/* The chain must end in this anchor. */
static int
verify_with(X509 *leaf, STACK_OF(X509) * others, X509 *anchor, enum spiffe_side side,
            enum spiffe_time time)
{
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    STACK_OF(X509) *trusted = sk_X509_new_null();
    if (ctx == NULL || trusted == NULL || sk_X509_push(trusted, anchor) <= 0 ||
        X509_STORE_CTX_init(ctx, NULL, leaf, others) != 1)
        abort(); /* out of memory */
    X509_STORE_CTX_set0_trusted_stack(ctx, trusted);
    (void)X509_STORE_CTX_set_purpose(ctx, side == SPIFFE_SERVER ? X509_PURPOSE_SSL_SERVER
                                                                : X509_PURPOSE_SSL_CLIENT);
    X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(ctx);
    X509_VERIFY_PARAM_set_depth(param, CHAIN_DEPTH_MAX);
    X509_VERIFY_PARAM_set_auth_level(param, SECURITY_LEVEL);
    /* Whoever is listed is trusted, also if another authority stands above it. */
    (void)X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_PARTIAL_CHAIN);
    if (time == SPIFFE_ANY_TIME)
        (void)X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_NO_CHECK_TIME);
    int result = X509_verify_cert(ctx) == 1 ? X509_V_OK : X509_STORE_CTX_get_error(ctx);
    if (result == X509_V_OK && X509_STORE_CTX_get_error(ctx) != X509_V_OK)
        result = X509_STORE_CTX_get_error(ctx);
    X509_STORE_CTX_free(ctx);
    sk_X509_free(trusted);
    ERR_clear_error();
    /* An authority of that name with another key is another authority. */
    return result == X509_V_ERR_CERT_SIGNATURE_FAILURE
               ? X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY
               : result;
}

/* That nobody knows the issuer says little where another anchor got further. */
static bool
says_more(int code, int than)
{
    bool is_little = than == X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY ||
                     than == X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT ||
                     than == X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE ||
                     than == X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN ||
                     than == X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT;
    return is_little && code != than;
}

int
spiffe_verify(struct x509_st *leaf, struct stack_st_X509 *others,
              const struct stack_st_X509 *anchors, enum spiffe_side side, enum spiffe_time time)
{
    int result = X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY;
    for (int i = 0; i < sk_X509_num(anchors); i++) {
        int code = verify_with(leaf, others, sk_X509_value(anchors, i), side, time);
        if (code == X509_V_OK)
            return X509_V_OK;
        if (i == 0 || says_more(code, result))
            result = code;
    }
    return result;
}

struct stack_st_X509 *
spiffe_read_pem(struct slice pem)
{
    if (pem.len == 0 || pem.len > LIMIT_spiffe_pem_bytes)
        return NULL;
    BIO *bio = BIO_new_mem_buf(pem.data, (int)pem.len);
    STACK_OF(X509) *certs = sk_X509_new_null();
    if (bio == NULL || certs == NULL)
        abort();
    X509 *cert;
    bool is_good = true;
    ERR_clear_error();
    while (is_good && (cert = PEM_read_bio_X509(bio, NULL, pem_no_password, NULL)) != NULL) {
        is_good = sk_X509_num(certs) < LIMIT_spiffe_certificates_max;
        if (!is_good)
            X509_free(cert);
        else if (sk_X509_push(certs, cert) <= 0)
            abort();
    }
    /* The end of the text is an error, and the only one that is none. */
    is_good = is_good && ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE &&
              sk_X509_num(certs) > 0;
    ERR_clear_error();
    BIO_free(bio);
    if (is_good)
        return certs;
    spiffe_free(certs);
    return NULL;
}

void
spiffe_free(struct stack_st_X509 *certificates)
{
    sk_X509_pop_free(certificates, X509_free);
}
