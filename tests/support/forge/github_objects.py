"""GitHub's objects, as its OpenAPI description has them (tests/conformance/forge_answers.py checks that)."""
import base64
import json

from .state import complete, timestamp

EPOCH = "2015-01-01T00:00:00Z"
# Everything below that a repository's URL in the API is followed by.
API_PATHS = {
    "archive": "/{archive_format}{/ref}",
    "assignees": "/assignees{/user}",
    "blobs": "/git/blobs{/sha}",
    "branches": "/branches{/branch}",
    "collaborators": "/collaborators{/collaborator}",
    "comments": "/comments{/number}",
    "commits": "/commits{/sha}",
    "compare": "/compare/{base}...{head}",
    "contents": "/contents/{+path}",
    "contributors": "/contributors",
    "deployments": "/deployments",
    "downloads": "/downloads",
    "events": "/events",
    "forks": "/forks",
    "git_commits": "/git/commits{/sha}",
    "git_refs": "/git/refs{/sha}",
    "git_tags": "/git/tags{/sha}",
    "hooks": "/hooks",
    "issue_comment": "/issues/comments{/number}",
    "issue_events": "/issues/events{/number}",
    "issues": "/issues{/number}",
    "keys": "/keys{/key_id}",
    "labels": "/labels{/name}",
    "languages": "/languages",
    "merges": "/merges",
    "milestones": "/milestones{/number}",
    "notifications": "/notifications{?since,all,participating}",
    "pulls": "/pulls{/number}",
    "releases": "/releases{/id}",
    "stargazers": "/stargazers",
    "statuses": "/statuses/{sha}",
    "subscribers": "/subscribers",
    "subscription": "/subscription",
    "tags": "/tags",
    "teams": "/teams",
    "trees": "/git/trees{/sha}",
}
SAMPLE_ID = 876543210123456


def node_id(kind, number):
    return base64.b64encode(f"{len(kind):03}:{kind}{number}".encode()).decode()


def account(base, owner):
    """The schema simple-user."""
    login, api = owner["login"], f"{base}/api/v3/users/{owner['login']}"
    paths = {
        "followers": "/followers", "following": "/following{/other_user}",
        "gists": "/gists{/gist_id}", "starred": "/starred{/owner}{/repo}",
        "subscriptions": "/subscriptions", "organizations": "/orgs", "repos": "/repos",
        "events": "/events{/privacy}", "received_events": "/received_events"
    }
    return {
        "login": login,
        "id": owner["id"],
        "node_id": node_id(owner["type"], owner["id"]),
        "avatar_url": f"{base}/avatars/u/{owner['id']}",
        "gravatar_id": "",
        "url": api,
        "html_url": f"{base}/{login}",
        "type": owner["type"],
        "user_view_type": "public",
        "site_admin": False,
    } | {f"{name}_url": api + path for name, path in paths.items()}


def organization(base, owner, repositories):
    """The schema organization-full."""
    api = f"{base}/api/v3/orgs/{owner['login']}"
    return {
        "login": owner["login"], "id": owner["id"], "node_id": node_id("Organization",
                                                                       owner["id"]), "url": api,
        "repos_url": api + "/repos", "events_url": api + "/events", "hooks_url": api + "/hooks",
        "issues_url": api + "/issues", "members_url": api + "/members{/member}",
        "public_members_url": api + "/public_members{/member}",
        "avatar_url": f"{base}/avatars/u/{owner['id']}", "description": None,
        "html_url": f"{base}/{owner['login']}", "is_verified": False,
        "has_organization_projects": True, "has_repository_projects": True,
        "public_repos": repositories["public"], "public_gists": 0, "followers": 0, "following": 0,
        "created_at": EPOCH, "updated_at": EPOCH, "archived_at": None, "type": "Organization",
        "total_private_repos": repositories["private"],
        "owned_private_repos": repositories["private"]
    }


def private_user(base, owner, repositories):
    """The schema private-user: what /user says of the token's own."""
    return account(base, owner) | {
        "user_view_type": "private", "name": None, "company": None, "blog": "", "location": None,
        "email": None, "hireable": None, "bio": None, "public_repos":
            repositories["public"], "public_gists": 0, "followers": 0, "following": 0,
        "created_at": EPOCH, "updated_at": EPOCH, "private_gists": 0, "total_private_repos":
            repositories["private"], "owned_private_repos": repositories["private"],
        "disk_usage": 0, "collaborators": 0, "two_factor_authentication": True
    }


def repository(base, state, this):
    """The schema repository, which passes for minimal-repository too."""
    full = f"{this['owner']}/{this['name']}"
    api, web = f"{base}/api/v3/repos/{full}", f"{base}/{full}"
    host = base.partition("//")[2].partition(":")[0]
    zeros = ("stargazers", "watchers", "forks", "open_issues")
    return {
        "id": this["id"],
        "node_id": node_id("Repository", this["id"]),
        "name": this["name"],
        "full_name": full,
        "private": this["private"],
        "owner": account(base, state.account(this["owner"])),
        "html_url": web,
        "description": this["description"],
        "fork": this["fork"],
        "url": api,
    } | {f"{name}_url": api + path for name, path in API_PATHS.items()} | {
        "created_at": this["created_at"],
        "updated_at": this["updated_at"],
        "pushed_at": this["pushed_at"],
        "git_url": f"git://{host}/{full}.git",
        "ssh_url": f"git@{host}:{full}.git",
        "clone_url": this["clone_url"] or web + ".git",
        "svn_url": web,
        "homepage": None,
        "size": 0 if this["empty"] else this["size_kb"],
        "language": None,
        "has_issues": True,
        "has_projects": True,
        "has_downloads": True,
        "has_wiki": this["has_wiki"],
        "has_pages": False,
        "has_discussions": False,
        "mirror_url": None,
        "archived": this["archived"],
        "disabled": this["disabled"],
        "license": None,
        "allow_forking": True,
        "is_template": this["is_template"],
        "web_commit_signoff_required": False,
        "topics": this["topics"],
        "visibility": this["visibility"],
        "default_branch": this["default_branch"],
        "permissions":
            {"admin": False, "maintain": False, "push": False, "triage": False, "pull": True},
    } | {f"{name}_count": 0 for name in zeros} | {name: 0 for name in zeros[1:]}


def full_repository(base, state, this, sees):
    """The schema full-repository: a fork's parent and its network's source are in it, where they are seen."""
    row = repository(base, state, this) | {"network_count": 0, "subscribers_count": 0}
    owner = state.account(this["owner"])
    if owner["type"] == "Organization":
        row["organization"] = account(base, owner)
    parent = state.by_id(this["parent_id"]) if this["fork"] else None
    if parent is not None and sees(parent):
        source = parent
        while source["fork"] and (above := state.by_id(source["parent_id"])):
            source = above
        row |= {
            "parent": repository(base, state, parent), "source": repository(base, state, source)
        }
    return row


class Renderer:
    """JSON texts of repositories; the generated ones of an owner are all made from one text."""

    def __init__(self, state):
        self.state, self.samples = state, {}

    def text(self, base, this):
        if not this.get("generated"):
            return json.dumps(repository(base, self.state, this), separators=(",", ":"))
        key = (base, self.state.generation, this["owner"], this["private"])
        if key not in self.samples:
            sample = complete({
                "id": SAMPLE_ID, "owner": this["owner"], "name": "@NAME@",
                "private": this["private"], "created_at": "@DATE@", "pushed_at": "@DATE@",
                "updated_at": "@DATE@"
            })
            self.samples = {
                key: json.dumps(repository(base, self.state, sample), separators=(",", ":"))
            }
        return (self.samples[key].replace(str(SAMPLE_ID), str(this["id"])).replace(
            node_id("Repository", SAMPLE_ID),
            node_id("Repository",
                    this["id"])).replace("@NAME@",
                                         this["name"]).replace("@DATE@", this["created_at"]))

    def array(self, base, rows):
        return ("[" + ",".join(self.text(base, r) for r in rows) + "]").encode()


def installation(base, state, this, app):
    account_row = account(base, state.account(this["account"]))
    return {
        "id": this["id"], "account": account_row,
        "repository_selection": this.get("repository_selection", "all"),
        "access_tokens_url": f"{base}/api/v3/app/installations/{this['id']}/access_tokens",
        "repositories_url": f"{base}/api/v3/installation/repositories",
        "html_url": f"{base}/organizations/{this['account']}/settings/installations/{this['id']}",
        "app_id": app["id"], "app_slug": app.get("slug", "unsprawl-test"),
        "target_id": account_row["id"], "target_type": account_row["type"], "permissions": this.get(
            "permissions", {"contents": "read", "metadata": "read"}), "events": [],
        "created_at": EPOCH, "updated_at": EPOCH, "single_file_name": None,
        "has_multiple_single_files": False, "single_file_paths": [], "suspended_by": None,
        "suspended_at": EPOCH if this.get("suspended") else None
    }


def application(base, app, installations):
    slug = app.get("slug", "unsprawl-test")
    return {
        "id": app["id"], "slug": slug, "node_id": node_id("Integration", app["id"]),
        "client_id": f"Iv1.{app['id']:016x}",
        "owner": account(base, {"login": "app-owner", "id": 1, "type": "User"}), "name": slug,
        "description": None, "external_url": "https://example.com/",
        "html_url": f"{base}/github-apps/{slug}", "created_at": EPOCH, "updated_at": EPOCH,
        "permissions": app.get("permissions", {"contents": "read", "metadata": "read"}),
        "events": [], "installations_count": installations
    }


def gist(base, state, this):
    api, web = f"{base}/api/v3/gists/{this['id']}", f"{base}/gist/{this['id']}"
    owner = account(
        base,
        state.account(this["owner"]) or {"login": this["owner"], "id": 1, "type": "User"})
    name = this.get("file", "notes.txt")
    return {
        "url": api, "forks_url": api + "/forks", "commits_url": api + "/commits", "id": this["id"],
        "node_id": node_id("Gist", this["id"]), "git_pull_url": web + ".git",
        "git_push_url": web + ".git", "html_url": web, "files": {
            name: {
                "filename": name, "type": "text/plain", "language": "Text",
                "raw_url": f"{web}/raw/{name}", "size": 1
            }
        }, "public": this.get("public", True), "created_at": EPOCH,
        "updated_at": this.get("updated_at",
                               EPOCH), "description": this.get("description"), "comments": 0,
        "user": None, "comments_url": api + "/comments", "owner": owner, "truncated": False
    }


def activity(base, state, this, event, number):
    owner = state.account(this["owner"])
    return {
        "id": this["id"] * 1000 + number, "node_id": node_id("Activity", number),
        "before": event["before"], "after": event["after"], "ref": event["ref"],
        "timestamp": event.get("timestamp", timestamp(state.now())),
        "activity_type": event["activity_type"], "actor": account(base, owner)
    }
