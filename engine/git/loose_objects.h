#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string_view>
#include <vector>

#include "engine/base/object_id.h"
#include "engine/git/entry_reader.h"
#include "engine/git/object.h"

namespace unsprawl {

// Objects stored one to a file, zlib-compressed: "<type> <size>\0<content>" (git: gitrepository-layout,
// objects/[0-9a-f][0-9a-f]). Files are opened when read and not kept open.
//
// 22 bytes of memory per object. Built by one thread with Add and ReadHeaders; afterwards immutable and
// safe from many threads.
class LooseObjects {
 public:
  // Lists the objects below `objects_dir`. One that an earlier directory holds already is left out.
  void Add(const std::filesystem::path& objects_dir, std::vector<std::string>* broken_files);
  // Reads the type of each, on `threads` threads. Call once, after the last Add.
  void ReadHeaders(int threads);

  uint32_t size() const { return static_cast<uint32_t>(ids_.size()); }
  const ObjectId& id(uint32_t index) const { return ids_[index]; }  // ascending
  std::optional<uint32_t> Find(const ObjectId& id) const;
  ObjectType type(uint32_t index) const { return types_[index]; }   // kUnknown: bad header

  // Reads the whole of object `index`. *content points into *buffer. False: *fault says why.
  bool Read(uint32_t index, EntryReader& reader, Buffer* buffer, std::string_view* content,
            ReadFault* fault) const;
  // Why the type of `index` is kUnknown.
  ReadFault FaultOfHeader(uint32_t index) const;

 private:
  std::filesystem::path Path(uint32_t index) const;

  std::vector<std::filesystem::path> dirs_;
  std::vector<ObjectId> ids_;     // sorted, distinct
  std::vector<uint8_t> dir_of_;   // index into dirs_
  std::vector<ObjectType> types_;
};

}  // namespace unsprawl
