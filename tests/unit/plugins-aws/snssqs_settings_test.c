/* SPDX-License-Identifier: Apache-2.0 */
/* Names of topics and queues, parts of AWS, and older names of metadata. */
#include "plugins/aws/snssqs_settings.h"
#include "test.h"

static struct remora_slice
slice(const char *text)
{
    return (struct remora_slice){ text, strlen(text) };
}

static const char *
name(const char *text, bool is_fifo)
{
    static char out[SNSSQS_NAME_BYTES];
    snssqs_name(slice(text), is_fifo, out);
    return out;
}

TEST(PUB_snssqs_names_are_those_of_the_reference)
{
    char long_name[120], wanted[SNSSQS_NAME_BYTES];
    memset(long_name, 'x', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = '\0';
    CHECK_EQ_STR(name("orders_2-B", false), "orders_2-B");
    CHECK_EQ_STR(name("a/b:c !\xc3\xa9.d", false), "abcd");
    CHECK_EQ_STR(name("orders", true), "orders.fifo");
    CHECK_EQ_STR(name("orders.fifo", true), "orders.fifo");
    CHECK_EQ_STR(name("orders.fifo", false), "ordersfifo");
    CHECK_EQ_STR(name(".fifo", true), ".fifo");
    CHECK_EQ_STR(name("", false), "");
    (void)snprintf(wanted, sizeof wanted, "%.80s", long_name);
    CHECK_EQ_STR(name(long_name, false), wanted);
    (void)snprintf(wanted, sizeof wanted, "%.75s.fifo", long_name);
    CHECK_EQ_STR(name(long_name, true), wanted);
}

TEST(PUB_snssqs_regions_are_in_their_part_of_aws)
{
    CHECK_EQ_STR(snssqs_partition("eu-central-1"), "aws");
    CHECK_EQ_STR(snssqs_partition("cn-north-1"), "aws-cn");
    CHECK_EQ_STR(snssqs_partition("us-gov-west-1"), "aws-us-gov");
    CHECK_EQ_STR(snssqs_partition("us-iso-east-1"), "aws-iso");
    CHECK_EQ_STR(snssqs_partition("us-isob-east-1"), "aws-iso-b");
}

TEST(PUB_snssqs_older_names_of_metadata_count)
{
    const struct remora_pair metadata[] = {
        { slice("awsaccountid"), slice("a") }, { slice("awsSecret"), slice("s") },
        { slice("awsRegion"), slice("r") },    { slice("Endpoint"), slice("http://h:1") },
        { slice("consumerID"), slice("q.q") }, { slice("accountID"), slice("123456789012") },
        { slice("fifo"), slice("true") },
    };
    const struct remora_config config = { .metadata = metadata,
                                          .metadata_count = sizeof metadata / sizeof metadata[0] };
    char error[SETTINGS_ERROR_BYTES] = "";
    struct snssqs_settings s;
    CHECK(snssqs_settings_read(&config, &s, error));
    CHECK_EQ_STR(error, "");
    CHECK_EQ_STR(s.queue_name, "qq.fifo");
    CHECK_EQ_STR(s.group_id, "q.q");
    CHECK_EQ_STR(s.account, "123456789012");
    CHECK_EQ_STR(s.sns.host, "h:1");
    CHECK_EQ_STR(aws_credentials_now(s.sns.credentials)->access_key, "a");
    CHECK_EQ_STR(aws_credentials_now(s.sns.credentials)->secret_key, "s");
    CHECK(s.visibility_s == 10 && s.wait_s == 2 && s.messages_max == 10 && s.retry_limit == 10);
    CHECK(s.manages_entities && s.deletes_on_limit && !s.is_single);
    CHECK(s.management_timeout_ms / 1000 == 5);
    snssqs_settings_fini(&s);
}
