# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What is loaded, attached or pinned on this host, as bpftool and the kernel's own lists have it."""
import ctypes
import json
import os
import subprocess

from .wait import until

TRACEFS = ("/sys/kernel/tracing", "/sys/kernel/debug/tracing")


def bpftool(*words):
    out = subprocess.run(["bpftool", "-j", *words], capture_output=True, check=True).stdout
    return json.loads(out) if out.strip() else []


def ids(kind):
    """
    As the kernel counts them up, without opening any. bpftool opens what it shows, and a table of tail calls that is opened
    and closed while it is being taken apart is never freed (Linux 6.18: prog_array_map_clear takes a reference for work
    that is queued already).
    """
    following = getattr(ctypes.CDLL("libbpf.so.1"), f"bpf_{kind}_get_next_id")
    at, out = ctypes.c_uint32(0), set()
    while not following(at, ctypes.byref(at)):
        out.add(at.value)
    return out


def loaded():
    return {(kind, n) for kind in ("prog", "map", "link") for n in ids(kind)}


def shown():
    return {(kind, one["id"]) for kind in ("prog", "map", "link") for one in bpftool(kind, "show")}


def attached():
    """To cgroups, and to perf events (uprobes): by program."""
    cgroups = {("cgroup", p["id"]) for group in bpftool("cgroup", "tree") for p in group["programs"]}
    return cgroups | {("perf", one["prog_id"]) for one in bpftool("perf", "show")}


def held(pids=None):
    """What processes that live hold open: these, or all there are."""
    out = set()
    for pid in pids or filter(str.isdigit, os.listdir("/proc")):
        try:
            for fd in os.listdir(f"/proc/{pid}/fdinfo"):
                with open(f"/proc/{pid}/fdinfo/{fd}", encoding="ascii", errors="replace") as f:
                    words = f.read().split()
                for kind in ("prog", "map", "link"):
                    if f"{kind}_id:" in words:
                        out.add((kind, int(words[words.index(f"{kind}_id:") + 1])))
        except OSError:
            pass  # it has ended meanwhile, or is nobody's to look into
    return out


def pinned():
    return {("pinned", os.path.join(d, f)) for d, _, files in os.walk("/sys/fs/bpf") for f in files}


def uprobe_events():
    for directory in TRACEFS:
        try:
            with open(os.path.join(directory, "uprobe_events"), encoding="utf-8") as f:
                return {("uprobe", line) for line in f.read().split("\n") if line}
        except OSError:
            pass
    return set()


def all_of_it():
    return loaded() | attached() | pinned() | uprobe_events()


def code_of(pid):
    """(path, offset, bytes in memory) of every executable mapping of a file."""
    with open(f"/proc/{pid}/maps", encoding="utf-8") as maps, open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in maps:
            where, rights, offset, _, inode, *path = line.split()
            if "x" not in rights or inode == "0":
                continue
            begin, end = (int(x, 16) for x in where.split("-"))
            memory.seek(begin)
            yield path[0], int(offset, 16), memory.read(end - begin)


def patched(pid):
    """Bytes of a process's code that are not those of its files: a probe's breakpoints."""
    n = 0
    for path, offset, there in code_of(pid):
        with open(path, "rb") as f:
            f.seek(offset)
            file = f.read(len(there))
        if there[:len(file)] != file:
            n += sum(a != b for a, b in zip(there, file))
    return n


class Leftovers:
    """What was there when this was made, and what else is there later: all, and without what a process still holds."""

    def __init__(self):
        self.before = all_of_it()

    def more(self):
        return all_of_it() - self.before

    def orphans(self):
        more, holders = self.more(), held()
        return {x for x in more if x not in holders and (x[0] not in ("cgroup", "perf") or ("prog", x[1]) not in holders)}

    def await_none(self, seconds=5):
        """
        The kernel takes apart what a process has left in its own time: after a grace period, one probe after the other.
        Then bpftool says the same.
        """
        left = []

        def none():
            left[:] = self.orphans()
            return not left

        until(none, lambda: f"nothing to be left: {sorted(map(str, left))[:20]}", seconds, pause=0.02)
        left[:] = shown() - self.before - held()
        until(lambda: not shown() & set(left), lambda: f"bpftool to show nothing of {sorted(map(str, left))[:20]}", seconds, 0.5)
