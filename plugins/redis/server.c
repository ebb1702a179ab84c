/* SPDX-License-Identifier: Apache-2.0 */
/* From a component's settings to what a connection needs. */
#include "server.h"

#include <string.h>

#include <stdio.h>

static bool
make_tls(struct server *server, char why[SETTINGS_WHY_BYTES])
{
    const struct settings *settings = &server->settings;
    char reason[TLS_ERROR_BYTES];
    if (!settings->enable_tls)
        return true;
    server->tls = tls_context_new(
        &(struct tls_settings){
            .skip_verify = settings->skip_verify,
            .ca_pem = settings->ca_cert,
            .certificate_pem = settings->client_cert,
            .key_pem = settings->client_key,
        },
        reason);
    if (server->tls == NULL)
        snprintf(why, SETTINGS_WHY_BYTES, "redis client configuration error: %s", reason);
    return server->tls != NULL;
}

static void
make_sentinels(struct server *server)
{
    const struct settings *settings = &server->settings;
    server->sentinels = (struct sentinels){
        .loop = remora_loop(),
        .count = settings->host_count,
        .master_name = settings->master_name,
        .username = settings->sentinel_username,
        .password = settings->sentinel_password,
        .tls = server->tls,
        .dial_timeout_ms = settings->dial_timeout_ms,
    };
    for (size_t i = 0; i < settings->host_count; i++)
        server->sentinels.addresses[i] = (struct sentinel_address){
            .host = settings->hosts[i].host, .port = settings->hosts[i].port
        };
}

bool
server_init(struct server *ret, const struct remora_config *config, char why[SETTINGS_WHY_BYTES])
{
    *ret = (struct server){ 0 };
    if (!settings_parse(config, &ret->settings, why))
        return false;
    if (!make_tls(ret, why)) {
        settings_fini(&ret->settings);
        return false;
    }
    make_sentinels(ret);
    return true;
}

void
server_fini(struct server *server)
{
    tls_context_free(server->tls);
    settings_fini(&server->settings);
}

struct link *
server_connect(struct server *server, int64_t waiting_ms, const struct link_events *events,
               void *owner)
{
    const struct settings *settings = &server->settings;
    for (size_t i = 0; i < settings->host_count; i++)
        server->seeds[i] = (struct link_seed){ settings->hosts[i].host, settings->hosts[i].port };
    const struct conn_settings conn = {
        .host = settings->hosts[0].host,
        .port = settings->hosts[0].port,
        .locator = settings->failover ? &sentinel_locator : NULL,
        .locator_owner = &server->sentinels,
        .username = settings->username,
        .password = settings->password,
        .db = settings->db,
        .tls = server->tls,
        .first_pause_ms = (unsigned)settings->min_retry_interval_ms,
        .dial_timeout_ms = settings->dial_timeout_ms,
        .read_timeout_ms = settings->read_timeout_ms,
        .write_timeout_ms = settings->write_timeout_ms,
    };
    return link_new(remora_loop(),
                    &(struct link_settings){
                        .conn = conn,
                        .seeds = server->seeds,
                        .seed_count = settings->is_cluster ? settings->host_count : 0,
                        .waiting_ms = waiting_ms,
                    },
                    events, owner);
}
