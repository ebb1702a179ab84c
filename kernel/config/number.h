/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers as Go reads and prints them. The reference runtime turns a YAML scalar into a number and
 * back into text, and components see that text: `0644` arrives as 420, `1.0` as 1. Pure functions.
 */
#ifndef CONFIG_NUMBER_H
#define CONFIG_NUMBER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

enum { NUMBER_TEXT_BYTES = 32 };

enum number_result { NUMBER_OK, NUMBER_SYNTAX, NUMBER_RANGE };

/* A sign, then 0x, 0o, 0b or 0 as prefix of another base, then digits. No underscores. */
enum number_result number_to_i64(struct slice text, int64_t *ret_value) WARN_UNUSED;
/* The same without a sign. */
enum number_result number_to_u64(struct slice text, uint64_t *ret_value) WARN_UNUSED;

/* [-+] digits with a point and an exponent; finite. At most 400 characters. */
bool number_to_double(struct slice text, double *ret_value) WARN_UNUSED;

/* Shortest text that reads back as `value`: as JSON has it, and as Go's %g without a precision. */
struct slice number_print_json(double value, char ret_text[NUMBER_TEXT_BYTES]);
struct slice number_print_g(double value, char ret_text[NUMBER_TEXT_BYTES]);

#endif
