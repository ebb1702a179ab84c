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

/* Answers of set and del. BAD_VERSION: the hash has a version that cannot be counted up. */
enum script_answer { SCRIPT_DONE = 0, SCRIPT_CONFLICT = 1, SCRIPT_BAD_VERSION = 2 };

/* KEYS: the key. ARGV: expected version ("0": none), data, "0" for first-write else "1", expiry:
 * seconds, "keep" or "clear". */
extern const struct script script_set;
/* KEYS: the key. ARGV: expected version ("0": none). */
extern const struct script script_del;
/* KEYS: one an operation. ARGV: five an operation, "set" or "del" and then those above; what del
 * has no use for is empty. Answers 0 when all is done, else nothing is, and: n for a conflict of
 * operation n (from 1), -n for a version that cannot be counted up. One argument more: it is only
 * looked whether it could be done. */
extern const struct script script_transact;

/* Servers with the JSON module keep values of contentType application/json as documents, as the
 * reference does: {"data": value, "version": n}. These two know hashes and documents. */

/* As script_transact, with "doc" beside "set": the data is JSON and becomes a document. */
extern const struct script script_documents;
/* KEYS: the key. Answers [data, version], either nil, or a plain string that others wrote. */
extern const struct script script_read;

#endif
