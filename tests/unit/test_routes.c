// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * links: model config base
 *
 * Oracles: the request-target forms of RFC 9112, section 3.2 (with its own examples), the percent-encoding of RFC 3986,
 * and the id rule as the kernel's route hash applies it.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <linux/types.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "model/routes.h"
#include "route_hash.h"
#include "tw_abi.h"

static struct config *config_of(const char *const *routes, size_t n)
{
	char text[8192];
	struct config *c = NULL;
	struct err e;
	int used = snprintf(text, sizeof(text),
	                    "service: s\nversions: { v1: { arm: baseline, match: { listen: 80 } } }\nendpoints:\n");

	for (size_t i = 0; i < n; i++)
		used += snprintf(text + used, sizeof(text) - (size_t)used, "  - { route: \"%s\" }\n", routes[i]);
	if (config__parse(&c, text, (size_t)used, "test", &e))
		fail_msg("%s", e.text);
	return c;
}

static const char *name_of(struct routes *r, const char *text)
{
	return routes__endpoint(r, routes__name(r, text, strlen(text), false, NULL));
}

static void expect_names(const char *const (*cases)[2], size_t n)
{
	struct routes *r = routes__new(NULL, 500);

	for (size_t i = 0; i < n; i++)
		assert_string_equal(name_of(r, cases[i][0]), cases[i][1]);
	routes__free(r);
}
#define EXPECT_NAMES(cases) expect_names(cases, sizeof(cases) / sizeof((cases)[0]))

static void ids_are_collapsed_and_words_are_kept(void **state)
{
	static const char *const cases[][2] = {
		{ "GET /", "GET /" },
		{ "GET /orders", "GET /orders" },
		{ "GET /orders/8812", "GET /orders/{id}" },
		{ "GET /orders/8812/", "GET /orders/{id}/" },
		{ "GET /orders//8812", "GET /orders//{id}" },
		{ "GET /0", "GET /{id}" },
		{ "GET /u/123e4567-e89b-12d3-a456-426614174000/x", "GET /u/{id}/x" },
		{ "GET /u/DEADBEEF0", "GET /u/{id}" },
		{ "GET /u/deadbeef", "GET /u/deadbeef" },
		{ "GET /u/dead1", "GET /u/dead1" },
		{ "GET /u/--------", "GET /u/--------" },
		{ "GET /u/1234567g", "GET /u/1234567g" },
		{ "GET /v2/items", "GET /v2/items" },
	};

	EXPECT_NAMES(cases);
}

static void every_form_of_request_target_has_a_name_without_authority(void **state)
{
	static const char *const cases[][2] = {
		{ "GET /where?q=now", "GET /where" },
		{ "GET http://www.example.org/pub/WWW/TheProject.html", "GET /pub/WWW/TheProject.html" },
		{ "GET http://user:secret@host:8080/a/7?b#c", "GET /a/{id}" },
		{ "GET http://host", "GET /" },
		{ "GET http://host?token=1", "GET /" },
		{ "GET HTTPS://[::1]:443/x", "GET /x" },
		{ "GET a+b-c.1://h/x", "GET /x" },
		{ "CONNECT www.example.com:80", "CONNECT (authority)" },
		{ "CONNECT user@host", "CONNECT (authority)" },
		{ "OPTIONS *", "OPTIONS *" },
		{ "GET secret.example", "GET (authority)" },
		{ "GET 1http://secret/x", "GET (authority)" },
		{ "GET ?token=1", "GET (authority)" },
		{ "GET /a#b", "GET /a" },
		{ "GET /a?b/c", "GET /a" },
		{ "GET //double/slash", "GET //double/slash" },
		{ "PURGE-ALL!#$ /x", "PURGE-ALL!#$ /x" },
	};

	EXPECT_NAMES(cases);
}

static void foreign_bytes_come_out_percent_encoded(void **state)
{
	static const char *const cases[][2] = {
		{ "GET /caf\xc3\xa9", "GET /caf%C3%A9" },
		{ "GET /a\"b\\c", "GET /a%22b%5Cc" },
		{ "GET /\x01\x7f\xff", "GET /%01%7F%FF" },
		{ "GET /a b", "GET /a%20b" },
		{ "GET /{id}", "GET /%7Bid%7D" },
		{ "G\x1bT /", "G%1BT /" },
		{ "GET /%41", "GET /%41" },
	};
	struct routes *r = routes__new(NULL, 500);

	EXPECT_NAMES(cases);
	assert_string_equal(routes__endpoint(r, routes__name(r, "GET /\0/9", 8, false, NULL)), "GET /%00/{id}");
	routes__free(r);
}

static void what_cannot_be_named_is_other_and_is_not_blamed_on_the_cap(void **state)
{
	static const char *const bad[] = { "", " ", "GET", "GET ", " /x" };
	struct routes *r = routes__new(NULL, 500);

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		bool capped = true;
		uint16_t ep = routes__name(r, bad[i], strlen(bad[i]), false, &capped);

		assert_string_equal(routes__endpoint(r, ep), "other");
		assert_int_equal(ep, routes__other(r));
		assert_false(capped);
	}
	assert_int_equal(routes__count(r), 1);
	routes__free(r);
}

static void above_the_cap_new_names_are_other_and_old_ones_keep_their_number(void **state)
{
	struct routes *r = routes__new(NULL, 3);
	char text[32];
	bool capped;

	for (int i = 0; i < 5000; i++) {
		snprintf(text, sizeof(text), "GET /p%d", i);
		assert_int_equal(routes__name(r, text, strlen(text), false, &capped), i < 3 ? i + 1 : 4);
		assert_int_equal(capped, i >= 3);
	}
	assert_int_equal(routes__count(r), 4);
	assert_string_equal(routes__endpoint(r, 4), "other");
	assert_int_equal(routes__name(r, "GET /p1", 7, false, &capped), 2);
	assert_false(capped);
	routes__free(r);
}

static void other_does_not_take_a_place_below_the_cap(void **state)
{
	struct routes *r = routes__new(NULL, 2);

	assert_string_equal(name_of(r, ""), "other");
	assert_string_equal(name_of(r, "GET /a"), "GET /a");
	assert_string_equal(name_of(r, "GET /b"), "GET /b");
	assert_string_equal(name_of(r, "GET /c"), "other");
	assert_int_equal(routes__count(r), 3);
	routes__free(r);
}

static void the_largest_cap_fits_the_kernels_table(void **state)
{
	struct routes *r = routes__new(NULL, 1000000);
	char text[32];

	for (int i = 0; i < 2000; i++) {
		snprintf(text, sizeof(text), "GET /p%d", i);
		assert_in_range(routes__name(r, text, strlen(text), false, NULL), 1, TW_MAX_ENDPOINTS - 1);
	}
	/* "(unknown)" keeps its number for itself until it is needed. */
	assert_int_equal(routes__count(r), TW_MAX_ENDPOINTS - 2);
	assert_int_equal(routes__unknown(r), TW_MAX_ENDPOINTS - 1);
	assert_string_equal(routes__endpoint(r, TW_MAX_ENDPOINTS - 1), "(unknown)");
	assert_null(routes__endpoint(r, 0));
	assert_null(routes__endpoint(r, TW_MAX_ENDPOINTS));
	assert_null(routes__endpoint(r, UINT16_MAX));
	routes__free(r);
}

static void the_configs_endpoints_come_first_in_its_order_whatever_the_cap(void **state)
{
	static const char *const routes[] = { "POST /checkout", "GET /cart/{id}", "* /health" };
	struct config *c = config_of(routes, 3);
	struct routes *r = routes__new(c, 1);

	assert_int_equal(routes__count(r), 3);
	for (uint16_t i = 1; i <= 3; i++) {
		assert_string_equal(routes__endpoint(r, i), routes[i - 1]);
		assert_ptr_equal(routes__config(r, i), &c->routes[i - 1]);
	}
	assert_string_equal(name_of(r, "GET /new"), "other");
	assert_null(routes__config(r, 4));
	routes__free(r);
	config__free(c);
}

static void the_most_specific_template_wins_whatever_its_place_in_the_file(void **state)
{
	static const char *const forward[] = { "* /{a}/{b}",    "GET /{a}/{b}",    "GET /cart/{b}", "GET /{a}/items",
		                               "* /cart/items", "GET /cart/items", "* /*x" };
	static const char *const backward[] = { "GET /cart/items", "* /cart/items", "GET /{a}/items",
		                                "GET /cart/{b}",   "GET /{a}/{b}",  "* /{a}/{b}" };
	static const char *const cases[][2] = {
		{ "GET /cart/items", "GET /cart/items" }, { "POST /cart/items", "* /cart/items" },
		{ "GET /cart/7", "GET /cart/{b}" },       { "GET /shop/items", "GET /{a}/items" },
		{ "GET /shop/x", "GET /{a}/{b}" },        { "PUT /shop/x", "* /{a}/{b}" },
	};

	for (int way = 0; way < 2; way++) {
		struct config *c = config_of(way ? backward : forward, way ? 6 : 7);
		struct routes *r = routes__new(c, 500);

		for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
			assert_string_equal(name_of(r, cases[i][0]), cases[i][1]);
		routes__free(r);
		config__free(c);
	}
}

static void a_template_matches_whole_segments_only(void **state)
{
	static const char *const routes[] = { "GET /cart/{id}", "OPTIONS *", "CONNECT (authority)", "GET /" };
	static const char *const cases[][2] = {
		{ "GET /cart/abc", "GET /cart/{id}" },
		{ "GET /cart/a%2Fb?x=1", "GET /cart/{id}" },
		{ "GET http://h/cart/1", "GET /cart/{id}" },
		{ "GET /cart/", "GET /cart/" },
		{ "GET /cart/a/b", "GET /cart/a/b" },
		{ "GET /cart/1/", "GET /cart/{id}/" },
		{ "GET /Cart/x", "GET /Cart/x" },
		{ "GETX /cart/abc", "GETX /cart/abc" },
		{ "get /cart/abc", "get /cart/abc" },
	};
	struct config *c = config_of(routes, 4);
	struct routes *r = routes__new(c, 500);

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_string_equal(name_of(r, cases[i][0]), cases[i][1]);
	assert_int_equal(routes__name(r, "OPTIONS *", 9, false, NULL), 2);
	assert_int_equal(routes__name(r, "CONNECT h:443", 13, false, NULL), 3);
	assert_int_equal(routes__name(r, "GET /?q", 7, false, NULL), 4);
	routes__free(r);
	config__free(c);
}

static void a_target_that_was_cut_off_keeps_its_whole_segments_and_matches_no_template(void **state)
{
	static const char *const routes[] = { "GET /cart/{id}" };
	struct config *c = config_of(routes, 1);
	struct routes *r = routes__new(c, 500);
	static const char *const cases[][2] = {
		{ "GET /cart/abc", "GET /cart/{...}" },   { "GET /a/12/b", "GET /a/{id}/{...}" },
		{ "GET http://long.host", "GET /{...}" }, { "GET /", "GET /{...}" },
		{ "GET /cart/abc?x", "GET /cart/{id}" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_string_equal(routes__endpoint(r, routes__name(r, cases[i][0], strlen(cases[i][0]), true, NULL)),
		                    cases[i][1]);
	routes__free(r);
	config__free(c);
}

static void names_are_unique(void **state)
{
	static const char *const routes[] = { "GET /orders/{order}", "* /{any}" };
	struct config *c = config_of(routes, 2);
	struct routes *r = routes__new(c, 400);
	uint64_t x = 88172645463325252ULL;

	for (int i = 0; i < 20000; i++) {
		static const char bytes[] = "/o{}*? a1%\"\xff";
		char text[24] = "GET /";
		size_t len = 5;

		for (; len < 5 + (size_t)(i % 6); len++) {
			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
			text[len] = bytes[x % (sizeof(bytes) - 1)];
		}
		routes__name(r, text, len, x & 1, NULL);
	}
	for (uint16_t a = 1; a <= routes__count(r); a++)
		for (uint16_t b = 1; b < a; b++)
			assert_string_not_equal(routes__endpoint(r, a), routes__endpoint(r, b));
	routes__free(r);
	config__free(c);
}

/* Every length up to 8 KB, its last byte touching an unmapped page. */
static void hostile_lengths_and_bytes_are_named_without_reading_beyond_the_text(void **state)
{
	static const char *const fill[] = { "/", "a", "\xff", "/1", "?", "%", " ", "http://" };
	size_t page = (size_t)sysconf(_SC_PAGESIZE), room = 3 * page;
	char *map = mmap(NULL, room + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct routes *r = routes__new(NULL, 500);

	assert_true(map != MAP_FAILED);
	assert_int_equal(mprotect(map + room, page, PROT_NONE), 0);
	for (size_t f = 0; f < sizeof(fill) / sizeof(fill[0]); f++) {
		for (size_t len = 0; len <= 8192; len += len < 300 ? 1 : 263) {
			char *text = map + room - len;

			for (size_t i = 0; i < len; i++)
				text[i] = i < 5 ? "GET /"[i] : fill[f][i % strlen(fill[f])];
			assert_in_range(routes__name(r, text, len, len & 1, NULL), 1, 501);
		}
	}
	for (uint16_t i = 1; i <= routes__count(r); i++)
		for (const char *p = routes__endpoint(r, i); *p; p++)
			assert_true(*p >= ' ' && *p < 0x7f && *p != '"' && *p != '\\');
	routes__free(r);
	munmap(map, room + page);
}

static void the_id_rule_is_that_of_the_kernels_hash(void **state)
{
	static const char bytes[] = "0123456789abcdefABCDEF-gGz_.`@/:\x80\xff";
	uint64_t x = 88172645463325252ULL;

	for (int i = 0; i < 400000; i++) {
		/* Few kinds of bytes a segment, or hardly any would be an id. */
		size_t len = (size_t)i % 40, kinds = i % 3 == 0 ? 10 : i % 3 == 1 ? 23 : sizeof(bytes) - 1;
		struct rh_stream h;
		char segment[40];

		rh_start(&h, 1);
		for (size_t k = 0; k < len; k++) {
			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
			segment[k] = bytes[x % kinds];
			rh_byte(&h, (unsigned char)segment[k]);
		}
		assert_int_equal(route_segment_is_id(segment, len), !!rh_is_id(&h.s));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ids_are_collapsed_and_words_are_kept),
		cmocka_unit_test(every_form_of_request_target_has_a_name_without_authority),
		cmocka_unit_test(foreign_bytes_come_out_percent_encoded),
		cmocka_unit_test(what_cannot_be_named_is_other_and_is_not_blamed_on_the_cap),
		cmocka_unit_test(above_the_cap_new_names_are_other_and_old_ones_keep_their_number),
		cmocka_unit_test(other_does_not_take_a_place_below_the_cap),
		cmocka_unit_test(the_largest_cap_fits_the_kernels_table),
		cmocka_unit_test(the_configs_endpoints_come_first_in_its_order_whatever_the_cap),
		cmocka_unit_test(the_most_specific_template_wins_whatever_its_place_in_the_file),
		cmocka_unit_test(a_template_matches_whole_segments_only),
		cmocka_unit_test(a_target_that_was_cut_off_keeps_its_whole_segments_and_matches_no_template),
		cmocka_unit_test(names_are_unique),
		cmocka_unit_test(hostile_lengths_and_bytes_are_named_without_reading_beyond_the_text),
		cmocka_unit_test(the_id_rule_is_that_of_the_kernels_hash),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
