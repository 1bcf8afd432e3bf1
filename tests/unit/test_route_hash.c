// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * links: capture model config base
 *
 * The route hash. Oracles: its rule as bpf/route_hash.h words it, written once more over strings; the id rule of
 * user/model/routes.h; and what a route is: requests whose paths differ in ids alone.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "../fuzz/http1_both.h"
#include "capture/route_key.h"
#include "model/routes.h"

#define SEED     0x5eed
#define COUNT(a) (sizeof(a) / sizeof(*(a)))

static __u64 rng_state;

static size_t below(size_t n)
{
	rng_state = rng_state * 6364136223846793005ULL + 1442695040888963407ULL;
	return (rng_state >> 33) % n;
}

/* ---- the three ways to a hash ------------------------------------------------------------------------------------ */

static __u64 mix(__u64 h, __u64 w)
{
	h = (h ^ w) * 0x9e3779b97f4a7c15ULL;
	return h ^ h >> 29;
}

static __u64 fold(__u64 h, const char *s, size_t len)
{
	__u64 last = 0;

	for (size_t left = len; left >= 8; left -= 8, s += 8) {
		__u64 w = 0;

		for (int i = 7; i >= 0; i--)
			w = w << 8 | (unsigned char)s[i];
		h = mix(h, w);
	}
	for (size_t i = 0; i < len % 8; i++)
		last |= (__u64)(unsigned char)s[i] << 8 * i;
	return mix(h, last ^ (__u64)(len & 0xff) << 56);
}

/* By the rule. text: "METHOD target". */
static __u64 by_the_rule(const char *text, __u64 seed)
{
	size_t len = strcspn(text, " ");
	__u64 h = fold(seed, text, len);
	const char *s = text + len + 1;

	if (*s == '/')
		s++;
	else
		h = mix(h, 0x3a2f2f); /* "//:" */
	for (;; s += len + 1) {
		len = strcspn(s, "/?");
		h = route_segment_is_id(s, len) ? mix(h, 0x7d64697b /* "{id}" */) : fold(h, s, len);
		if (s[len] != '/')
			return h;
	}
}

static __u64 by_bytes(const char *text, __u64 seed)
{
	struct careful_head c;
	char head[2048];
	int n = snprintf(head, sizeof(head), "%s HTTP/1.1\r\n\r\n", text);

	careful_head(&c, true, (__u8 *)head, (__u32)n, seed);
	assert_int_equal(c.event, H1_HEAD);
	return c.text.route;
}

/* False: the fast engine leaves it to the other. */
static bool by_words(const char *text, __u64 seed, __u64 *hash)
{
	__u8 window[H1_WINDOW + H1_SPARE];
	struct h1_head h;
	int n;

	memset(window, '/', sizeof(window));
	n = snprintf((char *)window, sizeof(window), "%s HTTP/1.1\r\n\r\n", text);
	window[n] = '1';
	if (!fast_head(&h, true, window, (__u32)n, seed))
		return false;
	*hash = h.hash;
	return true;
}

static __u64 hash_of(const char *text)
{
	return by_bytes(text, SEED);
}

/* ---- random paths ------------------------------------------------------------------------------------------------ */

static void random_text(char *out, size_t size, size_t longest)
{
	static const char *const alphabets[] = { "0123456789", "0123456789abcdefABCDEF-", "abcdef-", "abcxyz_.~%",
		                                 "{}id#:@\xc3\xa9\x7f\x80" };
	static const char *const methods[] = { "GET",      "POST",      "M-SEARC",         "A",
		                               "PROPFIND", "PROPPATCH", "VERSION-CONTROL", "get" };
	size_t n = (size_t)snprintf(out, size, "%s %s", methods[below(COUNT(methods))], below(8) ? "/" : "x");

	for (size_t segments = below(6); segments--;) {
		const char *alphabet = alphabets[below(COUNT(alphabets))];

		for (size_t len = below(longest); len-- && n + 2 < size;)
			out[n++] = alphabet[below(strlen(alphabet))];
		if (segments && n + 2 < size)
			out[n++] = '/';
	}
	out[n] = 0;
}

static void words_and_bytes_hash_as_the_rule_says(void **state)
{
	size_t taken = 0;
	char text[512];

	rng_state = 1;
	for (int run = 0; run < 30000; run++) {
		__u64 seed = rng_state * 0x9e3779b97f4a7c15ULL, hash;

		random_text(text, sizeof(text), run % 4 ? 20 : 60);
		assert_int_equal(by_bytes(text, seed), by_the_rule(text, seed));
		if (!by_words(text, seed, &hash))
			continue;
		taken++;
		assert_int_equal(hash, by_the_rule(text, seed));
	}
	/* Half of the methods are too long or too small for the fast engine. */
	assert_true(taken > 10000);
}

static void a_hash_does_not_depend_on_the_query_and_does_on_everything_else(void **state)
{
	static const char *const same[] = { "GET /cart/7", "GET /cart/8812", "GET /cart/7?", "GET /cart/7?a=/b/c?d" };
	static const char *const other[] = {
		"POST /cart/7", "GE /cart/7", "GETT /cart/7", "get /cart/7",    "GET /cart/7/", "GET /cart//7",
		"GET //cart/7", "GET cart/7", "GET /carts/7", "GET /car/7",     "GET /Cart/7",  "GET /cart/7a",
		"GET /cart",    "GET /cart/", "GET /7/cart",  "GET /cart/{id}", "GET /",        "GET *",
	};

	for (size_t i = 0; i < COUNT(same); i++)
		assert_int_equal(hash_of(same[i]), hash_of(same[0]));
	for (size_t i = 0; i < COUNT(other); i++) {
		assert_int_not_equal(hash_of(other[i]), hash_of(same[0]));
		for (size_t j = 0; j < i; j++)
			assert_int_not_equal(hash_of(other[i]), hash_of(other[j]));
	}
	assert_int_not_equal(by_bytes(same[0], 1), by_bytes(same[0], 2));
}

/* ---- ids --------------------------------------------------------------------------------------------------------- */

/* Every byte at every place of a segment around the lengths at which the rule and the words change. */
static void a_segment_collapses_exactly_when_it_is_an_id(void **state)
{
	static const char *const segments[] = { "1",
		                                "12",
		                                "1234567",
		                                "12345678",
		                                "deadbee1",
		                                "deadbeef",
		                                "--------",
		                                "123456781234567",
		                                "1234567812345678",
		                                "12345678-1234567a",
		                                "DEADBEEF-00000000-ffffffff" };
	__u64 id = hash_of("GET /0"), hash;
	char text[64];

	for (size_t i = 0; i < COUNT(segments); i++)
		for (size_t at = 0; at < strlen(segments[i]); at++)
			for (int c = 0x21; c < 0x100; c++) {
				if (c == '/' || c == '?')
					continue;
				(void)snprintf(text, sizeof(text), "GET /%s", segments[i]);
				text[5 + at] = (char)c;
				hash = hash_of(text);
				assert_int_equal(hash == id, route_segment_is_id(text + 5, strlen(text + 5)));
				assert_int_equal(hash, by_the_rule(text, SEED));
				assert_true(by_words(text, SEED, &hash) && hash == hash_of(text));
			}
}

/* The text with every id as one byte that no target holds. */
static void collapsed(const char *text, char *out)
{
	size_t len = strcspn(text, " ") + 1;

	memcpy(out, text, len);
	out += len;
	text += len;
	for (;; text += len) {
		if (*text == '/')
			*out++ = *text++;
		len = strcspn(text, "/?");
		if (route_segment_is_id(text, len)) {
			*out++ = ' ';
		} else {
			memcpy(out, text, len);
			out += len;
		}
		if (text[len] != '/')
			break;
	}
	*out = 0;
}

static void few_words(char *out, size_t size)
{
	static const char *const words[] = {
		"",   "1",   "22",       "333333333333", "deadbeef1", "DEADBEEF1", "deadbeef", "1234567-",
		"a",  "a",   "1234567a", "1234567g",     "--------",  "-------1",  "abcdefgh", "abcdefghabcdefgh",
		"1a", "%20",
	};
	static const char *const ends[] = { "", "?", "?a=1", "/", "/?q" };
	static const char *const starts[] = { "GET ", "GET /", "GET /", "GET /", "PUT /", "GET http://" };
	size_t n = (size_t)snprintf(out, size, "%s", starts[below(COUNT(starts))]), first = n;

	for (size_t segments = 1 + below(3); segments--;)
		n += (size_t)snprintf(out + n, size - n, "%s%s", words[below(COUNT(words))], segments ? "/" : "");
	if (n == first)
		n += (size_t)snprintf(out + n, size - n, "b");
	(void)snprintf(out + n, size - n, "%s", ends[below(COUNT(ends))]);
}

#define POOL 400

static void requests_share_a_hash_if_and_only_if_their_paths_differ_in_ids_alone(void **state)
{
	static char texts[POOL][96], plain[POOL][96];
	static __u64 hashes[POOL];
	size_t equal = 0;

	rng_state = 2;
	for (int run = 0; run < 5; run++) {
		for (size_t i = 0; i < POOL; i++) {
			few_words(texts[i], sizeof(texts[i]));
			collapsed(texts[i], plain[i]);
			hashes[i] = hash_of(texts[i]);
		}
		for (size_t i = 0; i < POOL; i++)
			for (size_t j = 0; j < i; j++) {
				bool same = strcmp(plain[i], plain[j]) == 0;

				if ((hashes[i] == hashes[j]) != same)
					fail_msg("\"%s\" and \"%s\"", texts[i], texts[j]);
				equal += same && strcmp(texts[i], texts[j]) != 0;
			}
	}
	assert_true(equal > 1000);
}

/* A route is announced by its first request alone: any other that shares its hash must have had the same name. */
static void requests_that_share_a_hash_share_a_name(void **state)
{
	static char texts[POOL][512];
	static __u64 hashes[POOL];
	static uint16_t names[POOL];

	rng_state = 3;
	for (int run = 0; run < 5; run++) {
		struct routes *r = routes__new(NULL, TW_MAX_ENDPOINTS);

		assert_non_null(r);
		for (size_t i = 0; i < POOL; i++) {
			if (i % 2)
				few_words(texts[i], sizeof(texts[i]));
			else
				random_text(texts[i], sizeof(texts[i]), 14);
			assert_true(strlen(texts[i]) <= TW_PATH_MAX);
			hashes[i] = hash_of(texts[i]);
			names[i] = routes__name(r, texts[i], strcspn(texts[i], "?"), false, NULL);
		}
		for (size_t i = 0; i < POOL; i++)
			for (size_t j = 0; j < i; j++)
				if (hashes[i] == hashes[j] && names[i] != names[j])
					fail_msg("\"%s\" and \"%s\"", texts[i], texts[j]);
		routes__free(r);
	}
}

/* ---- templates --------------------------------------------------------------------------------------------------- */

static void a_template_hashes_like_the_requests_it_stands_for(void **state)
{
	static const struct {
		const char *method, *path, *request;
	} cases[] = {
		{ "GET", "/", "GET /" },
		{ "GET", "/cart", "GET /cart?x" },
		{ "GET", "/cart/{id}", "GET /cart/8812" },
		{ "GET", "/cart/{id}", "GET /cart/0" },
		{ "GET", "/cart/{cart}", "GET /cart/deadbeef-0123-4567-89ab-cdef01234567" },
		{ "GET", "/cart/{}", "GET /cart/00000000000000000000000000000000000000000" },
		{ "POST", "/cart/{id}/items/{item}", "POST /cart/1/items/2" },
		{ "DELETE", "/{a}/{b}/", "DELETE /1/2/" },
		{ "VERSION-CONTROL", "/a-long-segment-of-words/{id}", "VERSION-CONTROL /a-long-segment-of-words/12" },
		{ "GET", "/a//b/", "GET /a//b/" },
		{ "GET", "/caf\xc3\xa9", "GET /caf\xc3\xa9" },
	};
	uint64_t hash;

	for (size_t i = 0; i < COUNT(cases); i++) {
		assert_int_equal(route_key(SEED, cases[i].method, cases[i].path, &hash), 0);
		assert_int_equal(hash, hash_of(cases[i].request));
		assert_int_equal(hash, by_the_rule(cases[i].request, SEED));
	}
	assert_int_equal(route_key(SEED, "GET", "/cart/{id}", &hash), 0);
	assert_int_not_equal(hash, hash_of("GET /cart/mine"));
	assert_int_not_equal(hash, hash_of("GET /cart/"));
	assert_int_not_equal(hash, hash_of("GET /cart/7/"));
}

static void a_template_whose_parameter_is_part_of_a_segment_has_no_hash(void **state)
{
	static const char *const paths[] = { "",           "*",       "cart", "/a{id}", "/{id}b",
		                             "/{id}.json", "/{a}{b}", "/{id", "/a/{",   "/a/b{" };
	uint64_t hash;

	for (size_t i = 0; i < COUNT(paths); i++)
		assert_int_equal(route_key(SEED, "GET", paths[i], &hash), -EINVAL);
}

static int build_tables(void **state)
{
	http1_table_build();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words_and_bytes_hash_as_the_rule_says),
		cmocka_unit_test(a_hash_does_not_depend_on_the_query_and_does_on_everything_else),
		cmocka_unit_test(a_segment_collapses_exactly_when_it_is_an_id),
		cmocka_unit_test(requests_share_a_hash_if_and_only_if_their_paths_differ_in_ids_alone),
		cmocka_unit_test(requests_that_share_a_hash_share_a_name),
		cmocka_unit_test(a_template_hashes_like_the_requests_it_stands_for),
		cmocka_unit_test(a_template_whose_parameter_is_part_of_a_segment_has_no_hash),
	};

	return cmocka_run_group_tests(tests, build_tables, NULL);
}
