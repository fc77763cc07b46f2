#include "coordinator/scan_command.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <set>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "coordinator/known_target.h"
#include "coordinator/local_lease.h"
#include "coordinator/organization.h"
#include "coordinator/places.h"
#include "coordinator/plan.h"
#include "coordinator/report/coverage.h"
#include "coordinator/report/report.h"
#include "coordinator/run_plan.h"
#include "coordinator/run_report.h"
#include "coordinator/run_totals.h"
#include "coordinator/signals.h"
#include "coordinator/targets.h"
#include "engine/base/escape.h"
#include "engine/base/status.h"
#include "store/key_file.h"
#include "store/rocksdb_ledger.h"
#include "worker/pipeline.h"
#include "worker/progress.h"
#include "worker/scanner_process.h"

namespace unsprawl {
namespace {

constexpr int kFailOnNews = 5;  // after the severities

int ThreadsFor(const ScanOptions& options) {
  const int processors = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  return std::min(options.threads > 0 ? options.threads : processors, kMaxScanThreads);
}

absl::StatusOr<Ruleset> LoadRules(const ScanOptions& options) {
  return options.config.empty() ? Ruleset::Builtin() : Ruleset::Load(options.config);
}

void SayCompiling(const Ruleset& ruleset) {
  std::fprintf(stderr, "compiling %zu rules, once; later runs take them from the cache\n",
               ruleset.rules().size());
}

// Brings the ledger up to date with all of *work.
void ScanAll(WorkList* work, const ScanOptions& options, const PipelineOptions& pipeline, const RunResources& run,
             const ScanResources& scan) {
  for (const RemoteTarget& target : work->remote) {  // Before anything is evicted.
    if (!target.gone.empty() || target.disabled) Mirror(pipeline.mirrors_dir / target.folder()).SetGone(true);
  }
  std::vector<ReadyTarget> local;
  for (RepositoryTarget& target : work->local) {
    auto lease = std::make_unique<LocalLease>(target, run);
    local.push_back({.lease = std::move(lease), .target = std::move(target)});
  }
  // git's index-pack takes a processor for as long as a large pack comes, and longer.
  LocalLeases leases(std::move(work->remote), run, pipeline.mirrors_dir,
                     static_cast<size_t>(std::max(1, options.fetch_jobs)),
                     static_cast<size_t>(std::max(1, scan.threads / 4)), scan.stop);
  RunPipeline(std::move(local), leases, pipeline, scan);
}

Progress::Style ProgressStyle(const ScanOptions& options) {
  if (options.quiet) return Progress::Style::kQuiet;
  return isatty(STDERR_FILENO) != 0 ? Progress::Style::kTerminal : Progress::Style::kLines;
}

}  // namespace

const std::map<std::string, int>& FailOnNames() {
  static const std::map<std::string, int> names = {
      {"none", 0}, {"low", 1}, {"medium", 2}, {"high", 3}, {"critical", 4}, {"new", kFailOnNews}};
  return names;
}

FailOn FailOnOf(int number) {
  FailOn fail_on = {.severity = std::nullopt, .news = number == kFailOnNews};
  if (number > 0 && number < kFailOnNews) fail_on.severity = static_cast<Severity>(number);
  return fail_on;
}

int ExitCodeFor(bool internal_error, bool complete, bool has_news, std::span<const uint64_t> by_severity,
                const FailOn& fail_on) {
  if (internal_error) return kExitInternal;
  if (!complete) return kExitIncomplete;
  if (fail_on.news) return has_news ? kExitFindings : kExitClean;
  if (!fail_on.severity.has_value()) return kExitClean;
  for (size_t severity = static_cast<size_t>(*fail_on.severity); severity < by_severity.size(); ++severity) {
    if (by_severity[severity] > 0) return kExitFindings;
  }
  return kExitClean;
}

void PrintSummary(const std::filesystem::path& dir) {
  std::ifstream summary(dir / "summary.txt", std::ios::binary);
  std::cout << summary.rdbuf() << std::flush;
}

absl::StatusOr<std::unique_ptr<Ledger>> OpenLedger(const ScanOptions& options, const KeyRing& keys,
                                                   const ShardTableOptions& shards) {
  std::unique_ptr<Ledger> ledger;
  if (options.store_dir == ":memory:") {
    ledger = NewMemoryLedger(shards);
  } else {
    const std::filesystem::path dir =
        options.store_dir.empty() ? StateDir() / "store" : std::filesystem::path(options.store_dir);
    RocksdbLedger::Options ledger_options;
    ledger_options.database.command = options.command_line;
    ledger_options.shards = shards;
    ASSIGN_OR_RETURN(ledger, RocksdbLedger::Open(dir, ledger_options));
  }
  RETURN_IF_ERROR(ledger->UseKey(KeyCheck(keys.current), PreviousChecks(keys)));
  return ledger;
}

std::filesystem::path MirrorsDir(const ScanOptions& options) {
  return options.pipeline.mirrors_dir.empty() ? CacheDir() / "mirrors" : options.pipeline.mirrors_dir;
}

absl::StatusOr<int> RunScan(const ScanOptions& options) {
  const absl::Time started = absl::Now();
  const std::atomic<bool>& stop = CatchSignals();
  ASSIGN_OR_RETURN(const Ruleset ruleset, LoadRules(options));
  ASSIGN_OR_RETURN(std::vector<SortedGroup> groups, SortGroups(options.groups, stop));
  ASSIGN_OR_RETURN(const KeyRing keys, LoadOrCreateKey(options.key_file));
  ASSIGN_OR_RETURN(const OperatorIgnores ignores, OperatorIgnores::Load(options.ignores, ruleset, keys));
  ASSIGN_OR_RETURN(const std::unique_ptr<Detector> detector,
                   Detector::Create(ruleset, {}, {.cache_dir = CacheDir() / "rules",
                                                  .before_compiling = [&] {
                                                    if (!options.quiet) SayCompiling(ruleset);
                                                  }}));
  // Before threads and files: scanners inherit neither.
  ASSIGN_OR_RETURN(const std::unique_ptr<ScannerSource> scanners,
                   ScannerSource::Start(*detector, {.sandbox = options.sandbox,
                                                    .memory_bytes = options.memory_bytes}));
  ASSIGN_OR_RETURN(const std::unique_ptr<Ledger> ledger, OpenLedger(options, keys));
  Progress progress(ProgressStyle(options));
  RunTotals totals;
  const PlanOptions plan = {.groups = options.groups,
                            .network = options.network,
                            .stop = &stop,
                            .say = [&](const std::string& line) { progress.Say(line); },
                            .say_step = [&](const std::string& step) { progress.StartStep(step); }};
  ASSIGN_OR_RETURN(WorkList work, MakeWorkList(std::move(groups), plan, *ledger, &totals));
  const RunResources resources = {.ruleset = &ruleset,
                                  .ledger = ledger.get(),
                                  .end =
                                      [&](std::optional<RepositoryOutcome> outcome, const PassCounters& counters,
                                          const ShardLease*) {
                                        if (outcome) totals.Add(*std::move(outcome), counters);
                                        return absl::OkStatus();
                                      },
                                  .say = plan.say,
                                  .settings = {.full_mode = options.full_mode,
                                               .archives = options.archives,
                                               .max_object_bytes = options.max_object_bytes,
                                               .key = keys.current,
                                               .now = NowMicros() / 1'000'000},
                                  .max_pull_requests = options.pipeline.fetch.max_pull_requests,
                                  .audit_every = options.audit_every,
                                  .max_dropped_commits = options.max_dropped_commits};
  PipelineOptions pipeline = options.pipeline;
  pipeline.fetch.network = options.network;
  pipeline.fetch.stop = &stop;
  // Mirrors are known by where they are below it.
  pipeline.mirrors_dir = std::filesystem::absolute(MirrorsDir(options)).lexically_normal();
  if (options.list_only) {
    progress.Stop();
    return PrintPlan({.local = work.local, .remote = work.remote, .organizations = work.organizations,
                      .pipeline = pipeline},
                     resources, totals.TakeOutcomes());
  }
  RETURN_IF_ERROR(NumberAll(work, *ledger));
  progress.ExpectRepositories(work.local.size() + work.remote.size());
  v1::RunRecord run;
  run.set_started(NowMicros());
  run.set_ruleset(ruleset.id());
  ASSIGN_OR_RETURN(run, ledger->StartRun(run));
  ScanAll(&work, options, pipeline, resources,
          {.scanners = scanners.get(), .progress = &progress, .stop = &stop, .threads = ThreadsFor(options)});
  if (stop) {
    progress.Stop();
    RETURN_IF_ERROR(ledger->Flush());
    std::fputs("unsprawl: stopped. What was scanned is kept: the same command goes on from here.\n",
               stderr);
    return kExitIncomplete;
  }

  ReportInput input;
  input.ruleset = &ruleset;
  input.repositories = totals.TakeOutcomes();
  input.accepted = work.accepted;
  input.sandbox_note = totals.sandbox_note();
  input.sandboxed = input.sandbox_note.empty();
  input.min_confidence = options.min_confidence;
  input.ignores = &ignores;
  input.trust_repo_ignores = options.trust_repo_ignores;
  input.run = totals.Facts();
  input.run.version = options.version;
  input.run.command = options.command_line;
  input.run.finished_us = run.started() + absl::ToInt64Microseconds(absl::Now() - started);
  progress.StartStep("writing the report");
  ASSIGN_OR_RETURN(const ReportTotals report,
                   ReportRun(std::move(input), run, options.output_dir, options.webhook, *ledger));
  const absl::Status called = SettleWebhook(options.webhook, options.network, *ledger, &stop);
  progress.Stop();
  PrintSummary(options.output_dir);
  if (!called.ok()) {
    std::fprintf(stderr, "unsprawl: the webhook was not called, the next run does it: %s\n",
                 EscapeForTerminal(std::string(called.message())).c_str());
  }
  return ExitCodeFor(totals.internal_error(), report.complete, report.changes.HasNews(), report.by_severity,
                     options.fail_on);
}

}  // namespace unsprawl
