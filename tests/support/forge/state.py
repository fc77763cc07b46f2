"""What the stand-in forge knows: accounts, repositories, settings; one model, spoken of by every forge.

A repository's fields (all but id, owner and name may be absent):
  id, owner ("acme", on GitLab also "acme/sub"), name, project (Azure DevOps; "main"),
  path (a local bare repository; absent: it is listed and cannot be cloned), wiki_path,
  fork, parent_id, archived, disabled, private, visibility, is_template, empty, size_kb, default_branch,
  topics, has_wiki, description, created_at, pushed_at, updated_at,
  clone_url (said in listings instead of the true one),
  activity ([{activity_type, before, after, ref, timestamp}], newest first),
  git_config ({key: value} for its git http-backend).
"""
import copy
import datetime
import threading
import time
import zlib

# The settings and what they are without a word in the configuration.
DEFAULTS = {
    "repositories": [],
    "generate": [
    ],  # [{count, owner, private, first_id}], or one of them: repositories that are only listed
    "users": [],  # logins (or {login, id}) that are users; every other owner is an organization
    "organizations": [],  # logins (or {login, id}) of organizations that may own nothing
    "gists": [],  # [{id (hexadecimal), owner, path, public, description, updated_at}]
    "snippets": [
    ],  # GitLab's: [{id, owner (a login), project_id (absent: personal), path, visibility, http_url_to_repo}]
    "members": {},  # organization: [logins]
    "installations": [
    ],  # [{id, account, repository_selection, repository_ids, permissions, suspended}]
    "app": None,  # {id, slug, public_pem | public_pem_file}
    "tokens": {},  # name: see tokens.py
    "anonymous_git": False,  # public repositories are cloned without a word
    "anonymous_rate_limit": 60,
    "rate_limit_window_seconds": 3600,
    "installation_token_seconds": 3600,
    "git_bytes_per_second": None,  # over all answers of git together
    "git_latency": 0,  # seconds before each answer of git
    "git_config": {"uploadpack.allowAnySHA1InWant": "true"},  # as github.com has it
    "clock_offset": 0,  # seconds by which this server's clock is ahead
    "gitlab_group_keyset": False,  # GitLab itself ignores pagination=keyset for a group's projects
    "etag_of_content": False,  # whether an ETag stands as long as the content does, whatever follows it
    "link_on_304": False,  # whether a 304 repeats Link: no standard asks for it
    "faults": [],  # see faults.py
}
GENERATED_NAME = "repository-%07d"


def merge(target, patch):
    """RFC 7396: null removes, objects are merged, everything else replaces."""
    for key, value in patch.items():
        if value is None:
            target.pop(key, None)
        elif isinstance(value, dict) and isinstance(target.get(key), dict):
            merge(target[key], value)
        else:
            target[key] = value


def timestamp(seconds):
    return datetime.datetime.fromtimestamp(seconds,
                                           datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def complete(repository):
    """`repository` with every field that it lacks."""
    made = timestamp(1420070400 + repository["id"] % 300_000_000)  # so ids and dates have one order
    # `private` and `visibility` say one thing; where both are given, visibility wins.
    visibility = repository.get("visibility") or ("private"
                                                  if repository.get("private") else "public")
    return {
        "project": "main",
        "path": None,
        "wiki_path": None,
        "fork": False,
        "parent_id": None,
        "archived": False,
        "disabled": False,
        "is_template": False,
        "empty": False,
        "size_kb": 1,
        "default_branch": "main",
        "topics": [],
        "description": None,
        "created_at": made,
        "pushed_at": made,
        "updated_at": repository.get("pushed_at") or made,
        "clone_url": None,
        "activity": [],
        "git_config": {},
        "has_wiki": bool(repository.get("wiki_path")),
    } | repository | {"visibility": visibility, "private": visibility != "public"}


class Generated:
    """Repositories of one owner that are made when asked for."""

    def __init__(self, spec):
        self.owner, self.count = spec["owner"], spec["count"]
        self.first_id = spec.get("first_id", 1_000_000)
        self.private = spec.get("private", False)
        self.gone = set()

    def indexes(self):
        return range(
            self.count) if not self.gone else [i for i in range(self.count) if i not in self.gone]

    def repository(self, index):
        return complete({
            "id": self.first_id + index, "owner": self.owner, "private": self.private,
            "name": GENERATED_NAME % index, "generated": True
        })

    def by_id(self, number):
        index = number - self.first_id
        return self.repository(
            index) if 0 <= index < self.count and index not in self.gone else None

    def by_name(self, owner, name):
        number = name.rpartition("-")[2]
        if owner.lower() != self.owner.lower(
        ) or not number.isdigit() or name != GENERATED_NAME % int(number):
            return None
        return self.by_id(self.first_id + int(number))


class Listing:
    """A sorted sequence of repositories, the generated ones after the others; only what is sliced is made."""

    def __init__(self, repositories, generated, reverse):
        self.parts = [(len(repositories), repositories.__getitem__)]
        for source in generated:
            indexes = source.indexes()
            self.parts.append((len(indexes), lambda i, s=source, n=indexes: s.repository(n[i])))
        self.total, self.reverse = sum(count for count, _ in self.parts), reverse

    def __len__(self):
        return self.total

    def __getitem__(self, places):
        chosen = []
        for place in range(*places.indices(self.total)):
            place = self.total - 1 - place if self.reverse else place
            for count, get in self.parts:
                if place < count:
                    chosen.append(get(place))
                    break
                place -= count
        return chosen


class State:
    """Guarded by `lock`, which every reader and writer holds."""

    def __init__(self, config):
        self.lock = threading.RLock()
        self.generation = 0  # grows with every change: what was said of an earlier one is stale
        self.settings = copy.deepcopy(DEFAULTS)
        self.repositories, self.moved, self.generated = {}, {}, []
        self.set(config)

    def now(self):
        return time.time() + self.settings["clock_offset"]

    def set(self, patch):
        unknown = patch.keys() - DEFAULTS.keys()
        if unknown:
            raise ValueError(f"unknown settings: {sorted(unknown)}")
        merge(self.settings, patch)
        self.settings = copy.deepcopy(DEFAULTS) | self.settings
        if "repositories" in patch:
            self.repositories = {r["id"]: complete(r) for r in patch["repositories"] or []}
        if "generate" in patch:
            specs = patch["generate"] or []
            self.generated = [Generated(s) for s in (specs if isinstance(specs, list) else [specs])]
        self.index()

    def change(self, patch):
        """Adds a repository, changes its fields, or removes it ({"id": …, "deleted": true})."""
        number = patch["id"]
        old = self.by_id(number)
        if patch.get("deleted"):
            self.remove(number)
            return
        new = dict(old or {})
        for key in {"visibility", "private"} & patch.keys():  # the one that is changed decides
            new.pop("private" if key == "visibility" else "visibility", None)
        self.repositories[number] = complete(new | patch)
        if old and (old["owner"], old["name"]) != (self.repositories[number]["owner"],
                                                   self.repositories[number]["name"]):
            self.moved[old["owner"].lower(), old["name"].lower()] = number
        self.index()

    def remove(self, number):
        self.repositories.pop(number, None)
        for source in self.generated:
            if source.by_id(number):
                source.gone.add(number - source.first_id)
        self.index()

    def index(self):
        self.generation += 1
        self.names = {
            (r["owner"].lower(), r["name"].lower()): r["id"] for r in self.repositories.values()
        }
        self.index_accounts()

    def by_id(self, number):
        """The repository with this number, or None; `number` may be None, too."""
        if number in self.repositories:
            return self.repositories[number]
        return number and next((r for s in self.generated if (r := s.by_id(number))), None)

    def by_name(self, owner, name):
        number = self.names.get((owner.lower(), name.lower()))
        if number is not None:
            return self.repositories[number]
        return next((r for s in self.generated if (r := s.by_name(owner, name))), None)

    def moved_to(self, owner, name):
        """What once had this name and now has another, or None."""
        return self.by_id(self.moved.get((owner.lower(), name.lower())))

    def listing(self, wanted, key="id", reverse=False):
        """The repositories for which wanted(repository) holds, by `key`, then id."""
        chosen = [r for r in self.repositories.values() if wanted(r)]
        chosen.sort(key=lambda r: (r[key].lower() if key == "name" else r[key], r["id"]))
        # The repositories of one Generated differ in nothing that is asked for.
        generated = [s for s in self.generated if s.count and wanted(s.repository(0))]
        return Listing(chosen, generated, reverse)

    def given_accounts(self, setting):
        return {
            a["login"]: a
            for a in ({"login": a} if isinstance(a, str) else a for a in self.settings[setting])
        }

    def index_accounts(self):
        users, organizations = self.given_accounts("users"), self.given_accounts("organizations")
        owners = {r["owner"] for r in self.repositories.values()
                 } | {s.owner for s in self.generated}
        # A group of GitLab exists when a subgroup does.
        owners |= {o[:i] for o in owners for i, letter in enumerate(o) if letter == "/"}
        owners |= users.keys() | organizations.keys() | {
            i["account"] for i in self.settings["installations"]
        }
        self.accounts = {
            login.lower(): {
                "login": login, "id": zlib.crc32(login.encode()) % 100_000_000 + 1,
                "type": "User" if login in users else "Organization"
            } | users.get(login, {}) | organizations.get(login, {}) for login in sorted(owners)
        }

    def account(self, login):
        """{login, id, type} in the spelling that the forge has, or None."""
        return self.accounts.get(login.lower())

    def account_by_id(self, number):
        return next((a for a in self.accounts.values() if a["id"] == number), None)
