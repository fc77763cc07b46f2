#include "store/rule_book.h"

#include <utility>

#include "absl/strings/str_format.h"
#include "engine/base/status.h"
#include "store/ledger_semantics.h"

namespace unsprawl {

absl::Status RuleBook::Load() {
  std::vector<std::vector<uint64_t>> lists;
  std::map<std::vector<uint64_t>, RuleListId> ids;
  RETURN_IF_ERROR(database_.VisitPrefix(
      Family::kMeta, std::string(1, kRuleListPrefix), nullptr,
      [&](std::string_view key, std::string_view value) -> absl::Status {
        std::optional<std::vector<uint64_t>> list = DecodeRuleList(value);
        if (!list || key != RuleListKey(static_cast<RuleListId>(lists.size()))) {
          return absl::DataLossError(absl::StrFormat("rule list %d is unreadable", lists.size()));
        }
        ids.emplace(*list, static_cast<RuleListId>(lists.size()));
        lists.push_back(*std::move(list));
        return absl::OkStatus();
      }));
  const MutexLock lock(mutex_);
  lists_ = std::move(lists);
  ids_ = std::move(ids);
  return absl::OkStatus();
}

absl::StatusOr<RuleListId> RuleBook::InternLocked(std::vector<uint64_t> keys) {
  if (const auto known = ids_.find(keys); known != ids_.end()) return known->second;
  const RuleListId id = static_cast<RuleListId>(lists_.size());
  rocksdb::WriteBatch batch;
  batch.Put(database_.family(Family::kMeta), RuleListKey(id), EncodeRuleList(keys));
  RETURN_IF_ERROR(database_.Write(&batch));
  // Ingested rows that name the list are durable at once: after a power cut its number must not be given
  // to another.
  RETURN_IF_ERROR(database_.SyncLog());
  ids_.emplace(keys, id);
  lists_.push_back(std::move(keys));
  return id;
}

absl::StatusOr<RuleListId> RuleBook::Intern(std::vector<uint64_t> keys) {
  const MutexLock lock(mutex_);
  return InternLocked(std::move(keys));
}

absl::StatusOr<RuleListId> RuleBook::Union(RuleListId a, RuleListId b) {
  if (a == b) return a;
  const MutexLock lock(mutex_);
  if (a >= lists_.size() || b >= lists_.size()) {
    return absl::DataLossError(absl::StrFormat("a blob was scanned under unknown rules %d", a));
  }
  const std::pair<RuleListId, RuleListId> pair(a, b);
  if (const auto known = unions_.find(pair); known != unions_.end()) return known->second;
  ASSIGN_OR_RETURN(const RuleListId both, InternLocked(UnionOf(lists_[a], lists_[b])));
  unions_.emplace(pair, both);
  return both;
}

std::vector<std::vector<uint64_t>> RuleBook::Lists() const {
  const MutexLock lock(mutex_);
  return lists_;
}

absl::StatusOr<std::vector<uint64_t>> RuleBook::List(RuleListId id) const {
  const MutexLock lock(mutex_);
  if (id < lists_.size()) return lists_[id];
  return absl::InvalidArgumentError(absl::StrFormat("rule list %d is not known", id));
}

}  // namespace unsprawl
