/* SPDX-License-Identifier: Apache-2.0 */
/* XML documents of services, element by element; bounded, and without document types. */
#ifndef PLUGINS_SHARED_XML_READER_H
#define PLUGINS_SHARED_XML_READER_H

#include <expat.h>
#include <stdbool.h>

#include "text.h"

enum { XML_DEPTH_MAX = 8 };

/* Callbacks and `arg` are set by the caller, the rest is zero. */
struct xml_reading {
    void (*on_begin)(struct xml_reading *reading); /* NULL: nobody asks */
    void (*on_end)(struct xml_reading *reading, const char *value);
    void *arg;

    unsigned depth;
    char names[XML_DEPTH_MAX][64];
    struct text value; /* of the innermost element */
    XML_Parser parser;
    bool is_wrong;
};

/* False: it is no such document; callbacks may have been called. */
bool xml_read(struct xml_reading *reading, const char *body, size_t len);
/* Whether this is the element `path`, "/"-separated from the root on. */
bool xml_is_at(const struct xml_reading *reading, const char *path);

#endif
