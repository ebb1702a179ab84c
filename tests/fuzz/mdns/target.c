/* SPDX-License-Identifier: Apache-2.0 */
/* What anybody on the network may send to the mDNS plugin, as a query, a response and a goodbye at
 * once: it is read to its end, nothing of it lies outside, what is kept is bounded, and every
 * answer of ours can be read again. */
#include "plugins/mdns/directory.c"
#include "plugins/mdns/dns.c"
/* Both files have one. */
#define is_known is_known_answer
#include "plugins/mdns/service.c"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct remora_slice
text(const char *string)
{
    return (struct remora_slice){ string, strlen(string) };
}

static void
check_records(const uint8_t *data, size_t size)
{
    struct dns_reader reader;
    struct dns_question question;
    struct dns_record record;
    if (!dns_read_start(&reader, data, size))
        return;
    while (dns_read_question(&reader, &question))
        assert(strlen(question.name.text) < sizeof question.name.text && reader.at <= size);
    while (dns_read_record(&reader, &record)) {
        assert(reader.at <= size && strlen(record.name.text) < sizeof record.name.text);
        assert(record.data >= data && record.data + record.data_len <= data + size);
        (void)dns_text_has(&record, "back");
    }
}

static void
check_answer(const struct service *service, const uint8_t *data, size_t size)
{
    struct dns_reader reader;
    struct dns_writer writer;
    for (int is_legacy = 0; is_legacy < 2; is_legacy++) {
        if (!dns_read_start(&reader, data, size) ||
            service_answer(service, &reader, is_legacy != 0, &writer) == SERVICE_SILENT ||
            writer.is_full)
            continue;
        struct dns_record record;
        struct dns_question question;
        size_t records = 0;
        assert(dns_read_start(&reader, writer.data, writer.len));
        while (dns_read_question(&reader, &question))
            ;
        while (dns_read_record(&reader, &record))
            records++;
        assert(records > 0 && reader.at == writer.len);
    }
    (void)service_is_taken_back(service, data, size);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct service service;
    static char found[INSTANCES_MAX][ADDRESS_BYTES];
    struct directory directory = { 0 };
    const char *error;
    const struct remora_instance own = { .app_id = text("back"),
                                         .namespace_ = text(""),
                                         .host_address = text("10.0.0.1"),
                                         .host_name = text("vm"),
                                         .internal_port = 50002,
                                         .pid = 1 };
    if (service.port == 0)
        assert(service_init(&service, &own, &error));
    check_records(data, size);
    check_answer(&service, data, size);
    struct app *app = directory_get(&directory, text("back"), 1);
    for (unsigned round = 0; round < 2; round++)
        directory_take(&directory, data, size, 2, 1 + round);
    assert(app->instance_count <= INSTANCES_MAX);
    size_t count = app_addresses(app, 2, found);
    for (size_t i = 0; i < count; i++)
        assert(strlen(found[i]) < ADDRESS_BYTES && strrchr(found[i], ':') != NULL);
    (void)app_incomplete(app, 2);
    if (count > 0)
        app_suspect(app, text(found[0]), 2);
    directory_expire(&directory, 2 + LIFE_MS);
    assert(app->instance_count == 0);
    directory_fini(&directory);
    return 0;
}
