/* SPDX-License-Identifier: Apache-2.0 */
/* Resiliency documents: defaults, several documents, scopes, and what is refused with which words
 * (REFERENCE-BEHAVIOUR §5, §16; PUB-84). */
#include "config/resiliency.h"

#include "base/limits.h"
#include "test.h"

#define HEAD "kind: Resiliency\nmetadata: {name: rz}\nspec:\n"

static struct arena arena;

static struct resiliency_config
read_as(const char *yaml, const char *namespace_name)
{
    const struct resource_filter filter = { .app_id = SLICE("me"),
                                            .namespace_name = slice_str(namespace_name) };
    struct resources resources = { 0 };
    struct resiliency_config config;
    struct arena scratch;
    struct diag diag;
    arena_reset(&arena);
    arena_init(&scratch);
    diag_init(&diag, &scratch);
    REQUIRE_OK(resources_add_text(&scratch, "r.yaml", slice_str(yaml), &resources, &diag));
    if (resources.warnings.count > 0)
        fprintf(stderr, "  %s\n", resources.warnings.items[0].data);
    resiliency_read(&arena, &resources, &filter, &config);
    arena_fini(&scratch); /* nothing of it may be needed any more */
    return config;
}

static struct resiliency_config
read_all(const char *yaml)
{
    return read_as(yaml, "");
}

TEST(defaults_are_those_of_the_reference)
{
    struct resiliency_config config = read_all(HEAD
                                               "  policies:\n"
                                               "    retries: {c: {}, e: {policy: exponential}}\n"
                                               "    circuitBreakers: {b: {}}\n");
    CHECK_EQ_INT(config.errors.count, 0);
    const struct retry_policy *c = resiliency_retry(&config, SLICE("c"));
    const struct retry_policy *e = resiliency_retry(&config, SLICE("e"));
    const struct breaker_policy *b = resiliency_breaker(&config, SLICE("b"));
    REQUIRE(c != NULL && e != NULL && b != NULL);
    CHECK(!c->is_exponential && c->delay_ms == 5000 && c->retries_max == -1);
    CHECK(e->is_exponential && e->delay_ms_max == 60000 && e->retries_max == -1);
    CHECK_EQ_U64(e->elapsed_ms_max, 15 * 60 * 1000);
    CHECK(c->http.count == 0 && code_ranges_match(&c->http, 404));
    CHECK(b->requests_max == 1 && b->interval_ms == 0 && b->timeout_ms == 60000);
    CHECK_EQ_INT(b->trip.op_count, 0);
}

TEST(every_field_is_read)
{
    struct resiliency_config config = read_all(
        HEAD
        "  policies:\n"
        "    timeouts: {general: 5s, important: 1m30s, number: 250, off: 0, tiny: 1us}\n"
        "    retries:\n"
        "      r: {policy: Exponential, duration: 10ms, maxInterval: 15s, maxRetries: 10,\n"
        "          matching: {httpStatusCodes: '429,500-504, 509', gRPCStatusCodes: 14}}\n"
        "      none: {maxRetries: 0}\n"
        "      all: {maxRetries: -7}\n"
        "    circuitBreakers:\n"
        "      b: {maxRequests: 3, interval: 8s, timeout: 45s, trip: consecutiveFailures > 8}\n"
        "      zero: {maxRequests: 0, timeout: 0s}\n"
        "  targets:\n"
        "    apps: {a: {timeout: general, retry: r, circuitBreaker: b, "
        "circuitBreakerCacheSize: 7}}\n"
        "    actors: {T: {circuitBreaker: b, circuitBreakerScope: type}}\n"
        "    components: {c: {inbound: {retry: none}, outbound: {timeout: important}}, "
        "d: null}\n");
    CHECK_EQ_INT(config.errors.count + config.warnings.count, 0);
    CHECK_EQ_U64(resiliency_timeout(&config, SLICE("general"))->timeout_ms, 5000);
    CHECK_EQ_U64(resiliency_timeout(&config, SLICE("important"))->timeout_ms, 90000);
    CHECK_EQ_U64(resiliency_timeout(&config, SLICE("number"))->timeout_ms, 250);
    CHECK_EQ_U64(resiliency_timeout(&config, SLICE("off"))->timeout_ms, 0);
    CHECK_EQ_U64(resiliency_timeout(&config, SLICE("tiny"))->timeout_ms, 1); /* not none */
    const struct retry_policy *r = resiliency_retry(&config, SLICE("r"));
    CHECK(r->is_exponential && r->delay_ms == 10 && r->delay_ms_max == 15000);
    CHECK_EQ_INT(r->retries_max, 10);
    static const int in[] = { 429, 500, 502, 504, 509 }, out[] = { 428, 430, 499, 505, 508, 14 };
    for (size_t i = 0; i < sizeof in / sizeof in[0]; i++)
        CHECK(code_ranges_match(&r->http, in[i]));
    for (size_t i = 0; i < sizeof out / sizeof out[0]; i++)
        CHECK(!code_ranges_match(&r->http, out[i]));
    CHECK(code_ranges_match(&r->grpc, 14) && !code_ranges_match(&r->grpc, 13));
    CHECK_EQ_INT(resiliency_retry(&config, SLICE("none"))->retries_max, 0);
    CHECK_EQ_INT(resiliency_retry(&config, SLICE("all"))->retries_max, -1);
    const struct breaker_policy *b = resiliency_breaker(&config, SLICE("b"));
    CHECK(b->requests_max == 3 && b->interval_ms == 8000 && b->timeout_ms == 45000);
    CHECK_SLICE_IS(b->trip.text, "consecutiveFailures > 8");
    CHECK_EQ_INT(resiliency_breaker(&config, SLICE("zero"))->requests_max, 1);
    CHECK_EQ_U64(resiliency_breaker(&config, SLICE("zero"))->timeout_ms, 60000);
    const struct target_rule *a = resiliency_rule(&config, TARGET_APP, SLICE("a"));
    CHECK_SLICE_IS(a->names.timeout, "general");
    CHECK_SLICE_IS(a->names.retry, "r");
    CHECK_SLICE_IS(a->names.breaker, "b");
    CHECK_SLICE_IS(a->document, "rz");
    CHECK_EQ_INT(a->breakers_max, 7);
    CHECK(resiliency_rule(&config, TARGET_ACTOR, SLICE("T"))->breaker_scope == BREAKER_SCOPE_TYPE);
    const struct target_rule *c = resiliency_rule(&config, TARGET_COMPONENT, SLICE("c"));
    CHECK_SLICE_IS(c->inbound.retry, "none");
    CHECK_SLICE_IS(c->names.timeout, "important");
    CHECK(resiliency_rule(&config, TARGET_COMPONENT, SLICE("d")) != NULL);
    CHECK(resiliency_rule(&config, TARGET_COMPONENT, SLICE("a")) == NULL);
    CHECK(resiliency_rule(&config, TARGET_COMPONENT, SLICE("")) == NULL);
}

TEST(a_mistake_leaves_the_document_out_and_says_which)
{
    static const struct {
        const char *spec, *error;
    } rows[] = {
        { "{policies: {timeouts: {t: soon}}}",
          "invalid duration \"t\", soon: time: invalid duration \"soon\"" },
        { "{policies: {timeouts: {t: [1s]}}}",
          "invalid duration \"t\": expected text, found a list" },
        { "{policies: {timeouts: [1s]}}", "timeouts: expected a map, found a list (line 3)" },
        { "{policies: {retries: {r: {policy: linear}}}}",
          "invalid retry configuration \"r\": error decoding 'policy': unexpected back off policy "
          "type: linear" },
        { "{policies: {retries: {r: {duration: 5 s}}}}",
          "invalid retry configuration \"r\": error decoding 'duration': time: unknown unit \" s\" "
          "in duration \"5 s\"" },
        { "{policies: {retries: {r: {maxRetries: many}}}}",
          "invalid retry configuration \"r\": error decoding 'maxRetries': invalid number "
          "\"many\"" },
        { "{policies: {retries: {r: {matching: 500}}}}",
          "invalid retry configuration \"r\": matching: expected a map, found a number" },
        { "{policies: {retries: {r: {matching: {httpStatusCodes: '99'}}}}}",
          "invalid pattern 99, start code 99 is not valid" },
        { "{policies: {retries: {r: {matching: {httpStatusCodes: 500-600}}}}}",
          "invalid pattern 500-600, end code 600 is not valid" },
        { "{policies: {retries: {r: {matching: {httpStatusCodes: 504-500}}}}}",
          "invalid pattern 504-500, start value should not bigger than end value" },
        { "{policies: {retries: {r: {matching: {httpStatusCodes: 500-502-504}}}}}",
          "invalid pattern 500-502-504, more than one '-' exists" },
        { "{policies: {retries: {r: {matching: {httpStatusCodes: 5xx}}}}}",
          "failed to parse start code 5xx from pattern 5xx to int" },
        { "{policies: {retries: {r: {matching: {gRPCStatusCodes: '0-17'}}}}}",
          "invalid pattern 0-17, end code 17 is not valid" },
        { "{policies: {retries: {r: {matching: {gRPCStatusCodes: '-1'}}}}}",
          "failed to parse start code  from pattern -1 to int" },
        { "{policies: {circuitBreakers: {b: {maxRequests: -1}}}}",
          "invalid circuit breaker configuration \"b\": error decoding 'maxRequests': -1 is out of "
          "range" },
        { "{policies: {circuitBreakers: {b: {trip: consecutiveFailures >}}}}",
          "invalid circuit breaker configuration \"b\": error decoding 'trip': column 22: the "
          "expression ends too soon" },
        { "{targets: {apps: {a: retry}}}", "targets.apps.a: expected a map, found text" },
        { "{targets: {apps: {a: {retry: {}}}}}",
          "targets.apps.a: retry: expected text, found a map (line 3)" },
        { "{targets: {apps: {a: {circuitBreakerCacheSize: -1}}}}",
          "targets.apps.a: circuitBreakerCacheSize: must provide a positive size" },
        { "{targets: {actors: {T: {circuitBreaker: b}}}}",
          "actor circuit breakers must include scope" },
        { "{targets: {actors: {T: {circuitBreaker: b, circuitBreakerScope: all}}}}",
          "unknown circuit breaker scope \"all\"" },
        { "{targets: {components: {c: {inbound: 5}}}}",
          "targets.components.c: expected a map, found a number" },
        { "[]", "spec: expected a map, found a list" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char yaml[512], error[512];
        (void)snprintf(yaml, sizeof yaml,
                       "kind: Resiliency\nmetadata: {name: rz}\nspec: %s\n---\n"
                       "kind: Resiliency\nmetadata: {name: good}\n",
                       rows[i].spec);
        (void)snprintf(error, sizeof error, "Could not read resiliency policy rz: %s",
                       rows[i].error);
        struct resiliency_config config = read_all(yaml);
        bool ok = CHECK_EQ_INT(config.errors.count, 1) &&
                  CHECK_SLICE_IS(config.errors.items[0], error) &&
                  CHECK_SLICE_IS(config.refused.items[0], "rz") &&
                  CHECK_EQ_INT(config.document_count, 1) &&
                  CHECK_SLICE_IS(config.documents[0].name, "good");
        if (!ok)
            fprintf(stderr, "  in %s\n", rows[i].spec);
    }
}

TEST(documents_are_joined_and_the_last_one_wins)
{
    struct resiliency_config config = read_all(
        "kind: Resiliency\nmetadata: {name: one, namespace: ns}\nspec:\n"
        "  policies: {timeouts: {t: 1s, a: 1s}, retries: {r: {maxRetries: 1}}}\n"
        "  targets: {apps: {x: {timeout: t}, y: {timeout: z}}}\n"
        "---\n"
        "kind: Component\nmetadata: {name: two}\nspec: {type: state.in-memory}\n"
        "---\n"
        "kind: Resiliency\nmetadata: {name: three}\nspec:\n"
        "  policies: {timeouts: {t: 2s, z: 3s}}\n"
        "  targets: {apps: {x: {retry: r}}}\n");
    CHECK_EQ_INT(config.errors.count + config.warnings.count, 0);
    CHECK_EQ_INT(config.document_count, 2);
    CHECK_EQ_U64(resiliency_timeout(&config, SLICE("t"))->timeout_ms, 2000);
    CHECK_EQ_U64(resiliency_timeout(&config, SLICE("a"))->timeout_ms, 1000);
    CHECK_EQ_U64(resiliency_timeout(&config, SLICE("z"))->timeout_ms, 3000);
    CHECK_EQ_INT(resiliency_retry(&config, SLICE("r"))->retries_max, 1);
    const struct target_rule *x = resiliency_rule(&config, TARGET_APP, SLICE("x"));
    CHECK(x->names.timeout.len == 0);
    CHECK_SLICE_IS(x->names.retry, "r");
    CHECK_SLICE_IS(x->document, "three");
    CHECK_SLICE_IS(resiliency_rule(&config, TARGET_APP, SLICE("y"))->namespace_, "ns");
}

TEST(scopes_and_namespaces_choose_documents)
{
    static const char *yaml = "kind: Resiliency\nmetadata: {name: mine}\nscopes: [other, me]\n"
                              "---\nkind: Resiliency\nmetadata: {name: theirs}\nscopes: [other]\n"
                              "---\nkind: Resiliency\nmetadata: {name: far, namespace: far}\n"
                              "---\nkind: Resiliency\nmetadata: {name: near, namespace: near}\n";
    struct resiliency_config config = read_all(yaml);
    CHECK_EQ_INT(config.document_count, 3);
    config = read_as(yaml, "near");
    REQUIRE(config.document_count == 2);
    CHECK_SLICE_IS(config.documents[0].name, "mine");
    CHECK_SLICE_IS(config.documents[1].name, "near");
}

TEST(policies_that_do_not_exist_are_warned_of)
{
    struct resiliency_config config = read_all(
        HEAD "  targets: {apps: {a: {timeout: t}}, components: {c: {inbound: {retry: r}, "
             "outbound: {circuitBreaker: b}}}}\n");
    CHECK_EQ_INT(config.document_count, 1);
    REQUIRE(config.warnings.count == 3);
    CHECK_SLICE_IS(config.warnings.items[0],
                   "Resiliency target apps.a names the timeout policy t, which does not exist; it "
                   "has none");
    CHECK_SLICE_IS(config.warnings.items[1],
                   "Resiliency target components.c names the circuit breaker policy b, which does "
                   "not exist; it has none");
}

TEST(built_in_retries_may_be_more_but_not_fewer_than_three)
{
    struct resiliency_config config = read_all(
        HEAD "  policies: {retries: {DaprBuiltInServiceRetries: {maxRetries: 1}, "
             "DaprBuiltInActorRetries: {maxRetries: 4}}}\n");
    CHECK_EQ_INT(resiliency_retry(&config, SLICE("DaprBuiltInServiceRetries"))->retries_max, 3);
    CHECK_EQ_INT(resiliency_retry(&config, SLICE("DaprBuiltInActorRetries"))->retries_max, 4);
    REQUIRE(config.warnings.count == 1);
    CHECK_SLICE_IS(config.warnings.items[0],
                   "Attempted override of DaprBuiltInServiceRetries did not meet minimum retry "
                   "count, resetting to 3.");
}

TEST(a_change_anywhere_in_the_spec_is_seen)
{
    char first[512];
    struct resiliency_config config = read_all(HEAD "  policies: {timeouts: {t: 1s}}\n");
    (void)snprintf(first, sizeof first, SLICE_FMT, SLICE_ARG(config.documents[0].source));
    config = read_all(HEAD "  policies:\n    timeouts:\n      t: 1s # a comment\n");
    CHECK_SLICE_IS(config.documents[0].source, first);
    config = read_all(HEAD "  policies: {timeouts: {t: 1.0s}}\n");
    CHECK(!slice_eq(config.documents[0].source, slice_str(first)));
}

/* The item with a number behind its first letter. */
static struct slice
printed(const char *item, unsigned number)
{
    return arena_printf(&arena, "%c%u%s", item[0], number, item + 1);
}

/* `count` policies as one document. */
static struct slice
many(const char *begin, const char *item, unsigned count, const char *end)
{
    struct arena_bytes bytes = { 0 };
    arena_append(&arena, &bytes, slice_str(begin));
    for (unsigned i = 0; i < count; i++)
        arena_append(&arena, &bytes, printed(item, i));
    arena_append(&arena, &bytes, slice_str(end));
    arena_append(&arena, &bytes, slice_of("", 1));
    return arena_bytes_slice(&bytes);
}

TEST(numbers_of_everything_are_bounded)
{
    char *yaml = slice_copy(many(HEAD "  policies: {timeouts: {", "t: 1s, ",
                                 LIMIT_resiliency_policies_max + 1, "}}\n"));
    struct resiliency_config config = read_all(yaml);
    REQUIRE(config.errors.count == 1);
    CHECK(slice_find(config.errors.items[0], SLICE("more than")) > 0);
    free(yaml);
    yaml = slice_copy(many(HEAD "  policies: {timeouts: {", "t: 1s, ",
                           LIMIT_resiliency_policies_max,
                           "}}\n---\n" HEAD "  policies: {timeouts: {one-more: 1s}}\n"));
    config = read_all(yaml);
    REQUIRE(config.errors.count == 1);
    CHECK(slice_find(config.errors.items[0], SLICE("more than")) > 0);
    CHECK_EQ_INT(config.timeout_count, LIMIT_resiliency_policies_max);
    free(yaml);
    yaml = slice_copy(many(HEAD "  policies: {retries: {r: {matching: {gRPCStatusCodes: '1", ",",
                           LIMIT_resiliency_ranges_max, "'}}}}\n"));
    config = read_all(yaml);
    REQUIRE(config.errors.count == 1);
    CHECK(slice_find(config.errors.items[0], SLICE("more than")) > 0);
    free(yaml);
}
