#include "tests/support/git_objects.h"

#include <gtest/gtest.h>

#include <charconv>
#include <mutex>
#include <numeric>

#include "tests/support/git_repo.h"

namespace unsprawl {
namespace {

ObjectType TypeNamed(std::string_view name) {
  if (name == "commit") return ObjectType::kCommit;
  if (name == "tree") return ObjectType::kTree;
  return name == "blob" ? ObjectType::kBlob : ObjectType::kTag;
}

// Keeps what it is shown, and of each slot what lies in it.
class Recorder : public WalkVisitor {
 public:
  Recorder(const ObjectStore& store, WalkRecord& record, std::mutex& mutex)
      : store_(store), record_(record), mutex_(mutex) {}

  void Visit(const WalkedObject& object) override {
    CheckCopies(object);
    if (object.slot >= slots_.size()) slots_.resize(object.slot + 1);
    slots_[object.slot] = object.content;
    const std::scoped_lock lock(mutex_);
    record_.deltas += object.base_slot >= 0;
    if (!object.wanted) {
      ++record_.unwanted;
      return;
    }
    const ObjectId id = store_.id(object.number);
    const GitObject shown{store_.type(object.number), std::string(object.content)};
    EXPECT_TRUE(record_.visited.emplace(id, shown).second) << "shown twice: " << id.ToHex();
  }

  void Skip(ObjectNumber object, const ObjectSkip& skip) override {
    const std::scoped_lock lock(mutex_);
    EXPECT_EQ(store_.id(object), skip.id);
    EXPECT_FALSE(skip.detail.empty());
    EXPECT_TRUE(record_.skips.emplace(skip.id, skip).second) << "skipped twice: " << skip.id.ToHex();
  }

 private:
  void CheckCopies(const WalkedObject& object) {
    if (object.base_slot < 0) {
      EXPECT_TRUE(object.copies.empty());
      return;
    }
    ASSERT_LT(static_cast<size_t>(object.base_slot), slots_.size());
    ASSERT_NE(static_cast<uint32_t>(object.base_slot), object.slot);
    const std::string& base = slots_[static_cast<size_t>(object.base_slot)];
    ASSERT_EQ(base.size(), object.base_bytes);
    uint64_t filled = 0;
    const CopyRun* last = nullptr;
    for (const CopyRun& run : object.copies) {
      ASSERT_GT(run.length, 0u);
      ASSERT_GE(run.offset, filled);
      filled = run.offset + run.length;
      ASSERT_LE(filled, object.content.size());
      ASSERT_LE(run.base_offset + run.length, base.size());
      ASSERT_TRUE(object.content.substr(run.offset, run.length) ==
                  std::string_view(base).substr(run.base_offset, run.length));
      if (last != nullptr && last->offset + last->length == run.offset) {
        EXPECT_NE(last->base_offset + last->length, run.base_offset) << "not merged";
      }
      last = &run;
    }
  }

  const ObjectStore& store_;
  WalkRecord& record_;
  std::mutex& mutex_;
  std::vector<std::string> slots_;
};

}  // namespace

GitObjects ReadAllWithGit(const std::filesystem::path& dir) {
  const std::string output =
      Run(dir, {"git", "cat-file", "--batch-all-objects", "--batch", "--unordered"});
  GitObjects objects;
  for (size_t at = 0; at < output.size();) {
    const size_t end_of_line = output.find('\n', at);
    const std::string line = output.substr(at, end_of_line - at);  // "<id> <type> <size>"
    const size_t space = line.find(' ', 41);
    size_t bytes = 0;
    std::from_chars(line.data() + space + 1, line.data() + line.size(), bytes);
    const auto id = ObjectId::FromHex(std::string_view(line).substr(0, 40));
    objects[*id] = {TypeNamed(line.substr(41, space - 41)), output.substr(end_of_line + 1, bytes)};
    at = end_of_line + 1 + bytes + 1;
  }
  return objects;
}

std::vector<ObjectNumber> AllNumbers(const ObjectStore& store) {
  std::vector<ObjectNumber> numbers(store.size());
  std::iota(numbers.begin(), numbers.end(), 0);
  return numbers;
}

WalkRecord WalkAndCheck(const ObjectStore& store, std::span<const ObjectNumber> wanted,
                        const WalkOptions& options, std::span<const ObjectNumber> avoid) {
  WalkRecord record;
  std::mutex mutex;
  std::vector<std::unique_ptr<WalkVisitor>> visitors;
  for (int i = 0; i < options.threads; ++i) {
    visitors.push_back(std::make_unique<Recorder>(store, record, mutex));
  }
  record.stats = Walk(store, wanted, avoid, options, visitors);
  EXPECT_EQ(record.visited.size() + record.skips.size(), wanted.size());
  for (const ObjectNumber number : wanted) {
    const ObjectId id = store.id(number);
    EXPECT_EQ(record.visited.count(id) + record.skips.count(id), 1u) << id.ToHex();
  }
  return record;
}

void ExpectSameAsGit(const std::filesystem::path& objects_dir, const std::filesystem::path& git_dir,
                     int threads) {
  const GitObjects expected = ReadAllWithGit(git_dir);
  ObjectStore::Options options;
  options.threads = threads;
  auto opened = ObjectStore::Open(objects_dir, options);
  ASSERT_TRUE(opened.ok()) << opened.status();
  const ObjectStore& store = **opened;
  EXPECT_EQ(store.size(), expected.size());
  EXPECT_TRUE(store.skips().empty());
  EXPECT_TRUE(store.broken_files().empty()) << store.broken_files()[0];
  for (const auto& [id, object] : expected) {
    const auto number = store.Find(id);
    ASSERT_TRUE(number) << id.ToHex();
    EXPECT_EQ(store.id(*number), id);
    EXPECT_EQ(store.type(*number), object.type);
    const auto content = store.Read(*number);
    ASSERT_TRUE(content.ok()) << content.status();
    EXPECT_TRUE(*content == object.content) << id.ToHex();
    ObjectId absent = id;
    absent.bytes[19] ^= 1;
    EXPECT_EQ(store.Find(absent).has_value(), expected.count(absent) > 0);
  }
  WalkOptions walk;
  walk.threads = threads;
  const WalkRecord record = WalkAndCheck(store, AllNumbers(store), walk);
  EXPECT_TRUE(record.skips.empty());
  EXPECT_TRUE(record.visited == expected);
  EXPECT_GE(record.stats.objects_visited, expected.size());
}

}  // namespace unsprawl
