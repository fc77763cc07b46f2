#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "coordinator/report/report.h"
#include "engine/base/mutex.h"

namespace unsprawl {

// Counters of one repository's pass that differ between equal runs.
struct PassCounters {
  bool unchanged = false;
  bool internal_error = false;   // our own fault: exit code 4
  uint64_t blobs_scanned = 0, blobs_known = 0;
  uint64_t bytes_resolved = 0, bytes_scanned = 0;
  uint64_t scanner_deaths = 0;
  std::string sandbox_note;      // what the kernel did not allow; empty when confined
  double open_seconds = 0, scan_seconds = 0, locate_seconds = 0, record_seconds = 0;
};

// What the repositories' passes add up to. Thread-safe.
class RunTotals {
 public:
  void Add(RepositoryOutcome outcome, const PassCounters& counters) {
    MutexLock lock(mutex_);
    outcomes_.push_back(std::move(outcome));
    facts_.repositories_unchanged += counters.unchanged ? 1 : 0;
    facts_.blobs_scanned += counters.blobs_scanned;
    facts_.blobs_known += counters.blobs_known;
    facts_.bytes_resolved += counters.bytes_resolved;
    facts_.bytes_scanned += counters.bytes_scanned;
    facts_.scanner_deaths += counters.scanner_deaths;
    open_ += counters.open_seconds;
    scan_ += counters.scan_seconds;
    locate_ += counters.locate_seconds;
    record_ += counters.record_seconds;
    if (sandbox_note_.empty()) sandbox_note_ = counters.sandbox_note;
    internal_error_ |= counters.internal_error;
  }
  void AddFailure(const std::string& name, const absl::Status& status) {
    RepositoryOutcome outcome;
    outcome.name = name;
    outcome.status = RepositoryOutcome::Status::kFailed;
    outcome.reason = std::string(status.message());
    Add(std::move(outcome), {});
  }

  // What kept a scanner from being confined; empty when all were.
  std::string sandbox_note() {
    MutexLock lock(mutex_);
    return sandbox_note_;
  }

  bool internal_error() {
    MutexLock lock(mutex_);
    return internal_error_;
  }

  // Call when all threads are done.
  std::vector<RepositoryOutcome> TakeOutcomes() {
    MutexLock lock(mutex_);
    std::sort(outcomes_.begin(), outcomes_.end(),
              [](const RepositoryOutcome& a, const RepositoryOutcome& b) { return a.name < b.name; });
    return std::move(outcomes_);
  }
  RunFacts Facts() {
    MutexLock lock(mutex_);
    facts_.seconds = {
        {"open", open_}, {"scan", scan_}, {"locate", locate_}, {"wait_for_store", record_}};
    return facts_;
  }

 private:
  Mutex mutex_;
  std::vector<RepositoryOutcome> outcomes_ ABSL_GUARDED_BY(mutex_);
  std::string sandbox_note_ ABSL_GUARDED_BY(mutex_);
  bool internal_error_ ABSL_GUARDED_BY(mutex_) = false;
  RunFacts facts_ ABSL_GUARDED_BY(mutex_);
  double open_ ABSL_GUARDED_BY(mutex_) = 0, scan_ ABSL_GUARDED_BY(mutex_) = 0,
         locate_ ABSL_GUARDED_BY(mutex_) = 0, record_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace unsprawl
