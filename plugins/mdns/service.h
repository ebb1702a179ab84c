/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What we tell the network of our own sidecar, as the reference runtime does, so that each finds
 * the other: an instance `<host>:<pid>.<app id>.local.` of the service type `<app id>.local.`, its
 * port on `<host>.local.`, and that host's address. Packets only; sending is net.c.
 */
#ifndef SERVICE_H
#define SERVICE_H

#include <remora_plugin.h>

#include "dns.h"

#define SERVICES_NAME "_services._dns-sd._udp.local"

struct service {
    struct dns_name type;     /* shop.local */
    struct dns_name instance; /* vm:4711.shop.local */
    struct dns_name host;     /* vm.local */
    char app_id[DNS_LABEL_BYTES * 4 + 1];
    uint16_t port;
    uint16_t address_type; /* DNS_A or DNS_AAAA */
    uint8_t address[16];
    size_t address_len;
    char address_text[64]; /* with the port */
};

/* False, with a constant that says why, if it cannot be told in multicast DNS. */
bool service_init(struct service *service, const struct remora_instance *instance,
                  const char **ret_error);
/* "<app id>.local"; false if there can be no such name. */
bool service_type_of(struct remora_slice app_id, struct dns_name *ret_type);

/* Each makes one packet. */
void service_probe(const struct service *service, uint16_t id, struct dns_writer *writer);
/* `is_goodbye`: it is over. */
void service_announce(const struct service *service, bool is_goodbye, struct dns_writer *writer);

enum service_reply { SERVICE_SILENT, SERVICE_MULTICAST, SERVICE_UNICAST };

/* What a query gets from us. `is_legacy`: it comes from a plain resolver, not from port 5353. */
enum service_reply service_answer(const struct service *service, struct dns_reader *query,
                                  bool is_legacy, struct dns_writer *writer);
/* Whether a packet takes back what we say: another process that spoke for us has ended. */
bool service_is_taken_back(const struct service *service, const void *data, size_t len);

#endif
