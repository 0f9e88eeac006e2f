"""An asyncio server that counts its requests: python3 asyncio_server.py PORT.

Tasks sleep on the event loop's clock meanwhile. Each request gets {count, uptime, naps}, and the connection is closed.
"""
import asyncio
import json
import sys
import time

started = time.monotonic()
state = {"count": 0, "naps": 0}


async def nap(seconds):
    while True:
        before = time.monotonic()
        await asyncio.sleep(seconds)
        slept = time.monotonic() - before
        if not seconds * 0.9 < slept < seconds + 2:
            print(f"slept {slept} instead of {seconds}", file=sys.stderr, flush=True)
            sys.exit(1)
        state["naps"] += 1


async def answer(reader, writer):
    while (await reader.readline()).strip():
        pass
    state["count"] += 1
    body = json.dumps(dict(state, uptime=time.monotonic() - started)).encode()
    writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))
    await writer.drain()
    writer.close()


async def main():
    server = await asyncio.start_server(answer, "127.0.0.1", int(sys.argv[1]))
    naps = [asyncio.create_task(nap(0.01 * (i + 1))) for i in range(20)]
    print("listening", flush=True)
    async with server:
        await asyncio.gather(server.serve_forever(), *naps)


asyncio.run(main())
