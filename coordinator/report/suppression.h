// Which places somebody said are to be left out of the report, and who. Who works in a repository can say so of its places,
// which hides nothing by itself: the report says it of them. What the operator says hides.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "coordinator/report/operator_ignores.h"
#include "coordinator/report/report.h"
#include "store/ledger.h"

namespace unsprawl {

enum class SuppressedBy : uint8_t { kInline, kIgnoreFile, kOperatorIgnore, kBaseline };
inline constexpr size_t kSuppressedByKinds = 4;

std::string_view Name(SuppressedBy by);  // "gitleaks:allow", ".gitleaksignore", "--ignore-file", "--baseline-path"

struct Suppression {
  SuppressedBy by;
  bool hidden = false;             // it is left out; else it is reported, with this
  const v1::Commit* who = nullptr; // that introduced what says so in the repository; null: not known
};

// Immutable and thread-safe. Memory: that of the ignore files of all repositories.
class Suppressions {
 public:
  // Reads what the ledger has of the ignore files of `input.repositories`. `input` must outlive this.
  static absl::StatusOr<Suppressions> Read(const ReportInput& input, const Ledger& ledger);

  // `who` is borrowed from this or from `occurrence`. The operator's word goes first.
  std::optional<Suppression> Find(uint64_t repository, const v1::Occurrence& occurrence, const Rule& rule) const;

 private:
  struct OfRepository {
    NamedFindings findings;  // Row::note: index into commits
    google::protobuf::RepeatedPtrField<v1::Commit> commits;
  };

  explicit Suppressions(const ReportInput& input) : input_(input) {}
  void Add(uint64_t repository, v1::HeadFacts head);

  const ReportInput& input_;
  std::map<uint64_t, OfRepository> repositories_;  // those with an ignore file
  absl::flat_hash_set<std::string> incidents_;     // of baselines, also as they are called today
};

}  // namespace unsprawl
