/* SPDX-License-Identifier: Apache-2.0 */
/* A set of keys on the first line, a token behind it: both are refused with words or understood,
 * and a set that is understood can be written and read again. */
#include "sentry/jwt.h"

#include <assert.h>
#include <stdint.h>

#include "base/arena.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_key(struct arena *arena, const struct jwk *jwk, struct diag *diag)
{
    struct jwks *again;
    struct slice text = jwks_write(arena, jwk->key, jwk->id, jwk->algorithm);
    assert(jwks_parse(text, &again, diag) == OK);
    assert(again->count == 1 && EVP_PKEY_eq(again->items[0].key, jwk->key) == 1);
    jwks_free(again);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    struct diag diag;
    struct jwks *set;
    struct slice rest = slice_of(data, size), line;
    arena_init(&arena);
    diag_init(&diag, &arena);
    if (slice_split(&rest, '\n', &line) && jwks_parse(line, &set, &diag) == OK) {
        const struct jwt_expectation expected = { .audience = SLICE("sentry"),
                                                  .subject = SLICE("shop"),
                                                  .now_s = 1800000000,
                                                  .skew_s = 300 };
        struct slice token = rest.data == NULL ? SLICE_EMPTY : rest;
        err_t err = jwt_verify(&arena, set, token, &expected, &diag);
        assert(err == OK || (err == ERR_UNAUTHENTICATED && diag.message.len > 0));
        for (size_t i = 0; i < set->count; i++)
            check_key(&arena, &set->items[i], &diag);
        jwks_free(set);
    } else {
        assert(size == 0 || diag.message.len > 0);
    }
    arena_fini(&arena);
    return 0;
}
