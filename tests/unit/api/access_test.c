/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may call what: the reference's own cases, what was tried against it and others, and that the
 * list sees the path that the application sees (INV-58, INV-U13).
 */
#include "api/access.h"

#include "api/invoke.h"
#include "base/limits.h"
#include "config/access_control.h"
#include "http/path.h"
#include "test.h"

static struct arena arena;
static struct access_control control;

static void
configure(const char *text)
{
    struct node *root;
    struct node_error error;
    struct access_spec spec = { 0 };
    struct diag diag;
    arena_reset(&arena);
    diag_init(&diag, &arena);
    REQUIRE(node_parse(&arena, slice_str(text), 1, &root, &error));
    access_spec_merge(&spec, root);
    REQUIRE(access_control_read(&arena, &spec, &control, &diag) == OK);
}

static bool
asks(const char *caller, const char *verb, struct slice path, bool is_http)
{
    return access_is_allowed(control.policy,
                             &(struct access_question){ .caller_id = slice_str(caller),
                                                        .verb = slice_str(verb),
                                                        .path = path,
                                                        .is_http = is_http });
}

#define APP1 "spiffe://public/ns/ns1/app1"
#define APP2 "spiffe://domain1/ns/ns2/app2"
#define APP3 "spiffe://domain1/ns/ns1/app3"
#define APP4 "spiffe://domain1/ns/ns2/app4"

static bool
http(const char *caller, const char *verb, const char *path)
{
    return asks(caller, verb, slice_str(path), true);
}

static bool
grpc(const char *caller, const char *path)
{
    return asks(caller, "", slice_str(path), false);
}

static const char reference_list[] =
    "defaultAction: deny\n"
    "trustDomain: abcd\n"
    "policies:\n"
    "- {appId: app1, defaultAction: allow, trustDomain: public, namespace: ns1, operations: [\n"
    "    {name: /op1, action: allow, httpVerb: [POST, GET]},\n"
    "    {name: /op2, action: deny, httpVerb: ['*']}]}\n"
    "- {appId: app2, defaultAction: deny, trustDomain: domain1, namespace: ns2, operations: [\n"
    "    {name: '/op3/a/*', action: allow, httpVerb: [PUT, GET]},\n"
    "    {name: /op4, action: allow, httpVerb: [POST]}]}\n"
    "- {appId: app3, trustDomain: domain1, namespace: ns1, operations: [\n"
    "    {name: /op5, action: allow, httpVerb: [POST]}]}\n"
    "- {appId: app4, defaultAction: deny, trustDomain: domain1, namespace: ns2, operations: [\n"
    "    {name: /op6, action: allow}, {name: '/op7/a/b/*', action: allow},\n"
    "    {name: /op7/a/b/c/f, action: allow}, {name: '/op7/a/b*', action: allow},\n"
    "    {name: '/op7/c/**', action: allow}]}\n"
    "- {appId: app1, defaultAction: allow, trustDomain: public, namespace: ns4, operations: [\n"
    "    {name: /op6, action: allow, httpVerb: ['*']}]}\n";

TEST(without_a_policy_everything_is_allowed)
{
    control = (struct access_control){ 0 };
    CHECK(http("", "", "/a"));
    CHECK(grpc("nonsense", "/a%2Fb"));
}

TEST(callers_fall_under_their_policy_or_the_default)
{
    configure(reference_list);
    CHECK(http(APP1, "POST", "/op1"));
    CHECK(http(APP1, "POST", "/opX"));
    CHECK(!http("spiffe://public/ns/ns1/appX", "POST", "/op1"));
    CHECK(!http("spiffe://private/ns/ns1/app1", "POST", "/op1"));
    CHECK(!http("spiffe://public/ns/abcd/app1", "POST", "/op1"));
    CHECK(http("spiffe://public/ns/ns4/app1", "POST", "/op1"));
    CHECK(!http(APP3, "PUT", "/op5"));
    CHECK(http(APP3, "POST", "/op5"));
}

/* Without mutual TLS nobody proves anything: the default action of the policy, as the reference. */
TEST(who_cannot_be_told_falls_under_the_default)
{
    static const char *const nobodies[] = { "",
                                            "app1",
                                            "spiffe://public/ns/ns1",
                                            "spiffe://public/ns/ns1/app1/x",
                                            "spiffe://public/sa/ns1/app1",
                                            "spiffe://public/ns//app1",
                                            "spiffe:///ns/ns1/app1",
                                            "SPIFFE://PUBLIC/ns/ns1/app1",
                                            "spiffe://public/ns/ns1/app1?x",
                                            "spiffe://public/ns/ns1/app1#",
                                            "spiffe://public/ns/ns1/../ns1/app1",
                                            "spiffe://public:80/ns/ns1/app1",
                                            "https://public/ns/ns1/app1" };
    configure(reference_list);
    for (size_t i = 0; i < ARRAY_LEN(nobodies); i++)
        if (!CHECK(!http(nobodies[i], "POST", "/op1")))
            fprintf(stderr, "  for %s\n", nobodies[i]);
    configure("defaultAction: allow\npolicies: [{appId: app1, namespace: ns1, trustDomain: public, "
              "defaultAction: deny}]");
    for (size_t i = 0; i < ARRAY_LEN(nobodies); i++)
        CHECK(http(nobodies[i], "POST", "/op1"));
    CHECK(!http(APP1, "POST", "/op1"));
}

TEST(verbs_count_for_http_only)
{
    configure(reference_list);
    CHECK(!http(APP1, "PUT", "/op2"));
    CHECK(http(APP2, "POST", "/op4"));
    CHECK(!http(APP2, "PUT", "/op4"));
    CHECK(!http(APP2, "post", "/op4"));
    CHECK(!http(APP2, "", "/op4"));
    CHECK(http(APP2, "PUT", "/op3/a"));
    CHECK(http(APP2, "PUT", "/op3/a/b"));
    CHECK(!http(APP2, "PUT", "/op3/b/b"));
    CHECK(http(APP1, "", "/op1"));
    CHECK(!http(APP1, "", "/op2"));
    CHECK(!http(APP3, "", "/op5"));
    CHECK(grpc(APP2, "/op4"));
    CHECK(!grpc(APP2, "/OP4"));
}

TEST(grpc_calls_match_as_in_the_reference)
{
    configure(reference_list);
    CHECK(grpc(APP4, "/op6"));
    CHECK(grpc(APP4, "/op7/a/b/c"));
    CHECK(!grpc(APP4, "/op7/a/b/c/d"));
    CHECK(grpc(APP4, "/op7/a/b/c/f"));
    CHECK(grpc(APP4, "/op7/a/bc"));
    CHECK(grpc(APP4, "/op7/c/d/e"));
    CHECK(!http(APP4, "GET", "/op6")); /* a rule without verbs allows no HTTP call */
}

#define LIST(action, operations)                                                                   \
    "defaultAction: " action "\npolicies: [{appId: app1, namespace: ns1, trustDomain: public, "    \
    "operations: [" operations "]}]"

TEST(rules_that_were_dead_in_the_reference_can_forbid_but_not_allow)
{
    configure(LIST("allow", "{name: /a, httpVerb: [GET], action: allow},"
                            "{name: /a/secret, httpVerb: [GET], action: deny},"
                            "{name: '/o/*/items', httpVerb: ['*'], action: deny},"
                            "{name: '/x*/b', httpVerb: ['*'], action: allow},"
                            "{name: /xy/c, httpVerb: ['*'], action: deny},"
                            "{name: /v, httpVerb: [post], action: deny},"
                            "{name: /w, action: deny},"
                            "{name: /t, httpVerb: [GET], action: allow},"
                            "{name: /t, httpVerb: [POST], action: deny}"));
    CHECK(http(APP1, "GET", "/a"));
    CHECK(!http(APP1, "GET", "/a/secret"));
    CHECK(!http(APP1, "GET", "/o/7/items"));
    CHECK(http(APP1, "GET", "/o/7"));
    CHECK(!http(APP1, "GET", "/xy/c"));
    CHECK(!http(APP1, "POST", "/v"));
    CHECK(!http(APP1, "GET", "/w"));
    CHECK(!http(APP1, "POST", "/t"));
    CHECK(http(APP1, "GET", "/t"));
    configure(LIST("deny", "{name: /a, httpVerb: ['*'], action: deny},"
                           "{name: /a/open, httpVerb: ['*'], action: allow},"
                           "{name: '/o/*/items', httpVerb: ['*'], action: allow},"
                           "{name: /v, httpVerb: [post], action: allow},"
                           "{name: /w, action: allow},"
                           "{name: /t, httpVerb: [GET], action: allow},"
                           "{name: /t, httpVerb: [POST], action: allow}"));
    CHECK(!http(APP1, "GET", "/a/open"));
    CHECK(!http(APP1, "GET", "/o/7/items"));
    CHECK(!http(APP1, "POST", "/v"));
    CHECK(!http(APP1, "GET", "/w"));
    CHECK(http(APP1, "GET", "/t"));
    CHECK(!http(APP1, "POST", "/t"));
}

TEST(an_exception_may_stand_before_the_rule)
{
    configure(LIST("allow", "{name: /api/open, httpVerb: ['*'], action: allow},"
                            "{name: '/api/**', httpVerb: ['*'], action: deny}"));
    CHECK(http(APP1, "GET", "/api/open"));
    CHECK(http(APP1, "GET", "/api/open/x"));
    CHECK(!http(APP1, "GET", "/api/other"));
    CHECK(!http(APP1, "GET", "/api"));
}

TEST(http_calls_have_to_pass_with_and_without_regard_to_case)
{
    configure(LIST("allow", "{name: /Admin, httpVerb: ['*'], action: deny}"));
    CHECK(!http(APP1, "GET", "/admin"));
    CHECK(!http(APP1, "GET", "/ADMIN/x"));
    CHECK(grpc(APP1, "/admin"));
    CHECK(!grpc(APP1, "/Admin"));
    configure(LIST("deny", "{name: /public, httpVerb: ['*'], action: allow}"));
    CHECK(http(APP1, "GET", "/public"));
    CHECK(!http(APP1, "GET", "/Public"));
}

/* Tricks against lists that allow /public only and against lists that forbid /admin: methods as
 * clients name them over HTTP, decoded once by the surface, and cleaned as every path is. */
struct trick {
    const char *method;
    bool public_only; /* what each list says */
    bool not_admin;
};

static const struct trick http_tricks[] = {
    { "public", true, true },
    { "admin", false, false },
    { "admin/", false, false },
    { "admin/secret/", false, false },
    { "ADMIN", false, false },
    { "Public", false, true },
    { "public/extra", true, true },
    { "public//extra", true, true },
    { "admin%2F..%2Fpublic", true, true },
    { "admin%2F..%2F..%2Fpublic", true, true },
    { "admin%2Fsecret%2F..%2F..%2Fpublic", true, true },
    { "public%2F..%2Fadmin", false, false },
    { "public%25%2F..%2Fadmin", false, false },
    { "..%2Fadmin", false, false },
    { "%2Fadmin", false, false },
    { ".%2Fadmin", false, false },
    { "x%2F..%2Fadmin", false, false },
    { "%61dmin", false, false },
    { "%2561dmin", false, false }, /* the application decodes once more */
    { "%2541DMIN", false, false },
    { "admin%252Fsecret", false, false },
    { "admin%252fsecret", false, false },
    { "admin%255Csecret", false, false },
    { "admin%5Csecret", false, false },
    { "%252E%252E/admin", false, false },
    { "public/x%252F..%252F..%252Fadmin", false, false },
    { "public/%252e%252e/admin", false, false },
    { "public%5C..%5Cadmin", false, false },
    { "admin%5C..%5Cpublic", false, false },
    { "admin%2F..%5C..%2Fpublic", false, false },
    { "admin%25stream", false, false }, /* no escape: no request can be made of it */
    { "admin%2Astream", false, true },
    { "*", false, true },
    { "**", false, true },
    { "admin;x", false, true }, /* another path, whatever a framework makes of it */
    { "public;..%2F..%2Fadmin", false, false },
    { "admin%EF%BC%8Fx", false, true },
    { "admin%C0%AFx", false, true },
    { "public%C0%AF..%C0%AFadmin", false, true },
    { "admin%20", false, true },
    { "admin.", false, true },
    { "admin..", false, true },
    { "...", false, true },
    { "", false, true },
};

static bool
clean(const char *method, bool is_decoded, struct slice *ret_path)
{
    struct slice text = slice_str(method);
    if (is_decoded && !path_decode(&arena, text, &text))
        return false;
    return invoke_clean_method(&arena, text, ret_path);
}

static void
check_tricks(const struct trick *tricks, size_t count, bool is_http)
{
    for (size_t i = 0; i < count; i++) {
        struct slice path;
        configure(LIST("deny", "{name: /public, httpVerb: ['*'], action: allow}"));
        REQUIRE(clean(tricks[i].method, is_http, &path));
        bool ok = CHECK_EQ_INT(asks(APP1, "GET", path, is_http), tricks[i].public_only);
        configure(LIST("allow", "{name: /admin, httpVerb: ['*'], action: deny},"
                                "{name: '/admin/**', httpVerb: ['*'], action: deny}"));
        REQUIRE(clean(tricks[i].method, is_http, &path));
        ok = CHECK_EQ_INT(asks(APP1, "GET", path, is_http), tricks[i].not_admin) && ok;
        if (!ok)
            fprintf(stderr, "  for %s\n", tricks[i].method);
    }
}

TEST(tricks_over_http_are_judged_on_what_the_application_gets)
{
    check_tricks(http_tricks, ARRAY_LEN(http_tricks), true);
}

/* Nothing is decoded on the way to a gRPC application. */
TEST(tricks_over_grpc_are_judged_literally)
{
    static const struct trick tricks[] = {
        { "public", true, true },
        { "/public", true, true },
        { "admin/../public", true, true },
        { "admin/../../public", true, true },
        { "public/../admin", false, false },
        { "/admin%09/../public", true, true },
        { "admin%2F..%2Fpublic", false, true },
        { "admin%2Fsecret", false, true },
        { "admin%2Fsecret/../public", true, true },
        { "public%/../admin", false, false },
        { "admin\\..\\public", false, true },
        { "/public;../../admin", false, false },
        { "/admin\xef\xbc\x8f..\xef\xbc\x8fpublic", false, true },
        { "/admin\xc0\xaf..\xc0\xafpublic", false, true },
        { "%61dmin", false, true },
        { "ADMIN", false, true },
    };
    check_tricks(tricks, ARRAY_LEN(tricks), false);
}

TEST(methods_that_are_no_path_reach_no_list)
{
    static const char *const methods[] = { "public%23", "admin%3Fignored", "admin%00public",
                                           "public%0D", "public%0A",       "public%09",
                                           "public%7f", "%23%3F" };
    struct slice path;
    for (size_t i = 0; i < ARRAY_LEN(methods); i++)
        CHECK(!clean(methods[i], true, &path));
}

TEST(a_path_that_is_none_or_too_long_is_on_no_list)
{
    static char path[LIMIT_access_path_bytes_max + 1];
    memset(path, 'a', sizeof path);
    path[0] = '/';
    configure(LIST("allow", "{name: /x, httpVerb: ['*'], action: deny}"));
    CHECK(asks(APP1, "GET", slice_of(path, sizeof path - 1), true));
    CHECK(!asks(APP1, "GET", slice_of(path, sizeof path), true));
    CHECK(!asks(APP1, "GET", SLICE_EMPTY, true));
    CHECK(!asks(APP1, "GET", SLICE("a"), false));
}

/* --- what the application sees -----------------------------------------------------------------*/

static uint64_t random_state = 88172645463325252;

static unsigned
draw(unsigned below)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (unsigned)(random_state >> 33) % below;
}

static struct slice
draw_method(void)
{
    static const char *const pieces[] = { "/",   "/",   "admin", "public", "..",     ".",  "%2F",
                                          "%2e", "%25", "%61",   "%",      "\\",     ";x", "A",
                                          " ",   "é",   "*",     "%C3%A9", "secret", "x",  "%5c" };
    struct arena_bytes bytes = { 0 };
    for (unsigned i = draw(8); i > 0; i--)
        arena_append(&arena, &bytes, slice_str(pieces[draw(ARRAY_LEN(pieces))]));
    return arena_bytes_slice(&bytes);
}

/* The path an HTTP application parses from the request that is made for it. */
static bool
seen_by_http(struct slice path, struct slice *ret_seen)
{
    struct slice wire, bad;
    return invoke_encode_path(&arena, path, &wire, &bad) && path_decode(&arena, wire, ret_seen);
}

TEST(list_and_application_never_see_two_paths)
{
    static const char *const lists[] = {
        LIST("deny", "{name: '/public/**', httpVerb: ['*'], action: allow}"),
        LIST("allow", "{name: '/admin/**', httpVerb: ['*'], action: deny}"),
        LIST("allow", "{name: '/*/secret', httpVerb: ['*'], action: deny}"),
    };
    unsigned allowed = 0;
    for (unsigned i = 0; i < 30000; i++) {
        struct slice path, again, seen;
        if (i % 10000 == 0)
            configure(lists[i / 10000]);
        if (!invoke_clean_method(&arena, draw_method(), &path))
            continue;
        CHECK(invoke_clean_method(&arena, slice_from(path, 1), &again));
        CHECK_EQ_SLICE(path, again); /* cleaned on both sides, a path stays what it is */
        if (!asks(APP1, "GET", path, true))
            continue;
        allowed++;
        REQUIRE(seen_by_http(path, &seen));
        bool ok = CHECK_EQ_SLICE(path_clean(&arena, seen), seen);
        ok = CHECK(slice_find_byte(seen, '\\') < 0)
        &&ok;
        ok = CHECK(slice_find(seen, SLICE("..")) < 0 || slice_find(path, SLICE("..")) >= 0)
        &&ok;
        if (slice_find_byte(seen, '%') < 0) /* else it can be decoded no further */
            ok = CHECK(asks(APP1, "GET", seen, true))
        &&ok;
        if (!ok)
            fprintf(stderr, "  for " SLICE_FMT "\n", SLICE_ARG(path));
    }
    CHECK(allowed > 3000);
}
