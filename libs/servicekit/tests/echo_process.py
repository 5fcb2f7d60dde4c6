"""A service as a process: logs each call that it holds, and answers them once a line arrives on standard input."""

import asyncio
import logging
import sys
from typing import Any

import grpc
from google.protobuf.wrappers_pb2 import StringValue

from servicekit.grpc_server import GrpcServer
from servicekit.json_logging import configure_logging

_log = logging.getLogger("echo")


async def main(drain_seconds: float, lame_duck_seconds: float) -> None:
    """Serve until a signal."""
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin.buffer)
    released = asyncio.create_task(lines.readline())

    async def hold(request: StringValue, _context: Any) -> StringValue:
        _log.info("holding")
        await asyncio.shield(released)  # one line releases every call
        return request

    server = GrpcServer(
        service_name="test.Echo",
        listen="127.0.0.1:0",
        errors={},
        domain="echo",
        lame_duck_seconds=lame_duck_seconds,
        drain_seconds=drain_seconds,
    )
    method = grpc.unary_unary_rpc_method_handler(hold, StringValue.FromString, StringValue.SerializeToString)
    server.grpc.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Echo", {"Say": method}),))
    await server.serve()


if __name__ == "__main__":
    configure_logging("echo", "INFO")
    asyncio.run(main(*map(float, sys.argv[1:])))
