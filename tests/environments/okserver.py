"""A server for tests: answers its own name, after X-Delay-Ms when asked. `okserver.py NAME PORT`."""

import asyncio
import sys
from typing import Any

import uvicorn

NAME = sys.argv[1].encode()


async def app(scope: Any, receive: Any, send: Any) -> None:
    """ASGI: 200 with the server's name as the body."""
    if scope["type"] != "http":
        return
    for key, value in scope["headers"]:
        if key == b"x-delay-ms":
            await asyncio.sleep(int(value) / 1000)
    headers = [(b"content-length", str(len(NAME)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": NAME})


if __name__ == "__main__":
    uvicorn.run(
        app, host="127.0.0.1", port=int(sys.argv[2]), log_level="warning", access_log=False, lifespan="off",
        timeout_keep_alive=30,
    )  # fmt: skip
