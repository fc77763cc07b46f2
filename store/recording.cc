#include "store/recording.h"

#include <filesystem>
#include <utility>

#include "absl/strings/str_format.h"
#include "engine/base/status.h"
#include "store/ledger_semantics.h"

namespace unsprawl {

RecordingRows::~RecordingRows() {
  (void)WaitForSpill();
  std::error_code ignored;
  for (const std::vector<std::string>& files : files_) {
    for (const std::string& file : files) std::filesystem::remove(file, ignored);
  }
}

absl::Status RecordingRows::Add(const v1::Occurrence& occurrence) {
  RETURN_IF_ERROR(CheckOccurrence(occurrence));
  if (occurrences_ == UINT32_MAX) {
    return absl::ResourceExhaustedError(
        absl::StrFormat("repository %d has more than %d occurrences", repository_, occurrences_));
  }
  const OccurrenceKey key{.secret = *SecretIdFromRaw(occurrence.secret()),
                          .repository = repository_,
                          .generation = generation_,
                          .sequence = static_cast<uint32_t>(occurrences_++)};
  v1::Occurrence row = occurrence;
  row.clear_secret();  // the key has it
  scratch_.clear();
  if (!row.AppendToString(&scratch_)) return absl::InternalError("cannot serialise an occurrence");
  parts_[0].Put(EncodeOccurrenceKey(key), scratch_);
  parts_[1].Put(EncodePlaceKey(key), "");
  return SpillIfFull();
}

absl::Status RecordingRows::AddCommits(
    const google::protobuf::RepeatedPtrField<v1::Commit>& commits) {
  // The key has the id, which is the message's first field: a tag, a length, 20 bytes.
  constexpr size_t kIdFieldBytes = 2 + ObjectId::kBytes;
  for (const v1::Commit& commit : commits) {
    RETURN_IF_ERROR(CheckCommit(commit));
    scratch_.clear();
    if (!commit.AppendToString(&scratch_)) return absl::InternalError("cannot serialise a commit");
    CHECK(scratch_.compare(2, ObjectId::kBytes, commit.id()) == 0);
    parts_[2].Put(CommitKey(repository_, generation_, commit.id()),
                  std::string_view(scratch_).substr(kIdFieldBytes));
    ++commits_;
    RETURN_IF_ERROR(SpillIfFull());
  }
  return absl::OkStatus();
}

size_t RecordingRows::rows_in_memory() const {
  return parts_[0].rows() + parts_[1].rows() + parts_[2].rows();
}

bool RecordingRows::in_memory() const {
  return !spill_.valid() && files_[0].empty() && files_[1].empty() && files_[2].empty();
}

absl::Status RecordingRows::SpillIfFull() {
  const size_t bytes = parts_[0].bytes() + parts_[1].bytes() + parts_[2].bytes();
  return bytes >= memory_bytes_ ? Spill() : absl::OkStatus();
}

absl::Status RecordingRows::Spill() {
  RETURN_IF_ERROR(WaitForSpill());
  const auto write = [this](Parts parts) -> absl::Status {
    for (size_t i = 0; i < 3; ++i) {
      if (parts[i].empty()) continue;
      ASSIGN_OR_RETURN(std::string file, database_.Stage(kParts[i], parts[i]));
      files_[i].push_back(std::move(file));
    }
    return absl::OkStatus();
  };
  spill_ = std::async(std::launch::async, write, std::exchange(parts_, NewParts()));
  return absl::OkStatus();
}

absl::Status RecordingRows::WaitForSpill() { return spill_.valid() ? spill_.get() : absl::OkStatus(); }

absl::Status RecordingRows::AppendTo(rocksdb::WriteBatch* batch) const {
  for (size_t i = 0; i < 3; ++i) {
    RETURN_IF_ERROR(Translate(parts_[i].AppendTo(batch, database_.family(kParts[i])), "a batch"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Database::Staged>> RecordingRows::TakeFiles() {
  RETURN_IF_ERROR(Spill());
  RETURN_IF_ERROR(WaitForSpill());
  std::vector<Database::Staged> staged;
  for (size_t i = 0; i < 3; ++i) staged.push_back({kParts[i], files_[i]});
  return staged;
}

absl::Status DeleteGeneration(Database& database, uint64_t repository, uint64_t generation) {
  constexpr size_t kRowsAtOnce = 1000;
  const std::string begin = GenerationPrefix(repository, generation);
  rocksdb::WriteBatch batch;
  const auto delete_row = [&](std::string_view place, std::string_view) -> absl::Status {
    const std::optional<OccurrenceKey> key = DecodePlaceKey(place);
    if (!key) return absl::DataLossError("the store holds an unreadable row of places");
    batch.Delete(database.family(Family::kOccurrences), EncodeOccurrenceKey(*key));
    batch.Delete(database.family(Family::kPlaces), ToSlice(place));
    if (batch.Count() < 2 * kRowsAtOnce) return absl::OkStatus();
    RETURN_IF_ERROR(database.Write(&batch));
    batch.Clear();
    return absl::OkStatus();
  };
  RETURN_IF_ERROR(database.VisitPrefix(Family::kPlaces, begin, nullptr, delete_row));

  // Few commits are deleted one by one: every range deletion costs all later reads a little.
  size_t commits = 0;
  rocksdb::WriteBatch single = batch;
  const absl::Status counted =
      database.VisitPrefix(Family::kCommits, begin, nullptr,
                           [&](std::string_view key, std::string_view) -> absl::Status {
                             if (++commits > kRowsAtOnce) return absl::OutOfRangeError("many");
                             single.Delete(database.family(Family::kCommits), ToSlice(key));
                             return absl::OkStatus();
                           });
  if (counted.ok()) {
    batch = std::move(single);
  } else if (absl::IsOutOfRange(counted)) {
    batch.DeleteRange(database.family(Family::kCommits), begin,
                      GenerationPrefix(repository, generation + 1));
  } else {
    return counted;
  }
  batch.Delete(database.family(Family::kMeta), DoomedKey(repository, generation));
  return database.Write(&batch);
}

absl::Status DeleteDoomed(Database& database) {
  std::vector<std::pair<uint64_t, uint64_t>> doomed;
  RETURN_IF_ERROR(database.VisitPrefix(
      Family::kMeta, std::string(1, kDoomedPrefix), nullptr,
      [&](std::string_view key, std::string_view) -> absl::Status {
        if (key.size() != 17)
          return absl::DataLossError("the store holds an unreadable mark of doom");
        doomed.emplace_back(ReadBigEndian64(key.data() + 1), ReadBigEndian64(key.data() + 9));
        return absl::OkStatus();
      }));
  for (const auto& [repository, generation] : doomed) {
    RETURN_IF_ERROR(DeleteGeneration(database, repository, generation));
  }
  return absl::OkStatus();
}

}  // namespace unsprawl
