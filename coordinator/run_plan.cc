#include "coordinator/run_plan.h"

#include <algorithm>
#include <iterator>
#include <memory>
#include <tuple>
#include <utility>

#include "absl/strings/str_format.h"
#include "coordinator/policy.h"
#include "coordinator/report/coverage.h"
#include "engine/base/escape.h"
#include "engine/base/status.h"

namespace unsprawl {
namespace {

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

// Lists the organizations of all groups.
absl::StatusOr<std::vector<Organization>> ListAll(const PlanOptions& options, const std::vector<SortedGroup>& groups,
                                                  Ledger& ledger) {
  std::vector<Organization> organizations;
  const auto budgets = std::make_shared<TokenBudgets>();
  for (size_t i = 0; i < groups.size(); ++i) {
    ForgeOptions forge = ForgeOptionsOf(options, options.groups[i]);
    forge.api.budgets = budgets;
    ASSIGN_OR_RETURN(Organization organization,
                     ListOrganization(groups[i].targets.scopes, forge, ledger,
                                      options.say_step));
    organizations.push_back(std::move(organization));
  }
  RETURN_IF_ERROR(AddMissing(ledger, &organizations));
  return organizations;
}

// Adds all that a group names; what cannot be had is an outcome.
void AddGroup(SortedGroup group, Organization organization, const PlanOptions& options, WorkList* work,
              RunTotals* totals) {
  for (const Targets::Unusable& unusable : group.targets.unusable) {
    options.say(EscapeForTerminal(std::string(unusable.reason.message())));
    totals->AddFailure(unusable.name, unusable.reason);
  }
  for (RepositoryOutcome& outcome : organization.outcomes) {
    if (!IsWhole(outcome.status)) {
      options.say(absl::StrFormat("%s: %s", EscapeForTerminal(outcome.name), EscapeForTerminal(outcome.reason)));
    }
    totals->Add(std::move(outcome), {});
  }
  const RemoteSource* urls = organization.sources.emplace_back(std::make_unique<RemoteSource>()).get();
  for (const auto& source : organization.sources) source->accepted = group.accepted;
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
    target.accepted = group.accepted;
    work->local.push_back(std::move(target));
  }
  work->organizations.push_back(std::move(organization));
}

// Each key once; the first stays.
void RemoveTwins(std::vector<RemoteTarget>* targets) {
  std::set<std::string> keys;
  std::erase_if(*targets, [&](const RemoteTarget& target) { return !keys.insert(target.key).second; });
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

absl::StatusOr<std::vector<SortedGroup>> SortGroups(std::span<const TargetGroup> groups,
                                                    const std::atomic<bool>& stop) {
  std::vector<SortedGroup> sorted;
  for (const TargetGroup& asked : groups) {
    ASSIGN_OR_RETURN(const std::vector<std::string> arguments, TargetsOf(asked));
    SortedGroup& group = sorted.emplace_back();
    ASSIGN_OR_RETURN(group.targets, FindTargets(arguments, stop));
    RETURN_IF_ERROR(CheckScopes(group.targets.scopes, asked.forge));
    if (!asked.policy.empty()) {
      ASSIGN_OR_RETURN(const Policy policy, LoadPolicy(asked.policy));
      group.accepted = policy.accepted;
    }
  }
  return sorted;
}

ForgeOptions ForgeOptionsOf(const PlanOptions& options, const TargetGroup& group) {
  ForgeOptions forge = group.forge;
  forge.api.network = options.network;
  forge.api.stop = options.stop;
  forge.api.no_wait = options.no_wait;
  return forge;
}

absl::StatusOr<WorkList> MakeWorkList(std::vector<SortedGroup> groups, const PlanOptions& options, Ledger& ledger,
                                      RunTotals* totals) {
  WorkList work;
  ASSIGN_OR_RETURN(std::vector<Organization> organizations, ListAll(options, groups, ledger));
  for (size_t i = 0; i < groups.size(); ++i) {
    work.accepted.insert(groups[i].accepted.begin(), groups[i].accepted.end());
    AddGroup(std::move(groups[i]), std::move(organizations[i]), options, &work, totals);
  }
  options.say_step("");
  RemoveTwins(&work.remote);
  NameAndSort(&work.local);
  return work;
}

absl::Status NumberAll(const WorkList& work, Ledger& ledger) {
  std::vector<std::pair<const std::string*, const std::string*>> all;  // name, key
  for (const RepositoryTarget& target : work.local) all.emplace_back(&target.name, &target.key);
  for (const RemoteTarget& target : work.remote) all.emplace_back(&target.name, &target.key);
  std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) {
    return std::tie(*a.first, *a.second) < std::tie(*b.first, *b.second);
  });
  for (const auto& [name, key] : all) RETURN_IF_ERROR(ledger.OpenRepository(*key, *name).status());
  return absl::OkStatus();
}

}  // namespace unsprawl
