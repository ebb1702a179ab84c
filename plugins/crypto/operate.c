/* SPDX-License-Identifier: Apache-2.0 */
/* Which of the ciphers an algorithm is; see operate.h. */
#include "operate.h"

#include <openssl/err.h>

bool
operate_encrypt(const struct key *key, const char *algorithm, const struct input *input,
                struct output *output, struct why *why)
{
    const bool is_symmetric = symmetric_knows(algorithm);
    if (!is_symmetric && !rsa_knows(algorithm))
        return why_set(why, "unsupported algorithm");
    const bool ok = is_symmetric ? symmetric_encrypt(key, algorithm, input, output, why)
                                 : rsa_encrypt(key, algorithm, input, output, why);
    ERR_clear_error();
    return ok;
}

bool
operate_decrypt(const struct key *key, const char *algorithm, const struct input *input,
                struct output *output, struct why *why)
{
    const bool is_symmetric = symmetric_knows(algorithm);
    if (!is_symmetric && !rsa_knows(algorithm))
        return why_set(why, "unsupported algorithm");
    const bool ok = is_symmetric ? symmetric_decrypt(key, algorithm, input, output, why)
                                 : rsa_decrypt(key, algorithm, input, output, why);
    ERR_clear_error();
    return ok;
}
