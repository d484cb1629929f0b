/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * ct_decay[i] = round(256 * exp(-i / 16)), i = 0..127: the discount of old news.
 *
 * Recurrence that made it, exact on any machine: v = 256 << 32; entry = (v + (1 << 31)) >> 32;
 * v = v * 4034748382 >> 32 (128-bit product). The harness rebuilds it and compares.
 */
#ifndef CONTINUITY_CHOICE_TABLE_H
#define CONTINUITY_CHOICE_TABLE_H

static const __u16 ct_decay[128] = {
	256, 240, 226, 212, 199, 187, 176, 165, 155, 146, 137, 129, 121, 114, 107, 100,
	94, 88, 83, 78, 73, 69, 65, 61, 57, 54, 50, 47, 44, 42, 39, 37,
	35, 33, 31, 29, 27, 25, 24, 22, 21, 20, 19, 17, 16, 15, 14, 14,
	13, 12, 11, 11, 10, 9, 9, 8, 8, 7, 7, 6, 6, 6, 5, 5,
	5, 4, 4, 4, 4, 3, 3, 3, 3, 3, 3, 2, 2, 2, 2, 2,
	2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
	1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
	0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
};

#endif
