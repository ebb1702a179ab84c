/* SPDX-License-Identifier: Apache-2.0 */
/* Output bindings over HTTP. */
#include "api/binding.h"
#include "surface/body_json.h"
#include "surface/http_surface.h"

/* {"data": any, "operation": text, "metadata": {text}} */
static err_t
parse(struct request *rq, struct slice body, void *ret)
{
    struct binding_request *request = ret;
    struct body_parser p = body_parser_of(rq, body, "OutputBindingRequest");
    struct pair *pairs = NULL;
    struct slice name;
    enum json_type type = json_peek(&p.json);
    request->data = SLICE("null");
    if (type != JSON_OBJECT) {
        if (type != JSON_NULL)
            body_wrong_value(&p, type, "http.OutputBindingRequest");
        body_skip(&p);
        return body_verdict(&p, "failed deserializing HTTP body: ");
    }
    json_enter(&p.json);
    while (json_object_next(&p.json, rq->arena, &name)) {
        if (slice_eq_nocase(name, SLICE("data")))
            (void)json_skip(&p.json, &request->data); /* the parser remembers a failure */
        else if (slice_eq_nocase(name, SLICE("operation")))
            (void)body_read_text(&p, "operation", &request->operation);
        else if (slice_eq_nocase(name, SLICE("metadata")))
            body_read_metadata(&p, &pairs, &request->metadata_count);
        else
            body_skip(&p);
    }
    request->metadata = pairs;
    return body_verdict(&p, "failed deserializing HTTP body: ");
}

void
http_binding_invoke(struct http_call *call)
{
    struct binding_request request = { .name = call->params[0], .operation = SLICE_EMPTY };
    struct binding_response response;
    if (!http_parse(call, parse, &request)) /* suspends */
        return;
    err_t err = binding_invoke(&call->rq, &request, &response); /* suspends */
    call->more_count = binding_headers(&call->rq, &response, &call->more);
    if (err != OK)
        http_fail(call);
    else if (response.responds)
        http_json(call, 200, response.data);
    else
        http_no_content(call);
}
