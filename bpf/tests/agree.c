/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* The native build: writes the digests of cases FIRST .. FIRST + COUNT - 1 to standard output, 8 bytes each. */
#include <linux/types.h>
#include <stdio.h>
#include <stdlib.h>
#include "agree.h"

int main(int argc, char **argv)
{
	static struct ct_case scratch;
	__u64 first, count, i;

	if (argc != 3)
		return 2;
	first = strtoull(argv[1], 0, 10);
	count = strtoull(argv[2], 0, 10);
	for (i = 0; i < count; i++) {
		__u64 digest = agree(&scratch, first + i);

		if (fwrite(&digest, sizeof(digest), 1, stdout) != 1)
			return 1;
	}
	return fflush(stdout) ? 1 : 0;
}
