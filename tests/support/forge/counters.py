"""What was asked of the server and what it answered; never a token's value."""
import collections
import threading
import time


class Counters:

    def __init__(self):
        self.lock = threading.Lock()
        self.running = collections.Counter()  # requests under way, by kind
        self.reset()

    def reset(self):
        with self.lock:
            self.requests, self.statuses, self.templates = (collections.Counter() for _ in range(3))
            self.tokens = collections.defaultdict(collections.Counter)
            self.git_repositories = collections.Counter()
            self.most = collections.Counter({"git": self.git_running(), "api": self.running["api"]})
            self.git_bytes = self.faults = 0
            self.git_ended = None
            self.log = collections.deque(maxlen=2000)

    def git_running(self):
        return self.running["git-info-refs"] + self.running["git-upload-pack"]

    def begin(self, kind, template, fault):
        with self.lock:
            self.faults += fault is not None
            self.requests[kind] += 1
            self.templates[template] += 1
            self.running[kind] += 1
            self.most["git"] = max(self.most["git"], self.git_running())
            self.most["api"] = max(self.most["api"], self.running["api"] + self.running["graphql"])

    def end(self, kind, line, status, token, fault):
        with self.lock:
            self.running[kind] -= 1
            if kind.startswith("git-"):
                self.git_ended = time.time()
            self.statuses[str(status)] += 1
            self.tokens[kind][token] += 1
            self.log.append(f"{line} {status}" + (f" ({fault})" if fault else ""))

    def sent_on_git(self, count):
        with self.lock:
            self.git_bytes += count

    def repository(self, kind, name):
        with self.lock:
            self.git_repositories[f"{kind} {name}"] += 1

    def as_json(self):
        with self.lock:
            return {
                "requests": {
                    k: self.requests[k]
                    for k in ("api", "graphql", "git-info-refs", "git-upload-pack")
                },
                "statuses": self.statuses,
                "templates": self.templates,
                "not_modified": self.statuses["304"],
                "git_bytes": self.git_bytes,
                "git_ended": self.git_ended,  # when the last answer of git did, seconds since 1970; or null
                "git_repositories": self.git_repositories,  # "git-upload-pack acme/app": requests
                "max_concurrent_git": self.most["git"],
                "max_concurrent_api": self.most["api"],
                "tokens": self.tokens,  # kind: {token's name | "none" | "unknown": requests}
                "faults": self.faults,  # requests that a fault was applied to
                "log": list(self.log),  # "GET /api/v3/orgs/acme/repos 200"
            }
