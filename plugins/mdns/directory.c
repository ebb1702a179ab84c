/* SPDX-License-Identifier: Apache-2.0 */
/* Instances of applications; see directory.h. */
#include "directory.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "service.h"

/* --- apps --------------------------------------------------------------------------------------*/

static bool
is_id(const struct app *app, struct remora_slice id)
{
    return strlen(app->id) == id.len && memcmp(app->id, id.data, id.len) == 0;
}

struct app *
directory_find(struct directory *directory, struct remora_slice id)
{
    struct app *app = directory->apps;
    while (app != NULL && !is_id(app, id))
        app = app->next;
    return app;
}

static void
app_free(struct app *app)
{
    struct instance *next;
    for (struct instance *instance = app->instances; instance != NULL; instance = next) {
        next = instance->next;
        free(instance);
    }
    free(app);
}

static void
remove_app(struct directory *directory, struct app **at)
{
    struct app *app = *at;
    *at = app->next;
    directory->count--;
    app_free(app);
}

static bool
make_room(struct directory *directory)
{
    struct app **oldest = NULL;
    if (directory->count < APPS_MAX)
        return true;
    for (struct app **at = &directory->apps; *at != NULL; at = &(*at)->next)
        if ((*at)->waiters == NULL && (oldest == NULL || (*at)->wanted_ms < (*oldest)->wanted_ms))
            oldest = at;
    if (oldest != NULL)
        remove_app(directory, oldest);
    return oldest != NULL;
}

struct app *
directory_get(struct directory *directory, struct remora_slice id, uint64_t now_ms)
{
    struct app *app = directory_find(directory, id);
    struct dns_name type;
    if (app != NULL)
        app->wanted_ms = now_ms;
    if (app != NULL || id.len >= sizeof app->id || !service_type_of(id, &type) ||
        !make_room(directory))
        return app;
    app = calloc(1, sizeof *app);
    if (app == NULL)
        abort();
    memcpy(app->id, id.data, id.len);
    app->type = type;
    app->wanted_ms = now_ms;
    app->next = directory->apps;
    directory->apps = app;
    directory->count++;
    return app;
}

void
directory_fini(struct directory *directory)
{
    while (directory->apps != NULL)
        remove_app(directory, &directory->apps);
}

/* --- instances ---------------------------------------------------------------------------------*/

static struct instance *
find_instance(const struct app *app, const char *name)
{
    struct instance *instance = app->instances;
    while (instance != NULL && !dns_name_eq(instance->name.text, name))
        instance = instance->next;
    return instance;
}

/* NULL: there are too many. */
static struct instance *
get_instance(struct app *app, const char *name)
{
    struct instance *instance = find_instance(app, name), **last = &app->instances;
    if (instance != NULL || app->instance_count == INSTANCES_MAX)
        return instance;
    instance = calloc(1, sizeof *instance);
    if (instance == NULL)
        abort();
    (void)snprintf(instance->name.text, sizeof instance->name.text, "%s", name);
    while (*last != NULL)
        last = &(*last)->next;
    *last = instance;
    app->instance_count++;
    return instance;
}

static bool
is_known(const struct instance *instance)
{
    return instance->port != 0 && instance->has_text && (instance->has_v4 || instance->has_v6);
}

static void
renew(struct instance *instance, uint32_t ttl_s, uint64_t now_ms)
{
    uint64_t life = ttl_s == 0 ? GOODBYE_MS : (uint64_t)ttl_s * 1000;
    instance->ends_ms = now_ms + (life < LIFE_MS ? life : LIFE_MS);
}

/* --- packets -----------------------------------------------------------------------------------*/

/* An instance that a record tells of, under any of the apps. A goodbye makes none. */
static struct instance *
instance_of(struct directory *directory, const struct dns_record *record, struct app **ret_app)
{
    bool is_pointer = record->type == DNS_PTR;
    const char *name = is_pointer ? record->target.text : record->name.text;
    for (struct app *app = directory->apps; app != NULL; app = app->next) {
        if (!dns_name_is_below(name, app->type.text) ||
            (is_pointer && !dns_name_eq(record->name.text, app->type.text)))
            continue;
        *ret_app = app;
        return record->ttl == 0 ? find_instance(app, name) : get_instance(app, name);
    }
    return NULL;
}

static void
take_service(struct directory *directory, const struct dns_record *record, unsigned interface,
             uint64_t now_ms)
{
    struct app *app = NULL;
    struct instance *instance = instance_of(directory, record, &app);
    if (instance == NULL)
        return;
    if (record->type == DNS_SRV && record->ttl > 0) {
        instance->port = record->port;
        instance->target = record->target;
    }
    if (record->type == DNS_TXT && record->ttl > 0)
        instance->has_text = dns_text_has(record, app->id);
    if (record->type == DNS_PTR || record->type == DNS_SRV) {
        instance->interface = interface;
        instance->is_suspect = record->ttl == 0; /* unless it is taken back */
        renew(instance, record->ttl, now_ms);
    }
}

/* An address belongs to the instances on that host. Hosts of one name and several machines are kept
 * apart by their packets: what was heard with the instance counts. */
static void
take_address(struct directory *directory, const struct dns_record *record,
             const struct dns_name *told, size_t told_count)
{
    for (struct app *app = directory->apps; app != NULL; app = app->next) {
        for (struct instance *i = app->instances; i != NULL; i = i->next) {
            bool is_told = false, has_it = record->type == DNS_A ? i->has_v4 : i->has_v6;
            if (i->port == 0 || record->ttl == 0 || !dns_name_eq(i->target.text, record->name.text))
                continue;
            for (size_t n = 0; n < told_count; n++)
                is_told |= dns_name_eq(told[n].text, i->name.text);
            if (has_it && !is_told)
                continue;
            if (record->type == DNS_A)
                memcpy(i->v4, record->data, sizeof i->v4);
            else
                memcpy(i->v6, record->data, sizeof i->v6);
            i->has_v4 |= record->type == DNS_A;
            i->has_v6 |= record->type == DNS_AAAA;
        }
    }
}

static bool
start_records(struct dns_reader *reader, const void *packet, size_t len)
{
    static struct dns_question question; /* large, and the plugin has one thread; as below */
    if (!dns_read_start(reader, packet, len) || (reader->flags & DNS_IS_RESPONSE) == 0 ||
        (reader->flags & DNS_OPCODE) != 0)
        return false;
    while (dns_read_question(reader, &question))
        ; /* there is none in most responses */
    return true;
}

void
directory_take(struct directory *directory, const void *packet, size_t len, unsigned interface,
               uint64_t now_ms)
{
    enum { TOLD_MAX = 32 };
    static struct dns_name told[TOLD_MAX]; /* instances whose port is in this packet */
    static struct dns_record record;
    struct dns_reader reader;
    size_t told_count = 0;
    if (directory->apps == NULL || !start_records(&reader, packet, len))
        return;
    while (dns_read_record(&reader, &record)) {
        if ((record.class_ & ~DNS_CLASS_BIT) != DNS_CLASS_IN)
            continue;
        if (record.type == DNS_SRV && told_count < TOLD_MAX)
            told[told_count++] = record.name;
        if (record.type == DNS_PTR || record.type == DNS_SRV || record.type == DNS_TXT)
            take_service(directory, &record, interface, now_ms);
    }
    (void)start_records(&reader, packet, len); /* it was one */
    while (dns_read_record(&reader, &record))  /* again, since their order is free */
        if ((record.class_ & ~DNS_CLASS_BIT) == DNS_CLASS_IN &&
            (record.type == DNS_A || record.type == DNS_AAAA))
            take_address(directory, &record, told, told_count);
}

/* --- time --------------------------------------------------------------------------------------*/

static void
expire_instances(struct app *app, uint64_t now_ms)
{
    for (struct instance **at = &app->instances; *at != NULL;) {
        struct instance *instance = *at;
        if (instance->ends_ms > now_ms) {
            at = &instance->next;
            continue;
        }
        *at = instance->next;
        app->instance_count--;
        free(instance);
    }
}

void
directory_expire(struct directory *directory, uint64_t now_ms)
{
    for (struct app **at = &directory->apps; *at != NULL;) {
        expire_instances(*at, now_ms);
        if ((*at)->waiters == NULL && now_ms - (*at)->wanted_ms > KEEP_MS)
            remove_app(directory, at);
        else
            at = &(*at)->next;
    }
}

bool
app_is_due(const struct app *app, uint64_t now_ms)
{
    if (app->waiters != NULL || now_ms - app->wanted_ms > WANTED_MS ||
        now_ms - app->asked_ms < ASK_PAUSE_MS)
        return false; /* they ask themselves, or nobody does */
    for (const struct instance *i = app->instances; i != NULL; i = i->next)
        if (i->ends_ms < now_ms + ASK_AGAIN_MS)
            return true;
    return false;
}

/* --- addresses ---------------------------------------------------------------------------------*/

/* IPv4 if there is one, as the reference prefers it. */
static void
write_address(const struct instance *instance, char ret_address[ADDRESS_BYTES])
{
    char text[INET6_ADDRSTRLEN] = "", zone[16] = "";
    struct in6_addr v6;
    if (instance->has_v4) {
        (void)inet_ntop(AF_INET, instance->v4, text, sizeof text); /* fits */
        (void)snprintf(ret_address, ADDRESS_BYTES, "%s:%u", text, instance->port);
        return;
    }
    memcpy(&v6, instance->v6, sizeof v6);
    if (IN6_IS_ADDR_LINKLOCAL(&v6))
        (void)snprintf(zone, sizeof zone, "%%%u", instance->interface);
    (void)inet_ntop(AF_INET6, &v6, text, sizeof text);
    (void)snprintf(ret_address, ADDRESS_BYTES, "[%s%s]:%u", text, zone, instance->port);
}

static bool
counts(const struct instance *instance, uint64_t now_ms)
{
    return is_known(instance) && instance->ends_ms > now_ms;
}

bool
app_has_address(const struct app *app, uint64_t now_ms)
{
    for (const struct instance *i = app->instances; i != NULL; i = i->next)
        if (counts(i, now_ms))
            return true;
    return false;
}

static bool
has_unsuspected(const struct app *app, uint64_t now_ms)
{
    for (const struct instance *i = app->instances; i != NULL; i = i->next)
        if (counts(i, now_ms) && !i->is_suspect)
            return true;
    return false;
}

size_t
app_addresses(const struct app *app, uint64_t now_ms,
              char ret_addresses[INSTANCES_MAX][ADDRESS_BYTES])
{
    bool is_choosy = has_unsuspected(app, now_ms);
    size_t count = 0;
    for (const struct instance *i = app->instances; i != NULL; i = i->next)
        if (counts(i, now_ms) && !(is_choosy && i->is_suspect))
            write_address(i, ret_addresses[count++]);
    return count;
}

const struct instance *
app_incomplete(const struct app *app, uint64_t now_ms)
{
    for (const struct instance *i = app->instances; i != NULL; i = i->next)
        if (i->ends_ms > now_ms && !is_known(i))
            return i;
    return NULL;
}

void
app_suspect(struct app *app, struct remora_slice address, uint64_t now_ms)
{
    char text[ADDRESS_BYTES];
    for (struct instance *i = app->instances; i != NULL; i = i->next) {
        if (!is_known(i) || i->is_suspect)
            continue;
        write_address(i, text);
        if (!remora_slice_eq(address, text))
            continue;
        i->is_suspect = true;
        if (i->ends_ms > now_ms + SUSPECT_MS)
            i->ends_ms = now_ms + SUSPECT_MS;
    }
}
