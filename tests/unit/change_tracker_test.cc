// What a run says of earlier ones, at the ledger's level: runs that finish, that are killed, that look at
// other repositories or with other rules. Through the program: tests/e2e/changes_test.cc.
#include "coordinator/report/change_tracker.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <tuple>

#include "coordinator/report/state_history.h"
#include "store/layout.h"
#include "tests/unit/report_world.h"

namespace unsprawl {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

constexpr auto kOk = RepositoryOutcome::Status::kOk;
constexpr auto kPartial = RepositoryOutcome::Status::kPartial;
constexpr auto kFailed = RepositoryOutcome::Status::kFailed;

// (change, first_seen_cause, backlog) and the day of first_seen.
using Row = std::tuple<std::string, std::string, bool, std::string>;

// A store over many runs; run n starts on the n-th of January 2025.
class Runs : public testing::Test {
 protected:
  // What `repository` shows from now on.
  void Show(const std::string& repository, const std::vector<v1::Occurrence>& rows) {
    world_.Repository(repository, rows);
    world_.input.repositories.clear();
  }
  v1::Occurrence Open(uint32_t secret, const char* rule = "forge-pat") {
    return RowOf(world_.RuleOf(rule), secret, "src/x", CommitRowOf("c1", 1), v1::PRESENCE_HEAD);
  }
  v1::Occurrence Closed(uint32_t secret, const char* rule = "forge-pat") {
    return RowOf(world_.RuleOf(rule), secret, "src/x", CommitRowOf("c1", 1), v1::PRESENCE_HISTORY);
  }

  using Scope = std::map<std::string, RepositoryOutcome::Status>;  // by name
  // Reports on `scope`; with `finish` the run counts for later ones.
  ChangeSummary Report(const Scope& scope, bool finish = true) {
    v1::RunRecord run;
    run.set_started(int64_t{1'735'689'600'000'000} + int64_t{86'400'000'000} * static_cast<int64_t>(world_.ledger->Runs()->size()));
    run = *world_.ledger->StartRun(run);
    world_.input.run.run_id = run.id();
    world_.input.run.started_us = run.started();
    world_.input.repositories.clear();
    for (const auto& [name, status] : scope) {
      RepositoryOutcome outcome;
      outcome.id = world_.ledger->OpenRepository("local:/" + name, name)->id();
      outcome.name = name;
      outcome.status = status;
      world_.input.repositories.push_back(outcome);
      if (status == kFailed) {
        run.add_failed(outcome.id);
      } else {
        run.add_repositories(outcome.id);
        if (status == kPartial) run.add_partial(outcome.id);
      }
    }
    EXPECT_THAT(world_.ledger->CarryHistoriesOver(), IsOk());
    StateHistory states(run.id(), *world_.ledger);
    const auto totals = WriteReport(world_.input, *world_.ledger, world_.dir(), &states);
    EXPECT_THAT(totals, IsOk());
    if (finish) {
      run.set_finished(run.started() + 1);
      run.set_rules(*world_.ledger->InternRules(world_.ruleset->keys()));
      run.set_min_confidence(world_.input.min_confidence);
      EXPECT_THAT(world_.ledger->FinishRun(run), IsOk());
    }
    return totals->changes;
  }

  // Of each incident of the last report, by number.
  std::map<uint32_t, Row> Changes() {
    std::map<uint32_t, Row> rows;
    for (const std::string& line : LinesOf(world_.File("incidents.jsonl"))) {
      const json row = json::parse(line);
      const uint32_t number = static_cast<uint32_t>(std::stoul(row["id"].get<std::string>().substr(0, 8), nullptr, 16));
      rows[number] = {row["change"], row["first_seen_cause"], row["backlog"],
                      row["first_seen"].get<std::string>().substr(0, 10)};
    }
    return rows;
  }
  Row Of(uint32_t secret) { return Changes()[secret]; }

  // Rules of `text` instead; keys of unchanged ones stay.
  void UseRules(const std::string& text) {
    auto parsed = Ruleset::Parse(text, "test");
    ASSERT_THAT(parsed, IsOk());
    *world_.ruleset = *std::move(parsed);
  }

  ReportWorld world_;
};

TEST_F(Runs, TheFirstRunOfAStoreIsAllBacklog) {
  Show("a", {Open(1), Closed(2)});
  const ChangeSummary changes = Report({{"a", kOk}});
  EXPECT_TRUE(changes.first_run);
  EXPECT_EQ(changes.new_by_scope, 2u);
  EXPECT_FALSE(changes.HasNews());
  EXPECT_EQ(Of(1), Row("new", "scope", true, "2025-01-01"));
  EXPECT_EQ(Of(2), Row("new", "scope", true, "2025-01-01"));
  EXPECT_THAT(world_.File("summary.txt"), HasSubstr("first finished run"));
  const ChangeSummary again = Report({{"a", kOk}});
  EXPECT_FALSE(again.first_run);
  EXPECT_EQ(again.new_incidents(), 0u);
  EXPECT_EQ(again.backlog, 2u);
  EXPECT_EQ(Of(1), Row("none", "scope", true, "2025-01-01"));
  EXPECT_THAT(world_.File("summary.txt"), HasSubstr("since the run of 2025-01-01: 0 new, 0 reopened, 0 removed"));
}

TEST_F(Runs, ALeakIsNewThenRemovedThenReopened) {
  Show("a", {Open(1)});
  Report({{"a", kOk}});
  Show("a", {Open(1), Open(2)});
  ChangeSummary changes = Report({{"a", kOk}});
  EXPECT_THAT(changes.new_ids, ElementsAre(ToHex(SecretOf(2))));
  EXPECT_TRUE(changes.HasNews());
  EXPECT_EQ(Of(2), Row("new", "new_commit", false, "2025-01-02"));
  EXPECT_THAT(world_.File("report.html"), HasSubstr("<span class=\"chip\">new</span>"));

  Show("a", {Closed(1), Closed(2)});
  changes = Report({{"a", kOk}});
  EXPECT_EQ(changes.removed, 2u);
  EXPECT_FALSE(changes.HasNews());
  EXPECT_EQ(Of(2), Row("removed", "new_commit", false, "2025-01-02"));
  EXPECT_EQ(Report({{"a", kOk}}).removed, 0u);
  EXPECT_EQ(Of(2), Row("none", "new_commit", false, "2025-01-02"));

  Show("a", {Open(1), Closed(2)});
  changes = Report({{"a", kOk}});
  EXPECT_THAT(changes.reopened_ids, ElementsAre(ToHex(SecretOf(1))));
  EXPECT_TRUE(changes.HasNews());
  EXPECT_EQ(Of(1), Row("reopened", "scope", false, "2025-01-01")) << "what reopened it is no backlog";
  Report({{"a", kOk}});
  EXPECT_EQ(Of(1), Row("none", "scope", false, "2025-01-01"));
}

TEST_F(Runs, ALeakThatIsRemovedBeforeItIsSeenIsNewAllTheSame) {
  Show("a", {});
  Report({{"a", kOk}});
  Show("a", {Closed(1)});
  EXPECT_TRUE(Report({{"a", kOk}}).HasNews());
  EXPECT_EQ(Of(1), Row("new", "new_commit", false, "2025-01-02"));
}

TEST_F(Runs, OnboardingIsBacklogAndSpreadingIsNoNews) {
  Show("a", {Open(1), Closed(2)});
  Report({{"a", kOk}});
  Show("b", {Open(1), Open(2), Open(3)});
  ChangeSummary changes = Report({{"a", kOk}, {"b", kOk}});
  EXPECT_FALSE(changes.HasNews());
  EXPECT_EQ(changes.new_by_scope, 1u);
  EXPECT_EQ(changes.reopened_backlog, 1u) << "open, but only where no run had looked";
  EXPECT_EQ(Of(1), Row("none", "scope", true, "2025-01-01"));
  EXPECT_EQ(Of(2), Row("reopened", "scope", true, "2025-01-01"));
  EXPECT_EQ(Of(3), Row("new", "scope", true, "2025-01-02"));
}

TEST_F(Runs, ARepositoryThatIsNotAskedForKeepsItsIncidents) {
  Show("a", {Open(1), Open(2)});
  Show("b", {Closed(2), Open(3)});
  Report({{"a", kOk}, {"b", kOk}});
  const ChangeSummary changes = Report({{"b", kOk}});
  EXPECT_EQ(changes.removed, 0u) << "1 is not looked at, 2 is open in the other repository";
  EXPECT_EQ(changes.out_of_scope, 1u);
  EXPECT_THAT(changes.dropped, IsEmpty());
  EXPECT_EQ(std::get<0>(Of(2)), "none");
  const ChangeSummary after = Report({{"a", kOk}, {"b", kOk}});
  EXPECT_EQ(after.new_incidents() + after.reopened + after.reopened_backlog + after.removed, 0u);
}

TEST_F(Runs, WhatNoRepositoryStoresAnyMoreIsRemoved) {
  Show("a", {Open(1), Open(2)});
  Report({{"a", kOk}});
  Show("a", {Open(2)});
  const ChangeSummary changes = Report({{"a", kOk}});
  EXPECT_THAT(changes.removed_ids, ElementsAre(ToHex(SecretOf(1))));
  EXPECT_THAT(world_.File("summary.txt"), HasSubstr("Forge personal access token  [000000015a5a]  stored nowhere"));
  EXPECT_EQ(Report({{"a", kOk}}).removed, 0u) << "told once";
  Show("a", {Open(1), Open(2)});
  EXPECT_THAT(Report({{"a", kOk}}).reopened_ids, ElementsAre(ToHex(SecretOf(1))));
}

TEST_F(Runs, ANewRuleIsBacklogAndADroppedOneRemovesNothing) {
  const std::string all(kReportRules);
  const std::string fewer = all.substr(0, all.find("[[rules]]\nid = \"private-key\""));
  UseRules(fewer);
  Show("a", {Open(1)});
  Report({{"a", kOk}});
  UseRules(all);
  Show("a", {Open(1), Open(2, "private-key"), Open(3)});
  ChangeSummary changes = Report({{"a", kOk}});
  EXPECT_EQ(changes.new_by_rule, 1u);
  EXPECT_EQ(Of(2), Row("new", "new_rule", true, "2025-01-02"));
  EXPECT_THAT(changes.new_ids, ElementsAre(ToHex(SecretOf(3)))) << "a new leak beside it is one";
  UseRules(fewer);
  Show("a", {Open(1), Open(3)});  // recorded without the rule that is gone
  changes = Report({{"a", kOk}});
  EXPECT_EQ(changes.removed, 0u);
  UseRules(all);
  Show("a", {Open(1), Open(2, "private-key"), Open(3)});
  changes = Report({{"a", kOk}});
  EXPECT_EQ(changes.new_incidents(), 0u);
  EXPECT_EQ(Of(2), Row("none", "new_rule", true, "2025-01-02"));
}

TEST_F(Runs, AMatchThatADroppedRuleTookIsNoNews) {
  const std::string all(kReportRules);
  Show("a", {Open(1)});
  Report({{"a", kOk}});
  v1::Occurrence generic = Open(5, "password-assignment");
  generic.add_overlapping(world_.RuleOf("forge-pat").key);
  Show("a", {generic});
  UseRules(all.substr(all.find("[[rules]]\nid = \"mailer")));
  const ChangeSummary changes = Report({{"a", kOk}});
  EXPECT_FALSE(changes.HasNews());
  EXPECT_EQ(Of(5), Row("new", "new_rule", true, "2025-01-02"));
}

TEST_F(Runs, AnotherMinimumConfidenceNeitherRemovesNorLeaks) {
  v1::Occurrence doubtful = Open(1, "password-assignment");
  doubtful.set_paths(0, "web/login.min.js");
  Show("a", {doubtful, Open(2)});
  Report({{"a", kOk}});
  EXPECT_EQ(Changes().size(), 1u);
  world_.input.min_confidence = 0;
  ChangeSummary changes = Report({{"a", kOk}});
  EXPECT_EQ(Of(1), Row("new", "scope", true, "2025-01-02")) << "the run was asked to look closer";
  world_.input.min_confidence = 0.5;
  changes = Report({{"a", kOk}});
  EXPECT_EQ(changes.removed, 0u);
  EXPECT_EQ(Changes().size(), 1u);
  world_.input.min_confidence = 0;
  EXPECT_EQ(Report({{"a", kOk}}).new_incidents(), 0u);
  // What becomes less doubtful is reported for the first time by a new commit.
  world_.input.min_confidence = 0.5;
  v1::Occurrence moved = Open(3, "password-assignment");
  moved.set_paths(0, "web/login.min.js");
  Show("a", {moved});
  Report({{"a", kOk}});
  moved.set_paths(0, "src/login.py");
  Show("a", {moved});
  Report({{"a", kOk}});
  EXPECT_EQ(Of(3), Row("new", "new_commit", false, "2025-01-06"));
}

// With --trust-repo-ignores every place that a flag marks is hidden.
class Hiding : public Runs {
 protected:
  static v1::Occurrence Allowed(v1::Occurrence row) {
    row.mutable_match()->set_flags(kInlineAllowed);
    return row;
  }
  ChangeSummary ReportHiding(bool hide) {
    world_.input.trust_repo_ignores = hide;
    return Report({{"a", kOk}});
  }
};

TEST_F(Hiding, WhatIsHiddenIsNotRemovedAndShownAgainItIsNoNews) {
  Show("a", {Allowed(Open(1)), Open(2)});
  ReportHiding(false);
  ChangeSummary changes = ReportHiding(true);
  EXPECT_EQ(changes.removed + changes.new_incidents() + changes.reopened, 0u);
  EXPECT_EQ(Changes().size(), 1u);
  changes = ReportHiding(false);
  EXPECT_EQ(changes.removed + changes.new_incidents() + changes.reopened, 0u);
  EXPECT_EQ(Of(1), Row("none", "scope", true, "2025-01-01"));
}

TEST_F(Hiding, WhatWasHiddenFromTheFirstIsBacklogWhenItIsShown) {
  Show("a", {Open(2)});
  ReportHiding(true);
  Show("a", {Allowed(Open(1)), Open(2)});
  EXPECT_FALSE(ReportHiding(true).HasNews());
  EXPECT_FALSE(ReportHiding(true).HasNews());
  const ChangeSummary changes = ReportHiding(false);
  EXPECT_FALSE(changes.HasNews());
  EXPECT_EQ(changes.new_by_scope, 1u);
  EXPECT_EQ(Of(1), Row("new", "scope", true, "2025-01-04"));
  EXPECT_EQ(ReportHiding(false).new_incidents(), 0u);
  EXPECT_EQ(Of(1), Row("none", "scope", true, "2025-01-04"));
}

TEST_F(Hiding, ANewPlaceOfWhatIsHiddenElsewhereIsNews) {
  Show("a", {Allowed(Open(1))});
  ReportHiding(true);
  v1::Occurrence leaked = Open(1);
  leaked.set_paths(0, "another/file");
  Show("a", {Allowed(Open(1)), leaked});
  EXPECT_THAT(ReportHiding(true).new_ids, ElementsAre(ToHex(SecretOf(1))));
  EXPECT_EQ(Of(1), Row("new", "new_commit", false, "2025-01-02"));
}

TEST_F(Hiding, AHiddenPlaceAtATipKeepsAnIncidentFromBeingRemoved) {
  Show("a", {Closed(1), Allowed(Open(1))});
  ReportHiding(false);
  EXPECT_EQ(ReportHiding(true).removed, 0u);
  EXPECT_EQ(std::get<0>(Of(1)), "none");
  EXPECT_EQ(ReportHiding(false).reopened, 0u);
  Show("a", {Closed(1), Allowed(Closed(1))});
  EXPECT_EQ(ReportHiding(true).removed, 1u);
}

TEST_F(Hiding, WhatIsHiddenUntilItIsStoredNowhereWasNeverRemoved) {
  Show("a", {Allowed(Open(1))});
  ReportHiding(true);
  Show("a", {});
  EXPECT_EQ(ReportHiding(true).removed, 0u);
}

TEST_F(Runs, ARunThatIsKilledAfterItNotedStatesNeitherLosesNorDoublesNews) {
  Show("a", {Open(1)});
  Report({{"a", kOk}});
  Show("a", {Closed(1), Open(2)});
  Show("b", {Open(3)});
  Report({{"a", kOk}, {"b", kOk}}, /*finish=*/false);
  EXPECT_EQ(std::get<0>(Of(2)), "new");
  Report({{"a", kOk}, {"b", kOk}}, /*finish=*/false);

  ChangeSummary changes = Report({{"a", kOk}});
  EXPECT_THAT(changes.new_ids, ElementsAre(ToHex(SecretOf(2)))) << "not lost";
  EXPECT_EQ(changes.removed, 1u);
  EXPECT_EQ(Of(2), Row("new", "new_commit", false, "2025-01-04")) << "first seen by a finished run";
  changes = Report({{"a", kOk}, {"b", kOk}});
  EXPECT_THAT(changes.new_ids, IsEmpty()) << "not doubled";
  EXPECT_EQ(changes.removed, 0u);
  EXPECT_EQ(Of(2), Row("none", "new_commit", false, "2025-01-04"));
  EXPECT_EQ(Of(3), Row("new", "scope", true, "2025-01-05")) << "noted by killed runs only until now";
}

TEST_F(Runs, WhatOnlyAKilledRunSawIsNeitherKnownNorRemoved) {
  Show("a", {});
  Report({{"a", kOk}});
  Show("a", {Open(1)});
  Report({{"a", kOk}}, /*finish=*/false);
  Show("a", {});
  EXPECT_EQ(Report({{"a", kOk}}).removed, 0u);
  EXPECT_EQ(Report({{"a", kOk}}).removed, 0u);
  Show("a", {Open(1)});
  Report({{"a", kOk}});
  EXPECT_EQ(Of(1), Row("new", "new_commit", false, "2025-01-05"));
}

TEST_F(Runs, AFailedRepositoryKeepsItsIncidentsAndItsCoverageDrops) {
  Show("a", {Open(1)});
  Show("b", {Open(2)});
  Report({{"a", kOk}, {"b", kOk}});
  ChangeSummary changes = Report({{"a", kOk}, {"b", kFailed}});
  EXPECT_EQ(changes.removed + changes.new_incidents(), 0u);
  ASSERT_EQ(changes.dropped.size(), 1u);
  EXPECT_EQ(changes.dropped[0].name, "b");
  EXPECT_EQ(changes.dropped[0].status, kFailed);
  EXPECT_THAT(world_.File("summary.txt"), HasSubstr("COVERAGE DROPPED: b was covered whole before, now failed"));
  EXPECT_THAT(world_.File("report.html"), HasSubstr("<h3>Coverage dropped</h3>"));
  EXPECT_THAT(Report({{"a", kOk}, {"b", kFailed}}).dropped, IsEmpty()) << "told once";
  Show("b", {Open(2), Open(3)});
  changes = Report({{"a", kOk}, {"b", kPartial}});
  EXPECT_THAT(changes.dropped, IsEmpty());
  EXPECT_THAT(changes.new_ids, ElementsAre(ToHex(SecretOf(3))));
}

TEST_F(Runs, ARepositoryThatFailedAtFirstIsOnboardedWhenItIsScanned) {
  Show("a", {});
  Report({{"a", kOk}, {"b", kFailed}});
  Show("b", {Open(1)});
  EXPECT_FALSE(Report({{"a", kOk}, {"b", kOk}}).HasNews());
  EXPECT_EQ(Of(1), Row("new", "scope", true, "2025-01-02"));
}

TEST_F(Runs, ARepositoryThatCannotEvenBeOpenedIsFoundByItsName) {
  Show("a", {Open(1)});
  Report({{"a", kOk}});
  v1::RunRecord run = *world_.ledger->StartRun(v1::RunRecord());
  world_.input.run.run_id = run.id();
  world_.input.repositories = {{.id = 0, .name = "a", .status = kFailed, .reason = "no", .coverage = {}}};
  const auto totals = WriteReport(world_.input, *world_.ledger, world_.dir());
  ASSERT_THAT(totals, IsOk());
  EXPECT_EQ(totals->changes.dropped.size(), 1u);
  EXPECT_EQ(totals->changes.removed + totals->changes.out_of_scope, 0u);
}

TEST_F(Runs, AReportOfAnEarlierRunStaysTheSame) {
  Show("a", {Open(1)});
  Report({{"a", kOk}});
  Show("a", {Open(1), Open(2)});
  Report({{"a", kOk}});
  std::map<std::string, std::string> files;
  for (const char* name : kReportFiles) files[name] = world_.File(name);
  const ReportInput second = world_.input;
  Report({{"a", kOk}});
  EXPECT_THAT(WriteReport(second, *world_.ledger, world_.dir()), IsOk());
  for (const char* name : kReportFiles) EXPECT_EQ(world_.File(name), files[name]) << name;
}

TEST_F(Runs, StatesAreNotedOnlyWhenTheyChange) {
  Show("a", {Open(1)});
  for (int i = 0; i < 3; ++i) Report({{"a", kOk}});
  Show("a", {Closed(1)});
  for (int i = 0; i < 3; ++i) Report({{"a", kOk}});
  const auto histories = world_.ledger->IncidentHistories(SecretId(), 10);
  ASSERT_EQ(histories->size(), 1u);
  ASSERT_EQ((*histories)[0].rows.size(), 2u);
  EXPECT_EQ((*histories)[0].rows[0].run, 1u);
  EXPECT_EQ((*histories)[0].rows[1].run, 4u);
}

TEST_F(Runs, ManyHistoriesAreComparedPageByPage) {
  std::vector<v1::Occurrence> rows;
  for (uint32_t secret = 0; secret < 3000; ++secret) rows.push_back(Open(3 * secret));
  Show("a", rows);
  EXPECT_EQ(Report({{"a", kOk}}).new_by_scope, 3000u);
  rows.clear();
  for (uint32_t secret = 0; secret < 3000; ++secret) {
    if (secret % 2 == 0) rows.push_back(Open(3 * secret));
    if (secret % 5 == 0) rows.push_back(Open(3 * secret + 1));
  }
  Show("a", rows);
  const ChangeSummary changes = Report({{"a", kOk}});
  EXPECT_EQ(changes.removed, 1500u);
  EXPECT_EQ(changes.new_by_commit, 600u);
  EXPECT_EQ(changes.new_ids.size(), 600u);
  EXPECT_EQ(changes.removed_ids.size(), ChangeSummary::kMaxIds);
  EXPECT_THAT(world_.File("report.html"), HasSubstr("and 1,900 more"));  // of 2,100, 100 of each kind
}

TEST_F(Runs, AStoreOfAnOlderProgramKnowsWhatItKnew) {
  // Runs without rules, states without a cause.
  Show("a", {Open(1)});
  v1::RunRecord run = *world_.ledger->StartRun(v1::RunRecord());
  run.set_started(int64_t{1'700'000'000} * 1'000'000);
  run.set_finished(run.started() + 1);
  run.add_repositories(world_.ledger->OpenRepository("local:/a", "a")->id());
  const std::vector<IncidentState> old = {{.secret = *SecretIdFromRaw(SecretOf(1)),
                                           .presence = v1::PRESENCE_HEAD, .open = true, .repositories = 1}};
  ASSERT_THAT(world_.ledger->RecordIncidentStates(run.id(), old), IsOk());
  ASSERT_THAT(world_.ledger->FinishRun(run), IsOk());
  Show("a", {Open(1), Open(2)});
  Report({{"a", kOk}});
  EXPECT_EQ(Of(1), Row("none", "unknown", false, "2023-11-14"));
  EXPECT_EQ(Of(2), Row("new", "new_commit", false, "2025-01-02")) << "rather called new than hidden";
}

// The same repositories, made known to two stores in different orders.
TEST(ReportOrder, DoesNotDependOnTheOrderInWhichAStoreGrew) {
  std::map<std::string, std::string> reports[2];
  for (const bool turned : {false, true}) {
    ReportWorld world;
    std::vector<std::string> names;
    for (int i = 0; i < 30; ++i) names.push_back("r" + std::to_string(100 + i));
    const std::vector<std::string> sorted = names;
    if (turned) std::reverse(names.begin(), names.end());
    for (const std::string& name : names) {
      std::vector<v1::Occurrence> rows;
      for (uint32_t secret = 0; secret < 40; ++secret) {
        rows.push_back(RowOf(world.ruleset->rules()[secret % world.ruleset->rules().size()], secret,
                             name + "/" + std::to_string(secret), CommitRowOf(name, 1), v1::PRESENCE_HEAD));
      }
      world.Repository(name, rows);
    }
    std::sort(world.input.repositories.begin(), world.input.repositories.end(),
              [](const RepositoryOutcome& a, const RepositoryOutcome& b) { return a.name < b.name; });
    world.Write();
    for (const char* name : kReportFiles) reports[turned][name] = world.File(name);
  }
  EXPECT_EQ(reports[0], reports[1]);
}

}  // namespace
}  // namespace unsprawl
