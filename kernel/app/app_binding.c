/* SPDX-License-Identifier: Apache-2.0 */
/* Questions about input bindings; see app_binding.h. */
#include "app/app_binding.h"

#include "app/app_http.h"
#include "app/grpc_app.h"
#include "base/limits.h"
#include "base/wire.h"

err_t
app_binding_probe(struct task *t, struct app_channel *channel, struct slice path,
                  bool *ret_is_wanted)
{
    const struct http_header type = { SLICE("Content-Type"), SLICE("application/json") };
    const struct client_head head = {
        .method = SLICE("OPTIONS"), .target = path, .headers = &type, .header_count = 1
    };
    struct slice body;
    int status = 0;
    uint64_t outer = task_deadline_push(t, app_settings(channel->app)->binding_options_ms);
    err_t err = app_http_ask(t, channel, &head, SLICE_EMPTY, LIMIT_app_config_bytes_max, &status,
                             &body); /* suspends */
    task_deadline_pop(t, outer);
    if (err == OK)
        *ret_is_wanted = status / 100 == 2 || status == 405;
    return err;
}

err_t
app_binding_list(struct task *t, struct app_channel *channel, struct slice *ret_list)
{
    uint64_t outer = task_deadline_push(t, app_settings(channel->app)->binding_options_ms);
    err_t err = app_grpc_bindings(t, channel, ret_list); /* suspends */
    task_deadline_pop(t, outer);
    return err;
}

/* ListInputBindingsResponse { repeated string bindings = 1 } */
bool
app_binding_is_listed(struct slice list, struct slice name)
{
    struct wire_reader r = wire_reader(list);
    struct wire_field f;
    while (wire_next(&r, &f))
        if (f.field == 1 && f.type == WIRE_BYTES && slice_eq(f.bytes, name))
            return true;
    return false;
}
