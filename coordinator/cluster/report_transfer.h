// A report on its way from a coordinator: in chunks, over as many calls as it takes. A connection lives for three minutes
// at most (coordinator_command.cc), a large report takes longer.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "coordinator/report/report_folder.h"
#include "unsprawl/v1/cluster.pb.h"

namespace unsprawl {

// Sends the files of the report of `run`, in `dir`, by name, manifest.json last: from `from` on if that is of this very
// report, else from the first. `write`: false: nobody listens any more. Cancelled: so it is. Unavailable: another report
// is being put in its place. NotFound, DataLoss: it cannot be read.
absl::Status SendReport(uint64_t run, const std::filesystem::path& dir, const v1::ReportPlace& from,
                        absl::FunctionRef<bool(const v1::ReportChunk&)> write);

// What has come of it. The files that are in the folder stay as they are until Publish. Not thread-safe.
class ReportDownload {
 public:
  // `run` 0: the last one.
  ReportDownload(uint64_t run, std::filesystem::path dir) : run_(run), dir_(std::move(dir)) {}

  // Begins a call: asks for what follows.
  v1::RunRequest Request();
  // Takes what it answers, in order: what follows, or, of another report or from a coordinator of before, all from the
  // first file on. DataLoss: what no coordinator says. Errors of ReportFolder.
  absl::Status Take(const v1::ReportChunk& chunk);
  // The bytes of this report that ever were there: when that grows, another call is worth it.
  uint64_t farthest() const { return farthest_; }
  uint64_t run() const { return run_; }  // whose report it is; 0: none has come yet
  // A call has ended well: the report is whole, and takes the place of the one that was there.
  absl::Status Publish();

 private:
  absl::Status Begin(const v1::ReportChunk& chunk);
  absl::Status StartFile(const v1::ReportChunk& chunk);
  absl::Status CheckWhole() const;  // the file under way

  uint64_t run_;
  const std::filesystem::path dir_;
  bool first_ = true;                   // of a call's chunks is to come
  std::string report_;                  // ReportChunk::report; empty: a coordinator of before, which says none
  std::optional<ReportFolder> folder_;
  OutputFile* file_ = nullptr;          // the one under way
  std::string name_;                    // … and its name, its bytes so far, and all of them
  uint64_t offset_ = 0, size_ = 0;
  uint64_t bytes_ = 0, farthest_ = 0;   // of all files
};

}  // namespace unsprawl
