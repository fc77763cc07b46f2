"""The stand-in forge's APIs: that it behaves as the forges do, and misbehaves as it is told.

What GitHub's own description says of its answers is checked by tests/conformance/forge_answers.py, git by
forge_server_test.cc.
"""
import base64
import http.client
import pathlib
import sys
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from forge_client import ForgeProcess, app_jwt, make_app_key, make_certificate, run  # noqa: E402

GITHUB, GITLAB = "/api/v3", "/gitlab/api/v4"
TOKENS = {
    "reader": {"value": "value-of-reader", "login": "person", "scopes": ["repo", "read:org"]},
    "poor": {"value": "value-of-poor", "rate_limit": {"limit": 3, "window_seconds": 60}},
    "hidden": {"value": "value-of-hidden", "sso_hidden": True},
    "refused": {"value": "value-of-refused", "sso_hidden": "required"},
}


def organization(count, owner="acme", first=1, **fields):
    return [{"id": first + i, "owner": owner, "name": f"app-{first + i:04d}"} | fields
            for i in range(count)]


class ForgeTest(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.folder_owner = tempfile.TemporaryDirectory()
        cls.folder = cls.folder_owner.name
        make_certificate(cls.folder)
        cls.app_key = make_app_key(cls.folder)

    @classmethod
    def tearDownClass(cls):
        cls.folder_owner.cleanup()

    def start(self, **config):
        forge = ForgeProcess(self.folder, {"tokens": TOKENS} | config)
        self.addCleanup(forge.stop)
        return forge

    def get(self, forge, path, token="value-of-reader", status=200, **more):
        reply = forge.request(path, token, **more)
        self.assertEqual(reply.status, status, (path, reply.body[:300]))
        return reply

    def pages(self, forge, path, token="value-of-reader", **more):
        """Every row of a listing, by Link rel=next alone; and how many pages it had."""
        rows, count = [], 0
        while path:
            reply = self.get(forge, path, token, **more)
            rows, path, count = rows + reply.json(), reply.next(), count + 1
        return rows, count

    def refs(self, forge, name, token):
        """The status of what git asks for first."""
        password = base64.b64encode(f"x-access-token:{token}".encode()).decode()
        return forge.request(f"/acme/{name}.git/info/refs?service=git-upload-pack",
                             headers={"Authorization": "Basic " + password}).status

    # -- GitHub --

    def test_a_listing_is_complete_and_in_pages_whose_addresses_only_the_server_knows(self):
        forge = self.start(repositories=organization(250))
        rows, count = self.pages(forge, GITHUB + "/orgs/ACME/repos?per_page=1000&sort=created")
        self.assertEqual((count, [r["id"] for r in rows]), (3, list(range(250, 0, -1))))
        templates = forge.counters()["templates"]
        self.assertEqual(
            templates,
            {"GET /api/v3/orgs/{org}/repos": 1, "GET /api/v3/organizations/{id}/repos": 2})
        first = self.get(forge, GITHUB + "/orgs/acme/repos?per_page=100")
        self.assertRegex(first.headers["Link"], r'page=2>; rel="next", <.*page=3>; rel="last"$')
        rows, _ = self.pages(forge, GITHUB + "/orgs/acme/repos?sort=full_name")
        self.assertEqual([r["name"] for r in rows], sorted(r["name"] for r in rows))

    def test_what_did_not_change_is_said_in_304_and_costs_an_authorized_client_nothing(self):
        forge = self.start(repositories=organization(3))
        path = GITHUB + "/orgs/acme/repos"
        for token, cost in (("value-of-reader", 0), (None, 1)):
            first = self.get(forge, path, token)
            again = self.get(forge, path, token, 304,
                             headers={"If-None-Match": first.headers["ETag"]})
            self.assertEqual(again.body, b"")
            used = [int(r.headers["X-RateLimit-Used"]) for r in (first, again)]
            self.assertEqual(used[1] - used[0], cost)
        forge.change(id=2, pushed_at="2025-01-01T00:00:00Z")
        changed = self.get(forge, path, headers={"If-None-Match": first.headers["ETag"]})
        self.assertIn("2025-01-01T00:00:00Z", [r["pushed_at"] for r in changed.json()])
        self.assertEqual(forge.counters()["not_modified"], 2)
        path += "?per_page=1"
        tag = {"If-None-Match": self.get(forge, path).headers["ETag"]}
        self.assertIsNone(self.get(forge, path, status=304, headers=tag).next())
        forge.set(link_on_304=True)
        tag = {"If-None-Match": self.get(forge, path).headers["ETag"]}
        self.assertIsNotNone(self.get(forge, path, status=304, headers=tag).next())

    def test_a_limit_counts_down_refuses_and_is_new_at_its_reset(self):
        forge = self.start(repositories=organization(1))
        left = [
            int(
                self.get(forge, GITHUB + "/orgs/acme",
                         "value-of-poor").headers["X-RateLimit-Remaining"]) for _ in range(3)
        ]
        self.assertEqual(left, [2, 1, 0])
        refused = self.get(forge, GITHUB + "/orgs/acme", "value-of-poor", 403)
        self.assertEqual(refused.headers["X-RateLimit-Remaining"], "0")
        self.get(forge, GITHUB + "/rate_limit", "value-of-poor")
        wait = int(refused.headers["X-RateLimit-Reset"]) - time.time()
        self.assertLessEqual(wait, 61)
        self.get(forge, GITHUB + "/orgs/acme", "value-of-poor", 403)
        forge.set(clock_offset=wait)
        self.get(forge, GITHUB + "/orgs/acme", "value-of-poor")

    def test_a_token_ends_when_it_says_so(self):
        forge = self.start(repositories=organization(1))
        forge.set(tokens={"short": {"value": "value-of-short", "expires_in": 60}})
        reply = self.get(forge, GITHUB + "/user", "value-of-short")
        self.assertRegex(reply.headers["github-authentication-token-expiration"],
                         r"^\d{4}-\d\d-\d\d [\d:]{8} UTC$")
        forge.set(clock_offset=60)
        self.get(forge, GITHUB + "/user", "value-of-short", 401)
        self.get(forge, GITHUB + "/user", "mistyped", 401)
        self.get(forge, GITHUB + "/user", None, 401)

    def test_a_token_sees_what_it_may_and_the_headers_say_what_it_is(self):
        forge = self.start(
            repositories=organization(2) + organization(2, first=3, private=True) +
            organization(2, "person", 11, private=True) + organization(1, "person", 21),
            users=["person"],
            tokens=TOKENS | {"some": {"value": "value-of-some", "repositories": [3]}})
        listing = GITHUB + "/orgs/acme/repos"
        for token, count in ((None, 2), ("value-of-some", 3), ("value-of-reader", 4),
                             ("value-of-hidden", 2)):
            self.assertEqual(len(self.get(forge, listing, token).json()), count, token)
        acme = self.get(forge, GITHUB + "/orgs/acme").json()["id"]
        partial = "partial-results; organizations=%d" % acme
        self.assertEqual(
            self.get(forge, listing, "value-of-hidden").headers["X-GitHub-SSO"], partial)
        own = self.get(forge, GITHUB + "/user/repos", "value-of-hidden")
        self.assertEqual((len(own.json()), own.headers["X-GitHub-SSO"]), (5, partial))
        refused = self.get(forge, listing, "value-of-refused", 403)
        self.assertRegex(refused.headers["X-GitHub-SSO"], "^required; url=https://")
        self.assertEqual(self.get(forge, listing).headers["X-OAuth-Scopes"], "repo, read:org")
        # The listing of a user is of what is public, whoever asks.
        self.assertEqual([r["id"] for r in self.get(forge, GITHUB + "/users/person/repos").json()],
                         [21])
        self.get(forge, GITHUB + "/orgs/person/repos", status=404)
        self.get(forge, GITHUB + "/repos/acme/app-0001", "value-of-hidden")
        self.get(forge, GITHUB + "/repositories/3", "value-of-hidden", 404)

    def test_an_app_signs_in_and_gets_tokens_for_what_it_asked_for(self):
        run(self.folder, "git", "init", "-q", "--bare", "empty.git")
        forge = self.start(
            repositories=organization(3, private=True, path=self.folder + "/empty.git"),
            installation_token_seconds=60, app={"id": 42, "public_pem": self.app_key},
            installations=[{
                "id": 7, "account": "acme", "repository_selection": "selected",
                "repository_ids": [1, 2]
            }])
        jwt = app_jwt(self.folder, 42)
        self.assertEqual([
            i["account"]["login"]
            for i in self.get(forge, GITHUB + "/app/installations", jwt).json()
        ], ["acme"])
        other = jwt[:-8] + ("AAAAAAAA" if jwt[-8:] != "AAAAAAAA" else "BBBBBBBB")
        for wrong in (app_jwt(self.folder, 43), app_jwt(self.folder, 42, end=700),
                      app_jwt(self.folder, 42, begin=60), app_jwt(self.folder, 42, end=-1),
                      app_jwt(self.folder, 42, algorithm="none"), other):
            self.get(forge, GITHUB + "/app", wrong, 401)

        path = GITHUB + "/app/installations/7/access_tokens"
        whole = self.get(forge, path, jwt, 201, method="POST").json()
        self.assertEqual(
            self.get(forge, GITHUB + "/installation/repositories",
                     whole["token"]).json()["total_count"], 2)
        one = self.get(forge, path, jwt, 201, method="POST",
                       body={"repository_ids": [2], "permissions": {"contents": "read"}}).json()
        listed = self.get(forge, GITHUB + "/installation/repositories",
                          one["token"]).json()["repositories"]
        self.assertEqual([r["id"] for r in listed], [2])
        blind = self.get(forge, path, jwt, 201, method="POST",
                         body={"permissions": {"metadata": "read"}}).json()
        for token, number, status in ((one, 2, 200), (one, 1, 404), (whole, 1, 200),
                                      (whole, 3, 404), (blind, 1, 403)):
            self.assertEqual(self.refs(forge, f"app-000{number}", token["token"]), status)
        self.get(forge, path, jwt, 422, method="POST", body={"repository_ids": [3]})
        self.get(forge, path, jwt, 422, method="POST", body={"permissions": {"contents": "write"}})
        self.get(forge, GITHUB + "/user/repos", one["token"], 403)
        forge.set(clock_offset=60)
        self.get(forge, GITHUB + "/installation/repositories", one["token"], 401)
        self.assertEqual(self.refs(forge, "app-0002", one["token"]), 401)

    def test_a_rename_leads_to_the_number_and_a_removal_nowhere(self):
        forge = self.start(repositories=organization(2))
        forge.change(id=1, name="renamed", owner="other")
        moved = self.get(forge, GITHUB + "/repos/acme/app-0001", status=301)
        self.assertTrue(moved.headers["Location"].endswith("/api/v3/repositories/1"))
        self.assertEqual(
            self.get(forge, GITHUB + "/repositories/1").json()["full_name"], "other/renamed")
        forge.change(id=1, deleted=True)
        self.get(forge, GITHUB + "/repos/acme/app-0001", status=404)
        self.get(forge, GITHUB + "/repos/other/renamed", status=404)
        forge.change(id=9, owner="acme", name="new", clone_url="file:///etc")
        rows = self.get(forge, GITHUB + "/orgs/acme/repos").json()
        self.assertEqual([(r["id"], r["clone_url"][:8]) for r in rows], [(9, "file:///"),
                                                                         (2, "https://")])

    def test_force_pushes_are_listed_by_cursor(self):
        events = [{
            "activity_type": kind, "before": f"{n:040x}", "after": "f" * 40,
            "ref": "refs/heads/main"
        } for n in range(6) for kind in ("push", "force_push")]
        forge = self.start(repositories=organization(1, activity=events))
        rows, count = self.pages(
            forge, GITHUB + "/repos/acme/app-0001/activity?activity_type=force_push&per_page=4")
        self.assertEqual((count, [int(r["before"], 16) for r in rows]), (2, list(range(6))))
        self.assertEqual({r["activity_type"] for r in rows}, {"force_push"})

    def test_graphql_gives_the_parents_of_forks_and_only_what_was_asked_for(self):
        forge = self.start(repositories=organization(1) +
                           organization(150, "acme", 1001, fork=True, parent_id=1) +
                           organization(1, "acme", 2001, fork=True, parent_id=999))
        query = """query($login: String!, $after: String) { organization(login: $login) {
            repositories(first: 100, after: $after, isFork: true) {
              nodes { databaseId parent { databaseId nameWithOwner } } pageInfo { hasNextPage endCursor } } } }"""
        nodes, after = [], None
        while True:
            answer = self.get(forge, "/api/graphql", method="POST",
                              body={"query": query, "variables": {"login": "acme",
                                                                  "after": after}}).json()
            page = answer["data"]["organization"]["repositories"]
            nodes, after = nodes + page["nodes"], page["pageInfo"]["endCursor"]
            if not page["pageInfo"]["hasNextPage"]:
                break
        self.assertEqual(nodes, [{
            "databaseId": 1001 + i, "parent": {"databaseId": 1, "nameWithOwner": "acme/app-0001"}
        } for i in range(150)] + [{"databaseId": 2001, "parent": None}])
        self.assertEqual(forge.counters()["requests"]["graphql"], 2)
        for wrong in (query.replace("nameWithOwner",
                                    "fullName"), query.replace("first: 100, ", ""), query[:-3], ""):
            answer = self.get(forge, "/api/graphql", method="POST",
                              body={"query": wrong, "variables": {"login": "acme"}})
            self.assertIn("errors", answer.json(), wrong)
        answer = self.get(forge, "/api/graphql", method="POST",
                          body={"query": query, "variables": {"login": "no"}}).json()
        self.assertEqual((answer["data"], answer["errors"][0]["type"]),
                         ({"organization": None}, "NOT_FOUND"))

    def test_graphql_has_a_limit_of_its_own_and_says_so_with_200(self):
        forge = self.start()
        body = {"query": "{ rateLimit { limit remaining } }"}
        said = [
            self.get(forge, "/api/graphql", "value-of-poor", method="POST", body=body)
            for _ in range(4)
        ]
        self.assertEqual([r.headers["X-RateLimit-Remaining"] for r in said], ["2", "1", "0", "0"])
        self.assertEqual(said[3].json()["errors"][0]["type"], "RATE_LIMITED")
        self.assertEqual(
            self.get(forge, GITHUB + "/user", "value-of-poor").headers["X-RateLimit-Remaining"],
            "2")

    def test_gists_are_listed_with_their_clone_urls(self):
        forge = self.start(
            users=["person"], gists=[{"id": "ab", "owner": "person"},
                                     {"id": "cd", "owner": "person", "public": False}])
        rows = self.get(forge, GITHUB + "/users/person/gists").json()
        self.assertEqual([g["git_pull_url"].partition("/gist/")[2] for g in rows], ["ab.git"])
        self.assertEqual(len(self.get(forge, GITHUB + "/gists").json()), 2)
        forge.set(members={"acme": ["person"]}, organizations=["acme"])
        rows = self.get(forge, GITHUB + "/orgs/acme/members").json()
        self.assertEqual([m["login"] for m in rows], ["person"])
        self.get(forge, GITHUB + "/orgs/person/members", status=404)

    def test_snippets_are_listed_by_project_and_by_whom_they_belong_to(self):
        forge = self.start(
            repositories=organization(1), snippets=[{"id": 5, "owner": "person", "project_id": 1},
                                                    {"id": 6, "owner": "person"},
                                                    {"id": 7, "owner": "other"}])
        listed = lambda path: [  # noqa: E731
            s["http_url_to_repo"].partition("/gitlab/")[2]
            for s in self.get(forge, GITLAB + path).json()
        ]
        self.assertEqual(listed("/projects/1/snippets"), ["acme/app-0001/snippets/5.git"])
        self.assertEqual(listed("/snippets"), ["snippets/6.git"])
        self.assertEqual(self.get(forge, GITLAB + "/user").json()["username"], "person")
        self.get(forge, GITLAB + "/projects/9/snippets", status=404)

    # -- the others --

    def test_gitlab_lists_a_group_with_its_subgroups_and_not_what_is_shared(self):
        forge = self.start(repositories=organization(130) + organization(5, "acme/deep/sub", 201) +
                           organization(5, "acmesque", 301) +
                           organization(1, "friend", 401, shared_with=["acme"]))
        private_token = {"headers": {"PRIVATE-TOKEN": "value-of-reader"}, "token": None}
        for group, more, count in (("acme", "",
                                    131), ("acme", "&include_subgroups=true&with_shared=false",
                                           135), ("acme%2Fdeep", "&include_subgroups=true", 5),
                                   ("acme", "&with_shared=false", 130)):
            rows, _ = self.pages(forge, f"{GITLAB}/groups/{group}/projects?per_page=100{more}",
                                 **private_token)
            self.assertEqual(len({r["id"] for r in rows}), count, (group, more))
        self.assertTrue(
            rows[0]["http_url_to_repo"].endswith(f"/gitlab/{rows[0]['path_with_namespace']}.git"))
        first = self.get(forge, f"{GITLAB}/groups/acme/projects?with_shared=false&per_page=100",
                         **private_token)
        self.assertEqual((first.headers["x-total"], first.headers["x-next-page"]), ("130", "2"))
        self.get(forge, GITLAB + "/groups/nobody/projects", status=404, **private_token)
        self.get(forge, GITLAB + "/groups/acme/projects", "mistyped", 401)

    def test_gitlab_pages_by_key_too_and_does_not_count_what_is_many(self):
        forge = self.start(repositories=organization(30),
                           generate={"count": 11_000, "owner": "big"})
        for order, want in (("asc", list(range(1, 31))), ("desc", None)):
            path = f"{GITLAB}/projects?pagination=keyset&order_by=id&sort={order}&per_page=20"
            ids = []
            while path and len(ids) < 60:
                reply = self.get(forge, path)
                ids, path = ids + [r["id"] for r in reply.json()], reply.next()
            self.assertEqual(ids, sorted(set(ids), reverse=order == "desc"))
            self.assertEqual(ids[:30] if want else ids[0], want or 1_010_999)
        reply = self.get(forge, GITLAB + "/groups/big/projects")
        self.assertNotIn("x-total", reply.headers)
        self.assertNotIn('rel="last"', reply.headers["Link"])

    def test_gitlab_says_429_when_its_limit_is_used_up(self):
        forge = self.start(repositories=organization(1))
        for left in ("2", "1", "0"):
            reply = self.get(forge, GITLAB + "/groups/acme", "value-of-poor")
            self.assertEqual(reply.headers["RateLimit-Remaining"], left)
        refused = self.get(forge, GITLAB + "/groups/acme", "value-of-poor", 429)
        forge.set(clock_offset=int(refused.headers["Retry-After"]))
        self.get(forge, GITLAB + "/groups/acme", "value-of-poor")

    def test_gitlab_tells_a_token_about_itself(self):
        forge = self.start()
        self.assertEqual(
            self.get(forge, GITLAB + "/personal_access_tokens/self").json()["scopes"],
            ["repo", "read:org"])

    def test_bitbucket_cloud_says_the_next_page_in_its_answer(self):
        forge = self.start(repositories=organization(230))
        path, names = "/bitbucket/2.0/repositories/acme?pagelen=100", []
        while path:
            answer = self.get(forge, path).json()
            names += [r["full_name"] for r in answer["values"]]
            path = answer.get("next", "").partition(str(forge.port))[2]
        self.assertEqual(names, [f"acme/app-{i:04d}" for i in range(1, 231)])

    def test_bitbucket_data_center_says_where_the_next_page_starts(self):
        forge = self.start(repositories=organization(60))
        start, ids, last = 0, [], False
        while not last:
            answer = self.get(
                forge, f"/bbdc/rest/api/1.0/projects/ACME/repos?limit=25&start={start}").json()
            ids, last, start = ids + [r["id"] for r in answer["values"]
                                     ], answer["isLastPage"], answer.get("nextPageStart")
        self.assertEqual(ids, list(range(1, 61)))
        links = {link["name"]: link["href"] for link in answer["values"][0]["links"]["clone"]}
        self.assertTrue(links["http"].endswith("/bbdc/scm/ACME/app-0051.git"))

    def test_gitea_gives_fifty_rows_at_most(self):
        forge = self.start(repositories=organization(120))
        token = {"headers": {"Authorization": "token value-of-reader"}, "token": None}
        rows, count = self.pages(forge, "/gitea/api/v1/orgs/acme/repos?limit=100", **token)
        self.assertEqual((count, len({r["id"] for r in rows})), (3, 120))
        self.assertEqual(
            self.get(forge, "/gitea/api/v1/users/acme/repos?limit=1",
                     **token).headers["x-total-count"], "120")
        self.get(forge, "/gitea/api/v1/orgs/nobody/repos", status=404, **token)

    def test_azure_lists_projects_by_token_then_their_repositories(self):
        forge = self.start(
            repositories=[r | {"project": f"p{r['id'] % 3}"} for r in organization(10)])
        path, projects, more = "/azure/acme/_apis/projects?api-version=7.0&$top=2", [], ""
        while more is not None:
            reply = self.get(forge, path + more)
            projects += [p["name"] for p in reply.json()["value"]]
            more = reply.headers["x-ms-continuationtoken"] and "&continuationToken=" + reply.headers[
                "x-ms-continuationtoken"]
        self.assertEqual(projects, ["p0", "p1", "p2"])
        names = [
            r["name"] for p in projects for r in self.get(
                forge, f"/azure/acme/{p}/_apis/git/repositories?api-version=7.0").json()["value"]
        ]
        self.assertEqual(sorted(names), [f"app-{i:04d}" for i in range(1, 11)])
        self.assertIn(b"Sign In", self.get(forge, path, None, 203).body)

    # -- misbehaviour --

    def test_a_fault_lets_pass_strikes_and_ends_as_told(self):
        forge = self.start(repositories=organization(1))
        forge.fault(match="GET /api/v3/orgs/acme$", after=1, times=2, kind="status", status=502,
                    body="<html>bad gateway", headers={"X-Reason": "test"})
        statuses = [
            forge.request(GITHUB + "/orgs/acme", "value-of-reader").status for _ in range(5)
        ]
        self.assertEqual(statuses, [200, 502, 502, 200, 200])
        forge.fault(match="orgs", times=None, kind="status", status=451, body={"message": "legal"})
        self.assertEqual(
            [self.get(forge, GITHUB + "/orgs/acme", status=451).json() for _ in range(3)],
            [{"message": "legal"}] * 3)
        self.assertEqual(forge.counters()["faults"], 5)
        with self.assertRaisesRegex(ValueError, "unknown kind"):
            forge.fault(match="x", kind="mistyped")

    def test_both_limits_of_github_are_said_as_it_says_them(self):
        forge = self.start(repositories=organization(1))
        forge.set(faults=[{"match": "orgs", "kind": "secondary", "seconds": 2},
                          {"match": "orgs", "kind": "primary", "seconds": 2}])
        secondary = self.get(forge, GITHUB + "/orgs/acme", status=403)
        self.assertEqual(secondary.headers["Retry-After"], "2")
        self.assertIn("secondary rate limit", secondary.json()["message"])
        primary = self.get(forge, GITHUB + "/orgs/acme", status=403)
        self.assertEqual(primary.headers["X-RateLimit-Remaining"], "0")
        self.assertAlmostEqual(int(primary.headers["X-RateLimit-Reset"]),
                               time.time() + 2, delta=1.5)

    def test_answers_that_are_no_answers(self):
        forge = self.start(repositories=organization(1))
        path = GITHUB + "/orgs/acme/repos"
        forge.fault(match="orgs", kind="garbage")
        with self.assertRaises(ValueError):
            self.get(forge, path).json()
        forge.fault(match="orgs", kind="html")
        self.assertEqual(self.get(forge, path).headers["Content-Type"], "text/html; charset=utf-8")
        forge.fault(match="orgs", kind="redirect", location="https://elsewhere.invalid{path}")
        self.assertEqual(
            self.get(forge, path, status=302).headers["Location"],
            "https://elsewhere.invalid" + path)
        forge.fault(match="orgs", kind="cut", bytes=1000)
        with self.assertRaises((http.client.IncompleteRead, OSError)) as cut:
            forge.request(path, "value-of-reader")
        if isinstance(cut.exception, http.client.IncompleteRead):
            self.assertEqual(len(cut.exception.partial), 1000)
        forge.fault(match="orgs", kind="stall")
        with self.assertRaises(TimeoutError):
            forge.request(path, "value-of-reader", connection=forge.connect(timeout=0.3))
        forge.fault(match="orgs", kind="slow", bytes_per_second=10_000)
        begun = time.monotonic()
        size = len(self.get(forge, path).body)
        self.assertGreater(time.monotonic() - begun, size / 10_000 * 0.9)
        forge.fault(match="orgs", kind="huge", bytes=20 << 20)
        connection = forge.connect()
        connection.request("GET", path)
        response, got = connection.getresponse(), 0
        with self.assertRaises((http.client.IncompleteRead, OSError)):
            while piece := response.read(1 << 20):
                got += len(piece)
        self.assertGreater(got, 15 << 20)
        connection.close()
        self.get(forge, path)

    def test_a_listing_shifts_while_it_is_read(self):
        forge = self.start(repositories=organization(250))
        for order in ("desc", "asc"):
            forge.fault(match="orgs/acme/repos", kind="shift_page")
            rows, _ = self.pages(
                forge, f"{GITHUB}/orgs/acme/repos?per_page=100&sort=created&direction={order}")
            ids = [r["id"] for r in rows]
            self.assertEqual(len(ids),
                             len(set(ids)) + 1, order)  # one is read twice, the new one not at all
            rows, _ = self.pages(forge, GITHUB + "/orgs/acme/repos?per_page=100")
            self.assertEqual(len(set(r["id"] for r in rows) - set(ids)), 1)

    def test_a_repository_vanishes_after_it_was_listed(self):
        forge = self.start(repositories=organization(3))
        forge.fault(match="orgs/acme/repos", kind="vanish", id=2)
        listed = [
            [r["id"] for r in self.get(forge, GITHUB + "/orgs/acme/repos").json()] for _ in range(2)
        ]
        self.assertEqual(listed, [[3, 2, 1], [3, 1]])

    # -- size, and what is told of it --

    def test_a_hundred_thousand_repositories_are_listed_from_little_memory(self):
        forge = self.start(generate={"count": 100_000, "owner": "big", "private": True})
        forge.set(tokens={"rich": {"value": "value-of-rich", "rate_limit": 50_000}})
        begun, ids, path, pages = time.monotonic(), set(
        ), GITHUB + "/orgs/big/repos?per_page=100&sort=created", 0
        while path and pages < 200:
            reply = self.get(forge, path, "value-of-rich")
            ids |= {r["id"] for r in reply.json()}
            path, pages = reply.next(), pages + 1
        self.assertEqual(len(ids), 20_000)
        self.assertIn("page=1000>; rel=\"last\"", reply.headers["Link"])
        last = self.get(
            forge,
            reply.headers["Link"].split(";")[2].partition("v3")[2].rstrip(">").join([GITHUB, ""]),
            "value-of-rich")
        self.assertEqual((len(last.json()), last.next()), (100, None))
        peak = int(
            pathlib.Path(f"/proc/{forge.child.pid}/status").read_text().partition("VmHWM:")
            [2].split()[0])
        self.assertLess(peak, 200_000, "KB of memory at the most")
        self.assertLess(time.monotonic() - begun, 30)

    def test_the_counters_tell_everything_but_secrets(self):
        forge = self.start(repositories=organization(1))
        for token in ("value-of-reader", None, "mistyped-secret"):
            forge.request(GITHUB + "/orgs/acme/repos", token)
        counters = forge.counters()
        self.assertEqual(counters["tokens"]["api"], {"reader": 1, "none": 1, "unknown": 1})
        self.assertEqual(counters["statuses"], {"200": 2, "401": 1})
        self.assertEqual(counters["log"][0], "GET /api/v3/orgs/acme/repos 200")
        self.assertNotIn("value-of", str(counters))
        self.assertNotIn("mistyped", str(counters))
        forge.reset_counters()
        self.assertEqual(forge.counters()["requests"], dict.fromkeys(counters["requests"], 0))
        with self.assertRaisesRegex(ValueError, "unknown settings"):
            forge.set(mistyped=1)

    def test_a_clock_that_is_ahead_is_ahead_everywhere(self):
        forge = self.start(repositories=organization(1), clock_offset=1000)
        reply = self.get(forge, GITHUB + "/rate_limit")
        self.assertGreater(reply.json()["rate"]["reset"], time.time() + 1000 + 3500)
        stated = time.mktime(time.strptime(reply.headers["Date"],
                                           "%a, %d %b %Y %H:%M:%S GMT")) - time.timezone
        self.assertAlmostEqual(stated, time.time() + 1000, delta=5)


if __name__ == "__main__":
    unittest.main()
