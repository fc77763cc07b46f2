"""Lets unsprawl speak with the tests' stand-in forge through prism (npm's @stoplight/prism-cli), which checks every
request and every answer against GitHub's own description of Enterprise Server (npm's @octokit/openapi).

usage: forge_through_prism.py UNSPRAWL PRISM DESCRIPTION.json
"""

import http.client
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time

from forge_answers import ALIKE, described_path, free_port, read_description  # also makes the support folder known
from forge import github
from forge_client import ForgeProcess, make_app_key, make_certificate, run
from git_http import GitHttpHandler, TlsServer

REPOSITORIES = 3
TOKEN = "for-reading"
APP_ID = 4242


def references(node):
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def cut(document):
    """What of GitHub's 10 MB the stand-in's routes need: with all of it prism takes minutes and a gigabyte."""
    paths = {}
    for route in github.GitHub(None, None).routes:
        template = route.template.removeprefix("/api/v3")
        alike = described_path(route.template)
        operation = document["paths"].get(alike, {}).get(route.method.lower())
        if operation is None:
            continue  # GraphQL
        if template in ALIKE:
            # Described nowhere, answered as `alike` is; the parameters in the path have other names.
            operation = json.loads(json.dumps(operation)) | {"operationId": template}
            operation["parameters"] = [{
                "name": "id", "in": "path", "required": True, "schema": {"type": "integer"}
            }] + [p for p in operation.get("parameters", []) if not is_in_path(document, p)]
        if route.method == "GET":
            # GitHub says so of all of them, in words: docs.github.com/rest, "Use conditional requests".
            operation["responses"].setdefault("304", {"description": "Not modified"})
        paths.setdefault(template if template in ALIKE else alike, {})[route.method.lower()] = operation
    whole, waiting = {}, list(references(paths))
    while waiting:
        kind, name = waiting.pop().removeprefix("#/components/").split("/", 1)
        if name not in whole.setdefault(kind, {}):
            whole[kind][name] = document["components"][kind][name]
            waiting += references(whole[kind][name])
    return {"openapi": document["openapi"], "info": document["info"], "paths": paths, "components": whole}


def is_in_path(document, parameter):
    if "$ref" in parameter:
        parameter = document["components"]["parameters"][parameter["$ref"].rpartition("/")[2]]
    return parameter["in"] == "path"


class Front(GitHttpHandler):
    """One address for both: the REST API by way of prism, all else (GraphQL, git) the stand-in's own."""

    def serve(self):
        body, server = self.body(), self.server
        if self.path.startswith("/api/v3/"):
            connection = http.client.HTTPConnection("127.0.0.1", server.prism_port, timeout=60)
            path = self.path.removeprefix("/api/v3")
        else:
            connection, path = server.forge.connect(), self.path
        headers = {k: v for k, v in self.headers.items() if k.lower() not in ("host", "connection", "transfer-encoding")}
        headers["X-Forwarded-Host"] = self.headers["Host"]
        if body:
            headers["Content-Length"] = str(len(body))
        connection.request(self.command, path, body or None, headers)
        response = connection.getresponse()
        content = response.read()
        connection.close()
        if path != self.path:
            server.answers.append((f"{self.command} {self.path}", response, content))
        kept = [(k, v) for k, v in response.getheaders() if k.lower() not in ("content-length", "transfer-encoding", "connection", "date", "server")]
        if response.status == 304:
            self.write_head(304, kept)
        else:
            self.answer(response.status, kept, content)

    do_GET = do_POST = serve


class Prism:

    def __init__(self, program, folder, document, forge):
        (folder / "cut.json").write_text(json.dumps(cut(document)))
        self.port, self.log = free_port(), folder / "prism.log"
        with open(self.log, "w") as log:
            self.child = subprocess.Popen(
                ["node", program, "proxy", "--errors", "--port", str(self.port), folder / "cut.json",
                 f"https://localhost:{forge.port}/api/v3"],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                env=os.environ | {"NODE_EXTRA_CA_CERTS": str(folder / "ca.pem"), "NO_COLOR": "1"})
        while "Prism is listening" not in self.log.read_text():
            assert self.child.poll() is None, self.log.read_text()
            time.sleep(0.1)

    def stop(self):
        self.child.kill()
        self.child.wait()


def make_repositories(folder):
    rows = []
    for i in range(REPOSITORIES):
        bare = folder / f"app{i}.git"
        run(folder, "git", "init", "-q", "--bare", "-b", "main", bare)
        secret = "AK" + "IA" + "QYZX7234VMNPLKJ" + "ABC"[i]
        stream = f"commit refs/heads/main\ncommitter A <a@example.com> 1700000000 +0000\ndata 1\nx\n" \
                 f"M 644 inline s.env\ndata 23\nk={secret}\n\n"
        run(bare, "git", "fast-import", "--quiet", input=stream.encode())
        rows.append({"id": 100 + i, "owner": "acme", "name": f"app{i}", "private": True, "path": str(bare)})
    run(folder, "git", "init", "-q", "--bare", "-b", "main", folder / "mine.git")
    rows.append({"id": 200, "owner": "person", "name": "mine", "path": str(folder / "mine.git"), "empty": True})
    rows[1] |= {"fork": True, "parent_id": 100}
    rows[2]["activity"] = [{"activity_type": "force_push", "before": "1" * 40, "after": "2" * 40,
                            "ref": "refs/heads/main"}]
    return rows


def main():
    program, prism_program, description = (str(pathlib.Path(a).resolve()) for a in sys.argv[1:])
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        make_certificate(folder)
        forge = ForgeProcess(folder, {
            "repositories": make_repositories(folder),
            "generate": {"count": 250, "owner": "big"}, "users": ["person"],
            "tokens": {"reader": {"value": TOKEN, "login": "person", "scopes": ["repo"]}},
            "members": {"acme": ["person"]}, "installations": [{"id": 77, "account": "acme"}],
            "app": {"id": APP_ID, "public_pem": make_app_key(folder)}
        })
        prism = Prism(prism_program, folder, read_description(description), forge)
        front = TlsServer(Front, folder / "tls.pem")
        front.prism_port, front.forge, front.answers = prism.port, forge, []
        threading.Thread(target=front.serve_forever, daemon=True).start()
        try:
            converse(program, folder, f"https://localhost:{front.server_address[1]}/api/v3")
        finally:
            prism.stop()
            forge.stop()
            refuse_violations(front.answers)  # says more than the failure that it led to
    statuses = sorted({response.status for _, response, _ in front.answers})
    assert {200, 201, 304} == set(statuses), statuses
    asked = {line.partition("?")[0] for line, _, _ in front.answers}
    assert any("page=3" in line for line, _, _ in front.answers), "no listing went to its third page"
    print(f"prism let pass {len(front.answers)} answers to {len(asked)} different requests: {statuses}")


def converse(program, folder, api):
    environment = {"HOME": str(folder), "PATH": "/usr/bin:/bin", "GITHUB_TOKEN": TOKEN}

    def unsprawl(expected, *arguments, **more):
        done = subprocess.run([program, *arguments, "--api-url", api, "--ca-file", folder / "ca.pem"], text=True,
                              env=environment | more, capture_output=True)
        assert done.returncode == expected, (arguments, done.returncode, done.stdout, done.stderr)

    output = folder / "report"
    scan = ("scan", "--quiet", "--output", output, "--mirrors", folder / "mirrors")
    for _ in range(2):  # the second time conditionally
        unsprawl(1, *scan, "github:acme", "github:user/person")
        manifest = json.loads((output / "manifest.json").read_text())
        assert sorted(r["status"] for r in manifest["repositories"]) == ["empty"] + ["ok"] * REPOSITORIES, manifest
    unsprawl(0, "scan", "--quiet", "--list-only", "github:big")
    unsprawl(0, "doctor", "github:acme")
    app = {"GITHUB_TOKEN": ""}
    unsprawl(1, *scan, "--app-id", str(APP_ID), "--app-key-file", folder / "app.pem", "github:app", **app)


def refuse_violations(answers):
    for line, response, content in answers:
        violations = response.getheader("sl-violations")
        problem = "problem+json" in (response.getheader("Content-Type") or "")
        assert violations is None and not problem, f"{line} {response.status}: {violations or content.decode()}"


main()
