#include "coordinator/report/coverage.h"

#include <algorithm>
#include <set>

namespace unsprawl {
namespace {

void Merge(const SkipSums& from, SkipSums* into) {
  for (const auto& [reason, sum] : from) {
    SkipSum& total = (*into)[reason];
    total.count += sum.count;
    for (const std::string& detail : sum.details) {
      if (total.details.size() == SkipSum::kMaxDetails) break;
      if (std::find(total.details.begin(), total.details.end(), detail) == total.details.end()) {
        total.details.push_back(detail);
      }
    }
  }
}

}  // namespace

SkipKind KindOf(v1::SkipReason reason) {
  if (reason >= v1::SKIP_REASON_TOO_LARGE) return SkipKind::kPolicy;
  return reason >= v1::SKIP_REASON_DAMAGED ? SkipKind::kDamaged : SkipKind::kRetryable;
}

std::string_view Name(SkipKind kind) {
  constexpr std::string_view kNames[] = {"retryable", "damaged", "policy"};
  return kNames[static_cast<size_t>(kind)];
}

std::string_view Name(v1::SkipReason reason) {
  switch (reason) {
    case v1::SKIP_REASON_MISSING: return "missing";
    case v1::SKIP_REASON_IO: return "io";
    case v1::SKIP_REASON_DAMAGED: return "damaged";
    case v1::SKIP_REASON_BASE_MISSING: return "base-missing";
    case v1::SKIP_REASON_POISON: return "poison";
    case v1::SKIP_REASON_BROKEN_FILE: return "broken-file";
    case v1::SKIP_REASON_TRUNCATED: return "truncated";
    case v1::SKIP_REASON_UNOBTAINABLE: return "unobtainable";
    case v1::SKIP_REASON_TOO_LARGE: return "too-large";
    case v1::SKIP_REASON_SUBMODULE: return "submodule";
    case v1::SKIP_REASON_LFS_POINTER: return "lfs-pointer";
    case v1::SKIP_REASON_NOT_FETCHED: return "not-fetched";
    case v1::SKIP_REASON_ARCHIVE: return "archive";
    case v1::SKIP_REASON_ARCHIVE_PART: return "archive-part";
    case v1::SKIP_REASON_GIT_DATA: return "git-data";
    default: return "unspecified";
  }
}

std::string_view Explain(v1::SkipReason reason) {
  switch (reason) {
    case v1::SKIP_REASON_MISSING: return "named in history but not stored here";
    case v1::SKIP_REASON_IO: return "the system could not read";
    case v1::SKIP_REASON_DAMAGED: return "with damaged content";
    case v1::SKIP_REASON_BASE_MISSING: return "stored as a delta whose base is missing";
    case v1::SKIP_REASON_POISON: return "the scanning process died on";
    case v1::SKIP_REASON_BROKEN_FILE: return "packs, indexes or refs that could not be used";
    case v1::SKIP_REASON_TRUNCATED: return "with more matches or places than are listed";
    case v1::SKIP_REASON_UNOBTAINABLE: return "which their forge serves no longer and no mirror has, not covered";
    case v1::SKIP_REASON_TOO_LARGE: return "above the size limit";
    case v1::SKIP_REASON_SUBMODULE: return "submodules, which are other repositories";
    case v1::SKIP_REASON_LFS_POINTER: return "kept in LFS storage";
    case v1::SKIP_REASON_NOT_FETCHED: return "pull requests, dropped commits, wikis or gists beyond their budget";
    case v1::SKIP_REASON_ARCHIVE: return "not looked into; --archives does";
    case v1::SKIP_REASON_ARCHIVE_PART: return "of which not all could be read";
    case v1::SKIP_REASON_GIT_DATA: return "that are git's own data (packs, bundles), not looked into";
    default: return "left out for no stated reason";
  }
}

std::string_view Name(RepositoryOutcome::Status status) {
  switch (status) {
    case RepositoryOutcome::Status::kOk: return "ok";
    case RepositoryOutcome::Status::kPartial: return "partial";
    case RepositoryOutcome::Status::kFailed: return "failed";
    case RepositoryOutcome::Status::kEmpty: return "empty";
    case RepositoryOutcome::Status::kNotCovered: return "not-covered";
    case RepositoryOutcome::Status::kGone: return "gone";
    case RepositoryOutcome::Status::kRefused: return "refused";
  }
  return "failed";
}

bool IsWhole(RepositoryOutcome::Status status) {
  using Status = RepositoryOutcome::Status;
  return status == Status::kOk || status == Status::kEmpty || status == Status::kGone;
}

SkipSums SumSkips(const v1::Coverage& coverage) {
  SkipSums sums;
  std::map<v1::SkipReason, std::set<std::string>> details;
  for (const v1::Skip& skip : coverage.skips()) {
    sums[skip.reason()].count += std::max<uint64_t>(skip.count(), 1);
    if (!skip.detail().empty()) details[skip.reason()].insert(skip.detail());
  }
  for (const auto& [reason, distinct] : details) {
    auto last = distinct.begin();
    std::advance(last, std::min(distinct.size(), SkipSum::kMaxDetails));
    sums[reason].details.assign(distinct.begin(), last);
  }
  return sums;
}

void ShrinkSkips(v1::Coverage* coverage) {
  const SkipSums sums = SumSkips(*coverage);
  coverage->clear_skips();
  for (const auto& [reason, sum] : sums) {
    uint64_t left = sum.count;
    for (size_t i = 0; left > 0; ++i) {
      v1::Skip* skip = coverage->add_skips();
      skip->set_reason(reason);
      if (i < sum.details.size()) skip->set_detail(sum.details[i]);
      const bool last = i + 1 >= sum.details.size();
      skip->set_count(last ? left : 1);
      left -= skip->count();
    }
  }
}

CoverageSum SumCoverage(const ReportInput& input) {
  CoverageSum sum;
  sum.repositories = input.repositories.size();
  for (const RepositoryOutcome& repository : input.repositories) {
    const v1::Coverage& coverage = repository.coverage;
    ++sum.by_status[static_cast<size_t>(repository.status)];
    if (!IsWhole(repository.status)) sum.complete = false;
    sum.refs += coverage.refs();
    sum.commits += coverage.commits();
    sum.blobs += coverage.blobs();
    sum.blobs_scanned += coverage.blobs_scanned();
    sum.bytes += coverage.bytes();
    sum.submodules += coverage.submodules();
    Merge(SumSkips(coverage), &sum.skips);
  }
  return sum;
}

}  // namespace unsprawl
