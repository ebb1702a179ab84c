/* SPDX-License-Identifier: Apache-2.0 */
/* Kubernetes quantities. */
#include "config/quantity.h"

#include "base/macros.h"
#include "test.h"

static const char format_error[] = "quantities must match the regular expression "
                                   "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";

TEST(suffixes_multiply)
{
    static const struct {
        const char *text;
        int64_t value;
    } rows[] = {
        { "0", 0 },
        { "1", 1 },
        { "4Mi", 4194304 },
        { "4Ki", 4096 },
        { "64Ki", 65536 },
        { "512Mi", 536870912 },
        { "1Gi", 1073741824 },
        { "1k", 1000 },
        { "2M", 2000000 },
        { "3G", 3000000000 },
        { "1e3", 1000 },
        { "1E3", 1000 },
        { "12e-1", 2 },
        { "1.5Gi", 1610612736 },
        { "1.5k", 1500 },
        { "0.1", 1 },
        { "100m", 1 },
        { "1500m", 2 },
        { "-1", -1 },
        { "+1", 1 },
        { "-1500m", -2 },
        { "007", 7 },
        { "1.", 1 },
        { ".5", 1 },
        { "1n", 1 },
        { "1E", 1000000000000000000 },
        { "4Ti", 4398046511104 },
        { "1.0000000000000000000001", 2 },
        { "0.000", 0 },
        { "100E", INT64_MAX },
        { "123456789012345678901234567890", INT64_MAX },
        { "1e-200", 1 },
        { "1e200", INT64_MAX },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int64_t value = -77;
        const char *error = "";
        CHECK(quantity_parse(slice_str(rows[i].text), &value, &error));
        if (!CHECK_EQ_INT(value, rows[i].value))
            fprintf(stderr, "  %s\n", rows[i].text);
    }
}

static void
check_refused(const char *text, const char *expected)
{
    int64_t value = 5;
    const char *error = "";
    CHECK(!quantity_parse(slice_str(text), &value, &error));
    CHECK_EQ_STR(error, expected);
    CHECK_EQ_INT(value, 5);
}

TEST(malformed_quantities_are_refused_in_kubernetes_words)
{
    check_refused("", format_error);
    check_refused("abc", format_error);
    check_refused("4MB", format_error);
    check_refused("4 Mi", format_error);
    check_refused("1.2.3", format_error);
    check_refused("-", format_error);
    check_refused("0x10", format_error);
    check_refused("4KiB", format_error);
    check_refused("4K", "unable to parse quantity's suffix");
    check_refused("4mM", "unable to parse quantity's suffix");
    check_refused("1e", "unable to parse quantity's suffix");
}
