// The inside of ObjectStore, shared by opening (object_store.cc, object_store_open.cc) and walk.cc.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/git/entry_reader.h"
#include "engine/git/loose_objects.h"
#include "engine/git/multi_pack_index.h"
#include "engine/git/object_store.h"
#include "engine/git/pack_forest.h"
#include "engine/git/shadowed.h"

namespace unsprawl {

// One place where an object is stored: an entry of a pack, or a loose file.
struct StoredCopy {
  static constexpr uint32_t kLoose = UINT32_MAX;

  uint32_t pack = kLoose;  // index into Impl::packs, or kLoose
  uint32_t entry = 0;      // of the pack, or index of the loose object

  bool is_loose() const { return pack == kLoose; }
  bool operator==(const StoredCopy&) const = default;
};

struct ObjectStore::Impl {
  Options options;
  std::vector<std::unique_ptr<MultiPackIndex>> multi_indexes;  // borrowed by the packs' indexes
  std::vector<std::unique_ptr<PackForest>> packs;              // own before alternates', large first
  LooseObjects loose;
  std::vector<uint32_t> shadowed_loose;      // counted as another copy; sorted indexes
  std::vector<ObjectNumber> first_number;    // by pack; then of the loose objects; then the end
  std::vector<ObjectSkip> skips;
  std::vector<std::string> broken_files;
  bool has_promisor_packs = false;
  std::vector<bool> kept;                    // by number; empty: all

  // The copy that counts for `object`, which is the one that is read.
  StoredCopy CopyOf(ObjectNumber object) const;
  // The number of the object that `copy` is counted as; nullopt if this copy is not the one.
  std::optional<ObjectNumber> NumberOfCounted(StoredCopy copy) const;
  // The number of the object stored at `copy`, whichever copy counts; kNoObject for a hidden entry.
  ObjectNumber NumberOf(StoredCopy copy) const;
  // All copies of `id`, in the order in which they are preferred.
  std::vector<StoredCopy> FindCopies(const ObjectId& id) const;
  std::optional<StoredCopy> FindCopy(const ObjectId& id) const;
  // The base of a delta; nullopt if it is stored whole or its base is stored nowhere.
  std::optional<StoredCopy> BaseOf(StoredCopy copy) const;

  ObjectId IdOf(StoredCopy copy) const;
  ObjectType TypeOfCopy(StoredCopy copy) const;
  // Why a copy of unknown type cannot be read.
  ReadFault FaultOf(StoredCopy copy) const;

  // Content of `copy` through its whole chain, which is followed without recursion and never holds
  // more than two contents. *content points into *buffer. False: *fault says why.
  bool ReadCopy(StoredCopy copy, EntryReader& reader, Buffer* buffer, std::string_view* content,
                ReadFault* fault) const;
  // The first copy of `object` that can be read, the counted one first.
  bool ReadAnyCopy(ObjectNumber object, EntryReader& reader, Buffer* buffer,
                   std::string_view* content, ReadFault* fault) const;

  // Steps of opening, in this order.
  void LoadPacks(const std::vector<std::filesystem::path>& object_dirs);
  void LoadLoose(const std::vector<std::filesystem::path>& object_dirs);
  void FollowBases();
  absl::Status CountDistinct();
  void ListSkips();
};

}  // namespace unsprawl
