// From what was asked for to the repositories that a run works through.
#pragma once

#include <atomic>
#include <functional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "coordinator/organization.h"
#include "coordinator/run_totals.h"
#include "coordinator/targets.h"
#include "store/ledger.h"
#include "worker/http_client.h"
#include "worker/repository_pass.h"

namespace unsprawl {

// Targets that have their credentials, selection and policy in common: those of a command line, or of a
// [[scope]] of a configuration.
struct TargetGroup {
  std::vector<std::string> targets;
  std::string targets_from;          // file of targets; "-": stdin
  ForgeOptions forge;
  std::string policy;                // file of accepted skips
};

// All that a group names. NotFound: no such file of targets. InvalidArgument: it names nothing.
absl::StatusOr<std::vector<std::string>> TargetsOf(const TargetGroup& group);

// A group, sorted out before anything is opened.
struct SortedGroup {
  Targets targets;
  std::set<v1::SkipReason> accepted;
};
absl::StatusOr<std::vector<SortedGroup>> SortGroups(std::span<const TargetGroup> groups,
                                                    const std::atomic<bool>& stop);

struct PlanOptions {
  std::span<const TargetGroup> groups;
  NetworkOptions network;
  const std::atomic<bool>* stop;
  std::function<void(const std::string&)> say;       // a line for a person
  std::function<void(const std::string&)> say_step;  // what is being listed
  const std::atomic<bool>* no_wait = nullptr;        // ApiOptions::no_wait
};

// How the API of a group's forges is asked.
ForgeOptions ForgeOptionsOf(const PlanOptions& options, const TargetGroup& group);

// What a run works through.
struct WorkList {
  std::vector<RepositoryTarget> local;
  std::vector<RemoteTarget> remote;
  std::vector<Organization> organizations;  // one for each group; `remote` points to their sources
  std::set<v1::SkipReason> accepted;        // of all groups
};

// Lists all that the groups name, each repository once. What cannot be had is a failure in *totals. Cancelled: `stop`.
absl::StatusOr<WorkList> MakeWorkList(std::vector<SortedGroup> groups, const PlanOptions& options, Ledger& ledger,
                                      RunTotals* totals);

// Makes the repositories' records, numbered in the order of names, whichever is scanned first.
absl::Status NumberAll(const WorkList& work, Ledger& ledger);

}  // namespace unsprawl
