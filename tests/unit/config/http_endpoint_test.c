/* SPDX-License-Identifier: Apache-2.0 */
/* HTTPEndpoint documents. */
#include "config/http_endpoint.h"

#include "test.h"

struct fixture {
    struct arena arena, scratch;
    struct diag diag;
    struct resources resources;
    struct resource_filter filter;
    struct http_endpoint_list list;
};

static const char *
get_env(void *arg, const char *name)
{
    (void)arg;
    return strcmp(name, "OUTSIDE_KEY") == 0 || strcmp(name, "DAPR_API_TOKEN") == 0 ? "of-env"
                                                                                   : NULL;
}

static struct fixture *
setup(void)
{
    static struct fixture f;
    f = (struct fixture){ .filter = { .app_id = SLICE("shop"), .namespace_name = SLICE_EMPTY } };
    arena_init(&f.arena);
    arena_init(&f.scratch);
    diag_init(&f.diag, &f.arena);
    return &f;
}

static void
teardown(struct fixture *f)
{
    arena_fini(&f->arena);
    arena_fini(&f->scratch);
}

static err_t
read_text(struct fixture *f, const char *text)
{
    const struct http_endpoint_context context = { .env_keys = SLICE_EMPTY,
                                                   .env = { .get = get_env } };
    CHECK_OK(resources_add_text(&f->scratch, "all.yaml", slice_str(text), &f->resources, &f->diag));
    return http_endpoints_read(&f->arena, &f->scratch, &f->resources, &f->filter, &context,
                               &f->list, &f->diag);
}

static bool
is_warned(const struct fixture *f, const char *words)
{
    for (size_t i = 0; i < f->resources.warnings.count; i++)
        if (slice_find(f->resources.warnings.items[i], slice_str(words)) >= 0)
            return true;
    return false;
}

#define HEAD(name) "apiVersion: dapr.io/v1alpha1\nkind: HTTPEndpoint\nmetadata: {name: " name "}\n"

TEST(INV_50_INV_51_an_endpoint_says_where_it_is_and_how_it_is_called)
{
    struct fixture *f = setup();
    CHECK_OK(read_text(f, "apiVersion: dapr.io/v1alpha1\n"
                          "kind: HTTPEndpoint\n"
                          "metadata: {name: outside, namespace: prod}\n"
                          "spec:\n"
                          "  baseUrl: https://outside.example:8443/base\n"
                          "  headers:\n"
                          "  - name: Accept-Language\n"
                          "    value: en-US\n"
                          "  - name: X-Count\n"
                          "    value: 5\n"
                          "  - name: X-Key\n"
                          "    secretKeyRef: {name: outside, key: token}\n"
                          "  - name: X-Env\n"
                          "    envRef: OUTSIDE_KEY\n"
                          "  clientTLS:\n"
                          "    rootCA:\n"
                          "      value: '-----BEGIN\\nCA'\n"
                          "    certificate:\n"
                          "      value: \"-----BEGIN\\nchain\"\n"
                          "    privateKey:\n"
                          "      secretKeyRef: {name: key-of-outside}\n"
                          "    renegotiation: RenegotiateOnceAsClient\n"
                          "auth:\n"
                          "  secretStore: vault\n"));
    REQUIRE(f->list.count == 1);
    const struct http_endpoint_spec *spec = &f->list.items[0];
    CHECK_SLICE_IS(spec->name, "outside");
    CHECK_SLICE_IS(spec->namespace_name, "prod");
    CHECK_SLICE_IS(spec->base_url, "https://outside.example:8443/base");
    CHECK_SLICE_IS(spec->auth_secret_store, "vault");
    REQUIRE(spec->header_count == 4);
    CHECK_SLICE_IS(spec->values[0].name, "Accept-Language");
    CHECK_SLICE_IS(spec->values[0].value, "en-US");
    CHECK_SLICE_IS(spec->values[1].value, "5");
    CHECK_SLICE_IS(spec->values[2].secret_name, "outside");
    CHECK_SLICE_IS(spec->values[2].secret_key, "token");
    CHECK_SLICE_IS(spec->values[3].value, "of-env");
    CHECK_SLICE_IS(http_endpoint_tls(spec, ENDPOINT_ROOT_CA)->value, "-----BEGIN\nCA");
    CHECK_SLICE_IS(http_endpoint_tls(spec, ENDPOINT_CERTIFICATE)->value, "-----BEGIN\nchain");
    CHECK_SLICE_IS(http_endpoint_tls(spec, ENDPOINT_PRIVATE_KEY)->secret_key, "key-of-outside");
    CHECK(f->resources.warnings.count == 1 && f->list.broken.count == 0);
    CHECK(is_warned(f, "spec.clientTLS.renegotiation of HTTPEndpoint outside has no effect"));
    teardown(f);
}

TEST(documents_of_other_applications_namespaces_and_kinds_are_left_out)
{
    struct fixture *f = setup();
    f->filter.namespace_name = SLICE("prod");
    CHECK_OK(
        read_text(f, HEAD("a") "spec: {baseUrl: 'http://a'}\nscopes: [shop]\n---\n" HEAD(
                         "b") "spec: {baseUrl: 'http://b'}\nscopes: [other]\n---\n"
                              "kind: HTTPEndpoint\nmetadata: {name: c, namespace: test}\n"
                              "spec: {baseUrl: 'http://c'}\n---\n"
                              "kind: Component\nmetadata: {name: d}\nspec: {type: state.x}\n---\n"
                              "apiVersion: dapr.io/v9\nkind: HTTPEndpoint\nmetadata: {name: e}\n"));
    REQUIRE(f->list.count == 1);
    CHECK_SLICE_IS(f->list.items[0].name, "a");
    CHECK(f->resources.warnings.count == 0 && f->list.broken.count == 0);
    teardown(f);
}

TEST(a_name_defined_twice_is_fatal_unless_the_second_is_out_of_scope)
{
    struct fixture *f = setup();
    CHECK_OK(read_text(f, HEAD("a") "spec: {baseUrl: 'http://a'}\n---\n" HEAD(
                              "a") "spec: {baseUrl: 'http://b'}\nscopes: [other]\n"));
    CHECK(f->list.count == 1);
    CHECK(read_text(f, HEAD("a") "spec: {baseUrl: 'http://c'}\n") == ERR_CONFIG);
    CHECK_SLICE_IS(f->diag.message, "failed to load HTTP endpoints: duplicate definition of "
                                    "HTTPEndpoint name a with existing a");
    teardown(f);
}

TEST(a_broken_document_is_left_out_and_the_others_stay)
{
    static const struct {
        const char *document;
        const char *words;
    } cases[] = {
        { HEAD("x") "spec: []\n", "spec: expected a map, found a list" },
        { HEAD("x") "spec: {baseUrl: [a]}\n", "spec.baseUrl: expected text, found a list" },
        { HEAD("x") "spec: {headers: {}}\n", "spec.headers: expected a list, found a map" },
        { HEAD("x") "spec: {headers: [a]}\n", "spec.headers: expected a map" },
        { HEAD("x") "spec: {headers: [{value: a}]}\n", "spec.headers: expected a name" },
        { HEAD("x") "spec: {headers: [{name: [a]}]}\n", "spec.headers.name: expected text" },
        { HEAD("x") "spec: {headers: [{name: a, secretKeyRef: 5}]}\n",
          "spec.headers.secretKeyRef: expected a map, found a number" },
        { HEAD("x") "spec: {clientTLS: 1}\n", "spec.clientTLS: expected a map, found a number" },
        { HEAD("x") "spec: {clientTLS: {rootCA: a}}\n", "spec.clientTLS: expected a map" },
        { HEAD("x") "spec: {clientTLS: {renegotiation: Always}}\n",
          "invalid renegotiation value Always for http endpoint x" },
        { HEAD("x") "auth: a\n", "auth: expected a map" },
        { HEAD("a/b") "spec: {}\n", "invalid name \"a/b\" for \"HTTPEndpoint\": may not contain" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct fixture *f = setup();
        CHECK_OK(read_text(f, cases[i].document));
        CHECK_OK(read_text(f, HEAD("good") "spec: {baseUrl: 'http://a'}\n"));
        CHECK(f->list.count == 1 && f->list.broken.count == 1);
        CHECK(is_warned(f, "daprd load HTTPEndpoint error when parsing manifests"));
        if (!is_warned(f, cases[i].words))
            CHECK_SLICE_IS(f->resources.warnings.items[0], cases[i].words);
        CHECK(f->resources.first_broken.len == 0); /* components may come and go */
        teardown(f);
    }
}

TEST(an_address_that_cannot_be_used_is_listed_with_a_warning)
{
    struct fixture *f = setup();
    CHECK_OK(read_text(f, HEAD("x") "spec: {baseUrl: 'ftp://a'}\n---\n" HEAD("y")));
    CHECK(f->list.count == 2 && f->list.broken.count == 0);
    CHECK(is_warned(f, "spec.baseUrl: unsupported protocol scheme \"ftp\""));
    CHECK(is_warned(f, "spec.baseUrl: unsupported protocol scheme \"\""));
    teardown(f);
}

TEST(the_sidecars_own_tokens_are_out_of_reach)
{
    struct fixture *f = setup();
    CHECK_OK(read_text(f, HEAD("x") "spec:\n  baseUrl: http://a\n  headers:\n"
                                    "  - {name: T, envRef: DAPR_API_TOKEN}\n"));
    REQUIRE(f->list.count == 1);
    CHECK_SLICE_IS(f->list.items[0].values[0].value, "");
    CHECK(is_warned(f, "envRef names a variable that isn't allowed: DAPR_API_TOKEN"));
    teardown(f);
}

TEST(a_document_is_compared_as_it_was_written)
{
    static const char *const texts[] = {
        "spec: {baseUrl: 'http://a', headers: [{name: h, value: v}]}\n",
        "spec: {baseUrl: 'http://b', headers: [{name: h, value: v}]}\n",
        "spec: {baseUrl: 'http://a', headers: [{name: h, value: w}]}\n",
        "spec: {baseUrl: 'http://a', headers: [{name: h, secretKeyRef: {name: v}}]}\n",
        "spec: {baseUrl: 'http://a', headers: []}\n",
        ("spec: {baseUrl: 'http://a', headers: [{name: h, value: v}], "
         "clientTLS: {rootCA: {value: x}}}\n"),
        "spec: {baseUrl: 'http://a', headers: [{name: h, value: v}]}\nauth: {secretStore: s}\n",
    };
    struct http_endpoint_spec specs[ARRAY_LEN(texts)];
    struct arena kept;
    arena_init(&kept);
    struct fixture *f = setup();
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        f->resources = (struct resources){ 0 };
        CHECK_OK(read_text(f, arena_printf(&kept, HEAD("x") "%s", texts[i]).data));
        REQUIRE(f->list.count == 1);
        specs[i] = f->list.items[0];
    }
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        for (size_t j = 0; j < ARRAY_LEN(texts); j++)
            CHECK(http_endpoint_is_same(&specs[i], &specs[j]) == (i == j));
    teardown(f);
    arena_fini(&kept);
}
