/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The programs that run inside the server, where reading a version and writing a value are one
 * step. They keep the layout of the reference: a hash with `data`, `version` (a counter, the ETag)
 * and, once a first-write save happened, `first-write`. Called by their SHA1; the text follows when
 * the server does not know it.
 */
#ifndef REDIS_SCRIPTS_H
#define REDIS_SCRIPTS_H

struct script {
    const char *text;
    const char *sha; /* SHA1 of the text, hexadecimal */
};

enum script_answer { /* of set and del */
                     SCRIPT_DONE = 0,
                     SCRIPT_CONFLICT = 1,
                     SCRIPT_BAD_VERSION = 2, /* the hash has a version that cannot be counted up */
};

/* KEYS: the key. ARGV: expected version ("0": none), data, "0" for first-write else "1", expiry:
 * seconds, "keep" or "clear". */
extern const struct script script_set;
/* KEYS: the key. ARGV: expected version ("0": none). */
extern const struct script script_del;
/* KEYS: one an operation. ARGV: five an operation, "set" or "del" and then those above; what del
 * has no use for is empty. Answers 0 when all is done, else nothing is, and: n for a conflict of
 * operation n (from 1), -n for a version that cannot be counted up. */
extern const struct script script_transact;

#endif
