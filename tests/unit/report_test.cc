#include "coordinator/report/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <map>
#include <nlohmann/json.hpp>

#include "coordinator/report/html_assets.h"
#include "coordinator/report/severity.h"
#include "engine/base/escape.h"
#include "engine/base/object_id.h"
#include "tests/unit/report_world.h"

namespace unsprawl {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::Not;

std::vector<json> Rows(const ReportWorld& world, std::string_view file) {
  std::vector<json> rows;
  for (const std::string& line : LinesOf(world.File(file))) rows.push_back(json::parse(line));
  return rows;
}

TEST(ReportTest, EverySecretIsOneIncidentAndEveryPlaceOneRow) {
  ReportWorld world;
  const Rule& pat = world.RuleOf("forge-pat");
  const Rule& password = world.RuleOf("password-assignment");
  world.Repository("a/one",
                   {RowOf(pat, 1, "deploy.sh", CommitRowOf("c1", 10), v1::PRESENCE_HEAD),
                    RowOf(pat, 1, "old.sh", CommitRowOf("c2", 5, "Bo", "BO@example.org"), v1::PRESENCE_HISTORY),
                    RowOf(password, 2, "app.py", CommitRowOf("c3", 2), v1::PRESENCE_HISTORY)});
  world.Repository("b/two",
                   {RowOf(pat, 1, "deploy.sh", CommitRowOf("c4", 20, "Bo", "bo@EXAMPLE.org"), v1::PRESENCE_BRANCH)});
  const ReportTotals totals = world.Write();
  EXPECT_EQ(totals.incidents, 2u);
  EXPECT_EQ(totals.open, 1u);
  EXPECT_EQ(totals.in_head, 1u);
  EXPECT_EQ(totals.occurrences, 4u);
  EXPECT_EQ(totals.repositories_affected, 2u);
  EXPECT_TRUE(totals.complete);

  const std::vector<json> incidents = Rows(world, "incidents.jsonl");
  ASSERT_EQ(incidents.size(), 2u);
  const json& first = incidents[0];
  EXPECT_EQ(first["id"], ToHex(SecretOf(1)));
  EXPECT_EQ(first["short_id"], ToHex(SecretOf(1)).substr(0, 12));
  EXPECT_EQ(first["rule"], "forge-pat");
  EXPECT_EQ(first["preview"], "fgp_…");
  EXPECT_EQ(first["state"], "open");
  EXPECT_EQ(first["presence"], "head");
  EXPECT_EQ(first["repositories"], 2);
  EXPECT_EQ(first["occurrences"], 3);
  EXPECT_EQ(first["introductions"], 3);
  EXPECT_EQ(first["locations"], 3);
  EXPECT_EQ(first["authors"], 2) << "mail addresses are compared without regard to case";
  EXPECT_EQ(first["first_introduced"]["date"], FormatUtc(Day(5)));
  EXPECT_EQ(first["first_introduced"]["repository"], "a/one");
  EXPECT_EQ(first["last_removed"], nullptr);
  // 40 × 1 (private) × 1 (head) × 1 (no check) + 1 repository more.
  EXPECT_EQ(first["score"], 41);
  EXPECT_EQ(first["severity"], "high");
  EXPECT_EQ(incidents[1]["state"], "removed");
  EXPECT_EQ(incidents[1]["preview"], "");

  const std::vector<json> rows = Rows(world, "occurrences.jsonl");
  ASSERT_EQ(rows.size(), 4u);
  EXPECT_EQ(rows[0]["incident"], first["id"]);
  EXPECT_EQ(rows[0]["path"], "deploy.sh");
  EXPECT_EQ(rows[0]["start_line"], 7);
  EXPECT_EQ(rows[0]["end_column"], 52);
  EXPECT_EQ(rows[0]["commit"], ToHex(CommitRowOf("c1", 10).id()));
  EXPECT_EQ(rows[0]["date"], FormatUtc(Day(10)));
  EXPECT_EQ(rows[2]["repository"], "b/two");
  EXPECT_EQ(rows[3]["end_column"], rows[3]["start_column"]) << "a generic secret's length is private";
}

TEST(ReportTest, TheSpecificRuleNamesASecretThatTwoRulesFound) {
  ReportWorld world;
  const Rule& pat = world.RuleOf("forge-pat");
  const Rule& password = world.RuleOf("password-assignment");
  world.Repository("a", {RowOf(password, 1, "x", CommitRowOf("c1", 1), v1::PRESENCE_HEAD),
                         RowOf(pat, 1, "y", CommitRowOf("c2", 2), v1::PRESENCE_HISTORY)});
  world.Write();
  EXPECT_EQ(Rows(world, "incidents.jsonl")[0]["rule"], "forge-pat");
  const std::vector<json> rows = Rows(world, "occurrences.jsonl");
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0]["rule"], "forge-pat");
  EXPECT_EQ(rows[0]["matched_rule"], "password-assignment");
  EXPECT_EQ(rows[1]["matched_rule"], "forge-pat");
}

TEST(ReportTest, AGenericMatchGivesWayToASpecificOneOnTheSameBytes) {
  ReportWorld world;
  v1::Occurrence generic = RowOf(world.RuleOf("password-assignment"), 1, "x", CommitRowOf("c", 1),
                                 v1::PRESENCE_HEAD);
  generic.add_overlapping(world.RuleOf("forge-pat").key);
  v1::Occurrence specific =
      RowOf(world.RuleOf("forge-pat"), 2, "x", CommitRowOf("c", 1), v1::PRESENCE_HEAD);
  specific.add_overlapping(world.RuleOf("password-assignment").key);
  world.Repository("a", {generic, specific});
  EXPECT_EQ(world.Write().incidents, 1u);
  EXPECT_EQ(Rows(world, "incidents.jsonl")[0]["rule"], "forge-pat");
  EXPECT_EQ(json::parse(world.File("manifest.json"))["results"]["matches_of_a_more_specific_rule"], 1);
}

TEST(ReportTest, DroppingTheSpecificRuleRevivesTheGenericMatch) {
  ReportWorld world;
  v1::Occurrence generic = RowOf(world.RuleOf("password-assignment"), 1, "x", CommitRowOf("c", 1),
                                 v1::PRESENCE_HEAD);
  v1::Occurrence dropped = generic;
  generic.add_overlapping(0x1234);  // of a rule that is not in the ruleset any more
  dropped.set_secret(SecretOf(9));
  dropped.mutable_match()->set_rule(0x1234);
  world.Repository("a", {generic, dropped});
  EXPECT_EQ(world.Write().incidents, 1u);
  EXPECT_EQ(json::parse(world.File("manifest.json"))["results"]["matches_of_rules_not_in_ruleset"], 1);
}

TEST(ReportTest, AnIncidentBelowTheMinimumConfidenceIsCountedAndNotShown) {
  ReportWorld world;
  const Rule& password = world.RuleOf("password-assignment");
  v1::Occurrence doubtful =
      RowOf(password, 1, "web/login.min.js", CommitRowOf("c", 1), v1::PRESENCE_HEAD);
  v1::Occurrence plain = RowOf(password, 2, "src/login.py", CommitRowOf("c", 1), v1::PRESENCE_HEAD);
  v1::Occurrence plain_in_test = plain;
  plain_in_test.set_paths(0, "web/login.min.js");
  world.Repository("a", {doubtful, plain, plain_in_test});
  EXPECT_EQ(world.Write().incidents, 1u);
  EXPECT_EQ(json::parse(world.File("manifest.json"))["results"]["incidents_below_min_confidence"], 1);
  EXPECT_THAT(world.File("summary.txt"), HasSubstr("low confidence"));
  // Every place of what is shown is shown, the doubtful ones too.
  const std::vector<json> rows = Rows(world, "occurrences.jsonl");
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_GT(rows[0]["confidence"], rows[1]["confidence"]);

  world.input.min_confidence = 0;
  EXPECT_EQ(world.Write().incidents, 2u);
}

TEST(ReportTest, AValueThatMovedOutOfATestFolderIsJudgedWhereItIsNow) {
  ReportWorld world;
  v1::Occurrence row = RowOf(world.RuleOf("password-assignment"), 1, "tests/fixtures/a.py",
                             CommitRowOf("c", 1), v1::PRESENCE_HEAD);
  row.add_paths("src/a.py");
  world.Repository("a", {row});
  EXPECT_EQ(world.Write().incidents, 1u);
  const json place = Rows(world, "occurrences.jsonl")[0];
  EXPECT_EQ(place["path"], "tests/fixtures/a.py");
  EXPECT_EQ(place["moved_to"][0]["path"], "src/a.py");
  EXPECT_EQ(Rows(world, "incidents.jsonl")[0]["factors"]["assurance"], "none");
  EXPECT_EQ(Rows(world, "incidents.jsonl")[0]["locations"], 2);
}

TEST(ReportTest, ARemovalIsShownAndDoesNotCloseTheIncident) {
  ReportWorld world;
  v1::Occurrence row = RowOf(world.RuleOf("mailer-api-key"), 1, "a.env", CommitRowOf("c", 1),
                             v1::PRESENCE_HISTORY);
  *row.add_removals() = CommitRowOf("r1", 30);
  *row.add_removals() = CommitRowOf("r2", 60);
  world.Repository("a", {row});
  const ReportTotals totals = world.Write();
  EXPECT_EQ(totals.incidents, 1u);
  EXPECT_EQ(totals.open, 0u);
  EXPECT_EQ(totals.by_severity[static_cast<size_t>(Severity::kMedium)], 1u);  // 30 × 0.7
  EXPECT_EQ(Rows(world, "incidents.jsonl")[0]["last_removed"]["date"], FormatUtc(Day(60)));
  EXPECT_EQ(Rows(world, "occurrences.jsonl")[0]["removed_in"].size(), 2u);
}

TEST(ReportTest, TheScoreIsTheProductOfItsPublishedFactors) {
  SeverityFactors factors;
  factors.impact = Impact::kHighProvider;
  factors.exposure = Exposure::kPublic;
  factors.presence = v1::PRESENCE_HEAD;
  factors.assurance = Assurance::kVerified;
  factors.repositories = 4;
  EXPECT_EQ(ScoreTenths(factors), 690);  // 40 × 1.5 × 1.1 + 3
  EXPECT_EQ(SeverityOfScore(690), Severity::kCritical);
  factors.repositories = 1000;
  EXPECT_EQ(ScoreTenths(factors), 760);
  factors.structurally_dead = true;
  EXPECT_EQ(ScoreTenths(factors), 100);
  factors = SeverityFactors{};
  factors.presence = v1::PRESENCE_UNREACHABLE;
  factors.assurance = Assurance::kDoubtful;
  EXPECT_EQ(ScoreTenths(factors), 23);  // 15 × 0.5 × 0.3 = 2.25
  EXPECT_EQ(SeverityOfScore(550), Severity::kCritical);
  EXPECT_EQ(SeverityOfScore(549), Severity::kHigh);
  EXPECT_EQ(SeverityOfScore(350), Severity::kHigh);
  EXPECT_EQ(SeverityOfScore(349), Severity::kMedium);
  EXPECT_EQ(SeverityOfScore(199), Severity::kLow);
}

TEST(ReportTest, APartialScanIsNeverShownAsClean) {
  ReportWorld world;
  RepositoryOutcome& broken = world.Repository("org/broken", {});
  broken.status = RepositoryOutcome::Status::kPartial;
  broken.reason = "2 objects are damaged";
  v1::Skip& skip = *broken.coverage.add_skips();
  skip.set_reason(v1::SKIP_REASON_DAMAGED);
  skip.set_detail("pack-1.pack: offset 12: bad zlib stream");
  skip.set_object_id(std::string(20, '\xB1'));
  skip.set_count(2);
  v1::Skip& policy = *broken.coverage.add_skips();
  policy.set_reason(v1::SKIP_REASON_TOO_LARGE);
  world.input.accepted.insert(v1::SKIP_REASON_TOO_LARGE);
  const ReportTotals totals = world.Write();
  EXPECT_FALSE(totals.complete);
  EXPECT_THAT(world.File("summary.txt"), HasSubstr("INCOMPLETE COVERAGE: 1 of 1 repository"));
  EXPECT_THAT(world.File("summary.txt"), HasSubstr("org/broken"));
  EXPECT_THAT(world.File("summary.txt"), Not(HasSubstr("No secrets found.")));
  EXPECT_THAT(world.File("report.html"), HasSubstr("Incomplete coverage"));
  EXPECT_THAT(world.File("report.html"), Not(HasSubstr("Coverage: complete")));
  const json manifest = json::parse(world.File("manifest.json"));
  EXPECT_EQ(manifest["complete"], false);
  EXPECT_EQ(manifest["coverage"]["partial"], 1);
  const json& skips = manifest["repositories"][0]["skips"];
  ASSERT_EQ(skips.size(), 2u);
  EXPECT_EQ(skips[0]["kind"], "damaged");
  EXPECT_EQ(skips[0]["count"], 2);
  EXPECT_EQ(skips[0]["accepted"], false);
  EXPECT_EQ(skips[0]["details"][0], "pack-1.pack: offset 12: bad zlib stream");
  EXPECT_EQ(skips[1]["kind"], "policy");
  EXPECT_EQ(skips[1]["count"], 1);
  EXPECT_EQ(skips[1]["accepted"], true);
}

TEST(ReportTest, NoFileHoldsABlobIdOrAnUndeclaredPreview) {
  ReportWorld world;
  v1::Occurrence row =
      RowOf(world.RuleOf("forge-pat"), 1, "x", CommitRowOf("c", 1), v1::PRESENCE_HEAD);
  row.mutable_match()->set_preview("fgp_ZZTOP");
  v1::Occurrence generic = RowOf(world.RuleOf("password-assignment"), 2, "x", CommitRowOf("c", 1),
                                 v1::PRESENCE_HEAD);
  generic.mutable_match()->set_preview("ZZTOP");
  world.Repository("a", {row, generic});
  world.Write();
  for (const char* name : kReportFiles) {
    EXPECT_THAT(world.File(name), Not(HasSubstr(ToHex(row.blob())))) << name;
    EXPECT_THAT(world.File(name), Not(HasSubstr("ZZTOP"))) << name;
  }
}

// Names that try to break out of every sink.
std::string HostileName(int variant) {
  switch (variant) {
    case 0: return "</script><script>alert(1)</script>";
    case 1: return "\"><img src=x onerror=alert(1)>";
    case 2: return "a\xE2\x80\xAE" "gpj.exe\xE2\x80\xAC\xE2\x80\x8B";
    case 3: return "\x1b]0;owned\x07\x1b[2J\r\n::error::";
    case 4: return "caf\xE9/\xFF\xFE";
    default: return std::string(10'000, 'p') + "/<b>'&";
  }
}

TEST(ReportTest, HostileNamesAreOnlyEverText) {
  ReportWorld world;
  for (int i = 0; i < 6; ++i) {
    const std::string name = HostileName(i);
    v1::Occurrence row = RowOf(world.RuleOf("forge-pat"), static_cast<uint32_t>(i), name,
                               CommitRowOf("c", i, name, name), v1::PRESENCE_HEAD);
    row.add_paths(name + "2");
    RepositoryOutcome& repository = world.Repository(name, {row});
    repository.status = RepositoryOutcome::Status::kFailed;
    repository.reason = name;
    v1::Skip& skip = *repository.coverage.add_skips();
    skip.set_reason(v1::SKIP_REASON_BROKEN_FILE);
    skip.set_detail(name);
  }
  world.input.sandboxed = false;
  world.input.sandbox_note = HostileName(0);
  world.Write();

  std::string page = world.File("report.html");
  EXPECT_LT(page.size(), 200'000u) << "long names are cut";
  for (std::string_view ours : {kReportStyle, kReportScript}) {
    const size_t at = page.find(ours);
    ASSERT_NE(at, std::string::npos);
    page.erase(at, ours.size());
  }
  EXPECT_EQ(page.find("<script"), page.rfind("<script")) << "one script: ours";
  EXPECT_THAT(page, Not(HasSubstr("<img")));
  EXPECT_THAT(page, Not(HasSubstr("<b>")));
  for (const char* name : {"report.html", "summary.txt", "incidents.jsonl", "occurrences.jsonl", "manifest.json"}) {
    const std::string text = world.File(name);
    ASSERT_TRUE(IsValidUtf8(text)) << name;
    for (std::string_view rest = text; !rest.empty();) {
      const CodePoint point = DecodeFront(rest);
      if (point.value != '\n') {
        ASSERT_FALSE(IsInvisible(point.value)) << name << " " << point.value;
      }
      rest.remove_prefix(point.bytes);
    }
  }
  for (const std::string& line : LinesOf(world.File("summary.txt"))) {
    EXPECT_LE(DisplayColumns(line), 100u) << line;
  }
  // Nothing is lost: what is not UTF-8 can be taken from its hex member.
  bool found = false;
  for (const json& row : Rows(world, "occurrences.jsonl")) {
    found |= row.value("path_hex", "") == ToHex(HostileName(4));
  }
  EXPECT_TRUE(found);
}

TEST(ReportTest, ThePageAllowsNothingButItsOwnStyleAndScript) {
  ReportWorld world;
  world.Repository("a", {});
  world.Write();
  const std::string page = world.File("report.html");
  auto between = [&](std::string_view begin, std::string_view end) {
    const size_t from = page.find(begin) + begin.size();
    return page.substr(from, page.find(end, from) - from);
  };
  EXPECT_EQ(CspHash(""), "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
  const std::string policy = between("Content-Security-Policy\" content=\"", "\"");
  EXPECT_EQ(policy, "default-src 'none'; style-src '" + CspHash(between("<style>", "</style>")) +
                        "'; script-src '" + CspHash(between("<script>", "</script>")) +
                        "'; base-uri 'none'; form-action 'none'");
  for (const char* forbidden : {"http://", "https://", " style=", "src=", "onclick", "innerHTML"}) {
    EXPECT_THAT(page, Not(HasSubstr(forbidden)));
  }
}

TEST(ReportTest, TheSameInputGivesTheSameBytesInAnyTimeZone) {
  ReportWorld world;
  for (int i = 0; i < 20; ++i) {
    std::vector<v1::Occurrence> rows;
    for (uint32_t secret = 0; secret < 40; ++secret) {
      const Rule& rule = world.ruleset->rules()[(secret * 7) % world.ruleset->rules().size()];
      rows.push_back(RowOf(rule, secret, "p" + std::to_string(i * secret), CommitRowOf("c" + std::to_string(i), i),
                           static_cast<v1::Presence>(1 + (static_cast<int>(secret) + i) % 4)));
    }
    world.Repository("repo" + std::to_string(100 + i), rows);
  }
  world.Write();
  std::map<std::string, std::string> before;
  for (const char* name : kReportFiles) before[name] = world.File(name);
  setenv("TZ", "Pacific/Chatham", 1);
  tzset();
  world.Write();
  unsetenv("TZ");
  tzset();
  for (const char* name : kReportFiles) EXPECT_EQ(before[name], world.File(name)) << name;

  world.input.run.run_id = 8;
  world.input.run.finished_us += 1'000'000;
  world.Write();
  for (const char* name : kReportFiles) {
    EXPECT_EQ(before[name] == world.File(name), std::string_view(name) != "run.json") << name;
  }
}

TEST(ReportTest, FilesAreForTheirOwnerOnly) {
  ReportWorld world;
  world.Repository("a", {});
  world.Write();
  struct stat info;
  ASSERT_EQ(stat(world.dir().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0700u);
  size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(world.dir())) {
    ASSERT_EQ(stat(entry.path().c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 07777, 0600u) << entry.path();
    ++files;
  }
  EXPECT_EQ(files, std::size(kReportFiles)) << "nothing temporary stays";
}

std::vector<v1::Occurrence> ManyPlaces(const Rule& rule, uint32_t secret, int count) {
  std::vector<v1::Occurrence> rows;
  for (int i = 0; i < count; ++i) {
    rows.push_back(RowOf(rule, secret, "dir/file-" + std::to_string(i),
                         CommitRowOf("c" + std::to_string(i % 100), i % 100), v1::PRESENCE_HISTORY));
  }
  return rows;
}

TEST(ReportTest, ASecretInMorePlacesThanFitInMemoryKeepsAllOfThemInOrder) {
  ReportWorld world;
  const Rule& pat = world.RuleOf("forge-pat");
  std::vector<v1::Occurrence> rows = ManyPlaces(pat, 1, 30'000);
  v1::Occurrence dropped = RowOf(world.RuleOf("password-assignment"), 2, "web/x.min.js",
                                 CommitRowOf("c", 1), v1::PRESENCE_HEAD);
  rows.push_back(dropped);
  rows.push_back(RowOf(pat, 3, "last", CommitRowOf("c", 1), v1::PRESENCE_HEAD));
  world.Repository("a", rows);
  EXPECT_EQ(world.Write().occurrences, 30'001u);
  const std::vector<std::string> lines = LinesOf(world.File("occurrences.jsonl"));
  ASSERT_EQ(lines.size(), 30'001u);
  for (size_t i = 0; i < 30'000; ++i) {
    const json row = json::parse(lines[i], nullptr, false);
    ASSERT_FALSE(row.is_discarded()) << lines[i];
    ASSERT_EQ(row["path"], "dir/file-" + std::to_string(i));
    ASSERT_EQ(row["incident"], ToHex(SecretOf(1)));
  }
  const json incident = Rows(world, "incidents.jsonl")[0];
  EXPECT_EQ(incident["locations"], 30'000);
  EXPECT_EQ(incident["paths"].size(), 20u);
  EXPECT_EQ(incident["paths_omitted"], 29'980);
}

TEST(ReportTest, ManyIncidentsStayABoundedPage) {
  ReportWorld world;
  std::vector<v1::Occurrence> rows;
  for (uint32_t secret = 0; secret < 3000; ++secret) {
    rows.push_back(RowOf(world.RuleOf(secret % 3 == 0 ? "forge-pat" : "mailer-api-key"), secret, "x",
                         CommitRowOf("c", 1), v1::PRESENCE_HEAD));
  }
  world.Repository("a", rows);
  EXPECT_EQ(world.Write().incidents, 3000u);
  EXPECT_EQ(LinesOf(world.File("incidents.jsonl")).size(), 3000u);
  const std::string page = world.File("report.html");
  size_t shown = 0;
  for (size_t at = page.find("<details"); at != std::string::npos; at = page.find("<details", at + 1)) {
    ++shown;
  }
  EXPECT_EQ(shown, 500u);
  EXPECT_THAT(page, HasSubstr("The gravest 500 of 3,000"));
  EXPECT_THAT(page, Not(HasSubstr("class=\"what\">Mailer"))) << "the graver ones come first";
}

TEST(ReportTest, AFullDiskIsAnErrorAndLeavesTheOldReportWhole) {
  ReportWorld world;
  world.Repository("a", ManyPlaces(world.RuleOf("forge-pat"), 1, 10));
  world.Write();
  const std::string before = world.File("occurrences.jsonl");
  world.Repository("b", ManyPlaces(world.RuleOf("forge-pat"), 1, 3000));

  rlimit old;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &old), 0);
  signal(SIGXFSZ, SIG_IGN);
  const rlimit small = {100'000, old.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const absl::StatusOr<ReportTotals> totals = WriteReport(world.input, *world.ledger, world.dir());
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &old), 0);
  ASSERT_FALSE(totals.ok());
  EXPECT_THAT(std::string(totals.status().message()), HasSubstr("cannot write"));
  EXPECT_THAT(std::string(totals.status().message()), HasSubstr("occurrences.jsonl"));
  EXPECT_EQ(world.File("occurrences.jsonl"), before);
  EXPECT_TRUE(std::filesystem::exists(world.dir() / "manifest.json"));
  size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(world.dir())) files += entry.exists();
  EXPECT_EQ(files, std::size(kReportFiles)) << "nothing temporary stays";
}

TEST(ReportTest, AFolderThatCannotBeMadeIsNamed) {
  ReportWorld world;
  world.Repository("a", {});
  std::ofstream(world.temp.path() / "file") << "x";
  const std::filesystem::path dir = world.temp.path() / "file" / "report";
  const absl::StatusOr<ReportTotals> totals = WriteReport(world.input, *world.ledger, dir);
  ASSERT_FALSE(totals.ok());
  EXPECT_THAT(std::string(totals.status().message()), HasSubstr("/file"));
}

TEST(ReportTest, ARunWithoutAnyRepositoryOrSecretIsStillAReport) {
  ReportWorld world;
  const ReportTotals totals = world.Write();
  EXPECT_EQ(totals.incidents, 0u);
  EXPECT_EQ(world.File("incidents.jsonl"), "");
  EXPECT_EQ(world.File("occurrences.jsonl"), "");
  EXPECT_THAT(world.File("summary.txt"), HasSubstr("No secrets found."));
  EXPECT_EQ(json::parse(world.File("manifest.json"))["repositories"].size(), 0u);
}

}  // namespace
}  // namespace unsprawl
