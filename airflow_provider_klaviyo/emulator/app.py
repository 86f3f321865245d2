"""The HTTP side: turns requests into values and answers into bytes, or into a closed connection."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from airflow_provider_klaviyo.emulator.admin import admin_routes
from airflow_provider_klaviyo.emulator.answers import Answer, RefusalError, not_found
from airflow_provider_klaviyo.emulator.asking import Asked
from airflow_provider_klaviyo.emulator.controls import Controls
from airflow_provider_klaviyo.emulator.endpoint import Endpoint
from airflow_provider_klaviyo.emulator.endpoints import ENDPOINTS

Handler = Callable[[Request], Awaitable[Response]]

_DRIPS_PER_SECOND = 100
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


def build_app(controls: Controls) -> Starlette:
    """Return the ASGI application of an emulator."""
    paths: dict[str, dict[str, Endpoint]] = {}
    for endpoint in ENDPOINTS:
        paths.setdefault(endpoint.path, {})[endpoint.method] = endpoint
    routes = [
        # A path may end with a slash: Klaviyo's own links do.
        Route(path + slash, _handler(controls, methods), methods=list(_METHODS))
        for path, methods in paths.items()
        for slash in ("", "/")
    ]
    app = Starlette(routes=[*admin_routes(controls), *routes], exception_handlers={404: _no_such_path})
    app.router.redirect_slashes = False
    return app


def _handler(controls: Controls, endpoints: dict[str, Endpoint]) -> Handler:
    async def handle(request: Request) -> Response:
        endpoint = endpoints.get(request.method)
        if endpoint is None:
            return _response(_method_not_allowed(request.method))
        answer, latency_seconds = controls.answer(endpoint, await _asked(request))
        await _wait(request, latency_seconds)
        if answer.dropped:
            await _drop(request)
        return _response(answer)

    return handle


async def _asked(request: Request) -> Asked:
    query: str = request.scope["query_string"].decode("latin-1")
    path: str = request.scope["raw_path"].decode("latin-1")
    host, port = request.scope["server"]
    return Asked(
        method=request.method,
        target=f"{path}?{query}" if query else path,
        base_url=f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}",
        headers=dict(request.headers),
        query=tuple(parse_qsl(query, keep_blank_values=True)),
        path={name: str(value) for name, value in request.path_params.items()},
        body=await request.body(),
    )


def _response(answer: Answer) -> Response:
    # An empty body has no media type: Klaviyo's 202 comes without one.
    media_type = answer.media_type if answer.body else None
    if answer.bytes_per_second is not None:
        return StreamingResponse(
            _drip(answer.body, answer.bytes_per_second), answer.status, dict(answer.headers), media_type
        )
    return Response(answer.body, answer.status or 500, dict(answer.headers), media_type)


async def _drip(body: bytes, bytes_per_second: float) -> AsyncIterator[bytes]:
    """Yield a body as fast as it is to come, which is looked at a hundred times a second at most."""
    size = max(1, round(bytes_per_second / _DRIPS_PER_SECOND))
    for start in range(0, len(body), size):
        await asyncio.sleep(size / bytes_per_second)
        yield body[start : start + size]


async def _wait(request: Request, seconds: float) -> None:
    """Let time pass, unless the client hangs up."""
    if seconds > 0:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await _hung_up(request)


async def _drop(request: Request) -> None:
    """Close the connection; what is sent afterwards reaches nobody."""
    transport: asyncio.Transport = request.scope["state"]["transport"]
    transport.abort()
    await _hung_up(request)


async def _hung_up(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _method_not_allowed(method: str) -> Answer:
    return RefusalError(405, "method_not_allowed", "Method not allowed.", f"{method} does nothing here.").answer()


async def _no_such_path(_request: Request, _exc: Any) -> Response:
    return _response(not_found("There is nothing at this path.").answer())
