// Rule files from strangers: any bytes give a ruleset or an InvalidArgument with words in it, and what
// was parsed judges any match without harm.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "engine/base/status.h"
#include "engine/judge/judge.h"
#include "engine/match/ruleset.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace unsprawl;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto ruleset = Ruleset::Parse(bytes, "fuzz.toml");
  if (!ruleset.ok()) {
    CHECK(ruleset.status().code() == absl::StatusCode::kInvalidArgument);
    CHECK(std::string(ruleset.status().message()).find("fuzz.toml") != std::string::npos ||
          std::string(ruleset.status().message()).find("global") != std::string::npos);
    return 0;
  }
  // The same bytes mean the same rules.
  CHECK(Ruleset::Parse(bytes, "other.toml")->id() == ruleset->id());
  const std::string_view content = bytes.substr(0, 4096);
  for (size_t i = 0; i < ruleset->rules().size() && i < 16; ++i) {
    const Rule& rule = ruleset->rules()[i];
    CHECK(ruleset->FindByKey(rule.key) != nullptr);
    CHECK(ruleset->FindById(rule.id) == &rule);
    const uint64_t start = content.size() / 3, end = content.size() - content.size() / 3;
    const RawMatch match{static_cast<uint32_t>(i), start, end, start, end};
    const MatchFeatures features = Examine(*ruleset, {&match, 1}, content, SecretKey{}, 0).front();
    CHECK(features.start_line >= 1 && features.start_column >= 1 && features.end_line >= features.start_line);
    CHECK(features.identifier.size() <= 64);
    for (const std::string_view path : {std::string_view(), content.substr(0, 64)}) {
      const Verdict verdict = Judge(*ruleset, rule, features.flags, features.entropy, {.path = path});
      CHECK(verdict.confidence >= 0 && verdict.confidence <= 1);
    }
  }
  return 0;
}
