#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Reads what `tillwatch top` has written off a terminal and checks that it shows what listens on some ports.

    protocols.py FILE PORT=PROTOCOLS:ENDPOINT...

PROTOCOLS as top writes them (HTTP/2,gRPC). Prints what is missing and exits with 1; 0 when all of it is there.
"""
import re
import sys


def missing(text, wanted):
    port, _, rest = wanted.partition("=")
    protocols, _, endpoint = rest.partition(":")
    service = re.search(rf"^service (\S+:{port}) .*protocols={re.escape(protocols)}$", text, re.M)
    if not service:
        return f"no service on port {port} with {protocols}"
    if not re.search(rf'^endpoint "{re.escape(endpoint)}" service={re.escape(service[1])} requests=[1-9]', text, re.M):
        return f'no "{endpoint}" of {service[1]}'
    return None


def main():
    with open(sys.argv[1], encoding="utf-8") as f:
        text = f.read()
    found = [m for m in (missing(text, wanted) for wanted in sys.argv[2:]) if m]
    print(*found, sep="\n", end="\n" if found else "")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
