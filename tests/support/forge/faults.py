"""Misbehaviour on command.

A fault: {match: a regular expression that is searched in "METHOD /path?query", of the API or of git,
  match_body: another one, that is searched in what the request carries (as sent: git compresses long ones),
  times: how often it is applied (1; null: for ever), after: how many matches it lets pass before (0),
  kind: one of
    status      answers `status` with `headers` ({name: value}) and `body` (a text, or JSON)
    secondary   GitHub's secondary limit: 403, retry-after `seconds` (60)
    primary     GitHub's primary limit: 403, x-ratelimit-remaining 0, reset in `seconds` (60)
    garbage     200 and JSON that breaks off
    huge        200 and a JSON array without end (at most `bytes`, 1 GiB)
    html        200 and a page that asks to sign in
    redirect    `status` (302) to `location`, in which {path} stands for the path and query asked for
    stall       no answer until the client goes away, `seconds` (600) at most; with `bytes`, the true answer's
                first ones come before
    endless     for git's request for objects: a pack that goes on for ever (at most `bytes`, 1 TiB), at
                `bytes_per_second`
    endless_refs  for git's request for refs: a list that goes on for ever (at most `bytes`, 1 GiB)
    slow        the true answer at `bytes_per_second`
    cut         the true answer, the connection closed after `bytes` of its content
    shift_page  the true answer; then a repository appears at the front of that listing (`repository`: fields of
                it; an id, a name and dates that put it first are made up where they are missing)
    change      the true answer; then a repository is changed (`repository`: its id and fields)
    vanish      the repository `id` (for git by default the one asked for) is gone: for a request of git before
                it is answered, for one of the API after}
The first fault that applies to a request is the only one.
"""
import json
import os
import re
import time
import zlib

from .state import timestamp

KINDS = ("status", "secondary", "primary", "garbage", "huge", "html", "redirect", "stall",
         "endless", "endless_refs", "slow", "cut", "shift_page", "change", "vanish")


class Fault:

    def __init__(self, spec):
        self.spec, self.kind = spec, spec["kind"]
        if self.kind not in KINDS:
            raise ValueError(f"unknown kind of fault: {self.kind}")
        self.pattern = re.compile(spec["match"])
        self.body = re.compile(spec.get("match_body", "").encode())
        self.times, self.after = spec.get("times", 1), spec.get("after", 0)

    def get(self, key, default=None):
        return self.spec.get(key, default)

    def applies(self, line, body):
        if self.times == 0 or not self.pattern.search(line) or not self.body.search(body):
            return False
        if self.after:
            self.after -= 1
            return False
        if self.times is not None:
            self.times -= 1
        return True


class Faults:
    """Guarded by the state's lock."""

    def __init__(self):
        self.faults = []

    def set(self, specs):
        self.faults = [Fault(s) for s in specs]

    def next(self, line, body):
        return next((f for f in self.faults if f.applies(line, body)), None)


def instead(fault, path, now):
    """(status, headers, content) of a fault that takes the place of the answer, or None for one that does not."""
    json_type = ("Content-Type", "application/json; charset=utf-8")
    if fault.kind == "status":
        body = fault.get("body", {"message": "a fault of the test"})
        content = body if isinstance(body, str) else json.dumps(body)
        return fault.get("status"), [json_type, *fault.get("headers", {}).items()], content.encode()
    if fault.kind == "secondary":
        content = {
            "message":
                "You have exceeded a secondary rate limit. Please wait a few minutes before you try "
                "again.",
            "documentation_url": "https://docs.github.com/rest/overview/rate-limits-for-"
                                 "the-rest-api#about-secondary-rate-limits", "status": "403"
        }
        return 403, [json_type, ("Retry-After", str(fault.get("seconds",
                                                              60)))], json.dumps(content).encode()
    if fault.kind == "primary":
        content = {
            "message": "API rate limit exceeded for user ID 1.",
            "documentation_url": "https://docs.github.com/rest/overview/rate-limits-for-the-rest-api",
            "status": "403"
        }
        headers = [("X-RateLimit-Limit", "5000"), ("X-RateLimit-Remaining", "0"),
                   ("X-RateLimit-Used", "5000"), ("X-RateLimit-Resource", "core"),
                   ("X-RateLimit-Reset", str(int(now + fault.get("seconds", 60)) + 1))]
        return 403, [json_type, *headers], json.dumps(content).encode()
    if fault.kind == "garbage":
        return 200, [json_type], b'[{"id": 1, "name": "brok'
    if fault.kind == "html":
        page = b"<!DOCTYPE html><html><title>Sign in</title><form action=/login><input name=password></form></html>"
        return 200, [("Content-Type", "text/html; charset=utf-8")], page
    if fault.kind == "redirect":
        return fault.get("status",
                         302), [("Location", fault.get("location").replace("{path}", path))], b""
    return None


def endless(limit):
    """The pieces of a JSON array that never closes."""
    yield b"["
    piece = b'{"id":1,"name":"x","full_name":"x/x"},' * 1700
    for _ in range(limit // len(piece)):
        yield piece


def packet(content):
    return b"%04x%s" % (len(content) + 4, content)


def endless_pack(second_version, limit):
    """git's answer to a clone, in packets: one blob after the other, of more than there can ever be."""
    size, count = 60_000, 1 << 20
    yield packet(b"packfile\n") if second_version else packet(b"NAK\n")
    yield packet(b"\1PACK" + (2).to_bytes(4, "big") + count.to_bytes(4, "big"))
    head, rest = [0xb0 | size & 15], size >> 4  # a blob's type and size, as gitformat-pack has them
    while rest:
        head.append(rest & 127 | (128 if rest > 127 else 0))
        rest >>= 7
    noise = os.urandom(size - 4)
    for number in range(min(count, limit // size)):
        yield packet(b"\1" + bytes(head) + zlib.compress(number.to_bytes(4, "big") + noise, 0))


def endless_refs(limit):
    """A list of refs of git's first protocol, in pieces."""
    yield packet(b"# service=git-upload-pack\n") + b"0000"
    yield packet(b"%040x HEAD\0multi_ack side-band-64k ofs-delta\n" % 1)
    sent = number = 0
    while sent < limit:
        piece = b"".join(packet(b"%040x refs/heads/%0200d\n" % (1, number + i)) for i in range(1000))
        yield piece
        number, sent = number + 1000, sent + len(piece)


def shift(fault, state, listed):
    """Puts a repository at the front of the listing that was answered with the repositories `listed`."""
    made_up = max(
        list(state.repositories) + [s.first_id + s.count for s in state.generated], default=0) + 1
    given = fault.get("repository", {})
    owner = given.get("owner") or (listed[0]["owner"] if listed else None)
    if owner is None:
        return
    rising = bool(listed) and listed[0]["created_at"] < listed[-1]["created_at"]
    date = timestamp(0 if rising else time.time())
    state.change({
        "id": made_up, "owner": owner, "name": f"0-shifted-{made_up}", "created_at": date,
        "pushed_at": date, "updated_at": date
    } | given)
