/* SPDX-License-Identifier: Apache-2.0 */
/* Our own records; see service.h. */
#include "service.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

enum {
    SERVICE_TTL_S = 3200, /* as the reference has it */
    HOST_TTL_S = 120,
    LEGACY_TTL_S = 10, /* RFC 6762 section 6.7 */
    PID_BYTES = 12,
};

/* What a reply holds; each record once. */
enum part {
    PART_SERVICES = 1u << 0, /* the service type, among all there are */
    PART_INSTANCE = 1u << 1, /* the instance, among those of the type */
    PART_PORT = 1u << 2,
    PART_TEXT = 1u << 3,
    PART_ADDRESS = 1u << 4,
};

/* --- who we are --------------------------------------------------------------------------------*/

static bool
copy(char *to, size_t room, struct remora_slice text)
{
    if (text.len >= room || memchr(text.data, '\0', text.len) != NULL)
        return false;
    if (text.len > 0)
        memcpy(to, text.data, text.len);
    to[text.len] = '\0';
    return true;
}

/* Whether every label is one, and the whole fits on the wire. */
static bool
is_name(const char *text)
{
    size_t label = 0, wire = 1;
    for (const char *at = text;; at++) {
        if (*at != '.' && *at != '\0') {
            label++;
            continue;
        }
        wire += label + 1;
        if (label == 0 || label > DNS_LABEL_BYTES || wire > DNS_WIRE_NAME_BYTES)
            return false;
        if (*at == '\0')
            return true;
        label = 0;
    }
}

bool
service_type_of(struct remora_slice app_id, struct dns_name *ret_type)
{
    char text[DNS_WIRE_NAME_BYTES];
    if (!copy(text, sizeof text, app_id) || strchr(text, '\\') != NULL)
        return false;
    (void)snprintf(ret_type->text, sizeof ret_type->text, "%s.local", text); /* it is larger */
    return is_name(ret_type->text);
}

static bool
set_address(struct service *service, const struct remora_slice text)
{
    char address[INET6_ADDRSTRLEN];
    if (!copy(address, sizeof address, text))
        return false;
    bool is_v4 = inet_pton(AF_INET, address, service->address) == 1;
    service->address_type = is_v4 ? DNS_A : DNS_AAAA;
    service->address_len = is_v4 ? 4 : 16;
    (void)snprintf(service->address_text, sizeof service->address_text, is_v4 ? "%s:%u" : "[%s]:%u",
                   address, service->port); /* it fits */
    return is_v4 || inet_pton(AF_INET6, address, service->address) == 1;
}

static bool
is_cut(int len, size_t room)
{
    return len < 0 || (size_t)len >= room;
}

/* "<host>:<pid>" with as much of the host's name as one label has room for. */
static bool
set_names(struct service *service, const char *host, uint32_t pid)
{
    char suffix[PID_BYTES], shorter[DNS_LABEL_BYTES * 2];
    struct dns_name *instance = &service->instance, *name = &service->host;
    int suffix_len = snprintf(suffix, sizeof suffix, ":%u", pid);
    const char *dot = strrchr(host, '.');
    size_t last = strlen(dot == NULL ? host : dot + 1), cut = 0;
    if (last + (size_t)suffix_len > DNS_LABEL_BYTES)
        cut = last + (size_t)suffix_len - DNS_LABEL_BYTES;
    return !is_cut(snprintf(shorter, sizeof shorter, "%.*s", (int)(strlen(host) - cut), host),
                   sizeof shorter) &&
           !is_cut(snprintf(instance->text, sizeof instance->text, "%s%s.%s", shorter, suffix,
                            service->type.text),
                   sizeof instance->text) &&
           !is_cut(snprintf(name->text, sizeof name->text, "%s.local", host), sizeof name->text);
}

bool
service_init(struct service *service, const struct remora_instance *instance,
             const char **ret_error)
{
    char host[DNS_LABEL_BYTES * 2];
    *service = (struct service){ .port = instance->internal_port };
    *ret_error = NULL;
    if (!copy(service->app_id, sizeof service->app_id, instance->app_id) ||
        !service_type_of(instance->app_id, &service->type))
        *ret_error = "the app id cannot be a name in multicast DNS";
    else if (service->port == 0)
        *ret_error = "the sidecar has no internal port";
    else if (!set_address(service, instance->host_address))
        *ret_error = "the host address is no IP address";
    if (*ret_error != NULL)
        return false;
    if (!copy(host, sizeof host, instance->host_name) || strchr(host, '\\') != NULL ||
        !is_name(host))
        (void)snprintf(host, sizeof host, "localhost");
    if (set_names(service, host, instance->pid) && is_name(service->instance.text) &&
        is_name(service->host.text))
        return true;
    *ret_error = "the app id and the host's name are too long for multicast DNS";
    return false;
}

/* --- packets -----------------------------------------------------------------------------------*/

struct style {
    uint16_t unique_class; /* of records that nobody else has */
    uint32_t service_ttl;
    uint32_t host_ttl;
};

static void
put_parts(const struct service *service, unsigned parts, enum dns_section section,
          const struct style *style, struct dns_writer *writer)
{
    const struct dns_entry entries[] = {
        { .name = service->instance.text,
          .type = DNS_SRV,
          .class_ = style->unique_class,
          .ttl = style->service_ttl,
          .target = service->host.text,
          .port = service->port },
        { .name = service->instance.text,
          .type = DNS_TXT,
          .class_ = style->unique_class,
          .ttl = style->service_ttl,
          .data = service->app_id,
          .data_len = strlen(service->app_id) },
        { .name = service->type.text,
          .type = DNS_PTR,
          .class_ = DNS_CLASS_IN,
          .ttl = style->service_ttl,
          .target = service->instance.text },
        { .name = SERVICES_NAME,
          .type = DNS_PTR,
          .class_ = DNS_CLASS_IN,
          .ttl = style->service_ttl,
          .target = service->type.text },
        { .name = service->host.text,
          .type = service->address_type,
          .class_ = style->unique_class,
          .ttl = style->host_ttl,
          .data = service->address,
          .data_len = service->address_len },
    };
    static const unsigned order[] = { PART_PORT, PART_TEXT, PART_INSTANCE, PART_SERVICES,
                                      PART_ADDRESS };
    for (size_t i = 0; i < sizeof entries / sizeof *entries; i++) {
        struct dns_entry entry = entries[i];
        entry.section = section;
        if ((parts & order[i]) != 0)
            dns_write_record(writer, &entry);
    }
}

void
service_probe(const struct service *service, uint16_t id, struct dns_writer *writer)
{
    const struct style style = { DNS_CLASS_IN, SERVICE_TTL_S, HOST_TTL_S };
    dns_write_start(writer, id, 0);
    dns_write_question(writer, service->instance.text, DNS_PTR, DNS_CLASS_IN);
    put_parts(service, PART_PORT | PART_TEXT, DNS_AUTHORITY, &style, writer);
}

void
service_announce(const struct service *service, bool is_goodbye, struct dns_writer *writer)
{
    const struct style style = { DNS_CLASS_IN | DNS_CLASS_BIT, is_goodbye ? 0 : SERVICE_TTL_S,
                                 is_goodbye ? 0 : HOST_TTL_S };
    dns_write_start(writer, 0, DNS_IS_RESPONSE);
    put_parts(service, PART_PORT | PART_TEXT | PART_INSTANCE | PART_SERVICES | PART_ADDRESS,
              DNS_ANSWERS, &style, writer);
}

/* --- queries -----------------------------------------------------------------------------------*/

static unsigned
parts_for(const struct service *service, const struct dns_question *question)
{
    const bool is_any = question->type == DNS_ANY;
    const char *name = question->name.text;
    unsigned parts = 0;
    if ((is_any || question->type == DNS_PTR) && dns_name_eq(name, service->type.text))
        parts |= PART_INSTANCE;
    if ((is_any || question->type == DNS_PTR) && dns_name_eq(name, SERVICES_NAME))
        parts |= PART_SERVICES;
    if ((is_any || question->type == DNS_SRV) && dns_name_eq(name, service->instance.text))
        parts |= PART_PORT;
    if ((is_any || question->type == DNS_TXT) && dns_name_eq(name, service->instance.text))
        parts |= PART_TEXT;
    if ((is_any || question->type == service->address_type) &&
        dns_name_eq(name, service->host.text))
        parts |= PART_ADDRESS;
    return parts;
}

/* What goes with the answers, so that nobody has to ask again. */
static unsigned
parts_beside(unsigned parts)
{
    unsigned beside = 0;
    if ((parts & PART_INSTANCE) != 0)
        beside |= PART_PORT | PART_TEXT | PART_ADDRESS;
    if ((parts & PART_PORT) != 0)
        beside |= PART_ADDRESS;
    return beside & ~parts;
}

/* Who asks may say what it knows already (RFC 6762 section 7.1). */
static bool
is_known(const struct service *service, struct dns_reader *query)
{
    static struct dns_record record; /* large, and the plugin has one thread */
    while (dns_read_record(query, &record))
        if (record.is_answer && record.type == DNS_PTR && record.ttl >= SERVICE_TTL_S / 2 &&
            dns_name_eq(record.name.text, service->type.text) &&
            dns_name_eq(record.target.text, service->instance.text))
            return true;
    return false;
}

enum service_reply
service_answer(const struct service *service, struct dns_reader *query, bool is_legacy,
               struct dns_writer *writer)
{
    static struct dns_question question, first; /* large, likewise */
    unsigned parts = 0;
    bool wants_unicast = is_legacy, has_first = false;
    if ((query->flags & (DNS_IS_RESPONSE | DNS_OPCODE)) != 0)
        return SERVICE_SILENT;
    while (dns_read_question(query, &question)) {
        unsigned class_ = question.class_ & ~(unsigned)DNS_CLASS_BIT;
        unsigned more = parts_for(service, &question);
        if (more == 0 || (class_ != DNS_CLASS_IN && class_ != DNS_CLASS_ANY))
            continue;
        parts |= more;
        wants_unicast |= (question.class_ & DNS_CLASS_BIT) != 0;
        if (!has_first)
            first = question;
        has_first = true;
    }
    if ((parts & PART_INSTANCE) != 0 && is_known(service, query))
        parts &= ~(unsigned)PART_INSTANCE;
    if (parts == 0)
        return SERVICE_SILENT;
    const struct style style = { DNS_CLASS_IN, is_legacy ? LEGACY_TTL_S : SERVICE_TTL_S,
                                 is_legacy ? LEGACY_TTL_S : HOST_TTL_S };
    dns_write_start(writer, query->id, DNS_IS_RESPONSE | DNS_IS_AUTHORITATIVE);
    if (is_legacy)
        dns_write_question(writer, first.name.text, first.type, DNS_CLASS_IN);
    put_parts(service, parts, DNS_ANSWERS, &style, writer);
    put_parts(service, parts_beside(parts), DNS_ADDITIONAL, &style, writer);
    return wants_unicast ? SERVICE_UNICAST : SERVICE_MULTICAST;
}

bool
service_is_taken_back(const struct service *service, const void *data, size_t len)
{
    static struct dns_record record;
    static struct dns_question question;
    struct dns_reader reader;
    if (!dns_read_start(&reader, data, len) || (reader.flags & DNS_IS_RESPONSE) == 0)
        return false;
    while (dns_read_question(&reader, &question))
        ; /* there is none in most responses */
    while (dns_read_record(&reader, &record))
        if (record.ttl == 0 && record.type == DNS_SRV &&
            dns_name_eq(record.name.text, service->instance.text))
            return true;
    return false;
}
