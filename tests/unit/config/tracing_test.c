/* SPDX-License-Identifier: Apache-2.0 */
/* tracing.c and tracing_env.c: what is read, which of Configuration and environment counts. §13 is
 * the behaviour that is matched. */
#include "config/tracing.h"

#include "base/limits.h"
#include "base/macros.h"
#include "test.h"

static struct arena arena;
static struct diag diag;
static struct text_list ignored;
static struct tracing_settings settings;
static const char *const (*variables)[2];
static size_t variable_count;

static const char *
get(void *arg, const char *name)
{
    (void)arg;
    for (size_t i = 0; i < variable_count; i++)
        if (strcmp(variables[i][0], name) == 0)
            return variables[i][1];
    return NULL;
}

/* `spec` is the text under spec.tracing; NULL: there is none. */
static err_t
read_text(const char *spec)
{
    static bool is_used;
    struct node *root = NULL;
    struct node_error error;
    if (is_used)
        arena_fini(&arena);
    is_used = true;
    arena_init(&arena);
    diag_init(&diag, &arena);
    ignored = (struct text_list){ 0 };
    settings = (struct tracing_settings){ 0 };
    if (spec != NULL)
        REQUIRE(node_parse(&arena, slice_str(spec), 1, &root, &error));
    err_t err = tracing_settings_read(&arena, root, &settings, &diag);
    if (err == OK)
        err = tracing_settings_finish(&arena, (struct env){ .get = get }, &settings, &ignored,
                                      &diag);
    variable_count = 0;
    return err;
}

static void
set_variables(const char *const (*list)[2], size_t count)
{
    variables = list;
    variable_count = count;
}

#define SET(...)                                                                                   \
    do {                                                                                           \
        static const char *const list[][2] = { __VA_ARGS__ };                                      \
        set_variables(list, ARRAY_LEN(list));                                                      \
    } while (0)

TEST(without_anything_there_is_no_tracing)
{
    CHECK_OK(read_text(NULL));
    CHECK(!tracing_is_on(&settings));
    CHECK_SLICE_IS(settings.sampler_words, "TraceIDRatioBased{0.0001}");
    CHECK(settings.follows_parent);
}

TEST(a_rate_is_a_text_or_a_number)
{
    static const struct {
        const char *spec, *words;
        double ratio;
    } rows[] = {
        { "samplingRate: \"1\"", "AlwaysOnSampler", 1 },
        { "samplingRate: 1", "AlwaysOnSampler", 1 },
        { "samplingRate: \"0.5\"", "TraceIDRatioBased{0.5}", 0.5 },
        { "samplingRate: \"0\"", "TraceIDRatioBased{0}", 0 },
        { "samplingRate: \"-1\"", "TraceIDRatioBased{0}", 0 },
        { "samplingRate: \"17\"", "AlwaysOnSampler", 17 },
        { "samplingRate: \"1e-05\"", "TraceIDRatioBased{1e-05}", 1e-05 },
        { "samplingRate: often", "TraceIDRatioBased{0.0001}", 0.0001 },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        CHECK_OK(read_text(rows[i].spec));
        CHECK(tracing_is_on(&settings));
        CHECK_SLICE_IS(settings.sampler_words, rows[i].words);
        CHECK(settings.ratio >= rows[i].ratio && settings.ratio <= rows[i].ratio);
    }
}

TEST(otlp_is_read_with_headers_and_timeout)
{
    CHECK_OK(
        read_text("{samplingRate: '1', otel: {endpointAddress: '127.0.0.1:4318', protocol: http, "
                  "isSecure: false, headers: ['a=1', 'b = x%20y '], timeout: 1500}}"));
    CHECK(settings.otel.is_set && !settings.otel.is_secure);
    CHECK_EQ_INT(settings.protocol, OTLP_HTTP);
    CHECK_SLICE_IS(settings.otel.host, "127.0.0.1");
    CHECK_EQ_INT(settings.otel.port, 4318);
    CHECK_SLICE_IS(settings.otel.path, "/v1/traces");
    CHECK_EQ_INT(settings.otel_headers.count, 2);
    CHECK_SLICE_IS(settings.otel_headers.items[1].name, "b");
    CHECK_SLICE_IS(settings.otel_headers.items[1].value, "x y");
    CHECK_EQ_INT(settings.otel_timeout_ms, 1500);
    CHECK_OK(read_text("otel: {endpointAddress: collector, protocol: grpc, headers: 'a=1,b=2', "
                       "timeout: 2s}"));
    CHECK(settings.otel.is_secure);
    CHECK_EQ_INT(settings.otel.port, 4317);
    CHECK_EQ_INT(settings.otel_headers.count, 2);
    CHECK_EQ_INT(settings.otel_timeout_ms, 2000);
    CHECK_SLICE_IS(settings.sampling_rate, "1");
}

TEST(an_endpoint_without_a_protocol_is_named_and_not_used)
{
    CHECK_OK(read_text("{samplingRate: '1', otel: {endpointAddress: '127.0.0.1:4318'}}"));
    CHECK(!settings.otel.is_set);
    REQUIRE(ignored.count == 1);
    CHECK(slice_has_prefix(ignored.items[0], SLICE("spec.tracing.otel")));
}

TEST(what_makes_no_sense_ends_the_start_with_words)
{
    static const char *const rows[][2] = {
        { "[1]", "line 1: spec.tracing must be a map, not a list" },
        { "{samplingRate: [1]}", "line 1: spec.tracing.samplingRate must be a text, not a list" },
        { "{stdout: maybe}", "line 1: spec.tracing.stdout must be a bool, not text" },
        { "{otel: yes}", "line 1: spec.tracing.otel must be a map, not a bool" },
        { "{otel: {isSecure: perhaps}}",
          "line 1: spec.tracing.otel.isSecure must be a bool, not text" },
        { "{otel: {endpointAddress: 'a:1', protocol: udp}}",
          "invalid protocol udp provided for Otel endpoint" },
        { "{otel: {endpointAddress: 'a:b', protocol: http}}", "invalid Otel endpoint \"a:b\"" },
        { "{otel: {endpointAddress: 'u@a', protocol: http}}", "invalid Otel endpoint \"u@a\"" },
        { "{otel: {headers: [x]}}",
          "line 1: spec.tracing.otel.headers must be a list of name=value, not text" },
        { "{otel: {headers: {a: b}}}",
          "line 1: spec.tracing.otel.headers must be a list of name=value, not a map" },
        { "{otel: {timeout: soon}}", "line 1: spec.tracing.otel.timeout must be a duration" },
        { "{zipkin: {endpointAddress: 'localhost:9411'}}",
          "invalid collector URL \"localhost:9411\"" },
        { "{zipkin: {endpointAddress: 'http://'}}", "invalid collector URL \"http://\"" },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        CHECK_EQ_INT(read_text(rows[i][0]), ERR_CONFIG);
        CHECK_SLICE_IS(diag.message, rows[i][1]);
    }
}

TEST(zipkin_has_an_address_of_its_own)
{
    CHECK_OK(read_text("zipkin: {endpointAddress: 'https://z.example/api/v2/spans?a=b'}"));
    CHECK(settings.zipkin.is_set && settings.zipkin.is_secure && !settings.otel.is_set);
    CHECK_EQ_INT(settings.zipkin.port, 443);
    CHECK_SLICE_IS(settings.zipkin.host, "z.example");
    CHECK_SLICE_IS(settings.zipkin.path, "/api/v2/spans?a=b");
}

TEST(the_environment_names_a_collector_where_the_configuration_does_not)
{
    SET({ "OTEL_EXPORTER_OTLP_ENDPOINT", "http://[::1]:1234/base/" },
        { "OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf" }, { "OTEL_EXPORTER_OTLP_HEADERS", "a=1" },
        { "OTEL_EXPORTER_OTLP_TIMEOUT", "2500" });
    CHECK_OK(read_text(NULL));
    CHECK(settings.otel.is_set && !settings.otel.is_secure);
    CHECK_SLICE_IS(settings.otel.host, "::1");
    CHECK_EQ_INT(settings.otel.port, 1234);
    CHECK_SLICE_IS(settings.otel.path, "/base/v1/traces");
    CHECK_EQ_INT(settings.protocol, OTLP_HTTP);
    CHECK_EQ_INT(settings.otel_headers.count, 1);
    CHECK_EQ_INT(settings.otel_timeout_ms, 2500);
    CHECK_SLICE_IS(settings.sampling_rate, "1");
}

TEST(variables_for_traces_come_first)
{
    SET({ "OTEL_EXPORTER_OTLP_ENDPOINT", "a:1" }, { "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "b:2/x" },
        { "OTEL_EXPORTER_OTLP_PROTOCOL", "grpc" },
        { "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json" },
        { "OTEL_EXPORTER_OTLP_INSECURE", "false" },
        { "OTEL_EXPORTER_OTLP_TRACES_INSECURE", "true" });
    CHECK_OK(read_text("samplingRate: '0.5'"));
    CHECK_SLICE_IS(settings.otel.host, "b");
    CHECK_SLICE_IS(settings.otel.path, "/x");
    CHECK_EQ_INT(settings.protocol, OTLP_HTTP);
    CHECK(!settings.otel.is_secure);
    CHECK_SLICE_IS(settings.sampling_rate, "0.5");
}

TEST(a_configuration_beats_the_environment_as_a_whole)
{
    SET({ "OTEL_EXPORTER_OTLP_ENDPOINT", "other:1" }, { "OTEL_EXPORTER_OTLP_HEADERS", "a=1" },
        { "OTEL_EXPORTER_OTLP_INSECURE", "true" }, { "OTEL_EXPORTER_OTLP_TIMEOUT", "1" });
    CHECK_OK(read_text("otel: {endpointAddress: 'mine:2', protocol: grpc}"));
    CHECK_SLICE_IS(settings.otel.host, "mine");
    CHECK(settings.otel.is_secure);
    CHECK_EQ_INT(settings.otel_headers.count, 0);
    CHECK_EQ_INT(settings.otel_timeout_ms, 0);
}

TEST(variables_that_cannot_be_used_are_named)
{
    SET({ "OTEL_EXPORTER_OTLP_ENDPOINT", "a:1" }, { "OTEL_EXPORTER_OTLP_HEADERS", "nonsense" },
        { "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "long" }, { "OTEL_RESOURCE_ATTRIBUTES", "x" },
        { "OTEL_TRACES_SAMPLER", "jaeger_remote" }, { "OTEL_BSP_SCHEDULE_DELAY", "-1" });
    CHECK_OK(read_text(NULL));
    CHECK_EQ_INT(ignored.count, 5);
    CHECK_SLICE_IS(settings.sampler_words, "TraceIDRatioBased{0.0001}");
}

TEST(certificates_are_read_from_files)
{
    static char path[4200];
    snprintf(path, sizeof path, "%s/ca.pem", test_dir());
    FILE *f = fopen(path, "w");
    REQUIRE(f != NULL && fputs("PEM", f) >= 0 && fclose(f) == 0);
    const char *const list[][2] = { { "OTEL_EXPORTER_OTLP_ENDPOINT", "a:1" },
                                    { "OTEL_EXPORTER_OTLP_CERTIFICATE", path },
                                    { "OTEL_EXPORTER_OTLP_CLIENT_KEY", "/nonexistent" } };
    set_variables(list, ARRAY_LEN(list));
    CHECK_OK(read_text(NULL));
    CHECK_SLICE_IS(settings.otel_authorities, "PEM");
    CHECK_EQ_INT(settings.otel_key.len, 0);
    REQUIRE(ignored.count == 1);
    CHECK_SLICE_IS(ignored.items[0], "OTEL_EXPORTER_OTLP_CLIENT_KEY");
}

TEST(samplers_have_names)
{
    static const struct {
        const char *name, *arg, *words;
        bool follows;
        double ratio;
    } rows[] = {
        { "always_on", NULL, "AlwaysOnSampler", false, 1 },
        { "always_off", NULL, "AlwaysOffSampler", false, 0 },
        { "traceidratio", "0.25", "TraceIDRatioBased{0.25}", false, 0.25 },
        { "traceidratio", NULL, "AlwaysOnSampler", false, 1 },
        { "parentbased_always_on", NULL, "AlwaysOnSampler", true, 1 },
        { "parentbased_always_off", NULL, "AlwaysOffSampler", true, 0 },
        { "parentbased_traceidratio", "0.1", "TraceIDRatioBased{0.1}", true, 0.1 },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const char *const list[][2] = { { "OTEL_TRACES_SAMPLER", rows[i].name },
                                        { "OTEL_TRACES_SAMPLER_ARG", rows[i].arg },
                                        { "OTEL_EXPORTER_OTLP_ENDPOINT", "a:1" } };
        set_variables(list, ARRAY_LEN(list));
        CHECK_OK(read_text(NULL));
        CHECK_SLICE_IS(settings.sampler_words, rows[i].words);
        CHECK_EQ_INT(settings.follows_parent, rows[i].follows);
        CHECK(settings.ratio >= rows[i].ratio && settings.ratio <= rows[i].ratio);
        set_variables(list, ARRAY_LEN(list));
        CHECK_OK(read_text("samplingRate: '0.5'"));
        CHECK_SLICE_IS(settings.sampler_words, "TraceIDRatioBased{0.5}");
    }
}

TEST(the_resource_is_the_environments)
{
    SET({ "OTEL_SERVICE_NAME", "till" },
        { "OTEL_RESOURCE_ATTRIBUTES", "zone=n%2Cw,service.name=other,deployment.environment=test" },
        { "OTEL_BSP_SCHEDULE_DELAY", "10" });
    CHECK_OK(read_text("samplingRate: '1'"));
    CHECK_SLICE_IS(settings.service_name, "till");
    REQUIRE(settings.resource.count == 2);
    CHECK_SLICE_IS(settings.resource.items[0].value, "n,w");
    CHECK_SLICE_IS(settings.resource.items[1].name, "deployment.environment");
    CHECK_EQ_INT(settings.delay_ms, 10);
}

TEST(pairs_are_bounded_and_hold_no_control_bytes)
{
    struct tracing_pairs pairs;
    char text[LIMIT_trace_pairs_max * 4 + 8] = "";
    for (int i = 0; i < LIMIT_trace_pairs_max; i++)
        memcpy(text + 4 * i, "a=1,", 5);
    CHECK(tracing_pairs_parse(&arena, slice_str(text), &pairs));
    CHECK_EQ_INT(pairs.count, LIMIT_trace_pairs_max);
    memcpy(text + 4 * LIMIT_trace_pairs_max, "a=1", 4);
    CHECK(!tracing_pairs_parse(&arena, slice_str(text), &pairs));
    CHECK(!tracing_pairs_parse(&arena, SLICE("a=%0a"), &pairs));
    CHECK(!tracing_pairs_parse(&arena, SLICE("a=x\ny"), &pairs));
    CHECK(!tracing_pairs_parse(&arena, SLICE("a b=1"), &pairs));
    CHECK(!tracing_pairs_parse(&arena, SLICE("=1"), &pairs));
}
