/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packets of multicast DNS (RFC 1035, RFC 6762): reading what anybody on the network may send, and
 * writing ours. Nothing is allocated; whatever a packet says, reading it ends and stays inside.
 *
 * Names are dotted text without a last dot; a dot or backslash within a label has a backslash
 * before it. They are compared without regard to ASCII case.
 */
#ifndef DNS_H
#define DNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    DNS_NAME_BYTES = 512, /* text of a name of 255 bytes with every byte escaped, and a NUL */
    DNS_WIRE_NAME_BYTES = 255,
    DNS_LABEL_BYTES = 63,
    DNS_PACKET_BYTES = 9000, /* largest packet of multicast DNS */
    DNS_WRITE_BYTES = 1472,  /* what we send fits an Ethernet frame */
    DNS_RECORDS_MAX = 512,   /* of one packet; what follows is not looked at */
};

enum dns_type { DNS_A = 1, DNS_PTR = 12, DNS_TXT = 16, DNS_AAAA = 28, DNS_SRV = 33, DNS_ANY = 255 };

enum {
    DNS_CLASS_IN = 1,
    DNS_CLASS_ANY = 255,
    DNS_CLASS_BIT = 0x8000, /* of a record: replaces others; of a question: answer to me alone */
    DNS_IS_RESPONSE = 0x8000,
    DNS_IS_AUTHORITATIVE = 0x0400,
    DNS_OPCODE = 0x7800,
};

struct dns_name {
    char text[DNS_NAME_BYTES];
};

/* --- reading -----------------------------------------------------------------------------------*/

struct dns_reader {
    const uint8_t *data;
    size_t len;
    size_t at;
    uint16_t id;
    uint16_t flags;
    unsigned questions; /* still to be read */
    unsigned records;   /* of all three sections, likewise */
    unsigned answers;   /* of which so many are answers */
};

struct dns_question {
    struct dns_name name;
    uint16_t type;
    uint16_t class_; /* with its bit */
};

struct dns_record {
    struct dns_name name;
    uint16_t type;
    uint16_t class_; /* with its bit */
    uint32_t ttl;
    bool is_answer;         /* in the first section */
    struct dns_name target; /* PTR, SRV */
    uint16_t port;          /* SRV */
    const uint8_t *data;    /* A, AAAA: 4, 16 bytes; TXT: strings with their lengths before them */
    size_t data_len;
};

/* False: not even a header. */
bool dns_read_start(struct dns_reader *reader, const void *data, size_t len);
/* All questions first, then all records. False after the last one, and where it makes no sense. */
bool dns_read_question(struct dns_reader *reader, struct dns_question *ret_question);
bool dns_read_record(struct dns_reader *reader, struct dns_record *ret_record);

bool dns_name_eq(const char *a, const char *b);
/* Whether `name` is something, a dot, and `parent`. */
bool dns_name_is_below(const char *name, const char *parent);
/* Whether a TXT record has exactly that string. */
bool dns_text_has(const struct dns_record *record, const char *text);

/* --- writing -----------------------------------------------------------------------------------*/

enum { DNS_SUFFIXES_MAX = 24 };

struct dns_writer {
    uint8_t data[DNS_WRITE_BYTES];
    size_t len;
    bool is_full;                        /* it did not fit, or a name was none */
    uint16_t suffixes[DNS_SUFFIXES_MAX]; /* where labels begin that later names may point to */
    size_t suffix_count;
};

enum dns_section { DNS_QUESTIONS, DNS_ANSWERS, DNS_AUTHORITY, DNS_ADDITIONAL };

void dns_write_start(struct dns_writer *writer, uint16_t id, uint16_t flags);
/* Sections must come in order. */
void
dns_write_question(struct dns_writer *writer, const char *name, uint16_t type, uint16_t class_);

struct dns_entry {
    enum dns_section section;
    const char *name;
    uint16_t type;
    uint16_t class_;
    uint32_t ttl;
    const char *target; /* PTR, SRV */
    uint16_t port;      /* SRV */
    const void *data;   /* A, AAAA: the address; TXT: one string, without its length */
    size_t data_len;
};

void dns_write_record(struct dns_writer *writer, const struct dns_entry *entry);

#endif
