"""Lets unsprawl's API client and parser ask for real answers of GitHub's, recorded (npm's @octokit/fixtures-server):
a repository, the 301 of one that was renamed, a listing of several pages. None of the recordings lists repositories.

usage: recorded_answers.py API_GET FOLDER      FOLDER: where npm installed it
"""

import datetime
import json
import pathlib
import socket
import subprocess
import sys
import time
import urllib.request

from forge_answers import free_port  # also makes the support folder known

API_GET, FOLDER = (pathlib.Path(argument).resolve() for argument in sys.argv[1:])
# As its own program does, which listens on every address of the machine.
SERVER = """
import express from "express";
import fixtures from "@octokit/fixtures-server";
const [port] = process.argv.slice(-1);
express().use(fixtures({fixturesUrl: `http://localhost:${port}`, logLevel: "error"})).listen(port, "127.0.0.1");
"""


def request(method, url, body=None, headers=None):
    data = None if body is None else json.dumps(body, separators=(",", ":")).encode()
    return urllib.request.urlopen(urllib.request.Request(url, data, headers or {}, method=method), timeout=30)


def listens(port):
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) == 0


def recorded(scenario):
    scenarios = FOLDER / "node_modules/@octokit/fixtures/scenarios/api.github.com"
    return json.loads((scenarios / scenario / "normalized-fixture.json").read_text())


def load(server, scenario):
    """The base URL at which the scenario's answers are given, each once, in their order."""
    with request("POST", server + "/fixtures", {"scenario": scenario}, {"Content-Type": "application/json"}) as answer:
        return json.load(answer)["url"]


def ask(base, path):
    done = subprocess.run([API_GET, base, path], text=True, capture_output=True, timeout=120)
    assert done.returncode == 0, (path, done.stdout, done.stderr)
    return [json.loads(line) for line in done.stdout.splitlines()]


def described(answer):
    """What unsprawl must have understood of it."""
    pushed = datetime.datetime.fromisoformat(answer["pushed_at"].replace("Z", "+00:00"))
    return {
        "id": str(answer["id"]), "name": answer["full_name"], "clone_path": answer["full_name"] + ".git",
        "default_branch": answer["default_branch"], "pushed_at": int(pushed.timestamp()),
        "visibility": answer.get("visibility") or ("private" if answer["private"] else "public")
    }


def check_repository(server):
    (step,) = recorded("get-repository")
    (page,) = ask(load(server, "get-repository"), step["path"])
    assert page["repositories"] == [described(step["response"])], page
    assert page["etag"] == step["headers"]["etag"] and not page["next"], page


def check_rename(server):
    rename, moved, target = recorded("rename-repository")[:3]
    base = load(server, "rename-repository")
    headers = {k: str(v) for k, v in rename["reqheaders"].items() if k not in ("host", "content-length")}
    request("PATCH", base + rename["path"], rename["body"], headers).close()
    assert moved["status"] == 301, moved
    (page,) = ask(base, moved["path"])
    assert page["url"] == base + target["path"], page
    assert page["repositories"] == [described(target["response"])], page
    assert page["repositories"][0]["name"] != moved["path"].removeprefix("/repos/"), page


def check_pages(server):
    steps = recorded("paginate-issues")
    pages = ask(load(server, "paginate-issues"), steps[0]["path"])
    assert len(pages) == len(steps) > 2, pages
    for page, step in zip(pages, steps):
        assert page["url"].endswith(step["path"]), (page["url"], step["path"])
        # Issues, whose ids are where a repository's are.
        assert [r["id"] for r in page["repositories"]] == [str(i["id"]) for i in step["response"]], page
    assert [bool(page["next"]) for page in pages] == [True] * (len(pages) - 1) + [False], pages


def main():
    port = free_port()
    server = f"http://localhost:{port}"
    child = subprocess.Popen(["node", "--input-type=module", "-e", SERVER, "--", str(port)], cwd=FOLDER,
                             stdin=subprocess.DEVNULL)
    try:
        while not listens(port):
            assert child.poll() is None, "the server of recorded answers did not start"
            time.sleep(0.1)
        for check in (check_repository, check_rename, check_pages):
            check(server)
    finally:
        child.kill()
        child.wait()
    print("a repository, the 301 of a renamed one and a listing of pages are understood as GitHub gave them")


main()
