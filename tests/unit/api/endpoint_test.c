/* SPDX-License-Identifier: Apache-2.0 */
/* The set of endpoints: what stays the same object, what is another, what is kept. */
#include "api/endpoint.h"

#include "test.h"

static struct component_value none[ENDPOINT_TLS_PARTS], with_secret[1 + ENDPOINT_TLS_PARTS];

static struct http_endpoint_spec
spec(const char *name, const char *url)
{
    for (size_t i = 0; i < ARRAY_LEN(with_secret); i++)
        with_secret[i] = (struct component_value){ .name = SLICE_EMPTY };
    with_secret[0].name = SLICE("X-Key");
    with_secret[0].secret_name = with_secret[0].secret_key = SLICE("key");
    bool has_secret = slice_eq(slice_str(url), SLICE("secret"));
    return (struct http_endpoint_spec){
        .name = slice_str(name),
        .base_url = slice_str(url),
        .auth_secret_store = has_secret ? SLICE("vault") : SLICE_EMPTY,
        .values = has_secret ? with_secret : none,
        .header_count = has_secret ? 1 : 0,
    };
}

static struct endpoints *
next(struct endpoints *old, struct http_endpoint_spec *items, size_t count, const char *broken,
     bool keeps_missing)
{
    struct slice name = slice_str(broken);
    const struct http_endpoint_list list = { .items = items,
                                             .count = count,
                                             .broken = { &name, broken == NULL ? 0 : 1 } };
    return endpoints_next(old, &list, keeps_missing);
}

TEST(an_endpoint_that_has_not_changed_stays_the_same_object)
{
    struct http_endpoint_spec first[] = { spec("a", "http://a"), spec("b", "http://b") };
    struct http_endpoint_spec second[] = { spec("b", "http://b2"), spec("a", "http://a"),
                                           spec("c", "http://c") };
    struct endpoints *old = next(NULL, first, 2, NULL, false);
    REQUIRE(old != NULL && endpoints_count(old) == 2);
    CHECK(next(old, first, 2, NULL, false) == NULL);
    struct endpoints *new = next(old, second, 3, NULL, false);
    REQUIRE(new != NULL &&endpoints_count(new) == 3);
    CHECK_SLICE_IS(endpoints_name(new, 0), "b");
    CHECK(endpoints_get(new, SLICE("a")) == endpoints_get(old, SLICE("a")));
    CHECK(endpoints_get(new, SLICE("b")) != endpoints_get(old, SLICE("b")));
    CHECK_SLICE_IS(endpoint_base_url(endpoints_get(new, SLICE("b"))), "http://b2");
    endpoints_unref(old);
    CHECK_SLICE_IS(endpoint_base_url(endpoints_get(new, SLICE("a"))), "http://a");
    endpoints_unref(new);
}

TEST(what_is_missing_goes_unless_a_broken_document_may_be_it)
{
    struct http_endpoint_spec first[] = { spec("a", "http://a"), spec("b", "http://b") };
    struct endpoints *old = next(NULL, first, 2, NULL, false);
    CHECK(next(old, first, 1, "b", false) == NULL);
    CHECK(next(old, first, 1, NULL, true) == NULL);
    struct endpoints *new = next(old, first, 1, "c", false);
    REQUIRE(new != NULL);
    CHECK(endpoints_count(new) == 1 && endpoints_get(new, SLICE("b")) == NULL);
    endpoints_unref(new);
    new = next(old, NULL, 0, NULL, false);
    REQUIRE(new != NULL);
    CHECK(endpoints_count(new) == 0);
    endpoints_unref(new);
    endpoints_unref(old);
    CHECK(next(NULL, NULL, 0, NULL, false) == NULL);
    CHECK(endpoints_count(NULL) == 0 && endpoints_get(NULL, SLICE("a")) == NULL);
}

TEST(a_rotated_secret_makes_anew_only_who_uses_it)
{
    struct http_endpoint_spec items[] = { spec("a", "http://a"), spec("b", "secret") };
    struct endpoints *old = next(NULL, items, 2, NULL, false);
    CHECK(endpoints_renewed(old, SLICE("other")) == NULL);
    CHECK(endpoints_renewed(NULL, SLICE("vault")) == NULL);
    struct endpoints *new = endpoints_renewed(old, SLICE("vault"));
    REQUIRE(new != NULL);
    CHECK(endpoints_get(new, SLICE("a")) == endpoints_get(old, SLICE("a")));
    CHECK(endpoints_get(new, SLICE("b")) != endpoints_get(old, SLICE("b")));
    endpoints_unref(endpoints_ref(new));
    endpoints_unref(old);
    CHECK(next(new, items, 2, NULL, false) == NULL); /* the document is the same */
    endpoints_unref(new);
}
