/* SPDX-License-Identifier: Apache-2.0 */
/*
 * EncryptAlpha1 and DecryptAlpha1: the first message has the options, every message a piece of the
 * document, numbered from 0, and the answer is numbered likewise. What is read is worked on and
 * written before more is read, on a task beside the handler's: its memory is given back piece by
 * piece, however long the document is.
 */
#include "api/crypto.h"
#include "base/limits.h"
#include "base/wire.h"
#include "dapr/proto/runtime/v1/crypto.pb-c.h"
#include "surface/grpc_surface.h"

/* Fields of EncryptRequest and DecryptRequest, of their answers, and of StreamPayload. */
enum {
    REQUEST_OPTIONS = 1,
    REQUEST_PAYLOAD = 2,
    RESPONSE_PAYLOAD = 1,
    PAYLOAD_DATA = 1,
    PAYLOAD_SEQ = 2,
};

enum { ANSWER_BYTES = 65 * 1024 }; /* a segment with its tag, or a header, and what is around it */

struct streaming;
typedef err_t stream_fn(struct streaming *s);

struct streaming {
    struct rpc *rpc;
    struct request rq; /* the call's; of the task beside once that works */
    struct component *provider;
    struct slice first; /* data of the first message; data NULL: taken */
    uint64_t next_in;
    uint64_t next_out;
    struct crypto_encrypt_options encrypt;
    struct slice decrypt_key_name;
    stream_fn *run;
    struct task *worker; /* the task beside; NULL: it has ended */
    uint64_t time_left_ms;
    bool is_awaited;
    struct wait wait;
    err_t result;
};

static err_t
fail_operation(struct streaming *s, struct slice words)
{
    return fail(&s->rq, ERR_CRYPTO, "failed to perform operation: " SLICE_FMT, SLICE_ARG(words));
}

static void
end_failed(struct streaming *s)
{
    s->rpc->rq.error = s->rq.error;
    rpc_fail(s->rpc);
}

/* --- the document's pieces ---------------------------------------------------------------------*/

struct message {
    struct slice options; /* data NULL: there are none */
    struct slice data;
    bool has_payload;
    uint64_t seq;
};

static bool
split_payload(struct slice bytes, struct message *message)
{
    struct wire_reader r = wire_reader(bytes);
    struct wire_field f;
    message->has_payload = true;
    while (wire_next(&r, &f)) {
        if (f.field == PAYLOAD_DATA)
            message->data = wire_bytes(&r, &f);
        else if (f.field == PAYLOAD_SEQ)
            message->seq = wire_number(&r, &f);
    }
    return !r.is_bad;
}

static bool
split_message(struct slice bytes, struct message *ret_message)
{
    struct wire_reader r = wire_reader(bytes);
    struct wire_field f;
    struct slice payload = SLICE_EMPTY;
    struct message message = { .options = { NULL, 0 }, .data = SLICE_EMPTY };
    bool has_payload = false;
    while (wire_next(&r, &f)) {
        if (f.field == REQUEST_OPTIONS) {
            message.options = wire_bytes(&r, &f);
        } else if (f.field == REQUEST_PAYLOAD) {
            payload = wire_bytes(&r, &f);
            has_payload = true;
        }
    }
    if (r.is_bad || (has_payload && !split_payload(payload, &message)))
        return false;
    *ret_message = message;
    return true;
}

static err_t
check_sequence(struct streaming *s, const struct message *message)
{
    if (!message->has_payload)
        return OK;
    uint64_t expected = s->next_in++;
    if (message->seq == expected)
        return OK;
    return fail(&s->rq, ERR_CRYPTO,
                "failed to perform operation: invalid sequence number received: %lu (expected: "
                "%lu)",
                message->seq, expected);
}

/* Messages without data are passed over: an empty piece would be the end. */
static err_t
read_piece(void *arg, struct slice *ret_piece)
{
    struct streaming *s = arg;
    struct grpc_call *call = &s->rpc->call;
    *ret_piece = SLICE_EMPTY;
    if (s->first.len > 0) {
        *ret_piece = s->first;
        s->first = SLICE_EMPTY;
        return OK;
    }
    while (ret_piece->len == 0) {
        struct slice bytes;
        struct message message;
        bool has_message;
        arena_reset(task_arena(s->rq.task));          /* what came in pieces */
        if (!grpc_read(call, &bytes, &has_message)) { /* suspends */
            err_t err = fail_operation(s, call->message);
            s->rq.error.grpc = call->code;
            return err;
        }
        if (!has_message)
            return OK;
        if (!split_message(bytes, &message))
            return fail(&s->rq, ERR_CRYPTO, SLICE_FMT, SLICE_ARG(RPC_MALFORMED));
        if (message.options.data != NULL)
            return fail_operation(s, SLICE("options found in non-leading message"));
        err_t err = check_sequence(s, &message);
        if (err != OK)
            return err;
        *ret_piece = message.data;
    }
    return OK;
}

/* EncryptResponse { payload = 1 { data = 1, seq = 2 } } */
static err_t
write_piece(void *arg, struct slice piece)
{
    struct streaming *s = arg;
    struct grpc_call *call = &s->rpc->call;
    char head[2 * WIRE_HEAD_MAX], tail[2 * WIRE_HEAD_MAX];
    size_t seq_len = wire_number_len(PAYLOAD_SEQ, s->next_out);
    size_t payload_len = wire_bytes_len(PAYLOAD_DATA, piece) + seq_len;
    char *at = wire_put_head(wire_put_head(head, RESPONSE_PAYLOAD, payload_len), PAYLOAD_DATA,
                             piece.len);
    struct slice front = slice_of(head, (size_t)(at - head));
    struct slice back = slice_of(tail,
                                 (size_t)(wire_put_number(tail, PAYLOAD_SEQ, s->next_out) - tail));
    s->next_out++;
    err_t err = grpc_message_begin(call, front.len + piece.len + back.len); /* these suspend */
    if (err == OK)
        err = grpc_message_write(call, front);
    if (err == OK)
        err = grpc_message_write(call, piece);
    if (err == OK && back.len > 0)
        err = grpc_message_write(call, back);
    return err == OK ? OK : fail_operation(s, SLICE("the answer could not be written"));
}

/* --- the task beside ---------------------------------------------------------------------------*/

static void
worker_main(struct task *t, void *arg)
{
    struct streaming *s = arg;
    s->rq.task = t;
    uint64_t outer = task_deadline_push(t, s->time_left_ms);
    s->result = s->run(s); /* suspends */
    task_deadline_pop(t, outer);
    s->worker = NULL;
    if (s->is_awaited)
        wait_done(&s->wait, OK);
}

/* Until it has ended, which it is asked to when the call's time is over or the client is gone. */
static void
await_worker(struct task *t, struct streaming *s)
{
    wait_init(&s->wait, t, NULL);
    s->is_awaited = true;
    err_t err = TASK_WAIT(t, &s->wait); /* suspends */
    s->is_awaited = false;
    if (err == OK || s->worker == NULL)
        return;
    task_cancel(s->worker);
    wait_init(&s->wait, t, NULL);
    s->is_awaited = true;
    (void)!TASK_WAIT_OUT(t, &s->wait); /* it ends at once, with OK */
    s->result = fail(&s->rq, ERR_CRYPTO, "failed to perform operation: %s",
                     err == ERR_DEADLINE ? "context deadline exceeded" : "context canceled");
    s->rq.error.grpc = err == ERR_DEADLINE ? GRPC_DEADLINE_EXCEEDED : GRPC_CANCELLED;
}

static void
stream(struct streaming *s)
{
    struct rpc *rpc = s->rpc;
    struct task *t = rpc->rq.task;
    rpc->call.x->is_passed_on = true;
    rpc->call.answers_gzip = false; /* ciphertext does not become shorter */
    if (rpc->call.message_bytes_max < ANSWER_BYTES)
        rpc->call.message_bytes_max = ANSWER_BYTES;
    s->time_left_ms = task_time_left_ms(t);
    s->worker = task_spawn(task_worker(t), "document stream", worker_main, s);
    if (s->worker == NULL) {
        rpc_end(rpc, GRPC_RESOURCE_EXHAUSTED, SLICE("too many requests at a time"));
        return;
    }
    await_worker(t, s); /* suspends */
    if (s->result != OK)
        end_failed(s);
    else if (rpc->call.has_started || grpc_start(&rpc->call) == OK)
        rpc_end(rpc, GRPC_OK, SLICE_EMPTY);
}

/* --- the first message -------------------------------------------------------------------------*/

static bool
refuse(struct rpc *rpc, const char *words)
{
    (void)fail(&rpc->rq, ERR_BAD_REQUEST, "invalid request: %s", words);
    rpc_fail(rpc);
    return false;
}

/* The options of the first message, unpacked; NULL: the call has been ended. */
static const void *
read_options(struct streaming *s, const ProtobufCMessageDescriptor *descriptor)
{
    struct rpc *rpc = s->rpc;
    struct slice bytes, words;
    struct message message;
    bool has_message;
    if (!grpc_read(&rpc->call, &bytes, &has_message)) { /* suspends */
        rpc_end(rpc, rpc->call.code, rpc->call.message);
        return NULL;
    }
    if (!has_message) {
        (void)fail_operation(s, SLICE("error receiving the first message: EOF"));
        end_failed(s);
        return NULL;
    }
    if (!split_message(bytes, &message)) {
        rpc_end(rpc, GRPC_INTERNAL, RPC_MALFORMED);
        return NULL;
    }
    if (message.options.data == NULL) {
        (void)refuse(rpc, "first message does not contain the required options");
        return NULL;
    }
    /* Read again before it is used: it may stand where the next message will. */
    s->first = arena_dup(rpc->rq.arena, message.data);
    const void *options = grpc_unpack(rpc->rq.arena, descriptor, message.options, &words);
    if (options == NULL)
        rpc_end(rpc, GRPC_INTERNAL, words);
    else if (check_sequence(s, &message) == OK)
        return options;
    else
        end_failed(s);
    return NULL;
}

static bool
find_provider(struct streaming *s, const char *name)
{
    if (crypto_provider_find(&s->rq, slice_str(name), &s->provider) == OK) /* suspends */
        return true;
    end_failed(s);
    return false;
}

/* --- the calls ---------------------------------------------------------------------------------*/

static err_t
run_encrypt(struct streaming *s)
{
    const struct crypto_stream pieces = { .read = read_piece, .write = write_piece, .arg = s };
    return crypto_encrypt(&s->rq, s->provider, &s->encrypt, &pieces); /* suspends */
}

void
grpc_encrypt(struct rpc *rpc)
{
    struct streaming s = { .rpc = rpc, .rq = rpc->rq, .run = run_encrypt };
    const Dapr__Proto__Runtime__V1__EncryptRequestOptions *in = read_options(
        &s, &dapr__proto__runtime__v1__encrypt_request_options__descriptor); /* suspends */
    if (in == NULL || !find_provider(&s, in->component_name))
        return;
    s.encrypt = (struct crypto_encrypt_options){
        .key_name = slice_str(in->key_name),
        .algorithm = slice_str(in->key_wrap_algorithm),
        .cipher = slice_str(in->data_encryption_cipher),
        .decryption_key_name = slice_str(in->decryption_key_name),
        .omits_key_name = in->omit_decryption_key_name,
    };
    if (s.encrypt.key_name.len == 0)
        (void)refuse(rpc, "missing property 'keyName' in the options message");
    else if (s.encrypt.algorithm.len == 0)
        (void)refuse(rpc, "missing property 'keyWrapAlgorithm' in the options message");
    else
        stream(&s); /* suspends */
}

static err_t
run_decrypt(struct streaming *s)
{
    const struct crypto_stream pieces = { .read = read_piece, .write = write_piece, .arg = s };
    return crypto_decrypt(&s->rq, s->provider, s->decrypt_key_name, &pieces); /* suspends */
}

void
grpc_decrypt(struct rpc *rpc)
{
    struct streaming s = { .rpc = rpc, .rq = rpc->rq, .run = run_decrypt };
    const Dapr__Proto__Runtime__V1__DecryptRequestOptions *in = read_options(
        &s, &dapr__proto__runtime__v1__decrypt_request_options__descriptor); /* suspends */
    if (in == NULL || !find_provider(&s, in->component_name))
        return;
    s.decrypt_key_name = slice_str(in->key_name);
    stream(&s); /* suspends */
}
