"""Work for a caller ends when the caller has gone."""

import asyncio
from collections.abc import Coroutine
from typing import TypeVar

from fastapi import Request

from service.errors import CallerGoneError

T = TypeVar("T")


async def while_connected(request: Request, work: Coroutine[object, object, T]) -> T:
    """Return the result of `work`, cancelled as soon as the caller closes the connection.

    The request's body must have been read.

    Raises:
        CallerGoneError: the caller went first.
    """
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_gone(request))
    leaving.add_done_callback(lambda _: working.cancel())
    try:
        return await working
    except asyncio.CancelledError:
        if leaving.cancelled() or not leaving.done():
            raise  # it is this request that was cancelled, not its caller that went
        msg = "The caller closed the connection."
        raise CallerGoneError(msg) from None
    finally:
        leaving.cancel()


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
