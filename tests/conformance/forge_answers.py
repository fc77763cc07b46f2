"""Validates what the tests' stand-in forge answers for GitHub against GitHub's own OpenAPI descriptions (npm's
@octokit/openapi), with a foreign validator (PyPI's jsonschema). An answer may have no field that the description
does not know, and every route of the stand-in is asked.

usage: forge_answers.py DESCRIPTION.json...
"""

import json
import pathlib
import socket
import sys
import tempfile

import jsonschema
import referencing
import referencing.jsonschema

SUPPORT = pathlib.Path(__file__).resolve().parents[1] / "support"
sys.path.insert(0, str(SUPPORT))
from forge import github  # noqa: E402
from forge_client import ForgeProcess, app_jwt, make_app_key, make_certificate  # noqa: E402

# Routes that are in no description, and the described ones that they answer like: the targets of 301 and of Link.
ALIKE = {
    "/repositories/{id}": "/repos/{owner}/{repo}",
    "/repositories/{id}/activity": "/repos/{owner}/{repo}/activity",
    "/organizations/{id}/repos": "/orgs/{org}/repos",
    "/user/{id}/repos": "/users/{username}/repos",
}
# {our name of a path's parameter: GitHub's}, where they differ.
PARAMETERS = {"{user}": "{username}", "{id}": "{installation_id}"}


def plain(schema):
    """OpenAPI 3.0's `nullable` in the words of JSON Schema."""
    if isinstance(schema, list):
        return [plain(s) for s in schema]
    if not isinstance(schema, dict):
        return schema
    schema = {k: plain(v) for k, v in schema.items() if k not in ("example", "examples")}
    if schema.get("nullable") is True:
        del schema["nullable"]
        return {"anyOf": [schema, {"type": "null"}]}
    return schema


def read_description(file):
    document = json.loads(pathlib.Path(file).read_text())
    # This listing demands accounts that are a user and an enterprise at once; what one installation is
    # described as is meant.
    listing = document["paths"]["/app/installations"]["get"]["responses"]["200"]["content"]
    listing["application/json"]["schema"]["items"] = {"$ref": "#/components/schemas/installation"}
    return document


class Description:

    def __init__(self, file):
        self.document = plain(read_description(file))
        resource = referencing.Resource(self.document, referencing.jsonschema.DRAFT202012)
        self.registry = referencing.Registry().with_resource("urn:github", resource)

    def resolve(self, node):
        while "$ref" in node:
            place = self.document
            for step in node["$ref"].removeprefix("#/").split("/"):
                place = place[step.replace("~1", "/").replace("~0", "~")]
            node = place
        return node

    def response(self, method, path, status):
        """The description of this answer, or None."""
        operation = self.document["paths"].get(path, {}).get(method.lower())
        found = operation and operation["responses"].get(str(status))
        return found and self.resolve(found)

    def check(self, method, path, reply):
        """Raises AssertionError for an answer that is not as described."""
        where = f"{method} {path} {reply.status}"
        response = self.response(method, path, reply.status)
        assert response is not None, f"{where}: not described"
        for name in response.get("headers", {}):
            if name != "Link":  # on a single page there is none
                assert name in reply.headers, f"{where}: no header {name}"
        if not response.get("content"):
            assert not reply.body, f"{where}: content, where none is described"
            return
        schema = response["content"]["application/json"]["schema"]
        absolute = json.loads(json.dumps(schema).replace('"#/', '"urn:github#/'))
        validator = jsonschema.Draft202012Validator(
            absolute, registry=self.registry,
            format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER)
        for error in validator.iter_errors(reply.json()):
            raise AssertionError(f"{where}: {error.json_path}: {error.message[:300]}")
        unknown = self.unknown_fields(reply.json(), [schema])
        assert not unknown, f"{where}: fields that are not described: {sorted(unknown)}"

    def unknown_fields(self, value, schemas, place="$"):
        """Fields that none of the schemas (those that lie over each other at this place) knows."""
        schemas, waiting = [], [self.resolve(s) for s in schemas]
        while waiting:
            schema = waiting.pop()
            schemas.append(schema)
            for word in ("allOf", "anyOf", "oneOf"):
                waiting += [self.resolve(s) for s in schema.get(word, [])]
        unknown = set()
        if isinstance(value, list):
            items = [s["items"] for s in schemas if "items" in s]
            for row in value:
                unknown |= self.unknown_fields(row, items, place + "[]") if items else set()
        if isinstance(value, dict) and not any(s.get("additionalProperties") for s in schemas):
            for name, field in value.items():
                known = [s["properties"][name] for s in schemas if name in s.get("properties", {})]
                if not known:
                    unknown.add(f"{place}.{name}")
                else:
                    unknown |= self.unknown_fields(field, known, f"{place}.{name}")
        return unknown


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def described_path(template):
    path = template.removeprefix("/api/v3")
    if path in ALIKE:
        return ALIKE[path]
    for ours, theirs in PARAMETERS.items():
        path = path.replace(ours, theirs)
    return path


CONFIG = {
    "repositories": [
        {
            "id": 1, "owner": "acme", "name": "app", "topics": ["one"], "wiki_path": "/nowhere",
            "description": "x"
        },
        {
            "id": 2, "owner": "acme", "name": "copy", "fork": True, "parent_id": 1, "private": True,
            "activity": [{
                "activity_type": "force_push", "before": "1" * 40, "after": "2" * 40,
                "ref": "refs/heads/main"
            }]
        },
        {
            "id": 3, "owner": "acme", "name": "old", "archived": True, "visibility": "internal",
            "empty": True
        },
        {"id": 4, "owner": "acme", "name": "off", "disabled": True, "is_template": True},
        {"id": 5, "owner": "person", "name": "mine"},
        {"id": 6, "owner": "person", "name": "more"},
    ],
    "generate": {"count": 150, "owner": "big"},
    "users": ["person"],
    "tokens": {
        "reader": {
            "value": "for-reading", "login": "person", "scopes": ["repo"], "expires_in": 3600
        }, "late": {"value": "for-nothing", "expires_at": "2020-01-01T00:00:00Z"},
        "poor": {"value": "for-once",
                 "rate_limit": 0}, "outside": {"value": "for-sso", "sso_hidden": "required"}
    },
    "installations": [{"id": 77, "account": "acme"},
                      {"id": 78, "account": "person", "suspended": True}],
    "members": {"acme": ["person"]},
    "gists": [{"id": "abc1", "owner": "person", "path": "/nowhere"}],
}


def conversation(forge, folder, app_id):
    """Asks everything: yields (method, template of ours, Reply)."""
    jwt = app_jwt(folder, app_id)
    user = account_id(forge, "/users/person")
    organization = account_id(forge, "/orgs/acme")
    installed = forge.request("/api/v3/app/installations/77/access_tokens", jwt, "POST",
                              {"repository_ids": [1, 2]})
    yield "POST", "/app/installations/{id}/access_tokens", installed
    token = installed.json()["token"]
    etag = forge.request("/api/v3/user/repos", "for-reading").headers["ETag"]
    yield "GET", "/user/repos", forge.request("/api/v3/user/repos", "for-reading",
                                              headers={"If-None-Match": etag})
    forge.change(id=6, name="renamed")
    for template, path, credential in [
        ("/orgs/{org}", "/orgs/acme", "for-reading"),
        ("/orgs/{org}", "/orgs/nobody", "for-reading"),
        ("/orgs/{org}/repos", "/orgs/acme/repos", "for-reading"),
        ("/orgs/{org}/repos", "/orgs/acme/repos", None),
        ("/orgs/{org}/repos", "/orgs/big/repos?per_page=100", "for-reading"),
        ("/orgs/{org}/members", "/orgs/acme/members", "for-reading"),
        ("/organizations/{id}/repos", f"/organizations/{organization}/repos?page=2&per_page=2",
         "for-reading"), ("/users/{user}", "/users/person", "for-reading"),
        ("/users/{user}", "/users/nobody", "for-reading"),
        ("/users/{user}/repos", "/users/person/repos", "for-reading"),
        ("/user/{id}/repos", f"/user/{user}/repos", "for-reading"),
        ("/gists", "/gists", "for-reading"),
        ("/users/{user}/gists", "/users/person/gists", "for-reading"),
        ("/gists", "/gists", token),
        ("/user", "/user", "for-reading"), ("/user", "/user", None),
        ("/user", "/user", "for-nothing"), ("/user", "/user", "for-once"),
        ("/user/repos", "/user/repos", "for-reading"), ("/user/repos", "/user/repos", token),
        ("/installation/repositories", "/installation/repositories", token),
        ("/installation/repositories", "/installation/repositories", "for-reading"),
        ("/app", "/app", jwt), ("/app/installations", "/app/installations", jwt),
        ("/app/installations/{id}", "/app/installations/77", jwt),
        ("/app/installations/{id}", "/app/installations/76", jwt),
        ("/orgs/{org}/installation", "/orgs/acme/installation", jwt),
        ("/users/{user}/installation", "/users/person/installation", jwt),
        ("/rate_limit", "/rate_limit", "for-reading"), ("/rate_limit", "/rate_limit", None),
        ("/repos/{owner}/{repo}", "/repos/acme/copy", "for-reading"),
        ("/repos/{owner}/{repo}", "/repos/acme/old", "for-reading"),
        ("/repos/{owner}/{repo}", "/repos/acme/off", "for-reading"),
        ("/repos/{owner}/{repo}", "/repos/acme/none", "for-reading"),
        ("/repos/{owner}/{repo}", "/repos/person/more", "for-reading"),
        ("/repositories/{id}", "/repositories/5", "for-reading"),
        ("/repos/{owner}/{repo}/activity", "/repos/acme/copy/activity?activity_type=force_push",
         "for-reading"), ("/repositories/{id}/activity", "/repositories/2/activity", "for-reading")
    ]:
        yield "GET", template, forge.request("/api/v3" + path, credential)
    for body, installation in [({"repository_ids": [5]}, 77), ({}, 78), ({}, 79)]:
        path = f"/api/v3/app/installations/{installation}/access_tokens"
        yield "POST", "/app/installations/{id}/access_tokens", forge.request(
            path, jwt, "POST", body)


def account_id(forge, path):
    return forge.request("/api/v3" + path, "for-reading").json()["id"]


def main():
    with tempfile.TemporaryDirectory() as folder:
        make_certificate(folder)
        app_id = 4242
        forge = ForgeProcess(folder,
                             CONFIG | {"app": {"id": app_id, "public_pem": make_app_key(folder)}})
        try:
            replies = list(conversation(forge, folder, app_id))
        finally:
            forge.stop()
    answered = {
        f"{method} /api/v3{template}" for method, template, reply in replies
        if reply.status in (200, 201)
    }
    served = {f"{r.method} {r.template}" for r in github.GitHub(None, None).routes
             } - {"POST /api/graphql"}
    assert answered == served, f"not asked, or not served: {sorted(answered ^ served)}"
    seen = sorted({reply.status for _, _, reply in replies})
    assert seen == [200, 201, 301, 304, 401, 403, 404, 422], seen
    for file in sys.argv[1:]:
        description = Description(file)
        for method, template, reply in replies:
            description.check(method, described_path(template), reply)
        print(
            f"{len(replies)} answers of {len(served)} routes are as {pathlib.Path(file).name} describes them"
        )


if __name__ == "__main__":
    main()
