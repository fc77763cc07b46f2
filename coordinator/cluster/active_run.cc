#include "coordinator/cluster/active_run.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "coordinator/fork_networks.h"
#include "coordinator/known_target.h"
#include "coordinator/run_totals.h"
#include "engine/base/escape.h"
#include "engine/base/sha256.h"
#include "engine/base/status.h"
#include "worker/clone_url.h"

namespace unsprawl {
namespace {

constexpr uint64_t kFirst = uint64_t{1} << 60;  // a size that goes before all others

absl::Status CheckFetchable(const std::string& target) {
  if (ParseForgeScope(target)) return absl::OkStatus();
  if (IsRemoteUrl(target)) {
    // A password in it would be kept with the shard.
    const std::string scheme = ParseCloneUrl(target)->scheme;
    if (scheme == "ssh" || target.find('@') >= target.find('/', scheme.size() + 3)) return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrFormat(
      "%s: a coordinator's workers fetch from forges (github:ORG) and clone URLs (https, ssh; without credentials in "
      "them); scan what is on this machine without a coordinator", EscapeForTerminal(WithoutUser(target))));
}

ForgeOptions WithSelection(ForgeOptions forge, const v1::Selection& selection) {
  forge.selection.include.assign(selection.include().begin(), selection.include().end());
  forge.selection.exclude.assign(selection.exclude().begin(), selection.exclude().end());
  forge.selection.forks = selection.forks();
  forge.selection.archived = selection.archived();
  forge.selection.visibilities = {selection.visibilities().begin(), selection.visibilities().end()};
  forge.selection.topics = {selection.topics().begin(), selection.topics().end()};
  forge.selection.max_size_kb = selection.max_size_kb();
  forge.selection.pushed_since = selection.pushed_since();
  forge.max_wikis = selection.max_wikis();
  forge.max_gists = selection.max_gists();
  return forge;
}

// The group of the configuration that speaks for `forge` (one without targets for any); null: none does.
const TargetGroup* GroupFor(const std::string& forge, const ScanOptions& configuration) {
  for (const TargetGroup& group : configuration.groups) {
    if (group.targets.empty() && group.targets_from.empty()) return &group;
    const absl::StatusOr<std::vector<std::string>> targets = TargetsOf(group);
    if (!targets.ok()) continue;
    for (const std::string& target : *targets) {
      const std::optional<ForgeScope> scope = ParseForgeScope(target);
      if (scope && scope->forge == forge) return &group;
    }
  }
  return nullptr;
}

PassCounters FromProto(const v1::PassTotals& totals) {
  PassCounters counters;
  counters.unchanged = totals.unchanged();
  counters.internal_error = totals.internal_error();
  counters.blobs_scanned = totals.blobs_scanned();
  counters.blobs_known = totals.blobs_known();
  counters.bytes_resolved = totals.bytes_resolved();
  counters.bytes_scanned = totals.bytes_scanned();
  counters.scanner_deaths = totals.scanner_deaths();
  counters.sandbox_note = totals.sandbox_note();
  counters.open_seconds = totals.open_seconds();
  counters.scan_seconds = totals.scan_seconds();
  counters.locate_seconds = totals.locate_seconds();
  counters.record_seconds = totals.record_seconds();
  return counters;
}

void Add(const v1::Outcome& kept, RunTotals* totals) {
  RepositoryOutcome outcome;
  outcome.id = kept.id();
  outcome.name = kept.name();
  outcome.status = static_cast<RepositoryOutcome::Status>(kept.status());
  outcome.reason = kept.reason();
  outcome.coverage = kept.coverage();
  totals->Add(std::move(outcome), FromProto(kept.totals()));
}

}  // namespace

std::string SettledName(uint64_t run) { return absl::StrFormat("cluster settled %d", run); }

v1::Outcome ToProto(const RepositoryOutcome& outcome, const PassCounters& counters) {
  v1::Outcome kept;
  kept.set_id(outcome.id);
  kept.set_name(outcome.name);
  kept.set_status(static_cast<uint32_t>(outcome.status));
  kept.set_reason(outcome.reason);
  *kept.mutable_coverage() = outcome.coverage;
  v1::PassTotals& totals = *kept.mutable_totals();
  totals.set_unchanged(counters.unchanged);
  totals.set_internal_error(counters.internal_error);
  totals.set_blobs_scanned(counters.blobs_scanned);
  totals.set_blobs_known(counters.blobs_known);
  totals.set_bytes_resolved(counters.bytes_resolved);
  totals.set_bytes_scanned(counters.bytes_scanned);
  totals.set_scanner_deaths(counters.scanner_deaths);
  totals.set_sandbox_note(counters.sandbox_note);
  totals.set_open_seconds(counters.open_seconds);
  totals.set_scan_seconds(counters.scan_seconds);
  totals.set_locate_seconds(counters.locate_seconds);
  totals.set_record_seconds(counters.record_seconds);
  return kept;
}

absl::StatusOr<std::vector<TargetGroup>> GroupsOf(const v1::RunPlan& plan, const ScanOptions& configuration) {
  if (plan.targets().empty()) {
    for (const TargetGroup& group : configuration.groups) {
      if (group.targets.empty() && group.targets_from.empty()) continue;  // of flags, for what a client names
      ASSIGN_OR_RETURN(const std::vector<std::string> targets, TargetsOf(group));
      for (const std::string& target : targets) RETURN_IF_ERROR(CheckFetchable(target));
    }
    return configuration.groups;
  }
  std::map<const TargetGroup*, TargetGroup> groups;
  for (const std::string& target : plan.targets()) {
    RETURN_IF_ERROR(CheckFetchable(target));
    const std::optional<ForgeScope> scope = ParseForgeScope(target);
    const TargetGroup* const known = scope ? GroupFor(scope->forge, configuration) : nullptr;
    const auto [group, is_new] = groups.try_emplace(known);
    if (is_new && known != nullptr) {
      group->second.forge = known->forge;
      group->second.policy = known->policy;
    }
    if (is_new && plan.has_selection()) {
      group->second.forge = WithSelection(std::move(group->second.forge), plan.selection());
    }
    group->second.targets.push_back(target);
  }
  std::vector<TargetGroup> result;
  // In the order of the configuration.
  for (const TargetGroup& known : configuration.groups) {
    if (const auto found = groups.find(&known); found != groups.end()) result.push_back(std::move(found->second));
  }
  if (const auto found = groups.find(nullptr); found != groups.end()) result.push_back(std::move(found->second));
  return result;
}

absl::StatusOr<std::unique_ptr<ActiveRun>> ActiveRun::Make(const v1::ClusterRun& run,
                                                           const CoordinatorSettings& settings, EndFunction end,
                                                           std::function<void(const std::string&)> say,
                                                           std::function<void(const std::string&)> say_step) {
  std::unique_ptr<ActiveRun> active(new ActiveRun(run, settings));
  const ScanOptions& options = *settings.options;
  ASSIGN_OR_RETURN(active->groups_, GroupsOf(run.plan(), options));
  ASSIGN_OR_RETURN(active->sorted_, SortGroups(active->groups_, active->stop_));
  active->plan_ = {.groups = active->groups_,
                   .network = options.network,
                   .stop = &active->stop_,
                   .say = std::move(say),
                   .say_step = std::move(say_step),
                   .no_wait = &active->lending_};
  active->resources_ = {.ruleset = settings.ruleset,
                        .ledger = settings.ledger,
                        .end = std::move(end),
                        .settings = {.full_mode = run.plan().full_mode() || options.full_mode,
                                     .archives = options.archives,
                                     .max_object_bytes = options.max_object_bytes,
                                     .key = settings.keys->current,
                                     .now = run.started() / 1'000'000},
                        .max_pull_requests = options.pipeline.fetch.max_pull_requests,
                        .audit_every = options.audit_every,
                        .max_dropped_commits = options.max_dropped_commits};
  std::vector<std::set<v1::SkipReason>> accepted;
  for (const SortedGroup& group : active->sorted_) accepted.push_back(group.accepted);
  active->sources_.emplace(active->plan_, std::move(accepted), *settings.ledger);
  return active;
}

std::string ActiveRun::Basis() const {
  std::string text = absl::StrFormat("%s %s %s %d", settings_.ruleset->id(),
                                     absl::BytesToHexString(std::string(KeyCheck(resources_.settings.key).raw())),
                                     ScanSettingsText(resources_.settings), resources_.settings.full_mode);
  for (size_t i = 0; i < sorted_.size(); ++i) {
    absl::StrAppendFormat(&text, "\n%s", groups_[i].forge.api_url);
    for (const ForgeScope& scope : sorted_[i].targets.scopes) absl::StrAppendFormat(&text, "\n %s", scope.text);
    for (const std::string& url : sorted_[i].targets.urls) absl::StrAppendFormat(&text, "\n %s", url);
    for (const v1::SkipReason reason : sorted_[i].accepted) absl::StrAppendFormat(&text, " %d", reason);
  }
  return absl::BytesToHexString(Sha256(text));
}

absl::StatusOr<v1::RepositoryCounts> ActiveRun::List() {
  Ledger& ledger = *settings_.ledger;
  RunTotals totals;
  lending_ = false;
  ASSIGN_OR_RETURN(WorkList work, MakeWorkList(std::move(sorted_), plan_, ledger, &totals));
  if (!work.local.empty()) {  // A file of targets was changed since CheckFetchable, say.
    return absl::InvalidArgumentError(
        absl::StrFormat("%s is on this machine: scan it without a coordinator",
                        EscapeForTerminal(work.local.front().name)));
  }
  RETURN_IF_ERROR(NumberAll(work, ledger));
  sources_->Keep(std::move(work.organizations));
  v1::SettledTargets settled;
  settled.mutable_accepted()->Add(work.accepted.begin(), work.accepted.end());
  for (const RepositoryOutcome& outcome : totals.TakeOutcomes()) *settled.add_outcomes() = ToProto(outcome, {});
  std::vector<const RemoteTarget*> targets;
  std::vector<Home> homes;
  const int64_t now = absl::ToUnixSeconds(absl::Now());
  for (const RemoteTarget& target : work.remote) {
    v1::RepositoryRecord record;
    ASSIGN_OR_RETURN(const v1::KnownTarget known, LookUp(target, resources_, now, &record));
    if (known.current() && known.unmoved() && target.gone.empty() && !target.disabled) {
      settled.add_unchanged(record.id());
      settled.add_unchanged_group(sources_->ToProto(target).group());
      continue;
    }
    targets.push_back(&target);
    // A mirror of what is gone, or of what no ref reaches any more, may be the only place that has it.
    const bool gone = !target.gone.empty() || target.disabled;
    homes.push_back({known.note().worker(), gone || !known.note().lost_tips().empty()});
  }
  RETURN_IF_ERROR(ledger.WriteNote(SettledName(id()), settled.SerializeAsString()));
  lending_ = true;
  RETURN_IF_ERROR(AddShards(targets, homes, work.remote));
  v1::RepositoryCounts repositories;
  repositories.set_all(work.remote.size());
  repositories.set_unchanged(static_cast<uint64_t>(settled.unchanged_size()));
  return repositories;
}

// Of a fork network the root goes first, or else the largest; the others borrow from it, wherever it is.
absl::Status ActiveRun::AddShards(const std::vector<const RemoteTarget*>& targets,
                                  const std::vector<Home>& homes, const std::vector<RemoteTarget>& all) {
  absl::flat_hash_map<std::string, const RemoteTarget*> leaders;
  absl::flat_hash_map<std::string, int> members;
  for (const RemoteTarget& target : all) {
    if (target.network.empty()) continue;
    ++members[target.network];
    const RemoteTarget*& leader = leaders[target.network];
    if (leader == nullptr || IsFirstRather(target, leader->key, leader->size_kb)) leader = &target;
  }
  absl::flat_hash_map<std::string, Home> home_of_network;
  for (size_t i = 0; i < targets.size(); ++i) {
    if (targets[i]->network.empty() || homes[i].worker.empty()) continue;
    Home& home = home_of_network[targets[i]->network];
    const bool only = home.only || homes[i].only;
    if (home.worker.empty() || homes[i].only) home.worker = homes[i].worker;
    home.only = only;
  }
  std::vector<v1::Shard> shards(targets.size());
  for (size_t i = 0; i < targets.size(); ++i) {
    const RemoteTarget& target = *targets[i];
    v1::Shard& shard = shards[i];
    v1::ShardPayload payload;
    *payload.mutable_target() = sources_->ToProto(target);
    shard.set_run(id());
    shard.set_repository(target.key);
    shard.set_host(target.name.substr(0, target.name.find('/')));
    // A worker keeps the mirror of what is gone once it knows, so it has to know before it makes room for others.
    const bool gone = !target.gone.empty() || target.disabled;
    shard.set_size(gone ? kFirst : target.size_kb * 1024);
    Home home = homes[i];
    if (!target.network.empty() && members[target.network] > 1) {
      const RemoteTarget* const leader = leaders[target.network];
      shard.set_group(absl::StrFormat("%s %s", shard.host(), target.network));
      home = home_of_network[target.network];
      home.only = true;  // Elsewhere there is nothing to borrow from: it would be fetched whole.
      shard.set_leads(leader == &target);
      if (leader != &target) payload.mutable_target()->set_lender(leader->folder());
    }
    shard.set_home(home.worker);
    shard.set_home_only(home.only);
    shard.set_payload(payload.SerializeAsString());
  }
  return shards.empty() ? absl::OkStatus() : settings_.ledger->shards().Add(shards).status();
}

// One that was given up.
RepositoryOutcome ActiveRun::ParkedOutcome(const v1::Shard& shard, const v1::RepositoryRecord& record) const {
  using Status = RepositoryOutcome::Status;
  v1::ShardPayload payload;
  const bool known = payload.ParseFromString(shard.payload());
  return FailedOutcome(record, known ? payload.target().name() : record.name(),
                       shard.error() == v1::ERROR_CLASS_DENIED ? Status::kRefused : Status::kFailed, shard.reason());
}

absl::StatusOr<ReportInput> ActiveRun::Collect(bool* internal_error) const {
  Ledger& ledger = *settings_.ledger;
  RunTotals totals;
  v1::SettledTargets settled;
  ASSIGN_OR_RETURN(const auto note, ledger.ReadNote(SettledName(id())));
  if (note && !settled.ParseFromString(*note)) return absl::DataLossError("the store holds an unreadable run");
  for (const v1::Outcome& outcome : settled.outcomes()) Add(outcome, &totals);
  for (int i = 0; i < settled.unchanged_size(); ++i) {
    ASSIGN_OR_RETURN(const auto record, ledger.ReadRepository(settled.unchanged(i)));
    if (!record) continue;
    PassCounters counters;
    counters.unchanged = true;
    totals.Add(OutcomeOf(*record, sources_->accepted(settled.unchanged_group(i))), counters);
  }
  std::vector<uint64_t> repositories;
  RETURN_IF_ERROR(ledger.shards().Visit(id(), [&](const v1::Shard& shard) {
    if (shard.kind() == v1::SHARD_KIND_REPOSITORY) repositories.push_back(shard.id());
  }));
  for (const uint64_t id : repositories) {
    ASSIGN_OR_RETURN(const v1::Shard shard, ledger.shards().Read(id));
    v1::Outcome outcome;
    if (shard.state() == v1::SHARD_STATE_DONE) {
      if (!outcome.ParseFromString(shard.result())) return absl::DataLossError("the store holds an unreadable result");
      if (!shard.result().empty()) Add(outcome, &totals);
    } else {
      ASSIGN_OR_RETURN(const v1::RepositoryRecord record, ledger.OpenRepository(shard.repository(), ""));
      totals.Add(ParkedOutcome(shard, record), {});
    }
  }
  ReportInput input;
  input.ruleset = settings_.ruleset;
  input.repositories = totals.TakeOutcomes();
  for (const int reason : settled.accepted()) input.accepted.insert(static_cast<v1::SkipReason>(reason));
  input.sandbox_note = totals.sandbox_note();
  input.sandboxed = input.sandbox_note.empty();
  input.min_confidence =
      run_.plan().has_min_confidence() ? run_.plan().min_confidence() : settings_.options->min_confidence;
  input.ignores = settings_.ignores;
  input.trust_repo_ignores = settings_.options->trust_repo_ignores;
  input.run = totals.Facts();
  input.run.version = settings_.options->version;
  input.run.command = run_.plan().command().empty() ? settings_.options->command_line : run_.plan().command();
  *internal_error = totals.internal_error();
  return input;
}

}  // namespace unsprawl
