/* SPDX-License-Identifier: Apache-2.0 */
/* Services of AWS, and of what speaks as they do. Read on in s3.h, sqs.h, secrets.h,
 * dynamo.h and broker.h. */
#include "../shared/transfer.h"
#include "dynamo.h"
#include "s3.h"
#include "secrets.h"
#include "snssqs.h"
#include "sqs.h"

static bool
setup(void)
{
    return transfer_setup(0);
}

static const struct remora_component_type types[] = {
    { .type = "bindings.aws.s3",
      .versions = "v1",
      .init = s3_init,
      .close = s3_close,
      .binding = &s3_ops },
    { .type = "bindings.aws.sqs",
      .versions = "v1",
      .init = sqs_init,
      .quiesce = sqs_quiesce,
      .close = sqs_close,
      .binding = &sqs_ops },
    { .type = "state.aws.dynamodb",
      .versions = "v1",
      .init = dynamo_init,
      .close = dynamo_close,
      .state = &dynamo_ops },
    { .type = "secretstores.aws.secretsmanager",
      .versions = "v1",
      .init = secrets_init_manager,
      .close = secrets_close,
      .secret = &secrets_ops },
    { .type = "secretstores.aws.parameterstore",
      .versions = "v1",
      .init = secrets_init_parameters,
      .close = secrets_close,
      .secret = &secrets_ops },
    { .type = "pubsub.aws.snssqs",
      .versions = "v1",
      .init = snssqs_init,
      .quiesce = snssqs_quiesce,
      .close = snssqs_close,
      .pubsub = &snssqs_ops },
};

int
main(int argc, char **argv)
{
    static const struct remora_plugin plugin = {
        .name = "aws",
        .version = "1.0.0",
        .types = types,
        .type_count = sizeof types / sizeof types[0],
        .setup = setup,
    };
    return remora_plugin_main(&plugin, argc, argv);
}
