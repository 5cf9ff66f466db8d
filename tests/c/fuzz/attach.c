/* SPDX-License-Identifier: MIT
 *
 * The property of segment_attach_of_corrupt_header.c, with what libFuzzer finds.
 */
#define USE_LIBFUZZER
#include "../segment_attach_of_corrupt_header.c"
