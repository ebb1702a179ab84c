/* SPDX-License-Identifier: Apache-2.0 */
/* Files of profiles, as ~/.aws/credentials is: INI, in the form that AWS's own programs read. */
#ifndef PLUGINS_SHARED_AWS_PROFILE_H
#define PLUGINS_SHARED_AWS_PROFILE_H

#include <stddef.h>

#include "aws_keys.h"

enum { AWS_PROFILE_WORDS_BYTES = 160 };

enum aws_profile_found {
    AWS_PROFILE_FOUND,
    AWS_PROFILE_NONE,  /* there is none of that name, or it says nothing of keys */
    AWS_PROFILE_WRONG, /* what it says of keys cannot be used */
};

/* Keys if they are found; else words, with no secret in them. */
enum aws_profile_found
aws_profile_read(const char *text, size_t len, const char *profile, struct aws_keys *ret_keys,
                 char ret_words[AWS_PROFILE_WORDS_BYTES]);

#endif
