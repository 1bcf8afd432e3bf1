# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
What the tool should have counted, worked out from what servers logged and clients measured. Knows nothing of the tool
but its two published rules: how a target becomes an endpoint, and how wide a bucket is.
"""
import collections
import math

BUCKET = 2 ** (1 / 16)
SLACK = 0.0002
MS = 0.001
HEX_DASH = set("0123456789abcdefABCDEF-")


def is_id(segment):
    if not segment:
        return False
    if all(c in "0123456789" for c in segment):
        return True
    return len(segment) >= 8 and set(segment) <= HEX_DASH and any(c.isdigit() for c in segment)


def endpoint(method, target):
    """The name of a target that no entry of the configuration matches."""
    if "://" in target:
        rest = target.split("://", 1)[1]
        target = rest[rest.index("/"):] if "/" in rest else "/"
    target = target.split("?", 1)[0].split("#", 1)[0]
    return method + " " + "/".join("{id}" if is_id(s) else s for s in target.split("/"))


def counts(exchanges):
    """(method, target, status)s -> (endpoint, status) -> n"""
    return dict(collections.Counter((endpoint(m, t), s) for m, t, s in exchanges))


def assert_counts(got, expected):
    """Exact equality, with a readable difference."""
    if got != expected:
        lines = [f"{k}: counted {got.get(k, 0)}, was {expected.get(k, 0)}"
                 for k in sorted(set(got) | set(expected), key=str) if got.get(k, 0) != expected.get(k, 0)]
        more = [f"and {len(lines) - 20} more"] if len(lines) > 20 else []
        raise AssertionError("counts differ\n  " + "\n  ".join(lines[:20] + more))


def assert_answered(document, expected, arm="baseline"):
    """These requests, all answered, and no others; and the thread was never lost."""
    try:
        assert_counts(document.counts(arm), expected)
    except AssertionError as difference:
        raise AssertionError(f"{difference}\n{document}") from None
    assert document.outcomes(arm) == {"answered": sum(expected.values())}, document
    assert document["coverage"]["desynchronised"] == 0, document


def near(value, seconds, slack):
    assert value is not None and abs(value - seconds) <= slack, f"{value} s is not {seconds} s ± {slack}"


def quantile_bounds(samples, q, resolution=0.0):
    """
    Where the tool's q-quantile may lie: one bucket around the order statistics at q, plus 0.2 ms, plus the resolution
    of the clock that took the samples.
    """
    s = sorted(samples)
    rank = q * len(s)
    low = s[max(0, math.floor(rank) - 1)]
    high = s[min(len(s) - 1, math.ceil(rank))] if rank == math.floor(rank) else s[math.ceil(rank) - 1]
    return low / BUCKET - SLACK - resolution, high * BUCKET + SLACK + resolution


QUANTILES = (("p50", 0.5), ("p90", 0.9), ("p95", 0.95), ("p99", 0.99))


def assert_between(latency, inner, outer, resolution=0.0):
    """Each exchange took at least as long as a clock inside of it says, and at most as long as one around it."""
    for name, q in QUANTILES:
        low, high = quantile_bounds(inner, q, resolution)[0], quantile_bounds(outer, q, resolution)[1]
        assert low <= latency[name] <= high, f"{name} is {latency[name]:.6f} s, the clocks say {low:.6f} to {high:.6f}"
    assert max(inner) - resolution <= latency["max"] <= max(outer) + resolution, (
        f"max is {latency['max']:.6f} s, the clocks say {max(inner):.6f} to {max(outer):.6f}")


def assert_quantiles(latency, samples, resolution=0.0):
    for name, q in QUANTILES:
        low, high = quantile_bounds(samples, q, resolution)
        assert low <= latency[name] <= high, (
            f"{name} is {latency[name]:.6f} s, the log of {len(samples)} says {low:.6f} to {high:.6f}")
    top = max(samples)
    assert abs(latency["max"] - top) <= SLACK + resolution + top * (BUCKET - 1), (
        f"max is {latency['max']:.6f} s, the log says {top:.6f}")
