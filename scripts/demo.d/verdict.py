#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Reads a tillwatch verdict document (or a comparison that holds one) and prints it for a shell script.

    verdict.py FILE

The first line is the verdict alone ("rollback"), or "none" when the file holds no document; then one line a reason.
"""
import json
import sys


def main():
    try:
        with open(sys.argv[1], encoding="utf-8") as f:
            document = json.load(f)
    except (OSError, ValueError):
        document = {}
    verdict = document.get("verdict") or "none"
    if isinstance(verdict, dict):
        document, verdict = verdict, verdict.get("verdict", "none")
    print(verdict)
    for reason in document.get("reasons") or []:
        print(reason.get("text", reason.get("code", "")))


if __name__ == "__main__":
    main()
