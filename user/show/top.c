/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * `top`: services that nobody has configured, one below the other, the busiest first. A screen is shared out so that
 * every service with traffic shows something before any of them shows everything.
 */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "show/format.h"
#include "show/lines.h"
#include "show/parts.h"

struct layout {
	const struct comparison *c;
	int name; /* columns of the endpoint's name */
};

/* requests, rate, errors and their share, three quantiles */
#define FIGURES_WIDTH \
	(1 + SHORT_WIDTH + 1 + TINY_WIDTH + 2 + TINY_WIDTH + 1 + PERCENT_WIDTH + TABLE_QUANTILES * (1 + DURATION_WIDTH))
#define NAME_MIN 12

static double rate(const struct comparison *c, uint64_t requests)
{
	return c->seconds > 0 ? (double)requests / c->seconds : NAN;
}

/* For programs: no separators, no units. */
static struct text plain_rate(const struct comparison *c, uint64_t requests)
{
	struct text t = format_rate(rate(c, requests));

	if (c->seconds > 0)
		snprintf(t.s, sizeof(t.s), "%.2f", rate(c, requests));
	return t;
}

/* "HTTP/1", "HTTP/2, gRPC", with this between two of them; "" when nothing came yet. */
static struct text protocols(const struct comparison *c, const char *between)
{
	bool grpc = false;
	struct text t = { "" };

	for (size_t i = 0; i < c->n_endpoints; i++)
		grpc |= c->endpoints[i].arm[ARM_BASELINE].requests && !strncmp(c->endpoints[i].name, "gRPC ", 5);
	snprintf(t.s, sizeof(t.s), "%s%s%s%s%s", c->traffic.http1 ? "HTTP/1" : "",
	         c->traffic.http1 && c->traffic.http2 ? between : "", c->traffic.http2 ? "HTTP/2" : "",
	         c->traffic.http2 && grpc ? between : "", c->traffic.http2 && grpc ? "gRPC" : "");
	return t;
}

static void top_block(struct frame *f, const struct endpoint_figures *ep, const void *layout)
{
	const struct arm_figures *a = &ep->arm[ARM_BASELINE];
	const struct layout *lay = layout;
	struct line l;

	line_init(&l, f);
	line_put(&l, "  ");
	line_name(&l, ep->name, lay->name, true);
	/* Too narrow for all figures: the first ones that fit, none of them cut. */
	if (line_room(&l) >= 1 + SHORT_WIDTH)
		line_put(&l, " %*s", SHORT_WIDTH, format_count_short(a->requests).s);
	if (line_room(&l) >= 1 + TINY_WIDTH)
		line_put(&l, " %*s", TINY_WIDTH, format_rate(rate(lay->c, a->requests)).s);
	if (line_room(&l) >= 2 + TINY_WIDTH + 1 + PERCENT_WIDTH)
		line_put(&l, "  %*s %*s", TINY_WIDTH, format_count_tiny(arm_errors(a)).s, PERCENT_WIDTH,
		         format_percent(error_share(a)).s);
	for (int i = 0; i < TABLE_QUANTILES && line_room(&l) >= 1 + DURATION_WIDTH; i++)
		line_put(&l, " %*s", DURATION_WIDTH,
		         format_duration(arm_quantile(a, TW_LAT_TOTAL, table_quantiles[i].q)).s);
	frame_add(f, &l, RANK_STAYS);
	part_outcomes(f, lay->c, ep);
	part_streams(f, lay->c, ep);
}

static void top_line(struct frame *f, const struct comparison *c, const struct endpoint_figures *ep)
{
	const struct arm_figures *a = &ep->arm[ARM_BASELINE];
	struct line l;

	line_init(&l, f);
	line_put(&l, "endpoint \"%s\" service=%s requests=%" PRIu64 " rate=%s errors=%" PRIu64 "(%s)", ep->name,
	         c->service ? c->service : "-", a->requests, plain_rate(c, a->requests).s, arm_errors(a),
	         format_percent(error_share(a)).s);
	for (int i = 0; i < TABLE_QUANTILES; i++)
		line_put(&l, " %s=%s", table_quantiles[i].name,
		         format_joined(format_duration(arm_quantile(a, TW_LAT_TOTAL, table_quantiles[i].q))).s);
	frame_add(f, &l, RANK_STAYS);
	part_outcomes(f, c, ep);
	part_streams(f, c, ep);
}

static void put_service_lines(struct frame *f, const struct comparison *c, size_t most)
{
	size_t n, i;
	const struct endpoint_figures **list = endpoints_by_interest(c, &n);
	uint64_t requests = comparison_requests(c);

	frame_prose(f, RANK_STAYS, PLAIN, 0, "service %s requests=%" PRIu64 " rate=%s protocols=%s",
	            c->service ? c->service : "-", requests, plain_rate(c, requests).s,
	            *protocols(c, ",").s ? protocols(c, ",").s : "-");
	for (i = 0; i < n && i < most; i++)
		top_line(f, c, list[i]);
	part_folded(f, list, i, n);
	part_coverage(f, c);
	free(list);
}

static void put_column_heads(struct frame *f, const struct layout *lay)
{
	struct line l;

	line_init(&l, f);
	line_paint(&l, DIM);
	line_put(&l, "  %-*s %*s %*s  %*s", lay->name, "ENDPOINT", SHORT_WIDTH, "REQUESTS", TINY_WIDTH, "/S",
	         TINY_WIDTH + 1 + PERCENT_WIDTH, "ERRORS");
	for (int i = 0; i < TABLE_QUANTILES; i++)
		line_put(&l, " %*s", DURATION_WIDTH, table_quantiles[i].name);
	frame_add(f, &l, RANK_HEADS);
}

/* One service within `rows` lines. */
static void put_service(struct frame *f, const struct comparison *c, size_t rows, int name)
{
	const struct layout lay = { .c = c, .name = name };
	size_t n, before = f->n;
	const struct endpoint_figures **list = endpoints_by_interest(c, &n);
	uint64_t requests = comparison_requests(c);
	const struct text by = protocols(c, ", ");
	struct frame tail;

	frame_init_like(&tail, f);
	if (!is_complete(c))
		part_coverage(&tail, c);
	frame_prose(f, RANK_STAYS, BOLD, 0, "%s%s%s%s: %s requests, %s/s, %s connections",
	            c->service ? c->service : "-", *by.s ? " (" : "", by.s, *by.s ? ")" : "", format_count(requests).s,
	            format_rate(rate(c, requests)).s, format_count(c->traffic.connections).s);
	before = f->n - before + tail.n;
	if (rows > before)
		part_endpoints(f, list, n, rows - before, top_block, &lay);
	frame_append(f, &tail);
	free(list);
}

static int busier(const void *pa, const void *pb)
{
	const struct comparison *a = *(const struct comparison *const *)pa, *b = *(const struct comparison *const *)pb;
	uint64_t n_a = comparison_requests(a), n_b = comparison_requests(b);

	if (n_a != n_b)
		return n_a > n_b ? -1 : 1;
	return strcmp(a->service ? a->service : "", b->service ? b->service : "");
}

/* The services of which no request has ended yet: those that answer some, or those that were asked nothing. */
static void put_names(struct frame *f, const struct comparison *const *services, size_t n, bool asked)
{
	struct line l;
	size_t k = 0;

	line_init_long(&l);
	for (size_t i = 0; i < n; i++) {
		const struct comparison *c = services[i];

		if (asked != (c->traffic.in_flight > 0))
			continue;
		line_put(&l, "%s%s", k++ ? ", " : "", c->service ? c->service : "-");
		if (asked)
			line_put(&l, " (%s)", format_count(c->traffic.in_flight).s);
	}
	if (!k)
		return;
	if (asked)
		frame_prose(f, RANK_NOTE, PLAIN, 0, f->terminal ? "Under way, none has ended yet: %s" : "under_way %s",
		            l.text);
	else
		frame_prose(f, RANK_NOTE, DIM, 0, f->terminal ? "No requests yet: %s" : "waiting %s", l.text);
}

static void put_quiet(struct frame *f, const struct comparison *const *services, size_t first, size_t n)
{
	if (first >= n)
		return;
	put_names(f, services + first, n - first, true);
	put_names(f, services + first, n - first, false);
	for (size_t i = first; i < n; i++) {
		if (!is_complete(services[i]))
			part_coverage(f, services[i]);
		part_notes(f, services[i], RANK_NOTE);
	}
}

/* What is of all services together. */
static void put_host(struct frame *f, const struct comparison *const *services, size_t n)
{
	if (!n)
		return;
	part_tls(f, services[0]);
	part_overhead(f, services[0]);
	part_cost(f, services[0]);
}

static void terminal_top(struct frame *f, const struct comparison *const *services, size_t n, size_t active)
{
	int name = f->limit - 2 - FIGURES_WIDTH < NAME_MIN ? NAME_MIN : f->limit - 2 - FIGURES_WIDTH;
	const struct layout lay = { .name = name < 64 ? name : 64 };
	struct frame tail;
	size_t rows;

	frame_init_like(&tail, f);
	part_blank(&tail);
	put_quiet(&tail, services, active, n);
	put_host(&tail, services, n);
	frame_shrink(&tail, f->rows > 6 ? (size_t)f->rows - 6 : 0);
	if (active)
		put_column_heads(f, &lay);
	for (size_t i = 0; i < active; i++) {
		rows = (size_t)f->rows > f->n + tail.n ? f->rows - f->n - tail.n : 0;
		/* The last line before the screen is full says how many services there was no room for. */
		if (rows < 2 || (rows == 2 && i + 1 < active)) {
			frame_prose(f, RANK_STAYS, DIM, 0, "... and %zu more services", active - i);
			break;
		}
		rows = active - i < rows / 2 ? rows / (active - i) : rows > 3 ? 3 : 2;
		put_service(f, services[i], rows, lay.name);
	}
	frame_append(f, &tail);
	frame_shrink(f, f->rows);
}

void show_top(FILE *out, const struct comparison *const *services, size_t n, const struct show_options *o)
{
	const struct comparison **sorted = calloc(n + 1, sizeof(*sorted));
	size_t active = 0, most = o->rows > 0 ? (size_t)o->rows : LINES_ENDPOINTS;
	struct frame f;

	if (!sorted)
		return;
	if (n)
		memcpy(sorted, services, n * sizeof(*sorted));
	qsort(sorted, n, sizeof(*sorted), busier);
	while (active < n && comparison_requests(sorted[active]))
		active++;
	frame_init(&f, o);
	if (!n)
		frame_prose(&f, RANK_STAYS, PLAIN, 0,
		            f.terminal ? "No service listens on this host yet" : "waiting for a listening service");
	if (f.terminal) {
		terminal_top(&f, sorted, n, active);
	} else {
		for (size_t i = 0; i < active; i++)
			put_service_lines(&f, sorted[i], most);
		put_quiet(&f, sorted, active, n);
		put_host(&f, sorted, n);
		part_blank(&f);
	}
	frame_draw(&f, out);
	frame_fini(&f);
	free(sorted);
}
