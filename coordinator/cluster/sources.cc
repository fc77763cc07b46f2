#include "coordinator/cluster/sources.h"

#include "absl/strings/str_format.h"
#include "engine/base/status.h"

namespace unsprawl {

Sources::Sources(const PlanOptions& plan, std::vector<std::set<v1::SkipReason>> accepted, Ledger& ledger)
    : plan_(plan), accepted_(std::move(accepted)), ledger_(ledger) {}

void Sources::Keep(std::vector<Organization> organizations) {
  MutexLock lock(mutex_);
  for (uint32_t group = 0; group < organizations.size(); ++group) {
    for (std::unique_ptr<RemoteSource>& source : organizations[group].sources) {
      const Name name(group, source->scope.text);
      names_[source.get()] = name;
      std::unique_ptr<RemoteSource>& kept = sources_[name];
      (kept == nullptr ? kept : twins_.emplace_back()) = std::move(source);
    }
  }
}

v1::PlannedTarget Sources::ToProto(const RemoteTarget& target) {
  v1::PlannedTarget planned;
  planned.set_key(target.key);
  planned.set_name(target.name);
  planned.set_url(target.url);
  planned.set_network(target.network);
  planned.set_size_kb(target.size_kb);
  planned.set_pushed_at(target.pushed_at);
  planned.set_optional(target.optional);
  planned.set_disabled(target.disabled);
  planned.set_gone(target.gone);
  MutexLock lock(mutex_);
  const Name& name = names_[target.source];
  planned.set_group(name.first);
  planned.set_source(name.second);
  return planned;
}

absl::StatusOr<RemoteTarget> Sources::FromProto(const v1::PlannedTarget& planned) {
  RemoteTarget target;
  target.key = planned.key();
  target.name = planned.name();
  target.url = planned.url();
  target.network = planned.network();
  target.size_kb = planned.size_kb();
  target.pushed_at = planned.pushed_at();
  target.optional = planned.optional();
  target.disabled = planned.disabled();
  target.gone = planned.gone();
  const Name name(planned.group(), planned.source());
  if (name.second.empty()) {
    ASSIGN_OR_RETURN(const CloneUrl url, ParseCloneUrl(planned.url()));
    target.authorization = url.authorization;  // of the environment
  }
  {
    MutexLock lock(mutex_);
    const auto found = sources_.find(name);
    if (found != sources_.end()) {
      target.source = found->second.get();
      return target;
    }
  }
  if (name.first >= plan_.groups.size()) {
    return absl::FailedPreconditionError(
        absl::StrFormat("%s: the configuration has its scope no more", planned.name()));
  }
  // Not under the lock: it may ask the forge.
  std::unique_ptr<RemoteSource> source = std::make_unique<RemoteSource>();
  if (!name.second.empty()) {
    ForgeOptions forge = ForgeOptionsOf(plan_, plan_.groups[name.first]);
    forge.api.budgets = budgets_;
    ASSIGN_OR_RETURN(source, OpenSource(name.second, forge, ledger_));
  }
  source->accepted = accepted_[name.first];
  MutexLock lock(mutex_);
  const auto kept = sources_.try_emplace(name, std::move(source)).first;  // Or another call was faster.
  names_[kept->second.get()] = name;
  target.source = kept->second.get();
  return target;
}

}  // namespace unsprawl
