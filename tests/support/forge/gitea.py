"""Gitea's (and Forgejo's) REST API under /gitea."""
from .http import Answer, Refusal, Route, numbered_links, page

SCHEMES = ("token", "bearer", "basic")
# MAX_RESPONSE_ITEMS as Gitea is delivered: whatever `limit` says, a page has no more.
MOST_ROWS = 50


def refusal(status, message):
    return Refusal(Answer({"message": message, "url": "https://example.com/api/swagger"}, status))


def unauthorized(_):
    return refusal(401, "invalid username, password or token")


class Gitea:
    name = "gitea"

    def __init__(self, state, tokens):
        self.state, self.tokens = state, tokens
        self.routes = [
            Route("GET", "/gitea/api/v1" + t, f) for t, f in [
                ("/orgs/{owner}/repos", self.repositories),
                ("/users/{owner}/repos", self.repositories),
                ("/user", self.own_user),
                ("/repos/{owner}/{repo}", self.repository),
                ("/repositories/{id}", self.repository_by_id),
            ]
        ]

    def charge(self, request, route, not_modified):
        return [], None  # it has no limit of its own

    def not_found(self):
        return refusal(404, "Not Found").answer

    def repositories(self, request, owner):
        found = self.state.account(owner)
        wanted = "User" if "/users/" in request.path else "Organization"
        if found is None or (wanted == "Organization" and found["type"] != wanted):
            raise refusal(404, "user redirect does not exist")
        rows = self.state.listing(
            lambda r: r["owner"] == found["login"] and self.tokens.sees(request.token, r), "name")
        rows = page(request, rows, "limit", 30, MOST_ROWS)
        return Answer([self.row(request.base, r) for r in rows.rows], listed=rows.rows, headers=[
            *numbered_links(request, rows, relations=("next", "last", "first", "prev")),
            ("x-total-count", str(rows.total))
        ])

    def own_user(self, request):
        if request.token.kind != "user":
            raise refusal(401, "token is required")
        return Answer(
            {"id": 1, "login": request.token.config.get("login", "someone"), "is_admin": False})

    def repository(self, request, owner, repo):
        found = self.state.by_name(owner, repo)
        if found is None and (moved := self.state.moved_to(owner, repo)):
            location = f"{request.base}/gitea/api/v1/repos/{moved['owner']}/{moved['name']}"
            raise Refusal(Answer(b"", 301, [("Location", location)]))
        if found is None or not self.tokens.sees(request.token, found):
            raise refusal(404, "Not Found")
        return Answer(self.row(request.base, found))

    def repository_by_id(self, request, id):
        found = self.state.by_id(int(id)) if id.isdigit() else None
        if found is None or not self.tokens.sees(request.token, found):
            raise refusal(404, "Not Found")
        return Answer(self.row(request.base, found))

    def row(self, base, this):
        owner = self.state.account(this["owner"])
        full = f"{this['owner']}/{this['name']}"
        web = f"{base}/gitea/{full}"
        parent = self.state.by_id(this["parent_id"]) if this["fork"] else None
        return {
            "id": this["id"],
            "owner": {"id": owner["id"], "login": owner["login"]},
            "name": this["name"],
            "full_name": full,
            "description": this["description"] or "",
            "empty": this["empty"],
            "private": this["private"],
            "fork": this["fork"],
            "template": this["is_template"],
            "mirror": False,
            "parent": None if parent is None else self.row(base, parent),
            "size": this["size_kb"],
            "html_url": web,
            "url": f"{base}/gitea/api/v1/repos/{full}",
            "clone_url": this["clone_url"] or web + ".git",
            "ssh_url": f"git@{base.partition('//')[2].partition(':')[0]}:{full}.git",
            "default_branch": this["default_branch"],
            "archived": this["archived"],
            "internal": this["visibility"] == "internal",
            "created_at": this["created_at"],
            "updated_at": this["pushed_at"],
            "has_wiki": this["has_wiki"],
            "topics": this["topics"],
            "object_format_name": "sha1",
            "permissions": {"admin": False, "push": False, "pull": True},
        }
