"""Starts forge_server.py for tests in Python, speaks with it, and stops it."""
import base64
import http.client
import json
import pathlib
import ssl
import subprocess
import sys
import time
import urllib.parse

SERVER = pathlib.Path(__file__).with_name("forge_server.py")
# As GitHub wants an App's claims: begun a minute ago, good for at most ten.
JWT_BEGIN, JWT_END = -60, 540


def run(folder, *command, **options):
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, **options).stdout


def make_certificate(folder):
    run(folder, "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
        "-nodes", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
        "-days", "2", "-keyout", "tls.key", "-out", "ca.pem")
    folder = pathlib.Path(folder)
    (folder / "tls.pem").write_text((folder / "tls.key").read_text() +
                                    (folder / "ca.pem").read_text())


def make_app_key(folder):
    """Writes app.pem and returns the public key that the server is told."""
    run(folder, "openssl", "genrsa", "-out", "app.pem", "2048")
    return run(folder, "openssl", "rsa", "-in", "app.pem", "-pubout").decode()


def app_jwt(folder, app_id, begin=JWT_BEGIN, end=JWT_END, algorithm="RS256"):

    def packed(data):
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    now = int(time.time())
    claims = {"iat": now + begin, "exp": now + end, "iss": str(app_id)}
    text = ".".join(
        packed(json.dumps(part).encode()) for part in ({"alg": algorithm, "typ": "JWT"}, claims))
    signature = run(folder, "openssl", "dgst", "-sha256", "-sign", "app.pem", input=text.encode())
    return f"{text}.{packed(signature)}"


class Reply:

    def __init__(self, response, body):
        self.status, self.headers, self.body = response.status, response.headers, body

    def json(self):
        return json.loads(self.body)

    def next(self):
        """The path of Link rel=next, or None."""
        for part in self.headers.get("Link", "").split(", "):
            if part.endswith('rel="next"'):
                url = urllib.parse.urlsplit(part.partition(">")[0][1:])
                return url.path + "?" + url.query
        return None


class ForgeProcess:

    def __init__(self, folder, config):
        """`folder` has tls.pem and ca.pem (make_certificate)."""
        folder = pathlib.Path(folder)
        (folder / "forge.json").write_text(json.dumps(config |
                                                      {"tls_pem": str(folder / "tls.pem")}))
        self.child = subprocess.Popen([sys.executable, SERVER, folder / "forge.json"],
                                      stdout=subprocess.PIPE)
        ports = json.loads(self.child.stdout.readline())
        self.port, self.control_port = ports["https_port"], ports["control_port"]
        self.tls = ssl.create_default_context(cafile=folder / "ca.pem")
        self.kept = None

    def stop(self):
        if self.kept is not None:
            self.kept.close()
        self.child.kill()
        self.child.wait()
        self.child.stdout.close()

    def connect(self, timeout=30):
        return http.client.HTTPSConnection("localhost", self.port, context=self.tls,
                                           timeout=timeout)

    def request(self, path, token=None, method="GET", body=None, headers=None, connection=None):
        """One request over a connection that is kept."""
        if connection is None:
            connection = self.kept = self.kept or self.connect()
        headers = ({"Authorization": "Bearer " + token} if token else {}) | (headers or {})
        body = json.dumps(body) if isinstance(body, (dict, list)) else body
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return Reply(response, response.read())
        except BaseException:
            connection.close()
            raise

    def control(self, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.control_port, timeout=30)
        connection.request("GET" if body is None else "POST", path,
                           None if body is None else json.dumps(body))
        response = connection.getresponse()
        answer = json.loads(response.read())
        connection.close()
        if response.status != 200:
            raise ValueError(answer)
        return answer

    def set(self, **settings):
        self.control("/set", settings)

    def change(self, **fields):
        self.control("/repo", fields)

    def fault(self, **fault):
        self.set(faults=[fault])

    def counters(self):
        return self.control("/counters")

    def reset_counters(self):
        self.control("/reset-counters", {})
