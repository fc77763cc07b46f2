// Made-up credentials of every type in realistic files of every kind (coordinator/named_examples.cc): which are found,
// by which type. docs/recall.md holds the result: UPDATE_GOLDEN=1 writes it.
#include <gmock/gmock.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <map>
#include <sstream>

#include "absl/strings/str_format.h"
#include "coordinator/example_text.h"
#include "coordinator/named_examples.h"
#include "engine/judge/judge.h"
#include "engine/judge/text_shape.h"
#include "engine/match/detector.h"
#include "tests/support/status_matchers.h"

namespace unsprawl {
namespace {

constexpr int64_t kNow = 1767225600;
constexpr uint64_t kSeed = 41;  // none that the rules' own check uses

struct Count {
  int made = 0, found = 0, typed = 0, shown = 0;
  void Add(const Count& one) {
    made += one.made, found += one.found, typed += one.typed, shown += one.shown;
  }
  std::string Row(std::string_view name) const {
    const auto share = [this](int part) { return 100.0 * part / std::max(1, made); };
    return absl::StrFormat("| %s | %d | %.1f | %.1f | %.1f |\n", name, made, share(found), share(typed), share(shown));
  }
};

class Corpus {
 public:
  Corpus() : ruleset_(Ruleset::Builtin().value()), detector_(Detector::Create(ruleset_, {}, {}).value()), scanner_(*detector_) {}

  const Ruleset& ruleset() const { return ruleset_; }

  // A value of this type; empty for one that stands in no single line of text.
  std::string ValueOf(const Rule& rule) {
    if (rule.is_named()) return ExpandExample(rule.values[0], kSeed).value();
    for (const std::string& example : rule.examples) {
      const std::string text = ExpandExample(example, kSeed).value();
      scanner_.ScanFull(text, &matches_);
      for (const RawMatch& match : matches_.matches) {
        if (&ruleset_.rules()[match.rule] != &rule) continue;
        const std::string value = text.substr(match.secret_start, match.secret_end - match.secret_start);
        if (std::all_of(value.begin(), value.end(), [](char c) { return c >= ' ' && c <= '~'; })) return value;
      }
    }
    return "";
  }

  // What is found of `value` in a file of this kind.
  Count Try(const Rule& rule, const NamedPlace& place, const FileKind& kind, const std::string& value) {
    const std::string text = FillSnippet(kind.snippet, place, value);
    const size_t start = text.find(value), end = start + value.size();
    scanner_.ScanFull(text, &matches_);
    const std::vector<MatchFeatures> features = Examine(ruleset_, matches_.matches, text, SecretKey{}, kNow);
    const Rule* best = nullptr;
    double confidence = 0;
    for (size_t i = 0; i < features.size(); ++i) {
      const RawMatch& match = matches_.matches[i];
      if (match.secret_end <= start || match.secret_start >= end) continue;
      const Rule& one = ruleset_.rules()[match.rule];
      const Verdict verdict = Judge(ruleset_, one, features[i].flags, features[i].entropy, {});
      if (!verdict.report) continue;
      confidence = std::max(confidence, verdict.confidence);
      if (best == nullptr || Beats(one, *best)) best = &one;
    }
    return {.made = 1, .found = best != nullptr ? 1 : 0, .typed = best != nullptr && best->provider == rule.provider ? 1 : 0,
            .shown = confidence >= 0.5 ? 1 : 0};
  }

 private:
  const Ruleset ruleset_;
  const std::unique_ptr<Detector> detector_;
  BlobScanner scanner_;
  BlobMatches matches_;
};

// How one names a credential of a rule that has no names: by its provider.
NamedPlace PlaceByProvider(const Rule& rule) {
  Rule named = rule;
  std::string words;
  for (const char c : LowerAscii(rule.provider)) words += IsAlnum(c) ? c : ' ';
  named.names = {rule.rule_class == RuleClass::kGeneric ? "staging" : words};
  const size_t dash = rule.id.rfind('-');
  named.kind = rule.rule_class == RuleClass::kGeneric ? "password" : "api " + rule.id.substr(dash + 1);
  return PlaceOf(named);
}

TEST(Corpus, CredentialsOfEveryTypeAreFoundInFilesOfEveryKind) {
  Corpus corpus;
  std::map<std::string, Count> by_kind, by_class;
  Count all;
  std::map<std::string, bool> providers;
  for (const Rule& rule : corpus.ruleset().rules()) {
    const std::string value = corpus.ValueOf(rule);
    if (value.empty()) continue;
    const NamedPlace place = rule.is_named() ? PlaceOf(rule) : PlaceByProvider(rule);
    for (const FileKind& kind : FileKinds()) {
      const Count one = corpus.Try(rule, place, kind, value);
      by_kind[std::string(kind.name)].Add(one);
      const std::string of = rule.is_named()                               ? "keyword table"
                             : rule.rule_class == RuleClass::kDistinctive ? "A, distinctive"
                             : rule.rule_class == RuleClass::kKeyword     ? "B, by expression"
                                                                           : "C, generic";
      by_class[of].Add(one);
      all.Add(one);
      if (one.typed > 0) providers[rule.provider] = true;
    }
  }
  std::ostringstream page;
  page << "# Recall by file kind and class\nMade by tests/unit/corpus_test.cc: one made-up value of every type that fits in a line, "
          "in a snippet of every kind of file, named as its provider is. In percent of what was made: found by any rule, by one of the "
          "right provider, and shown by default.\n";
  const auto table = [&page](std::string_view title, const std::map<std::string, Count>& rows) {
    page << absl::StrFormat("\n| %s | made | found | right provider | shown |\n|---|---|---|---|---|\n", title);
    for (const auto& [name, count] : rows) page << count.Row(name);
  };
  table("class", by_class);
  table("file kind", by_kind);
  page << absl::StrFormat("\n%d providers were found by their own type at least once.\n", providers.size());

  EXPECT_GE(FileKinds().size(), 25u);
  EXPECT_GE(providers.size(), 800u);
  EXPECT_GE(all.typed, 0.9 * all.made) << page.str();
  for (const auto& [name, count] : by_kind) EXPECT_GE(count.found, 0.9 * count.made) << name;

  const char* const path = UNSPRAWL_SOURCE_DIR "/docs/recall.md";
  if (std::getenv("UPDATE_GOLDEN") != nullptr) std::ofstream(path) << page.str();
  std::ifstream file(path);
  const std::string kept(std::istreambuf_iterator<char>(file), {});
  EXPECT_TRUE(page.str() == kept) << "UPDATE_GOLDEN=1 writes docs/recall.md anew; it should say\n" << page.str();
}

}  // namespace
}  // namespace unsprawl
