"""What an application puts before a vector database: texts in, batched and encoded; the database's answer out."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import orjson
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import Response

from models.checkpoint import load_encoder
from models.encoder import Vectors
from service.batching import MicroBatcher

READY, SEARCH = "/ready", "/search"
MOST_CONNECTIONS = 64


def create_app(encoder_name: str, query_url: str, wanted: dict[str, Any]) -> FastAPI:
    """Return an app that encodes the `q` of a body and asks `query_url` for what is `wanted` near it."""
    encoder = load_encoder(encoder_name)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        batcher: MicroBatcher[str, Vectors] = MicroBatcher(
            lambda texts: list(encoder.encode_texts(texts)), name="text", max_batch=64, max_waiting=1_000
        )
        limits = httpx.Limits(max_connections=MOST_CONNECTIONS)
        async with httpx.AsyncClient(limits=limits, timeout=30.0) as database:
            app.state.batcher, app.state.database = batcher, database
            yield
        await batcher.close()

    app = FastAPI(lifespan=lifespan)

    @app.get(READY)
    async def ready() -> dict[str, str]:
        return {"status": "ready"}

    @app.post(SEARCH)
    async def search(request: Request) -> Response:
        asked = await request.json()
        vector = await request.app.state.batcher.submit(asked["q"])
        found = await request.app.state.database.post(query_url, json={"query_embeddings": [vector.tolist()], **wanted})
        return Response(found.content, status_code=found.status_code, media_type="application/json")

    return app


if __name__ == "__main__":
    name, url, stated, port = sys.argv[1:]
    uvicorn.run(
        create_app(name, url, orjson.loads(stated)),
        port=int(port),
        loop="uvloop",
        http="httptools",
        ws="none",
        log_config=None,
        access_log=False,
    )
