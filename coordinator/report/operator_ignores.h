// What the operator wants left out of a report: ignore files in gitleaks' format (engine/history/ignore_file.h), and
// baselines, which are earlier reports, gitleaks' or ours.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "engine/match/ruleset.h"
#include "store/key_file.h"
#include "unsprawl/v1/types.pb.h"

namespace unsprawl {

// Findings that are named by path and line, perhaps of one rule and of one commit. Not thread-safe while it is filled.
class NamedFindings {
 public:
  struct Row {
    std::string rule;    // its id; empty: any
    std::string commit;  // 20 raw bytes; empty: any
    uint32_t note = std::numeric_limits<uint32_t>::max();  // the caller's
  };

  void Add(std::string_view path, uint32_t line, Row row);
  // The first row, in the order of Add, for the first of the place's paths that has any; null: none.
  const Row* Find(const v1::Occurrence& occurrence, const Rule& rule) const;

 private:
  absl::flat_hash_map<std::string, std::vector<Row>> rows_;  // by path, zero byte, line
};

// Files as they were named.
struct IgnoreFiles {
  std::vector<std::string> ignore_files;
  std::vector<std::string> baselines;  // or a folder with a report of ours
};

// Immutable and thread-safe once it is loaded. Holds no secret: of a baseline's values only their ids.
class OperatorIgnores {
 public:
  // Reads the files whole. `keys`: what the ids of secrets are made with; replaced ones too, since a repository that could
  // not be scanned since still has ids of theirs.
  // NotFound: a file cannot be read. InvalidArgument: what is wrong with it, in which line.
  static absl::StatusOr<OperatorIgnores> Load(const IgnoreFiles& files, const Ruleset& ruleset, const KeyRing& keys);

  // An ignore file names this place.
  bool Ignores(const v1::Occurrence& occurrence, const Rule& rule) const {
    return ignored_.Find(occurrence, rule) != nullptr;
  }
  // A gitleaks report among the baselines has it: the same value in the same file, or where the report does not show the
  // value, a finding of this line (and commit, where it says one) by a rule of this id or by one that is not in the ruleset.
  bool IsInBaseline(const v1::Occurrence& occurrence, const Rule& rule) const;
  // The incidents of our reports among the baselines, 16 raw bytes each, as they are written there.
  const absl::flat_hash_set<std::string>& incidents() const { return incidents_; }
  // Entries of ignore files that name no rule of the ruleset.
  uint64_t unknown_rules() const { return unknown_rules_; }

 private:
  class Loader;

  NamedFindings ignored_;
  NamedFindings baseline_;
  absl::flat_hash_set<std::string> values_;  // secret id, path
  absl::flat_hash_set<std::string> incidents_;
  uint64_t unknown_rules_ = 0;
};

}  // namespace unsprawl
