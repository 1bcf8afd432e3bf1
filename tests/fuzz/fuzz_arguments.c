// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Any lines as what people and pipelines write on a command line. The first letter of a line says where: rates and
 * shares of `plan`, the running stage, a duration, an address, a number; "o": words for the options' parser. It must
 * hold that
 *  - a number is the one that strtod() reads there, to the last bit;
 *  - what is taken lies within its documented bounds;
 *  - what is refused is refused with a message.
 */
#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/cmd.h"
#include "cmd/plan_input.h"
#include "config/config.h"
#include "config/value.h"
#include "quiet.h"

#define LINES 64

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char text[] = "service: shop\n"
			   "versions: { v1: { arm: baseline, match: { listen: 1 } } }\n"
			   "endpoints:\n"
			   "  - { route: \"POST /checkout\", critical: true, value: \"1 EUR\" }\n"
			   "  - { route: \"GET /cart/{id}\" }\n"
			   "  - { route: \"GET /a=b\" }\n"
			   "stages: [5%, 25%, 100%]\n";
static struct config *config;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	struct err e = { "" };

	hush(&stdout); /* refusals of the options' parser */
	if (config__parse(&config, text, sizeof(text) - 1, "shop.yaml", &e))
		fail(e.text);
	return 0;
}

/* The digits of a text alone, as another reader takes them. */
static double digits_value(const char *s)
{
	char digits[64];
	size_t n = strspn(s, "0123456789.");

	if (n >= sizeof(digits))
		fail("more digits than a number may have");
	memcpy(digits, s, n);
	digits[n] = 0;
	return strtod(digits, NULL);
}

static void as_number(const char *s)
{
	double value, share;
	struct money m;
	uint64_t count;

	if (strlen(s) > 40)
		return; /* zeros before it may go on for ever */
	if (!parse_number(s, &value) && value != digits_value(s))
		fail("another number");
	if (!parse_count(s, &count) && (double)count != digits_value(s))
		fail("another count");
	if (!parse_money(s, &m) && (m.amount != digits_value(s) || strlen(m.currency) != 3))
		fail("another amount");
	if (!parse_share(s, &share) && fabs(share - digits_value(s) / (strchr(s, '%') ? 100 : 1)) > share * 1e-15)
		fail("another share");
}

static void as_duration(const char *s)
{
	static const double factor[] = { ['m'] = 60, ['s'] = 1, ['h'] = 3600 };
	double seconds, want;
	size_t n = strlen(s);

	if (n > 40 || parse_duration(s, &seconds))
		return;
	want = digits_value(s) * (n > 2 && s[n - 2] == 'm' ? 1e-3 : factor[(unsigned char)s[n - 1]]);
	if (!(seconds >= 0 && seconds <= 1e9) || fabs(seconds - want) > want * 1e-15)
		fail("another duration");
}

static void as_address(const char *s)
{
	struct endpoint_addr a;

	if (!parse_endpoint_addr(s, &a) && !a.port)
		fail("an address without a port");
}

static void as_shares(const char *s)
{
	struct plan_shares shares;
	struct err e = { "" };
	double before = 0;

	if (plan_input__shares(s, &shares, &e)) {
		if (!e.text[0])
			fail("shares refused without a word");
		return;
	}
	for (size_t i = 0; i < shares.n; i++) {
		if (!(shares.share[i] > before && shares.share[i] < 1))
			fail("shares that do not rise");
		before = shares.share[i];
	}
}

static void as_stage(const char *s)
{
	struct err e = { "" };
	double share = NAN;

	if (config__stage(config, s, &share, &e)) {
		if (!e.text[0])
			fail("a stage refused without a word");
	} else if (share != config->stages[0] && share != config->stages[1] && share != 1) {
		fail("a stage that is none");
	}
}

static void as_rates(const char *const *texts, size_t n)
{
	struct plan_rate r[LINES];
	struct err e = { "" };

	if (plan_input__rates(config, texts, n, r, &e)) {
		if (!e.text[0])
			fail("rates refused without a word");
		return;
	}
	for (size_t i = 0; i < n; i++)
		if (!(r[i].rate > 0 && r[i].rate <= 1e9 && r[i].errors >= 0 && r[i].errors < 1) ||
		    (r[i].has_latency && !(r[i].p50 > 0 && r[i].p50 < r[i].p95 && r[i].p95 <= 256)))
			fail("a rate beyond its bounds");
}

static void as_options(char **words, int n)
{
	const char *file = NULL, *list[LINES];
	bool json = false;
	double wait = 0;
	struct text_list rates = { .text = list };
	const struct option_spec o[] = {
		{ .name = "FILE", .type = OPTION_TEXT, .value = &file, .required = true },
		{ .name = "--json", .letter = 'j', .type = OPTION_FLAG, .value = &json },
		{ .name = "--for", .arg = "TIME", .type = OPTION_DURATION, .value = &wait },
		{ .name = "--rate", .letter = 'r', .arg = "RATE", .type = OPTION_LIST, .value = &rates },
	};
	const struct command c = { .name = "plan" };
	int code = -1, err = options_parse(&c, o, sizeof(o) / sizeof(*o), n, words, &code);

	if (err ? code < 0 : !file || !(wait >= 0 && wait <= 1e9) || rates.n >= LINES)
		fail("options that are none");
}

static void take_lines(char **lines, size_t n)
{
	const char *rates[LINES];
	char *words[LINES] = { (char *)"plan" };
	size_t n_rates = 0;
	int n_words = 1;

	for (size_t i = 0; i < n; i++) {
		char *s = lines[i] + 1;

		switch (lines[i][0]) {
		case 'n':
			as_number(s);
			break;
		case 'd':
			as_duration(s);
			break;
		case 'a':
			as_address(s);
			break;
		case 's':
			as_shares(s);
			break;
		case 'g':
			as_stage(s);
			break;
		case 'r':
			rates[n_rates++] = s;
			break;
		case 'o':
			words[n_words++] = s;
			break;
		}
	}
	as_rates(rates, n_rates);
	if (n_words > 1)
		as_options(words, n_words);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *lines[LINES - 1];
	size_t n = 0;

	while (size && n < LINES - 1) {
		const uint8_t *end = memchr(data, '\n', size);
		size_t len = end ? (size_t)(end - data) : size;

		/* Each a copy of its own: one byte read beyond it is noticed. */
		if (len) {
			lines[n] = strndup((const char *)data, len);
			if (!lines[n++])
				abort();
		}
		data += len + (end != NULL);
		size -= len + (end != NULL);
	}
	take_lines(lines, n);
	for (size_t i = 0; i < n; i++)
		free(lines[i]);
	return 0;
}
