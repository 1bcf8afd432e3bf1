# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
A small shop over asyncio: keep-alive HTTP/1.1 with Content-Length. What a target answers:
  /fail/...        503
  /sleep/MS/...    200 after MS milliseconds
  /block/MS/...    the same, and nobody else is served meanwhile
  /stream/MS/N     200, chunked, N chunks spread over MS milliseconds
  /size/N          200 with N bytes
  /missing/...     404
  anything else    200, or --error-status (503) at --error-rate (seeded), after --delay-ms on average (seeded): half of
                   it more or less, or, with --sigma, log-normal around it
With --fd it serves a listening socket that it inherited, with --reuse-port it shares its port. --tls FILE: over TLS, with
that key and certificate.
"""
import argparse
import asyncio
import os
import random
import signal
import socket
import ssl
import time

args = argparse.ArgumentParser()
args.add_argument("--port", type=int)
args.add_argument("--host", default="127.0.0.1")
args.add_argument("--fd", type=int)
args.add_argument("--reuse-port", action="store_true")
args.add_argument("--log", required=True)
args.add_argument("--seed", type=int, default=1)
args.add_argument("--error-rate", type=float, default=0)
args.add_argument("--error-status", type=int, default=503)
args.add_argument("--delay-ms", type=float, default=0)
args.add_argument("--sigma", type=float)
args.add_argument("--tls")
args = args.parse_args()

chance = random.Random(args.seed)
log = os.open(args.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)


def response(status, body):
    return b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body)


async def stream(writer, ms, n):
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    for i in range(n):
        writer.write(b"5\r\nbytes\r\n")
        await writer.drain()
        await asyncio.sleep(ms / 1000 / n)
    writer.write(b"0\r\n\r\n")
    await writer.drain()
    return 200


async def chunks(reader):
    while size := int(await reader.readuntil(b"\r\n"), 16):
        await reader.readexactly(size + 2)
    await reader.readexactly(2)


async def answer(writer, target):
    parts = target.split("?")[0].split("/")
    status, body = 200, b"ok\n"
    if parts[1] == "stream":
        return await stream(writer, float(parts[2]), int(parts[3]))
    if parts[1] == "fail":
        status = 503
    elif parts[1] == "missing":
        status = 404
    elif parts[1] == "size":
        body = (b"HTTP/1.1 500 no\r\n\r\n" * (int(parts[2]) // 19 + 1))[:int(parts[2])]
    elif parts[1] == "sleep":
        await asyncio.sleep(float(parts[2]) / 1000)
    elif parts[1] == "block":
        time.sleep(float(parts[2]) / 1000)
    else:
        if args.error_rate and chance.random() < args.error_rate:
            status = args.error_status
        if args.delay_ms:
            factor = chance.lognormvariate(0, args.sigma) if args.sigma else chance.uniform(0.5, 1.5)
            await asyncio.sleep(factor * args.delay_ms / 1000)
    writer.write(response(status, body))
    await writer.drain()
    return status


async def serve(reader, writer):
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            method, target, _ = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
            for line in head.split(b"\r\n")[1:]:
                if line.lower().startswith(b"content-length:"):
                    await reader.readexactly(int(line.split(b":")[1]))
                elif line.lower() == b"transfer-encoding: chunked":
                    await chunks(reader)
            status = await answer(writer, target)
            os.write(log, f"{method} {target} {status}\n".encode("latin-1"))
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


def listener():
    if args.fd is not None:
        return socket.socket(fileno=args.fd)
    s = socket.socket(socket.AF_INET6 if ":" in args.host else socket.AF_INET)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if args.reuse_port:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    s.bind((args.host, args.port))
    return s


def context():
    if not args.tls:
        return None
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    c.load_cert_chain(args.tls)
    return c


async def main():
    server = await asyncio.start_server(serve, sock=listener(), backlog=512, ssl=context())
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, os._exit, 0)
    async with server:
        await server.serve_forever()


asyncio.run(main())
