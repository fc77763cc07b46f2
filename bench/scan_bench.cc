// The detector over generated source text, with the rules of the program: whole blobs, small deltas,
// many confirmed matches, and the start with compiled patterns in the cache.
#include <benchmark/benchmark.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "engine/base/status.h"
#include "engine/match/detector.h"

namespace unsprawl {
namespace {

const Ruleset& Rules() {
  static const Ruleset* const ruleset = [] {
    auto builtin = Ruleset::Builtin();
    CHECK(builtin.ok());
    return new Ruleset(*std::move(builtin));
  }();
  return *ruleset;
}

const Detector& TheDetector() {
  static const Detector* const detector = [] {
    auto created = Detector::Create(Rules(), {}, {});
    CHECK(created.ok());
    return created->release();
  }();
  return *detector;
}

// Text with the bytes, words and line lengths of C, scripts and configuration; no secrets in it but
// `secrets` assignments per thousand lines.
std::string SourceText(size_t bytes, uint32_t secrets, uint32_t seed) {
  static const std::vector<std::string> words = {
      "static", "int", "char", "const", "struct", "return", "if", "else", "for", "while", "unsigned", "size_t", "NULL",
      "strbuf", "commit", "object", "options", "argv", "refs", "path", "index", "tree", "blob", "buffer", "token",
      "key", "password", "config", "remote", "url", "https", "author", "error", "die", "the", "of", "and", "to", "is",
      "test_expect_success", "git", "echo", "cat", "expect", "actual", "&&", "api", "client", "secret", "session"};
  static const std::vector<std::string> between = {" ", " ", " ", "(", ")", ", ", "; ", "->", " = ", ".", "_", "\"", "/*", "*/",
                                                   " == ", "[", "]", "{", "}", ": ", "'", "-", "/"};
  std::mt19937 random(seed);
  std::string text;
  while (text.size() < bytes) {
    text.append(random() % 3, '\t');
    for (uint32_t left = random() % 9; left > 0; --left) {
      text += words[random() % words.size()];
      if (random() % 7 == 0) text += std::to_string(random() % 100000);
      text += between[random() % between.size()];
    }
    if (random() % 1000 < secrets) {
      text += "password = \"";
      for (int i = 0; i < 16; ++i) text += "abcdefghjkmnpqrstuvwxyzABCDEFGH23456789"[random() % 39];
      text += "\"";
    }
    text += '\n';
  }
  return text;
}

void Report(benchmark::State& state, const ScannerStats& stats, uint64_t content_bytes) {
  state.SetBytesProcessed(static_cast<int64_t>(content_bytes));
  state.counters["scanned"] = static_cast<double>(stats.bytes_scanned) / static_cast<double>(content_bytes);
  state.counters["confirms/MB"] =
      static_cast<double>(stats.confirms) / (static_cast<double>(content_bytes) / 1e6);
}

// Whole blobs of 32 KB; the argument is the number of assignments of secrets per thousand lines.
void BM_ScanFull(benchmark::State& state) {
  BlobScanner scanner(TheDetector());
  std::vector<std::string> blobs;
  for (uint32_t i = 0; i < 64; ++i) blobs.push_back(SourceText(32 << 10, static_cast<uint32_t>(state.range(0)), i));
  BlobMatches result;
  uint64_t bytes = 0;
  for (auto _ : state) {
    for (const std::string& blob : blobs) {
      scanner.ScanFull(blob, &result);
      benchmark::DoNotOptimize(result.matches.data());
      bytes += blob.size();
    }
  }
  Report(state, scanner.stats(), bytes);
}
BENCHMARK(BM_ScanFull)->Arg(0)->Arg(20)->Unit(benchmark::kMillisecond);

// Deltas that change the argument's number of places of a blob of 32 KB.
void BM_ScanDelta(benchmark::State& state) {
  BlobScanner scanner(TheDetector());
  const std::string base = SourceText(32 << 10, 5, 1);
  BlobMatches of_base, result;
  scanner.ScanFull(base, &of_base);
  const auto edits = static_cast<uint64_t>(state.range(0));
  std::string content;
  std::vector<CopyRun> copies;
  for (uint64_t i = 0; i <= edits; ++i) {
    const uint64_t begin = i * base.size() / (edits + 1), end = (i + 1) * base.size() / (edits + 1);
    if (i > 0) content += "if (changed) return password; /* new */\n";
    copies.push_back({.base_offset = begin, .offset = content.size(), .length = end - begin});
    content.append(base, begin, end - begin);
  }
  const ScannerStats before = scanner.stats();
  uint64_t bytes = 0;
  for (auto _ : state) {
    scanner.ScanDelta(content, copies, base.size(), of_base, &result);
    benchmark::DoNotOptimize(result.matches.data());
    bytes += content.size();
  }
  ScannerStats spent = scanner.stats();
  spent.bytes_scanned -= before.bytes_scanned, spent.confirms -= before.confirms;
  Report(state, spent, bytes);
}
BENCHMARK(BM_ScanDelta)->Arg(1)->Arg(4)->Arg(32)->Unit(benchmark::kMicrosecond);

// From nothing to a scanner ready for the first byte, compiled patterns at hand.
void BM_StartWithWarmCache(benchmark::State& state) {
  const std::filesystem::path dir = std::filesystem::temp_directory_path() / "unsprawl-scan-bench-XXXXXX";
  std::string made = dir.string();
  CHECK(mkdtemp(made.data()) != nullptr);
  const Detector::Options options{.cache_dir = made};
  CHECK(Detector::Create(Rules(), {}, options).ok());
  for (auto _ : state) {
    auto detector = Detector::Create(Rules(), {}, options);
    CHECK(detector.ok() && (*detector)->loaded_from_cache());
    const BlobScanner scanner(**detector);
  }
  std::filesystem::remove_all(made);
}
BENCHMARK(BM_StartWithWarmCache)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace unsprawl
