/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the application was told of keys by name before it subscribed to them: whoever reads a key
 * and then subscribes must not miss a change between the two. A subscription asks once for each of
 * its keys, and that is forgotten then. Values are kept as fingerprints. Any thread.
 */
#ifndef API_CONFIGURATION_SEEN_H
#define API_CONFIGURATION_SEEN_H

#include "api/configuration.h"

/* Never 0. Equal for equal items; that of an item without value, version and metadata is also that
 * of one that is not there. */
uint64_t configuration_fingerprint(const struct configuration_item *item);
uint64_t configuration_fingerprint_absent(void);

/* `items` is the answer to `query`. */
void configuration_seen_note(struct slice store, const struct configuration_query *query,
                             const struct configuration_item *items, size_t count);
/* True: another value of the key has been given than the one of this fingerprint, or it is not
 * known any more what has been given. */
bool configuration_seen_other(struct slice store, struct slice key, uint64_t fingerprint);

#endif
