"""Who asks: tokens, App JWTs, what each may see, and how often it may ask.

A token of the configuration: name: {value, kind ("user" or "installation"),
  login (of the user), scopes (a classic token's list), expires_at (RFC 3339 or seconds since 1970),
  expires_in (seconds from when it is set), rate_limit (a number of requests a window, or {limit, window_seconds}),
  repositories (the ids that a user's token sees of what is private; absent: all),
  sso_hidden (true: private repositories of organizations are left out; "required": listing one is refused),
  installation_id, repository_ids, permissions (an installation's token)}.
"""
import base64
import datetime
import json
import secrets
import subprocess
import tempfile


class Refused(Exception):
    """The credential is no good; `reason` is one of bad, expired, jwt and a sentence follows."""

    def __init__(self, reason, message):
        super().__init__(message)
        self.reason, self.message = reason, message


class Token:

    def __init__(self, name, kind, config):
        self.name, self.kind, self.config = name, kind, config

    def __repr__(self):
        return f"Token({self.name})"  # never its value


ANONYMOUS = Token("none", "anonymous", {})


def seconds(moment):
    if isinstance(moment, (int, float)):
        return moment
    return datetime.datetime.fromisoformat(moment.replace("Z", "+00:00")).timestamp()


class Tokens:
    """Guarded by the state's lock."""

    def __init__(self, state):
        self.state = state
        self.issued = {}  # value: Token, for installation tokens made on the way
        self.verified = set()  # JWTs whose signature was found right
        self.windows = {}
        self.set_at = {}

    def authenticate(self, value):
        """The token with this value. Raises Refused."""
        if value is None:
            return ANONYMOUS
        if value.count(".") == 2 and value.startswith("eyJ"):
            return self.app(value)
        token = self.issued.get(value) or next(
            (Token(name, c.get("kind", "user"), c)
             for name, c in self.state.settings["tokens"].items()
             if secrets.compare_digest(c["value"].encode(), value.encode())), None)
        if token is None:
            raise Refused("bad", "Bad credentials")
        expiry = self.expiry(token)
        if expiry is not None and self.state.now() >= expiry:
            raise Refused("expired", "Bad credentials")
        return token

    def expiry(self, token):
        """Seconds since 1970, or None."""
        if "expires_in" in token.config:
            begun = self.set_at.setdefault((token.name, token.config["expires_in"]),
                                           self.state.now())
            return begun + token.config["expires_in"]
        return seconds(token.config["expires_at"]) if "expires_at" in token.config else None

    def note_expiries(self):
        """Called when settings change: expires_in counts from then."""
        for name, config in self.state.settings["tokens"].items():
            self.expiry(Token(name, "user", config))

    def app(self, jwt):
        """As GitHub checks an App's JWT: RS256, iss, iat not ahead, exp at most ten minutes ahead."""
        app = self.state.settings["app"]
        try:
            head, claims, signature = (
                base64.urlsafe_b64decode(p + "=" * (-len(p) % 4)) for p in jwt.split("."))
            head, claims = json.loads(head), json.loads(claims)
        except ValueError:
            raise Refused("jwt", "A JSON web token could not be decoded") from None
        if app is None or head.get("alg") != "RS256" or str(claims.get("iss")) != str(app["id"]):
            raise Refused("jwt", "A JSON web token could not be decoded")
        now, begin, end = self.state.now(), claims.get("iat"), claims.get("exp")
        if not isinstance(begin, int) or begin > now:
            raise Refused(
                "jwt",
                "'Issued at' claim ('iat') must be an Integer representing the time that the "
                "assertion was issued")
        if not isinstance(end, int) or end <= now:
            raise Refused(
                "jwt",
                "'Expiration time' claim ('exp') must be a numeric value representing the future "
                "time at which the assertion expires")
        if end > now + 600:
            raise Refused("jwt", "'Expiration time' claim ('exp') is too far in the future")
        if jwt not in self.verified and not signed_by(app,
                                                      jwt.rpartition(".")[0].encode(), signature):
            raise Refused("jwt", "A JSON web token could not be decoded")
        self.verified.add(jwt)
        return Token("app-jwt", "app", {"rate_limit": app.get("rate_limit", 5000)})

    def issue(self, installation, repository_ids, permissions):
        """A token for an installation, or for some of its repositories. Returns (value, Token)."""
        value = "gh" + "s_" + secrets.token_hex(18)
        token = Token(
            f"installation-{installation['id']}", "installation", {
                "installation_id": installation["id"],
                "permissions": permissions,
                "expires_at": self.state.now() + self.state.settings["installation_token_seconds"],
                "rate_limit": installation.get("rate_limit", 5000),
            } | ({} if repository_ids is None else {"repository_ids": repository_ids}))
        self.issued[value] = token
        return value, token

    def installation(self, token):
        wanted = token.config.get("installation_id")
        return next((i for i in self.state.settings["installations"] if i["id"] == wanted), None)

    def in_installation(self, installation, repository):
        return installation["account"].lower() == repository["owner"].lower() and (
            installation.get("repository_selection", "all") == "all" or
            repository["id"] in installation.get("repository_ids", []))

    def covers(self, token, repository):
        """Whether an installation's token is meant for the repository."""
        installation = self.installation(token)
        chosen = token.config.get("repository_ids")
        return (installation is not None and not installation.get("suspended") and
                self.in_installation(installation, repository) and
                (chosen is None or repository["id"] in chosen))

    def sees(self, token, repository):
        if not repository["private"]:
            return True
        if token.kind == "installation":
            return self.covers(token, repository)
        if token.kind != "user":
            return False
        if token.config.get("sso_hidden") and self.state.account(
                repository["owner"])["type"] != "User":
            return False
        return repository["id"] in token.config.get("repositories", [repository["id"]])

    def may_read_contents(self, token, repository):
        if token.kind == "installation" and not token.config.get(
                "permissions", {"contents": "read"}).get("contents"):
            return False
        return self.sees(token, repository)

    def window(self, token, resource):
        """The running count {limit, used, reset} of a token's requests; a new one when its time has come."""
        given = token.config.get("rate_limit", 5000)
        if token.kind == "anonymous":
            given = self.state.settings["anonymous_rate_limit"]
        limit, length = given, self.state.settings["rate_limit_window_seconds"]
        if isinstance(given, dict):
            limit, length = given["limit"], given.get("window_seconds", length)
        now, key = self.state.now(), (token.name, resource)
        if key not in self.windows or self.windows[key]["reset"] <= now:
            self.windows[key] = {"used": 0, "reset": now + length}
        self.windows[key]["limit"] = limit
        return self.windows[key]


def signed_by(app, message, signature):
    """Whether openssl finds the RS256 signature right."""
    with tempfile.TemporaryDirectory() as folder:
        key = app.get("public_pem_file")
        if key is None:
            key = folder + "/key"
            with open(key, "w") as file:
                file.write(app["public_pem"])
        with open(folder + "/signature", "wb") as file:
            file.write(signature)
        return subprocess.run(
            ["openssl", "dgst", "-sha256", "-verify", key, "-signature", folder + "/signature"],
            input=message, capture_output=True).returncode == 0
