#include "coordinator/report/suppression.h"

#include <utility>

#include "engine/base/status.h"
#include "engine/judge/examine.h"
#include "store/layout.h"

namespace unsprawl {

std::string_view Name(SuppressedBy by) {
  constexpr std::string_view kNames[] = {"gitleaks:allow", ".gitleaksignore", "--ignore-file", "--baseline-path"};
  return kNames[static_cast<size_t>(by)];
}

absl::StatusOr<Suppressions> Suppressions::Read(const ReportInput& input, const Ledger& ledger) {
  Suppressions suppressions(input);
  for (const RepositoryOutcome& repository : input.repositories) {
    if (repository.id == 0) continue;
    ASSIGN_OR_RETURN(std::optional<v1::RepositoryRecord> record, ledger.ReadRepository(repository.id));
    if (record && record->head().ignores_size() > 0) {
      suppressions.Add(repository.id, std::move(*record->mutable_head()));
    }
  }
  if (input.ignores == nullptr) return suppressions;
  for (const std::string& incident : input.ignores->incidents()) {
    suppressions.incidents_.insert(incident);
    ASSIGN_OR_RETURN(const SecretId today, ledger.ResolveAlias(*SecretIdFromRaw(incident)));
    suppressions.incidents_.insert(std::string(today.raw()));
  }
  return suppressions;
}

void Suppressions::Add(uint64_t repository, v1::HeadFacts head) {
  OfRepository& added = repositories_[repository];
  for (v1::Ignore& ignore : *head.mutable_ignores()) {
    if (input_.ruleset->FindById(ignore.rule()) == nullptr) continue;
    added.findings.Add(ignore.path(), ignore.line(),
                       {.rule = ignore.rule(), .commit = ignore.commit(), .note = ignore.introduced_by() - 1});
  }
  added.commits = std::move(*head.mutable_ignore_commits());
}

std::optional<Suppression> Suppressions::Find(uint64_t repository, const v1::Occurrence& occurrence,
                                              const Rule& rule) const {
  if (input_.ignores != nullptr) {
    if (input_.ignores->Ignores(occurrence, rule)) return Suppression{SuppressedBy::kOperatorIgnore, true};
    if (incidents_.contains(occurrence.secret()) || input_.ignores->IsInBaseline(occurrence, rule)) {
      return Suppression{SuppressedBy::kBaseline, true};
    }
  }
  const bool hidden = input_.trust_repo_ignores;
  if ((occurrence.match().flags() & kInlineAllowed) != 0) {
    return Suppression{SuppressedBy::kInline, hidden, occurrence.has_commit() ? &occurrence.commit() : nullptr};
  }
  const auto found = repositories_.find(repository);
  if (found == repositories_.end()) return std::nullopt;
  const OfRepository& here = found->second;
  const NamedFindings::Row* const row = here.findings.Find(occurrence, rule);
  if (row == nullptr) return std::nullopt;
  const bool known = row->note < static_cast<uint32_t>(here.commits.size());
  return Suppression{SuppressedBy::kIgnoreFile, hidden, known ? &here.commits[static_cast<int>(row->note)] : nullptr};
}

}  // namespace unsprawl
