"""An app that does nothing but be one: a FastAPI route with a small answer, served with the service's own settings."""

import sys

import uvicorn
from fastapi import FastAPI

PATH = "/empty"

app = FastAPI()


@app.get(PATH)
async def empty() -> dict[str, str]:
    """Return a small answer."""
    return {"status": "ok"}


if __name__ == "__main__":
    uvicorn.run(
        app,
        port=int(sys.argv[1]),
        loop="uvloop",
        http="httptools",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
    )
