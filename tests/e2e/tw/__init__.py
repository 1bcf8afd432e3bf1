# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Helpers of the end-to-end tests: processes, servers, clients, oracles. Standard library only."""
