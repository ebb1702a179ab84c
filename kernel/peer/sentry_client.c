/* SPDX-License-Identifier: Apache-2.0 */
/* One request to the certificate authority; see sentry_client.h. */
#include "peer/sentry_client.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdlib.h>

#include "base/pb.h"
#include "config/file.h"
#include "dapr/proto/sentry/v1/sentry.pb-c.h"
#include "http/grpc_client.h"
#include "http/spiffe.h"
#include "http/tls.h"
#include "peer/peers.h"

#define METHOD SLICE("/dapr.proto.sentry.v1.CA/SignCertificate")
#define CLUSTER_TOKEN "/var/run/secrets/dapr.io/sentrytoken/token"
#define ACCOUNT_TOKEN "/var/run/secrets/kubernetes.io/serviceaccount/token"
#define VALIDATOR(name) DAPR__PROTO__SENTRY__V1__SIGN_CERTIFICATE_REQUEST__TOKEN_VALIDATOR__##name

enum { ANSWER_DEPTH_MAX = 4 };

/* --- key and request ---------------------------------------------------------------------------*/

void
credentials_fini(struct credentials *credentials)
{
    if (credentials->key != NULL)
        OPENSSL_cleanse(credentials->key, strlen(credentials->key));
    free(TAKE(credentials->key));
    free(TAKE(credentials->chain));
}

/* The text of a memory BIO, which is wiped and freed. */
static char *
text_of(BIO *bio)
{
    char *bytes;
    long len = BIO_get_mem_data(bio, &bytes);
    char *text = slice_copy(slice_of(bytes, (size_t)len));
    BIO_free(bio);
    return text;
}

/* Neither subject nor extensions: Sentry knows what belongs into the certificate. Both texts are
 * the caller's. False only without memory or entropy. */
static bool
make_request(char **ret_key, char **ret_request)
{
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    X509_REQ *request = X509_REQ_new();
    BIO *key_bio = BIO_new(BIO_s_mem()), *request_bio = BIO_new(BIO_s_mem());
    bool is_good = key != NULL && request != NULL && key_bio != NULL && request_bio != NULL &&
                   X509_REQ_set_version(request, X509_REQ_VERSION_1) == 1 &&
                   X509_REQ_set_pubkey(request, key) == 1 &&
                   X509_REQ_sign(request, key, NULL) > 0 &&
                   PEM_write_bio_PrivateKey(key_bio, key, NULL, NULL, 0, NULL, NULL) == 1 &&
                   PEM_write_bio_X509_REQ(request_bio, request) == 1;
    if (is_good) {
        *ret_key = text_of(TAKE(key_bio));
        *ret_request = text_of(TAKE(request_bio));
    }
    BIO_free(key_bio);
    BIO_free(request_bio);
    X509_REQ_free(request);
    EVP_PKEY_free(key);
    ERR_clear_error();
    return is_good;
}

/* --- proof of who asks -------------------------------------------------------------------------*/

struct token {
    char *text; /* secret; NULL: none */
    Dapr__Proto__Sentry__V1__SignCertificateRequest__TokenValidator validator;
};

static bool
read_token(struct arena *arena, const char *path, struct token *token, const char **ret_words)
{
    size_t len;
    char *text = file_read(arena, path, &len, ret_words);
    if (text == NULL)
        return false;
    struct slice trimmed = slice_trim(slice_of(text, len));
    token->text = slice_dup_str(trimmed);
    OPENSSL_cleanse(text, len);
    free(text);
    *ret_words = "it holds no token";
    return token->text != NULL && token->text[0] != '\0';
}

static void
token_fini(struct token *token)
{
    if (token->text != NULL)
        OPENSSL_cleanse(token->text, strlen(token->text));
    free(TAKE(token->text));
}

/* Read for each request: who rotates tokens writes them into the same file. */
static err_t
find_token(struct task *t, const struct sentry_config *config, struct token *ret_token)
{
    const char *words = NULL, *path = config->token_file.data;
    if (config->token_file.len == 0 && !config->in_cluster)
        return OK;
    ret_token->validator = config->token_file.len > 0 ? VALIDATOR(JWKS) : VALIDATOR(KUBERNETES);
    if (config->token_file.len == 0 && read_token(task_arena(t), CLUSTER_TOKEN, ret_token, &words))
        return OK;
    if (config->token_file.len == 0) {
        token_fini(ret_token);
        path = ACCOUNT_TOKEN;
    }
    if (read_token(task_arena(t), path, ret_token, &words))
        return OK;
    return DIAG_FAIL(task_diag(t), ERR_IO, "error obtaining token: %s: %s", path, words);
}

/* --- question and answer -----------------------------------------------------------------------*/

static struct slice
pack_request(struct arena *arena, const struct sentry_config *config, const char *csr,
             const struct token *token)
{
    Dapr__Proto__Sentry__V1__SignCertificateRequest request;
    dapr__proto__sentry__v1__sign_certificate_request__init(&request);
    request.id = arena_str(arena, config->app_id);
    request.namespace_ = arena_str(arena, config->namespace_);
    if (token->text != NULL)
        request.token = token->text;
    request.token_validator = token->validator;
    request.certificate_signing_request = pb_bytes(slice_str(csr));
    request.n_jwt_audiences = config->jwt_audience_count;
    request.jwt_audiences = ARENA_ARRAY(arena, char *, config->jwt_audience_count);
    for (size_t i = 0; i < config->jwt_audience_count; i++)
        request.jwt_audiences[i] = arena_str(arena, config->jwt_audiences[i]);
    return pb_pack(arena, &request.base);
}

static err_t
ask(struct task *t, struct client *client, struct slice message, struct slice *ret_message)
{
    const struct grpc_question question = { .path = METHOD,
                                            .message = message,
                                            .answer_bytes_max = LIMIT_sentry_answer_bytes };
    struct grpc_answer answer;
    err_t err = grpc_ask(t, client, &question, &answer); /* suspends */
    if (answer.code != GRPC_OK || err != OK)
        return DIAG_FAIL(
            task_diag(t), err != OK ? err : ERR_PEER_PROTOCOL,
            "error from sentry SignCertificate: rpc error: code = %s desc = " SLICE_FMT,
            grpc_code_name(answer.code), SLICE_ARG(answer.text));
    *ret_message = answer.message;
    return OK;
}

static err_t
take_chain(struct task *t, struct slice message, char **ret_chain)
{
    const Dapr__Proto__Sentry__V1__SignCertificateResponse *response = pb_unpack(
        task_arena(t), &dapr__proto__sentry__v1__sign_certificate_response__descriptor, message,
        ANSWER_DEPTH_MAX, LIMIT_sentry_answer_bytes * 4);
    if (response == NULL)
        return DIAG_FAIL(task_diag(t), ERR_PEER_PROTOCOL, "the answer of sentry cannot be read");
    if (response->workload_certificate.len == 0)
        return DIAG_FAIL(task_diag(t), ERR_PEER_PROTOCOL, "no certificates received from sentry");
    *ret_chain = slice_dup_str(pb_slice(response->workload_certificate));
    return *ret_chain != NULL ? OK
                              : DIAG_FAIL(task_diag(t), ERR_PEER_PROTOCOL,
                                          "the certificate from sentry is no text");
}

/* --- the whole ---------------------------------------------------------------------------------*/

/* Clients of other languages write how the name is to be looked up in front. */
static struct slice
plain_address(struct slice address)
{
    const struct slice schemes[] = { SLICE("dns:///"), SLICE("passthrough:///") };
    for (size_t i = 0; i < ARRAY_LEN(schemes); i++)
        if (slice_has_prefix(address, schemes[i]))
            return slice_from(address, schemes[i].len);
    return address;
}

const char *
sentry_address_error(struct slice address)
{
    struct slice host;
    uint16_t port;
    if (address.len == 0)
        return "sentry address is required";
    return peers_split_address(plain_address(address), &host, &port)
               ? NULL
               : "sentry address is not of the form host:port";
}

static struct client *
open_client(struct task *t, const struct sentry_config *config, struct slice anchors)
{
    struct slice host = SLICE_EMPTY;
    uint16_t port = 0;
    if (!peers_split_address(plain_address(config->address), &host, &port))
        return NULL;
    struct tls_context *tls = tls_context_new(
        &(struct tls_config){ .verifies_spiffe = true, .ca = anchors, .alpn = SLICE("h2") });
    struct client *client = client_new(task_worker(t),
                                       &(struct client_config){ .protocol = CLIENT_H2,
                                                                .host = host,
                                                                .port = port,
                                                                .tls = tls,
                                                                .peer_id = config->server_id,
                                                                .connections_max = 1 });
    tls_context_unref(tls);
    return client;
}

err_t
sentry_sign(struct task *t, const struct sentry_config *config, struct slice anchors,
            struct credentials *ret_credentials)
{
    struct token token = { .validator = VALIDATOR(UNKNOWN) };
    struct credentials made = { 0 };
    char *csr = NULL;
    struct slice answer = SLICE_EMPTY;
    struct client *client = open_client(t, config, anchors);
    err_t err = client == NULL ? DIAG_FAIL(task_diag(t), ERR_CONFIG, "%s",
                                           sentry_address_error(config->address))
                               : find_token(t, config, &token);
    if (err == OK && !make_request(&made.key, &csr))
        err = DIAG_FAIL(task_diag(t), ERR_INTERNAL, "failed to generate private key");
    if (err == OK) {
        struct slice question = pack_request(task_arena(t), config, csr, &token);
        err = ask(t, client, question, &answer);                         /* suspends */
        OPENSSL_cleanse((void *)(uintptr_t)question.data, question.len); /* the token is in it */
    }
    if (err == OK)
        err = take_chain(t, answer, &made.chain);
    token_fini(&token);
    free(csr);
    client_close(client);
    if (err == OK)
        *ret_credentials = made;
    else
        credentials_fini(&made);
    return err;
}
