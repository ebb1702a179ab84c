/* SPDX-License-Identifier: Apache-2.0 */
/* What a transaction becomes in a store with an outbox, and what its events become for subscribers.
 */
#include "api/outbox.h"

#include "tests/lib/test.h"

static struct kernel kernel;
static struct arena arena;
static struct request rq;
static struct component store;

static void
begin(void)
{
    const struct component_facts facts = {
        .kind = COMPONENT_STATE,
        .name = SLICE("box"),
        .type = SLICE_EMPTY,
        .version = SLICE_EMPTY,
        .key_prefix = SLICE("app||"),
        .topic_prefix = SLICE_EMPTY,
        .outbox = { .pubsub = SLICE("bus"),
                    .topic = SLICE("orders"),
                    .inner_pubsub = SLICE("inner"),
                    .inner_topic = SLICE("defaultappordersoutbox") },
    };
    kernel.app_id = SLICE("app");
    arena_init(&arena);
    rq = (struct request){
        .arena = &arena, .kernel = &kernel, .traceparent = SLICE_EMPTY, .tracestate = SLICE_EMPTY
    };
    store.facts = component_facts_new(&facts);
}

static void
end(void)
{
    arena_fini(&arena); /* gives the batch's facts back */
    component_facts_unref(store.facts);
}

static struct state_operation
set(const char *key, const char *value, const struct pair *metadata, size_t count)
{
    return (struct state_operation){ .item = { .key = slice_str(key),
                                               .value = slice_str(value),
                                               .is_json = true,
                                               .content_type = SLICE_EMPTY,
                                               .metadata = metadata,
                                               .metadata_count = count } };
}

static struct outbox_batch
plan(const struct state_operation *operations, size_t count)
{
    struct outbox_batch batch;
    REQUIRE_OK(outbox_plan(&rq, &store, operations, count, NULL, 0, &batch));
    return batch;
}

/* A member of an event. */
static struct slice
member(struct slice text, const char *name)
{
    struct cloudevent event;
    struct diag diag;
    diag_init(&diag, &arena);
    REQUIRE_OK(cloudevent_read(&event, &arena, text, &diag));
    struct slice raw = cloudevent_raw(&event, slice_str(name));
    return raw.data == NULL ? SLICE("nothing") : raw;
}

TEST(each_item_has_an_event_and_a_marker_of_its_id)
{
    begin();
    struct state_operation operations[] = { set("a", "\"x\"", NULL, 0), set("gone", "", NULL, 0),
                                            set("b", " 7", NULL, 0) };
    operations[1].is_delete = true;
    struct outbox_batch batch = plan(operations, 3);
    CHECK_EQ_INT(batch.event_count, 2);
    REQUIRE(batch.count == 5);
    CHECK_SLICE_IS(batch.operations[0].item.key, "a");
    CHECK(batch.operations[1].is_delete);
    for (size_t i = 0; i < 2; i++) {
        const struct state_item *marker = &batch.operations[3 + i].item;
        CHECK(outbox_is_id(marker->key) && marker->is_bare && marker->is_json);
        CHECK_EQ_SLICE(marker->key, batch.events[i].id);
        CHECK_SLICE_IS(marker->value, "\"0\"");
        CHECK_EQ_SLICE(member(batch.events[i].text, "id"),
                       cloudevent_quote(&arena, batch.events[i].id));
        CHECK_SLICE_IS(member(batch.events[i].text, "topic"), "\"\"");
        CHECK_SLICE_IS(member(batch.events[i].text, "pubsubname"), "\"inner\"");
        CHECK_SLICE_IS(member(batch.events[i].text, "source"), "\"app\"");
    }
    CHECK_SLICE_IS(member(batch.events[0].text, "data"), "\"x\"");
    CHECK_SLICE_IS(member(batch.events[1].text, "data"), "\"7\"");
    CHECK_SLICE_IS(member(batch.events[1].text, "datacontenttype"), "\"text/plain\"");
    end();
}

TEST(what_only_deletes_stays_as_it_is)
{
    begin();
    struct state_operation operations[] = { set("gone", "", NULL, 0) };
    operations[0].is_delete = true;
    struct outbox_batch batch = plan(operations, 1);
    CHECK_EQ_INT(batch.event_count, 0);
    CHECK_EQ_INT(batch.count, 1);
    end();
}

TEST(the_first_projection_of_a_key_is_told_and_none_is_stored)
{
    begin();
    const struct pair mark[] = { { SLICE("outbox.projection"), SLICE("true") } };
    const struct pair off[] = { { SLICE("outbox.projection"), SLICE("false") } };
    const struct state_operation operations[] = { set("k", "\"one\"", mark, 1),
                                                  set("k", "\"stored\"", NULL, 0),
                                                  set("k", "\"two\"", mark, 1),
                                                  set("other", "\"other\"", off, 1) };
    struct outbox_batch batch = plan(operations, 4);
    CHECK_EQ_INT(batch.count, 4);
    CHECK_EQ_INT(batch.event_count, 2);
    CHECK_SLICE_IS(batch.operations[0].item.value, "\"stored\"");
    CHECK_SLICE_IS(member(batch.events[0].text, "data"), "\"one\"");
    CHECK_SLICE_IS(member(batch.events[1].text, "data"), "\"other\"");
    CHECK_SLICE_IS(member(batch.events[1].text, "outbox.projection"), "nothing");
    end();
}

TEST(a_projection_of_what_is_not_stored_is_refused)
{
    begin();
    const struct pair mark[] = { { SLICE("outbox.projection"), SLICE("true") } };
    struct state_operation operations[] = { set("a", "1", NULL, 0), set("k", "1", NULL, 0),
                                            set("k", "1", mark, 1) };
    struct outbox_batch batch;
    operations[1].is_delete = true;
    CHECK_EQ_INT(outbox_plan(&rq, &store, operations, 3, NULL, 0, &batch), ERR_PUBLISH_OUTBOX);
    CHECK_SLICE_IS(rq.error.message, "error while publishing outbox message: nothing is stored "
                                     "under the key k of a projection");
    CHECK_EQ_INT(rq.error.http, 500);
    end();
}

TEST(overrides_wait_for_their_turn_because_the_id_is_the_markers)
{
    begin();
    const struct pair pairs[] = {
        { SLICE("cloudevent.id"), SLICE("mine") },
        { SLICE("CloudEvent.Type"), SLICE("T") },
        { SLICE("cloudevent.traceparent"), SLICE("p") },
        { SLICE("cloudevent.topic"), SLICE("no") },
        { SLICE("cloudevent.data"), SLICE("no") },
        { SLICE("id"), SLICE("no") },
        { SLICE("data"), SLICE("no") },
        { SLICE("subject"), SLICE("s") },
    };
    const struct state_operation operation = set("k", "\"v\"", pairs, ARRAY_LEN(pairs));
    struct outbox_batch batch = plan(&operation, 1);
    struct slice text = batch.events[0].text;
    CHECK_SLICE_IS(member(text, "cloudevent.id"), "\"mine\"");
    CHECK_SLICE_IS(member(text, "cloudevent.data"), "nothing");
    CHECK_EQ_SLICE(member(text, "id"), cloudevent_quote(&arena, batch.events[0].id));
    CHECK_SLICE_IS(member(text, "subject"), "\"s\"");
    struct cloudevent event;
    struct diag diag;
    diag_init(&diag, &arena);
    REQUIRE_OK(cloudevent_read(&event, &arena, text, &diag));
    for (int i = 0; i < 2; i++) { /* a second attempt changes nothing */
        CHECK(outbox_address(&event, batch.route));
        text = cloudevent_write(&event);
        CHECK_SLICE_IS(member(text, "id"), "\"mine\"");
        CHECK_SLICE_IS(member(text, "type"), "\"T\"");
        CHECK_SLICE_IS(member(text, "traceid"), "\"p\"");
        CHECK_SLICE_IS(member(text, "data"), "\"v\"");
        CHECK_SLICE_IS(member(text, "topic"), "\"orders\"");
        CHECK_SLICE_IS(member(text, "pubsubname"), "\"bus\"");
        CHECK_SLICE_IS(member(text, "cloudevent.id"), "nothing");
    }
    end();
}

TEST(only_ids_of_markers_are_ids)
{
    CHECK(outbox_is_id(SLICE("outbox-aceabacf-f117-4667-bd5a-56f5009ff2d6")));
    static const char *const others[] = { "",
                                          "outbox-",
                                          "key",
                                          "outbox-aceabacf-f117-4667-bd5a-56f5009ff2d",
                                          "outbox-aceabacf-f117-4667-bd5a-56f5009ff2d6a",
                                          "outbox-aceabacf-f117-4667-bd5a-56f5009ff2D6",
                                          "outbox-aceabacf|f117-4667-bd5a-56f5009ff2d6",
                                          "inbox--aceabacf-f117-4667-bd5a-56f5009ff2d6" };
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        CHECK(!outbox_is_id(slice_str(others[i])));
}
