// What a run looked at and what it could not: added up over repositories, skips by reason.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "coordinator/report/report.h"

namespace unsprawl {

// By what a next run can hope for. Policy skips do not make a run incomplete.
enum class SkipKind : uint8_t { kRetryable, kDamaged, kPolicy };
SkipKind KindOf(v1::SkipReason reason);
std::string_view Name(SkipKind kind);  // "retryable", "damaged", "policy"
// "missing", "too-large", … : the word in manifest.json.
std::string_view Name(v1::SkipReason reason);
// "are named but not stored": the end of a sentence that begins with the number of objects.
std::string_view Explain(v1::SkipReason reason);

std::string_view Name(RepositoryOutcome::Status status);  // "ok", "partial", "failed", …
// kOk, kEmpty and kGone.
bool IsWhole(RepositoryOutcome::Status status);

// Skips of one reason.
struct SkipSum {
  static constexpr size_t kMaxDetails = 3;
  uint64_t count = 0;
  std::vector<std::string> details;  // the first kMaxDetails distinct ones in byte order
};

using SkipSums = std::map<v1::SkipReason, SkipSum>;

SkipSums SumSkips(const v1::Coverage& coverage);
// Leaves no more skips than SumSkips needs to give the same.
void ShrinkSkips(v1::Coverage* coverage);

struct CoverageSum {
  uint64_t repositories = 0;
  uint64_t by_status[7] = {};  // index: RepositoryOutcome::Status
  uint64_t refs = 0, commits = 0, blobs = 0, blobs_scanned = 0, bytes = 0, submodules = 0;
  SkipSums skips;
  bool complete = true;        // every repository IsWhole, and no listing lacks any

  uint64_t Count(RepositoryOutcome::Status status) const {
    return by_status[static_cast<size_t>(status)];
  }
};

CoverageSum SumCoverage(const ReportInput& input);

}  // namespace unsprawl
