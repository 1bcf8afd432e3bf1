# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The table at the end of a bench: medians over the rounds, ratios within each round."""
import statistics

import http2

HEADERS = ("", "requests/s", "of bare", "(range)", "CPU us/req", "more", "p50 ms", "p99 ms", "kernel ns/req",
           "agent CPU", "agent RSS", "answered", "served", "counted")

# title starts with, observer, what, figure, bar, at most or at least
BARS = (
    ("nginx", "tillwatch", "throughput of nginx at saturation, of bare", "ratio", 0.95, "min"),
    ("nginx", "tillwatch", "kernel ns a request on the watched side, net of an empty program",
     "kernel_ns_watched_side", 400, "max"),
    ("nginx", "tillwatch", "agent CPU, of one core", "agent_cpu", 0.01, "max"),
    ("nginx", "tillwatch", "agent RSS, MB", "agent_rss_mb", 40, "max"),
    ("work100", "tillwatch", "throughput of a server that works 100 us, of bare", "ratio", 0.995, "min"),
    ("unwatched", "tillwatch", "throughput of an unwatched server, of bare", "ratio", 0.99, "min"),
    ("tls-nginx", "tillwatch", "throughput of nginx over TLS at saturation, of bare", "ratio", 0.65, "min"),
    ("tls-nginx", "tillwatch", "throughput of nginx over TLS, times that with bpftrace", "of_peer", 4, "min"),
    ("tls-work100", "tillwatch", "throughput of a server that works 100 us over TLS, of bare", "ratio", 0.95, "min"),
)


def comparable(row, name, limit):
    """Pairs (run, bare run of the same round), without the rounds that others disturbed if any is left then."""
    pairs = list(zip(row["results"][name], row["results"][row["bare"]]))
    return [pair for pair in pairs if is_quiet(pair, limit)] or pairs


def is_quiet(pair, limit):
    return max(run["disturbed"] for run in pair) <= limit


def rate(run):
    return run["requests"] / run["seconds"]


def summary(row, name, limit):
    """The figures of one observer in one comparison."""
    runs, pairs, kernel = row["results"][name], comparable(row, name, limit), row["kernel"].get(name, {})

    def middle(key):
        values = [run[key] for run, _ in pairs if run.get(key) is not None]
        return statistics.median(values) if values else None

    def total(key):
        values = [run.get(key) for run in runs]
        return sum(values) if all(v is not None for v in values) else None

    ratios = [rate(a) / rate(b) for a, b in pairs]
    peers = row["results"].get("bpftrace", [])
    rss = middle("agent_rss")
    return {"of_peer": statistics.median(rate(a) / rate(b) for a, b in zip(runs, peers)) if peers else None,
            "rate": statistics.median(rate(run) for run, _ in pairs), "ratio": statistics.median(ratios),
            "low": min(ratios), "high": max(ratios), "cpu": middle("cpu_per_request"),
            "cpu_more": statistics.median(a["cpu_per_request"] / b["cpu_per_request"] - 1 for a, b in pairs),
            "p50": middle("p50"), "p99": middle("p99"), "agent_cpu": middle("agent_cpu"),
            "agent_rss_mb": rss / 1e6 if rss else None, "answered": total("requests"), "handled": total("handled"),
            "counted": total("counted"), "quiet": is_quiet(pairs[0], limit),
            "kernel_ns": kernel.get("kernel_ns"), "kernel_ns_watched_side": kernel.get("kernel_ns_watched_side")}


def cells(name, s, bare):
    def show(value, form):
        return "-" if value is None else form.format(value)

    agent = s["agent_rss_mb"] is not None
    return (name, show(s["rate"], "{:,.0f}"), "" if bare else show(s["ratio"], "{:.3f}"),
            "" if bare else f"{s['low']:.3f}-{s['high']:.3f}", show(s["cpu"] * 1e6, "{:.2f}"),
            "" if bare else show(s["cpu_more"] * 100, "{:+.1f} %"), show(s["p50"] and s["p50"] * 1e3, "{:.3f}"),
            show(s["p99"] and s["p99"] * 1e3, "{:.3f}"), show(s["kernel_ns"], "{:.0f}"),
            show(s["agent_cpu"] * 100 if agent else None, "{:.2f} %"), show(s["agent_rss_mb"], "{:.1f} MB"),
            show(s["answered"], "{:,}"), show(s["handled"], "{:,}"), show(s["counted"], "{:,}"))


def bars(rows, limit):
    """One line a bar: what was to be reached, and what was. Speed is unclear when every round was disturbed."""
    for start, name, what, figure, bar, kind in BARS:
        for row in rows:
            if row["title"].startswith(start) and name in row["results"]:
                found = summary(row, name, limit)
                value = found[figure]
                if value is not None:
                    result = "met" if (value <= bar if kind == "max" else value >= bar) else "MISSED"
                    if figure in ("ratio", "of_peer") and not found["quiet"]:
                        result = "unclear"
                    if not found["counted"] and not row["title"].startswith("unwatched"):
                        result = "void"  # who counts nothing costs nothing
                    side = "most" if kind == "max" else "least"
                    both = figure == "kernel_ns_watched_side"
                    both = f"; with the load generator's side {found['kernel_ns']:.4g}" if both else ""
                    yield f"  {result:<7}  {what}: {value:.4g} (bar: at {side} {bar:g}{both})"


def programs(rows):
    """Where the kernel time goes: per program, net nanoseconds a request and runs a request."""
    for row in rows:
        for name, run in row["kernel"].items():
            parts = [f"{program.partition('#')[0]} {ns - n * run['empty_ns']:.0f} ns ({n:.2f} runs)"
                     for program, (ns, n) in run.get("kernel_ns_by_program", {}).items() if n >= 0.005]
            if parts:
                yield f"  {row['title'].split()[0].rstrip(':')}, {name}: {', '.join(parts)}"


def rests(row, name, net, limit):
    """
    Per round: ns of processor time that a request takes the server longer than bare, less the programs' own there. At
    saturation that is all the time there is, and on a busy machine it is what the server would have needed alone.
    """
    return [(a["server_cpu_per_request"] - b["server_cpu_per_request"]) * 1e9 - net
            for a, b in comparable(row, name, limit)]


def traps(rows, limit):
    """Of the rows over TLS: traps a request, and what one costs beside the program that it runs."""
    for row in rows:
        for name, weights in row.get("traps", {}).items():
            run = row["kernel"].get(name, {})
            ran = {}
            for program, (ns, n) in run.get("kernel_ns_by_program", {}).items():
                program = program.partition("#")[0]
                net, runs = ran.get(program, (0, 0))
                ran[program] = (net + ns - n * run["empty_ns"], runs + n)
            total = sum(n * weights[program][0] for program, (_, n) in ran.items() if program in weights)
            if not total:
                continue
            # What a request sets off when it arrives runs on the processor of who sends it.
            net = sum(ns for program, (ns, _) in ran.items() if program != "tw_ingress")
            each = statistics.median(rests(row, name, net, limit)) / total
            quiet = is_quiet(comparable(row, name, limit)[0], limit)
            yield (f"  {row['title'].split()[0].rstrip(':')}, {name}: {total:.2f} traps a request, "
                   f"{'' if quiet else 'unclear: '}{each:.0f} ns each beside the programs' {net:.0f} ns a request")
            for program, (_, n) in ran.items():
                if program in weights and n >= 0.005:
                    yield f"    {n:.2f} x {weights[program][0]:g} at {weights[program][1]}"


def sides(rows):
    """Whose the kernel time is, and what is left of it without a second processor's cache."""
    for row in rows:
        for name, run in row["kernel"].items():
            where = f"  {row['title'].split()[0].rstrip(':')}, {name}:"
            if "kernel_ns_load_side" in run:
                yield (f"{where} {run['kernel_ns']:.0f} ns, of which {run['kernel_ns_load_side']:.0f} ns on the load "
                       f"generator's side (its own reads, {run['load_reads']:.2f} a request); on the watched side "
                       f"{run['kernel_ns_watched_side']:.0f} ns")
            alone = row["kernel_one_cpu"].get(name, {})
            if "kernel_ns" in alone:
                yield f"{where} the same with server and load on one CPU: {alone['kernel_ns']:.0f} ns"


def counting(rows):
    """
    Exchanges counted against what nginx served, per run: a request that wrk left behind may differ, no other. Of a
    server that keeps no count only what wrk got answers to is known.
    """
    for row in rows:
        for name, runs in row["results"].items():
            runs = [r for r in runs if r.get("counted") is not None]
            if not runs or name == row["bare"]:
                continue
            served = [r["counted"] - r["handled"] for r in runs if r.get("handled") is not None]
            short = sum(max(0, r["requests"] - r["counted"]) for r in runs)
            text = f"counted less served, per run: {', '.join(f'{d:+d}' for d in served)}; " if served else ""
            yield f"  {row['title'].split()[0].rstrip(':')}, {name}: {text}answered but not counted: {short}"


def disturbed(rows, limit):
    runs = [run for row in rows for results in row["results"].values() for run in results]
    n = sum(run["disturbed"] > limit for run in runs)
    if n:
        yield f"  {n} of {len(runs)} runs lost more than {limit:.0%} of a processor to other processes:"
        yield "  their rounds are left out of the ratios where quiet ones remain. CPU us/req hardly depends on it."


def grid(row, limit):
    lines = [(row["title"],) + HEADERS[1:]]
    lines += [cells(name, summary(row, name, limit), name == row["bare"]) for name in row["results"]]
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEADERS))]
    return ["  ".join([line[0].ljust(widths[0])] + [c.rjust(w) for c, w in zip(line[1:], widths[1:])]).rstrip()
            for line in lines]


def render(rows, machine, chosen, limit, long=None, beside=()):
    """
    The whole report as text; limit is the share of a processor that others may take before a run is disturbed. long: of
    http2; beside: lines of that module.
    """
    lines = ["", machine,
             f"{chosen.rounds} rounds, {chosen.seconds} s a run, {chosen.connections} connections (tls: half as many of "
             "each). Medians; ratios",
             "within a round. CPU: server + load generator + agent.",
             "kernel ns: BPF programs alone, net of an empty one, from a separate run."]
    for row in rows:
        lines += [""] + grid(row, limit)
    for title, found in (("Beside others: requests/s and p99 of bare; the observer's own CPU and memory; counted of served", beside),
                         ("Counting (wrk leaves requests in flight when it ends)", counting(rows)),
                         ("Kernel time a request by program, net", programs(rows)),
                         ("Kernel time a request by side, net", sides(rows)),
                         ("Traps of the probes in the TLS library: programs' runs a request x traps of one run",
                          traps(rows, limit)),
                         ("HTTP/2, a stream is a request", http2.streams(rows, long)),
                         ("Bars", list(bars(rows, limit)) + list(http2.bars(rows, long))), ("Disturbed", disturbed(rows, limit))):
        found = list(found)
        if found:
            lines += ["", title] + found
    return "\n".join(lines) + "\n"
