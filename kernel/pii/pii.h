/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Personal data in text, found by its form and replaced by a word that says what it was. A text is
 * walked once, from one beginning of a word to the next; at each a few forms are tried, each of
 * which looks at a bounded number of bytes, so that time is linear in the text. Where a form has a
 * check digit it is checked, and what is only a number needs a word before it that says more.
 *
 * Labels are those of the library that the reference runtime uses. Pure; any thread.
 */
#ifndef PII_PII_H
#define PII_PII_H

#include "base/arena.h"
#include "base/slice.h"

/* The text itself if there is nothing in it, else a copy in the arena. */
struct slice pii_scrub(struct arena *arena, struct slice text);

#endif
