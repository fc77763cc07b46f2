#include "coordinator/scan_command.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <memory>
#include <thread>
#include <utility>

#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "coordinator/places.h"
#include "coordinator/policy.h"
#include "coordinator/progress.h"
#include "coordinator/report/report.h"
#include "coordinator/report/state_history.h"
#include "coordinator/repository_run.h"
#include "coordinator/targets.h"
#include "engine/base/status.h"
#include "store/key_file.h"
#include "store/rocksdb_ledger.h"
#include "worker/scanner_process.h"

namespace unsprawl {
namespace {

// Repositories with more pack bytes get all threads; smaller ones share them, one thread each.
constexpr uint64_t kLargePackBytes = 32 << 20;

std::atomic<bool> g_stop{false};

void OnSignal(int) { g_stop = true; }

void CatchSignals() {
  struct sigaction action = {};
  action.sa_handler = OnSignal;
  action.sa_flags = SA_RESETHAND;  // asked a second time, the process ends at once: nothing is lost by it
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) {
    struct sigaction before = {};
    sigaction(number, nullptr, &before);
    if (before.sa_handler != SIG_IGN) sigaction(number, &action, nullptr);  // nohup stays nohup
  }
  signal(SIGPIPE, SIG_IGN);
}

// Microseconds since the epoch; SOURCE_DATE_EPOCH injects another time, so that runs can be repeated.
int64_t NowMicros() {
  const char* injected = std::getenv("SOURCE_DATE_EPOCH");
  return injected != nullptr ? std::atoll(injected) * 1'000'000 : absl::ToUnixMicros(absl::Now());
}

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

absl::StatusOr<Targets> CollectTargets(const ScanOptions& options) {
  std::vector<std::string> arguments = options.targets;
  if (!options.targets_from.empty()) {
    ASSIGN_OR_RETURN(const std::vector<std::string> more, ReadTargetsFile(options.targets_from));
    arguments.insert(arguments.end(), more.begin(), more.end());
  }
  if (arguments.empty()) {
    return absl::InvalidArgumentError(
        "nothing to scan: name a repository, a folder of repositories, or a clone URL");
  }
  return FindTargets(arguments, g_stop);
}

absl::StatusOr<std::unique_ptr<Ledger>> OpenLedger(const ScanOptions& options, const KeyRing& keys) {
  std::unique_ptr<Ledger> ledger;
  if (options.store_dir == ":memory:") {
    ledger = NewMemoryLedger();
  } else {
    const std::filesystem::path dir =
        options.store_dir.empty() ? StateDir() / "store" : std::filesystem::path(options.store_dir);
    RocksdbLedger::Options ledger_options;
    ledger_options.database.command = options.command_line;
    ASSIGN_OR_RETURN(ledger, RocksdbLedger::Open(dir, ledger_options));
  }
  RETURN_IF_ERROR(ledger->UseKey(KeyCheck(keys.current), PreviousChecks(keys)));
  return ledger;
}

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
  // `record`: what an earlier run left; its occurrences stay in the report.
  void AddFailure(const std::string& name, const absl::Status& status,
                  const v1::RepositoryRecord& record = {}) {
    RepositoryOutcome outcome;
    outcome.id = record.id();
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

// Fetches each URL into its mirror and adds it to *targets; failures go to *totals.
absl::Status FetchAll(const std::vector<std::string>& urls, const ScanOptions& options, Ledger& ledger,
                      Progress& progress, std::vector<RepositoryTarget>* targets, RunTotals* totals) {
  FetchOptions fetch;
  fetch.mirrors_dir = options.mirrors_dir.empty() ? CacheDir() / "mirrors"
                                                  : std::filesystem::path(options.mirrors_dir);
  fetch.backend = options.fetch_backend;
  fetch.stop = &g_stop;
  for (size_t i = 0; i < urls.size() && !g_stop; ++i) {
    const absl::StatusOr<CloneUrl> url = ParseCloneUrl(urls[i]);
    if (!url.ok()) {  // Not shown: what is wrong in it may be a password.
      totals->AddFailure(absl::StrFormat("(URL %d of %d)", i + 1, urls.size()), url.status());
      continue;
    }
    progress.StartRepository(url->name);
    progress.Update(url->name, "fetching", 0, 0, 0, 0);
    absl::StatusOr<RepositoryTarget> target = FetchMirror(*url, fetch);
    if (target.ok()) {
      progress.Update(url->name, "waiting to be scanned", 0, 0, 0, 0);
      targets->push_back(*std::move(target));
    } else if (!g_stop) {
      progress.FinishRepository(url->name);
      progress.Say(absl::StrFormat("%s: %s", EscapeForTerminal(url->name),
                                   std::string(target.status().message())));
      ASSIGN_OR_RETURN(const v1::RepositoryRecord record,
                       ledger.OpenRepository(MirrorKey(*url), url->name));
      totals->AddFailure(url->name, target.status(), record);
    }
  }
  return absl::OkStatus();
}

void RunOne(const RepositoryTarget& target, int threads, const RunResources& run,
            RunTotals* totals) {
  PassCounters counters;
  absl::StatusOr<RepositoryOutcome> outcome = RunRepository(target, threads, run, &counters);
  if (!outcome.ok()) return;  // Stopped: the run ends without a report.
  if (outcome->status == RepositoryOutcome::Status::kFailed ||
      outcome->status == RepositoryOutcome::Status::kNotCovered) {
    run.progress->Say(absl::StrFormat("%s: %s", EscapeForTerminal(target.name),
                                      EscapeForTerminal(outcome->reason)));
  }
  totals->Add(*std::move(outcome), counters);
}

// Large repositories one after another on all threads, then small ones side by side.
void RunAll(std::vector<RepositoryTarget> targets, const RunResources& run, RunTotals* totals) {
  std::stable_sort(targets.begin(), targets.end(),
                   [](const RepositoryTarget& a, const RepositoryTarget& b) {
                     return a.pack_bytes > b.pack_bytes;
                   });
  const int threads = run.settings.threads;
  std::atomic<size_t> next{0};
  while (next < targets.size() && (targets[next].pack_bytes > kLargePackBytes || threads == 1)) {
    if (g_stop) return;
    RunOne(targets[next++], threads, run, totals);
  }
  std::vector<std::thread> lanes;
  for (int lane = 0; lane < threads && next + static_cast<size_t>(lane) < targets.size(); ++lane) {
    lanes.emplace_back([&] {
      for (size_t i = next++; i < targets.size() && !g_stop; i = next++) {
        RunOne(targets[i], 1, run, totals);
      }
    });
  }
  for (std::thread& lane : lanes) lane.join();
}

Progress::Style ProgressStyle(const ScanOptions& options) {
  if (options.quiet) return Progress::Style::kQuiet;
  return isatty(STDERR_FILENO) != 0 ? Progress::Style::kTerminal : Progress::Style::kLines;
}

int ExitCodeFor(const ReportTotals& totals, bool internal_error, const ScanOptions& options) {
  if (internal_error) return kExitInternal;
  if (!totals.complete) return kExitIncomplete;
  if (options.fail_on_news) return totals.changes.HasNews() ? kExitFindings : kExitClean;
  if (!options.fail_on.has_value()) return kExitClean;
  for (int severity = static_cast<int>(*options.fail_on); severity <= 4; ++severity) {
    if (totals.by_severity[severity] > 0) return kExitFindings;
  }
  return kExitClean;
}

void PrintSummary(const std::filesystem::path& dir) {
  std::ifstream summary(dir / "summary.txt", std::ios::binary);
  std::cout << summary.rdbuf() << std::flush;
}

// Notes what the run covered, with which rules, and what came out: from now on later runs are compared
// with it.
absl::Status FinishRun(const ReportInput& input, const ReportTotals& report, v1::RunRecord run,
                       Ledger& ledger) {
  using Status = RepositoryOutcome::Status;
  for (const RepositoryOutcome& outcome : input.repositories) {
    if (outcome.id == 0) continue;
    if (outcome.status == Status::kFailed || outcome.status == Status::kNotCovered) {
      run.add_failed(outcome.id);
    } else {
      run.add_repositories(outcome.id);
      if (outcome.status == Status::kPartial) run.add_partial(outcome.id);
    }
    RETURN_IF_ERROR(ledger.RecordRunCoverage(run.id(), outcome.id, outcome.coverage));
  }
  ASSIGN_OR_RETURN(const RuleListId rules, ledger.InternRules(input.ruleset->keys()));
  run.set_rules(rules);
  run.set_min_confidence(input.min_confidence);
  v1::RunTotals& totals = *run.mutable_totals();
  totals.set_incidents(report.incidents);
  totals.set_open(report.open);
  totals.set_new_incidents(report.changes.new_incidents());
  totals.set_new_by_commit(report.changes.new_by_commit);
  totals.set_reopened(report.changes.reopened);
  totals.set_removed(report.changes.removed);
  run.set_finished(input.run.finished_us);
  run.set_complete(report.complete);
  RETURN_IF_ERROR(ledger.FinishRun(run));
  return ledger.Flush();
}

}  // namespace

absl::StatusOr<int> RunScan(const ScanOptions& options) {
  const absl::Time started = absl::Now();
  CatchSignals();
  ASSIGN_OR_RETURN(const Ruleset ruleset, LoadRules(options));
  ASSIGN_OR_RETURN(Targets targets, CollectTargets(options));
  Policy policy;
  if (!options.policy.empty()) {
    ASSIGN_OR_RETURN(policy, LoadPolicy(options.policy));
  }
  ASSIGN_OR_RETURN(const KeyRing keys, LoadOrCreateKey(options.key_file));
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
  v1::RunRecord run;
  run.set_started(NowMicros());
  run.set_ruleset(ruleset.id());
  ASSIGN_OR_RETURN(run, ledger->StartRun(run));

  Progress progress(ProgressStyle(options),
                    targets.local.size() + targets.urls.size() + targets.unusable.size());
  RunTotals totals;
  for (const Targets::Unusable& unusable : targets.unusable) {
    progress.Say(EscapeForTerminal(std::string(unusable.reason.message())));
    totals.AddFailure(unusable.name, unusable.reason);
  }
  RETURN_IF_ERROR(FetchAll(targets.urls, options, *ledger, progress, &targets.local, &totals));
  NameAndSort(&targets.local);
  // Numbered in the order of names, whichever is scanned first: reports are in the order of numbers.
  for (const RepositoryTarget& target : targets.local) {
    RETURN_IF_ERROR(ledger->OpenRepository(target.key, target.name).status());
  }
  const RunResources resources = {
      .ruleset = &ruleset,
      .ledger = ledger.get(),
      .scanners = scanners.get(),
      .progress = &progress,
      .stop = &g_stop,
      .settings = {.threads = ThreadsFor(options),
                   .full_mode = options.full_mode,
                   .max_object_bytes = options.max_object_bytes,
                   .key = keys.current,
                   .now = run.started() / 1'000'000},
      .accepted = policy.accepted};
  RunAll(targets.local, resources, &totals);
  if (g_stop) {
    progress.Stop();
    RETURN_IF_ERROR(ledger->Flush());
    std::fputs("unsprawl: stopped. What was scanned is kept: the same command goes on from here.\n",
               stderr);
    return kExitIncomplete;
  }

  ReportInput input;
  input.ruleset = &ruleset;
  input.repositories = totals.TakeOutcomes();
  input.accepted = policy.accepted;
  input.sandbox_note = totals.sandbox_note();
  input.sandboxed = input.sandbox_note.empty();
  input.min_confidence = options.min_confidence;
  input.run = totals.Facts();
  input.run.run_id = run.id();
  input.run.version = options.version;
  input.run.command = options.command_line;
  input.run.started_us = run.started();
  input.run.finished_us = run.started() + absl::ToInt64Microseconds(absl::Now() - started);
  progress.StartLastStep("writing the report");
  StateHistory history(run.id(), *ledger);
  RETURN_IF_ERROR(ledger->CarryHistoriesOver());
  ASSIGN_OR_RETURN(const ReportTotals report,
                   WriteReport(input, *ledger, options.output_dir, &history));
  RETURN_IF_ERROR(FinishRun(input, report, run, *ledger));
  progress.Stop();
  PrintSummary(options.output_dir);
  return ExitCodeFor(report, totals.internal_error(), options);
}

}  // namespace unsprawl
