#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""A small shop over HTTP/1.1: product page, cart, login, checkout, pay.

    shop.py --release v1 --port-file FILE [--hang-up 0.02] [--tls PEM]

Listens on a free loopback port and writes it to FILE. Service times are log-normal, a few requests in a thousand fail,
and some customers mistype a password or have a card declined: a shop as it is on a good day. SIGUSR1 is the bad day
of a release: checkout takes 60 % longer and 8 % of the payments end in 503. SIGUSR2 takes that back. --hang-up is a
release that closes the connection on this share of the checkouts, without an answer and without a line in any log.
--tls is HTTPS, with the key and the certificate in that file.

The few failures of a good day come at uneven intervals, but without the bursts of pure chance: two equal releases
then look equal within a minute, where chance alone would now and then ask for five.
"""
import argparse
import asyncio
import json
import os
import random
import re
import signal
import ssl
import sys

# method, path, service time (median in ms, sigma of the logarithm), share of failures, share and status of refusals
ROUTES = (
    ("GET", re.compile(r"/product/(\d+)$"), "product", 3.0, 0.45, 0.003, 0.01, 404),
    ("GET", re.compile(r"/cart/(\w+)$"), "show_cart", 3.0, 0.45, 0.003, 0.0, 0),
    ("POST", re.compile(r"/cart/(\w+)$"), "add_to_cart", 4.0, 0.45, 0.003, 0.0, 0),
    ("POST", re.compile(r"/login$"), "login", 8.0, 0.40, 0.004, 0.03, 401),
    ("POST", re.compile(r"/checkout$"), "checkout", 12.0, 0.40, 0.005, 0.0, 0),
    ("POST", re.compile(r"/pay$"), "pay", 15.0, 0.40, 0.005, 0.03, 402),
)
REASONS = {200: "OK", 201: "Created", 400: "Bad Request", 401: "Unauthorized", 402: "Payment Required",
           404: "Not Found", 405: "Method Not Allowed", 500: "Internal Server Error", 503: "Service Unavailable"}
MAX_HEAD = 16384
MAX_BODY = 65536


class Shop:
    """What the shop answers; knows nothing of sockets."""

    def __init__(self, release, hang_up=0.0):
        self.release, self.hang_up = release, hang_up
        self.carts = {}
        self.until_failure = {}
        self.slow_checkout = 1.0
        self.pay_outage = 0.0

    def bad_day(self):
        self.slow_checkout, self.pay_outage = 1.6, 0.08

    def good_day(self):
        self.slow_checkout, self.pay_outage = 1.0, 0.0

    def fails(self, name, share):
        """True for this share of the calls, at intervals of half to one and a half times the mean."""
        left = self.until_failure.get(name, random.uniform(0.0, 1.0 / share)) - 1
        due = left <= 0
        self.until_failure[name] = left + random.uniform(0.5, 1.5) / share if due else left
        return due

    async def answer(self, method, path, body):
        """Returns (status, document)."""
        found = None
        for verb, pattern, name, median, sigma, failing, refused, refusal in ROUTES:
            found = pattern.match(path) or found
            if verb == method and pattern.match(path):
                return await self.serve(name, found, body, median, sigma, failing, refused, refusal)
        return (405 if found else 404), {"error": "no such page"}

    async def serve(self, name, match, body, median, sigma, failing, refused, refusal):
        service_ms = median * random.lognormvariate(0.0, sigma)
        if name == "checkout":
            service_ms *= self.slow_checkout
        await asyncio.sleep(service_ms / 1000.0)
        if name == "checkout" and random.random() < self.hang_up:
            raise ConnectionError("hung up")
        if name == "pay" and random.random() < self.pay_outage:
            return 503, {"error": "payment provider does not answer"}
        if self.fails(name, failing):
            return 500, {"error": "something broke"}
        if random.random() < refused:
            return refusal, {"error": "refused"}
        return getattr(self, name)(*match.groups(), body=body)

    def product(self, number, body):
        return 200, {"id": int(number), "name": f"Kettle no. {number}", "price": "62.50 EUR", "text": "It boils. " * 30}

    def show_cart(self, key, body):
        return 200, {"cart": key, "items": self.carts.get(key, [])}

    def add_to_cart(self, key, body):
        if len(self.carts) > 10000:
            self.carts.clear()
        self.carts[key] = (self.carts.get(key, []) + [body.decode("latin-1")[:40]])[-10:]
        return 201, {"cart": key, "items": self.carts[key]}

    def login(self, body):
        return 200, {"session": "%032x" % random.getrandbits(128)}

    def checkout(self, body):
        return 200, {"order": random.randrange(10 ** 9), "total": "62.50 EUR"}

    def pay(self, body):
        return 200, {"paid": True, "release": self.release}


async def read_request(reader):
    """Returns (method, path, keep_alive, body), or None at the end of the connection."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    lines = head.decode("latin-1").split("\r\n")
    method, target, version = lines[0].split(" ", 2)
    headers = {k.strip().lower(): v.strip() for k, _, v in (line.partition(":") for line in lines[1:] if line)}
    length = int(headers.get("content-length", 0))
    if not 0 <= length <= MAX_BODY:
        raise ValueError("body too long")
    body = await reader.readexactly(length) if length else b""
    keep = version == "HTTP/1.1" and headers.get("connection", "").lower() != "close"
    return method, target.partition("?")[0], keep, body


def encode(status, document, keep):
    body = json.dumps(document).encode()
    head = (f"HTTP/1.1 {status} {REASONS[status]}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\nConnection: {'keep-alive' if keep else 'close'}\r\n\r\n")
    return head.encode() + body


async def serve_connection(shop, reader, writer):
    keep = True
    try:
        while keep:
            request = await read_request(reader)
            if request is None:
                break
            method, path, keep, body = request
            writer.write(encode(*await shop.answer(method, path, body), keep))
            await writer.drain()
    except (ValueError, asyncio.LimitOverrunError):
        writer.write(encode(400, {"error": "not a request this shop understands"}, False))
    except (ConnectionError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


def tls_context(pem):
    """Of a server, or None without a file."""
    if not pem:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context


async def run(options):
    shop = Shop(options.release, options.hang_up)
    loop = asyncio.get_running_loop()
    done = asyncio.Event()
    loop.add_signal_handler(signal.SIGUSR1, shop.bad_day)
    loop.add_signal_handler(signal.SIGUSR2, shop.good_day)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, done.set)
    server = await asyncio.start_server(lambda r, w: serve_connection(shop, r, w), "127.0.0.1", 0, limit=MAX_HEAD,
                                        backlog=511, ssl=tls_context(options.tls))
    temporary = options.port_file + ".new"
    with open(temporary, "w", encoding="ascii") as f:
        f.write("%d\n" % server.sockets[0].getsockname()[1])
    os.rename(temporary, options.port_file)
    await done.wait()
    server.close()


def main():
    parser = argparse.ArgumentParser(description="A small shop over HTTP/1.1")
    parser.add_argument("--release", required=True, help="name of this release")
    parser.add_argument("--hang-up", type=float, default=0.0, metavar="SHARE", help="of the checkouts")
    parser.add_argument("--tls", metavar="PEM", help="a file with a key and its certificate")
    parser.add_argument("--port-file", required=True, help="where to write the port once the shop is open")
    asyncio.run(run(parser.parse_args()))
    # Connections that are still served are not waited for: the process ends here with all of them.
    sys.stdout.flush()


if __name__ == "__main__":
    main()
