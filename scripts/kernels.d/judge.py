# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
Holds what the machines left behind (build/kernels/out/NAME/share) against what each kernel must give (tests/kernels/gives)
and what its programs may cost to verify (tests/kernels/budget), and makes the README's table of it.

    judge.py results NAME...    what came of the last run of these, and a table; exit code 1 when anything is not as it must be
    judge.py table | budget | readme [--write]
"""
import collections
import json
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
OUT = ROOT / "build/kernels/out"
GIVES = ROOT / "tests/kernels/gives"
BUDGET = ROOT / "tests/kernels/budget"
PACKETS = ROOT / "tests/kernels/packets"
README = ROOT / "README.md"
KERNELS = ("bullseye", "bookworm", "trixie", "sid")
NEVER = ("privileges and BTF", "cgroup2", "programs", "listeners")  # findings that are no features
ONE_OF = ("tp_btf/tcp_send_reset", "tp_btf/kfree_skb")  # doctor tells of the second where there is no first


def read_table(path):
    """Lines of a name, and a value a kernel; name -> kernel -> value. The first line that is no remark names the kernels."""
    rows = [re.split(r"\s{2,}", line.strip()) for line in path.read_text().splitlines()
            if line.strip() and not line.startswith("#")] if path.exists() else [["name", *KERNELS]]
    kernels = rows[0][1:]
    return {row[0]: dict(zip(kernels, row[1:])) for row in rows[1:]}


class Result:
    """What one machine left behind."""

    def __init__(self, name):
        self.name, self.dir = name, OUT / name
        self.share = self.dir / "share"

    def _text(self, name):
        path = self.share / name
        return path.read_text(errors="replace") if path.exists() else ""

    def exists(self):
        return (self.share / "doctor.json").exists()

    @property
    def release(self):
        return self._text("release").strip() or "?"

    @property
    def version(self):
        """As the README has it: sid moves on."""
        major, minor = self.release.split(".")[:2]
        return f"{major}.x" if self.name == "sid" else f"{major}.{minor}"

    def tests(self):
        """Name -> (exit code, seconds), of those that ran to their end."""
        return {p.stem: (int(p.read_text()), self._text(f"{p.stem}.seconds").strip())
                for p in sorted(self.share.glob("*.status"))}

    def asked(self):
        """Of the machine, by its command line."""
        return (self.dir / "asked").read_text().split() if (self.dir / "asked").exists() else []

    def findings(self):
        return {f["name"]: f for f in json.loads(self._text("doctor.json"))["findings"]} if self.exists() else {}

    def features(self):
        """Feature -> (ok, text)"""
        of = {n: (f["ok"], f["text"]) for n, f in self.findings().items() if n not in NEVER}
        if ONE_OF[1] in of:
            of[ONE_OF[0]] = (False, "")
        return of

    def verified(self):
        """Program -> instructions; empty where the kernel does not tell."""
        found = re.findall(r"^tillwatch: debug: (\S+): (\d+) instructions verified$", self._text("doctor.messages"), re.M)
        return {name: int(n) for name, n in found if int(n)}

    def packets(self):
        rows = [line.split() for line in self._text("packets").splitlines()]
        return {name: tuple(map(int, rest)) for name, *rest in rows}

    def skips(self):
        """(program, reason) -> how many tests"""
        sections = re.split(r"^== (\S+)\n", self._text("packets.log"), flags=re.M)[1:]
        return collections.Counter((name, why) for name, text in zip(sections[::2], sections[1::2])
                                   for why in re.findall(r"^skipped: (.*)$", text, re.M))

    def document(self):
        text = self._text("watch.json")
        return json.loads(text) if text else None

    def last_words(self):
        path = self.dir / "console"
        return "\n".join(path.read_text(errors="replace").splitlines()[-15:]) if path.exists() else ""


# ---- what is wrong ---------------------------------------------------------------------------------------------------


def wrong_run(r):
    for test in r.asked():
        if test not in r.tests():
            yield f"{test} did not come to its end; the machine's last words:\n{r.last_words()}"
            return
    for test, (status, _) in r.tests().items():
        if status:
            yield f"{test}: exit code {status}; {r.share}/{test}.log"


def wrong_features(r):
    if "doctor" not in r.tests():
        return
    gives = read_table(GIVES)
    findings = r.features()
    for name in findings.keys() - gives.keys():
        yield f"tests/kernels/gives does not know of {name}"
    for name, of in gives.items():
        must = of.get(r.name)
        got = "yes" if findings.get(name, (False,))[0] else "no"
        if got != must:
            yield f"{name}: {got}, and it must be {must} ({findings.get(name, (0, 'nothing is said of it'))[1]})"
    vital = r.findings().get("programs", {"ok": False, "text": "nothing is said of the programs"})
    if not vital["ok"]:
        yield vital["text"]


def wrong_costs(r):
    if "doctor" not in r.tests():
        return
    budget, verified = read_table(BUDGET), r.verified()
    told = any(of.get(r.name, "-") != "-" for of in budget.values())
    if told and not verified:
        yield "the kernel did not tell how many instructions it verified"
    for name, n in sorted(verified.items()):
        allowed = budget.get(name, {}).get(r.name, "-")
        if allowed == "-":
            yield f"{name}: tests/kernels/budget has nothing for it on {r.name} (scripts/kernels budget makes one)"
        elif n > int(allowed):
            yield f"{name}: {n} instructions verified, the budget is {allowed}"


def wrong_packets(r):
    wanted = re.sub(r"#.*", "", PACKETS.read_text()).split() if "packets" in r.tests() else []
    for name in wanted:
        if name not in r.packets():
            yield f"{name}: nothing came of it; {r.share}/packets.log"
    for name, (status, _, _, seconds) in r.packets().items():
        if status:
            yield f"{name}: " + (f"not done after {seconds} s" if status == 124 else f"exit code {status}")


def wrong(r):
    return [*wrong_run(r), *wrong_features(r), *wrong_costs(r), *wrong_packets(r)]


# ---- tables ----------------------------------------------------------------------------------------------------------


def summary(r):
    tests, packets = r.tests(), r.packets()
    verified = r.verified()
    features = r.features()
    exchanges = re.findall(r"^(\d+) passed, (\d+) failed$", r._text("exchanges.log"), re.M)
    return {
        "kernel": r.release,
        "features": (f"{sum(ok for ok, _ in features.values())} there, {sum(not ok for ok, _ in features.values())} refused"
                     if features else "not run"),
        "programs": (re.match(r"\d+ loaded|.*", r.findings()["programs"]["text"]).group() if features else "not run"),
        "instructions verified": (f"{sum(verified.values()):,}, at most {max(verified.values()):,}" if verified
                                  else "the kernel does not tell" if features else "not run"),
        "exchanges": " ".join(f"{a} passed, {b} failed" for a, b in exchanges[-1:]) or
                     ("no result" if "exchanges" in tests else "not run"),
        "packets": (f"{sum(p[1] for p in packets.values())} passed, {sum(p[2] for p in packets.values())} skipped in "
                    f"{sum(not p[0] for p in packets.values())} of {len(packets)} programs" if packets else "not run"),
        "seconds": ", ".join(f"{t} {float(s or 0):.0f}" for t, (_, s) in tests.items()),
    }


def results(names):
    runs = [Result(n) for n in names]
    rows = [summary(r) for r in runs]
    for key in rows[0]:
        print(f"{key:22}" + "".join(f"{row[key]:46}" for row in rows).rstrip())
    failed = 0
    for r in runs:
        for (program, why), n in r.skips().items():
            print(f"skip  {r.name}: {n} of {program}: {why}")
        for text in wrong(r):
            failed += 1
            print(f"FAIL  {r.name}: {text}")
        if "exchanges" in r.tests() and r.tests()["exchanges"][0]:
            print("\n".join("      " + line for line in r._text("exchanges.log").splitlines()[-40:]))
    passed = sum(not wrong(r) for r in runs)
    print(f"kernels: {passed} passed, {len(runs) - passed} failed")
    return 1 if failed else 0


COUNTED = ("every request to nginx is counted as in its log", "each fault is counted as its client saw it",
           "each fault of http2 is counted as its client saw it")  # checks of tests/kernels/exchanges.py


def _figures(r):
    """What the tool measured of the exchanges, in words; a figure that is null is said to be."""
    d = r.document()
    versions = d["versions"]
    counted = all(f"ok    {check}\n" in r._text("exchanges.log") for check in COUNTED)
    balanced = all(v["ledger"]["balanced"] is not None for v in versions)
    return {
        "HTTP/1 and HTTP/2, counts and every outcome": "yes" if counted else "wrong",
        "the same inside TLS": "yes" if d["coverage"]["tls"]["read"] and not d["coverage"]["opaque_tls"] else "opaque",
        "`queue` and `service`": "yes" if d["coverage"]["queue_measured"] else "`null`",
        "requests in flight": "yes" if d["coverage"]["in_flight_measured"] else "`null`",
        "the ledger is checked": "yes" if balanced else "`null`",
        "connections refused": "yes" if all(v["refused"] is not None for v in versions) else "`null`",
    }


def table():
    runs = [Result(n) for n in KERNELS]
    missing = [r.name for r in runs if not r.exists() or r.document() is None]
    if missing:
        sys.exit(f"kernels: no results of {', '.join(missing)}: make test-kernels")
    heads = [r.version for r in runs]
    lines = ["| figure | " + " | ".join(heads) + " |", "|---" * (len(heads) + 1) + "|"]
    figures = [_figures(r) for r in runs]
    lines += [f"| {name} | " + " | ".join(f[name] for f in figures) + " |" for name in figures[0]]
    lines += ["", "| feature | gives | without it | " + " | ".join(heads) + " |", "|---" * (len(heads) + 3) + "|"]
    for name in read_table(GIVES):
        of = [r.features().get(name, (False, "")) for r in runs]
        gives = next((text for ok, text in of if ok), "")
        without = next((re.sub(r"^refused \(.*?\): ", "", text) for ok, text in of if not ok and text), "")
        cells = ["yes" if ok else "no" for ok, _ in of]
        if name == ONE_OF[1]:
            cells = ["not needed" if r.features().get(ONE_OF[0], (False,))[0] else c for r, c in zip(runs, cells)]
        lines.append(f"| `{name}` | {gives} | {without} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


BEGIN, END = "<!-- made by scripts/kernels table -->\n", "<!-- end of it -->\n"


def readme(write):
    text = README.read_text()
    before, _, rest = text.partition(BEGIN)
    there, _, after = rest.partition(END)
    if not after:
        sys.exit(f"kernels: the README has no lines {BEGIN.strip()} and {END.strip()}")
    made = table()
    if there == made:
        return 0
    if write:
        README.write_text(before + BEGIN + made + END + after)
        return 0
    print("kernels: the README's table is not that of the results; `scripts/kernels readme --write` mends it", file=sys.stderr)
    theirs, ours = there.splitlines(), made.splitlines()
    print("\n".join([f"-{v}" for v in theirs if v not in ours] + [f"+{v}" for v in ours if v not in theirs]))
    return 1


def budget():
    """What was walked and a tenth, in three figures: a point release or another clang moves it a little."""
    of = {n: Result(n).verified() for n in KERNELS}
    remarks = [line for line in BUDGET.read_text().splitlines() if line.startswith("#")] if BUDGET.exists() else []
    if remarks:
        print("\n".join(remarks))
    print(f"{'program':30}" + "".join(f"{n:>12}" for n in KERNELS))
    for program in sorted({p for v in of.values() for p in v}):
        cells = [str(int(v[program] * 1.1 / 100 + 1) * 100) if program in v else "-" for v in of.values()]
        print(f"{program:30}" + "".join(f"{c:>12}" for c in cells))
    return 0


def main():
    what, *rest = sys.argv[1:]
    if what == "results":
        return results(rest)
    if what == "table":
        print(table(), end="")
        return 0
    return budget() if what == "budget" else readme("--write" in rest)


if __name__ == "__main__":
    sys.exit(main())
