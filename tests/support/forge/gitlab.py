"""GitLab's REST API under /gitlab: offset paging, keyset paging of all projects, RateLimit-* headers."""
import bisect
import re

from .http import Answer, Refusal, Route, link, numbered_links, page
from .state import timestamp

SCHEMES = ("private-token", "bearer")
# Beyond this many rows GitLab does not count them: no x-total, no rel="last".
COUNTED = 10_000


def refusal(status, message, headers=()):
    return Refusal(Answer({"message": message}, status, list(headers)))


def unauthorized(refused):
    if refused.reason == "expired":
        return Refusal(
            Answer(
                {
                    "error": "invalid_token",
                    "error_description": "Token is expired. You can either do "
                                         "re-authorization or token refresh."
                }, 401))
    return refusal(401, "401 Unauthorized")


class GitLab:
    name = "gitlab"

    def __init__(self, state, tokens):
        self.state, self.tokens = state, tokens
        self.routes = [
            Route("GET", "/gitlab/api/v4" + t, f) for t, f in [
                ("/groups/{id}", self.group),
                ("/groups/{id}/projects", self.group_projects),
                ("/users/{id}/projects", self.user_projects),
                ("/projects", self.projects),
                ("/projects/{id}", self.project_by_id),
                ("/projects/{id}/snippets", self.project_snippets),
                ("/snippets", self.own_snippets),
                ("/user", self.own_user),
                ("/personal_access_tokens/self", self.own_token),
            ]
        ]

    def charge(self, request, route, not_modified):
        window = self.tokens.window(request.token, "gitlab")
        if window["used"] >= window["limit"]:
            wait = max(1, int(window["reset"] - self.state.now()) + 1)
            refused = Answer(b"Retry later\n", 429, [("Retry-After", str(wait)),
                                                     ("Content-Type", "text/plain")])
        else:
            window["used"] += 1
            refused = None
        return [("RateLimit-Limit", str(window["limit"])),
                ("RateLimit-Observed", str(window["used"])),
                ("RateLimit-Remaining", str(window["limit"] - window["used"])),
                ("RateLimit-Reset", str(int(window["reset"]) + 1)),
                ("X-Request-Id", "01J0000000")], refused

    def not_found(self):
        return Answer({"error": "404 Not Found"}, 404)

    def group_of(self, id, kinds=("Organization",)):
        """The account with this number or path; a group may exist only through its subgroups."""
        found = self.state.account_by_id(int(id)) if id.isdigit() else self.state.account(id)
        if found is None or found["type"] not in kinds:
            raise refusal(404, "404 Group Not Found")
        return found

    def group(self, request, id):
        found = self.group_of(id)
        return Answer({
            "id": found["id"], "name": found["login"].rpartition("/")[2],
            "path": found["login"].rpartition("/")[2], "full_path": found["login"],
            "visibility": "private", "web_url": f"{request.base}/gitlab/groups/{found['login']}"
        })

    def group_projects(self, request, id):
        owner = self.group_of(id)["login"]
        below = owner + "/" if request.query.get("include_subgroups") == "true" else None
        # By default (with_shared) a group's listing has the projects that other groups share with it, too.
        shared = request.query.get("with_shared", "true") == "true"

        def wanted(r):
            return (r["owner"] == owner or (below is not None and r["owner"].startswith(below)) or
                    (shared and owner in r.get("shared_with", [])))

        return self.listing(request, wanted, self.state.settings["gitlab_group_keyset"])

    def user_projects(self, request, id):
        try:
            owner = self.group_of(id, ("User",))["login"]
        except Refusal:
            raise refusal(404, "404 User Not Found") from None
        return self.listing(request, lambda r: r["owner"] == owner, True)

    def projects(self, request):
        return self.listing(request, lambda r: True, True)

    def listing(self, request, wanted, keyset):
        by_id = request.query.get("order_by") == "id"
        falling = request.query.get("sort", "desc") == "desc"
        archived = request.query.get("archived")

        def seen(r):
            return (wanted(r) and self.tokens.sees(request.token, r) and
                    archived in (None, str(r["archived"]).lower()))

        if keyset and request.query.get("pagination") == "keyset":
            if not by_id:
                raise Refusal(
                    Answer(
                        {
                            "error": "Keyset pagination is not yet available for this type of request"
                        }, 405))
            return self.keyset(request, seen, falling)
        found = page(request, self.state.listing(seen, "id" if by_id else "created_at", falling),
                     "per_page", 20)
        if keyset and (found.number - 1) * found.size > 50_000:
            raise Refusal(
                Answer(
                    {
                        "error":
                            "Offset pagination has a maximum allowed offset of 50000 for requests that "
                            "return objects of type Project. Remaining records can be retrieved using "
                            "keyset pagination."
                    }, 405))
        counted = found.total <= COUNTED
        more = found.number < found.last
        headers = numbered_links(
            request, found, relations=("prev", "next", "first", "last") if counted else
            ("prev", "next", "first"))
        headers += [("x-page", str(found.number)), ("x-per-page", str(found.size)),
                    ("x-next-page", str(found.number + 1) if more else ""),
                    ("x-prev-page", str(found.number - 1) if found.number > 1 else "")]
        if counted:
            headers += [("x-total", str(found.total)), ("x-total-pages", str(found.last))]
        return Answer([self.project(request.base, r) for r in found.rows], headers=headers,
                      listed=found.rows)

    def keyset(self, request, seen, falling):
        rows, cursor = self.state.listing(seen, "id",
                                          falling), "id_before" if falling else "id_after"
        size, begin = request.number("per_page", 20, 1, 100), 0
        if cursor in request.query:
            edge, sign = request.number(cursor, 0, 0, 1 << 62), -1 if falling else 1
            begin = bisect.bisect_right(range(len(rows)), sign * edge,
                                        key=lambda i: sign * rows[i:i + 1][0]["id"])
        found = rows[begin:begin + size]
        more = link([("next", request.url(**{cursor: found[-1]["id"]}))] if begin +
                    size < len(rows) else [])
        return Answer([self.project(request.base, r) for r in found], headers=more, listed=found)

    def project_by_id(self, request, id):
        if id.isdigit():
            found = self.state.by_id(int(id))
        else:
            owner, _, name = id.rpartition("/")
            found = self.state.by_name(owner, name)
            if found is None and (moved := self.state.moved_to(owner, name)):
                location = f"{request.base}/gitlab/api/v4/projects/{moved['id']}"
                raise Refusal(Answer({"message": "Resource moved"}, 301, [("Location", location)]))
        if found is None or not self.tokens.sees(request.token, found):
            raise refusal(404, "404 Project Not Found")
        return Answer(self.project(request.base, found))

    def snippets(self, request, wanted):
        found = page(request, [s for s in self.state.settings["snippets"] if wanted(s)], "per_page", 20)
        return Answer([self.snippet(request.base, s) for s in found.rows],
                      headers=numbered_links(request, found))

    def project_snippets(self, request, id):
        found = self.state.by_id(int(id)) if id.isdigit() else None
        if found is None or not self.tokens.sees(request.token, found):
            raise refusal(404, "404 Project Not Found")
        return self.snippets(request, lambda s: s.get("project_id") == found["id"])

    def own_snippets(self, request):
        login = self.own_login(request)
        return self.snippets(request, lambda s: s["owner"] == login and not s.get("project_id"))

    def own_login(self, request):
        if request.token.kind != "user":
            raise refusal(401, "401 Unauthorized")
        return request.token.config.get("login", "someone")

    def own_user(self, request):
        login = self.own_login(request)
        return Answer({"id": 1, "username": login, "name": login, "state": "active"})

    def snippet(self, base, this):
        project = self.state.by_id(this.get("project_id"))
        place = f"{project['owner']}/{project['name']}/" if project else ""
        web = f"{base}/gitlab/{place}-/snippets/{this['id']}"
        return {
            "id": this["id"], "title": "a snippet", "description": None,
            "visibility": this.get("visibility", "private"), "author": {
                "id": 1, "username": this["owner"], "name": this["owner"], "state": "active"
            }, "created_at": "2024-01-01T00:00:00.000Z", "updated_at": "2024-01-01T00:00:00.000Z",
            "project_id": project and project["id"], "web_url": web, "raw_url": web + "/raw",
            "ssh_url_to_repo": f"git@localhost:{place}snippets/{this['id']}.git",
            "http_url_to_repo": this.get("http_url_to_repo",
                                         f"{base}/gitlab/{place}snippets/{this['id']}.git"),
            "file_name": "a.txt", "files": []
        }

    def own_token(self, request):
        if request.token.kind != "user":
            raise refusal(401, "401 Unauthorized")
        expiry = self.tokens.expiry(request.token)
        return Answer({
            "id": 1, "name": request.token.name, "revoked": False, "active": True, "user_id": 1,
            "created_at": "2024-01-01T00:00:00.000Z",
            "scopes": request.token.config.get("scopes", ["read_api"]), "last_used_at": None,
            "expires_at": None if expiry is None else timestamp(expiry)[:10]
        })

    def project(self, base, this):
        full = f"{this['owner']}/{this['name']}"
        web = f"{base}/gitlab/{full}"
        owner = self.state.account(this["owner"])
        snippets = any(s.get("project_id") == this["id"] for s in self.state.settings["snippets"])
        row = {
            "id": this["id"],
            "description": this["description"],
            "name": this["name"],
            "path": this["name"],
            "name_with_namespace": full.replace("/", " / "),
            "path_with_namespace": full,
            "created_at": this["created_at"],
            "default_branch": None if this["empty"] else this["default_branch"],
            "tag_list": this["topics"],
            "topics": this["topics"],
            "ssh_url_to_repo": f"git@{re.sub(r'^https?://|:[0-9]+$', '', base)}:{full}.git",
            "http_url_to_repo": this["clone_url"] or web + ".git",
            "web_url": web,
            "readme_url": None,
            "forks_count": 0,
            "avatar_url": None,
            "star_count": 0,
            "last_activity_at": this["pushed_at"],
            "namespace": {
                "id": owner["id"], "name": owner["login"].rpartition("/")[2],
                "kind": "user" if owner["type"] == "User" else "group",
                "path": owner["login"].rpartition("/")[2], "full_path": owner["login"],
                "parent_id": None, "web_url": f"{base}/gitlab/{owner['login']}"
            },
            "empty_repo": this["empty"],
            "archived": this["archived"],
            "visibility": this["visibility"],
            "wiki_enabled": this["has_wiki"],
            "wiki_access_level": "enabled" if this["has_wiki"] else "disabled",
            "repository_access_level": "disabled" if this["disabled"] else "enabled",
            "snippets_enabled": snippets,
            "snippets_access_level": "enabled" if snippets else "disabled",
            "statistics": {"repository_size": this["size_kb"] * 1024},
            "mirror": False,
        }
        parent = self.state.by_id(this["parent_id"]) if this["fork"] else None
        if parent is not None:
            row["forked_from_project"] = {
                "id": parent["id"], "path_with_namespace": f"{parent['owner']}/{parent['name']}"
            }
        return row
