/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers as Go prints them. */
#include "telemetry/number.h"

#include <math.h>

#include "base/macros.h"
#include "test.h"

TEST(numbers_have_the_shortest_text_that_reads_back)
{
    static const struct {
        double value;
        const char *text;
    } rows[] = {
        { 0, "0" },
        { 1, "1" },
        { -7, "-7" },
        { 100000, "100000" },
        { 999999, "999999" },
        { 1e6, "1e+06" },
        { 1048576, "1.048576e+06" },
        { 4294967296., "4.294967296e+09" },
        { 0.1, "0.1" },
        { 0.25, "0.25" },
        { 1.5, "1.5" },
        { 123456.789, "123456.789" },
        { 999999.5, "999999.5" },
        { 1e-4, "0.0001" },
        { 1e-5, "1e-05" },
        { 1764094029.37, "1.76409402937e+09" },
        { 18446744073709551615., "1.8446744073709552e+19" },
        { 1. / 3, "0.3333333333333333" },
        { HUGE_VAL, "+Inf" },
        { -HUGE_VAL, "-Inf" },
        { NAN, "NaN" },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char text[NUMBER_TEXT_BYTES];
        CHECK_SLICE_IS(number_text(rows[i].value, text), rows[i].text);
    }
}
