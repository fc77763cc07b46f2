"""git's own HTTP server (git http-backend) behind Python's, with TLS: what the servers of the tests share."""
import base64
import errno
import http.server
import os
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import traceback

GIT_ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
}
# The most that a request may carry: real ones (wanted and owned object ids) stay far below.
MAX_BODY_BYTES = 64 << 20


def bound(make, port):
    """make(("127.0.0.1", port)); a port that was ours until now may be taken for a moment by what left."""
    for attempt in range(100):
        try:
            return make(("127.0.0.1", port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE or attempt == 99:
                raise
            time.sleep(0.1)


class TlsServer(http.server.ThreadingHTTPServer):
    """`pem` holds the key and the certificate; `client_ca` vouches for those that clients must show, if any."""

    daemon_threads = True
    request_queue_size = 512

    def __init__(self, handler, pem, address=("127.0.0.1", 0), client_ca=None):
        super().__init__(address, handler)
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(pem)
        if client_ca is not None:
            self.tls.load_verify_locations(client_ca)
            self.tls.verify_mode = ssl.CERT_REQUIRED

    def finish_request(self, request, client_address):
        # The handshake is made in the connection's own thread: a client that stalls holds up no other.
        request.settimeout(600)
        with self.tls.wrap_socket(request, server_side=True,
                                  do_handshake_on_connect=False) as connection:
            try:
                connection.do_handshake()
            except ssl.SSLError:
                self.linger(connection)
                raise
            super().finish_request(connection, client_address)

    def linger(self, connection):
        """Lets the client read why it is refused: what it has sent and nobody read would reset the connection."""
        connection.settimeout(5)
        socket.socket.shutdown(connection, socket.SHUT_WR)
        while socket.socket.recv(connection, 1 << 16):
            pass

    def handle_error(self, request, client_address):
        # Clients of the tests go away at any moment; everything else is a mistake of the server's.
        if not isinstance(sys.exc_info()[1], OSError):
            traceback.print_exc()


class GitHttpHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 1 << 16

    def log_message(self, *_):
        pass

    def body(self):
        if self.headers.get("Transfer-Encoding") != "chunked":
            size = int(self.headers.get("Content-Length", 0))
            if not 0 <= size <= MAX_BODY_BYTES:
                raise ValueError(f"a request body of {size} bytes")
            return self.rfile.read(size)
        parts, total = [], 0
        while size := int(self.rfile.readline(), 16):
            total += size
            if total > MAX_BODY_BYTES:
                raise ValueError(f"a request body of more than {MAX_BODY_BYTES} bytes")
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def basic_password(self):
        """The password of Basic authentication, or None when the client sent none."""
        kind, _, value = self.headers.get("Authorization", "").partition(" ")
        if kind.lower() != "basic":
            return None
        try:
            return base64.b64decode(value).decode().partition(":")[2]
        except ValueError:
            return ""

    def write_head(self, status, headers):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()

    def write_content(self, content):
        """Every byte of an answer's content passes here."""
        self.wfile.write(content)

    def before_end(self):
        """Called when an answer is about to be complete: the client does not know yet that it is."""

    def answer(self, status, headers, content):
        self.write_head(status, [*headers, ("Content-Length", str(len(content)))])
        self.write_content(content[:-1])
        self.before_end()
        self.write_content(content[-1:])
        self.wfile.flush()

    def serve_git(self, repository, path, query, body, git_config=()):
        """Answers with what `git http-backend` says, as it says it; never holds it as a whole.

        `repository` is a bare repository's folder, `path` what follows it in the URL ("/info/refs"),
        `git_config` pairs of key and value.
        """
        environment = GIT_ENVIRONMENT | {
            "GIT_PROJECT_ROOT": os.path.dirname(repository),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "REQUEST_METHOD": self.command,
            "PATH_INFO": "/" + os.path.basename(repository) + path,
            "QUERY_STRING": query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "REMOTE_ADDR": "127.0.0.1",
            "GIT_CONFIG_COUNT": str(len(git_config)),
        }
        for number, (key, value) in enumerate(git_config):
            environment[f"GIT_CONFIG_KEY_{number}"] = key
            environment[f"GIT_CONFIG_VALUE_{number}"] = value
        # From a file, so that neither side waits for the other to read.
        with tempfile.TemporaryFile() as stdin:
            stdin.write(body)
            stdin.seek(0)
            child = subprocess.Popen(["git", "http-backend"], env=environment, stdin=stdin,
                                     stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        try:
            return self.relay(child.stdout)
        finally:
            child.kill()
            child.stdout.close()
            child.wait()

    def relay(self, stream):
        """Passes on a CGI answer; returns its status."""
        status, headers = 200, [("Transfer-Encoding", "chunked")]
        while line := stream.readline().decode().rstrip("\r\n"):
            name, _, value = line.partition(": ")
            if name == "Status":
                status = int(value.split()[0])
            else:
                headers.append((name, value))
        self.write_head(status, headers)
        while part := stream.read1(1 << 16):
            self.wfile.write(b"%x\r\n" % len(part))
            self.write_content(part)
            self.wfile.write(b"\r\n")
            self.wfile.flush()
        self.before_end()
        self.wfile.write(b"0\r\n\r\n")
        self.wfile.flush()
        return status
