"""The HTTPS side: finds who is asked (a forge's API or git), by whom, and which fault is due; counts; answers."""
import base64
import collections
import hashlib
import re
import select
import socket
import threading
import time
import urllib.parse
from email.utils import formatdate

from git_http import GitHttpHandler

from . import azure, bitbucket, faults, gitea, github, gitlab
from .counters import Counters
from .http import Answer, Refusal, Request
from .state import State
from .tokens import ANONYMOUS, Refused, Tokens

# Where each forge has its repositories. The last is for every other path.
GIT_PATHS = [(forge, re.compile(pattern + "$", re.ASCII)) for forge, pattern in [
    ("azure", r"/azure/(?P<owner>[^/]+)/[^/]+/_git/(?P<name>[^/]+)"),
    ("bbdc", r"/bbdc/scm/(?P<owner>[^/]+)/(?P<name>[^/]+?)(\.git)?"),
    ("bitbucket-wiki", r"/bitbucket/(?P<owner>[^/]+)/(?P<name>[^/]+)\.git/wiki"),
    ("snippet", r"/bitbucket/snippets/(?P<owner>[^/]+)/(?P<name>[0-9]+)/[^/]+\.git"),
    ("bitbucket", r"/bitbucket/(?P<owner>[^/]+)/(?P<name>[^/]+?)(\.git)?"),
    ("gitea", r"/gitea/(?P<owner>[^/]+)/(?P<name>[^/]+?)(\.git)?"),
    ("snippet", r"/gitlab/((?P<owner>.+)/)?snippets/(?P<name>[0-9]+)(\.git)?"),
    ("gitlab", r"/gitlab/(?P<owner>.+)/(?P<name>[^/]+?)(\.git)?"),
    ("gist", r"/gist/(?P<owner>)(?P<name>[0-9a-f]+)(\.git)?"),
    ("github", r"/(?P<owner>[^/]+)/(?P<name>[^/]+?)(\.git)?"),
]]
GIT_ENDS = {
    "/info/refs": "git-info-refs", "/git-upload-pack": "git-upload-pack",
    "/git-receive-pack": "git-receive-pack"
}
CACHE_BYTES = 64 << 20
PIECE_BYTES = 16 << 10


class Cut(Exception):
    """The connection is to be closed in the middle of the answer."""


class Bandwidth:
    """Bytes a second of all git answers together."""

    def __init__(self):
        self.lock, self.free_at = threading.Lock(), 0.0

    def take(self, count, rate):
        with self.lock:
            self.free_at = free_at = max(time.monotonic(), self.free_at) + count / rate
        time.sleep(max(0.0, free_at - time.monotonic()))


class Cache:
    """Answers by what they depend on; the least recently used ones go first."""

    def __init__(self):
        self.rows, self.bytes = collections.OrderedDict(), 0

    def get(self, key):
        if key in self.rows:
            self.rows.move_to_end(key)
        return self.rows.get(key)

    def put(self, key, answer):
        self.rows[key] = answer
        self.bytes += len(answer.content)
        while self.bytes > CACHE_BYTES:
            self.bytes -= len(self.rows.popitem(last=False)[1].content)


class Forge:
    """Everything that the connections share."""

    def __init__(self, config):
        self.state = State(config)
        self.tokens, self.faults, self.counters = Tokens(self.state), faults.Faults(), Counters()
        self.cache, self.bandwidth = Cache(), Bandwidth()
        modules = [(github, github.GitHub), (gitlab, gitlab.GitLab), (bitbucket, bitbucket.Cloud),
                   (bitbucket, bitbucket.DataCenter), (gitea, gitea.Gitea), (azure, azure.Azure)]
        self.forges = [(module, forge(self.state, self.tokens)) for module, forge in modules]
        self.set(config)

    def set(self, patch):
        with self.state.lock:
            self.state.set(patch)
            self.tokens.note_expiries()
            if "faults" in patch:
                self.faults.set(patch["faults"] or [])

    def change(self, patch):
        with self.state.lock:
            self.state.change(patch)

    def route(self, method, path):
        """(module, forge, route, arguments) of an API's path, or None for one that belongs to no API."""
        for module, forge in self.forges:
            for route in forge.routes:
                if (arguments := route.match(method, path)) is not None:
                    return module, forge, route, arguments
        prefix = re.match(
            r"/(api/v3|api/graphql|gitlab/api|bitbucket/2\.0|bbdc/rest|gitea/api|azure/.*/_apis)\b",
            path)
        if prefix is None:
            return None
        names = {"api": 0, "gitlab": 1, "bitbucket": 2, "bbdc": 3, "gitea": 4, "azure": 5}
        module, forge = self.forges[names[prefix[1].partition("/")[0]]]
        return module, forge, None, {}


def credential(headers, schemes):
    """The token's value in the way that a forge takes it; None without one, "" in a way it does not take."""
    if "PRIVATE-TOKEN" in headers and "private-token" in schemes:
        return headers["PRIVATE-TOKEN"]
    scheme, _, value = headers.get("Authorization", "").partition(" ")
    if not scheme:
        return None
    if scheme.lower() not in schemes:
        return ""
    if scheme.lower() != "basic":
        return value.strip()
    try:
        return base64.b64decode(value).decode().partition(":")[2]
    except ValueError:
        return ""


class ForgeHandler(GitHttpHandler):
    server_version, sys_version = "forge", ""

    def setup(self):
        super().setup()
        self.forge, self.state = self.server.forge, self.server.forge.state

    def date_time_string(self, timestamp=None):
        return formatdate(self.state.now() if timestamp is None else timestamp, usegmt=True)

    # -- one request --

    def serve(self):
        body = self.body()
        path, _, query = self.path.partition("?")
        line = f"{self.command} {self.path}"
        self.rate, self.cut_after, self.stall, self.on_git, self.status, self.token_name = None, None, None, False, 0, "none"
        found = self.forge.route(self.command, path)
        git_path, kind = next((
            (path.removesuffix(end), kind) for end, kind in GIT_ENDS.items() if path.endswith(end)),
                              (path, "api"))
        self.on_git = found is None and kind != "api"
        if not self.on_git:
            kind = "graphql" if path.startswith("/api/graphql") else "api"
        template = found[2].template if found and found[2] else self.git_template(git_path, path)
        with self.state.lock:
            fault = self.forge.faults.next(line, body)
        self.forge.counters.begin(kind, f"{self.command} {template}", fault)
        self.counted = (kind, line, fault and fault.kind)
        try:
            self.apply_before(fault)
            if fault is not None and self.replaced_by(fault):
                return
            if self.on_git:
                self.answer_git(git_path, path.removeprefix(git_path), query, body, kind, fault)
            else:
                self.answer_api(found, path, query, body, fault)
        except Cut:
            self.close_connection = True
            self.before_end()
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)
        finally:
            self.before_end()

    do_GET = do_POST = serve

    def git_template(self, git_path, path):
        if not self.on_git:
            return "unknown"
        forge = next((forge for forge, pattern in GIT_PATHS if pattern.match(git_path)), "unknown")
        return f"{forge}:{{repository}}" + path.removeprefix(git_path)

    # -- faults --

    def apply_before(self, fault):
        if fault is not None and fault.kind == "slow":
            self.rate = fault.get("bytes_per_second")
        if fault is not None and (fault.kind == "cut" or (fault.kind == "stall" and fault.get("bytes"))):
            self.cut_after = fault.get("bytes", 0)
            self.stall = fault if fault.kind == "stall" else None

    def replaced_by(self, fault):
        """Answers in the fault's way where that is not the true answer."""
        if fault.kind == "stall" and self.stall is None:
            self.wait_for_end(fault)
        if fault.kind == "endless":
            self.write_head(200, [("Content-Type", "application/x-git-upload-pack-result"),
                                  ("Transfer-Encoding", "chunked")])
            second = "version=2" in self.headers.get("Git-Protocol", "")
            for piece in faults.endless_pack(second, fault.get("bytes", 1 << 40)):
                time.sleep(len(piece) / fault.get("bytes_per_second", 1e12))
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            raise Cut
        if fault.kind == "endless_refs":
            self.write_head(200, [("Content-Type", "application/x-git-upload-pack-advertisement"),
                                  ("Transfer-Encoding", "chunked")])
            for piece in faults.endless_refs(fault.get("bytes", 1 << 30)):
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            raise Cut
        if fault.kind == "huge":
            self.write_head(200, [("Content-Type", "application/json"),
                                  ("Transfer-Encoding", "chunked")])
            for piece in faults.endless(fault.get("bytes", 1 << 30)):
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            raise Cut
        answer = faults.instead(fault, self.path, self.state.now())
        if answer is not None:
            self.answer(*answer)
        return answer is not None

    def wait_for_end(self, fault):
        self.wfile.flush()
        # Nothing comes from a client that waits; what can be read is its going away.
        select.select([self.connection], [], [], fault.get("seconds", 600))
        raise Cut

    # -- what is written --

    def before_end(self):
        # Counted before the client can ask for the counters, or for anything else.
        if self.counted is not None:
            (kind, line, fault), self.counted = self.counted, None
            self.forge.counters.end(kind, line, self.status, self.token_name, fault)

    def write_head(self, status, headers):
        self.status = status
        super().write_head(status, headers)

    def write_content(self, content):
        """In pieces, at the speed that a fault or the settings allow, as far as a fault allows."""
        limit = self.state.settings["git_bytes_per_second"] if self.on_git else None
        if limit is None and self.rate is None and self.cut_after is None:
            self.count(len(content))
            self.wfile.write(content)
            return
        size = PIECE_BYTES if self.rate is None else max(1, min(PIECE_BYTES, int(self.rate / 20)))
        for begin in range(0, len(content), size):
            piece = content[begin:begin + size]
            if self.cut_after is not None and len(piece) >= self.cut_after:
                self.count(self.cut_after)
                self.wfile.write(piece[:self.cut_after])
                if self.stall is not None:
                    self.wait_for_end(self.stall)
                raise Cut
            if self.cut_after is not None:
                self.cut_after -= len(piece)
            if limit:
                self.forge.bandwidth.take(len(piece), limit)
            if self.rate:
                time.sleep(len(piece) / self.rate)
            self.count(len(piece))
            self.wfile.write(piece)
            self.wfile.flush()

    def count(self, number):
        if self.on_git:
            self.forge.counters.sent_on_git(number)

    # -- an API --

    def answer_api(self, found, path, query, body, fault):
        if found is None:
            self.answer(404, [("Content-Type", "text/plain")], b"Not Found\n")
            return
        module, forge, route, arguments = found
        pairs = dict(urllib.parse.parse_qsl(query, keep_blank_values=True))
        base = "https://" + (self.headers.get("X-Forwarded-Host") or self.headers.get(
            "Host", "localhost:%d" % self.server.server_address[1]))
        request = Request(self.command, path, pairs, body, base, ANONYMOUS)
        with self.state.lock:
            answer, extra = self.api_answer(module, forge, route, arguments, request)
            if fault is not None and fault.kind == "vanish":
                self.state.remove(fault.get("id"))
            if fault is not None and fault.kind == "change":
                self.state.change(fault.get("repository"))
            if fault is not None and fault.kind == "shift_page":
                faults.shift(fault, self.state, answer.listed)
        headers = answer.headers + extra
        if not any(name == "Content-Type" for name, _ in headers) and answer.status not in (204,
                                                                                            304):
            headers.append(("Content-Type", "application/json; charset=utf-8"))
        if answer.status == 304:
            self.write_head(304, headers)
            return
        self.answer(answer.status, headers, answer.content)

    def api_answer(self, module, forge, route, arguments, request):
        """(Answer with its content encoded, headers that change with every request)."""
        try:
            request.token = self.forge.tokens.authenticate(credential(self.headers, module.SCHEMES))
        except Refused as refused:
            self.token_name = "unknown"
            answer = module.unauthorized(refused).answer
            answer.content = answer.encoded()
            return answer, []
        self.token_name = request.token.name
        answer = self.true_answer(forge, route, arguments, request)
        etag = next((value for name, value in answer.headers if name == "ETag"), None)
        known = [
            tag.strip().removeprefix("W/")
            for tag in self.headers.get("If-None-Match", "").split(",")
        ]
        not_modified = etag is not None and etag.removeprefix("W/") in known
        extra, refused = forge.charge(request, route, not_modified)
        if refused is not None:
            refused.content = refused.encoded()
            return refused, extra
        if not_modified:
            kept = ("ETag", "Cache-Control", "Vary", *(["Link"] if self.state.settings["link_on_304"] else []))
            return Answer(b"", 304, [h for h in answer.headers if h[0] in kept]), extra
        return answer, extra

    def true_answer(self, forge, route, arguments, request):
        if route is None:
            answer = forge.not_found()
            answer.content = answer.encoded()
            return answer
        cached = route.method == "GET" and "rate_limit" not in route.template
        key = (self.state.generation, request.base, request.path,
               tuple(sorted(request.query.items())), request.token.name, str(request.token.config))
        if cached and (answer := self.forge.cache.get(key)) is not None:
            return answer
        try:
            answer = route.function(request, **arguments)
        except Refusal as refusal:
            answer = refusal.answer
        answer.content = answer.encoded()
        if cached and answer.status == 200:
            headers = "" if self.state.settings["etag_of_content"] else str(answer.headers)
            tag = hashlib.sha256(answer.content + headers.encode()).hexdigest()
            answer.headers += [("ETag", f'W/"{tag}"'),
                               ("Cache-Control", "private, max-age=60, s-maxage=60"),
                               ("Vary", "Accept, Authorization, Cookie")]
            self.forge.cache.put(key, answer)
        return answer

    # -- git --

    def answer_git(self, git_path, end, query, body, kind, fault):
        time.sleep(self.state.settings["git_latency"])
        service = urllib.parse.parse_qs(query).get("service", [""])[0]
        if kind == "git-receive-pack" or (kind == "git-info-refs" and service != "git-upload-pack"):
            self.answer(403, [("Content-Type", "text/plain")], b"this server is read-only\n")
            return
        with self.state.lock:
            repository, folder, location = self.find_git(urllib.parse.unquote(git_path))
            if fault is not None and fault.kind == "vanish":
                number = fault.get("id", repository and repository.get("id"))
                self.state.remove(number)
                if repository is not None and repository.get("id") == number:
                    repository = folder = location = None
            refused = self.refuse_git(repository)
            settings = self.state.settings["git_config"] | (repository or {}).get("git_config", {})
        if refused is not None:
            self.answer(*refused)
        elif location is not None and kind == "git-info-refs":
            # Only this one: git forgets a redirect that it met after it was asked for its password.
            self.answer(301, [("Location", location + end + ("?" + query if query else ""))], b"")
        elif folder is None:
            self.answer(404, [("Content-Type", "text/plain")], b"Repository not found.\n")
        else:
            self.forge.counters.repository(kind, f"{repository['owner']}/{repository['name']}")
            self.serve_git(folder, end, query, body, list(settings.items()))

    def find_git(self, path):
        """(repository, its folder, the path that it moved to) of a clone URL's path; each may be None."""
        for forge, pattern in GIT_PATHS:
            match = pattern.match(path)
            if match is None:
                continue
            owner, name = match["owner"], match["name"]
            if forge == "gist":
                gist = next((g for g in self.state.settings["gists"] if g["id"] == name), None)
                row = gist and {
                    "owner": gist["owner"], "name": "gist-" + name, "disabled": False,
                    "private": False
                }  # who knows a secret gist's address may read it
                return row, gist and gist.get("path"), None
            if forge == "snippet":
                return *self.find_snippet(owner, int(name)), None
            found = self.state.by_name(owner, name)
            if forge == "bitbucket-wiki":
                return found and found | {"name": name + ".wiki"}, found and found["wiki_path"], None
            if found is not None:
                return found, found["path"], None
            wiki = self.state.by_name(owner, name.removesuffix(".wiki"))
            if name.endswith(".wiki") and wiki is not None and forge in ("github", "gitlab", "gitea"):
                return wiki | {"name": name}, wiki["wiki_path"], None
            moved = self.state.moved_to(owner, name)
            if moved is not None:
                begin, last = match.span("owner")[0], match.span("name")[1]
                return moved, moved[
                    "path"], f"{path[:begin]}{moved['owner']}/{moved['name']}{path[last:]}"
        return None, None, None

    def find_snippet(self, owner, number):
        snippet = next((s for s in self.state.settings["snippets"] if s["id"] == number), None)
        project = snippet and self.state.by_id(snippet.get("project_id"))
        place = f"{project['owner']}/{project['name']}" if project else snippet and snippet.get("workspace")
        if snippet is None or place != owner:
            return None, None
        row = project or {"owner": snippet["owner"], "disabled": False, "private": False}
        return row | {"name": f"snippet-{number}"}, snippet.get("path")

    def refuse_git(self, repository):
        """What to say to who may not read it, or None."""
        text = [("Content-Type", "text/plain")]
        ask = (401, [("WWW-Authenticate", 'Basic realm="forge"')], b"Authentication required.\n")
        try:
            token = self.forge.tokens.authenticate(credential(self.headers, ("basic", "bearer")))
        except Refused:
            self.token_name = "unknown"
            return ask
        self.token_name = token.name
        public = repository is not None and not repository["private"] and self.state.settings[
            "anonymous_git"]
        if token.kind == "anonymous" and not public:
            return ask
        if repository is None or not self.forge.tokens.sees(token, repository):
            return 404, text, b"Repository not found.\n"
        if not self.forge.tokens.may_read_contents(token, repository):
            return 403, text, b"Write access to repository not granted.\n"
        if repository["disabled"]:
            return 403, text, b"Access to this repository has been disabled.\n"
        return None
