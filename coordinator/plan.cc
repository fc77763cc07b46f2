#include "coordinator/plan.h"

#include <algorithm>
#include <cstdio>
#include <set>
#include <string>

#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "coordinator/known_target.h"
#include "coordinator/report/coverage.h"
#include "coordinator/scan_command.h"
#include "engine/base/escape.h"
#include "engine/base/status.h"

namespace unsprawl {
namespace {

// Seconds of one core for a gigabyte of packs, as measured on git/git's mirror (bench/compare): scanning with
// locating, and what git itself needs to take in a pack.
constexpr double kScanSecondsPerGb = 20, kFetchSecondsPerGb = 60;

struct Cost {
  uint64_t disk_bytes = 0, transfer_bytes = 0, scan_bytes = 0;
  uint64_t git_calls = 0, api_calls = 0, unchanged = 0, unknown_sizes = 0;
  uint64_t dropped_commits_left = 0;  // RunResources::max_dropped_commits
};

const char* Action(const RemoteTarget& target, const v1::KnownTarget& known, const Mirror& mirror, Cost* cost) {
  if (!target.gone.empty()) return "gone";
  if (target.disabled) return "disabled";
  const uint64_t bytes = mirror.exists() ? mirror.bytes() : target.size_kb * 1024;
  if (bytes == 0) ++cost->unknown_sizes;
  cost->disk_bytes += bytes;
  if (known.current() && known.unmoved()) {
    ++cost->unchanged;
    return "unchanged";
  }
  ++cost->git_calls;  // ls-remote
  if (mirror.exists()) {
    if (known.current()) return "compare refs";
    cost->scan_bytes += bytes;
    return "compare refs, scan";
  }
  ++cost->git_calls;
  const size_t dropped = target.DroppedCommitsPaths().size();
  if (dropped > 0 && !target.source->client->is_anonymous() && cost->dropped_commits_left > 0) {
    --cost->dropped_commits_left;
    cost->api_calls += dropped;
  }
  cost->transfer_bytes += bytes;
  cost->scan_bytes += bytes;
  return "fetch, scan";
}

void PrintLine(const std::string& name, uint64_t bytes, const char* action) {
  std::printf("%10s  %-18s  %s\n", bytes == 0 ? "?" : HumanBytes(bytes).c_str(), action,
              EscapeForTerminal(name).c_str());
}

}  // namespace

absl::StatusOr<int> PrintPlan(const Plan& plan, const RunResources& run,
                              const std::vector<RepositoryOutcome>& outcomes) {
  const int64_t now = absl::ToUnixSeconds(absl::Now());
  Cost cost;
  cost.dropped_commits_left = run.max_dropped_commits;
  std::vector<const RemoteTarget*> remote;
  for (const RemoteTarget& target : plan.remote) remote.push_back(&target);
  std::sort(remote.begin(), remote.end(),
            [](const RemoteTarget* a, const RemoteTarget* b) { return a->name < b->name; });
  for (const RepositoryTarget& target : plan.local) {
    cost.scan_bytes += target.pack_bytes;
    PrintLine(target.name, target.pack_bytes, "scan in place");
  }
  for (const RemoteTarget* target : remote) {
    v1::RepositoryRecord record;
    ASSIGN_OR_RETURN(const v1::KnownTarget known, LookUp(*target, run, now, &record));
    const Mirror mirror(plan.pipeline.mirrors_dir / target->folder());
    PrintLine(target->name, target->size_kb * 1024, Action(*target, known, mirror, &cost));
  }
  bool whole = true;
  for (const RepositoryOutcome& outcome : outcomes) {
    whole &= IsWhole(outcome.status);
    std::printf("%10s  %-18s  %s: %s\n", "", std::string(Name(outcome.status)).c_str(),
                EscapeForTerminal(outcome.name).c_str(), EscapeForTerminal(outcome.reason).c_str());
  }
  uint64_t api_calls = 0, not_modified = 0, not_selected = 0;
  for (const Organization& organization : plan.organizations) {
    not_selected += organization.not_selected;
    std::set<const ApiClient*> counted;
    for (const auto& source : organization.sources) {
      if (source->client == nullptr || !counted.insert(source->client.get()).second) continue;
      api_calls += source->client->requests();
      not_modified += source->client->not_modified();
    }
  }
  const double gb = 1e9;
  std::printf("\n%zu repositories (%zu on this machine, %llu not selected, %llu unchanged)\n",
              plan.local.size() + plan.remote.size(), plan.local.size(),
              static_cast<unsigned long long>(not_selected),
              static_cast<unsigned long long>(cost.unchanged));
  std::printf("disk for mirrors: about %s; transfer: about %s%s\n", HumanBytes(cost.disk_bytes).c_str(),
              HumanBytes(cost.transfer_bytes).c_str(),
              cost.unknown_sizes == 0
                  ? ""
                  : absl::StrFormat(", and %d repositories of unknown size", cost.unknown_sizes).c_str());
  std::printf("API calls: %llu for this listing (%llu of them \"not modified\"), %llu more; git: about %llu requests\n",
              static_cast<unsigned long long>(api_calls), static_cast<unsigned long long>(not_modified),
              static_cast<unsigned long long>(cost.api_calls),
              static_cast<unsigned long long>(cost.git_calls));
  const double hours = (static_cast<double>(cost.scan_bytes) / gb * kScanSecondsPerGb +
                        static_cast<double>(cost.transfer_bytes) / gb * kFetchSecondsPerGb) / 3600;
  std::printf("work: %s core-hours\n", hours < 0.01 ? "less than 0.01" : absl::StrFormat("about %.2f", hours).c_str());
  return whole ? kExitClean : kExitIncomplete;
}

}  // namespace unsprawl
