/* SPDX-License-Identifier: Apache-2.0 */
/* Packets of multicast DNS: what is written is read the same, and whatever else arrives ends. */
#include "plugins/mdns/dns.h"

#include "test.h"

/* A test runs on the stack of the process, which has room. */
#pragma GCC diagnostic ignored "-Wframe-larger-than="

static struct dns_question question;
static struct dns_record record;

static bool
write_and_read_name(const char *name)
{
    struct dns_writer writer;
    struct dns_reader reader;
    dns_write_start(&writer, 7, 0);
    dns_write_question(&writer, name, DNS_PTR, DNS_CLASS_IN);
    return !writer.is_full && dns_read_start(&reader, writer.data, writer.len) &&
           dns_read_question(&reader, &question) && reader.at == writer.len &&
           strcmp(question.name.text, name) == 0;
}

TEST(names_are_written_and_read_the_same)
{
    char label[65], longest[320];
    memset(label, 'x', sizeof label);
    label[63] = '\0';
    CHECK(write_and_read_name("back.local"));
    CHECK(write_and_read_name("vm:4711.back.local"));
    CHECK(write_and_read_name("a\\.b.c\\\\.local"));
    CHECK(write_and_read_name(label));
    (void)snprintf(longest, sizeof longest, "%s.%s.%s.%.61s", label, label, label, label);
    CHECK(write_and_read_name(longest));
    (void)snprintf(longest, sizeof longest, "%s.%s.%s.%.62s", label, label, label, label);
    CHECK(!write_and_read_name(longest));
    label[63] = 'x';
    label[64] = '\0';
    CHECK(!write_and_read_name(label));
    CHECK(!write_and_read_name("a..b"));
}

TEST(records_are_written_and_read_the_same_and_share_what_they_have_in_common)
{
    const uint8_t address[4] = { 10, 0, 0, 1 };
    const struct dns_entry entries[] = {
        { .section = DNS_ANSWERS,
          .name = "back.local",
          .type = DNS_PTR,
          .class_ = DNS_CLASS_IN,
          .ttl = 3200,
          .target = "vm:1.back.local" },
        { .section = DNS_ADDITIONAL,
          .name = "vm:1.back.local",
          .type = DNS_SRV,
          .class_ = 0x8001,
          .ttl = 120,
          .target = "vm.local",
          .port = 50002 },
        { .section = DNS_ADDITIONAL,
          .name = "vm:1.back.local",
          .type = DNS_TXT,
          .class_ = 0x8001,
          .data = "back",
          .data_len = 4 },
        { .section = DNS_ADDITIONAL,
          .name = "vm.local",
          .type = DNS_A,
          .class_ = 0x8001,
          .ttl = UINT32_MAX,
          .data = address,
          .data_len = 4 },
    };
    struct dns_writer writer;
    struct dns_reader reader;
    dns_write_start(&writer, 0x1234, DNS_IS_RESPONSE);
    for (size_t i = 0; i < 4; i++)
        dns_write_record(&writer, &entries[i]);
    REQUIRE(!writer.is_full);
    CHECK_EQ_INT(writer.len, 12 + 12 + 10 + 7 + 2 + 10 + 11 + 2 + 10 + 5 + 2 + 10 + 4);
    REQUIRE(dns_read_start(&reader, writer.data, writer.len));
    CHECK_EQ_INT(reader.id, 0x1234);
    CHECK(!dns_read_question(&reader, &question));
    for (size_t i = 0; i < 4; i++) {
        REQUIRE(dns_read_record(&reader, &record));
        CHECK_EQ_STR(record.name.text, entries[i].name);
        CHECK_EQ_INT(record.type, entries[i].type);
        CHECK_EQ_INT(record.class_, entries[i].class_);
        CHECK_EQ_INT(record.ttl, entries[i].ttl);
        CHECK_EQ_INT(record.is_answer, i == 0);
        if (entries[i].target != NULL)
            CHECK_EQ_STR(record.target.text, entries[i].target);
        if (record.type == DNS_SRV)
            CHECK_EQ_INT(record.port, 50002);
        if (record.type == DNS_TXT)
            CHECK(dns_text_has(&record, "back") && !dns_text_has(&record, "bac"));
        if (record.type == DNS_A)
            CHECK_EQ_MEM(record.data, record.data_len, address, 4);
    }
    CHECK(!dns_read_record(&reader, &record));
    CHECK_EQ_INT(reader.at, writer.len);
}

TEST(what_does_not_fit_is_not_sent)
{
    struct dns_writer writer;
    dns_write_start(&writer, 0, 0);
    for (int i = 0; i < 200; i++)
        dns_write_question(&writer, "some.name.of.some.length.local", DNS_SRV, DNS_CLASS_IN);
    CHECK(!writer.is_full); /* each after the first is a pointer */
    for (int i = 0; i < 200; i++)
        dns_write_question(&writer, "some.name.of.some.length.local", DNS_SRV, DNS_CLASS_IN);
    CHECK(writer.is_full);
    CHECK(writer.len <= DNS_WRITE_BYTES);
}

/* A head with one question, and then these bytes. */
static bool
read_name(const char *bytes, size_t len)
{
    char packet[600] = { [5] = 1 };
    struct dns_reader reader;
    memcpy(packet + 12, bytes, len);
    memcpy(packet + 12 + len, "\0\014\0\001", 4);
    return dns_read_start(&reader, packet, 12 + len + 4) && dns_read_question(&reader, &question);
}

TEST(pointers_go_back_only)
{
    CHECK(read_name("\001a\001b\0", 5));
    CHECK_EQ_STR(question.name.text, "a.b");
    CHECK(!read_name("\xc0\x0c", 2));        /* to itself */
    CHECK(!read_name("\001a\xc0\x0c", 4));   /* to the name it is in */
    CHECK(!read_name("\001a\xc0\x20", 4));   /* ahead */
    CHECK(!read_name("\xff\xff", 2));        /* beyond the end */
    CHECK(!read_name("\x80\x01", 2));        /* neither a label nor a pointer */
    CHECK(!read_name("\x3f", 1));            /* a label without its end */
    CHECK(read_name("\xc0\x00", 2) || true); /* into the head: whatever it says, it ends */
}

TEST(names_with_strange_bytes_stay_one_text)
{
    CHECK(read_name("\003a.b\003c\\d\002\0x\0", 12));
    CHECK_EQ_STR(question.name.text, "a\\.b.c\\\\d.\x01x");
}

TEST(a_record_that_makes_no_sense_is_left_out_and_the_next_one_read)
{
    static const char packet[] = "\0\0\x84\0\0\0\0\3\0\0\0\0"
                                 "\001a\0\0\014\0\1\0\0\0\1\0\2\xc0\x40" /* a pointer ahead */
                                 "\001b\0\0\001\0\1\0\0\0\1\0\3\1\2\3"   /* three bytes of IPv4 */
                                 "\001c\0\0\001\0\1\0\0\0\1\0\4\1\2\3\4";
    struct dns_reader reader;
    REQUIRE(dns_read_start(&reader, packet, sizeof packet - 1));
    REQUIRE(dns_read_record(&reader, &record));
    CHECK_EQ_STR(record.name.text, "c");
    CHECK(!dns_read_record(&reader, &record));
}

TEST(every_cut_of_a_packet_ends)
{
    static const char packet[] = "\0\0\x84\0\0\1\0\1\0\0\0\1"
                                 "\004back\005local\0\0\014\0\1"
                                 "\xc0\x0c\0\014\0\1\0\0\0\1\0\4\001x\xc0\x0c"
                                 "\001x\xc0\x0c\0\x21\0\1\0\0\0\1\0\x0b\0\0\0\0\1\1\002vm\xc0\x11";
    for (size_t len = 0; len < sizeof packet; len++) {
        struct dns_reader reader;
        size_t records = 0;
        if (!dns_read_start(&reader, packet, len))
            continue;
        while (dns_read_question(&reader, &question))
            ;
        while (dns_read_record(&reader, &record))
            records++;
        CHECK_EQ_INT(records,
                     (size_t)(len >= 44) + (len == sizeof packet - 1 || len == sizeof packet));
    }
}

TEST(names_are_compared_without_case_and_by_labels)
{
    CHECK(dns_name_eq("Back.Local", "back.LOCAL"));
    CHECK(!dns_name_eq("back.local", "back.loca"));
    CHECK(dns_name_is_below("vm:1.Back.local", "back.local"));
    CHECK(!dns_name_is_below("back.local", "back.local"));
    CHECK(!dns_name_is_below(".back.local", "back.local"));
    CHECK(!dns_name_is_below("xback.local", "back.local"));
    CHECK(!dns_name_is_below("x\\.back.local", "back.local")); /* one label */
    CHECK(dns_name_is_below("x\\\\.back.local", "back.local"));
}

TEST(texts_are_strings_with_lengths)
{
    struct dns_record text = { .data = (const uint8_t *)"\001a\004back\000\003xyz",
                               .data_len = 12 };
    CHECK(dns_text_has(&text, "a"));
    CHECK(dns_text_has(&text, "back"));
    CHECK(dns_text_has(&text, ""));
    CHECK(!dns_text_has(&text, "Back"));
    CHECK(dns_text_has(&text, "xyz"));
    text.data_len = 11; /* cut */
    CHECK(!dns_text_has(&text, "xyz"));
}
