/* SPDX-License-Identifier: Apache-2.0 */
/* Personal data in text: what is found, and what looks like it and is left alone. */
#include "pii/pii.h"

#include "base/macros.h"
#include "test.h"

struct example {
    const char *text;
    const char *scrubbed; /* NULL: the text itself */
};

static void
check_all(const struct example *examples, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct arena arena;
        const char *wanted = examples[i].scrubbed == NULL ? examples[i].text : examples[i].scrubbed;
        arena_init(&arena);
        struct slice got = pii_scrub(&arena, slice_str(examples[i].text));
        if (!CHECK_EQ_MEM(got.data, got.len, wanted, strlen(wanted)))
            fprintf(stderr, "  of: %s\n", examples[i].text);
        CHECK(examples[i].scrubbed != NULL || got.data == examples[i].text);
        arena_fini(&arena);
    }
}

#define CHECK_EXAMPLES(...)                                                                        \
    do {                                                                                           \
        const struct example examples[] = { __VA_ARGS__ };                                         \
        check_all(examples, ARRAY_LEN(examples));                                                  \
    } while (0)

TEST(addresses_of_mail_are_found_X_CONV_03)
{
    CHECK_EXAMPLES({ "mail me at ann@example.org", "mail me at <EMAIL_ADDRESS>" },
                   { "ann@example.org", "<EMAIL_ADDRESS>" },
                   { "Ann <ann.b+tag@sub.example.co.uk>, you", "Ann <<EMAIL_ADDRESS>>, you" },
                   { "is it ann@example.org?", "is it <EMAIL_ADDRESS>?" },
                   { "write ann@example.org.", "write <EMAIL_ADDRESS>." },
                   { "o'brien@example.ie", "<EMAIL_ADDRESS>" },
                   { "mailto:a@b.de;c@d.de", "mailto:<EMAIL_ADDRESS>;<EMAIL_ADDRESS>" },
                   { "https://x.org/?to=ann@example.org&b", "https://x.org/?to=<EMAIL_ADDRESS>&b" },
                   { "j\xC3\xBCrgen@m\xC3\xBCller.de", "<EMAIL_ADDRESS>" },
                   { "\xE9\x82\xAE\xE7\xAE\xB1"
                     "ann@example.org",
                     "\xE9\x82\xAE\xE7\xAE\xB1<EMAIL_ADDRESS>" }, );
    CHECK_EXAMPLES({ "ann@localhost", NULL }, { "a @ b.de", NULL }, { "@ann said", NULL },
                   { "5 apples @ 1.50", NULL }, { "5@1.50", NULL }, { "ann@", NULL },
                   { "ann@.de", NULL }, { "ann@-", NULL }, { "@Override", NULL }, );
}

TEST(telephone_numbers_are_found_X_CONV_03)
{
    CHECK_EXAMPLES({ "call +1 212 555 0100", "call <PHONE_NUMBER>" },
                   { "(212) 555-0100 or 212.555.0100", "<PHONE_NUMBER> or <PHONE_NUMBER>" },
                   { "1-212-555-0100 x12, 212-555-0100 ext. 7", "<PHONE_NUMBER>, <PHONE_NUMBER>" },
                   { "2125550100", "<PHONE_NUMBER>" }, { "+44 20 7946 0958.", "<PHONE_NUMBER>." },
                   { "+49 (0)30 1234567", "<PHONE_NUMBER>" }, { "020 7946 0958", "<PHONE_NUMBER>" },
                   { "0049 30 1234567", "<PHONE_NUMBER>" },
                   { "(030) 123 4567 8", "<PHONE_NUMBER> 8" }, { "+12125550100", "<PHONE_NUMBER>" },
                   { "phone 555-0100", "phone <PHONE_NUMBER>" },
                   { "\xE7\x94\xB5\xE8\xAF\x9D"
                     "212-555-0100",
                     "\xE7\x94\xB5\xE8\xAF\x9D<PHONE_NUMBER>" }, );
    CHECK_EXAMPLES({ "2024-01-15 12:30:45", NULL }, { "01-02-2024 10:30", NULL },
                   { "200-3000 people", NULL }, { "1700000000", NULL }, { "+5 degrees", NULL },
                   { "1,234,567,890", NULL }, { "0.123456789012", NULL }, { "12345678", NULL },
                   { "212555010012345678901234", NULL }, { "3.14159265358979", NULL },
                   { "id 212-555-01001", NULL }, { "a2125550100", NULL }, );
}

TEST(numbers_of_cards_and_people_are_found_by_their_check_X_CONV_03)
{
    CHECK_EXAMPLES({ "4111 1111 1111 1111", "<CREDIT_CARD>" },
                   { "4111-1111-1111-1111 12/26", "<CREDIT_CARD> 12/26" },
                   { "card 378282246310005.", "card <CREDIT_CARD>." },
                   { "3782 822463 10005 123", "<CREDIT_CARD> 123" },
                   { "5555555555554444", "<CREDIT_CARD>" },
                   { "6011 1111 1111 1117", "<CREDIT_CARD>" },
                   { "SSN 219-09-9999", "SSN <US_SSN>" }, { "219 09 9999", "<US_SSN>" }, );
    CHECK_EXAMPLES({ "4111 1111 1111 1112", NULL }, { "4111111111111112", NULL },
                   { "000-12-3456", NULL }, { "666-12-3456", NULL }, { "900-12-3456", NULL },
                   { "219-00-9999", NULL }, { "219-09-0000", NULL }, { "219-09 9999", NULL },
                   { "219-09-99999", NULL }, { "1-2-3", NULL },
                   { "4111111111111111111111111", NULL }, );
}

TEST(codes_of_banks_and_coins_are_found_by_their_check_X_CONV_03)
{
    CHECK_EXAMPLES({ "GB82 WEST 1234 5698 7654 32", "<IBAN>" },
                   { "to DE89370400440532013000, please", "to <IBAN>, please" },
                   { "FR14 2004 1010 0505 0001 3M02 606 today", "<IBAN> today" },
                   { "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", "<BITCOIN_ADDRESS>" },
                   { "3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy!", "<BITCOIN_ADDRESS>!" },
                   { "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq", "<BITCOIN_ADDRESS>" }, );
    CHECK_EXAMPLES({ "GB82 WEST 1234 5698 7654 33", NULL }, { "DE8937040044053201300", NULL },
                   { "DE893704004405320130001", NULL }, { "XX82WEST12345698765432", NULL },
                   { "bc1 is short", NULL }, { "1111111111111111111111111111", NULL },
                   { "3abcdefghijkmnopqrstuvwxyzabc", NULL }, );
}

TEST(addresses_of_networks_and_machines_are_found_X_CONV_03)
{
    CHECK_EXAMPLES({ "10.0.0.1", "<IP>" }, { "at 192.168.1.254.", "at <IP>." },
                   { "127.0.0.1:8080", "<IP>:8080" }, { "http://10.1.2.3/x", "http://<IP>/x" },
                   { "2001:db8::1", "<IP>" }, { "[fe80::1%eth0]", "[<IP>%eth0]" },
                   { "::1 and 2001:0db8:85a3:0000:0000:8a2e:0370:7334.", "<IP> and <IP>." },
                   { "::ffff:10.0.0.1", "<IP>" }, { "00:1a:2B:3c:4d:5e", "<MAC_ADDRESS>" },
                   { "00-1A-2B-3C-4D-5E", "<MAC_ADDRESS>" }, { "001a.2b3c.4d5e", "<MAC_ADDRESS>" },
                   { "f47ac10b-58cc-4372-a567-0e02b2c3d479", "<GUID>" }, );
    CHECK_EXAMPLES({ "1.2.3", NULL }, { "256.1.1.1", NULL }, { "1.2.3.4.5", NULL },
                   { "std::vector", NULL }, { "dead::beef", NULL }, { "12:30:45", NULL },
                   { "a::b", NULL }, { "::", NULL },
                   { "f47ac10b-58cc-4372-a567-0e02b2c3d47", NULL },
                   { "00:1a:2b:3c:4d:5e:6f", NULL }, { "v10.0.0.1", NULL }, );
}

TEST(hashes_and_books_are_found_X_CONV_03)
{
    CHECK_EXAMPLES(
        { "d41d8cd98f00b204e9800998ecf8427e", "<MD5_HEX>" },
        { "da39a3ee5e6b4b0d3255bfef95601890afd80709", "<SHA1_HEX>" },
        { "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "<SHA_256_HEX>" },
        { "978-0-306-40615-7", "<ISBN>" }, { "9780306406157", "<ISBN>" },
        { "0-306-40615-2", "<ISBN>" }, { "ISBN 0306406152", "ISBN <ISBN>" },
        { "ISBN: 080442957X", "ISBN: <ISBN>" }, );
    CHECK_EXAMPLES({ "d41d8cd98f00b204e9800998ecf8427", NULL },
                   { "d41d8cd98f00b204e9800998ecf8427e0", NULL }, { "978-0-306-40615-8", NULL },
                   { "0306406152", NULL }, { "0-306-40615-3", NULL },
                   { "https://x.org/commit/da39a3ee5e6b4b0d3255bfef95601890afd80709", NULL }, );
}

TEST(streets_boxes_and_codes_of_the_post_are_found_X_CONV_03)
{
    CHECK_EXAMPLES({ "at 221B Baker Street, London", "at <STREET_ADDRESS>, London" },
                   { "1600 Pennsylvania Avenue NW, Washington, DC 20500",
                     "<STREET_ADDRESS> NW, Washington, DC <ZIP_CODE>" },
                   { "12 N. Main St", "<STREET_ADDRESS>" }, { "350 5th Ave", "<STREET_ADDRESS>" },
                   { "123 main street", "<STREET_ADDRESS>" },
                   { "7 Martin Luther King Drive", "<STREET_ADDRESS>" },
                   { "P.O. Box 123, PO box 7", "<PO_BOX>, <PO_BOX>" },
                   { "CA 90210", "CA <ZIP_CODE>" }, { "zip code: 12345", "zip code: <ZIP_CODE>" },
                   { "12345-6789", "<ZIP_CODE>" }, );
    CHECK_EXAMPLES({ "5 cats on the road", NULL }, { "2 ways to drive", NULL },
                   { "port 50001", NULL }, { "it costs 12345", NULL }, { "HA 90210", NULL },
                   { "90210.5", NULL }, { "in 2024 the street", NULL }, { "Street 5", NULL },
                   { "https://x.org/zip/12345", NULL }, { "a post box 12", NULL }, );
}

TEST(texts_without_any_are_not_copied_and_none_is_none)
{
    CHECK_EXAMPLES({ "", NULL }, { "Hello, world!", NULL }, { "\xff\xfe\x80", NULL },
                   { "\xE2\x80\xA8\xF0\x9F\x98\x80", NULL }, );
}

TEST(what_is_found_stands_beside_what_is_kept)
{
    CHECK_EXAMPLES({ "a@b.de c@d.de", "<EMAIL_ADDRESS> <EMAIL_ADDRESS>" },
                   { "\xF0\x9F\x98\x80"
                     "10.0.0.1"
                     "\xF0\x9F\x98\x80",
                     "\xF0\x9F\x98\x80<IP>\xF0\x9F\x98\x80" },
                   { "10.0.0.1,10.0.0.2", "<IP>,<IP>" }, );
}
