/* SPDX-License-Identifier: Apache-2.0 */
/* Documents as streams; see crypto.h. */
#include "api/crypto.h"

#include "base/buf.h"
#include "base/limits.h"
#include "crypto/document.h"

#define EMPTY_DOCUMENTS SLICE("CryptoEmptyDocuments")

static err_t
fail_words(struct request *rq, struct slice words)
{
    return fail(rq, ERR_CRYPTO, "failed to perform operation: " SLICE_FMT, SLICE_ARG(words));
}

/* --- content -----------------------------------------------------------------------------------*/

static err_t
write_segment(struct request *rq, struct document *document, bool is_last,
              const struct crypto_stream *stream)
{
    struct slice bytes = SLICE_EMPTY;
    uint32_t number;
    switch (document_step(document, is_last, &bytes, &number)) {
    case DOCUMENT_DONE:
        return bytes.len == 0 ? OK : stream->write(stream->arg, bytes); /* suspends */
    case DOCUMENT_FORGED:
        return fail(rq, ERR_CRYPTO,
                    "failed to perform operation: error processing segment %u: failed to decrypt "
                    "segment",
                    number);
    case DOCUMENT_TOO_LONG:
        return fail_words(rq, SLICE("input stream is too large"));
    case DOCUMENT_EXHAUSTED:
    default:
        return fail_words(rq, SLICE("the cipher failed"));
    }
}

/* All segments but the last, which is left in the document: `first` is what was read already. */
static err_t
write_segments(struct request *rq, struct document *document, struct slice first,
               const struct crypto_stream *stream)
{
    struct slice piece = first;
    for (;;) {
        while (piece.len > 0) {
            err_t err = document_is_full(document)
                            ? write_segment(rq, document, false, stream) /* suspends */
                            : OK;
            if (err != OK)
                return err;
            document_fill(document, &piece);
        }
        err_t err = stream->read(stream->arg, &piece); /* suspends */
        if (err != OK || piece.len == 0)
            return err;
    }
}

/* --- encrypting --------------------------------------------------------------------------------*/

/* The reference tells names as it compares them. */
static struct slice
upper_case(struct request *rq, struct slice name)
{
    struct slice first = slice_first(name, LIMIT_crypto_key_name_bytes_max);
    char *text = arena_alloc(rq->arena, first.len + 1);
    for (size_t i = 0; i < first.len; i++) {
        char c = first.data[i];
        text[i] = c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
    }
    return slice_of(text, first.len);
}

static err_t
choose(struct request *rq, const struct crypto_encrypt_options *options,
       struct document_header *header)
{
    header->cipher = DOCUMENT_AES_GCM;
    if (!document_wrap_parse(options->algorithm, &header->wrap)) {
        struct slice name = upper_case(rq, options->algorithm);
        return fail(
            rq, ERR_CRYPTO,
            "failed to perform operation: option Algorithm is not valid: algorithm " SLICE_FMT
            " is not supported",
            SLICE_ARG(name));
    }
    if (options->cipher.len > 0 && !document_cipher_parse(options->cipher, &header->cipher)) {
        struct slice name = upper_case(rq, options->cipher);
        return fail(rq, ERR_CRYPTO,
                    "failed to perform operation: option Cipher is not valid: cipher " SLICE_FMT
                    " is not supported",
                    SLICE_ARG(name));
    }
    header->key_name = options->omits_key_name                ? SLICE_EMPTY
                       : options->decryption_key_name.len > 0 ? options->decryption_key_name
                                                              : options->key_name;
    return OK;
}

static err_t
wrap_key(struct request *rq, struct component *provider, struct slice key_name,
         struct slice file_key, struct document_header *header)
{
    const struct crypto_operation operation = { .method = CRYPTO_WRAP,
                                                .key_name = key_name,
                                                .algorithm = document_wrap_name(header->wrap),
                                                .data = file_key };
    struct crypto_result result;
    struct slice reason;
    if (crypto_call(rq, provider, &operation, &result, &reason) != OK) /* suspends */
        return fail(rq, ERR_CRYPTO,
                    "failed to perform operation: failed to wrap the file key: " SLICE_FMT,
                    SLICE_ARG(reason));
    header->wrapped_key = result.data;
    return OK;
}

/* Key, header and document of a new one; the key is the caller's to wipe. */
static err_t
begin_sealing(struct request *rq, struct component *provider,
              const struct crypto_encrypt_options *options,
              unsigned char file_key[DOCUMENT_KEY_BYTES], struct slice *ret_text,
              struct document **ret_document)
{
    struct document_header header = { .key_name = SLICE_EMPTY };
    err_t err = choose(rq, options, &header);
    if (err == OK && !document_new_key(file_key, header.nonce_prefix))
        err = fail_words(rq, SLICE("failed to generate file key"));
    if (err == OK)
        err = wrap_key(rq, provider, options->key_name, slice_of(file_key, DOCUMENT_KEY_BYTES),
                       &header); /* suspends */
    if (err == OK && !document_header_write(&header, file_key, rq->arena, ret_text))
        err = fail_words(rq, SLICE("header is too long"));
    if (err == OK && (*ret_document = document_seal_new(&header, file_key)) == NULL)
        err = fail_words(rq, SLICE("the cipher failed"));
    return err;
}

err_t
crypto_encrypt(struct request *rq, struct component *provider,
               const struct crypto_encrypt_options *options, const struct crypto_stream *stream)
{
    unsigned char file_key[DOCUMENT_KEY_BYTES] = { 0 };
    struct slice text = SLICE_EMPTY;
    struct document *document = NULL;
    err_t err = begin_sealing(rq, provider, options, file_key, &text, &document); /* suspends */
    explicit_bzero(file_key, sizeof file_key);
    if (err == OK)
        err = stream->write(stream->arg, text); /* these suspend */
    if (err == OK)
        err = write_segments(rq, document, SLICE_EMPTY, stream);
    if (err == OK)
        err = write_segment(rq, document, true, stream);
    document_free(document);
    return err;
}

/* --- decrypting --------------------------------------------------------------------------------*/

/* Reads until the header is there. `head` then holds it and what came with it. */
static err_t
read_header(struct request *rq, const struct crypto_stream *stream, struct buf *head,
            struct document_header *ret_header, struct slice *ret_rest)
{
    struct slice error = SLICE_EMPTY, piece;
    size_t len = 0;
    bool is_all = false;
    enum document_found found;
    *ret_rest = SLICE_EMPTY;
    do {
        err_t err = stream->read(stream->arg, &piece); /* suspends */
        if (err != OK)
            return err;
        struct slice part = slice_first(piece, head->max - head->len);
        is_all = piece.len == 0;
        if (!buf_append(head, part))
            return fail_words(rq, SLICE("invalid header: invalid format"));
        *ret_rest = slice_from(piece, part.len); /* of the piece that is still there */
        found = document_header_find(buf_slice(head), is_all, &len, &error);
    } while (found == DOCUMENT_INCOMPLETE);
    if (found == DOCUMENT_INVALID)
        return fail(rq, ERR_CRYPTO, "failed to perform operation: invalid header: " SLICE_FMT,
                    SLICE_ARG(error));
    struct slice text = arena_dup(rq->arena, slice_first(buf_slice(head), len));
    buf_consume(head, len);
    return document_header_read(text, rq->arena, ret_header)
               ? OK
               : fail_words(rq, SLICE("invalid header: invalid manifest"));
}

/* Whether a key could not be unwrapped shows as a header that it did not sign: to tell more would
 * help those who try. Whoever has no provider to ask is told so. */
static err_t
unwrap_key(struct request *rq, struct component *provider, struct slice key_name,
           const struct document_header *header, unsigned char file_key[DOCUMENT_KEY_BYTES])
{
    const struct crypto_operation operation = { .method = CRYPTO_UNWRAP,
                                                .key_name = key_name,
                                                .algorithm = document_wrap_name(header->wrap),
                                                .data = header->wrapped_key };
    struct crypto_result result = { .data = SLICE_EMPTY };
    struct slice reason;
    err_t err = crypto_call(rq, provider, &operation, &result, &reason); /* suspends */
    if (err != OK && err != ERR_PLUGIN_FAILED)
        return fail(rq, ERR_CRYPTO,
                    "failed to perform operation: failed to unwrap the file key: " SLICE_FMT,
                    SLICE_ARG(reason));
    bool is_key = err == OK && result.data.len == DOCUMENT_KEY_BYTES;
    if (is_key)
        memcpy(file_key, result.data.data, DOCUMENT_KEY_BYTES);
    return document_header_verify(header, file_key) && is_key
               ? OK
               : fail_words(rq, SLICE("failed to validate the document's signature"));
}

static err_t
begin_opening(struct request *rq, struct component *provider, struct slice key_name,
              const struct document_header *header, struct document **ret_document)
{
    unsigned char file_key[DOCUMENT_KEY_BYTES] = { 0 };
    if (key_name.len == 0)
        key_name = header->key_name;
    if (key_name.len == 0)
        return fail_words(rq, SLICE("document's manifest does not contain a key name, and no key "
                                    "name was provided"));
    err_t err = unwrap_key(rq, provider, key_name, header, file_key); /* suspends */
    if (err == OK && (*ret_document = document_open_new(header, file_key)) == NULL)
        err = fail_words(rq, SLICE("the cipher failed"));
    explicit_bzero(file_key, sizeof file_key);
    return err;
}

static bool
accepts_empty(const struct request *rq)
{
    const struct text_list *features = &settings_of(rq->task)->enabled_features;
    for (size_t i = 0; i < features->count; i++)
        if (slice_eq(features->items[i], EMPTY_DOCUMENTS))
            return true;
    return false;
}

static err_t
write_last(struct request *rq, struct document *document, const struct crypto_stream *stream)
{
    if (!document_is_empty(document))
        return write_segment(rq, document, true, stream); /* suspends */
    return accepts_empty(rq)
               ? OK
               : fail_words(rq, SLICE("the document ends after its header: it may have been cut"));
}

/* What came with the header, then what is left of the piece that it ended in, then the rest. */
struct joined {
    const struct crypto_stream *stream;
    struct slice next;
};

static err_t
read_joined(void *arg, struct slice *ret_piece)
{
    struct joined *joined = arg;
    if (joined->next.len == 0)
        return joined->stream->read(joined->stream->arg, ret_piece); /* suspends */
    *ret_piece = joined->next;
    joined->next = SLICE_EMPTY;
    return OK;
}

static err_t
write_joined(void *arg, struct slice piece)
{
    const struct joined *joined = arg;
    return joined->stream->write(joined->stream->arg, piece); /* suspends */
}

err_t
crypto_decrypt(struct request *rq, struct component *provider, struct slice key_name,
               const struct crypto_stream *stream)
{
    struct document *document = NULL;
    struct document_header header = { .key_name = SLICE_EMPTY };
    struct joined joined = { .stream = stream };
    struct crypto_stream rest = { .read = read_joined, .write = write_joined, .arg = &joined };
    struct buf head;
    buf_init(&head, DOCUMENT_SEGMENT_BYTES);
    err_t err = read_header(rq, stream, &head, &header, &joined.next); /* these suspend */
    if (err == OK)
        err = begin_opening(rq, provider, key_name, &header, &document);
    if (err == OK)
        err = write_segments(rq, document, buf_slice(&head), &rest);
    if (err == OK)
        err = write_last(rq, document, stream);
    document_free(document);
    buf_fini(&head);
    return err;
}
