#include "coordinator/scan_command.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
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
#include "coordinator/policy.h"
#include "coordinator/report/coverage.h"
#include "coordinator/report/report.h"
#include "coordinator/report/state_history.h"
#include "coordinator/run_totals.h"
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

// All that a run scans, sorted out before anything is opened.
struct Group {
  Targets targets;
  Policy policy;
};

absl::StatusOr<std::vector<Group>> CollectTargets(const ScanOptions& options) {
  std::vector<Group> groups;
  for (const TargetGroup& asked : options.groups) {
    ASSIGN_OR_RETURN(const std::vector<std::string> arguments, TargetsOf(asked));
    Group& group = groups.emplace_back();
    ASSIGN_OR_RETURN(group.targets, FindTargets(arguments, g_stop));
    RETURN_IF_ERROR(CheckScopes(group.targets.scopes, asked.forge));
    if (!asked.policy.empty()) {
      ASSIGN_OR_RETURN(group.policy, LoadPolicy(asked.policy));
    }
  }
  return groups;
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

// URLs of the command line, as targets to be fetched. What is wrong with one is an outcome.
std::vector<RemoteTarget> RemoteTargets(const std::vector<std::string>& urls, const RemoteSource* source,
                                        RunTotals* totals) {
  std::vector<RemoteTarget> targets;
  for (size_t i = 0; i < urls.size(); ++i) {
    const absl::StatusOr<CloneUrl> url = ParseCloneUrl(urls[i]);
    if (!url.ok()) {  // Not shown: what is wrong in it may be a password.
      totals->AddFailure(absl::StrFormat("(URL %d of %d)", i + 1, urls.size()), url.status());
      continue;
    }
    targets.push_back(TargetOfUrl(*url, *source));
  }
  return targets;
}

// What a run works through.
struct WorkList {
  std::vector<RepositoryTarget> local;
  std::vector<RemoteTarget> remote;
  std::vector<Organization> organizations;  // whose sources `remote` points to
};

// Lists the organizations of all groups.
absl::StatusOr<std::vector<Organization>> ListAll(const ScanOptions& options, const std::vector<Group>& groups,
                                                  Ledger& ledger, Progress& progress) {
  std::vector<Organization> organizations;
  const auto budgets = std::make_shared<TokenBudgets>();
  for (size_t i = 0; i < groups.size(); ++i) {
    ForgeOptions forge = options.groups[i].forge;
    forge.api.network = options.network;
    forge.api.stop = &g_stop;
    forge.api.budgets = budgets;
    ASSIGN_OR_RETURN(Organization organization,
                     ListOrganization(groups[i].targets.scopes, forge, ledger,
                                      [&](const std::string& what) { progress.StartStep(what); }));
    organizations.push_back(std::move(organization));
  }
  RETURN_IF_ERROR(AddMissing(ledger, &organizations));
  return organizations;
}

// Adds all that a group names; what cannot be had is an outcome.
void AddGroup(Group group, Organization organization, Progress& progress, WorkList* work, RunTotals* totals) {
  for (const Targets::Unusable& unusable : group.targets.unusable) {
    progress.Say(EscapeForTerminal(std::string(unusable.reason.message())));
    totals->AddFailure(unusable.name, unusable.reason);
  }
  for (RepositoryOutcome& outcome : organization.outcomes) {
    if (!IsWhole(outcome.status)) {
      progress.Say(absl::StrFormat("%s: %s", EscapeForTerminal(outcome.name), EscapeForTerminal(outcome.reason)));
    }
    totals->Add(std::move(outcome), {});
  }
  const RemoteSource* urls = organization.sources.emplace_back(std::make_unique<RemoteSource>()).get();
  for (const auto& source : organization.sources) source->accepted = group.policy.accepted;
  std::vector<RemoteTarget> remote = RemoteTargets(group.targets.urls, urls, totals);
  for (std::vector<RemoteTarget>* some : {&organization.targets, &remote}) {
    if (work->remote.empty()) {
      work->remote = std::move(*some);
    } else {
      std::move(some->begin(), some->end(), std::back_inserter(work->remote));
    }
    some->clear();
  }
  for (RepositoryTarget& target : group.targets.local) {
    target.accepted = group.policy.accepted;
    work->local.push_back(std::move(target));
  }
  work->organizations.push_back(std::move(organization));
}

// Each key once; the first stays.
void RemoveTwins(std::vector<RemoteTarget>* targets) {
  std::set<std::string> keys;
  std::erase_if(*targets, [&](const RemoteTarget& target) { return !keys.insert(target.key).second; });
}

// Numbered in the order of names, whichever is scanned first.
absl::Status NumberAll(const std::vector<RepositoryTarget>& local, const std::vector<RemoteTarget>& remote,
                       Ledger& ledger) {
  std::vector<std::pair<const std::string*, const std::string*>> all;  // name, key
  for (const RepositoryTarget& target : local) all.emplace_back(&target.name, &target.key);
  for (const RemoteTarget& target : remote) all.emplace_back(&target.name, &target.key);
  std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) {
    return std::tie(*a.first, *a.second) < std::tie(*b.first, *b.second);
  });
  for (const auto& [name, key] : all) RETURN_IF_ERROR(ledger.OpenRepository(*key, *name).status());
  return absl::OkStatus();
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

absl::StatusOr<std::vector<std::string>> TargetsOf(const TargetGroup& group) {
  std::vector<std::string> targets = group.targets;
  if (!group.targets_from.empty()) {
    ASSIGN_OR_RETURN(const std::vector<std::string> more, ReadTargetsFile(group.targets_from));
    targets.insert(targets.end(), more.begin(), more.end());
  }
  if (!targets.empty()) return targets;
  return absl::InvalidArgumentError(
      "nothing to scan: name a repository, a folder of repositories, a clone URL, or an organization (github:ORG)");
}

std::filesystem::path MirrorsDir(const ScanOptions& options) {
  return options.pipeline.mirrors_dir.empty() ? CacheDir() / "mirrors" : options.pipeline.mirrors_dir;
}

absl::StatusOr<int> RunScan(const ScanOptions& options) {
  const absl::Time started = absl::Now();
  CatchSignals();
  ASSIGN_OR_RETURN(const Ruleset ruleset, LoadRules(options));
  ASSIGN_OR_RETURN(std::vector<Group> groups, CollectTargets(options));
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
  Progress progress(ProgressStyle(options));
  RunTotals totals;
  WorkList work;
  std::set<v1::SkipReason> accepted;
  ASSIGN_OR_RETURN(std::vector<Organization> organizations, ListAll(options, groups, *ledger, progress));
  for (size_t i = 0; i < groups.size(); ++i) {
    accepted.insert(groups[i].policy.accepted.begin(), groups[i].policy.accepted.end());
    AddGroup(std::move(groups[i]), std::move(organizations[i]), progress, &work, &totals);
  }
  progress.StartStep("");
  RemoveTwins(&work.remote);
  NameAndSort(&work.local);
  const RunResources resources = {.ruleset = &ruleset,
                                  .ledger = ledger.get(),
                                  .totals = &totals,
                                  .settings = {.full_mode = options.full_mode,
                                               .max_object_bytes = options.max_object_bytes,
                                               .key = keys.current,
                                               .now = NowMicros() / 1'000'000},
                                  .max_pull_requests = options.pipeline.fetch.max_pull_requests,
                                  .audit_every = options.audit_every,
                                  .max_dropped_commits = options.max_dropped_commits};
  PipelineOptions pipeline = options.pipeline;
  pipeline.fetch.network = options.network;
  pipeline.fetch.stop = &g_stop;
  // Mirrors are known by where they are below it.
  pipeline.mirrors_dir = std::filesystem::absolute(MirrorsDir(options)).lexically_normal();
  if (options.list_only) {
    progress.Stop();
    return PrintPlan({.local = work.local, .remote = work.remote, .organizations = work.organizations,
                      .pipeline = pipeline},
                     resources, totals.TakeOutcomes());
  }
  RETURN_IF_ERROR(NumberAll(work.local, work.remote, *ledger));
  progress.ExpectRepositories(work.local.size() + work.remote.size());
  v1::RunRecord run;
  run.set_started(NowMicros());
  run.set_ruleset(ruleset.id());
  ASSIGN_OR_RETURN(run, ledger->StartRun(run));
  ScanAll(&work, options, pipeline, resources,
          {.scanners = scanners.get(), .progress = &progress, .stop = &g_stop, .threads = ThreadsFor(options)});
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
  input.accepted = accepted;
  input.sandbox_note = totals.sandbox_note();
  input.sandboxed = input.sandbox_note.empty();
  input.min_confidence = options.min_confidence;
  input.run = totals.Facts();
  input.run.run_id = run.id();
  input.run.version = options.version;
  input.run.command = options.command_line;
  input.run.started_us = run.started();
  input.run.finished_us = run.started() + absl::ToInt64Microseconds(absl::Now() - started);
  progress.StartStep("writing the report");
  StateHistory history(run.id(), *ledger);
  RETURN_IF_ERROR(ledger->CarryHistoriesOver());
  ASSIGN_OR_RETURN(const ReportTotals report,
                   WriteReport(input, *ledger, options.output_dir, &history));
  RETURN_IF_ERROR(OweWebhook(options.webhook, run.id(), report, *ledger));
  RETURN_IF_ERROR(FinishRun(input, report, run, *ledger));
  const absl::Status called = SettleWebhook(options.webhook, options.network, *ledger, &g_stop);
  progress.Stop();
  PrintSummary(options.output_dir);
  if (!called.ok()) {
    std::fprintf(stderr, "unsprawl: the webhook was not called, the next run does it: %s\n",
                 EscapeForTerminal(std::string(called.message())).c_str());
  }
  return ExitCodeFor(report, totals.internal_error(), options);
}

}  // namespace unsprawl
