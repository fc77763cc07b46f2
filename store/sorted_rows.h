#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "rocksdb/write_batch.h"

namespace unsprawl {

// Rows of one column family on their way into the store, in one arena. Not thread-safe.
class SortedRows {
 public:
  // All keys start with the same `shared_bytes` bytes: what follows them decides their order.
  explicit SortedRows(size_t shared_bytes = 0) : shared_bytes_(shared_bytes) {}

  void Put(std::string_view key, std::string_view value) { Append(key, value, false); }
  void Delete(std::string_view key) { Append(key, {}, true); }

  size_t rows() const { return rows_.size(); }
  size_t bytes() const { return arena_.size() + rows_.size() * sizeof(Row); }  // held in memory
  bool empty() const { return rows_.empty(); }
  void Clear();  // keeps the arena's memory

  // In the order given.
  rocksdb::Status AppendTo(rocksdb::WriteBatch* batch, rocksdb::ColumnFamilyHandle* family) const;

  // Sorts by key; of equal keys the last given stays. Then `Writer` (rocksdb::SstFileWriter) gets
  // all.
  void Sort();
  template <typename Writer>
  rocksdb::Status WriteTo(Writer& writer) const {
    for (const Row& row : rows_) {
      const rocksdb::Status status =
          row.deleted ? writer.Delete(KeyOf(row)) : writer.Put(KeyOf(row), ValueOf(row));
      if (!status.ok()) return status;
    }
    return rocksdb::Status::OK();
  }

 private:
  struct Row {
    uint64_t order;   // eight bytes of the key, big-endian: decides most comparisons
    uint64_t offset;  // of the key in arena_; the value follows
    uint32_t key_bytes;
    uint32_t value_bytes : 31;
    uint32_t deleted : 1;
  };
  void Append(std::string_view key, std::string_view value, bool deleted);
  rocksdb::Slice KeyOf(const Row& row) const { return {arena_.data() + row.offset, row.key_bytes}; }
  rocksdb::Slice ValueOf(const Row& row) const {
    return {arena_.data() + row.offset + row.key_bytes, row.value_bytes};
  }

  size_t shared_bytes_;
  std::string arena_;
  std::vector<Row> rows_;
};

}  // namespace unsprawl
