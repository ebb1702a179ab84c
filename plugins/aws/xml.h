/* SPDX-License-Identifier: Apache-2.0 */
/* Answers of S3: what it refuses, and what a bucket holds. */
#ifndef AWS_PLUGIN_XML_H
#define AWS_PLUGIN_XML_H

#include <remora_plugin.h>

#include "../shared/text.h"

enum { XML_CODE_BYTES = 128, XML_MESSAGE_BYTES = 512 };

struct xml_error {
    char code[XML_CODE_BYTES];       /* "NoSuchKey" */
    char message[XML_MESSAGE_BYTES]; /* one line */
};

/* False: it says nothing of the kind. */
bool xml_read_error(const char *body, size_t len, struct xml_error *ret_error);

/* A ListBucketResult as JSON, in the form that the reference's library gives it; *out grows. False:
 * it is none. */
bool xml_list_to_json(const char *body, size_t len, struct text *out);

#endif
