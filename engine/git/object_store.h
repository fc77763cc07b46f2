// Reads every object of a repository straight from its packs and loose files, without git or libgit2.
//
// Source: git's Documentation/gitformat-pack (idx v2, packs, multi-pack-index), gitrepository-layout
// (loose objects, objects/info/alternates).
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/git/object.h"

namespace unsprawl {

// All objects of one repository: its own packs (*.idx v2, or the multi-pack-index where a pack has no
// idx), loose objects, and those of its alternates (followed to a depth of 5, each directory once).
//
// An object stored more than once counts once; which copy is read is deterministic. Objects that are
// damaged are skips, not errors. Immutable after Open and KeepOnly; then every method is safe from many threads.
// Memory: packs and indexes are mapped; anonymous memory is linear, see BytesPerObject in the tests.
class ObjectStore {
 public:
  struct Options {
    // Objects whose resolved size is larger are never held in memory; they become skips. The size is
    // read from headers before anything is allocated: 1 GB can hide in 1 MB of pack.
    uint64_t max_object_bytes = 64 << 20;
    // Threads used while opening (reading entry headers).
    int threads = 2;
  };

  // Opens `objects_dir` (".git/objects", or "objects" of a bare repository).
  // NotFound: no such directory. A pack or index that cannot be used at all (truncated, wrong magic,
  // failed consistency check) does not fail Open: it is listed in broken_files() and what other files
  // hold is read.
  static absl::StatusOr<std::unique_ptr<ObjectStore>> Open(
      const std::filesystem::path& objects_dir, const Options& options);
  ~ObjectStore();

  // Makes all but `kept` (by number) as if they were not stored, but for being bases of deltas: of unknown type, and
  // not found. Numbers stay.
  void KeepOnly(std::vector<bool> kept);
  bool IsKept(ObjectNumber object) const;

  // Number of distinct objects that are stored, readable or not.
  uint32_t size() const;
  ObjectId id(ObjectNumber object) const;
  // kUnknown for one whose chain of bases is broken, whose header is damaged, or that is not kept.
  ObjectType type(ObjectNumber object) const;
  // The number of `id`, or nullopt if no file holds it. O(packs * log n), no allocation.
  std::optional<ObjectNumber> Find(const ObjectId& id) const;

  // The whole content of one object, found through its delta chain. For single objects; to read many,
  // Walk them (engine/git/walk.h). ResourceExhausted: above max_object_bytes. DataLoss: damaged.
  absl::StatusOr<std::string> Read(ObjectNumber object) const;

  // Objects found unusable while opening: damaged entry headers, missing bases, delta cycles.
  std::span<const ObjectSkip> skips() const;
  // One sentence for each pack, index, or alternates file that could not be used, naming it.
  std::span<const std::string> broken_files() const;
  // True if a pack has a .promisor file beside it: absent objects are then expected.
  bool has_promisor_packs() const;

  const Options& options() const;

  struct Impl;  // engine/git/object_store_impl.h, for Walk
  const Impl& impl() const { return *impl_; }

 private:
  explicit ObjectStore(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace unsprawl
