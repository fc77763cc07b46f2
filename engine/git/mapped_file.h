#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <utility>

#include "absl/status/statusor.h"

namespace unsprawl {

// A file mapped for reading. Moves keep the address. Immutable; safe from many threads.
//
// Packs and indexes are never rewritten in place by git. If something else shortens the file while it
// is mapped, touching the lost part raises SIGBUS: the scanning child dies on that object and the
// object becomes a skip.
class MappedFile {
 public:
  // NotFound: no such file. FailedPrecondition: not a regular file. DataLoss: empty.
  // PermissionDenied or Unavailable: the operating system refused, with its sentence.
  static absl::StatusOr<MappedFile> Open(const std::filesystem::path& path);

  MappedFile() = default;
  MappedFile(MappedFile&& other) noexcept { *this = std::move(other); }
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  const uint8_t* data() const { return data_; }
  uint64_t size() const { return size_; }

 private:
  const uint8_t* data_ = nullptr;
  uint64_t size_ = 0;
};

}  // namespace unsprawl
