// A ruleset and a ledger made by hand for the tests of the report.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "coordinator/report/report.h"
#include "engine/judge/examine.h"
#include "store/ledger.h"
#include "tests/support/git_repo.h"
#include "tests/support/status_matchers.h"

namespace unsprawl {

inline constexpr std::string_view kReportRules = R"toml(
[[rules]]
id = "forge-pat"
description = "A Forge personal access token: acts as its owner."
provider = "Forge"
category = "vcs"
class = "A"
severity = "critical"
confidence = 0.9
regex = '''\b(fgp_[0-9A-Za-z]{36})\b'''
prefixes = ["fgp_"]

[[rules]]
id = "mailer-api-key"
description = "A Mailer API key."
provider = "Mailer"
category = "messaging_email"
class = "B"
severity = "high"
confidence = 0.8
regex = '''mailer.{0,20}\b([0-9a-f]{32})\b'''
keywords = ["mailer"]

[[rules]]
id = "private-key"
description = "A private key."
provider = "generic"
category = "crypto"
class = "C"
severity = "high"
confidence = 0.8
regex = '''(BEGIN PRIVATE KEY)'''

[[rules]]
id = "password-assignment"
description = "A password assigned to a name."
provider = "generic"
category = "generic"
class = "C"
severity = "medium"
confidence = 0.6
regex = '''password\s{0,8}=\s{0,8}"([^"]{6,60})"'''
)toml";

// 2024-01-01T00:00:00Z plus days.
inline int64_t Day(int days) { return 1704067200 + int64_t{86400} * days; }

inline v1::Commit CommitRowOf(std::string_view name, int day, std::string_view author = "Ann Lee",
                              std::string_view email = "ann@example.org") {
  v1::Commit commit;
  std::string id(name);
  id.resize(20, '\x11');
  commit.set_id(id);
  commit.set_author_time(Day(day));
  commit.set_committer_time(Day(day) + 60);
  commit.set_author_name(std::string(author));
  commit.set_author_email(std::string(email));
  return commit;
}

inline std::string SecretOf(uint32_t number) {
  std::string secret(16, '\x5A');
  for (int i = 0; i < 4; ++i) secret[static_cast<size_t>(i)] = static_cast<char>(number >> (24 - 8 * i));
  return secret;
}

// Rows are put together with the setters of the returned message.
inline v1::Occurrence RowOf(const Rule& rule, uint32_t secret, std::string_view path,
                            const v1::Commit& commit, v1::Presence presence) {
  v1::Occurrence row;
  row.set_secret(SecretOf(secret));
  v1::Match& match = *row.mutable_match();
  match.set_rule(rule.key);
  match.set_offset(100);
  match.set_length(40);
  match.set_entropy(4.5);
  match.set_start_line(7);
  match.set_start_column(12);
  match.set_end_line(7);
  match.set_end_column(52);
  if (!rule.prefixes.empty()) match.set_preview(rule.prefixes[0]);
  row.add_paths(std::string(path));
  *row.mutable_commit() = commit;
  row.set_presence(presence);
  row.set_blob(std::string(20, '\xB1'));
  return row;
}

// As a repository's .gitleaksignore at HEAD has it; whoever `by` is introduced it.
inline v1::HeadFacts IgnoringAt(std::string_view path, std::string_view rule, uint32_t line, const v1::Commit& by) {
  v1::HeadFacts head;
  v1::Ignore& ignore = *head.add_ignores();
  ignore.set_path(std::string(path));
  ignore.set_rule(std::string(rule));
  ignore.set_line(line);
  ignore.set_introduced_by(1);
  *head.add_ignore_commits() = by;
  return head;
}

class ReportWorld {
 public:
  ReportWorld() : ledger(NewMemoryLedger()) {
    absl::StatusOr<Ruleset> parsed = Ruleset::Parse(kReportRules, "report_world.h");
    EXPECT_THAT(parsed, IsOk());
    ruleset = std::make_unique<Ruleset>(std::move(parsed).value());
    input.ruleset = ruleset.get();
    input.run.version = "0.1.0-test";
    input.run.run_id = 7;
    input.run.command = "scan --jobs 2";
    input.run.started_us = 1'700'000'000'000'000;
    input.run.finished_us = 1'700'000'002'500'000;
    input.run.seconds = {{"scan", 1.5}, {"report", 0.25}};
  }

  const Rule& RuleOf(std::string_view id) const {
    for (const Rule& rule : ruleset->rules()) {
      if (rule.id == id) return rule;
    }
    ADD_FAILURE() << "no rule " << id;
    return ruleset->rules()[0];
  }

  // Records `rows` for a repository and lists it in the input (call in the order of names).
  RepositoryOutcome& Repository(std::string_view name, const std::vector<v1::Occurrence>& rows,
                                const v1::HeadFacts& head = {}) {
    absl::StatusOr<v1::RepositoryRecord> record = ledger->OpenRepository(std::string("local:/") += name, name);
    EXPECT_THAT(record, IsOk());
    absl::StatusOr<std::unique_ptr<Ledger::Recording>> recording = ledger->StartRecording(record->id());
    EXPECT_THAT(recording, IsOk());
    for (const v1::Occurrence& row : rows) EXPECT_THAT((*recording)->Add(row), IsOk());
    *record->mutable_head() = head;
    EXPECT_THAT((*recording)->Commit(*record), IsOk());
    RepositoryOutcome outcome;
    outcome.id = record->id();
    outcome.name = name;
    outcome.coverage.set_refs(3);
    outcome.coverage.set_commits(120);
    outcome.coverage.set_blobs(900);
    outcome.coverage.set_blobs_scanned(900);
    outcome.coverage.set_bytes(1'234'567);
    input.repositories.push_back(std::move(outcome));
    return input.repositories.back();
  }

  ReportTotals Write() {
    absl::StatusOr<ReportTotals> totals = WriteReport(input, *ledger, dir());
    EXPECT_THAT(totals, IsOk());
    return totals.ok() ? *totals : ReportTotals{};
  }

  std::filesystem::path dir() const { return temp.path() / "report"; }

  std::string File(std::string_view name) const {
    std::ifstream in(dir() / name, std::ios::binary);
    EXPECT_TRUE(in.is_open()) << name;
    std::ostringstream text;
    text << in.rdbuf();
    return text.str();
  }

  TempDir temp;
  std::unique_ptr<Ruleset> ruleset;
  std::unique_ptr<Ledger> ledger;
  ReportInput input;
};

inline constexpr const char* kReportFiles[] = {"incidents.jsonl", "occurrences.jsonl", "manifest.json",
                                               "run.json",        "summary.txt",       "report.html"};

inline std::vector<std::string> LinesOf(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

}  // namespace unsprawl
