"""A server that answers as its requests' paths say, on one event loop in a thread of its own."""

import asyncio
import threading
import time

import pytest

from benchmarks.wire import Address

STALL_S = 0.3
DELAYS_S = {"/slow": 0.1, "/slower": 0.3}


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            path = head.split(b" ", 2)[1].decode()
            length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
            body = await reader.readexactly(length)
            if path == "/gone":
                break
            await _say(writer, path, body)
            if path == "/last":
                break
    except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
        pass
    finally:
        writer.close()


async def _say(writer: asyncio.StreamWriter, path: str, body: bytes) -> None:
    if path == "/stall":
        time.sleep(STALL_S)  # noqa: ASYNC251 - what everybody else has to wait for, too
    await asyncio.sleep(DELAYS_S.get(path, 0.0))
    status = 503 if path == "/busy" else 200
    close = b"connection: close\r\n" if path == "/last" else b""
    head = b"HTTP/1.1 %d Said\r\n%s" % (status, close)
    if path == "/pieces":
        writer.write(head + b"transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n")
        await asyncio.sleep(0.01)
        writer.write(b"2\r\nde\r\n0\r\n\r\n")
    else:
        writer.write(head + b"content-length: %d\r\n\r\n" % len(body) + body)
    await writer.drain()


@pytest.fixture
def server():
    """Give the address of the server."""
    loop = asyncio.new_event_loop()
    opened = loop.run_until_complete(asyncio.start_server(_answer, "127.0.0.1", 0))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield Address(*opened.sockets[0].getsockname())
    asyncio.run_coroutine_threadsafe(_end(opened), loop).result()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


async def _end(opened: asyncio.Server) -> None:
    opened.close()
    others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    accepting = [task for task in others if task.get_coro().__name__ == "_accept_connection2"]
    await asyncio.gather(*accepting, return_exceptions=True)  # one that is cancelled leaves its socket open
    others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    for _ in range(2):
        await asyncio.sleep(0)  # connections that are being closed are closed in the loop's next turn
