// Opening an ObjectStore: loading files, following deltas to their types, choosing among copies.
#include <algorithm>
#include <cstring>
#include <queue>
#include <set>
#include <utility>

#include "absl/strings/str_format.h"
#include "engine/base/status.h"
#include "engine/git/object_store_impl.h"
#include "engine/git/parallel.h"

namespace unsprawl {
namespace {

// A pack found in a directory, before it is opened.
struct PackPath {
  std::filesystem::path pack;
  const MultiPackIndex* multi = nullptr;  // names it; null: none does
  uint32_t multi_number = 0;
  bool has_index = false;
  uint64_t pack_bytes = 0;
};

std::string Sentence(const absl::Status& status) { return std::string(status.message()); }

// The multi-pack-index of `dir`, or null; one that cannot be used is reported.
std::unique_ptr<MultiPackIndex> OpenMultiPackIndex(const std::filesystem::path& dir,
                                                   std::vector<std::string>* broken_files) {
  auto opened = MultiPackIndex::Open(dir / "multi-pack-index");
  if (opened.ok()) return std::make_unique<MultiPackIndex>(std::move(opened).value());
  if (!absl::IsNotFound(opened.status())) broken_files->push_back(Sentence(opened.status()));
  return nullptr;
}

bool IsNamedAsPack(const std::filesystem::path& file) {
  return file.filename().string().starts_with("pack-");
}

// The packs of `dir`, largest first: most lookups end in the largest.
std::vector<PackPath> ListPacks(const std::filesystem::path& dir, const MultiPackIndex* multi,
                                bool* has_promisor, std::vector<std::string>* broken_files) {
  std::set<std::string> stems_with_index;
  std::vector<PackPath> found;
  std::error_code error;
  std::filesystem::directory_iterator files(dir, error);
  for (; !error && files != std::filesystem::directory_iterator(); files.increment(error)) {
    const std::filesystem::path& path = files->path();
    if (path.extension() == ".promisor") *has_promisor = true;
    if (path.extension() == ".idx") stems_with_index.insert(path.stem().string());
    std::error_code no_size;
    if (path.extension() == ".pack") found.push_back({path, nullptr, 0, false, files->file_size(no_size)});
  }
  if (error && error != std::errc::no_such_file_or_directory) {
    broken_files->push_back(absl::StrFormat("%s: %s", dir.string(), error.message()));
  }
  // git reads every pair, whatever its name; alone are, besides damage, those that it is still writing.
  std::erase_if(found, [&](const PackPath& pack) {
    return !IsNamedAsPack(pack.pack) && !stems_with_index.contains(pack.pack.stem().string());
  });
  for (PackPath& pack : found) {
    const std::string stem = pack.pack.stem().string();
    pack.has_index = stems_with_index.erase(stem) > 0;
    if (multi == nullptr) continue;
    const auto& names = multi->index_names();
    const auto name = std::find(names.begin(), names.end(), stem + ".idx");
    if (name == names.end()) continue;
    pack.multi = multi;
    pack.multi_number = static_cast<uint32_t>(name - names.begin());
  }
  for (const std::string& stem : stems_with_index) {
    if (!IsNamedAsPack(stem)) continue;
    broken_files->push_back(
        absl::StrFormat("%s: its pack is missing", (dir / (stem + ".idx")).string()));
  }
  std::sort(found.begin(), found.end(), [](const PackPath& a, const PackPath& b) {
    return a.pack_bytes != b.pack_bytes ? a.pack_bytes > b.pack_bytes : a.pack < b.pack;
  });
  return found;
}

absl::StatusOr<PackIndex> OpenIndex(const PackPath& path, std::vector<std::string>* problems) {
  if (path.has_index) {
    auto index = PackIndex::Open(std::filesystem::path(path.pack).replace_extension(".idx"));
    if (index.ok() || path.multi == nullptr) return index;
    problems->push_back(Sentence(index.status()));
  }
  if (path.multi != nullptr) return PackIndex::FromMultiPack(*path.multi, path.multi_number);
  return absl::DataLossError(
      absl::StrFormat("%s: it has no index; `git index-pack` writes one", path.pack.string()));
}

absl::StatusOr<std::unique_ptr<PackForest>> OpenPack(const PackPath& path, int threads,
                                                     std::vector<std::string>* problems) {
  ASSIGN_OR_RETURN(PackIndex index, OpenIndex(path, problems));
  ASSIGN_OR_RETURN(PackFile pack, PackFile::Open(path.pack, index.pack_checksum()));
  return PackForest::Build(std::move(pack), std::move(index), threads);
}

}  // namespace

void ObjectStore::Impl::LoadPacks(const std::vector<std::filesystem::path>& object_dirs) {
  std::vector<PackPath> paths;
  for (const std::filesystem::path& dir : object_dirs) {
    auto multi = OpenMultiPackIndex(dir / "pack", &broken_files);
    const auto found = ListPacks(dir / "pack", multi.get(), &has_promisor_packs, &broken_files);
    paths.insert(paths.end(), found.begin(), found.end());
    if (multi != nullptr) multi_indexes.push_back(std::move(multi));
  }
  // Large packs one after the other with all threads inside; then small ones, each on one thread.
  std::vector<std::unique_ptr<PackForest>> forests(paths.size());
  std::vector<std::vector<std::string>> problems(paths.size());
  constexpr uint64_t kLargeBytes = 4 << 20;
  const auto open = [&](size_t i, int threads) {
    auto forest = OpenPack(paths[i], threads, &problems[i]);
    if (forest.ok()) {
      forests[i] = std::move(forest).value();
    } else {
      problems[i].push_back(Sentence(forest.status()));
    }
  };
  for (size_t i = 0; i < paths.size(); ++i) {
    if (paths[i].pack_bytes >= kLargeBytes) open(i, options.threads);
  }
  ParallelFor(options.threads, paths.size(), 1, [&](uint64_t i, uint64_t) {
    if (paths[i].pack_bytes < kLargeBytes) open(i, 1);
  });
  for (size_t i = 0; i < paths.size(); ++i) {
    if (forests[i] != nullptr) packs.push_back(std::move(forests[i]));
    broken_files.insert(broken_files.end(), problems[i].begin(), problems[i].end());
  }
}

void ObjectStore::Impl::LoadLoose(const std::vector<std::filesystem::path>& object_dirs) {
  for (const std::filesystem::path& dir : object_dirs) loose.Add(dir, &broken_files);
  loose.ReadHeaders(options.threads);
}

// Finds the type of every delta that PackForest could not: those whose base comes later in the pack,
// lies outside of it, is missing, or is a delta upon them. Each entry is visited once.
void ObjectStore::Impl::FollowBases() {
  std::vector<StoredCopy> path;
  for (uint32_t pack = 0; pack < packs.size(); ++pack) {
    for (uint32_t entry = 0; entry < packs[pack]->size(); ++entry) {
      std::optional<StoredCopy> copy = StoredCopy{pack, entry};
      EntryState end = EntryState::kBaseMissing;  // if the chain leads nowhere
      for (; copy; copy = BaseOf(*copy)) {
        if (copy->is_loose()) {
          const ObjectType type = loose.type(copy->entry);
          end = type == ObjectType::kUnknown ? EntryState::kBadBase : static_cast<EntryState>(type);
          break;
        }
        PackForest& forest = *packs[copy->pack];
        const EntryState state = forest.state(copy->entry);
        if (state != EntryState::kPending) {
          end = state == EntryState::kVisiting ? EntryState::kCycle
                : state == EntryState::kBadHeader || state == EntryState::kBadPlace
                    ? EntryState::kBadBase
                    : state;
          break;
        }
        forest.set_state(copy->entry, EntryState::kVisiting);
        path.push_back(*copy);
      }
      for (const StoredCopy& visited : path) packs[visited.pack]->set_state(visited.entry, end);
      path.clear();
    }
  }
}

namespace {

// One sorted list of ids in the merge of all: a pack's, or that of the loose objects.
struct IdCursor {
  const uint8_t* raw;
  uint32_t source;  // index of the pack; number of packs for loose objects
  uint32_t position;

  // For a heap whose top is the smallest id, and of equal ones the first source.
  bool operator<(const IdCursor& other) const {
    const int order = std::memcmp(raw, other.raw, ObjectId::kBytes);
    if (order != 0) return order > 0;
    return source != other.source ? source > other.source : position > other.position;
  }
};

// Which copies do not count, by source: of several copies of an object one counts, the first whose type
// is known, else the first.
class CopyMerge {
 public:
  explicit CopyMerge(const ObjectStore::Impl& store)
      : store_(store), loose_source_(static_cast<uint32_t>(store.packs.size())),
        shadowed_(store.packs.size() + 1) {
    if (MayHaveCopies()) Merge();
    for (uint32_t pack = 0; pack < loose_source_; ++pack) ShadowHidden(pack);
    for (std::vector<uint32_t>& entries : shadowed_) std::sort(entries.begin(), entries.end());
  }

  std::vector<uint32_t>& shadowed(uint32_t source) { return shadowed_[source]; }

 private:
  const uint8_t* Raw(uint32_t source, uint32_t position) const {
    return source == loose_source_ ? store_.loose.id(position).bytes.data()
                                   : store_.packs[source]->index().raw(position);
  }
  uint32_t Size(uint32_t source) const {
    return source == loose_source_ ? store_.loose.size() : store_.packs[source]->index().size();
  }
  StoredCopy CopyAt(const IdCursor& cursor) const {
    if (cursor.source == loose_source_) return {StoredCopy::kLoose, cursor.position};
    return {cursor.source, store_.packs[cursor.source]->entry_at(cursor.position)};
  }

  // False for the usual repository: one pack, in which every id stands once.
  bool MayHaveCopies() const {
    uint32_t filled = 0;
    for (uint32_t source = 0; source <= loose_source_; ++source) {
      const uint32_t size = Size(source);
      filled += size > 0;
      for (uint32_t i = 1; i < size && filled < 2; ++i) {
        if (std::memcmp(Raw(source, i - 1), Raw(source, i), ObjectId::kBytes) == 0) return true;
      }
    }
    return filled > 1;
  }

  void Merge() {
    std::priority_queue<IdCursor> heap;
    for (uint32_t source = 0; source <= loose_source_; ++source) {
      if (Size(source) > 0) heap.push({Raw(source, 0), source, 0});
    }
    std::vector<IdCursor> same;
    while (!heap.empty()) {
      const IdCursor top = heap.top();
      heap.pop();
      if (!same.empty() && std::memcmp(same[0].raw, top.raw, ObjectId::kBytes) != 0) {
        ShadowAllButOne(same);
        same.clear();
      }
      same.push_back(top);
      const uint32_t next = top.position + 1;
      if (next < Size(top.source)) heap.push({Raw(top.source, next), top.source, next});
    }
    ShadowAllButOne(same);
  }

  void ShadowAllButOne(const std::vector<IdCursor>& same) {
    size_t counted = 0;
    for (size_t i = same.size(); i-- > 0;) {
      if (store_.TypeOfCopy(CopyAt(same[i])) != ObjectType::kUnknown) counted = i;
    }
    for (size_t i = 0; i < same.size(); ++i) {
      if (i != counted) shadowed_[same[i].source].push_back(CopyAt(same[i]).entry);
    }
  }

  // Entries that no index lists are copies of objects listed for another pack.
  void ShadowHidden(uint32_t pack) {
    const PackForest& forest = *store_.packs[pack];
    if (forest.size() == forest.index().size()) return;
    for (uint32_t entry = 0; entry < forest.size(); ++entry) {
      if (forest.position(entry) == PackForest::kNone) shadowed_[pack].push_back(entry);
    }
  }

  const ObjectStore::Impl& store_;
  const uint32_t loose_source_;
  std::vector<std::vector<uint32_t>> shadowed_;  // by pack, then the loose objects
};

}  // namespace

absl::Status ObjectStore::Impl::CountDistinct() {
  CopyMerge merge(*this);
  const uint32_t loose_source = static_cast<uint32_t>(packs.size());
  uint64_t next = 0;
  for (uint32_t pack = 0; pack < loose_source; ++pack) {
    packs[pack]->SetShadowed(std::move(merge.shadowed(pack)));
    first_number.push_back(static_cast<ObjectNumber>(next));
    next += packs[pack]->counted();
  }
  shadowed_loose = std::move(merge.shadowed(loose_source));
  first_number.push_back(static_cast<ObjectNumber>(next));
  next += loose.size() - shadowed_loose.size();
  if (next >= kNoObject) {
    return absl::ResourceExhaustedError(absl::StrFormat("%d objects are more than 2^32 - 2", next));
  }
  first_number.push_back(static_cast<ObjectNumber>(next));
  return absl::OkStatus();
}

void ObjectStore::Impl::ListSkips() {
  for (ObjectNumber object = 0; object < first_number.back(); ++object) {
    const StoredCopy copy = CopyOf(object);
    if (TypeOfCopy(copy) != ObjectType::kUnknown) continue;
    ReadFault fault = FaultOf(copy);
    skips.push_back({IdOf(copy), ObjectType::kUnknown, fault.fault, fault.object_bytes,
                     std::move(fault.detail)});
  }
}

}  // namespace unsprawl
