"""An HTTP proxy for tests, on a loopback port of the system's choice, which it prints when ready.

    proxy.py LOG STATUS|USER:PASSWORD

Each request is answered with STATUS (200: connected), or with 407 without that password, and appends a line to
LOG: "CONNECT host:port status".
"""
import base64
import contextlib
import http.server
import select
import socket
import sys

LOG, WANTED = sys.argv[1:]


class Proxy(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_CONNECT(self):
        given = base64.b64decode(self.headers.get("Proxy-Authorization", "").partition(" ")[2]).decode()
        status = int(WANTED) if ":" not in WANTED else 200 if given == WANTED else 407
        with open(LOG, "a") as log:
            log.write(f"CONNECT {self.path} {status}\n")
        self.send_response(status)
        if status == 407:
            self.send_header("Proxy-Authenticate", 'Basic realm="proxy"')
        if status != 200:
            self.send_header("Content-Length", "0")
            self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        if status != 200:
            return
        host, _, port = self.path.rpartition(":")
        with contextlib.suppress(OSError), socket.create_connection((host, int(port))) as server:
            self.relay(server)

    def relay(self, server):
        ends = {self.connection: server, server: self.connection}
        while True:
            for ready in select.select(list(ends), [], [])[0]:
                data = ready.recv(1 << 16)
                if not data:
                    return
                ends[ready].sendall(data)


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
server.daemon_threads = True
print(server.server_address[1], flush=True)
server.serve_forever()
