/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mailboxes as users write them: "a@example.com", "<a@example.com>", "Ann Example <a@example.com>",
 * "\"Example, Ann\" <a@example.com>". What comes out is safe within a header and an SMTP command:
 * there is nothing in it that ends a line, a word or a mailbox.
 */
#ifndef SMTP_PLUGIN_ADDRESS_H
#define SMTP_PLUGIN_ADDRESS_H

#include <remora_plugin.h>

enum {
    ADDRESS_BYTES_MAX = 320, /* 64, "@" and 255 (RFC 5321 4.5.3.1) */
    NAME_BYTES_MAX = 256,
    ADDRESSES_MAX = 1000, /* in all, of one letter */
};

struct address {
    char spec[ADDRESS_BYTES_MAX + 1]; /* "a@example.com" */
    char name[NAME_BYTES_MAX + 1];    /* UTF-8; empty: none */
};

bool address_parse(struct remora_slice text, struct address *ret_address);

/* Reads one of a list with semicolons; blank ones are skipped. False at the end. */
bool address_next(struct remora_slice *list, struct remora_slice *ret_text);

#endif
