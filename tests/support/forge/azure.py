"""Azure DevOps under /azure/ORG: projects by continuation token, then the repositories of each."""
from .bitbucket import number_as_uuid
from .http import Answer, Refusal, Route

SCHEMES = ("basic", "bearer")


def unauthorized(_):
    return Refusal(
        Answer(b"", 401, [("WWW-Authenticate", "Bearer"),
                          ("WWW-Authenticate", 'Basic realm="azure"')]))


def refusal(status, message):
    return Refusal(
        Answer({"$id": "1", "message": message, "typeName": "Exception", "errorCode": 0}, status))


class Azure:
    name = "azure"

    def __init__(self, state, tokens):
        self.state, self.tokens = state, tokens
        self.routes = [
            Route("GET", "/azure" + t, f) for t, f in [
                ("/{org}/_apis/projects", self.projects),
                ("/{org}/_apis/git/repositories", self.all_repositories),
                ("/{org}/{project}/_apis/git/repositories", self.repositories),
                ("/{org}/_apis/git/repositories/{id}", self.repository),
            ]
        ]

    def charge(self, request, route, not_modified):
        window = self.tokens.window(request.token, "azure")
        left = window["limit"] - window["used"]
        if left <= 0:
            wait = max(1, int(window["reset"] - self.state.now()) + 1)
            return [], Answer({"message": "Request was blocked due to exceeding usage of resource"},
                              429, [("Retry-After", str(wait))])
        window["used"] += 1
        return [("X-RateLimit-Limit", str(window["limit"])),
                ("X-RateLimit-Remaining", str(left - 1))], None

    def not_found(self):
        return refusal(404, "The resource cannot be found.").answer

    def seen(self, request, org):
        """The organization's repositories. Who says nothing gets a page to sign in, with status 203."""
        if request.token.kind == "anonymous":
            raise Refusal(
                Answer(b"<!DOCTYPE html><title>Azure DevOps Services | Sign In</title>", 203,
                       [("Content-Type", "text/html; charset=utf-8")]))
        owner = self.state.account(org)
        if owner is None:
            raise refusal(404, f"The organization {org} does not exist.")
        rows = self.state.listing(
            lambda r: r["owner"] == owner["login"] and self.tokens.sees(request.token, r), "name")
        return rows[:]

    def projects(self, request, org):
        names = sorted({r["project"] for r in self.seen(request, org)})
        size, begin = request.number("$top", 100, 1,
                                     1000), request.number("continuationToken", 0, 0, len(names))
        found, end = names[begin:begin + size], begin + size
        more = [("x-ms-continuationtoken", str(end))] if end < len(names) else []
        return Answer(
            {"count": len(found), "value": [self.project(request.base, org, n) for n in found]},
            headers=more)

    def repositories(self, request, org, project):
        rows = [r for r in self.seen(request, org) if r["project"].lower() == project.lower()]
        if not rows:
            raise refusal(404, f"TF200016: The following project does not exist: {project}.")
        return self.listed(request, rows)

    def all_repositories(self, request, org):
        return self.listed(request, self.seen(request, org))

    def repository(self, request, org, id):
        for row in self.seen(request, org):
            if number_as_uuid(row["id"]) == id:
                return Answer(self.row(request.base, row))
        raise refusal(404, f"TF401019: The Git repository with name or identifier {id} does not exist.")

    def listed(self, request, rows):
        return Answer({"value": [self.row(request.base, r) for r in rows], "count": len(rows)},
                      listed=rows)

    def project(self, base, org, name):
        number = number_as_uuid(sum(name.encode()) << 20)
        return {
            "id": number, "name": name, "url": f"{base}/azure/{org}/_apis/projects/{number}",
            "state": "wellFormed", "revision": 1, "visibility": "private",
            "lastUpdateTime": "2024-01-01T00:00:00Z"
        }

    def row(self, base, this):
        web = f"{base}/azure/{this['owner']}/{this['project']}/_git/{this['name']}"
        number = number_as_uuid(this["id"])
        row = {
            "id": number, "name": this["name"],
            "url": f"{base}/azure/{this['owner']}/_apis/git/repositories/{number}",
            "project": self.project(base, this["owner"], this["project"]),
            "size": this["size_kb"] * 1024, "remoteUrl": this["clone_url"] or web,
            "sshUrl": f"git@ssh.localhost:v3/{this['owner']}/{this['name']}", "webUrl": web,
            "isDisabled": this["disabled"], "isInMaintenance": False
        }
        # An empty one has no default branch, a fork says that it is one.
        if not this["empty"]:
            row["defaultBranch"] = "refs/heads/" + this["default_branch"]
        return row | ({"isFork": True} if this["fork"] else {})
