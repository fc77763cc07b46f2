"""As much of GitHub's GraphQL as enumerating repositories wants: accounts, their repositories, parents, the limit.

A query is parsed and answered field by field: what was not asked for is not in the answer, what does not exist
is an error.
"""
import base64
import json
import re

from .github_objects import node_id
from .state import timestamp

TOKEN = re.compile(r'[_A-Za-z]\w*|\$\w+|"(?:[^"\\\n]|\\.)*"|-?\d+|[{}()\[\]:!,=|]|\S')


class Wrong(Exception):
    """The query is wrong; the text says how."""


class Parser:

    def __init__(self, text, variables):
        self.tokens = TOKEN.findall(re.sub(r"#[^\n]*", "", text))
        self.variables, self.at = variables, 0

    def peek(self):
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def take(self, wanted=None):
        token = self.peek()
        if not token or (wanted and token != wanted):
            raise Wrong(f"Parse error on {token!r}: expected {wanted or 'more'}")
        self.at += 1
        return token

    def document(self):
        if self.peek() == "query":
            self.take()
            while self.peek() not in ("{", ""):  # its name and the types of its variables
                self.take()
        return self.selection()

    def selection(self):
        """[(key in the answer, field, arguments, selection or None)]"""
        self.take("{")
        fields = []
        while self.peek() != "}":
            if self.peek() == ",":
                self.take()
                continue
            key = field = self.take()
            if self.peek() == ":":
                self.take()
                field = self.take()
            arguments = self.arguments() if self.peek() == "(" else {}
            fields.append((key, field, arguments, self.selection() if self.peek() == "{" else None))
        self.take("}")
        return fields

    def arguments(self, begin="(", end=")"):
        self.take(begin)
        arguments = {}
        while self.peek() != end:
            if self.peek() == ",":
                self.take()
                continue
            name = self.take()
            self.take(":")
            arguments[name] = self.value()
        self.take(end)
        return arguments

    def value(self):
        if self.peek() == "{":
            return self.arguments("{", "}")
        token = self.take()
        if token.startswith("$"):
            return self.variables.get(token[1:])
        if token.startswith('"') or re.fullmatch(r"-?\d+", token):
            return json.loads(token)
        return {"true": True, "false": False, "null": None}.get(token, token)


def select(kind, thing, fields):
    """The chosen fields of `thing`: {field: value, or a function of the arguments}."""
    if thing is None:
        return None
    if isinstance(thing, list):
        return [select(kind, t, fields) for t in thing]
    chosen = {}
    for key, field, arguments, inner in fields:
        if field not in thing:
            raise Wrong(f"Field '{field}' doesn't exist on type '{kind}'")
        value = thing[field](arguments) if callable(thing[field]) else thing[field]
        if value is not None and (inner is None) == isinstance(value, (dict, list)):
            raise Wrong(
                f"Field '{field}' {'must' if inner is None else 'must not'} have selections")
        chosen[key] = select(field, value, inner) if inner is not None else value
    return chosen


def answer(request, state, tokens):
    errors = []

    def repository(row, depth=2):
        parent = state.by_id(row["parent_id"]) if row["fork"] else None
        seen = parent is not None and tokens.sees(request.token, parent)
        return {
            "databaseId": row["id"], "id": node_id("Repository", row["id"]), "name": row["name"],
            "nameWithOwner": f"{row['owner']}/{row['name']}", "isFork": row["fork"],
            "isArchived": row["archived"], "isDisabled": row["disabled"],
            "isPrivate": row["private"], "isEmpty": row["empty"], "isTemplate": row["is_template"],
            "diskUsage": row["size_kb"], "pushedAt": row["pushed_at"],
            "createdAt": row["created_at"], "url": f"{request.base}/{row['owner']}/{row['name']}",
            "visibility": row["visibility"].upper(),
            "parent": repository(parent, depth - 1) if seen and depth else None
        }

    def repositories(owner, arguments):
        first = arguments.get("first")
        if not isinstance(first, int) or not 1 <= first <= 100:
            raise Wrong(
                "You must provide a `first` value between 1 and 100 to properly paginate the `repositories` "
                "connection.")
        fork = arguments.get("isFork")
        order = arguments.get("orderBy") or {}
        key = {"NAME": "name", "PUSHED_AT": "pushed_at",
               "CREATED_AT": "created_at"}.get(order.get("field"), "id")
        rows = state.listing(
            lambda r: r["owner"] == owner and fork in
            (None, r["fork"]) and tokens.sees(request.token, r), key,
            order.get("direction") == "DESC")
        begin = 0
        if arguments.get("after"):
            try:
                begin = int(base64.b64decode(arguments["after"]).decode().removeprefix("cursor:"))
            except ValueError:
                raise Wrong(
                    f"`{arguments['after']}` does not appear to be a valid cursor.") from None
        nodes = rows[begin:begin + first]
        end = begin + len(nodes)
        cursor = base64.b64encode(f"cursor:{end}".encode()).decode()
        return {
            "nodes": [repository(r) for r in nodes], "totalCount": len(rows), "pageInfo": {
                "hasNextPage": end < len(rows), "endCursor": cursor if nodes else None,
                "hasPreviousPage": begin > 0
            }
        }

    def account(field, type_name, login):
        found = state.account(login or "")
        if found is None or (type_name and found["type"] != type_name):
            errors.append({
                "type": "NOT_FOUND", "path": [field], "message":
                    f"Could not resolve to {'an Organization' if type_name == 'Organization' else 'a User'} "
                    f"with the login of '{login}'."
            })
            return None
        return {
            "login": found["login"], "databaseId": found["id"],
            "id": node_id(found["type"], found["id"]),
            "repositories": lambda arguments: repositories(found["login"], arguments)
        }

    def named(owner, name):
        found = state.listing(lambda r: r["owner"] == owner and r["name"] == name and tokens.sees(
            request.token, r))[0:1]
        if not found:
            errors.append({
                "type": "NOT_FOUND", "path": ["repository"],
                "message": f"Could not resolve to a Repository with the name '{owner}/{name}'."
            })
            return None
        return repository(found[0], 4)

    window = tokens.window(request.token, "graphql")
    query = {
        "organization": lambda a: account("organization", "Organization", a.get("login")),
        "user": lambda a: account("user", "User", a.get("login")),
        "repositoryOwner": lambda a: account("repositoryOwner", None, a.get("login")),
        "repository": lambda a: named(a.get("owner"), a.get("name")),
        "viewer": {"login": request.token.config.get("login", "someone")},
        "rateLimit": {
            "limit": window["limit"], "cost": 1, "used": window["used"],
            "remaining": window["limit"] - window["used"], "resetAt": timestamp(window["reset"])
        },
    }
    try:
        asked = json.loads(request.body)
        fields = Parser(asked["query"], asked.get("variables") or {}).document()
        data = select("Query", query, fields)
    except (ValueError, KeyError, TypeError):
        return {
            "errors": [{"message": "A query attribute must be specified and must be a string."}]
        }
    except Wrong as wrong:
        return {"errors": [{"message": str(wrong)}]}
    return {"data": data} | ({"errors": errors} if errors else {})
