/* SPDX-License-Identifier: Apache-2.0 */
/* See secrets.h. What a store says of its failures is told: it must not hold a secret. */
#include "secrets.h"

#include <string.h>

#include <dapr/proto/components/v1/secretstore.pb-c.h>

#include "failure.h"
#include "kind.h"
#include "wire.h"

typedef Dapr__Proto__Components__V1__GetSecretRequest get_t;
typedef Dapr__Proto__Components__V1__GetSecretResponse value_t;
typedef Dapr__Proto__Components__V1__BulkGetSecretRequest get_all_t;
typedef Dapr__Proto__Components__V1__BulkGetSecretResponse values_t;

#define METHOD(name) "/" BRIDGE_PACKAGE "SecretStore/" name

static void
on_secret(struct ask *ask, void *reply, const struct rpc_end *end)
{
    const value_t *in = reply;
    if (in == NULL) {
        const struct remora_failure failure = failure_of(ask->call, end);
        remora_reply_failure(ask->call, &failure);
    } else if (in->n_data == 0) {
        remora_secret_reply_missing(ask->call);
    } else {
        remora_secret_reply_value(ask->call, wire_pairs(ask->call, in->data, in->n_data),
                                  in->n_data);
    }
}

static void
get(remora_call *call, void *self, struct remora_slice name, const struct remora_pair *metadata,
    size_t metadata_count)
{
    get_t request = DAPR__PROTO__COMPONENTS__V1__GET_SECRET_REQUEST__INIT;
    request.key = wire_text(call, name);
    request.n_metadata = metadata_count;
    request.metadata = wire_map(
        call, metadata, metadata_count,
        &dapr__proto__components__v1__get_secret_request__metadata_entry__descriptor);
    const struct ask ask = {
        .remote = self,
        .call = call,
        .method = METHOD("Get"),
        .request = &request.base,
        .reply = &dapr__proto__components__v1__get_secret_response__descriptor,
        .answer = on_secret,
    };
    ask_remote(&ask);
}

static void
on_secrets(struct ask *ask, void *reply, const struct rpc_end *end)
{
    const values_t *in = reply;
    if (in == NULL) {
        const struct remora_failure failure = failure_of(ask->call, end);
        remora_reply_failure(ask->call, &failure);
        return;
    }
    struct remora_secret *secrets = remora_call_alloc(ask->call,
                                                      (in->n_data + 1) * sizeof *secrets);
    size_t count = 0;
    for (size_t i = 0; i < in->n_data; i++) {
        const Dapr__Proto__Components__V1__SecretResponse *one = in->data[i]->value;
        if (one == NULL)
            continue;
        secrets[count++] = (struct remora_secret){
            .name = wire_str(in->data[i]->key),
            .pairs = wire_pairs(ask->call, one->secrets, one->n_secrets),
            .pair_count = one->n_secrets,
        };
    }
    remora_secret_reply_all(ask->call, secrets, count);
}

static void
get_all(remora_call *call, void *self, const struct remora_pair *metadata, size_t metadata_count)
{
    get_all_t request = DAPR__PROTO__COMPONENTS__V1__BULK_GET_SECRET_REQUEST__INIT;
    request.n_metadata = metadata_count;
    request.metadata = wire_map(
        call, metadata, metadata_count,
        &dapr__proto__components__v1__bulk_get_secret_request__metadata_entry__descriptor);
    const struct ask ask = {
        .remote = self,
        .call = call,
        .method = METHOD("BulkGet"),
        .request = &request.base,
        .reply = &dapr__proto__components__v1__bulk_get_secret_response__descriptor,
        .answer = on_secrets,
    };
    ask_remote(&ask);
}

/* --- what it can do ----------------------------------------------------------------------------*/

static void
take_features(struct remote *remote, struct remora_slice answer)
{
    Dapr__Proto__Components__V1__FeaturesResponse *in = wire_unpack(
        &dapr__proto__components__v1__features_response__descriptor, answer);
    remote->capabilities = 0;
    for (size_t i = 0; in != NULL && i < in->n_features; i++)
        if (strcmp(in->features[i], "MULTIPLE_KEY_VALUES_PER_SECRET") == 0)
            remote->capabilities |= REMORA_CAP_MULTIPLE_KEY_VALUES_PER_SECRET;
    wire_free(in);
}

static void
reply_ready(struct remote *remote)
{
    remora_reply_init(remote->init_call, remote, remote->capabilities, 0);
}

static const struct step steps[] = {
    { .service = SERVICE_SECRETS, .method = METHOD("Init"), .is_init = true },
    { .service = SERVICE_SECRETS,
      .method = METHOD("Features"),
      .is_optional = true,
      .take = take_features },
    { .service = 0 },
};

const struct kind kind_secrets = {
    .name = "secret store",
    .services = SERVICE_SECRETS,
    .steps = steps,
    .reply = reply_ready,
};

const struct remora_secret_ops secret_ops = { .get = get, .get_all = get_all };
