// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* How a configuration may be encoded: in UTF-8 (YAML 1.2.2, 5.2), with or without a byte order mark. */
#include "config_text.h"

/* As editors on Windows save it: a mark first, CR LF at the ends of lines. */
static void a_file_may_begin_with_a_byte_order_mark(void **state)
{
	struct config *c = parse_ok("\xef\xbb\xbfservice: shop\r\nversions:\r\n"
	                            "  v1: { arm: baseline, match: { listen: 8081 } }\r\n");
	static const struct refusal cases[] = {
		{ "\xef\xbb\xbf" HEAD "gait: {}\n", 4, "\"gait\"" },
		{ "\xef\xbb\xbf", 0, "empty" },
		{ "service: s\n\xef\xbb\xbfgate: {}\n", 2, "byte order mark" },
	};

	assert_string_equal(c->service, "shop");
	assert_int_equal(c->versions[0].match.listen.port, 8081);
	config__free(c);
	REFUSE_ALL(cases);
}

static void text_that_is_not_utf_8_is_told_so(void **state)
{
	refuse_bytes("\xff\xfes\0e\0", 6, 1, "UTF-16 or UTF-32: save the file as UTF-8");
	refuse_bytes("\xfe\xff\0s\0e", 6, 1, "UTF-16");
	refuse_bytes("s\0e\0r\0v\0", 8, 1, "UTF-16");
	refuse_bytes("\0s\0e\0r\0v", 8, 1, "UTF-16");
	refuse_bytes("\xff\xfe\0\0s\0\0\0", 8, 1, "UTF-32");
	refuse_bytes("\0\0\0\0", 4, 1, "NUL");
	refuse_bytes("service: s\n\0", 12, 2, "NUL");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_file_may_begin_with_a_byte_order_mark),
		cmocka_unit_test(text_that_is_not_utf_8_is_told_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
