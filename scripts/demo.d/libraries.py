#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Reads what `tillwatch doctor -c FILE --json` says of TLS and prints it for people, a line a library of a version.

    libraries.py FILE

Exit code 1 when some process of a version has no library that can be watched, or there is no process.
"""
import json
import sys


def main():
    with open(sys.argv[1], encoding="utf-8") as f:
        processes = json.load(f).get("tls") or []
    complete = bool(processes)
    for process in processes:
        found = [lib for lib in process["libraries"] if lib["library"] and lib["places"]]
        complete = complete and bool(found)
        for lib in found:
            print(f"{process['version']}, process {process['pid']} ({process['comm']}): "
                  f"{lib['version'] or lib['library']} in {lib['path']}")
        if not found:
            print(f"{process['version']}, process {process['pid']} ({process['comm']}): no TLS library; "
                  f"{process['note'] or 'what it says is opaque'}")
    sys.exit(0 if complete else 1)


if __name__ == "__main__":
    main()
