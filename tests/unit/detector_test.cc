#include "engine/match/detector.h"

#include <gtest/gtest.h>
#include <re2/re2.h>

#include <algorithm>
#include <thread>

#include "engine/match/confirm.h"
#include "tests/support/git_repo.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/scan_cases.h"

namespace unsprawl {

void PrintTo(const RawMatch& match, std::ostream* out) {
  *out << "rule " << match.rule << " [" << match.start << ", " << match.end << ") secret ["
       << match.secret_start << ", " << match.secret_end << ")";
}

namespace {

class DetectorTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    auto ruleset = Ruleset::Parse(kScanRules, "test");
    ASSERT_THAT(ruleset, IsOk());
    ruleset_ = new Ruleset(*std::move(ruleset));
    auto detector = Detector::Create(*ruleset_, {}, {});
    ASSERT_THAT(detector, IsOk());
    detector_ = detector->release();
  }
  static void TearDownTestSuite() {
    delete detector_;
    delete ruleset_;
  }

  DetectorTest() : scanner_(std::make_unique<BlobScanner>(*detector_)) {}

  uint32_t Index(std::string_view id) const {
    for (uint32_t i = 0; i < ruleset_->rules().size(); ++i) {
      if (ruleset_->rules()[i].id == id) return i;
    }
    ADD_FAILURE() << "no rule " << id;
    return 0;
  }
  BlobMatches Full(std::string_view content) {
    BlobMatches result;
    scanner_->ScanFull(content, &result);
    return result;
  }
  BlobMatches Delta(const EditedText& edited, std::string_view base, const BlobMatches& of_base) {
    BlobMatches result;
    scanner_->ScanDelta(edited.content, edited.copies, base.size(), of_base, &result);
    return result;
  }
  // The secrets of one rule.
  std::vector<std::string> Secrets(std::string_view rule, std::string_view content) {
    std::vector<std::string> secrets;
    const uint32_t index = Index(rule);
    for (const RawMatch& match : Full(content).matches) {
      if (match.rule != index) continue;
      secrets.emplace_back(content.substr(match.secret_start, match.secret_end - match.secret_start));
    }
    return secrets;
  }

  static Ruleset* ruleset_;
  static Detector* detector_;
  const std::unique_ptr<BlobScanner> scanner_;
};

Ruleset* DetectorTest::ruleset_ = nullptr;
Detector* DetectorTest::detector_ = nullptr;

// ---- the oracle: RE2 alone, line by line, without Hyperscan, ranges or reach.

void OracleText(const Rule& rule, uint32_t index, const RE2& re, std::string_view text, uint64_t offset,
                bool keywords, std::vector<RawMatch>* matches) {
  std::string lower;
  MatchGroups groups(1 + static_cast<size_t>(re.NumberOfCapturingGroups()));
  for (size_t at = 0; at < text.size();) {
    if (!re.Match(re2::StringPiece(text.data(), text.size()), at, text.size(), RE2::UNANCHORED,
                  groups.data(), static_cast<int>(groups.size()))) {
      return;
    }
    const auto start = static_cast<size_t>(groups[0].begin() - text.data());
    at = start + groups[0].size();
    if (keywords && !HasKeyword(KeywordRegion(text, start, at), rule.keywords, &lower)) continue;
    const re2::StringPiece secret = SecretOf(groups, rule.secret_group);
    const uint64_t secret_start = offset + static_cast<uint64_t>(secret.begin() - text.data());
    matches->push_back({index, offset + start, offset + at, secret_start, secret_start + secret.size(), {}});
  }
}

// Calls `visit(line, offset)` for each line, without its newline.
template <typename Visit>
void ForEachLine(std::string_view content, const Visit& visit) {
  for (size_t begin = 0; begin < content.size();) {
    const size_t end = std::min(content.find('\n', begin), content.size());
    visit(content.substr(begin, end - begin), begin);
    begin = end + 1;
  }
}

std::vector<std::unique_ptr<RE2>> CompileForOracle(const Ruleset& ruleset) {
  std::vector<std::unique_ptr<RE2>> compiled;
  for (const Rule& rule : ruleset.rules()) {
    compiled.push_back(std::make_unique<RE2>(rule.regex, RE2::Options(RE2::Latin1)));
  }
  return compiled;
}

// Rules of kLine and kWide as detector.h defines them; the others are left out.
std::vector<RawMatch> Oracle(const Detector& detector, std::string_view content) {
  static const auto* const compiled =
      new std::vector<std::unique_ptr<RE2>>(CompileForOracle(detector.ruleset()));
  std::vector<RawMatch> matches;
  std::string lower;
  for (uint32_t i = 0; i < detector.scans().size(); ++i) {
    const Rule& rule = detector.ruleset().rules()[i];
    const RE2& re = *(*compiled)[i];
    const RuleScan::Kind kind = detector.scans()[i].kind;
    if (kind == RuleScan::Kind::kWide && HasKeyword(content, rule.keywords, &lower)) {
      OracleText(rule, i, re, content, 0, false, &matches);
    } else if (kind == RuleScan::Kind::kLine) {
      ForEachLine(content, [&](std::string_view line, size_t offset) {
        OracleText(rule, i, re, line, offset, true, &matches);
      });
    }
  }
  std::sort(matches.begin(), matches.end());
  return matches;
}

std::vector<RawMatch> WithoutSpans(const Detector& detector, std::vector<RawMatch> matches) {
  std::erase_if(matches, [&](const RawMatch& match) {
    const RuleScan::Kind kind = detector.scans()[match.rule].kind;
    return kind == RuleScan::Kind::kSpan || kind == RuleScan::Kind::kNamed ||
           match.inner.embedding != Embedding::kNone;
  });
  return matches;
}

TEST_F(DetectorTest, SortsTheTestRulesIntoAllKinds) {
  using Kind = RuleScan::Kind;
  const auto kind = [&](std::string_view id) { return detector_->scans()[Index(id)].kind; };
  for (const char* id : {"fixed", "tail", "head", "assign", "dense", "greedy", "lazy", "overlap", "keyed",
                         "group-two", "boundary", "latin"}) {
    EXPECT_EQ(kind(id), Kind::kLine) << id;
  }
  for (const char* id : {"wide-newline", "wide-end", "wide-unbounded"}) EXPECT_EQ(kind(id), Kind::kWide) << id;
  for (const char* id : {"block", "block-open"}) EXPECT_EQ(kind(id), Kind::kSpan) << id;
  for (const char* id : {"named-key", "named-secret", "named-beside"}) EXPECT_EQ(kind(id), Kind::kNamed) << id;
}

TEST_F(DetectorTest, FullScanFindsWhatRe2AloneFindsLineByLine) {
  Random random(11);
  std::vector<size_t> found(ruleset_->rules().size());
  for (int round = 0; round < 3000; ++round) {
    const std::string content = RandomText(random, Below(random, 60));
    const BlobMatches full = Full(content);
    ASSERT_EQ(WithoutSpans(*detector_, full.matches), Oracle(*detector_, content))
        << testing::PrintToString(content);
    for (const RawMatch& match : full.matches) ++found[match.rule];
  }
  // Otherwise the test would say little about a rule.
  for (size_t i = 0; i < found.size(); ++i) EXPECT_GT(found[i], 20u) << ruleset_->rules()[i].id;
}

TEST_F(DetectorTest, DeltaScanFindsWhatFullScanFinds) {
  Random random(12);
  uint64_t inherited = 0;
  for (int round = 0; round < 1500; ++round) {
    std::string base = RandomText(random, Below(random, 150));
    BlobMatches of_base = Full(base);
    for (int generation = 0; generation < 4; ++generation) {
      EditedText edited = RandomEdit(random, base);
      const uint64_t before = scanner_->stats().bytes_scanned;
      BlobMatches delta = Delta(edited, base, of_base);
      const uint64_t scanned = scanner_->stats().bytes_scanned - before;
      inherited += 2 * edited.content.size() - std::min<uint64_t>(scanned, 2 * edited.content.size());
      const BlobMatches full = Full(edited.content);
      ASSERT_EQ(delta.matches, full.matches)
          << testing::PrintToString(base) << "\n to \n" << testing::PrintToString(edited.content);
      ASSERT_EQ(delta.anchors, full.anchors);
      base = std::move(edited.content), of_base = std::move(delta);
    }
  }
  EXPECT_GT(inherited, 500'000u);  // The shortcut was taken.
}

TEST_F(DetectorTest, DeltaScanOfSmallChangesOfLargeTextsFindsWhatFullScanFinds) {
  Random random(13);
  for (int round = 0; round < 60; ++round) {
    const std::string base = RandomText(random, 3000);
    const BlobMatches of_base = Full(base);
    EditedText edited;
    uint64_t at = 0;
    while (at < base.size()) {
      const uint64_t length = std::min<uint64_t>(1 + Below(random, 6000), base.size() - at);
      edited.AddCopy(base, at, length);
      at += length;
      if (Below(random, 2) == 0) edited.AddNew(RandomPiece(random));
      if (Below(random, 2) == 0) at = std::min<uint64_t>(at + Below(random, 40), base.size());
    }
    const BlobMatches delta = Delta(edited, base, of_base);
    const BlobMatches full = Full(edited.content);
    ASSERT_EQ(delta.matches, full.matches);
    ASSERT_EQ(delta.anchors, full.anchors);
  }
}

TEST_F(DetectorTest, OnlyWhatTheDeltaTouchesIsScanned) {
  auto ruleset = Ruleset::Parse("[[rules]]\nid='r'\nregex='abc[0-9]'\n", "test");
  auto detector = Detector::Create(*ruleset, {}, {});
  BlobScanner scanner(**detector);
  std::string base;
  for (int i = 0; i < 1000; ++i) base += "line abc1 of the base\n";
  BlobMatches of_base, result;
  scanner.ScanFull(base, &of_base);
  EXPECT_EQ(scanner.stats().bytes_scanned, base.size());
  EditedText edited;
  edited.AddCopy(base, 0, 10000);
  edited.AddNew("new");
  edited.AddCopy(base, 10000, base.size() - 10000);
  scanner.ScanDelta(edited.content, edited.copies, base.size(), of_base, &result);
  EXPECT_LT(scanner.stats().bytes_scanned - base.size(), 100u);
  EXPECT_EQ(result.matches.size(), 1000u);
}

TEST_F(DetectorTest, ASpanIsConfirmedAgainWhenWhatFollowsItsAnchorChanges) {
  const std::string pad(100, 'x');
  const std::string base = pad + "\n--BEG KEY--\n01234567\n" + pad;  // no end
  const BlobMatches of_base = Full(base);
  EXPECT_TRUE(of_base.matches.empty());
  EXPECT_EQ(of_base.anchors.size(), 1u);
  EditedText edited;
  edited.AddCopy(base, 0, base.size() - pad.size());
  edited.AddNew("--END\n");
  edited.AddCopy(base, base.size() - pad.size(), pad.size());
  const BlobMatches delta = Delta(edited, base, of_base);
  ASSERT_EQ(delta.matches.size(), 1u);
  EXPECT_EQ(delta.matches[0].rule, Index("block"));
  EXPECT_EQ(delta.matches, Full(edited.content).matches);
}

TEST_F(DetectorTest, ASpanEndsSpanBytesAfterItsAnchor) {
  const auto text = [](size_t body) { return "--BEG KEY--\n" + std::string(body, 'a') + "--END"; };
  // span_bytes = 120 counts from the end of the anchor "--BEG KEY".
  EXPECT_EQ(Secrets("block", text(90)).size(), 1u);
  EXPECT_EQ(Secrets("block", text(91)).size(), 0u);  // {4,90}
  EXPECT_EQ(Secrets("block-open", "note:it" + std::string(38, 'k') + "#secret").at(0), "secret");
  EXPECT_EQ(Secrets("block-open", "note:it" + std::string(38, 'k') + "#secrets!").at(0), "secrets!" + std::string());
}

TEST_F(DetectorTest, KeywordsMustBeInTheLine) {
  EXPECT_EQ(Secrets("keyed", "ACME id:1234"), std::vector<std::string>{"1234"});
  EXPECT_TRUE(Secrets("keyed", "acme\nid:1234\nkey").empty());
}

TEST_F(DetectorTest, AVeryLongLineCostsTimeInProportionToItsLength) {
  std::string line;
  while (line.size() < 1'000'000) line += "password='abcdefgh';denzzzzzzzzz aba id:1234 acme gre y! ";
  const uint64_t before = scanner_->stats().confirms;
  const BlobMatches full = Full(line);
  const uint64_t pieces = line.size() / 50;
  EXPECT_GT(full.matches.size(), 3 * pieces);
  EXPECT_LT(scanner_->stats().confirms - before, full.matches.size() + 1000);
  const std::string dense = "den" + std::string(2'000'000, 'z');
  EXPECT_EQ(Full(dense).matches.size(), 1u);
}

// Each of many names before a long run of the value's bytes: to compare all of them with all shapes has no end.
TEST_F(DetectorTest, ATextThatCostsFarMoreThanToReadItIsSaidToBeTooMuch) {
  const std::string names = "[[rules]]\nid='n'\nnames=['zorg']\nvalues=['{b64:240-500}=','{b64:300-400}-{b64:200-400}']\n";
  const auto ruleset = Ruleset::Parse(names, "test");
  ASSERT_THAT(ruleset, IsOk());
  const auto detector = Detector::Create(*ruleset, {}, {});
  ASSERT_THAT(detector, IsOk());
  BlobScanner scanner(**detector);
  std::string hostile;
  while (hostile.size() < 4 << 20) hostile += "zorg/a+b/c+d/e+f/";
  BlobMatches result;
  scanner.ScanFull(hostile, &result);
  EXPECT_TRUE(result.too_much);
  std::string honest;
  while (honest.size() < 4 << 20) honest += "zorg_key = 'aVeryShortOne'\n";
  scanner.ScanFull(honest, &result);
  EXPECT_FALSE(result.too_much);
}

TEST_F(DetectorTest, EmptyAndOneByteBlobsAreFine) {
  EXPECT_TRUE(Full("").matches.empty());
  EXPECT_TRUE(Full("\n").matches.empty());
  const BlobMatches none;
  EditedText empty;
  EXPECT_TRUE(Delta(empty, "abc", none).matches.empty());
}

TEST_F(DetectorTest, CreateLeavesOutRulesThatAreNotWanted) {
  const uint32_t dense = Index("dense");
  const std::vector<uint64_t> only = {ruleset_->rules()[dense].key};
  auto detector = Detector::Create(*ruleset_, only, {});
  ASSERT_THAT(detector, IsOk());
  BlobScanner scanner(**detector);
  BlobMatches result;
  scanner.ScanFull("denabc aba <<ab>>", &result);
  ASSERT_EQ(result.matches.size(), 1u);
  EXPECT_EQ(result.matches[0].rule, dense);
  EXPECT_EQ((*detector)->scans()[Index("overlap")].kind, RuleScan::Kind::kNone);
}

// Which keyword rule has a value depends on all of them, also where only some are scanned for.
TEST_F(DetectorTest, AKeywordRuleAloneFindsNoMoreThanAmongTheOthers) {
  const uint64_t wanted = ruleset_->rules()[Index("named-secret")].key;
  auto one = Detector::Create(*ruleset_, std::vector<uint64_t>{wanted}, {});
  ASSERT_THAT(one, IsOk());
  EXPECT_EQ((*one)->scans()[Index("named-key")].kind, RuleScan::Kind::kNone);
  BlobScanner scanner(**one);
  Random random(17);
  size_t found = 0;
  for (int round = 0; round < 500; ++round) {
    const std::string content = RandomText(random, 60);
    BlobMatches alone;
    scanner.ScanFull(content, &alone);
    std::vector<RawMatch> among = Full(content).matches;
    std::erase_if(among, [&](const RawMatch& match) { return match.rule != Index("named-secret"); });
    ASSERT_EQ(alone.matches, among) << testing::PrintToString(content);
    found += among.size();
  }
  EXPECT_GT(found, 20u);
}

TEST_F(DetectorTest, ADetectorFromTheCacheFindsTheSame) {
  TempDir dir;
  const Detector::Options options{.cache_dir = dir.path()};
  auto first = Detector::Create(*ruleset_, {}, options);
  auto second = Detector::Create(*ruleset_, {}, options);
  ASSERT_THAT(first, IsOk());
  ASSERT_THAT(second, IsOk());
  EXPECT_FALSE((*first)->loaded_from_cache());
  EXPECT_TRUE((*second)->loaded_from_cache());
  BlobScanner scanner(**second);
  Random random(14);
  const std::string content = RandomText(random, 5000);
  BlobMatches result;
  scanner.ScanFull(content, &result);
  EXPECT_EQ(result.matches, Full(content).matches);
}

TEST_F(DetectorTest, CreateWorksWithoutAUsableCacheFolder) {
  auto detector = Detector::Create(*ruleset_, {}, {.cache_dir = "/dev/null/no"});
  ASSERT_THAT(detector, IsOk());
  EXPECT_FALSE((*detector)->loaded_from_cache());
}

TEST_F(DetectorTest, ThreadsShareADetectorEachWithAScannerOfItsOwn) {
  auto detector = Detector::Create(*ruleset_, {}, {});  // No regex is compiled yet.
  ASSERT_THAT(detector, IsOk());
  Random random(15);
  const std::string content = RandomText(random, 2000);
  const BlobMatches expected = Full(content);
  std::vector<BlobMatches> results(4);
  {
    std::vector<std::jthread> threads;
    for (BlobMatches& result : results) {
      threads.emplace_back([&detector, &content, &result] {
        BlobScanner scanner(**detector);
        for (int i = 0; i < 3; ++i) scanner.ScanFull(content, &result);
      });
    }
  }
  for (const BlobMatches& result : results) EXPECT_EQ(result.matches, expected.matches);
}

TEST(Detector, NoBuiltinRuleNeedsTheWholeBlobOrAnApproximation) {
  auto ruleset = Ruleset::Builtin();
  ASSERT_THAT(ruleset, IsOk());
  auto detector = Detector::Create(*ruleset, {}, {});
  ASSERT_THAT(detector, IsOk());
  for (size_t i = 0; i < ruleset->rules().size(); ++i) {
    const RuleScan& scan = (*detector)->scans()[i];
    EXPECT_NE(scan.kind, RuleScan::Kind::kWide) << ruleset->rules()[i].id;
    EXPECT_FALSE(scan.prefiltered) << ruleset->rules()[i].id;
  }
}

}  // namespace
}  // namespace unsprawl
