// What the fuzz targets of packs and indexes share.
#pragma once

#include <stdlib.h>

#include <filesystem>
#include <memory>
#include <numeric>
#include <string>
#include <string_view>
#include <vector>

#include "engine/git/walk.h"
#include "tests/support/pack_writer.h"

namespace unsprawl {

// A directory of objects with one pack, for the length of the process.
inline const std::filesystem::path& FuzzObjectsDir() {
  static const struct Dir {
    Dir() {
      char pattern[] = "/tmp/unsprawl-fuzz-XXXXXX";
      CHECK(mkdtemp(pattern) != nullptr);
      path = pattern;
      std::filesystem::create_directories(path / "pack");
    }
    ~Dir() { std::filesystem::remove_all(path); }
    std::filesystem::path path;
  } dir;
  return dir.path;
}

class CountingVisitor : public WalkVisitor {
 public:
  void Visit(const WalkedObject& object) override { shown += object.wanted; }
  void Skip(ObjectNumber, const ObjectSkip&) override { ++skipped; }
  size_t shown = 0, skipped = 0;
};

// Opens these two files and reads everything in them, all ways. Each object must be shown or skipped.
inline void ReadEverything(std::string_view pack, std::string_view idx) {
  PackWriter::WriteFile(FuzzObjectsDir() / "pack/pack-fuzz.pack", pack);
  PackWriter::WriteFile(FuzzObjectsDir() / "pack/pack-fuzz.idx", idx);
  ObjectStore::Options options;
  options.max_object_bytes = 1 << 16;
  options.threads = 1;
  auto store = ObjectStore::Open(FuzzObjectsDir(), options);
  CHECK(store.ok());
  std::vector<ObjectNumber> all((*store)->size());
  std::iota(all.begin(), all.end(), 0);
  WalkOptions walk;
  walk.threads = 1;
  walk.max_live_bytes = 1000;
  std::vector<std::unique_ptr<WalkVisitor>> visitors;
  visitors.push_back(std::make_unique<CountingVisitor>());
  Walk(**store, all, {}, walk, visitors);
  const auto& seen = static_cast<const CountingVisitor&>(*visitors[0]);
  CHECK(seen.shown + seen.skipped == all.size());
  size_t readable = 0;
  for (const ObjectNumber object : all) {
    CHECK((*store)->Find((*store)->id(object)).has_value());
    readable += (*store)->Read(object).ok();
  }
  CHECK(readable == seen.shown);
}

}  // namespace unsprawl
