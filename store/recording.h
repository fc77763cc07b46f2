// The rows of one repository's recording on their way in, and how a replaced generation goes away.
#pragma once

#include <array>
#include <cstdint>
#include <future>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "rocksdb/write_batch.h"
#include "store/database.h"
#include "store/ledger.h"

namespace unsprawl {

// Occurrences, their index and commits of one generation, in memory up to a limit and beyond it in
// sorted files that are not part of the store yet. Nothing is visible, or left behind by a crash,
// before the whole is taken in. Not thread-safe.
class RecordingRows {
 public:
  RecordingRows(Database& database, uint64_t repository, uint64_t generation, size_t memory_bytes)
      : database_(database),
        repository_(repository),
        generation_(generation),
        memory_bytes_(memory_bytes),
        parts_(NewParts()) {}
  ~RecordingRows();  // removes files that were not taken in

  absl::Status Add(const v1::Occurrence& occurrence);
  absl::Status AddCommits(const google::protobuf::RepeatedPtrField<v1::Commit>& commits);

  uint64_t repository() const { return repository_; }
  uint64_t generation() const { return generation_; }
  uint64_t occurrences() const { return occurrences_; }
  uint64_t commits() const { return commits_; }
  bool in_memory() const;  // no files yet

  absl::Status AppendTo(rocksdb::WriteBatch* batch) const;    // when in_memory()
  absl::StatusOr<std::vector<Database::Staged>> TakeFiles();  // everything, as files
  size_t rows_in_memory() const;

 private:
  static constexpr size_t kGenerationBytes = 16;  // GenerationPrefix
  static constexpr Family kParts[3] = {Family::kOccurrences, Family::kPlaces, Family::kCommits};
  using Parts = std::array<SortedRows, 3>;  // as kParts
  static Parts NewParts() {
    return {SortedRows(), SortedRows(kGenerationBytes), SortedRows(kGenerationBytes)};
  }
  // Writes what is in memory into files, on another thread: sorting and packing take as long as what
  // comes in meanwhile. One such write at a time.
  absl::Status Spill();
  absl::Status SpillIfFull();
  absl::Status WaitForSpill();

  Database& database_;
  const uint64_t repository_, generation_;
  const size_t memory_bytes_;
  uint64_t occurrences_ = 0, commits_ = 0;
  Parts parts_;
  std::array<std::vector<std::string>, 3> files_;  // as kParts; the spill's while one is under way
  std::future<absl::Status> spill_;
  std::string scratch_;
};

// Deletes the rows of a generation that its repository no longer shows, and its mark of doom. May
// be repeated after a crash.
absl::Status DeleteGeneration(Database& database, uint64_t repository, uint64_t generation);

// DeleteGeneration for every mark of doom left in the store.
absl::Status DeleteDoomed(Database& database);

}  // namespace unsprawl
