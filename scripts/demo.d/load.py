#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Customers of the demo shop: a bounded number of users on keep-alive connections, some requests per second in all.

    load.py --port PORT [--rate 600] [--users 60] [--seconds 240] [--trust CERTIFICATE]

Each user has its own timetable (exponential gaps), so that a slow answer delays that user's next request and nobody
else's. Ends after --seconds or at SIGTERM and then prints one line: requests and answers by status. --trust is
HTTPS with a server that has this certificate.
"""
import argparse
import asyncio
import collections
import random
import signal
import ssl

# weight, method, path
PAGES = (
    (26, "GET", "/product/{number}"),
    (10, "GET", "/cart/{key}"),
    (10, "POST", "/cart/{key}"),
    (6, "POST", "/login"),
    (24, "POST", "/checkout"),
    (24, "POST", "/pay"),
)
WEIGHTS = [page[0] for page in PAGES]
BODY = b'{"item": 4711, "pieces": 1}'


def next_request(key):
    _, method, path = random.choices(PAGES, WEIGHTS)[0]
    path = path.format(number=random.randrange(1, 5000), key=key)
    body = BODY if method == "POST" else b""
    head = f"{method} {path} HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: demo-customer\r\n"
    if body:
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + body


async def exchange(reader, writer, request):
    """Sends one request and returns (status, keep_alive). Raises ConnectionError when the server hung up before it."""
    writer.write(request)
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        length = int(head.partition("content-length:")[2].partition("\r\n")[0])
        await reader.readexactly(length)
    except asyncio.IncompleteReadError as e:
        raise ConnectionError from e
    return int(head[9:12]), "connection: close" not in head


class User:
    def __init__(self, options, answers):
        self.options, self.answers = options, answers
        self.key = "%012x" % random.getrandbits(48)
        self.reader = self.writer = None

    def hang_up(self):
        if self.writer:
            self.writer.close()
        self.reader = self.writer = None

    async def connect(self):
        tls = self.options.tls
        self.reader, self.writer = await asyncio.open_connection(
            "127.0.0.1", self.options.port, ssl=tls, server_hostname="shop.example" if tls else None)

    async def request_page(self):
        request = next_request(self.key)
        # A server may hang up an idle connection just as we use it: once more on a new one, as browsers do.
        for attempt in ("kept", "new"):
            try:
                if not self.writer:
                    await self.connect()
                status, keep = await exchange(self.reader, self.writer, request)
            except OSError:
                self.hang_up()
                if attempt == "new":
                    self.answers["none"] += 1
                continue
            self.answers[status] += 1
            if not keep:
                self.hang_up()
            return

    async def shop(self):
        gap = self.options.users / self.options.rate
        loop = asyncio.get_running_loop()
        due = loop.time() + random.expovariate(1 / gap)
        while True:
            await asyncio.sleep(due - loop.time())
            await self.request_page()
            due = max(due + random.expovariate(1 / gap), loop.time())


async def run(options):
    answers = collections.Counter()
    done = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, done.set)
    users = [asyncio.ensure_future(User(options, answers).shop()) for _ in range(options.users)]
    try:
        await asyncio.wait_for(done.wait(), options.seconds)
    except asyncio.TimeoutError:
        pass
    for user in users:
        user.cancel()
    await asyncio.gather(*users, return_exceptions=True)
    print(sum(answers.values()), "requests:", ", ".join(f"{n} x {s}" for s, n in answers.most_common()))


def main():
    parser = argparse.ArgumentParser(description="Customers of the demo shop")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--rate", type=float, default=600, help="requests per second of all users together")
    parser.add_argument("--users", type=int, default=60)
    parser.add_argument("--seconds", type=float, default=240)
    parser.add_argument("--trust", metavar="CERTIFICATE", help="speak TLS, and trust this certificate")
    options = parser.parse_args()
    options.tls = ssl.create_default_context(cafile=options.trust) if options.trust else None
    asyncio.run(run(options))


if __name__ == "__main__":
    main()
