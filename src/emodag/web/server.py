"""Starting the service: the workers first, which load for longest, then what speaks HTTP."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from emodag.errors import DataError
from emodag.params import Serve
from emodag.web.team import Team

if TYPE_CHECKING:
    import uvicorn

#: How long (s) a client may take to send the head of a request, and an open connection may be idle.
_HEAD, _IDLE = 10.0, 15
#: What a live client may send at once; bytes.
_LARGEST_BLOCK = 1 << 20
#: How long (s) requests are waited for when the service ends.
_FAREWELL = 5


def run(models: Path, params_file: Path, settings: Serve, host: str, port: int) -> None:
    """Serve until interrupted.

    Args:
        models: the folder of the model.
        params_file: the ``params.yaml`` whose settings count.
        settings: its section ``serve``.
        host: address to listen on.
        port: to listen on; 0 for any that is free.

    Raises:
        EmodagError: the address or the model cannot be used.
    """
    listening = _listening(host, port)
    token = os.environ.get(settings.token_variable, "")
    if not token and not _is_loopback(listening):
        print(
            f"mind: whoever reaches {host} may use this service; {settings.token_variable}=TOKEN asks for a token",
            file=sys.stderr,
        )
    team = Team(models, params_file, settings)
    # Only now, while the workers load on another core.
    import uvicorn

    from emodag.web import log
    from emodag.web.app import create_app
    from emodag.web.protocol import Prompt

    log.set_up()
    config = uvicorn.Config(
        create_app(team, settings, token),
        http=Prompt.within(_HEAD),
        ws="websockets-sansio",
        ws_max_size=_LARGEST_BLOCK,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=_IDLE,
        timeout_graceful_shutdown=_FAREWELL,
    )
    with suppress(KeyboardInterrupt):
        asyncio.run(_serve(team, uvicorn.Server(config), listening))


async def _serve(team: Team, server: uvicorn.Server, listening: socket.socket) -> None:
    try:
        # Who connects meanwhile waits in the socket's backlog.
        await team.start()
        print(f"open {_address(listening)}", flush=True)
        await server.serve([listening])
    finally:
        await team.stop()


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family, backlog=1024)
    except OSError as error:
        told = f"{host}:{port} cannot be listened on: {error.strerror}; --host and --port name another"
        raise DataError(told) from None
    # Connections inherit it. Without, the body of an answer waits 40 ms for the acknowledgement of its head: asyncio
    # sets it only on sockets that were made with the protocol's number.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def _is_loopback(listening: socket.socket) -> bool:
    host = listening.getsockname()[0]
    return host == "::1" or host.startswith("127.")


def _address(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
