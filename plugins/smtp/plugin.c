/* SPDX-License-Identifier: Apache-2.0 */
/* bindings.smtp: a letter sent. Read on in letter.h for the letter, in delivery.h for its way. */
#include <stdlib.h>
#include <string.h>

#include "../shared/memory.h"
#include "../shared/text.h"
#include "../shared/transfer.h"
#include "delivery.h"

static bool
setup(void)
{
    return transfer_setup(0);
}

static void
init(remora_call *call, const struct remora_config *config)
{
    char error[SETTINGS_ERROR_BYTES];
    struct settings *settings = memory_new(sizeof *settings);
    if (settings_read(config, settings, error)) {
        remora_reply_init(call, settings, REMORA_CAP_OUTPUT_BINDING, 0);
        return;
    }
    remora_reply_error(call, REMORA_INVALID_ARGUMENT, "%s", error);
    free(settings);
}

static void
close_settings(void *self)
{
    settings_fini(self);
    free(self);
}

/* What the request says, or else the component. */
static struct remora_slice
either(const struct remora_binding_request *request, const char *name, const char *otherwise)
{
    struct remora_slice value;
    if (remora_metadata_get(request->metadata, request->metadata_count, name, &value) &&
        value.len > 0)
        return value;
    return (struct remora_slice){ otherwise, otherwise == NULL ? 0 : strlen(otherwise) };
}

/* NULL: all that a letter needs is there. */
static const char *
missing(const struct letter *letter)
{
    if (letter->from.len == 0)
        return "emailFrom";
    if (letter->to.len == 0)
        return "emailTo";
    return letter->subject.len == 0 ? "subject" : NULL;
}

static void
create(remora_call *call, void *self, const struct remora_binding_request *request)
{
    const struct settings *settings = self;
    char error[LETTER_ERROR_BYTES];
    struct letter_written written;
    struct remora_slice priority = either(request, "priority", NULL);
    struct letter letter = {
        .from = either(request, "emailFrom", settings->from),
        .to = either(request, "emailTo", settings->to),
        .cc = either(request, "emailCC", settings->cc),
        .bcc = either(request, "emailBCC", settings->bcc),
        .subject = either(request, "subject", settings->subject),
        .body = text_unquote(call, request->data),
        .priority = settings->priority,
        .at = time(NULL),
    };
    const char *name = missing(&letter);
    if (priority.len > 0 && !settings_priority(priority, &letter.priority, error))
        remora_reply_error(call, REMORA_INVALID_ARGUMENT, "%s", error);
    else if (name != NULL)
        remora_reply_error(call, REMORA_INVALID_ARGUMENT,
                           "smtp binding error: %s property not supplied in configuration- or "
                           "request-metadata",
                           name);
    else if (!letter_write(&letter, &written, error))
        remora_reply_error(call, REMORA_INVALID_ARGUMENT,
                           "error from smtp binding, sending email failed: %s", error);
    else
        delivery_start(call, settings, &written);
}

static const struct remora_binding_ops ops = {
    .operations = "create",
    .invoke = create,
};

int
main(int argc, char **argv)
{
    static const struct remora_component_type types[] = {
        { .type = "bindings.smtp",
          .versions = "v1",
          .init = init,
          .close = close_settings,
          .binding = &ops },
    };
    static const struct remora_plugin plugin = {
        .name = "smtp",
        .version = "1.0.0",
        .types = types,
        .type_count = sizeof types / sizeof types[0],
        .setup = setup,
    };
    return remora_plugin_main(&plugin, argc, argv);
}
