#include "store/sorted_rows.h"

#include <algorithm>

#include "engine/base/status.h"

namespace unsprawl {

void SortedRows::Append(std::string_view key, std::string_view value, bool deleted) {
  CHECK(value.size() <= INT32_MAX && key.size() >= shared_bytes_);  // a message is at most 2 GB
  uint64_t order = 0;
  for (size_t i = 0; i < sizeof(order); ++i) {
    const size_t at = shared_bytes_ + i;
    order = order << 8 | (at < key.size() ? static_cast<uint8_t>(key[at]) : 0);
  }
  rows_.push_back({.order = order,
                   .offset = arena_.size(),
                   .key_bytes = static_cast<uint32_t>(key.size()),
                   .value_bytes = static_cast<uint32_t>(value.size()) & INT32_MAX,
                   .deleted = deleted ? 1u : 0u});
  arena_.append(key).append(value);
}

void SortedRows::Clear() {
  arena_.clear();
  rows_.clear();
}

rocksdb::Status SortedRows::AppendTo(rocksdb::WriteBatch* batch,
                                     rocksdb::ColumnFamilyHandle* family) const {
  for (const Row& row : rows_) {
    const rocksdb::Status status = row.deleted ? batch->Delete(family, KeyOf(row))
                                               : batch->Put(family, KeyOf(row), ValueOf(row));
    if (!status.ok()) return status;
  }
  return rocksdb::Status::OK();
}

void SortedRows::Sort() {
  const auto before = [this](const Row& a, const Row& b) {
    if (a.order != b.order) return a.order < b.order;
    const int order = KeyOf(a).compare(KeyOf(b));
    return order != 0 ? order < 0 : a.offset > b.offset;  // the last given of equal keys first
  };
  if (!std::is_sorted(rows_.begin(), rows_.end(), before)) {
    std::sort(rows_.begin(), rows_.end(), before);
  }
  rows_.erase(std::unique(rows_.begin(), rows_.end(),
                          [this](const Row& a, const Row& b) { return KeyOf(a) == KeyOf(b); }),
              rows_.end());
}

}  // namespace unsprawl
