// What the engine finds with one expression, read as a rule's: for .ci/conformance, which compares it with Go.
//
// usage: expression_matches rules    a line of JSON for each expression of the program's own rules and their examples
//        expression_matches          answers each line of JSON on stdin with one; texts are hexadecimal
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "absl/strings/escaping.h"
#include "absl/strings/str_format.h"
#include "coordinator/example_text.h"
#include "coordinator/named_examples.h"
#include "engine/base/status.h"
#include "engine/match/detector_impl.h"
#include "engine/match/ruleset_filters.h"

namespace unsprawl {
namespace {

using Json = nlohmann::json;

int PrintRules() {
  const auto ruleset = Ruleset::Builtin();
  CHECK(ruleset.ok());
  for (const Rule& rule : ruleset->rules()) {
    Json examples = Json::array();
    for (const std::string& example : rule.is_named() ? NamedExamples(rule) : rule.examples) {
      const auto text = ExpandExample(example, 1);
      CHECK(text.ok());
      examples.push_back(absl::BytesToHexString(*text));
    }
    for (const std::string& expression : {rule.regex, rule.anchor, rule.path}) {
      if (!expression.empty()) std::cout << Json({{"regex", expression}, {"texts", examples}}) << "\n";
    }
  }
  return 0;
}

// By match, where it and each group begin and end; -1 where a group has no part in it.
Json Matches(const LazyRegex& regex, std::string_view text) {
  MatchGroups groups(1 + static_cast<size_t>(regex.Get().NumberOfCapturingGroups()));
  Json matches = Json::array();
  FindAll(regex.Get(), text, 0, text.size(), &groups, [&] {
    Json& match = matches.emplace_back(Json::array());
    for (const re2::StringPiece& group : groups) {
      match.push_back(group.data() == nullptr ? -1 : group.begin() - text.data());
      match.push_back(group.data() == nullptr ? -1 : group.end() - text.data());
    }
  });
  return matches;
}

// By match, where it and its secret begin and end.
Json Scanned(const Detector& detector, std::string_view text) {
  BlobMatches found;
  BlobScanner(detector).ScanFull(text, &found);
  Json matches = Json::array();
  for (const RawMatch& match : found.matches) {
    if (match.inner.embedding != Embedding::kNone) continue;
    matches.push_back({match.start, match.end, match.secret_start, match.secret_end});
  }
  return matches;
}

Json Answer(const Json& question) {
  const std::string expression = question["regex"].dump();  // A string of JSON is one of TOML.
  const auto ruleset = Ruleset::Parse(
      absl::StrFormat("[[rules]]\nid = 'one'\nregex = %s\n[[rules.allowlists]]\nregexes = [%s]\n", expression, expression),
      "question");
  if (!ruleset.ok()) return {{"refused", ruleset.status().message()}};
  const auto detector = Detector::Create(*ruleset, {}, {});
  const std::string& regex = ruleset->rules()[0].regex;
  const LazyRegex whole(regex, /*lines=*/false);
  Json answer = {{"regex", regex}, {"lines", false}, {"not_scanned", detector.ok() ? "" : detector.status().message()}};
  if (detector.ok()) answer["lines"] = (*detector)->scans()[0].kind == RuleScan::Kind::kLine;
  for (const Json& hex : question["texts"]) {
    const std::string text = absl::HexStringToBytes(hex.get<std::string>());
    answer["allowed"].push_back(MatchesAny(ruleset->filters().rules[0].allowlists[0].regexes, text));
    answer["matches"].push_back(Matches(detector.ok() ? (*detector)->impl().rules.front().regex : whole, text));
    answer["scanned"].push_back(detector.ok() ? Scanned(**detector, text) : Json());
  }
  return answer;
}

int AnswerAll() {
  for (std::string line; std::getline(std::cin, line);) std::cout << Answer(Json::parse(line)) << std::endl;
  return 0;
}

}  // namespace
}  // namespace unsprawl

int main(int argc, char** argv) {
  if (argc == 1) return unsprawl::AnswerAll();
  return std::string_view(argv[1]) == "rules" ? unsprawl::PrintRules() : 2;
}
