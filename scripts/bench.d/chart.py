# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Ratios to the bare run as a picture: a line for each row, a mark for each observer; requests/s left, p99 right (log)."""
import html
import math

COLOURS = {"tillwatch": "#1a7f37", "bpftrace": "#bc4c00", "httpry": "#8250df", "log and tailer": "#0969da", "sidecar": "#cf222e"}
LABELS, PANEL, GAP, LINE, TOP = 150, 330, 40, 26, 70  # pixels


def text(x, y, what, anchor="start", size=12, colour="#1f2328"):
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}" font-size="{size}" fill="{colour}">{html.escape(what)}</text>'


def axis(x, bottom, ticks, place, title):
    """Its lines, from top to bottom, and what they stand for. place: value -> share of the panel's width."""
    yield text(x, 20, title, size=13)
    for value, name in ticks:
        at = x + place(value) * PANEL
        yield f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{TOP - 12}" y2="{bottom}" stroke="#d0d7de"/>'
        yield text(at, TOP - 18, name, "middle", 11, "#59636e")


def legend(names, y):
    x = LABELS
    for name in names:
        yield f'<circle cx="{x}" cy="{y - 4}" r="5" fill="{COLOURS.get(name, "#59636e")}"/>'
        yield text(x + 10, y, name)
        x += 30 + 8 * len(name)


def svg(points):
    """points: [(row, observer, requests/s of bare, p99 of bare)], either None where it was not measured."""
    rows, names = list(dict.fromkeys(p[0] for p in points)), list(dict.fromkeys(p[1] for p in points))
    worst = max([2.0] + [p[3] for p in points if p[3]])
    decades = math.ceil(math.log2(worst))
    bottom = TOP + LINE * len(rows)
    second = LABELS + PANEL + GAP

    def of_rate(v):
        return min(max(v, 0), 1.1) / 1.1

    def of_p99(v):
        return (math.log2(min(max(v, 0.5), 2 ** decades)) + 1) / (decades + 1)

    width, height = second + PANEL + 30, bottom + 40
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif">',
           f'<rect width="{width}" height="{height}" fill="#ffffff"/>']
    out += axis(LABELS, bottom, [(v / 4, f"{v / 4:g}") for v in range(5)], of_rate, "requests/s, of bare: right is better")
    out += axis(second, bottom, [(2.0 ** k, f"{2.0 ** k:g}") for k in range(-1, decades + 1)], of_p99, "p99, of bare: left is better")
    for i, row in enumerate(rows):
        y = TOP + LINE * i + LINE / 2
        out.append(text(LABELS - 12, y + 4, row, "end"))
        out.append(f'<line x1="{LABELS}" x2="{second + PANEL}" y1="{y:.0f}" y2="{y:.0f}" stroke="#eaeef2"/>')
        for _, name, rate, p99 in (p for p in points if p[0] == row):
            for value, x, place in ((rate, LABELS, of_rate), (p99, second, of_p99)):
                if value is not None:
                    out.append(f'<circle cx="{x + place(value) * PANEL:.1f}" cy="{y:.0f}" r="5" '
                               f'fill="{COLOURS.get(name, "#59636e")}" fill-opacity="0.8"><title>'
                               f'{html.escape(f"{row}, {name}: {value:.3f}")}</title></circle>')
    out += legend(names, bottom + 26)
    return "\n".join(out + ["</svg>", ""])
