/* SPDX-License-Identifier: Apache-2.0 */
/* Spans, their ids and whether they are sampled; see span.h. */
#include "telemetry/span.h"

#include <sys/random.h>

#include "base/clock.h"
#include "base/limits.h"

void
span_set(struct span *span, struct slice name, struct slice value)
{
    if (value.len == 0)
        return;
    for (size_t i = 0; i < span->attribute_count; i++)
        if (slice_eq(span->attributes[i].name, name)) {
            span->attributes[i].value = value;
            return;
        }
    if (span->attribute_count == SPAN_ATTRIBUTES_MAX) {
        span->dropped_count++;
        return;
    }
    span->attributes[span->attribute_count++] = (struct span_attribute){ name, value };
}

/* --- texts -------------------------------------------------------------------------------------*/

static struct slice
clean(struct slice text, struct arena *arena)
{
    const struct slice replacement = SLICE("\xef\xbf\xbd");
    struct slice rest = slice_first(text, LIMIT_trace_text_bytes);
    if (slice_is_utf8(rest))
        return rest;
    char *out = arena_alloc(arena, rest.len * replacement.len);
    size_t len = 0;
    while (rest.len > 0) {
        size_t step = slice_utf8_len(rest);
        struct slice piece = step == 0 ? replacement : slice_first(rest, step);
        memcpy(out + len, piece.data, piece.len);
        len += piece.len;
        rest = slice_from(rest, step == 0 ? 1 : step);
    }
    return slice_of(out, len);
}

void
span_clean(struct span *span, struct arena *arena)
{
    span->name = clean(span->name, arena);
    span->failure = clean(span->failure, arena);
    for (size_t i = 0; i < span->attribute_count; i++) {
        span->attributes[i].name = clean(span->attributes[i].name, arena);
        span->attributes[i].value = clean(span->attributes[i].value, arena);
    }
}

/* --- ids ---------------------------------------------------------------------------------------*/

/* xoshiro256++, one state a thread: ids must not repeat, but need not be hard to guess. */
static __thread uint64_t state[4];
static __thread bool is_seeded;

static uint64_t
rotate(uint64_t x, unsigned by)
{
    return x << by | x >> (64 - by);
}

static void
seed(void)
{
    if (getrandom(state, sizeof state, GRND_NONBLOCK) !=
        sizeof state) /* early in a machine's life */
        for (size_t i = 0; i < 4; i++)
            state[i] ^= clock_now_ns() * (2 * i + 1) ^ (uintptr_t)&state;
    state[0] |= 1; /* all zero would stay so */
    is_seeded = true;
}

static uint64_t
next_random(void)
{
    if (!is_seeded)
        seed();
    uint64_t result = rotate(state[0] + state[3], 23) + state[0], t = state[1] << 17;
    state[2] ^= state[0];
    state[3] ^= state[1];
    state[1] ^= state[2];
    state[0] ^= state[3];
    state[2] ^= t;
    state[3] = rotate(state[3], 45);
    return result;
}

/* Not zero: that would be no id. */
static void
fill_id(uint8_t *id)
{
    uint64_t word = next_random();
    if (word == 0)
        word = 1;
    memcpy(id, &word, sizeof word);
}

/* --- sampling ----------------------------------------------------------------------------------*/

struct sampler
sampler_ratio(double ratio, bool follows_parent)
{
    struct sampler sampler = { .follows_parent = follows_parent, .root = SAMPLER_OFF };
    if (ratio >= 1)
        sampler.root = SAMPLER_ON;
    else if (ratio > 0)
        sampler = (struct sampler){ .follows_parent = follows_parent,
                                    .root = SAMPLER_RATIO,
                                    .bound = (uint64_t)(ratio * (double)(UINT64_C(1) << 63)) };
    return sampler;
}

/* The last eight bytes of the trace id without their lowest bit, as other tracers decide: services
 * with the same ratio take the same traces. */
static bool
is_below(const uint8_t trace_id[TRACE_ID_BYTES], uint64_t bound)
{
    uint64_t number = 0;
    for (size_t i = TRACE_ID_BYTES / 2; i < TRACE_ID_BYTES; i++)
        number = number << 8 | trace_id[i];
    return number >> 1 < bound;
}

static bool
decide(const struct sampler *sampler, const struct trace_context *parent,
       const uint8_t trace_id[TRACE_ID_BYTES])
{
    if (parent != NULL && sampler->follows_parent)
        return trace_context_is_sampled(parent);
    if (sampler->root == SAMPLER_RATIO)
        return is_below(trace_id, sampler->bound);
    return sampler->root == SAMPLER_ON;
}

struct trace_context
trace_context_new(const struct sampler *sampler, const struct trace_context *parent)
{
    struct trace_context context = { .flags = 0 };
    if (parent != NULL) {
        context = *parent;
    } else {
        fill_id(context.trace_id);
        fill_id(context.trace_id + TRACE_ID_BYTES / 2);
    }
    fill_id(context.span_id);
    context.flags &= (uint8_t)~TRACE_FLAG_SAMPLED;
    if (decide(sampler, parent, context.trace_id))
        context.flags |= TRACE_FLAG_SAMPLED;
    return context;
}
