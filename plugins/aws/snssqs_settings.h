/* SPDX-License-Identifier: Apache-2.0 */
/* What a component of pubsub.aws.snssqs says, and how its topics and queues are called. */
#ifndef AWS_PLUGIN_SNSSQS_SETTINGS_H
#define AWS_PLUGIN_SNSSQS_SETTINGS_H

#include "settings.h"

enum { SNSSQS_ACCOUNT_LEN = 12, SNSSQS_NAME_BYTES = 80 + 1 };

/* Texts are owned. */
struct snssqs_settings {
    struct settings sns, sqs, sts;
    char *queue_name; /* consumerID, sanitized */
    char *dead_name;  /* NULL: there is no queue of dead letters */
    char *group_id;
    char *account; /* NULL: it has to be asked for */
    bool is_fifo;
    bool is_single;
    bool manages_entities;
    bool deletes_on_limit;
    uint32_t visibility_s;
    uint32_t wait_s;
    uint32_t messages_max;
    int64_t retry_limit;
    int64_t receive_limit; /* of the queue, before a message is dead */
    uint64_t management_timeout_ms;
};

/* False with words, without a secret; snssqs_settings_fini() in any case. */
bool snssqs_settings_read(const struct remora_config *config, struct snssqs_settings *ret_settings,
                          char ret_error[SETTINGS_ERROR_BYTES]);
void snssqs_settings_fini(struct snssqs_settings *settings);

/* A topic's or a queue's name as the services take it: letters, digits, "-" and "_", at most 80
 * with the ".fifo" that those in order end with. */
void snssqs_name(struct remora_slice name, bool is_fifo, char ret_name[SNSSQS_NAME_BYTES]);

/* "aws", "aws-cn": the part of AWS that a region is in; constant. */
const char *snssqs_partition(const char *region);

#endif
