"""Serves the bare repositories in a folder with git's own programs: over HTTPS (git http-backend, Basic
authentication) and over SSH (git upload-pack, public keys), on loopback ports of the system's choice.

    git_server.py FOLDER STATE      STATE holds tls.pem (key and certificate), host_key, authorized_keys

The one password is in the environment, GIT_SERVER_PASSWORD. Prints "HTTPS_PORT SSH_PORT" when ready.
"""
import asyncio
import os
import shlex
import subprocess
import sys
import threading
from pathlib import Path

import asyncssh

from git_http import GIT_ENVIRONMENT, GitHttpHandler, TlsServer

FOLDER, STATE = (Path(argument).resolve() for argument in sys.argv[1:3])
PASSWORD = os.environ["GIT_SERVER_PASSWORD"]


class Handler(GitHttpHandler):
    def serve(self):
        body = self.body()
        if self.basic_password() != PASSWORD:
            self.answer(401, [("WWW-Authenticate", 'Basic realm="git"')], b"")
            return
        if self.path.startswith("/moved/"):
            elsewhere = f"https://127.0.0.1:{self.server.server_address[1]}"
            self.answer(302, [("Location", elsewhere + self.path.removeprefix("/moved"))], b"")
            return
        path, _, query = self.path.partition("?")
        name, _, rest = path.lstrip("/").partition("/")
        self.serve_git(str(FOLDER / name), "/" + rest, query, body)

    do_GET = do_POST = serve


def serve_https():
    server = TlsServer(Handler, STATE / "tls.pem")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


async def upload_pack(process):
    command, path = shlex.split(process.command)
    assert command == "git-upload-pack", command
    environment = GIT_ENVIRONMENT | {k: v for k, v in process.env.items() if k == "GIT_PROTOCOL"}
    child = await asyncio.create_subprocess_exec(
        "git", "upload-pack", str(FOLDER / path.lstrip("/")), env=environment,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    await process.redirect(stdin=child.stdin, stdout=child.stdout, stderr=child.stderr)
    process.exit(await child.wait())


async def main():
    https_port = serve_https()
    listener = await asyncssh.listen(
        "127.0.0.1", 0, server_host_keys=[str(STATE / "host_key")],
        authorized_client_keys=str(STATE / "authorized_keys"),
        process_factory=upload_pack, encoding=None)
    print(https_port, listener.sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()


asyncio.run(main())
