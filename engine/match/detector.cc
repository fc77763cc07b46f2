#include "engine/match/detector.h"

#include <algorithm>
#include <optional>

#include "absl/container/flat_hash_map.h"
#include "engine/base/status.h"
#include "engine/match/detector_impl.h"
#include "engine/match/ruleset_filters.h"

namespace unsprawl {
namespace {

bool IsWanted(const Rule& rule, std::span<const uint64_t> only) {
  return only.empty() || std::binary_search(only.begin(), only.end(), rule.key);
}

// By rule: whether its matches are looked for, because it is wanted or a wanted one requires it.
std::vector<bool> NeededRules(const Ruleset& ruleset, const std::vector<bool>& wanted) {
  std::vector<bool> needed = wanted;
  for (size_t i = 0; i < wanted.size(); ++i) {
    if (!wanted[i]) continue;
    for (const uint32_t rule : ruleset.filters().rules[i].required) needed[rule] = true;
  }
  return needed;
}

// The needed rules, and, where a keyword rule is among them, all keyword rules: which of them has a value depends on all.
std::vector<uint32_t> SelectRules(const Ruleset& ruleset, const std::vector<bool>& needed) {
  const std::span<const Rule> rules = ruleset.rules();
  bool named = false;
  for (size_t i = 0; i < rules.size(); ++i) named |= needed[i] && rules[i].is_named();
  std::vector<uint32_t> selected;
  for (uint32_t i = 0; i < rules.size(); ++i) {
    if (rules[i].regex.empty()) continue;  // Judged by path alone.
    if (needed[i] || (named && rules[i].is_named())) selected.push_back(i);
  }
  return selected;
}

absl::StatusOr<CompiledPatterns> LoadOrCompile(const std::vector<const Rule*>& rules,
                                               const Detector::Options& options, bool* loaded) {
  *loaded = false;
  const bool cached = !options.cache_dir.empty();
  const std::string key = cached ? PatternsKey(rules) : "";
  if (cached) {
    std::optional<CompiledPatterns> kept = LoadPatterns(options.cache_dir, key, rules.size());
    *loaded = kept.has_value();
    if (kept) return std::move(*kept);
  }
  if (options.before_compiling) options.before_compiling();
  ASSIGN_OR_RETURN(CompiledPatterns patterns, CompilePatterns(rules));
  if (cached) SavePatterns(patterns, options.cache_dir, key);
  return patterns;
}

}  // namespace

ScannedRule::ScannedRule(uint32_t index, const Rule& the_rule, const RuleScan& the_scan)
    : rule(index),
      scan(the_scan),
      secret_group(the_rule.secret_group),
      regex(the_rule.regex, /*lines=*/the_scan.kind == RuleScan::Kind::kLine),
      anchor(the_rule.is_named() ? the_rule.regex : the_rule.anchor, /*lines=*/true),
      source(the_rule) {}

absl::StatusOr<std::unique_ptr<Detector>> Detector::Create(const Ruleset& ruleset,
                                                           std::span<const uint64_t> only,
                                                           const Options& options) {
  std::vector<bool> wanted;
  for (const Rule& rule : ruleset.rules()) wanted.push_back(IsWanted(rule, only));
  const std::vector<bool> needed = NeededRules(ruleset, wanted);
  std::vector<uint32_t> selected;
  std::vector<const Rule*> rules;
  std::vector<std::vector<uint32_t>> same_names;  // by index into selected
  absl::flat_hash_map<std::string_view, size_t> by_names;
  for (const uint32_t index : SelectRules(ruleset, needed)) {
    const Rule& rule = ruleset.rules()[index];
    if (rule.is_named()) {
      const auto [first, is_new] = by_names.try_emplace(rule.regex, selected.size());
      if (!is_new) {
        same_names[first->second].push_back(index);
        continue;
      }
    }
    selected.push_back(index);
    rules.push_back(&rule);
    same_names.push_back({index});
  }

  auto impl = std::make_unique<Impl>();
  ASSIGN_OR_RETURN(CompiledPatterns patterns,
                   LoadOrCompile(rules, options, &impl->loaded_from_cache));
  impl->ruleset = &ruleset;
  impl->scans.resize(ruleset.rules().size());
  impl->wanted = std::move(wanted);
  for (size_t i = 0; i < selected.size(); ++i) {
    ScannedRule& scanned = impl->rules.emplace_back(selected[i], *rules[i], patterns.scans[i]);
    for (const uint32_t rule : same_names[i]) {
      if (needed[rule]) impl->scans[rule] = patterns.scans[i];
      if (rules[i]->is_named()) scanned.named.push_back({rule, needed[rule], &ruleset.filters().rules[rule].named});
    }
  }
  impl->lines = std::move(patterns.lines);
  impl->wide = std::move(patterns.wide);
  return std::unique_ptr<Detector>(new Detector(std::move(impl)));
}

Detector::Detector(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Detector::~Detector() = default;

const Ruleset& Detector::ruleset() const { return *impl_->ruleset; }
bool Detector::loaded_from_cache() const { return impl_->loaded_from_cache; }
std::span<const RuleScan> Detector::scans() const { return impl_->scans; }
bool Detector::wanted(uint32_t rule) const { return impl_->wanted[rule]; }

}  // namespace unsprawl
