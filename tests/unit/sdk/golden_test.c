/* SPDX-License-Identifier: Apache-2.0 */
/* The golden frames that all SDKs share: read and written again by our codecs, byte for byte. */
#include <glob.h>

#include "base/json.h"
#include "base/pb.h"
#include "sdk-plugin/c/src/sdk.h"
#include "test.h"

#define FOLDER "sdk-plugin/golden/"

static const ProtobufCMessageDescriptor *const types[] = {
    &remora__plugin__v1__hello__descriptor,
    &remora__plugin__v1__hello_ack__descriptor,
    &remora__plugin__v1__log_entry__descriptor,
    &remora__plugin__v1__empty__descriptor,
    &remora__plugin__v1__init_request__descriptor,
    &remora__plugin__v1__init_reply__descriptor,
    &remora__plugin__v1__quiesce_reply__descriptor,
    &remora__plugin__v1__export_request__descriptor,
    &remora__plugin__v1__export_reply__descriptor,
    &remora__plugin__v1__state_get__descriptor,
    &remora__plugin__v1__state_value__descriptor,
    &remora__plugin__v1__state_bulk_get__descriptor,
    &remora__plugin__v1__state_values__descriptor,
    &remora__plugin__v1__state_set__descriptor,
    &remora__plugin__v1__state_delete__descriptor,
    &remora__plugin__v1__state_write_reply__descriptor,
    &remora__plugin__v1__state_transact__descriptor,
    &remora__plugin__v1__state_query__descriptor,
    &remora__plugin__v1__state_query_reply__descriptor,
    &remora__plugin__v1__state_delete_prefix__descriptor,
    &remora__plugin__v1__state_delete_prefix_reply__descriptor,
    &remora__plugin__v1__state_keys_like__descriptor,
    &remora__plugin__v1__state_keys_like_reply__descriptor,
    &remora__plugin__v1__secret_get__descriptor,
    &remora__plugin__v1__secret_get_reply__descriptor,
    &remora__plugin__v1__secret_bulk_get__descriptor,
    &remora__plugin__v1__secret_bulk_get_reply__descriptor,
    &remora__plugin__v1__name_resolve__descriptor,
    &remora__plugin__v1__name_resolve_reply__descriptor,
    &remora__plugin__v1__echo_request__descriptor,
    &remora__plugin__v1__echo_reply__descriptor,
    &remora__plugin__v1__host_state_get__descriptor,
    &remora__plugin__v1__host_state_set__descriptor,
    &remora__plugin__v1__host_state_delete__descriptor,
};

static struct slice
read_file(struct arena *arena, const char *path)
{
    FILE *f = fopen(path, "rb");
    if (f == NULL) {
        perror(path);
        test_give_up();
    }
    char *bytes = arena_alloc(arena, 65536);
    const size_t len = fread(bytes, 1, 65536, f);
    (void)fclose(f); /* opened for reading only */
    return slice_of(bytes, len);
}

/* The member of the description with that name; empty if it is not there. */
static struct slice
member(struct arena *arena, struct slice description, const char *name)
{
    struct json json;
    struct slice found, value, result = SLICE_EMPTY;
    json_init(&json, description);
    json_enter(&json);
    while (json_object_next(&json, arena, &found)) {
        const bool is_text = json_peek(&json) == JSON_STRING;
        REQUIRE(is_text ? json_string(&json, arena, &value) : json_skip(&json, &value));
        if (slice_eq(found, slice_str(name)))
            result = value;
    }
    REQUIRE(!json.failed);
    return result;
}

static const ProtobufCMessageDescriptor *
type_named(struct slice name)
{
    for (size_t i = 0; i < ARRAY_LEN(types); i++)
        if (slice_eq(slice_str(types[i]->name), name))
            return types[i];
    return NULL;
}

static struct slice
message_of(const struct frame *frame)
{
    const bool is_whole = frame->kind != FRAME_REQUEST && frame->kind != FRAME_RESPONSE;
    return is_whole ? frame->payload : slice_first(frame->payload, frame->message_bytes);
}

static void
check_frame(const char *path, struct arena *arena)
{
    const struct slice bytes = read_file(arena, path);
    const char *description_path =
        arena_printf(arena, "%.*s.json", (int)strlen(path) - 4, path).data;
    const struct slice description = read_file(arena, description_path);
    struct frame frame;
    struct buf out;
    buf_init(&out, 1 << 20);
    REQUIRE_OK(frame_decode(bytes, &frame));
    REQUIRE(frame_append(&out, &frame, NULL, 0));
    CHECK_EQ_SLICE(slice_from(buf_slice(&out), SP_HEADER_BYTES), bytes);
    buf_fini(&out);
    const struct slice type_name = member(arena, description, "message_type");
    if (type_name.len == 0)
        return;
    const ProtobufCMessageDescriptor *type = type_named(type_name);
    REQUIRE(type != NULL);
    const ProtobufCMessage *message = pb_unpack(arena, type, message_of(&frame),
                                                LIMIT_frame_depth_max, 1 << 20);
    REQUIRE(message != NULL);
    CHECK_EQ_SLICE(pb_pack(arena, message), message_of(&frame));
}

TEST(every_golden_frame_is_read_and_written_the_same)
{
    glob_t found;
    REQUIRE(glob(FOLDER "*.bin", 0, NULL, &found) == 0);
    CHECK(found.gl_pathc >= 40);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        struct arena arena;
        arena_init(&arena);
        fprintf(stderr, "  %s\n", found.gl_pathv[i]);
        check_frame(found.gl_pathv[i], &arena);
        arena_fini(&arena);
    }
    globfree(&found);
}

static struct frame
golden(struct arena *arena, const char *name)
{
    struct frame frame;
    REQUIRE_OK(
        frame_decode(read_file(arena, arena_printf(arena, FOLDER "%s.bin", name).data), &frame));
    return frame;
}

TEST(fields_of_golden_frames_are_where_they_belong)
{
    struct arena arena;
    arena_init(&arena);
    struct frame frame = golden(&arena, "state_get");
    CHECK_EQ_U64(frame.kind, FRAME_REQUEST);
    CHECK_EQ_U64(frame.call, 7);
    CHECK_EQ_U64(frame.epoch, 7);
    CHECK_EQ_U64(frame.method, METHOD(STATE_GET));
    CHECK_EQ_U64(frame.component, 3);
    CHECK_EQ_U64(frame.timeout_ms, 1500);
    CHECK_EQ_INT(frame.request_id.len, 16);
    CHECK_SLICE_IS(frame.tracestate, "a=1,b=2");
    frame = golden(&arena, "error_unknown_effect");
    CHECK(frame.has_status);
    CHECK_EQ_U64(frame.status.code, REMORA_UNAVAILABLE);
    CHECK_SLICE_IS(frame.status.message, "connection reset");
    CHECK_SLICE_IS(frame.status.reason, "X");
    CHECK_EQ_U64(frame.status.effect, REMORA_EFFECT_UNKNOWN);
    frame = golden(&arena, "echo_stream");
    CHECK(frame.open_ended);
    frame = golden(&arena, "host_state_set");
    CHECK_EQ_U64(frame.depth, 8);
    frame = golden(&arena, "credit_link");
    CHECK_EQ_U64(frame.credit_bytes, 2097152);
    CHECK_EQ_U64(frame.call, 0);
    arena_fini(&arena);
}
