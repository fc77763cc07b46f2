// The exact bytes of a small report, and its rows against the published schemas.
// UPDATE_GOLDEN=1 rewrites tests/e2e/golden/report; the diff is the review.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "coordinator/report/report.h"
#include "tests/unit/report_world.h"

namespace unsprawl {
namespace {

using nlohmann::json;

const std::filesystem::path kSource = UNSPRAWL_SOURCE_DIR;

std::string ReadFile(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

// An earlier run, two days before, of the first two repositories and of the one that is empty now, without
// the rule for private keys.
void RememberARun(ReportWorld& world) {
  v1::RunRecord run = *world.ledger->StartRun(v1::RunRecord());
  std::vector<uint64_t> rules = world.ruleset->keys();
  std::erase(rules, world.RuleOf("private-key").key);
  run.set_rules(*world.ledger->InternRules(rules));
  run.set_min_confidence(0.5);
  run.set_started(world.input.run.started_us - int64_t{2 * 86'400} * 1'000'000);
  run.set_finished(run.started() + 1);
  run.add_repositories(1);
  run.add_repositories(2);
  run.add_repositories(world.ledger->OpenRepository("local:/acme/sha256", "acme/sha256")->id());
  run.add_repositories(77);
  std::vector<IncidentState> states;
  for (const uint32_t secret : {0x10000000u, 0x20000000u, 0x60000000u}) {
    IncidentState& state = states.emplace_back();
    std::copy_n(SecretOf(secret).begin(), state.secret.bytes.size(), state.secret.bytes.begin());
    state.presence = secret == 0x10000000u ? v1::PRESENCE_HISTORY : v1::PRESENCE_HEAD;
    state.open = secret != 0x10000000u;
    state.cause = Cause::kScope;
    state.rule = world.RuleOf("mailer-api-key").key;
  }
  EXPECT_THAT(world.ledger->RecordIncidentStates(run.id(), states), IsOk());
  EXPECT_THAT(world.ledger->FinishRun(run), IsOk());
}

// Something of everything: open, removed and unreachable, several repositories, a move, a repeat, a
// name that is not UTF-8, failed and partial repositories, skips of all kinds, changes of all kinds.
void Furnish(ReportWorld& world) {
  const Rule& pat = world.RuleOf("forge-pat");
  const Rule& mailer = world.RuleOf("mailer-api-key");
  const Rule& key = world.RuleOf("private-key");
  const Rule& password = world.RuleOf("password-assignment");

  v1::Occurrence moved = RowOf(pat, 0x10000000, "deploy/old.env", CommitRowOf("m1", -900), v1::PRESENCE_HEAD);
  moved.add_paths("deploy/production.env");
  moved.mutable_match()->set_flags(kChecksumOk);
  v1::Occurrence repeat = moved;
  repeat.set_ordinal(1);
  repeat.mutable_match()->set_start_line(19);
  repeat.mutable_match()->set_end_line(19);
  v1::Occurrence removed = RowOf(mailer, 0x20000000, "app/settings.py", CommitRowOf("s1", 14, "Bo Ng", "Bo@Example.org"),
                                 v1::PRESENCE_HISTORY);
  removed.mutable_match()->set_flags(kInlineAllowed);
  *removed.add_removals() = CommitRowOf("s2", 21, "Ann Lee");
  v1::Occurrence pem = RowOf(key, 0x30000000, "certs/server.pem", CommitRowOf("k1", 3, "Zo\xEB", "zoe@example.org"),
                             v1::PRESENCE_BRANCH);
  pem.mutable_match()->set_end_line(34);
  v1::Occurrence lost = RowOf(password, 0x40000000, "", v1::Commit(), v1::PRESENCE_UNREACHABLE);
  lost.clear_commit();
  lost.clear_paths();
  v1::Occurrence ancient = RowOf(password, 0x50000000, "caf\xE9/login.php", CommitRowOf("a1", 1), v1::PRESENCE_HEAD);
  ancient.mutable_commit()->set_author_time(INT64_MAX);

  world.Repository("acme/api", {moved, repeat, removed, lost});
  world.Repository("acme/infra", {RowOf(pat, 0x10000000, "ci/.env", CommitRowOf("i1", 40), v1::PRESENCE_BRANCH), pem},
                   IgnoringAt("certs/server.pem", "private-key", 7, CommitRowOf("g1", 50, "Bo <Ng>", "bo@example.org")));
  RepositoryOutcome& partial = world.Repository("acme/legacy \xE2\x80\xAE<b>", {ancient});
  partial.status = RepositoryOutcome::Status::kPartial;
  partial.reason = "3 objects are missing";
  for (v1::SkipReason reason : {v1::SKIP_REASON_MISSING, v1::SKIP_REASON_DAMAGED, v1::SKIP_REASON_LFS_POINTER}) {
    v1::Skip& skip = *partial.coverage.add_skips();
    skip.set_reason(reason);
    skip.set_count(reason == v1::SKIP_REASON_MISSING ? 3 : 0);
    if (reason == v1::SKIP_REASON_DAMAGED) skip.set_detail("pack-7.pack: offset 900: bad delta");
  }
  RepositoryOutcome failed;
  failed.name = "acme/sha256";
  failed.status = RepositoryOutcome::Status::kNotCovered;
  failed.reason = "objects are named by SHA-256, which is not supported yet";
  world.input.repositories.push_back(failed);
  RepositoryOutcome empty;
  empty.name = "acme/zero";
  empty.status = RepositoryOutcome::Status::kEmpty;
  world.input.repositories.push_back(empty);
  world.input.accepted.insert(v1::SKIP_REASON_LFS_POINTER);
  world.input.sandboxed = false;
  world.input.sandbox_note = "the kernel has no Landlock";
  world.input.run.command = "scan --jobs 2 acme";
  RememberARun(world);
}

TEST(ReportGoldenTest, TheReportIsByteForByteWhatWasReviewed) {
  ReportWorld world;
  Furnish(world);
  world.Write();
  const std::filesystem::path golden = kSource / "tests/e2e/golden/report";
  for (const char* name : kReportFiles) {
    if (std::getenv("UPDATE_GOLDEN") != nullptr) {
      std::filesystem::create_directories(golden);
      std::ofstream(golden / name, std::ios::binary) << world.File(name);
      continue;
    }
    EXPECT_EQ(world.File(name), ReadFile(golden / name)) << name;
  }
}

bool HasType(const json& value, const std::string& type) {
  if (type == "integer") return value.is_number_integer();
  if (type == "number") return value.is_number();
  return value.type_name() == type;
}

bool HasSomeType(const json& value, const json& types) {
  if (types.is_string()) return HasType(value, types.get<std::string>());
  for (const json& type : types) {
    if (HasType(value, type.get<std::string>())) return true;
  }
  return false;
}

// The part of JSON Schema that docs/schema uses. Returns what is wrong, or "".
std::string Violation(const json& value, json schema, const json& root, const std::string& at) {
  if (schema.contains("$ref")) {
    schema = root.at(json::json_pointer(schema["$ref"].get<std::string>().substr(1)));
  }
  if (schema.contains("type") && !HasSomeType(value, schema["type"])) return at + ": wrong type";
  if (schema.contains("const") && value != schema["const"]) return at + ": wrong constant";
  if (schema.contains("enum")) {
    const json& all = schema["enum"];
    if (std::find(all.begin(), all.end(), value) == all.end()) return at + ": not in enum: " + value.dump();
  }
  if (schema.contains("minimum") && value.is_number() && value < schema["minimum"]) return at + ": too small";
  if (schema.contains("maximum") && value.is_number() && value > schema["maximum"]) return at + ": too large";
  if (value.is_object() && schema.contains("properties")) {
    for (const json& name : schema["required"]) {
      if (!value.contains(name.get<std::string>())) return at + ": lacks " + name.get<std::string>();
    }
    for (const auto& [name, member] : value.items()) {
      if (!schema["properties"].contains(name)) return at + ": unknown member " + name;
      std::string wrong = Violation(member, schema["properties"][name], root, at + "/" + name);
      if (!wrong.empty()) return wrong;
    }
  }
  if (value.is_array() && schema.contains("items")) {
    for (size_t i = 0; i < value.size(); ++i) {
      std::string wrong = Violation(value[i], schema["items"], root, at + "/" + std::to_string(i));
      if (!wrong.empty()) return wrong;
    }
  }
  return "";
}

TEST(ReportGoldenTest, EveryRowFollowsItsPublishedSchema) {
  ReportWorld world;
  Furnish(world);
  world.Write();
  auto schema = [](const char* name) { return json::parse(ReadFile(kSource / "docs/schema" / name)); };
  const std::pair<const char*, const char*> kRows[] = {{"incidents.jsonl", "incident.json"},
                                                       {"occurrences.jsonl", "occurrence.json"}};
  for (const auto& [file, name] : kRows) {
    const json rules = schema(name);
    size_t rows = 0;
    for (const std::string& line : LinesOf(world.File(file))) {
      EXPECT_EQ(Violation(json::parse(line), rules, rules, file), "") << line;
      ++rows;
    }
    EXPECT_GE(rows, 5u) << file;
  }
  for (const char* name : {"manifest.json", "run.json"}) {
    const json rules = schema(name);
    EXPECT_EQ(Violation(json::parse(world.File(name)), rules, rules, name), "");
  }
  // The check itself can fail.
  const json rules = schema("occurrence.json");
  EXPECT_NE(Violation(json::parse(R"({"schema": 1})"), rules, rules, ""), "");
  json row = json::parse(LinesOf(world.File("occurrences.jsonl"))[0]);
  row["blob"] = "00";
  EXPECT_NE(Violation(row, rules, rules, ""), "");
}

}  // namespace
}  // namespace unsprawl
