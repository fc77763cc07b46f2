#include "engine/match/ruleset.h"

#include <algorithm>

#include "engine/match/ruleset_filters.h"

namespace unsprawl {

std::vector<uint64_t> Ruleset::keys() const {
  std::vector<uint64_t> keys;
  keys.reserve(by_key_.size());
  for (const auto& [key, index] : by_key_) {
    if (keys.empty() || keys.back() != key) keys.push_back(key);
  }
  return keys;
}

std::vector<uint64_t> Ruleset::blob_keys() const {
  std::vector<uint64_t> all = keys();
  std::erase_if(all, [this](uint64_t key) { return FindByKey(key)->is_path_only(); });
  return all;
}

bool Ruleset::has_path_rules() const {
  return std::any_of(rules_.begin(), rules_.end(), [](const Rule& rule) { return rule.is_path_only(); });
}

const Rule* Ruleset::FindByKey(uint64_t key) const {
  const auto at = std::lower_bound(by_key_.begin(), by_key_.end(), std::pair<uint64_t, uint32_t>(key, 0));
  return at != by_key_.end() && at->first == key ? &rules_[at->second] : nullptr;
}

const Rule* Ruleset::FindById(std::string_view rule_id) const {
  const auto at = std::lower_bound(rules_.begin(), rules_.end(), rule_id,
                                   [](const Rule& rule, std::string_view id) { return rule.id < id; });
  return at != rules_.end() && at->id == rule_id ? &*at : nullptr;
}

bool Allowlist::AppliesTo(std::string_view rule_id) const {
  return target_rules.empty() || std::find(target_rules.begin(), target_rules.end(), rule_id) != target_rules.end();
}

bool Finds(const RE2& expression, std::string_view text) {
  return RE2::PartialMatch(re2::StringPiece(text.data(), text.size()), expression);
}

bool MatchesAny(const std::vector<std::unique_ptr<RE2>>& expressions, std::string_view text) {
  return std::any_of(expressions.begin(), expressions.end(), [text](const auto& expression) { return Finds(*expression, text); });
}

std::unique_ptr<RE2> CompileExpression(std::string_view expression, std::string* error) {
  RE2::Options options;
  options.set_encoding(RE2::Options::EncodingLatin1);
  options.set_log_errors(false);
  options.set_max_mem(8 << 20);
  auto compiled = std::make_unique<RE2>(re2::StringPiece(expression.data(), expression.size()), options);
  if (compiled->ok()) return compiled;
  *error = compiled->error();
  return nullptr;
}

}  // namespace unsprawl
