"""GitHub's REST API in the layout of GitHub Enterprise Server: /api/v3, /api/graphql, OWNER/NAME.git."""
import json

from . import github_objects as objects
from . import graphql
from .http import Answer, Refusal, Route, link, numbered_links, page
from .state import timestamp

SCHEMES = ("bearer", "token", "basic")
DOCUMENTATION = "https://docs.github.com/rest"
JSON_TYPE = ("Content-Type", "application/json; charset=utf-8")


def refusal(status, message, headers=()):
    content = {"message": message, "documentation_url": DOCUMENTATION}
    if status != 422:
        content["status"] = str(status)
    return Refusal(Answer(content, status, list(headers)))


def unauthorized(refused):
    return refusal(401, refused.message)


NOT_FOUND = (404, "Not Found")


class GitHub:
    name = "github"

    def __init__(self, state, tokens):
        self.state, self.tokens = state, tokens
        self.renderer = objects.Renderer(state)
        routes = [
            ("GET", "/orgs/{org}", self.organization),
            ("GET", "/orgs/{org}/repos", self.organization_repositories),
            ("GET", "/orgs/{org}/members", self.members),
            ("GET", "/organizations/{id}/repos", self.organization_repositories_by_id),
            ("GET", "/users/{user}", self.user),
            ("GET", "/users/{user}/repos", self.user_repositories),
            ("GET", "/user/{id}/repos", self.user_repositories_by_id),
            ("GET", "/users/{user}/gists", self.user_gists),
            ("GET", "/user", self.own_user),
            ("GET", "/user/repos", self.own_repositories),
            ("GET", "/gists", self.own_gists),
            ("GET", "/installation/repositories", self.installation_repositories),
            ("GET", "/app", self.app),
            ("GET", "/app/installations", self.installations),
            ("GET", "/app/installations/{id}", self.installation),
            ("GET", "/orgs/{org}/installation", self.installation_on),
            ("GET", "/users/{user}/installation", lambda request, user: self.installation_on(request, user)),
            ("POST", "/app/installations/{id}/access_tokens", self.access_tokens),
            ("GET", "/rate_limit", self.rate_limit),
            ("GET", "/repos/{owner}/{repo}", self.repository),
            ("GET", "/repositories/{id}", self.repository_by_id),
            ("GET", "/repos/{owner}/{repo}/activity", self.activity),
            ("GET", "/repositories/{id}/activity", self.activity_by_id),
        ]
        self.routes = [Route(m, "/api/v3" + t, f) for m, t, f in routes]
        self.routes.append(Route("POST", "/api/graphql", self.graphql))

    # -- what goes around every answer --

    def charge(self, request, route, not_modified):
        """Counts the request against its token's limit; returns the headers that say so, and a refusal or None.

        A 304 costs nothing where the request was authorized, /rate_limit never does.
        """
        resource = "graphql" if route is not None and route.template.endswith("graphql") else "core"
        window = self.tokens.window(request.token, resource)
        free = (route is not None and
                route.function == self.rate_limit) or (not_modified and
                                                       request.token.kind != "anonymous")
        refused = None
        if not free and window["used"] >= window["limit"]:
            text = f"API rate limit exceeded for {request.token.name}."
            # GraphQL says so with status 200.
            refused = refusal(403, text).answer if resource == "core" else Answer(
                {"errors": [{"type": "RATE_LIMITED", "message": text}]})
        elif not free:
            window["used"] += 1
        return [
            ("X-RateLimit-Limit", str(window["limit"])),
            ("X-RateLimit-Used", str(window["used"])),
            ("X-RateLimit-Remaining", str(window["limit"] - window["used"])),
            ("X-RateLimit-Resource", resource),
            ("X-RateLimit-Reset",
             str(int(window["reset"]) + 1)),  # a whole second by which the limit is new
            *self.token_headers(request.token)
        ], refused

    def token_headers(self, token):
        headers = [("X-GitHub-Media-Type", "github.v3; format=json"),
                   ("X-GitHub-Request-Id", "0001:0002:0003")]
        if token.kind != "user":
            return headers
        if "scopes" in token.config:
            headers.append(("X-OAuth-Scopes", ", ".join(token.config["scopes"])))
            headers.append(("X-Accepted-OAuth-Scopes", ""))
        if (expiry := self.tokens.expiry(token)) is not None:
            text = timestamp(expiry).replace("T", " ").replace("Z", " UTC")
            headers.append(("github-authentication-token-expiration", text))
        return headers

    def not_found(self):
        return refusal(*NOT_FOUND).answer

    # -- accounts --

    def account(self, login, kind=None):
        found = self.state.account(login)
        if found is None or "/" in login or (kind and found["type"] != kind):
            raise refusal(*NOT_FOUND)
        return found

    def account_by_id(self, number, kind):
        found = self.state.account_by_id(int(number)) if number.isdigit() else None
        if found is None or found["type"] != kind:
            raise refusal(*NOT_FOUND)
        return found["login"]

    def counts(self, login):
        private = len(self.state.listing(lambda r: r["owner"] == login and r["private"]))
        return {
            "private": private,
            "public": len(self.state.listing(lambda r: r["owner"] == login)) - private
        }

    def organization(self, request, org):
        owner = self.account(org, "Organization")
        return Answer(objects.organization(request.base, owner, self.counts(owner["login"])))

    def user(self, request, user):
        owner = self.account(user)
        row = objects.private_user(request.base, owner, self.counts(
            owner["login"])) | {"user_view_type": "public"}
        hidden = ("private_gists", "total_private_repos", "owned_private_repos", "disk_usage",
                  "collaborators", "two_factor_authentication")
        return Answer({k: v for k, v in row.items() if k not in hidden})

    def own_user(self, request):
        self.want(request, "user")
        login = request.token.config.get("login", "someone")
        owner = self.state.account(login) or {"login": login, "id": 1, "type": "User"}
        return Answer(objects.private_user(request.base, owner, self.counts(login)))

    def want(self, request, kind):
        if request.token.kind == "anonymous":
            raise refusal(401, "Requires authentication")
        if request.token.kind != kind:
            raise refusal(
                403, "Resource not accessible by integration" if kind == "user" else
                "You must authenticate with an installation access token in order to list repositories "
                "for an installation.")

    # -- listings of repositories --

    def listing(self, request, wanted, sort, link_path=None, wrap=None):
        """A page of the repositories that are wanted and seen. wrap(total, JSON) makes an object of it."""
        sort = request.query.get("sort", sort)
        key = {"created": "created_at", "updated": "updated_at",
               "pushed": "pushed_at"}.get(sort, "name")
        falling = request.query.get("direction", "asc" if key == "name" else "desc") == "desc"
        kind = request.query.get("type", request.query.get("visibility", "all"))
        keep = {
            "public": lambda r: not r["private"], "private": lambda r: r["private"],
            "forks": lambda r: r["fork"], "sources": lambda r: not r["fork"]
        }.get(kind, lambda r: True)
        rows = self.state.listing(
            lambda r: wanted(r) and keep(r) and self.tokens.sees(request.token, r), key, falling)
        found = page(request, rows)
        content = self.renderer.array(request.base, found.rows)
        return Answer(
            wrap(found.total, content) if wrap else content,
            headers=numbered_links(request, found, link_path), listed=found.rows)

    def organization_repositories(self, request, org):
        owner = self.account(org, "Organization")
        sso = request.token.config.get("sso_hidden")
        if sso == "required":
            raise refusal(
                403,
                "Resource protected by organization SAML enforcement. You must grant your Personal "
                "Access token access to this organization.",
                [("X-GitHub-SSO",
                  f"required; url={request.base}/orgs/{org}/sso?authorization_request=A1B2C3")])
        # The next pages have the organization's number in their address.
        answer = self.listing(request, lambda r: r["owner"] == owner["login"], "created",
                              f"/api/v3/organizations/{owner['id']}/repos")
        if sso:
            answer.headers.append(("X-GitHub-SSO", f"partial-results; organizations={owner['id']}"))
        return answer

    def organization_repositories_by_id(self, request, id):
        return self.organization_repositories(request, self.account_by_id(id, "Organization"))

    def user_repositories(self, request, user):
        owner = self.account(user)
        # Public ones only, whoever asks.
        return self.listing(request, lambda r: r["owner"] == owner["login"] and not r["private"],
                            "full_name", f"/api/v3/user/{owner['id']}/repos")

    def user_repositories_by_id(self, request, id):
        return self.user_repositories(request, self.account_by_id(id, "User"))

    def own_repositories(self, request):
        self.want(request, "user")
        own = request.token.config.get("login", "someone") if request.query.get("affiliation") == "owner" else None
        answer = self.listing(
            request, lambda r: "/" not in r["owner"] and own in (None, r["owner"]), "full_name")
        if request.token.config.get("sso_hidden"):
            hidden = sorted({
                self.state.account(r["owner"])["id"]
                for r in self.state.repositories.values()
                if r["private"] and not self.tokens.sees(request.token, r)
            })
            answer.headers.append(
                ("X-GitHub-SSO", "partial-results; organizations=" + ",".join(map(str, hidden))))
        return answer

    def installation_repositories(self, request):
        self.want(request, "installation")
        installation = self.tokens.installation(request.token)
        if installation is None or installation.get("suspended"):
            raise refusal(403, "This installation has been suspended")
        chosen = installation.get("repository_selection", "all")
        if "repository_ids" in request.token.config:
            chosen = "selected"
        return self.listing(
            request, lambda r: self.tokens.covers(request.token, r), "full_name",
            wrap=lambda n, rows:
            (b'{"total_count":%d,"repository_selection":"%s","repositories":%s}' %
             (n, chosen.encode(), rows)))

    # -- the App --

    def want_app(self, request):
        if request.token.kind != "app":
            raise refusal(401, "A JSON web token could not be decoded")

    def app(self, request):
        self.want_app(request)
        return Answer(
            objects.application(request.base, self.state.settings["app"],
                                len(self.state.settings["installations"])))

    def installations(self, request):
        self.want_app(request)
        found = page(request, self.state.settings["installations"])
        return Answer([
            objects.installation(request.base, self.state, i, self.state.settings["app"])
            for i in found.rows
        ], headers=numbered_links(request, found))

    def installation_of(self, request, id):
        self.want_app(request)
        found = next((i for i in self.state.settings["installations"] if str(i["id"]) == id), None)
        if found is None:
            raise refusal(*NOT_FOUND)
        return found

    def installation_on(self, request, org):
        self.want_app(request)
        found = next((i for i in self.state.settings["installations"] if i["account"] == org), None)
        if found is None:
            raise refusal(404, "Not Found")
        return self.installation(request, str(found["id"]))

    def installation(self, request, id):
        found = self.installation_of(request, id)
        return Answer(
            objects.installation(request.base, self.state, found, self.state.settings["app"]))

    def access_tokens(self, request, id):
        installation = self.installation_of(request, id)
        if installation.get("suspended"):
            raise refusal(403, "This installation has been suspended")
        try:
            asked = json.loads(request.body or b"{}")
        except ValueError:
            raise refusal(400, "Problems parsing JSON") from None
        held = installation.get("permissions", {"contents": "read", "metadata": "read"})
        levels = ["read", "write", "admin"]
        for name, level in asked.get("permissions", {}).items():
            if name not in held or level not in levels or levels.index(level) > levels.index(
                    held[name]):
                raise refusal(422,
                              "The permissions requested are not granted to this installation.")
        permissions = asked.get("permissions", held) | {"metadata": "read"}
        chosen = asked.get("repository_ids")
        rows = [self.state.by_id(i) for i in chosen or []]
        if not all(r and self.tokens.in_installation(installation, r) for r in rows):
            raise refusal(
                422,
                "There is at least one repository that does not exist or is not accessible to the "
                "parent installation.")
        value, token = self.tokens.issue(installation, chosen, permissions)
        content = {
            "token": value, "expires_at": timestamp(token.config["expires_at"]),
            "permissions": permissions,
            "repository_selection": "selected" if chosen else installation.get(
                "repository_selection", "all")
        }
        if chosen:
            content["repositories"] = [
                objects.repository(request.base, self.state, r) for r in rows
            ]
        return Answer(content, 201, [("Cache-Control", "no-store")])

    # -- one repository --

    def seen(self, request, found):
        if found is None or not self.tokens.sees(request.token, found):
            raise refusal(*NOT_FOUND)
        if found["disabled"]:
            raise refusal(403, "Repository access blocked")
        return found

    def named(self, request, owner, repo, rest=""):
        """The repository of this name; for a name that it had before, 301 to its number."""
        found = self.state.by_name(owner, repo)
        if found is None and (moved := self.state.moved_to(owner, repo)) and self.tokens.sees(
                request.token, moved):
            location = request.url(f"/api/v3/repositories/{moved['id']}{rest}")
            raise Refusal(
                Answer(
                    {
                        "message": "Moved Permanently", "url": location,
                        "documentation_url": DOCUMENTATION
                    }, 301, [("Location", location)]))
        return self.seen(request, found)

    def numbered(self, request, id):
        return self.seen(request, self.state.by_id(int(id)) if id.isdigit() else None)

    def full(self, request, found):
        return Answer(
            objects.full_repository(request.base, self.state, found,
                                    lambda r: self.tokens.sees(request.token, r)))

    def repository(self, request, owner, repo):
        return self.full(request, self.named(request, owner, repo))

    def repository_by_id(self, request, id):
        return self.full(request, self.numbered(request, id))

    def events(self, request, found):
        wanted = request.query.get("activity_type")
        rows = [
            (n, e) for n, e in enumerate(found["activity"]) if wanted in (None, e["activity_type"])
        ]
        # Paged by a cursor, not by number.
        begin, size = request.number("after", 0, 0,
                                     len(rows)), request.number("per_page", 30, 1, 100)
        more = link([("next", request.url(after=begin + size))] if begin + size < len(rows) else [])
        return Answer([
            objects.activity(request.base, self.state, found, e, n)
            for n, e in rows[begin:begin + size]
        ], headers=more)

    def activity(self, request, owner, repo):
        return self.events(request, self.named(request, owner, repo, "/activity"))

    def activity_by_id(self, request, id):
        return self.events(request, self.numbered(request, id))

    # -- gists, limits, GraphQL --

    def members(self, request, org):
        self.account(org, "Organization")
        found = page(request, self.state.settings["members"].get(org, []))
        return Answer([objects.account(request.base, self.account(login)) for login in found.rows],
                      headers=numbered_links(request, found))

    def gists(self, request, owner, secret):
        if request.token.kind == "installation":
            raise refusal(403, "Resource not accessible by integration")
        rows = [
            g for g in self.state.settings["gists"]
            if g["owner"].lower() == owner.lower() and (secret or g.get("public", True))
        ]
        found = page(request, rows)
        return Answer([objects.gist(request.base, self.state, g) for g in found.rows],
                      headers=numbered_links(request, found))

    def user_gists(self, request, user):
        return self.gists(request, self.account(user)["login"], secret=False)

    def own_gists(self, request):
        self.want(request, "user")
        return self.gists(request, request.token.config.get("login", "someone"), secret=True)

    def rate_limit(self, request):

        def said(resource):
            window = self.tokens.window(request.token, resource)
            return {
                "limit": window["limit"], "used": window["used"],
                "remaining": window["limit"] - window["used"], "reset": int(window["reset"]) + 1
            }

        core = said("core")
        return Answer({
            "resources": {
                "core": core, "graphql": said("graphql"),
                "search": {"limit": 30, "used": 0, "remaining": 30, "reset": core["reset"]}
            }, "rate": core
        })

    def graphql(self, request):
        if request.token.kind not in ("user", "installation"):
            raise refusal(401, "This endpoint requires you to be authenticated.")
        return Answer(graphql.answer(request, self.state, self.tokens))
