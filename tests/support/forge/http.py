"""What the forges' modules speak in: requests, answers, routes, pages."""
import dataclasses
import json
import re
import urllib.parse


@dataclasses.dataclass
class Request:
    method: str
    path: str  # still percent-encoded
    query: dict
    body: bytes
    base: str  # "https://localhost:1234", as the client calls this server
    token: object

    def url(self, path=None, **query):
        """The URL of `path` (this request's own by default) with some of the query changed; None removes."""
        changed = {
            k: v
            for k, v in (self.query |
                         {k: str(v) if v is not None else None for k, v in query.items()}).items()
            if v is not None
        }
        return self.base + (path or
                            self.path) + ("?" + urllib.parse.urlencode(changed) if changed else "")

    def number(self, name, default, least, most):
        """A number of the query, forced into its bounds; what is no number is as if absent."""
        try:
            return min(max(int(self.query.get(name, default)), least), most)
        except ValueError:
            return default


@dataclasses.dataclass
class Answer:
    content: object = None  # JSON, or bytes
    status: int = 200
    headers: list = dataclasses.field(default_factory=list)
    listed: list = dataclasses.field(
        default_factory=list)  # the repositories it speaks of, for shift_page

    def encoded(self):
        if isinstance(self.content, bytes):
            return self.content
        return b"" if self.content is None else json.dumps(self.content, separators=(",",
                                                                                     ":")).encode()


class Refusal(Exception):

    def __init__(self, answer):
        super().__init__(answer.status)
        self.answer = answer


class Route:
    """A method and a path template ("/orgs/{org}/repos"); each {name} is one percent-encoded segment."""

    def __init__(self, method, template, function):
        self.method, self.template, self.function = method, template, function
        self.pattern = re.compile(
            re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", template.replace(".", r"\.")) + "/?$")

    def match(self, method, path):
        found = self.pattern.match(path) if method == self.method else None
        return found and {k: urllib.parse.unquote(v) for k, v in found.groupdict().items()}


@dataclasses.dataclass
class Page:
    rows: list  # what lies on it
    number: int
    size: int
    last: int  # the number of the last page, at least 1
    total: int


def page(request, listing, size_name="per_page", size=30, most=100):
    """The page of `listing` that the query asks for by number."""
    size = request.number(size_name, size, 1, most)
    number = request.number("page", 1, 1, 1 << 40)
    return Page(listing[(number - 1) * size:number * size], number, size,
                max(1, -(-len(listing) // size)), len(listing))


def link(relations):
    """A Link header (RFC 8288) of [(relation, URL)], or none."""
    text = ", ".join(f'<{url}>; rel="{relation}"' for relation, url in relations)
    return [("Link", text)] if text else []


def numbered_links(request, page, path=None, relations=("prev", "next", "last", "first")):
    """Link as GitHub, GitLab and Gitea make it; on the only page there is none."""
    numbers = {
        "prev": page.number - 1 if page.number > 1 else None,
        "next": page.number + 1 if page.number < page.last else None,
        "last": page.last if page.number < page.last else None,
        "first": 1 if page.number > 1 else None
    }
    return link([
        (r, request.url(path, page=numbers[r])) for r in relations if numbers[r] is not None
    ])
