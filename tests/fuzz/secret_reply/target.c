/* SPDX-License-Identifier: Apache-2.0 */
/* Answers of secret stores and encrypted records: read within the bytes given or refused, and what
 * was encrypted comes back. */
#include <assert.h>
#include <stdint.h>

#include "base/limits.h"
#include "component/encryption.h"
#include "component/secret.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_inside(struct slice text, struct slice bytes)
{
    assert(text.len == 0 ||
           (text.data >= bytes.data && text.data + text.len <= bytes.data + bytes.len));
}

static void
check_secret(const struct secret *secret, struct slice bytes)
{
    check_inside(secret->name, bytes);
    for (size_t i = 0; i < secret->pair_count; i++) {
        check_inside(secret->pairs[i].name, bytes);
        check_inside(secret->pairs[i].value, bytes);
    }
}

static void
check_replies(struct arena *arena, struct slice bytes)
{
    struct secret one, *all;
    size_t count;
    bool found;
    if (secret_read_one(arena, bytes, &found, &one))
        check_secret(&one, bytes);
    if (!secret_read_all(arena, bytes, &all, &count))
        return;
    assert(count <= LIMIT_secret_pairs_max);
    for (size_t i = 0; i < count; i++)
        check_secret(&all[i], bytes);
}

static void
check_encryption(struct arena *arena, struct slice bytes)
{
    const struct encryption_key primary = { SLICE("k"), SLICE("000102030405060708090a0b0c0d0e0f") };
    const struct encryption_key none = { SLICE_EMPTY, SLICE_EMPTY };
    struct slice error = SLICE_EMPTY, stored, value;
    struct encryption *encryption = encryption_new(arena, primary, none, &error);
    assert(encryption != NULL);
    if (!encryption_open(encryption, arena, bytes, &value, &error))
        assert(error.len > 0 && value.len == 0);
    assert(encryption_seal(encryption, arena, bytes, &stored));
    assert(encryption_open(encryption, arena, stored, &value, &error));
    assert(slice_eq(value, bytes));
    encryption_unref(encryption);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    arena_init(&arena);
    check_replies(&arena, slice_of(data, size));
    check_encryption(&arena, slice_of(data, size));
    arena_fini(&arena);
    return 0;
}
