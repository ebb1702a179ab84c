/* SPDX-License-Identifier: Apache-2.0 */
/* Messages of secret stores: as protobuf-c writes and reads them, and what is malformed. */
#include "component/secret.h"

#include "base/limits.h"
#include "base/pb.h"
#include "remora/plugin/v1/plugin.pb-c.h"
#include "test.h"

static struct arena arena;

TEST(requests_are_what_protobuf_reads)
{
    const struct secret_pair metadata[] = { { SLICE("version_id"), SLICE("3") },
                                            { SLICE("empty"), SLICE_EMPTY } };
    struct slice name = SLICE("db:pw");
    arena_reset(&arena);
    const Remora__Plugin__V1__SecretGet *get = pb_unpack(
        &arena, &remora__plugin__v1__secret_get__descriptor,
        secret_pack_request(&arena, &name, metadata, 2), 8, 65536);
    REQUIRE(get != NULL && get->n_metadata == 2);
    CHECK_EQ_STR(get->name, "db:pw");
    CHECK_EQ_STR(get->metadata[0]->name, "version_id");
    CHECK_EQ_STR(get->metadata[0]->value, "3");
    CHECK_EQ_STR(get->metadata[1]->value, "");
    const Remora__Plugin__V1__SecretBulkGet *bulk = pb_unpack(
        &arena, &remora__plugin__v1__secret_bulk_get__descriptor,
        secret_pack_request(&arena, NULL, metadata, 2), 8, 65536);
    REQUIRE(bulk != NULL && bulk->n_metadata == 2);
    CHECK_EQ_STR(bulk->metadata[0]->value, "3");
    CHECK_EQ_INT(secret_pack_request(&arena, NULL, NULL, 0).len, 0);
}

TEST(answers_of_one_secret_are_read)
{
    Remora__Plugin__V1__Pair pair = REMORA__PLUGIN__V1__PAIR__INIT;
    Remora__Plugin__V1__Pair *pairs[] = { &pair, &pair };
    Remora__Plugin__V1__SecretGetReply reply = REMORA__PLUGIN__V1__SECRET_GET_REPLY__INIT;
    char name[] = "user", value[] = "ann";
    struct secret secret;
    bool found = true;
    arena_reset(&arena);
    CHECK(secret_read_one(&arena, SLICE_EMPTY, &found, &secret));
    CHECK(!found);
    CHECK_EQ_INT(secret.pair_count, 0);
    pair.name = name;
    pair.value = value;
    reply.found = true;
    reply.data = pairs;
    reply.n_data = 2;
    CHECK(secret_read_one(&arena, pb_pack(&arena, &reply.base), &found, &secret));
    CHECK(found);
    REQUIRE(secret.pair_count == 2);
    CHECK_SLICE_IS(secret.pairs[1].name, "user");
    CHECK_SLICE_IS(secret.pairs[1].value, "ann");
}

TEST(a_value_may_hold_any_byte)
{
    struct secret secret;
    bool found = false;
    CHECK(secret_read_one(&arena,
                          SLICE("\x08\x01\x12\x08\x0a\x01k\x12\x03"
                                "a\0\xff"),
                          &found, &secret));
    REQUIRE(found && secret.pair_count == 1);
    CHECK_EQ_SLICE(secret.pairs[0].value, SLICE("a\0\xff"));
}

TEST(malformed_and_endless_answers_are_refused)
{
    static const struct slice bad[] = {
        { "\x08", 1 },      { "\x12\x05\x0a", 3 }, { "\x12\x02\x08\x01", 4 },
        { "\x0a\x01x", 3 }, { "\x12\x01\x0a", 3 },
    };
    struct secret secret, *list;
    size_t count;
    bool found;
    arena_reset(&arena);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        CHECK(!secret_read_one(&arena, bad[i], &found, &secret));
    CHECK(!secret_read_all(&arena, SLICE("\x0a\x05\x0a"), &list, &count));
    CHECK(!secret_read_all(&arena, SLICE("\x0a\x04\x12\x02\x0a\x05"), &list, &count));
    char *many = malloc(2 * LIMIT_secret_pairs_max + 2);
    for (size_t i = 0; i <= LIMIT_secret_pairs_max; i++)
        memcpy(many + 2 * i, "\x12\x00", 2);
    CHECK(
        !secret_read_one(&arena, slice_of(many, 2 * LIMIT_secret_pairs_max + 2), &found, &secret));
    CHECK(secret_read_one(&arena, slice_of(many, 2 * LIMIT_secret_pairs_max), &found, &secret));
    for (size_t i = 0; i <= LIMIT_secret_pairs_max; i++)
        memcpy(many + 2 * i, "\x0a\x00", 2);
    CHECK(!secret_read_all(&arena, slice_of(many, 2 * LIMIT_secret_pairs_max + 2), &list, &count));
    free(many);
}

TEST(all_secrets_of_a_store_are_read_in_its_order)
{
    struct secret *list;
    size_t count = 0;
    arena_reset(&arena);
    CHECK(secret_read_all(&arena,
                          SLICE("\x0a\x0b\x0a\x01"
                                "b\x12\x06\x0a\x01p\x12\x01v\x0a\x03\x0a\x01"
                                "a"),
                          &list, &count));
    REQUIRE(count == 2);
    CHECK_SLICE_IS(list[0].name, "b");
    REQUIRE(list[0].pair_count == 1);
    CHECK_SLICE_IS(list[0].pairs[0].value, "v");
    CHECK_SLICE_IS(list[1].name, "a");
    CHECK_EQ_INT(list[1].pair_count, 0);
    CHECK(secret_read_all(&arena, SLICE_EMPTY, &list, &count));
    CHECK_EQ_INT(count, 0);
}
