// A pack for benchmarks, the same on every machine: files of text, each with a chain of edits.
#pragma once

#include <filesystem>
#include <random>
#include <string>

#include "engine/base/status.h"
#include "tests/support/pack_writer.h"

namespace unsprawl {

class GeneratedPack {
 public:
  struct Options {
    int files = 400;
    int versions = 50;      // of each, every one a delta upon the one before
    int lines = 500;        // of the first version
    uint32_t seed = 1;
  };

  explicit GeneratedPack(const Options& options) : random_(options.seed) {
    std::string pattern = (std::filesystem::temp_directory_path() / "unsprawl-bench-XXXXXX").string();
    CHECK(mkdtemp(pattern.data()) != nullptr);
    dir_ = pattern;
    PackWriter pack;
    for (int file = 0; file < options.files; ++file) AddFile(options, pack);
    pack.Write(dir_);
  }
  ~GeneratedPack() {
    std::error_code ignored;
    std::filesystem::remove_all(dir_, ignored);
  }
  GeneratedPack(const GeneratedPack&) = delete;
  GeneratedPack& operator=(const GeneratedPack&) = delete;

  const std::filesystem::path& objects_dir() const { return dir_; }

 private:
  std::string Line() {
    std::string line = "  value_" + std::to_string(random_() % 1000) + " = compute(";
    return line + std::to_string(random_()) + ", other_" + std::to_string(random_() % 50) + ");\n";
  }

  void AddFile(const Options& options, PackWriter& pack) {
    std::string text;
    for (int line = 0; line < options.lines; ++line) text += Line();
    size_t base = pack.AddWhole(ObjectType::kBlob, text);
    for (int version = 1; version < options.versions; ++version) {
      // One line replaced somewhere, as most commits do.
      const uint32_t bytes = static_cast<uint32_t>(text.size());
      const uint32_t begin = 1 + static_cast<uint32_t>(random_() % (bytes - 100)), end = begin + 40;
      const std::string line = Line();
      const std::string edited = text.substr(0, begin) + line + text.substr(end);
      const std::string delta = DeltaSize(bytes) + DeltaSize(edited.size()) + DeltaCopy(0, begin) +
                                DeltaInsert(line) + DeltaCopy(end, bytes - end);
      base = pack.AddOffsetDelta(base, delta, HashObject(ObjectType::kBlob, edited));
      text = edited;
    }
  }

  std::mt19937 random_;
  std::filesystem::path dir_;
};

}  // namespace unsprawl
