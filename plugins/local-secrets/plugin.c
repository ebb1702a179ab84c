/* SPDX-License-Identifier: Apache-2.0 */
/*
 * local-secrets: secret stores for development, secretstores.local.file and secretstores.local.env.
 * Both hold their secrets in memory and answer every call before it returns.
 */
#include <remora_plugin.h>

#include <stdlib.h>

#include "environment.h"
#include "file.h"

enum { ERROR_BYTES = 512 };

/* --- secretstores.local.file -------------------------------------------------------------------*/

static void
init_file(remora_call *call, const struct remora_config *config)
{
    char error[ERROR_BYTES];
    struct file *file = file_open(config->metadata, config->metadata_count, error, sizeof error);
    if (file == NULL)
        remora_reply_error(call, REMORA_INVALID_ARGUMENT, "%s", error);
    else
        remora_reply_init(call, file,
                          file->is_multi_valued ? REMORA_CAP_MULTIPLE_KEY_VALUES_PER_SECRET : 0, 0);
}

static void
close_file(void *self)
{
    file_close(self);
}

static void
get_from_file(remora_call *call, void *self, struct remora_slice name,
              const struct remora_pair *metadata, size_t metadata_count)
{
    (void)metadata; /* there is one version only */
    (void)metadata_count;
    const struct remora_secret *secret = secrets_find(file_secrets(self), name);
    if (secret == NULL)
        remora_secret_reply_missing(call);
    else
        remora_secret_reply_value(call, secret->pairs, secret->pair_count);
}

static void
get_all_from_file(remora_call *call, void *self, const struct remora_pair *metadata,
                  size_t metadata_count)
{
    (void)metadata;
    (void)metadata_count;
    const struct secrets *secrets = file_secrets(self);
    remora_secret_reply_all(call, secrets->items, secrets->count);
}

/* --- secretstores.local.env --------------------------------------------------------------------*/

static void
init_environment(remora_call *call, const struct remora_config *config)
{
    remora_reply_init(call, environment_open(config), 0, 0);
}

static void
close_environment(void *self)
{
    environment_close(self);
}

static void
get_from_environment(remora_call *call, void *self, struct remora_slice name,
                     const struct remora_pair *metadata, size_t metadata_count)
{
    (void)metadata;
    (void)metadata_count;
    const struct environment *environment = self;
    const struct remora_secret *secret = secrets_find(environment->secrets, name);
    const struct remora_pair empty = { name, { "", 0 } };
    remora_secret_reply_value(call, secret == NULL ? &empty : secret->pairs, 1);
}

static void
get_all_from_environment(remora_call *call, void *self, const struct remora_pair *metadata,
                         size_t metadata_count)
{
    (void)metadata;
    (void)metadata_count;
    const struct environment *environment = self;
    remora_secret_reply_all(call, environment->secrets->items, environment->secrets->count);
}

/* --- registration ------------------------------------------------------------------------------*/

static const struct remora_secret_ops file_ops = { .get = get_from_file,
                                                   .get_all = get_all_from_file };
static const struct remora_secret_ops environment_ops = { .get = get_from_environment,
                                                          .get_all = get_all_from_environment };

static const struct remora_component_type types[] = {
    { .type = "secretstores.local.file",
      .versions = "v1",
      .init = init_file,
      .close = close_file,
      .secret = &file_ops },
    { .type = "secretstores.local.env",
      .versions = "v1",
      .init = init_environment,
      .close = close_environment,
      .secret = &environment_ops },
};

int
main(int argc, char **argv)
{
    static const struct remora_plugin plugin = {
        .name = "local-secrets",
        .version = "1.0.0",
        .types = types,
        .type_count = sizeof types / sizeof types[0],
    };
    return remora_plugin_main(&plugin, argc, argv);
}
