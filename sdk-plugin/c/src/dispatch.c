/* SPDX-License-Identifier: Apache-2.0 */
/* Which method goes where, and what a call needs to be taken at all. */
#include "sdk.h"

#include <assert.h>

enum need { NEED_UNKNOWN, NEED_NOTHING, NEED_COMPONENT };

static enum need
need_of(uint32_t method)
{
    switch ((Remora__Plugin__V1__Method)method) {
    case METHOD(INIT):
    case METHOD(PING):
        return NEED_NOTHING;
    case METHOD(START):
    case METHOD(QUIESCE):
    case METHOD(CLOSE):
    case METHOD(EXPORT):
    case METHOD(IMPORT):
    case METHOD(STATE_GET):
    case METHOD(STATE_BULK_GET):
    case METHOD(STATE_SET):
    case METHOD(STATE_DELETE):
    case METHOD(STATE_TRANSACT):
    case METHOD(STATE_QUERY):
    case METHOD(STATE_DELETE_PREFIX):
    case METHOD(STATE_KEYS_LIKE):
    case METHOD(SECRET_GET):
    case METHOD(SECRET_BULK_GET):
    case METHOD(NAME_RESOLVE):
    case METHOD(PUBSUB_PUBLISH):
    case METHOD(PUBSUB_PUBLISH_BULK):
    case METHOD(PUBSUB_SUBSCRIBE):
    case METHOD(PUBSUB_UNSUBSCRIBE):
    case METHOD(CONFIGURATION_GET):
    case METHOD(CONFIGURATION_SUBSCRIBE):
    case METHOD(CONFIGURATION_UNSUBSCRIBE):
    case METHOD(LOCK_TRY):
    case METHOD(LOCK_UNLOCK):
    case METHOD(CRYPTO_GET_KEY):
    case METHOD(CRYPTO_ENCRYPT):
    case METHOD(CRYPTO_DECRYPT):
    case METHOD(CRYPTO_WRAP):
    case METHOD(CRYPTO_UNWRAP):
    case METHOD(CRYPTO_SIGN):
    case METHOD(CRYPTO_VERIFY):
    case METHOD(BINDING_INVOKE):
    case METHOD(BINDING_READ):
    case METHOD(BINDING_STOP):
    case METHOD(CONVERSE):
    case METHOD(MIDDLEWARE_HANDLE):
    case METHOD(ECHO):
    case METHOD(ECHO_STREAM):
        return NEED_COMPONENT;
    case METHOD(UNSPECIFIED):
    case METHOD(HOST_STATE_GET):
    case METHOD(HOST_STATE_SET):
    case METHOD(HOST_STATE_DELETE):
    case METHOD(HOST_DELIVER):
    case METHOD(HOST_CONFIGURATION_CHANGED):
    case METHOD(HOST_BINDING_EVENT):
    case _REMORA__PLUGIN__V1__METHOD_IS_INT_SIZE:
    default:
        return NEED_UNKNOWN;
    }
}

static bool
is_echo(uint32_t method)
{
    return method == METHOD(ECHO) || method == METHOD(ECHO_STREAM);
}

bool
dispatch_accept(struct remora_call *call)
{
    call->state = CALL_RUNNING; /* may be answered */
    const enum need need = need_of(call->method);
    struct component *component = component_find(call->handle);
    if (need == NEED_UNKNOWN) {
        call_fail(call, REMORA_UNIMPLEMENTED, "method %u is not implemented", call->method);
        return false;
    }
    if (need == NEED_COMPONENT &&
        (component == NULL || !component->is_ready || component->is_closing)) {
        call_fail(call, REMORA_FAILED_PRECONDITION, "component handle %u is not initialised",
                  call->handle);
        return false;
    }
    if (is_echo(call->method) && !echo_is_served(component)) {
        call_fail(call, REMORA_UNIMPLEMENTED, "only test components echo");
        return false;
    }
    if (need == NEED_COMPONENT) {
        component_enter(component);
        call->component = component;
    }
    call->state = CALL_RECEIVING;
    return true;
}

/* One function a building block, which has a range of numbers to itself. */
static void
run_block(struct remora_call *call)
{
    static const struct {
        Remora__Plugin__V1__Method first, last;
        void (*run)(struct remora_call *call);
    } blocks[] = {
        { METHOD(STATE_GET), METHOD(STATE_KEYS_LIKE), state_run },
        { METHOD(SECRET_GET), METHOD(SECRET_BULK_GET), secrets_run },
        { METHOD(NAME_RESOLVE), METHOD(NAME_RESOLVE), names_run },
        { METHOD(PUBSUB_PUBLISH), METHOD(PUBSUB_UNSUBSCRIBE), pubsub_run },
        { METHOD(CONFIGURATION_GET), METHOD(CONFIGURATION_UNSUBSCRIBE), configuration_run },
        { METHOD(LOCK_TRY), METHOD(LOCK_UNLOCK), lock_run },
        { METHOD(CRYPTO_GET_KEY), METHOD(CRYPTO_VERIFY), crypto_run },
        { METHOD(BINDING_INVOKE), METHOD(BINDING_STOP), binding_run },
        { METHOD(CONVERSE), METHOD(CONVERSE), conversation_run },
        { METHOD(MIDDLEWARE_HANDLE), METHOD(MIDDLEWARE_HANDLE), middleware_run },
    };
    for (size_t i = 0; i < ARRAY_LEN(blocks); i++) {
        if (call->method >= (uint32_t)blocks[i].first && call->method <= (uint32_t)blocks[i].last) {
            blocks[i].run(call);
            return;
        }
    }
    assert(!"dispatch_accept() lets no such method in");
}

static void
run_method(struct remora_call *call)
{
    switch (call->method) {
    case METHOD(INIT):
        component_init(call);
        break;
    case METHOD(START):
        component_start(call);
        break;
    case METHOD(QUIESCE):
        component_quiesce(call);
        break;
    case METHOD(CLOSE):
        component_close(call);
        break;
    case METHOD(EXPORT):
        component_export(call);
        break;
    case METHOD(IMPORT):
        component_import(call);
        break;
    case METHOD(PING):
        call_reply_status(call, NULL);
        break;
    case METHOD(ECHO):
        echo_run(call);
        break;
    default:
        run_block(call);
        break;
    }
}

void
dispatch_run(struct remora_call *call)
{
    sdk.current = call->component;
    run_method(call);
    sdk.current = NULL;
}
