// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "tls/deep.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tls/inside.h"
#include "tls/methods.h"
#include "tls/way.h"

/* What else they return says that nothing was read: of early data, 2 says that it has ended. */
static const struct {
	const char *name;
	bool reads; /* or only looks */
	enum way_bytes bytes;
	unsigned int others;
} functions[] = {
	{ "SSL_read", true, WAY_OWN, SORT_NOT_POSITIVE },
	{ "SSL_read_ex", true, WAY_ASKED, SORT_NOT_POSITIVE },
	{ "SSL_read_early_data", true, WAY_ASKED, SORT_NOT_POSITIVE | SORT_MORE },
	{ "SSL_peek", false, WAY_OWN, SORT_NOT_POSITIVE },
	{ "SSL_peek_ex", false, WAY_ASKED, SORT_NOT_POSITIVE },
};
#define N_FUNCTIONS (sizeof(functions) / sizeof(*functions))

/* All that read go one way, all that look another, through the table that the library's own function says. */
static int find_ways(struct reading *r, struct way *read, struct way *peek, const char **why)
{
	bool have_read = false, have_peek = false;
	int32_t field;
	int err;

	*why = "reading cannot be followed into the library";
	for (size_t i = 0; i < N_FUNCTIONS; i++) {
		const struct symbol *s = reading__symbol(r, functions[i].name);
		bool *have = functions[i].reads ? &have_read : &have_peek;
		struct way *way = functions[i].reads ? read : peek, w;

		if (!s->defined)
			continue;
		err = way__find(r, s, functions[i].bytes, functions[i].others, &w);
		if (err)
			return err;
		if (*have && (w.field != way->field || w.entry != way->entry))
			return -ENOTSUP;
		*way = w;
		*have = true;
	}
	if (!have_read || !have_peek || !reading__symbol(r, "SSL_get_ssl_method")->defined)
		return -ENOTSUP;
	err = way__field(r, reading__symbol(r, "SSL_get_ssl_method"), &field);
	if (err)
		return err;
	return read->field == field && peek->field == field && read->entry != peek->entry ? 0 : -ENOTSUP;
}

static int find(struct reading *r, struct inside *out, const char **why)
{
	struct way read, peek;
	uint64_t read_at, peek_at;
	int err;

	*why = "on x86-64 only";
	if (r->img.machine != EM_X86_64)
		return -ENOTSUP;
	err = find_ways(r, &read, &peek, why);
	if (err)
		return err;
	*why = "the tables of methods differ or cannot be read";
	err = methods__entry(r, read.entry, &read_at);
	if (!err)
		err = methods__entry(r, peek.entry, &peek_at);
	if (err)
		return err;
	*why = "no emulated instructions inside have both the result and the arguments";
	return inside__find(r, read_at, peek_at, out);
}

static bool is_replaced(const struct tls_site *s)
{
	for (size_t i = 0; i < N_FUNCTIONS; i++)
		if (functions[i].reads && !strcmp(functions[i].name, s->name))
			return true;
	return false;
}

/* What r->lib has now is left out where it is replaced. */
static int list(struct reading *r, const struct inside *in, const struct tls_library *plain)
{
	int err = 0;

	for (size_t i = 0; i < in->n && !err; i++) {
		err = reading__add_site(r, "SSL_read", in->at[i].addr, TLS_READ_AT, &in->at[i], NULL);
		if (!err)
			r->lib->sites[i].where = in->where[i];
	}
	for (size_t i = 0; i < plain->n_sites && !err; i++)
		if (!is_replaced(&plain->sites[i]))
			err = reading__copy_site(r, &plain->sites[i], &plain->where[i]);
	return err;
}

/* Sites are added to r->lib's first list; so that one is put aside for a moment. */
static int make_list(struct reading *r, const struct inside *in)
{
	struct tls_library *lib = r->lib, plain = *lib;
	int err;

	lib->sites = NULL;
	lib->where = NULL;
	lib->n_sites = 0;
	err = list(r, in, &plain);
	lib->inside = lib->sites;
	lib->inside_where = lib->where;
	lib->n_inside = lib->n_sites;
	lib->sites = plain.sites;
	lib->where = plain.where;
	lib->n_sites = plain.n_sites;
	return err;
}

int deep__find(struct reading *r, struct err *e)
{
	struct inside in;
	int err = find(r, &in, &r->lib->outside);

	if (err == -ENOTSUP)
		return 0;
	if (!err)
		err = make_list(r, &in);
	if (!err)
		r->lib->outside = NULL;
	return err ? err_set(e, -err, "%s: out of memory", r->img.name) : 0;
}
