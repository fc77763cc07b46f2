"""Serves the bare repositories in a folder with git's own programs: over HTTPS (git http-backend, Basic
authentication) and over SSH (git upload-pack, public keys), on loopback ports of the system's choice.

    git_server.py FOLDER STATE      STATE holds tls.pem (key and certificate), host_key, authorized_keys

The one password is in the environment, GIT_SERVER_PASSWORD. Prints "HTTPS_PORT SSH_PORT" when ready.
"""
import asyncio
import base64
import http.server
import os
import shlex
import ssl
import subprocess
import sys
import threading
from pathlib import Path

import asyncssh

FOLDER, STATE = (Path(argument).resolve() for argument in sys.argv[1:3])
PASSWORD = os.environ["GIT_SERVER_PASSWORD"]
ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def allowed(self):
        kind, _, value = self.headers.get("Authorization", "").partition(" ")
        if kind != "Basic":
            return False
        return base64.b64decode(value).decode().partition(":")[2] == PASSWORD

    def body(self):
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def answer(self, status, headers, content):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def serve(self):
        body = self.body()
        if not self.allowed():
            self.answer(401, [("WWW-Authenticate", 'Basic realm="git"')], b"")
            return
        if self.path.startswith("/moved/"):
            elsewhere = f"https://127.0.0.1:{self.server.server_address[1]}"
            self.answer(302, [("Location", elsewhere + self.path.removeprefix("/moved"))], b"")
            return
        path, _, query = self.path.partition("?")
        environment = ENVIRONMENT | {
            "GIT_PROJECT_ROOT": str(FOLDER),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "REQUEST_METHOD": self.command,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "REMOTE_USER": "tester",
            "REMOTE_ADDR": "127.0.0.1",
        }
        done = subprocess.run(["git", "http-backend"], input=body, env=environment, capture_output=True)
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        headers = [tuple(line.split(": ", 1)) for line in head.decode().splitlines()]
        status = next((value for name, value in headers if name == "Status"), "200")
        self.answer(int(status.split()[0]), [h for h in headers if h[0] != "Status"], content)

    do_GET = do_POST = serve


def serve_https():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(STATE / "tls.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


async def upload_pack(process):
    command, path = shlex.split(process.command)
    assert command == "git-upload-pack", command
    environment = ENVIRONMENT | {k: v for k, v in process.env.items() if k == "GIT_PROTOCOL"}
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
