/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Documents over HTTP: the body in, the body out, options in headers. A body that may be held whole
 * is read before it is answered, so that clients that send all before they read are served;
 * a longer one, or one of unknown length, is answered while it comes, and its client has to read
 * while it sends. A short answer is held back until it is known to be good.
 */
#include "api/crypto.h"
#include "base/limits.h"
#include "surface/http_surface.h"

struct transfer {
    struct http_call *call;
    bool is_whole; /* the body has been read: it is `body` */
    struct slice body;
    struct buf held; /* of the answer */
    bool has_started;
    err_t written; /* nobody reads the answer any more */
};

#define OCTETS ((struct http_header){ SLICE("Content-Type"), SLICE("application/octet-stream") })

static err_t
read_piece(void *arg, struct slice *ret_piece)
{
    struct transfer *transfer = arg;
    if (transfer->is_whole) {
        *ret_piece = transfer->body;
        transfer->body = SLICE_EMPTY;
        return OK;
    }
    err_t err = http_body_read(transfer->call->x, ret_piece); /* suspends */
    return err == OK ? OK
                     : fail(&transfer->call->rq, ERR_CRYPTO,
                            "failed to perform operation: the body could not be read");
}

static err_t
send(struct transfer *transfer, struct slice piece)
{
    if (!transfer->has_started)
        transfer->written = http_answer_start(transfer->call, 200, &OCTETS, 1, HTTP_LENGTH_UNKNOWN);
    transfer->has_started = true;
    if (transfer->written == OK && transfer->held.len > 0) {
        transfer->written = http_reply_write(transfer->call->x, buf_slice(&transfer->held));
        buf_clear(&transfer->held);
    }
    if (transfer->written == OK)
        transfer->written = http_reply_write(transfer->call->x, piece); /* suspends */
    return transfer->written;
}

static err_t
write_piece(void *arg, struct slice piece)
{
    struct transfer *transfer = arg;
    if (!transfer->has_started && buf_append(&transfer->held, piece))
        return OK;
    return send(transfer, piece); /* suspends */
}

static bool
begin(struct http_call *call, struct transfer *transfer)
{
    *transfer = (struct transfer){ .call = call, .body = SLICE_EMPTY, .written = OK };
    int64_t length = call->x->content_length;
    transfer->is_whole = length >= 0 && (uint64_t)length <= call->rq.kernel->body_bytes_max;
    call->x->body_may_pause = !transfer->is_whole;
    if (transfer->is_whole && !http_read_body(call, &transfer->body)) /* suspends */
        return false;
    buf_init(&transfer->held, LIMIT_crypto_hold_bytes);
    return true;
}

/* An answer that has begun and failed is left without its end, so that the client sees it cut. */
static void
end(struct transfer *transfer, err_t err)
{
    if (err != OK && !transfer->has_started)
        http_fail(transfer->call);
    else if (err == OK && !transfer->has_started)
        http_answer(transfer->call, 200, &OCTETS, 1, buf_slice(&transfer->held));
    else if (err == OK)
        (void)http_reply_end(transfer->call->x); /* nothing follows that it could spoil */
    buf_fini(&transfer->held);
}

static bool
find_provider(struct http_call *call, struct component **ret_provider)
{
    if (crypto_provider_find(&call->rq, call->params[0], ret_provider) == OK) /* suspends */
        return true;
    http_fail(call);
    return false;
}

static struct slice
option(const struct http_call *call, const char *name)
{
    struct slice value = http_header_get(call->x, slice_str(name));
    return value.data == NULL ? SLICE_EMPTY : value;
}

static bool
require(struct http_call *call, struct slice value, const char *name)
{
    if (value.len > 0)
        return true;
    (void)fail(&call->rq, ERR_BAD_REQUEST, "invalid request: missing header '%s'", name);
    http_fail(call);
    return false;
}

void
http_encrypt(struct http_call *call)
{
    static const char *const yes[] = { "y", "yes", "true", "t", "on", "1" };
    struct component *provider;
    struct transfer transfer;
    const struct crypto_stream stream = { read_piece, write_piece, &transfer };
    const struct crypto_encrypt_options options = {
        .key_name = option(call, "dapr-key-name"),
        .algorithm = option(call, "dapr-key-wrap-algorithm"),
        .cipher = option(call, "dapr-data-encryption-cipher"),
        .decryption_key_name = option(call, "dapr-decryption-key-name"),
        .omits_key_name = slice_is_one_of_nocase(option(call, "dapr-omit-decryption-key-name"), yes,
                                                 ARRAY_LEN(yes)),
    };
    if (find_provider(call, &provider) && require(call, options.key_name, "dapr-key-name") &&
        require(call, options.algorithm, "dapr-key-wrap-algorithm") && begin(call, &transfer))
        end(&transfer, crypto_encrypt(&call->rq, provider, &options, &stream)); /* suspends */
}

void
http_decrypt(struct http_call *call)
{
    struct component *provider;
    struct transfer transfer;
    const struct crypto_stream stream = { read_piece, write_piece, &transfer };
    struct slice key_name = option(call, "dapr-key-name");
    if (find_provider(call, &provider) && begin(call, &transfer))
        end(&transfer, crypto_decrypt(&call->rq, provider, key_name, &stream)); /* suspends */
}
