/* SPDX-License-Identifier: Apache-2.0 */
/* Reads metadata of pubsub.aws.snssqs; see snssqs_settings.h. */
#include "snssqs_settings.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "../shared/memory.h"

enum {
    VISIBILITY_MAX_S = 12 * 60 * 60, /* the services' limits */
    WAIT_MAX_S = 20,
    MESSAGES_MAX = 10,
    MANAGEMENT_MAX_S = 60 * 60,
};

/* --- names -------------------------------------------------------------------------------------*/

static bool
is_plain(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
}

void
snssqs_name(struct remora_slice name, bool is_fifo, char ret_name[SNSSQS_NAME_BYTES])
{
    static const char suffix[] = ".fifo";
    const size_t suffix_len = sizeof suffix - 1;
    const size_t most = SNSSQS_NAME_BYTES - 1 - (is_fifo ? suffix_len : 0);
    size_t used = 0;
    if (is_fifo && name.len >= suffix_len &&
        memcmp(name.data + name.len - suffix_len, suffix, suffix_len) == 0)
        name.len -= suffix_len;
    for (size_t i = 0; i < name.len && used < most; i++)
        if (is_plain(name.data[i]))
            ret_name[used++] = name.data[i];
    ret_name[used] = '\0';
    if (is_fifo)
        memcpy(ret_name + used, suffix, sizeof suffix);
}

const char *
snssqs_partition(const char *region)
{
    static const char *const partitions[][2] = {
        { "cn-", "aws-cn" },         { "us-gov-", "aws-us-gov" }, { "us-iso-", "aws-iso" },
        { "us-isob-", "aws-iso-b" }, { "eu-isoe-", "aws-iso-e" }, { "us-isof-", "aws-iso-f" },
    };
    for (size_t i = 0; i < sizeof partitions / sizeof partitions[0]; i++)
        if (strncmp(region, partitions[i][0], strlen(partitions[i][0])) == 0)
            return partitions[i][1];
    return "aws";
}

/* --- fields ------------------------------------------------------------------------------------*/

static int64_t
take_number(struct reader *reader, const char *name, int64_t or_else)
{
    struct remora_slice text;
    int64_t number = or_else;
    if (reader_find(reader, name, &text) && !remora_parse_i64(text, &number))
        reader_complain(reader, "cannot parse '%s' as int: parsing \"%.*s\": invalid syntax", name,
                        (int)(text.len < 64 ? text.len : 64), text.data);
    return number;
}

static uint32_t
take_bounded(struct reader *reader, const char *name, int64_t or_else, int64_t most)
{
    const int64_t number = take_number(reader, name, or_else);
    if (number < 1)
        reader_complain(reader, "%s must be greater than 0", name);
    else if (number > most)
        reader_complain(reader, "%s must be less than or equal to %lld", name, (long long)most);
    return number < 1 || number > most ? 1 : (uint32_t)number;
}

static bool
take_flag(struct reader *reader, const char *name)
{
    struct remora_slice text;
    bool flag = false;
    if (reader_find(reader, name, &text) && !remora_parse_bool(text, &flag) &&
        !remora_slice_eq(text, "false"))
        reader_complain(reader, "cannot parse '%s' as bool: invalid syntax", name);
    return flag;
}

/* Seconds, with a fraction perhaps. */
static uint64_t
take_timeout(struct reader *reader)
{
    static const char name[] = "assetsManagementTimeoutSeconds";
    char *text = settings_text(reader, name), *end = NULL;
    const double seconds = text == NULL ? 5. : strtod(text, &end);
    if (text != NULL && *end != '\0')
        reader_complain(reader, "cannot parse '%s' as float: invalid syntax", name);
    const bool is_good = seconds > 0. && seconds <= (double)MANAGEMENT_MAX_S;
    if (!is_good)
        reader_complain(reader, "%s must be greater than 0, and at most %d", name,
                        MANAGEMENT_MAX_S);
    free(text);
    return is_good ? (uint64_t)(seconds * 1e3) + 1 : 1;
}

static char *
take_name(struct reader *reader, const char *field, bool is_fifo)
{
    struct remora_slice text;
    char name[SNSSQS_NAME_BYTES];
    if (!reader_find(reader, field, &text))
        return NULL;
    snssqs_name(text, is_fifo, name);
    if (*name == '\0' || *name == '.')
        reader_complain(reader, "%s has no character of a queue's name in it", field);
    return memory_text(name);
}

static void
take_dead_letters(struct reader *reader, struct snssqs_settings *s)
{
    s->dead_name = take_name(reader, "sqsDeadLettersQueueName", s->is_fifo);
    s->receive_limit = take_number(reader, "messageReceiveLimit", 0);
    if ((s->receive_limit > 0) != (s->dead_name != NULL))
        reader_complain(reader, "to use SQS dead letters queue, messageReceiveLimit and "
                                "sqsDeadLettersQueueName must both be set to a value");
    if (s->receive_limit > 1000) /* the service's limit */
        reader_complain(reader, "messageReceiveLimit must be less than or equal to 1000");
    if (s->dead_name != NULL && !s->deletes_on_limit)
        reader_complain(reader, "configuration conflict: 'disableDeleteOnRetryLimit' cannot be set "
                                "to 'true' when 'sqsDeadLettersQueueName' is set to a value");
}

static void
take_concurrency(struct reader *reader, struct snssqs_settings *s)
{
    char *mode = settings_text(reader, "concurrencyMode");
    s->is_single = mode != NULL && strcmp(mode, "single") == 0;
    if (mode != NULL && !s->is_single && strcmp(mode, "parallel") != 0)
        reader_complain(reader, "invalid concurrencyMode %.64s", mode);
    free(mode);
}

/* Of another length it is none, and asked for. */
static void
take_account(struct reader *reader, struct snssqs_settings *s)
{
    s->account = settings_text(reader, "accountId");
    if (s->account == NULL)
        return;
    if (strlen(s->account) != SNSSQS_ACCOUNT_LEN) {
        free(s->account);
        s->account = NULL;
    } else if (s->account[strspn(s->account, "0123456789")] != '\0') {
        reader_complain(reader, "accountId is not the number of an account");
    }
}

static void
take_all(struct reader *reader, struct snssqs_settings *s)
{
    s->is_fifo = take_flag(reader, "fifo");
    s->manages_entities = !take_flag(reader, "disableEntityManagement");
    s->deletes_on_limit = !take_flag(reader, "disableDeleteOnRetryLimit");
    s->queue_name = take_name(reader, "consumerID", s->is_fifo);
    if (s->queue_name == NULL)
        reader_complain(reader, "consumerID must be set");
    s->visibility_s = take_bounded(reader, "messageVisibilityTimeout", 10, VISIBILITY_MAX_S);
    s->retry_limit = take_number(reader, "messageRetryLimit", 10);
    if (s->retry_limit < 2)
        reader_complain(reader, "messageRetryLimit must be greater than 1");
    take_dead_letters(reader, s);
    s->wait_s = take_bounded(reader, "messageWaitTimeSeconds", 2, WAIT_MAX_S);
    s->messages_max = take_bounded(reader, "messageMaxNumber", 10, MESSAGES_MAX);
    s->group_id = settings_text(reader, "fifoMessageGroupID");
    if (s->group_id == NULL)
        s->group_id = settings_text(reader, "consumerID");
    s->management_timeout_ms = take_timeout(reader);
    take_concurrency(reader, s);
    take_account(reader, s);
}

/* Older names, which say other things than they do elsewhere. */
static size_t
put_newer_names(const struct remora_config *config, struct remora_pair *out)
{
    static const char *const names[][2] = { { "awsAccountID", "accessKey" },
                                            { "awsSecret", "secretKey" } };
    for (size_t i = 0; i < config->metadata_count; i++) {
        out[i] = config->metadata[i];
        for (size_t n = 0; n < sizeof names / sizeof names[0]; n++)
            if (out[i].name.len == strlen(names[n][0]) &&
                strncasecmp(out[i].name.data, names[n][0], out[i].name.len) == 0)
                out[i].name = (struct remora_slice){ names[n][1], strlen(names[n][1]) };
    }
    return config->metadata_count;
}

bool
snssqs_settings_read(const struct remora_config *config, struct snssqs_settings *ret_settings,
                     char ret_error[SETTINGS_ERROR_BYTES])
{
    struct remora_pair *pairs = memory_new((config->metadata_count + 1) * sizeof *pairs);
    struct remora_config newer = *config;
    newer.metadata_count = put_newer_names(config, pairs);
    newer.metadata = pairs;
    struct reader reader = { .config = &newer,
                             .why = ret_error,
                             .why_bytes = SETTINGS_ERROR_BYTES };
    struct snssqs_settings s = { .is_fifo = false };
    take_all(&reader, &s);
    settings_read(&reader, "sns", &s.sns);
    settings_read(&reader, "sqs", &s.sqs);
    settings_read(&reader, "sts", &s.sts);
    *ret_settings = s;
    free(pairs);
    return !reader.failed;
}

void
snssqs_settings_fini(struct snssqs_settings *settings)
{
    settings_fini(&settings->sns);
    settings_fini(&settings->sqs);
    settings_fini(&settings->sts);
    free(settings->queue_name);
    free(settings->dead_name);
    free(settings->group_id);
    free(settings->account);
    *settings = (struct snssqs_settings){ .account = NULL };
}
