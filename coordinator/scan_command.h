#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "coordinator/report/operator_ignores.h"
#include "coordinator/run_plan.h"
#include "coordinator/run_resources.h"
#include "coordinator/webhook.h"
#include "engine/match/ruleset.h"
#include "store/key_file.h"
#include "worker/pipeline.h"

namespace unsprawl {

// The process's exit codes; when several apply the order is internal, usage, incomplete, findings.
enum ExitCode : int {
  kExitClean = 0,
  kExitFindings = 1,
  kExitUsage = 2,
  kExitIncomplete = 3,
  kExitInternal = 4,
};

// What a complete run fails on, and so exits with kExitFindings.
struct FailOn {
  std::optional<Severity> severity = Severity::kLow;  // an incident at or above this; nullopt: never
  bool news = false;  // … but on what is new or reopened, backlog left out, of any severity
};
// As options and configurations name it: a number for each name, and what that number means.
const std::map<std::string, int>& FailOnNames();
FailOn FailOnOf(int number);

// `unsprawl scan` as it was asked for; empty strings mean the default place.
struct ScanOptions {
  std::vector<TargetGroup> groups{1};
  std::string output_dir = "unsprawl-report";
  std::string store_dir;             // default: $XDG_STATE_HOME/unsprawl/store; ":memory:": none kept
  std::string key_file;              // default: see store/key_file.h
  std::string config;                // rules; default: the built-in ones
  bool full_mode = false;
  bool archives = false;             // look into them
  bool sandbox = true;
  bool quiet = false;
  bool list_only = false;            // list, estimate, and end
  int threads = 0;                   // 0: one for each processor
  uint64_t max_object_bytes = 64 << 20;
  uint64_t memory_bytes = uint64_t{4} << 30;  // private memory of one scanner
  double min_confidence = 0.5;
  FailOn fail_on;
  IgnoreFiles ignores;               // what to leave out of the report
  bool trust_repo_ignores = false;
  int fetch_jobs = 8;                // fetches at a time from one host; forges want no more than 8 to 16
  absl::Duration audit_every = RunResources().audit_every;
  uint64_t max_dropped_commits = RunResources().max_dropped_commits;
  NetworkOptions network;            // for APIs and for fetching
  WebhookOptions webhook;
  PipelineOptions pipeline;          // mirrors_dir default: $XDG_CACHE_HOME/unsprawl/mirrors
  std::string version;
  std::string command_line;          // for run.json; without credentials
};

// Opens the ledger where it was said or by default, with the key in use.
absl::StatusOr<std::unique_ptr<Ledger>> OpenLedger(const ScanOptions& options, const KeyRing& keys,
                                                   const ShardTableOptions& shards = {});

// What a run ends with; `by_severity`: as ReportTotals has it.
int ExitCodeFor(bool internal_error, bool complete, bool has_news, std::span<const uint64_t> by_severity,
                const FailOn& fail_on);

// The summary of the report in `dir`, on stdout.
void PrintSummary(const std::filesystem::path& dir);

// Where mirrors are, as it was said or by default.
std::filesystem::path MirrorsDir(const ScanOptions& options);

// Scans, writes the report, prints the summary on stdout; the exit code. Must be called while the
// process has one thread.
// InvalidArgument, NotFound, FailedPrecondition: what was asked for cannot be done (kExitUsage).
absl::StatusOr<int> RunScan(const ScanOptions& options);

}  // namespace unsprawl
