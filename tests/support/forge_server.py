"""A stand-in for the forges, for tests: GitHub (in the layout of Enterprise Server), GitLab, Bitbucket Cloud and
Data Center, Gitea, Azure DevOps, with their git over HTTPS, on one loopback port; it misbehaves on command.

    forge_server.py CONFIG.json

CONFIG.json holds the settings of forge/state.py, tokens.py and faults.py, and of the server itself:
    tls_pem                   a file with the key and the certificate
    client_ca                 a file that vouches for the certificates of clients: each must show one
    https_port, control_port  (0: the system's choice)
    changes                   [[path, content], ...]: requests to the control port that were made before a restart
Prints {"https_port": N, "control_port": M} in one line when ready. The control port
speaks plain HTTP:
    POST /set             merges JSON into the settings (RFC 7396); "faults" replaces the faults
    POST /repo            adds a repository, changes its fields, or removes it ({"id": N, "deleted": true})
    POST /reset-counters
    GET  /counters        see forge/counters.py
"""
import http.server
import json
import sys
import threading

from forge.server import Forge, ForgeHandler
from git_http import TlsServer, bound


def change(forge, path, content):
    """Whether `path` is one of the two that change what the forge knows."""
    if path == "/set":
        forge.set(content)
    elif path == "/repo":
        forge.change(content)
    return path in ("/set", "/repo")


class Control(http.server.BaseHTTPRequestHandler):

    def log_message(self, *_):
        pass

    def serve(self):
        forge, content, status = self.server.forge, {}, 200
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        try:
            if (self.command, self.path) == ("GET", "/counters"):
                content = forge.counters.as_json()
            elif self.path == "/reset-counters":
                forge.counters.reset()
            elif not change(forge, self.path, json.loads(body)):
                status = 404
        except (ValueError, KeyError, TypeError) as wrong:
            content, status = {"error": repr(wrong)}, 400
        text = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = serve


def main():
    with open(sys.argv[1]) as file:
        config = json.load(file)
    pem, client_ca = config.pop("tls_pem"), config.pop("client_ca", None)
    https_port, control_port = config.pop("https_port", 0), config.pop("control_port", 0)
    changes = config.pop("changes", [])
    forge = Forge(config)
    for path, content in changes:
        change(forge, path, content)
    https = bound(lambda address: TlsServer(ForgeHandler, pem, address, client_ca), https_port)
    control = bound(lambda address: http.server.ThreadingHTTPServer(address, Control), control_port)
    https.forge = control.forge = forge
    threading.Thread(target=control.serve_forever, daemon=True).start()
    print(
        json.dumps(
            {"https_port": https.server_address[1], "control_port": control.server_address[1]}),
        flush=True)
    https.serve_forever()


main()
