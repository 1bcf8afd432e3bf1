# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What the bench needs for TLS: a certificate, the library a server has, where a probe traps how often, and the rows."""
import os
import pathlib
import re
import shutil

import host
import observers
from host import BenchError

CONNECTIONS = 32
PLACEMENTS = (("tillwatch", ""), ("functions", "functions"), ("plain", "plain"))  # row, TILLWATCH_TLS_PLACEMENT
# One instruction that the kernel emulates: one trap. One that it steps: a second one behind it. A return address that
# was replaced: one more, when the function returns.
TRAPS = {"emulated": 1, "stepped": 2, "uretprobe": 1}
# What nginx and work100 call on connections that are there; other functions share their programs.
CALLED = ("SSL_read", "SSL_write")


def certificate(directory):
    """A key and a certificate it has signed itself, in one file."""
    key, cert, pem = (directory / name for name in ("key.pem", "cert.pem", "both.pem"))
    host.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
              "-days", "2", "-subj", "/CN=bench.example", "-keyout", key, "-out", cert])
    pem.touch(mode=0o600)
    pem.write_bytes(cert.read_bytes() + key.read_bytes())
    return pem


def library_of(pid):
    """The libssl that a process maps."""
    for line in pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines():
        path = line.split(maxsplit=5)[5:]
        if path and re.search(r"/libssl[^/]*\.so", path[0]):
            return path[0]
    raise BenchError(f"process {pid} maps no libssl; is its nginx built with another TLS library?")


def places(root, library, placement):
    """[(function, job, place, how)] of CALLED, by `tillwatch doctor --library`."""
    text = host.run([root / "tillwatch", "doctor", "--library", library],
                    env={**os.environ, "TILLWATCH_TLS_PLACEMENT": placement})
    text = text.partition("\n  instead of")[0]
    found = re.findall(r"^  (\S+) +(\S+(?: in| out)?) +0x[0-9a-f]+  (.+?) +(emulated|stepped|uretprobe)\b", text, re.M)
    found = [f for f in found if f[0] in CALLED]
    if not found:
        raise BenchError(f"tillwatch doctor --library {library} names no place in {' or '.join(CALLED)}")
    return found


def weights(found):
    """What one run of a program stands for: name -> (traps, text)."""
    programs = {}
    for _, job, place, how in found:
        name = "tw_tls_read_at" if job == "read" else f"tw_tls_{job.replace(' ', '_')}"
        where = f"{place} ({how})"
        _, text = programs.get(name, (0, ""))
        programs[name] = (TRAPS[how], f"{text}, {where}" if text else f"{job} {where}")
    return programs


def peer_weights(plain):
    """The same of peer_tls.bt. Its programs at SSL_read's entry and at its return have one name, and run equally often."""
    how = {function: (TRAPS[way], f"{place} ({way})") for function, job, place, way in plain if job.endswith(" in")}
    return {"SSL_read": ((how["SSL_read"][0] + TRAPS["uretprobe"]) / 2, f"read in {how['SSL_read'][1]}, out (uretprobe)"),
            "SSL_write": (how["SSL_write"][0], f"write in {how['SSL_write'][1]}")}


class Tls:
    """The rows over TLS; bench: the one that has the machine, the chosen options and the tools."""

    def __init__(self, bench, directory):
        self.bench, self.traps = bench, {}
        self.pem = pem = certificate(directory)
        # A copy for these servers alone: traps in a file are seen by everybody who maps it, by wrk for one, unless the
        # observer keeps them to one process. tillwatch does; bpftrace 0.17 does not, even with -p.
        self.library = directory / "lib" / "libssl.so.3"
        self.library.parent.mkdir()
        shutil.copy(library_of(bench.watched.pid), self.library)
        self.watched = host.Nginx(directory / "tls", bench.cgroups.make("tls"), bench.cpus.server, pem,
                                  self.library.parent)
        if library_of(self.watched.pid) != str(self.library):
            raise BenchError(f"nginx does not take {self.library}, but {library_of(self.watched.pid)}")
        self.work100 = host.Work100(directory, bench.cgroups.make("tls-work100"), bench.cpus.server, pem,
                                    self.library.parent)
        for server in (self.watched, self.work100):
            server.connections = CONNECTIONS

    def stop(self):
        for server in (self.watched, self.work100):
            server.stop()

    def tillwatch(self, server, word=""):
        return self.bench.tools.tillwatch(server.port, self.watched.second_port, placement=word)

    def contestants(self):
        """(name, observer, url) for nginx, and what each observer's probes trap."""
        bench, url = self.bench, self.watched.url
        found = [("bare", observers.Nobody(), url)]
        for name, word in PLACEMENTS:
            if bench.wanted("tillwatch") and bench.wanted(name):
                self.traps[name] = weights(places(bench.tools.root, self.library, word))
                found.append((name, self.tillwatch(self.watched, word), url))
        if bench.wanted("bpftrace"):
            self.traps["bpftrace"] = peer_weights(places(bench.tools.root, self.library, "plain"))
            found.append(("bpftrace", bench.tools.bpftrace_tls(self.watched.pid, self.library), url))
        return found

    def rows(self):
        bench = self.bench
        rounds = max(min(2, bench.chosen.rounds), bench.chosen.rounds // 2)  # the differences are large
        bench.compare("tls-nginx return 200", self.watched, self.contestants(),
                      bench.chosen.seconds, rounds)
        bench.rows[-1]["traps"] = self.traps
        if bench.wanted("tillwatch") and bench.wanted("work100"):
            bench.compare("tls-work100: 100 us a request", self.work100, [
                ("bare", observers.Nobody(), self.work100.url),
                ("tillwatch", self.tillwatch(self.work100), self.work100.url),
            ], bench.side_seconds(), rounds)
