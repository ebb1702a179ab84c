/* SPDX-License-Identifier: Apache-2.0 */
/* The process's environment. */
#include "config/env.h"

#include "test.h"

TEST(the_process_environment_is_read)
{
    setenv("REMORA_TEST_ENV", "x y", 1);
    unsetenv("REMORA_TEST_NOT_SET");
    CHECK_EQ_STR(env_get(env_of_process(), "REMORA_TEST_ENV"), "x y");
    CHECK(env_get(env_of_process(), "REMORA_TEST_NOT_SET") == NULL);
}
