/* SPDX-License-Identifier: Apache-2.0 */
/* What an application answers for its subscriptions, as JSON and as a message: any bytes give a
 * list whose entries name a broker, a topic and at least one path, or none. */
#include <assert.h>
#include <stdint.h>

#include "api/topic_answer.h"
#include "base/log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(const struct topic_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        const struct topic_spec *spec = list->items[i];
        assert(spec->kind == TOPIC_PROGRAMMATIC);
        assert(spec->pubsub.len > 0 && spec->topic.len > 0 && spec->rule_count > 0);
        for (size_t j = 0; j < spec->rule_count; j++)
            assert(spec->rules[j].path.len > 0);
        assert(topic_spec_equal(spec, spec));
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct topic_list list = { 0 };
    struct slice answer = slice_of(data, size);
    log_threshold = LOG_FATAL;
    if (topic_answer_read_json(answer, &list))
        check(&list);
    topic_list_fini(&list);
    list = (struct topic_list){ 0 };
    if (topic_answer_read_grpc(answer, &list))
        check(&list);
    topic_list_fini(&list);
    return 0;
}
