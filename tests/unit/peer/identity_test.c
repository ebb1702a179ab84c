/* SPDX-License-Identifier: Apache-2.0 */
/* What makes an identity, and when it is renewed. */
#include "peer/identity.h"

#include "base/arena.h"
#include "base/limits.h"
#include "peer/keeper.h"
#include "unit/async/driver.h"
#include "unit/http/authority.h"

#define SHOP "spiffe://public/ns/prod/shop"

static struct authority ours;
static struct workload shop, other;

static void
set_up(void)
{
    if (ours.root != NULL)
        return;
    authority_open(&ours, KEY_ED25519, "root");
    workload_make(&shop, &ours, &(struct leaf){ .names = "URI:" SHOP });
    workload_make(&other, &ours, &(struct leaf){ .names = "URI:spiffe://public/shop" });
}

/* NULL: it is one, and the caller's. */
static struct identity *
make(const char *chain, const char *key, const char *complaint)
{
    struct identity *identity = NULL;
    struct arena arena;
    struct diag diag;
    arena_init(&arena);
    diag_init(&diag, &arena);
    err_t err = identity_new(slice_str(chain), slice_str(key), slice_str(ours.anchors), &diag,
                             &identity);
    CHECK_EQ_INT(err == OK, complaint == NULL);
    if (complaint != NULL)
        CHECK(slice_find(diag.message, slice_str(complaint)) >= 0);
    arena_fini(&arena);
    return identity;
}

TEST(an_identity_says_what_its_certificate_says)
{
    set_up();
    struct identity *identity = make(shop.chain, shop.key, NULL);
    REQUIRE(identity != NULL);
    CHECK_SLICE_IS(identity->id, SHOP);
    CHECK_SLICE_IS(identity->trust_domain, "public");
    CHECK_SLICE_IS(identity->namespace_, "prod");
    CHECK_SLICE_IS(identity->app_id, "shop");
    CHECK(identity->serial.len > 0);
    CHECK_EQ_INT(identity->not_after_unix_s - identity->not_before_unix_s, 7200);
    CHECK(identity->server != NULL && identity->client != NULL);
    CHECK(identity_ref(identity) == identity);
    identity_unref(identity);
    identity_unref(identity);
    identity_unref(NULL);
}

TEST(certificate_and_key_must_belong_together)
{
    set_up();
    CHECK(make(shop.chain, other.key, "not of our key") == NULL);
    CHECK(make(shop.chain, "no key", "not of our key") == NULL);
    CHECK(make("no certificate", shop.key, "cannot be read") == NULL);
    CHECK(make(other.chain, other.key, "not one of an application") == NULL);
}

TEST(a_chain_is_trusted_by_the_anchors_it_ends_in)
{
    struct authority stranger;
    struct arena arena;
    struct diag diag;
    set_up();
    authority_open(&stranger, KEY_ED25519, "root");
    arena_init(&arena);
    diag_init(&diag, &arena);
    CHECK_OK(identity_verify(slice_str(shop.chain), slice_str(ours.anchors), &diag));
    CHECK_EQ_INT(identity_verify(slice_str(shop.chain), slice_str(stranger.anchors), &diag),
                 ERR_MALFORMED);
    CHECK_EQ_INT(identity_verify(slice_str(shop.chain), SLICE("none"), &diag), ERR_MALFORMED);
    arena_fini(&arena);
    authority_close(&stranger);
}

TEST(a_certificate_is_renewed_at_half_of_its_life)
{
    const int64_t now_s = 1700000000, now_ms = now_s * 1000;
    /* A day, as Sentry backdates it. */
    CHECK_EQ_INT(keeper_renewal_unix_ms(now_s - 900, now_s + 86400, now_ms),
                 now_ms + (86400 - 900) * 500);
    /* Half has passed already: half of what is left. */
    CHECK_EQ_INT(keeper_renewal_unix_ms(now_s - 300, now_s + 4, now_ms), now_ms + 2000);
    /* It runs out now, or has: soon, but not at once. */
    CHECK_EQ_INT(keeper_renewal_unix_ms(now_s - 60, now_s, now_ms + 10),
                 now_ms + 10 + LIMIT_identity_renew_ms_min);
    CHECK_EQ_INT(keeper_renewal_unix_ms(now_s, now_s, now_ms + 999),
                 now_ms + 999 + LIMIT_identity_renew_ms_min);
}

TEST(an_address_of_sentry_is_a_host_and_a_port)
{
    CHECK(sentry_address_error(SLICE("localhost:50001")) == NULL);
    CHECK(sentry_address_error(SLICE("[::1]:443")) == NULL);
    CHECK(sentry_address_error(SLICE("dns:///dapr-sentry.dapr-system.svc:443")) == NULL);
    CHECK(sentry_address_error(SLICE_EMPTY) != NULL);
    CHECK(sentry_address_error(SLICE("localhost")) != NULL);
    CHECK(sentry_address_error(SLICE("localhost:0")) != NULL);
    CHECK(sentry_address_error(SLICE("https://sentry:443/")) != NULL);
}
