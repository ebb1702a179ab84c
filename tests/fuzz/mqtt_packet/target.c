/* SPDX-License-Identifier: Apache-2.0 */
/* The MQTT plugin's decoder: whatever arrives, in whatever pieces, is refused or understood with
 * every text inside the bytes given; what is understood is written back the same; and no topic
 * makes the matcher look elsewhere. */
#include "plugins/mqtt/packet.c"
#include "plugins/mqtt/topic.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool
is_inside(struct remora_slice part, const char *data, size_t size)
{
    return part.data >= data && part.data + part.len <= data + size;
}

static void
check_publish(const struct packet *packet, const char *data)
{
    struct bytes out = { 0 };
    struct packet again;
    assert(packet->topic.len > 0 && is_inside(packet->topic, data, packet->bytes));
    assert(packet->payload.len == 0 || is_inside(packet->payload, data, packet->bytes));
    const struct packet_publish publish = { .topic = packet->topic,
                                            .payload = packet->payload,
                                            .id = packet->id,
                                            .qos = packet->qos,
                                            .is_again = packet->is_again,
                                            .is_retained = packet->is_retained };
    assert(packet_put_publish(&out, &publish));
    assert(packet_read(out.data, out.len, &again) == PACKET_COMPLETE && again.bytes == out.len);
    assert(again.id == packet->id && again.qos == packet->qos);
    assert(again.topic.len == packet->topic.len && again.payload.len == packet->payload.len);
    assert(memcmp(again.topic.data, packet->topic.data, packet->topic.len) == 0);
    bytes_fini(&out);
}

/* A name that is sound matches itself, `#`, and, beginning with `$`, no wildcard. */
static void
check_topic(const char *data, size_t size)
{
    struct remora_slice whole = { data, size };
    if (topic_filter_fault(whole) == NULL) {
        struct remora_slice filter = topic_shared(whole);
        assert(filter.len > 0 && is_inside(filter, data, size));
        (void)topic_matches(filter, (struct remora_slice){ "a/b", 3 });
    }
    if (topic_name_fault(whole) != NULL)
        return;
    assert(topic_matches(whole, whole));
    assert(topic_matches((struct remora_slice){ "#", 1 }, whole) == (data[0] != '$'));
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    const char *data = (const char *)bytes;
    struct packet packet, part;
    size_t pos = 0;
    while (packet_read(data + pos, size - pos, &packet) == PACKET_COMPLETE) {
        assert(packet.bytes >= 2 && packet.bytes <= size - pos);
        assert(packet_read(data + pos, packet.bytes - 1, &part) == PACKET_MORE);
        if (packet.type == PACKET_PUBLISH)
            check_publish(&packet, data + pos);
        pos += packet.bytes;
    }
    if (size > 0)
        check_topic(data, size);
    return 0;
}
