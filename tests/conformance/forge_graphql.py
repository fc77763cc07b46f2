"""Checks the stand-in forge's GraphQL against GitHub's schema (npm's @octokit/graphql-schema) with a foreign
implementation (PyPI's graphql-core): the queries are valid, and executing them over the stand-in's answer gives
that answer, so every field has its type.

usage: forge_graphql.py SCHEMA.graphql
"""

import pathlib
import sys
import tempfile

import graphql

SUPPORT = pathlib.Path(__file__).resolve().parents[1] / "support"
sys.path.insert(0, str(SUPPORT))
from forge_client import ForgeProcess, make_certificate  # noqa: E402

# Everything that the stand-in can say of a repository.
REPOSITORY = """databaseId id name nameWithOwner isFork isArchived isDisabled isPrivate isEmpty isTemplate diskUsage
    pushedAt createdAt url visibility"""
QUERIES = [
    """query($login: String!, $after: String) { organization(login: $login) {
        repositories(first: 2, after: $after, isFork: true) {
            nodes { databaseId parent { databaseId nameWithOwner } } pageInfo { hasNextPage endCursor } } } }""",
    """query { r0: repository(owner: "acme", name: "app") {
            databaseId parent { databaseId parent { databaseId parent { databaseId } } } }
        r1: repository(owner: "acme", name: "fork2") { databaseId parent { databaseId parent { databaseId } } } }""",
    """query($login: String!) { rateLimit { limit cost used remaining resetAt } viewer { login }
        repositoryOwner(login: $login) { login id repositories(
            first: 50, orderBy: {field: PUSHED_AT, direction: DESC}) { totalCount
            nodes { %s parent { %s } } pageInfo { hasNextPage hasPreviousPage endCursor } } }
        organization(login: $login) { login databaseId id } user(login: "person") { login databaseId id } }
    """ % (REPOSITORY, REPOSITORY),
]
CONFIG = {
    "repositories": [{"id": 1, "owner": "acme", "name": "app", "visibility": "internal"}] + [{
        "id": i, "owner": "acme", "name": f"fork{i}", "fork": True, "parent_id": 1 if i != 4 else 99
    } for i in range(2, 6)],
    "users": ["person"],
    "tokens": {"reader": {"value": "for-reading", "login": "person"}},
}


def main():
    # Its text defines two fields of EnterpriseOwnerInfo twice; that is not to be complained of.
    schema = graphql.build_schema(pathlib.Path(sys.argv[1]).read_text(), assume_valid_sdl=True)
    with tempfile.TemporaryDirectory() as folder:
        make_certificate(folder)
        forge = ForgeProcess(folder, CONFIG)
        try:
            for query in QUERIES:
                variables = {"login": "acme"}
                reply = forge.request("/api/graphql", "for-reading", "POST",
                                      {"query": query, "variables": variables})
                answer = reply.json()
                assert reply.status == 200 and "errors" not in answer, answer
                document = graphql.parse(query)
                errors = graphql.validate(schema, document)
                assert not errors, errors
                # An interface's type is not in the answer; the owner of this one is an organization. An
                # answer has fields under the names that the query gives them.
                again = graphql.execute_sync(schema, document, answer["data"],
                                             variable_values=variables,
                                             field_resolver=lambda source, info, **_: source[info.path.key],
                                             type_resolver=lambda *_: "Organization")
                assert not again.errors, again.errors
                assert again.data == answer["data"], (again.data, answer["data"])
        finally:
            forge.stop()
    print(f"{len(QUERIES)} answers are as {pathlib.Path(sys.argv[1]).name} describes them")


main()
