#include "engine/git/object_store.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_format.h"
#include "engine/base/status.h"
#include "engine/git/object_dirs.h"
#include "engine/git/object_store_impl.h"

namespace unsprawl {

ObjectStore::ObjectStore(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ObjectStore::~ObjectStore() = default;

absl::StatusOr<std::unique_ptr<ObjectStore>> ObjectStore::Open(
    const std::filesystem::path& objects_dir, const Options& options) {
  std::error_code error;
  if (!std::filesystem::is_directory(objects_dir, error)) {
    return absl::NotFoundError(
        absl::StrFormat("%s: no such directory of objects", objects_dir.string()));
  }
  auto impl = std::make_unique<Impl>();
  impl->options = options;
  const auto dirs = ListObjectDirs(objects_dir, &impl->broken_files);
  impl->LoadPacks(dirs);
  impl->LoadLoose(dirs);
  impl->FollowBases();
  RETURN_IF_ERROR(impl->CountDistinct());
  impl->ListSkips();
  return std::unique_ptr<ObjectStore>(new ObjectStore(std::move(impl)));
}

void ObjectStore::KeepOnly(std::vector<bool> kept) { impl_->kept = std::move(kept); }
bool ObjectStore::IsKept(ObjectNumber object) const { return impl_->kept.empty() || impl_->kept[object]; }

uint32_t ObjectStore::size() const { return impl_->first_number.back(); }
ObjectId ObjectStore::id(ObjectNumber object) const { return impl_->IdOf(impl_->CopyOf(object)); }
ObjectType ObjectStore::type(ObjectNumber object) const {
  return IsKept(object) ? impl_->TypeOfCopy(impl_->CopyOf(object)) : ObjectType::kUnknown;
}
std::span<const ObjectSkip> ObjectStore::skips() const { return impl_->skips; }
std::span<const std::string> ObjectStore::broken_files() const { return impl_->broken_files; }
bool ObjectStore::has_promisor_packs() const { return impl_->has_promisor_packs; }
const ObjectStore::Options& ObjectStore::options() const { return impl_->options; }

std::optional<ObjectNumber> ObjectStore::Find(const ObjectId& id) const {
  const auto if_kept = [&](std::optional<ObjectNumber> object) {
    return object && IsKept(*object) ? object : std::nullopt;
  };
  // One copy of each stored object counts; it is the first one but where that is damaged.
  for (uint32_t pack = 0; pack < impl_->packs.size(); ++pack) {
    const PackForest& forest = *impl_->packs[pack];
    const PackIndex& index = forest.index();
    auto position = index.Find(id);
    // A pack may hold an object twice.
    for (; position && *position < index.size() && index.id(*position) == id; ++*position) {
      if (const auto number = impl_->NumberOfCounted({pack, forest.entry_at(*position)})) return if_kept(number);
    }
  }
  if (const auto index = impl_->loose.Find(id)) {
    return if_kept(impl_->NumberOfCounted({StoredCopy::kLoose, *index}));
  }
  return std::nullopt;
}

absl::StatusOr<std::string> ObjectStore::Read(ObjectNumber object) const {
  EntryReader reader(impl_->options.max_object_bytes);
  Buffer buffer;
  std::string_view content;
  ReadFault fault;
  if (impl_->ReadAnyCopy(object, reader, &buffer, &content, &fault)) return std::string(content);
  if (fault.fault == ObjectFault::kTooLarge) return absl::ResourceExhaustedError(fault.detail);
  return absl::DataLossError(fault.detail);
}

StoredCopy ObjectStore::Impl::CopyOf(ObjectNumber object) const {
  CHECK(object < first_number.back());
  const auto after = std::upper_bound(first_number.begin(), first_number.end(), object);
  const uint32_t pack = static_cast<uint32_t>(after - first_number.begin()) - 1;
  const uint32_t rank = object - first_number[pack];
  if (pack < packs.size()) return {pack, packs[pack]->EntryOfRank(rank)};
  return {StoredCopy::kLoose, EntryOfRank(shadowed_loose, rank)};
}

std::optional<ObjectNumber> ObjectStore::Impl::NumberOfCounted(StoredCopy copy) const {
  const auto rank = copy.is_loose() ? RankOfEntry(shadowed_loose, copy.entry)
                                    : packs[copy.pack]->RankOfEntry(copy.entry);
  if (!rank) return std::nullopt;
  return first_number[copy.is_loose() ? packs.size() : copy.pack] + *rank;
}

ObjectNumber ObjectStore::Impl::NumberOf(StoredCopy copy) const {
  if (const auto number = NumberOfCounted(copy)) return *number;
  if (!copy.is_loose() && packs[copy.pack]->position(copy.entry) == PackForest::kNone) {
    return kNoObject;
  }
  for (const StoredCopy& other : FindCopies(IdOf(copy))) {
    if (const auto number = NumberOfCounted(other)) return *number;
  }
  return kNoObject;
}

std::vector<StoredCopy> ObjectStore::Impl::FindCopies(const ObjectId& id) const {
  std::vector<StoredCopy> copies;
  for (uint32_t pack = 0; pack < packs.size(); ++pack) {
    const PackIndex& index = packs[pack]->index();
    auto position = index.Find(id);
    // A pack may hold an object twice.
    for (; position && *position < index.size() && index.id(*position) == id; ++*position) {
      copies.push_back({pack, packs[pack]->entry_at(*position)});
    }
  }
  if (const auto file = loose.Find(id)) copies.push_back({StoredCopy::kLoose, *file});
  return copies;
}

std::optional<StoredCopy> ObjectStore::Impl::FindCopy(const ObjectId& id) const {
  for (uint32_t pack = 0; pack < packs.size(); ++pack) {
    if (const auto position = packs[pack]->index().Find(id)) {
      return StoredCopy{pack, packs[pack]->entry_at(*position)};
    }
  }
  if (const auto file = loose.Find(id)) return StoredCopy{StoredCopy::kLoose, *file};
  return std::nullopt;
}

std::optional<StoredCopy> ObjectStore::Impl::BaseOf(StoredCopy copy) const {
  if (copy.is_loose()) return std::nullopt;
  const PackForest& forest = *packs[copy.pack];
  const uint32_t base = forest.base(copy.entry);
  if (base == PackForest::kNone) return std::nullopt;
  if (base == PackForest::kOutside) return FindCopy(forest.OutsideBase(copy.entry));
  return StoredCopy{copy.pack, base};
}

ObjectId ObjectStore::Impl::IdOf(StoredCopy copy) const {
  if (copy.is_loose()) return loose.id(copy.entry);
  const PackForest& forest = *packs[copy.pack];
  return forest.index().id(forest.position(copy.entry));
}

ObjectType ObjectStore::Impl::TypeOfCopy(StoredCopy copy) const {
  if (copy.is_loose()) return loose.type(copy.entry);
  return TypeOf(packs[copy.pack]->state(copy.entry));
}

ReadFault ObjectStore::Impl::FaultOf(StoredCopy copy) const {
  if (copy.is_loose()) return loose.FaultOfHeader(copy.entry);
  return FaultOfState(*packs[copy.pack], copy.entry);
}

bool ObjectStore::Impl::ReadCopy(StoredCopy copy, EntryReader& reader, Buffer* buffer,
                                 std::string_view* content, ReadFault* fault) const {
  if (TypeOfCopy(copy) == ObjectType::kUnknown) {
    *fault = FaultOf(copy);
    return false;
  }
  // A known type means that the chain ends: opening followed it.
  std::vector<StoredCopy> deltas;
  while (const auto base = BaseOf(copy)) {
    deltas.push_back(copy);
    copy = *base;
  }
  if (copy.is_loose()) {
    if (!loose.Read(copy.entry, reader, buffer, content, fault)) return false;
  } else {
    if (!reader.Read(*packs[copy.pack], copy.entry, {}, buffer, nullptr, fault)) return false;
    *content = buffer->view();
  }
  Buffer other;
  for (auto delta = deltas.rbegin(); delta != deltas.rend(); ++delta) {
    if (!reader.Read(*packs[delta->pack], delta->entry, *content, &other, nullptr, fault)) return false;
    std::swap(*buffer, other);
    *content = buffer->view();
  }
  return true;
}

bool ObjectStore::Impl::ReadAnyCopy(ObjectNumber object, EntryReader& reader, Buffer* buffer,
                                    std::string_view* content, ReadFault* fault) const {
  const StoredCopy counted = CopyOf(object);
  if (ReadCopy(counted, reader, buffer, content, fault)) return true;
  for (const StoredCopy& copy : FindCopies(IdOf(counted))) {
    ReadFault other;  // what is reported is what is wrong with the counted copy
    if (copy != counted && ReadCopy(copy, reader, buffer, content, &other)) return true;
  }
  return false;
}

}  // namespace unsprawl
