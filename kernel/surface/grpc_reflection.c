/* SPDX-License-Identifier: Apache-2.0 */
/*
 * grpc.reflection.v1 and v1alpha ServerReflection, which differ in their names only: what tools ask
 * to learn our services and messages. The descriptors are part of the program as one packed
 * google.protobuf.FileDescriptorSet (the build makes it of proto/), read where it lies; nobody
 * pays for it who does not ask.
 */
#include "base/buf.h"
#include "base/limits.h"
#include "base/wire.h"
#include "surface/grpc_surface.h"

static const unsigned char descriptors[] = {
#include "descriptors.inc"
};

enum {
    FILES_MAX = 64, /* a bit of `sent` each */
    QUESTION_BYTES_MAX = 4096,
    ANSWER_BYTES_MAX = 256 * 1024,
    FILE_NAME = 1, /* FileDescriptorProto */
    FILE_PACKAGE = 2,
    FILE_IMPORT = 3,
    FILE_MESSAGE = 4,
    FILE_ENUM = 5,
    FILE_SERVICE = 6,
    NAME = 1, /* of every other descriptor */
    MESSAGE_MESSAGE = 3,
    MESSAGE_ENUM = 4,
    SERVICE_METHOD = 2,
    ASK_FILE = 3, /* ServerReflectionRequest */
    ASK_SYMBOL = 4,
    ASK_EXTENSION = 5,
    ASK_EXTENSIONS = 6,
    ASK_SERVICES = 7,
    ANSWER_HOST = 1, /* ServerReflectionResponse */
    ANSWER_QUESTION = 2,
    ANSWER_FILES = 4,
    ANSWER_SERVICES = 6,
    ANSWER_ERROR = 7,
};

/* --- descriptors -------------------------------------------------------------------------------*/

struct files {
    struct slice all[FILES_MAX];
    size_t count;
    uint64_t sent; /* in this stream */
};

static struct slice
text_of(struct slice descriptor, unsigned field)
{
    struct wire_reader r = wire_reader(descriptor);
    struct wire_field f;
    while (wire_next(&r, &f))
        if (f.field == field)
            return f.bytes;
    return SLICE_EMPTY;
}

static void
list_files(struct files *files)
{
    struct wire_reader r = wire_reader(slice_of((const char *)descriptors, sizeof descriptors));
    struct wire_field f;
    while (wire_next(&r, &f) && files->count < FILES_MAX)
        files->all[files->count++] = f.bytes;
}

static size_t
find_file(const struct files *files, struct slice name)
{
    size_t i = 0;
    while (i < files->count && !slice_eq(text_of(files->all[i], FILE_NAME), name))
        i++;
    return i;
}

/* Whether a dotted name begins with `first`; what is left of it. */
static bool
begins_with(struct slice name, struct slice first, struct slice *ret_rest)
{
    if (!slice_has_prefix(name, first) || (name.len > first.len && name.data[first.len] != '.'))
        return false;
    *ret_rest = name.len == first.len ? SLICE_EMPTY : slice_from(name, first.len + 1);
    return true;
}

/* Whether a message, or one inside it, has the name. Depth: of our own .proto files. */
static bool
message_has(struct slice message, struct slice name)
{
    struct slice own = text_of(message, NAME), rest;
    if (!begins_with(name, own, &rest))
        return false;
    if (name.len == own.len)
        return true;
    struct wire_reader r = wire_reader(message);
    struct wire_field f;
    while (wire_next(&r, &f))
        if ((f.field == MESSAGE_MESSAGE && message_has(f.bytes, rest)) ||
            (f.field == MESSAGE_ENUM && slice_eq(text_of(f.bytes, NAME), rest)))
            return true;
    return false;
}

static bool
service_has(struct slice service, struct slice name)
{
    struct slice own = text_of(service, NAME), rest;
    if (!begins_with(name, own, &rest))
        return false;
    if (name.len == own.len)
        return true;
    struct wire_reader r = wire_reader(service);
    struct wire_field f;
    while (wire_next(&r, &f))
        if (f.field == SERVICE_METHOD && slice_eq(text_of(f.bytes, NAME), rest))
            return true;
    return false;
}

static bool
file_has(struct slice file, struct slice symbol)
{
    struct slice name;
    if (!begins_with(symbol, text_of(file, FILE_PACKAGE), &name))
        return false;
    struct wire_reader r = wire_reader(file);
    struct wire_field f;
    while (wire_next(&r, &f))
        if ((f.field == FILE_MESSAGE && message_has(f.bytes, name)) ||
            (f.field == FILE_ENUM && slice_eq(text_of(f.bytes, NAME), name)) ||
            (f.field == FILE_SERVICE && service_has(f.bytes, name)))
            return true;
    return false;
}

static size_t
find_symbol(const struct files *files, struct slice symbol)
{
    size_t i = 0;
    while (i < files->count && !file_has(files->all[i], symbol))
        i++;
    return i;
}

/* Adds what a file imports, and what that imports. */
static uint64_t
with_imports(const struct files *files, size_t first)
{
    uint64_t found = UINT64_C(1) << first, seen = 0;
    while (found != seen) {
        size_t i = (size_t)__builtin_ctzll(found & ~seen);
        seen |= UINT64_C(1) << i;
        struct wire_reader r = wire_reader(files->all[i]);
        struct wire_field f;
        while (wire_next(&r, &f)) {
            size_t at = f.field == FILE_IMPORT ? find_file(files, f.bytes) : files->count;
            found |= at < files->count ? UINT64_C(1) << at : 0;
        }
    }
    return found;
}

/* --- answers -----------------------------------------------------------------------------------*/

struct question {
    struct slice bytes;
    struct slice host;
    unsigned kind; /* ASK_… */
    struct slice text;
};

static bool
put(struct buf *out, unsigned field, struct slice bytes)
{
    char *at = buf_reserve(out, WIRE_HEAD_MAX + bytes.len);
    if (at == NULL)
        return false;
    buf_commit(out, (size_t)(wire_put_present_bytes(at, field, bytes) - at));
    return true;
}

/* A member whose content, `len` bytes, follows. */
static bool
put_head(struct buf *out, unsigned field, size_t len)
{
    char *at = buf_reserve(out, WIRE_HEAD_MAX);
    if (at == NULL)
        return false;
    buf_commit(out, (size_t)(wire_put_head(at, field, len) - at));
    return true;
}

/* ErrorResponse { error_code = 1, error_message = 2 } */
static bool
put_error(struct buf *out, enum grpc_code code, struct slice words)
{
    char number[WIRE_NUMBER_MAX];
    size_t len = (size_t)(wire_put_number(number, 1, code) - number);
    return put_head(out, ANSWER_ERROR, len + wire_bytes_len(2, words)) &&
           buf_append(out, slice_of(number, len)) && put(out, 2, words);
}

/* FileDescriptorResponse { file_descriptor_proto = 1 }: the first even if it was sent before. */
static bool
put_files(struct buf *out, struct files *files, size_t first)
{
    if (first == files->count)
        return put_error(out, GRPC_NOT_FOUND, SLICE("proto: not found"));
    uint64_t set = with_imports(files, first) & ~(files->sent | UINT64_C(1) << first);
    size_t len = wire_bytes_len(1, files->all[first]);
    for (size_t i = 0; i < files->count; i++)
        len += set >> i & 1 ? wire_bytes_len(1, files->all[i]) : 0;
    files->sent |= set | UINT64_C(1) << first;
    bool ok = put_head(out, ANSWER_FILES, len) && put(out, 1, files->all[first]);
    for (size_t i = 0; i < files->count && ok; i++)
        ok = !(set >> i & 1) || put(out, 1, files->all[i]);
    return ok;
}

/* ListServiceResponse { service = 1 { name = 1 } } */
static bool
put_services(struct buf *out)
{
    size_t len = 0;
    bool ok = true;
    for (const char *const *name = grpc_service_names; *name != NULL; name++) {
        size_t inner = wire_bytes_len(1, slice_str(*name));
        len += wire_varint_len(1 << 3) + wire_varint_len(inner) + inner;
    }
    ok = put_head(out, ANSWER_SERVICES, len);
    for (const char *const *name = grpc_service_names; *name != NULL && ok; name++)
        ok = put_head(out, 1, wire_bytes_len(1, slice_str(*name))) && put(out, 1, slice_str(*name));
    return ok;
}

static bool
put_answer(struct buf *out, struct files *files, const struct question *question)
{
    if (!put(out, ANSWER_HOST, question->host) || !put(out, ANSWER_QUESTION, question->bytes))
        return false;
    switch (question->kind) {
    case ASK_FILE:
        return put_files(out, files, find_file(files, question->text));
    case ASK_SYMBOL:
        return put_files(out, files, find_symbol(files, question->text));
    case ASK_SERVICES:
        return put_services(out);
    case ASK_EXTENSION: /* proto3 has none */
    case ASK_EXTENSIONS:
        return put_error(out, GRPC_NOT_FOUND, SLICE("proto: not found"));
    default:
        return put_error(out, GRPC_INVALID_ARGUMENT, SLICE("invalid MessageRequest"));
    }
}

/* --- the stream --------------------------------------------------------------------------------*/

static bool
read_question(struct slice bytes, struct question *ret_question)
{
    struct wire_reader r = wire_reader(bytes);
    struct wire_field f;
    *ret_question = (struct question){ .bytes = bytes };
    while (wire_next(&r, &f)) {
        if (f.field == 1)
            ret_question->host = wire_bytes(&r, &f);
        if (f.field < ASK_FILE || f.field > ASK_SERVICES)
            continue;
        ret_question->kind = f.field;
        ret_question->text = wire_bytes(&r, &f);
    }
    return !r.is_bad;
}

/* One answer; false: the call has been ended. */
static bool
answer(struct rpc *rpc, struct files *files, struct slice bytes)
{
    struct question question;
    struct buf out;
    if (bytes.len > QUESTION_BYTES_MAX || !read_question(bytes, &question)) {
        rpc_end(rpc, GRPC_INTERNAL, RPC_MALFORMED);
        return false;
    }
    buf_init(&out, ANSWER_BYTES_MAX); /* a stream may ask much: not in its arena */
    bool fits = put_answer(&out, files, &question);
    bool is_sent = fits && grpc_send(&rpc->call, buf_slice(&out)) == OK; /* suspends */
    buf_fini(&out);
    if (!fits)
        rpc_end(rpc, GRPC_INTERNAL, SLICE("the descriptors are too large"));
    return is_sent;
}

void
grpc_reflection(struct rpc *rpc)
{
    struct files files = { .count = 0 };
    struct slice bytes;
    bool has_question;
    if (!slice_eq(rpc->call.method, SLICE("ServerReflectionInfo"))) {
        grpc_proxy(rpc);
        return;
    }
    rpc->call.x->is_passed_on = true;
    rpc->call.answers_gzip =
        false; /* of what lies in the program uncompressed, a copy would stay */
    list_files(&files);
    for (unsigned left = LIMIT_grpc_reflections_max; left > 0; left--) {
        if (!grpc_read(&rpc->call, &bytes, &has_question)) { /* suspends */
            rpc_end(rpc, rpc->call.code, rpc->call.message);
            return;
        }
        if (!has_question) {
            rpc_end(rpc, GRPC_OK, SLICE_EMPTY);
            return;
        }
        if (!answer(rpc, &files, bytes))
            return;
    }
    rpc_end(rpc, GRPC_RESOURCE_EXHAUSTED, SLICE("too many questions in one stream"));
}
