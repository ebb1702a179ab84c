/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads with expat; see xml_reader.h. A document type is refused: no service's answer has one, and
 * with it goes all that entities can do.
 */
#include "xml_reader.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { VALUE_BYTES_MAX = 16 * 1024 };

static void
stop(struct xml_reading *r)
{
    r->is_wrong = true;
    (void)XML_StopParser(r->parser, XML_FALSE);
}

static void
on_doctype(void *arg, const char *name, const char *system, const char *public, int has_subset)
{
    (void)name;
    (void)system;
    (void)public;
    (void)has_subset;
    stop(arg);
}

static void
on_start(void *arg, const char *name, const char **attributes)
{
    struct xml_reading *r = arg;
    (void)attributes;
    if (r->depth == XML_DEPTH_MAX) {
        stop(r);
        return;
    }
    (void)snprintf(r->names[r->depth++], sizeof r->names[0], "%s", name);
    r->value.len = 0;
    if (r->on_begin != NULL)
        r->on_begin(r);
}

static void
on_text(void *arg, const char *text, int len)
{
    struct xml_reading *r = arg;
    if (r->value.len + (size_t)len > VALUE_BYTES_MAX)
        stop(r);
    else
        text_put(&r->value, text, (size_t)len);
}

static void
on_finish(void *arg, const char *name)
{
    struct xml_reading *r = arg;
    (void)name;
    text_put(&r->value, "", 1); /* the NUL */
    r->on_end(r, r->value.bytes);
    r->depth--;
    r->value.len = 0;
}

bool
xml_read(struct xml_reading *r, const char *body, size_t len)
{
    if (len > INT32_MAX)
        return false;
    r->parser = XML_ParserCreate("UTF-8");
    if (r->parser == NULL)
        abort();
    XML_SetUserData(r->parser, r);
    XML_SetElementHandler(r->parser, on_start, on_finish);
    XML_SetCharacterDataHandler(r->parser, on_text);
    XML_SetStartDoctypeDeclHandler(r->parser, on_doctype);
    const bool ok = XML_Parse(r->parser, len == 0 ? "" : body, (int)len, 1) == XML_STATUS_OK;
    XML_ParserFree(r->parser);
    if (r->value.bytes != NULL)
        explicit_bzero(r->value.bytes, r->value.capacity); /* it may be a secret */
    free(r->value.bytes);
    return ok && !r->is_wrong;
}

bool
xml_is_at(const struct xml_reading *r, const char *path)
{
    for (unsigned i = 0; i < r->depth; i++) {
        const size_t len = strlen(r->names[i]);
        if (strncmp(path, r->names[i], len) != 0)
            return false;
        path += len;
        if (i + 1 < r->depth && *path++ != '/')
            return false;
    }
    return *path == '\0';
}
