// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "tls/cost.h"

#include <string.h>

void tls_mix__add(struct tls_mix *m, const struct tls_site *sites, size_t n, double weight)
{
	unsigned int of[TLS_JOB_NR][TLS_HOW_NR], all[TLS_JOB_NR];

	memset(of, 0, sizeof(of));
	memset(all, 0, sizeof(all));
	for (size_t i = 0; i < n; i++) {
		of[sites[i].job][sites[i].how]++;
		all[sites[i].job]++;
	}
	for (int job = 0; job < TLS_JOB_NR; job++)
		for (int how = 0; how < TLS_HOW_NR && all[job]; how++)
			m->of[job][how] += weight * of[job][how] / all[job];
}

void tls_cost__of(const struct tls_mix *m, const struct tls_runs *runs, const struct trap_cost *trap,
                  struct tls_cost *out)
{
	const double each[TLS_HOW_NR] = {
		[TLS_EMULATED] = trap->emulated, [TLS_STEPPED] = trap->stepped, [TLS_URETPROBE] = trap->returned
	};

	*out = (struct tls_cost){ 0 };
	for (int job = 0; job < TLS_JOB_NR; job++) {
		double all = 0;

		for (int how = 0; how < TLS_HOW_NR; how++)
			all += m->of[job][how];
		for (int how = 0; how < TLS_HOW_NR; how++) {
			double part = all > 0 ? m->of[job][how] / all : how == TLS_EMULATED;

			out->traps[how] += (double)runs->runs[job] * part;
		}
		out->seconds += (double)runs->ns[job] / 1e9;
	}
	for (int how = 0; how < TLS_HOW_NR; how++)
		out->seconds += out->traps[how] > 0 ? out->traps[how] * each[how] : 0;
}
