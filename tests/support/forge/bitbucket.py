"""Bitbucket Cloud under /bitbucket/2.0, Bitbucket Data Center under /bbdc/rest/api/1.0."""
import uuid

from .http import Answer, Refusal, Route, page

SCHEMES = ("basic", "bearer")


def host_of(base):
    return base.partition("//")[2].partition(":")[0]


class Cloud:
    name = "bitbucket"

    def __init__(self, state, tokens):
        self.state, self.tokens = state, tokens
        self.routes = [
            Route("GET", "/bitbucket/2.0/repositories/{workspace}", self.repositories),
            Route("GET", "/bitbucket/2.0/repositories/{workspace}/{slug}", self.repository),
            Route("GET", "/bitbucket/2.0/snippets/{workspace}", self.snippets)
        ]

    def charge(self, request, route, not_modified):
        window = self.tokens.window(request.token, "bitbucket")
        if window["used"] >= window["limit"]:
            return [], refused(429, "Rate limit for this resource has been exceeded").answer
        window["used"] += 1
        return [], None

    def not_found(self):
        return refused(404, "Resource not found").answer

    def repositories(self, request, workspace):
        owner = self.state.account(workspace)
        if owner is None:
            raise refused(404, f"No workspace with identifier '{workspace}'.")
        rows = self.state.listing(
            lambda r: r["owner"] == owner["login"] and self.tokens.sees(request.token, r),
            "name" if request.query.get("sort") == "name" else "created_at")
        return self.paged(request, rows, self.row)

    def snippets(self, request, workspace):
        rows = [s for s in self.state.settings["snippets"] if s.get("workspace") == workspace]
        return self.paged(request, rows, self.snippet)

    def paged(self, request, rows, render):
        found = page(request, rows, "pagelen", 10)
        content = {
            "values": [render(request.base, r) for r in found.rows], "pagelen": found.size,
            "page": found.number, "size": found.total
        }
        if found.number < found.last:
            content["next"] = request.url(page=found.number + 1)
        if found.number > 1:
            content["previous"] = request.url(page=found.number - 1)
        return Answer(content, listed=found.rows)

    def repository(self, request, workspace, slug):
        found = self.state.by_name(workspace, slug)
        if slug.startswith("{"):  # an id, of whichever workspace where that is "{}"
            rows = self.state.repositories.values()
            found = next((r for r in rows if slug == "{%s}" % number_as_uuid(r["id"])), None)
            if found is not None and workspace != "{}" and workspace.lower() != found["owner"].lower():
                found = None
        if found is None or not self.tokens.sees(request.token, found):
            raise refused(404, f"Repository {workspace}/{slug} not found")
        return Answer(self.row(request.base, found))

    def snippet(self, base, this):
        place = f"snippets/{this['workspace']}/{this['id']}"
        return {
            "type": "snippet", "id": this["id"], "title": "A snippet", "scm": "git",
            "created_on": "2024-01-01T00:00:00.000000+00:00",
            "updated_on": "2024-01-01T00:00:00.000000+00:00",
            "is_private": this.get("visibility", "private") == "private",
            "links": {
                "self": {"href": f"{base}/bitbucket/2.0/{place}"},
                "html": {"href": f"{base}/bitbucket/{place}"},
                "clone": [{"name": "https", "href": f"{base}/bitbucket/{place}/a-snippet.git"},
                          {"name": "ssh", "href": f"git@{host_of(base)}:{place}/a-snippet.git"}]
            },
        }

    def row(self, base, this):
        full = f"{this['owner']}/{this['name']}"
        api, web = f"{base}/bitbucket/2.0/repositories/{full}", f"{base}/bitbucket/{full}"
        row = {
            "type": "repository",
            "uuid": "{%s}" % number_as_uuid(this["id"]),
            "full_name": full,
            "name": this["name"],
            "slug": this["name"].lower(),
            "scm": "git",
            "is_private": this["private"],
            "description": this["description"] or "",
            "size": this["size_kb"] * 1024,
            "language": "",
            "has_wiki": this["has_wiki"],
            "has_issues": False,
            "fork_policy": "allow_forks",
            "created_on": this["created_at"],
            "updated_on": this["pushed_at"],
            "mainbranch": None
                          if this["empty"] else {"type": "branch", "name": this["default_branch"]},
            "workspace": {"type": "workspace", "slug": this["owner"]},
            "parent": None,
            "project": {"type": "project", "key": this["project"].upper(), "name": this["project"]},
            "links": {
                "self": {"href": api}, "html": {"href": web},
                "clone": [{"name": "https", "href": this["clone_url"] or web + ".git"},
                          {"name": "ssh", "href": f"git@{host_of(base)}:{full}.git"}]
            },
        }
        parent = self.state.by_id(this["parent_id"]) if this["fork"] else None
        if parent is not None:
            row["parent"] = {
                "type": "repository", "full_name": f"{parent['owner']}/{parent['name']}",
                "uuid": "{%s}" % number_as_uuid(parent["id"])
            }
        return row


class DataCenter:
    name = "bbdc"

    def __init__(self, state, tokens):
        self.state, self.tokens = state, tokens
        self.routes = [
            Route("GET", "/bbdc/rest/api/1.0/projects", self.projects),
            Route("GET", "/bbdc/rest/api/1.0/projects/{key}/repos", self.repositories),
            Route("GET", "/bbdc/rest/api/1.0/projects/{key}/repos/{slug}", self.repository)
        ]

    def charge(self, request, route, not_modified):
        window = self.tokens.window(request.token, "bbdc")
        if window["used"] >= window["limit"]:
            return [], errors(429, "You are being rate limited").answer
        window["used"] += 1
        return [], None

    def not_found(self):
        return errors(404, "HTTP 404 Not Found").answer

    def paged(self, request, rows, render):
        start, limit = request.number("start", 0, 0, 1 << 40), request.number("limit", 25, 1, 1000)
        found, end = rows[start:start + limit], start + limit
        content = {
            "values": [render(request.base, r) for r in found], "size": len(found), "limit": limit,
            "start": start, "isLastPage": end >= len(rows)
        }
        return Answer(content if end >= len(rows) else content | {"nextPageStart": end})

    def projects(self, request):
        return self.paged(request, list(self.state.accounts.values()), self.project)

    def repositories(self, request, key):
        owner = self.state.account(key)
        if owner is None:
            raise errors(404, f"Project {key} does not exist.")
        rows = self.state.listing(
            lambda r: r["owner"] == owner["login"] and self.tokens.sees(request.token, r), "name")
        answer = self.paged(request, rows, self.row)
        answer.listed = rows[:1]
        return answer

    def repository(self, request, key, slug):
        found = self.state.by_name(key, slug)
        if found is None or not self.tokens.sees(request.token, found):
            raise errors(404, f"Repository {key}/{slug} does not exist.")
        return Answer(self.row(request.base, found))

    def project(self, base, owner):
        key = owner["login"].upper()
        return {
            "key": key, "id": owner["id"], "name": owner["login"], "public": False,
            "type": "NORMAL", "links": {"self": [{"href": f"{base}/bbdc/projects/{key}"}]}
        }

    def row(self, base, this):
        project = self.project(base, self.state.account(this["owner"]))
        path = f"{project['key']}/{this['name'].lower()}"
        row = {
            "slug": this["name"].lower(),
            "id": this["id"],
            "name": this["name"],
            "description": this["description"],
            "hierarchyId": f"{this['id']:020x}",
            "scmId": "git",
            "state": "OFFLINE" if this["disabled"] else "AVAILABLE",
            "statusMessage": "Available",
            "forkable": True,
            "project": project,
            "public": not this["private"],
            "archived": this["archived"],
            "links": {
                "self": [{
                    "href": f"{base}/bbdc/projects/{project['key']}/repos/{this['name'].lower()}/browse"
                }], "clone": [{
                    "name": "ssh", "href": f"ssh://git@{host_of(base)}:7999/{path.lower()}.git"
                }, {"name": "http", "href": this["clone_url"] or f"{base}/bbdc/scm/{path}.git"}]
            },
        }
        parent = self.state.by_id(this["parent_id"]) if this["fork"] else None
        if parent is not None:
            row["origin"] = {
                "id": parent["id"], "slug": parent["name"].lower(), "name": parent["name"],
                "project": self.project(base, self.state.account(parent["owner"]))
            }
        return row


def number_as_uuid(number):
    return str(uuid.UUID(int=number + (4 << 76) + (8 << 60)))


def refused(status, message):
    return Refusal(Answer({"type": "error", "error": {"message": message}}, status))


def errors(status, message):
    return Refusal(
        Answer({"errors": [{"context": None, "message": message, "exceptionName": None}]}, status))


def unauthorized(_):
    return refused(401, "Token is invalid, expired, or not supported for this endpoint.")
