// Finds every confirmed match of a ruleset in a blob: Hyperscan says where to look, RE2 decides.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/base/copy_run.h"
#include "engine/match/embedded.h"
#include "engine/match/ruleset.h"

namespace unsprawl {

// So many texts may stand encoded one within the other; what is encoded once more is not decoded.
inline constexpr int kMostEmbeddings = 3;

// A rule's regex confirmed at a place, before any judgement. Offsets are bytes into the blob.
struct RawMatch {
  uint32_t rule;                        // index into Ruleset::rules()
  uint64_t start, end;                  // whole match
  uint64_t secret_start, secret_end;    // the secret group
  // Found in a text that stands encoded at [start, end) (engine/match/embedded.h), perhaps in another that does:
  // where the match and its secret are in what is decoded last. [start, end) is the part that it takes to judge the
  // match; secret_start and secret_end are the encoded characters that the secret comes from.
  struct Inner {
    // Decoded of what the step before decodes.
    struct Step {
      Embedding embedding = Embedding::kNone;
      uint32_t start = 0, end = 0;
      auto operator<=>(const Step&) const = default;
    };
    Embedding embedding = Embedding::kNone;
    std::array<Step, kMostEmbeddings - 1> deeper = {};
    uint32_t start = 0, end = 0, secret_start = 0, secret_end = 0;
    auto operator<=>(const Inner&) const = default;
  };
  Inner inner = {};
  auto operator<=>(const RawMatch&) const = default;
};

// What is known of a scanned blob and is inherited by deltas built upon it.
struct BlobMatches {
  // An anchor of a multi-line rule, or a name of a keyword rule, confirmed or not: its verdict depends on
  // bytes beyond its line.
  struct AnchorAt {
    uint32_t rule;
    uint64_t end;    // end offset of the anchor's match
    uint32_t bytes;  // its length
    auto operator<=>(const AnchorAt&) const = default;
  };
  std::vector<RawMatch> matches;   // sorted, distinct
  std::vector<AnchorAt> anchors;   // sorted, distinct
  // Where base64 begins that ends its line (Embedding::kBase64Lines): what it says depends on the lines below, so it is
  // decoded anew in each version. Sorted, distinct.
  std::vector<uint64_t> wrapped;
  // The text was made so that to find what stands beside its names takes far longer than to read it: not all was found.
  bool too_much = false;

  void Clear() { matches.clear(), anchors.clear(), wrapped.clear(), too_much = false; }
};

// How a rule is scanned for, and so what its matches are. Regexes match bytes (RE2 in Latin-1), from
// left to right and not overlapping, and never the empty string.
struct RuleScan {
  enum class Kind : uint8_t {
    kNone = 0,  // has no regex, or was left out
    // Line by line: `^` and `$` are (?m), and the regex names no newline. One that is merely among the
    // bytes of [^"], \s or \W is taken out of them, so that no match leaves its line.
    kLine = 1,
    // Rule::anchor, line by line; then the regex in the text from the anchor's line (at most
    // kAnchorLeadBytes before the anchor's end) to span_bytes after it. Texts that overlap are one.
    // \A, \z, ^ and $ mean the ends of that text.
    kSpan = 2,
    // Names a newline (\n, (?s)., [\s\S]) or an end of the text (\A, \z, ^ and $ without (?m)): sees
    // the blob as one text. Delta mode scans whole blobs for it, so it is dear.
    kWide = 3,
    // Rule::regex finds names, line by line; values are found near them (engine/match/named.h).
    kNamed = 4,
  };
  Kind kind = Kind::kNone;
  // Hyperscan looks for an approximation only, because the regex is too large for it: dear as well.
  bool prefiltered = false;
  uint32_t min_bytes = 0;  // of a match; of the anchor for kSpan, of a name for kNamed
  uint32_t max_bytes = 0;  // UINT32_MAX: unbounded
};

// No anchor may be wider, bytes.
inline constexpr uint32_t kAnchorLeadBytes = 1024;

// Compiled rules. Immutable, shared by all threads and by forked children.
class Detector {
 public:
  struct Options {
    // Folder for serialised databases, one file per key (patterns, flags, Hyperscan version, CPU).
    // Empty: compile every time. An unusable cache is compiled over, never an error.
    std::filesystem::path cache_dir;
    // Called once before a compilation that takes seconds, if there is one. May be empty.
    std::function<void()> before_compiling = nullptr;
  };
  // InvalidArgument: a regex that RE2 or Hyperscan refuses or that matches the empty string, naming the
  // rule. `ruleset` must outlive it.
  // `only` (rule keys, sorted): leave out every other rule; empty: all rules.
  static absl::StatusOr<std::unique_ptr<Detector>> Create(const Ruleset& ruleset,
                                                          std::span<const uint64_t> only,
                                                          const Options& options);
  ~Detector();

  const Ruleset& ruleset() const;
  bool loaded_from_cache() const;
  // One per rule of the ruleset, same order.
  std::span<const RuleScan> scans() const;
  // Whether matches of a rule (an index) were asked for; those of others are there for rules that require them.
  bool wanted(uint32_t rule) const;

  struct Impl;
  const Impl& impl() const { return *impl_; }

 private:
  explicit Detector(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

struct ScannerStats {
  uint64_t bytes_scanned = 0;    // given to Hyperscan
  uint64_t candidates = 0;       // places Hyperscan reported
  uint64_t confirms = 0;         // RE2 runs
};

// What one rule cost a scanner beside Hyperscan, which looks for all of them at once.
struct RuleCost {
  uint64_t candidates = 0;   // places where it was tried; those near each other are one
  uint64_t confirms = 0;     // RE2 runs, or looks beside a name
  int64_t nanoseconds = 0;   // of CPU, spent there
};

// Scans blobs on one thread (it owns the scratch memory); not thread-safe.
class BlobScanner {
 public:
  explicit BlobScanner(const Detector& detector);
  ~BlobScanner();

  // All matches in `content`, which is shorter than 4 GiB. Replaces *result.
  void ScanFull(std::string_view content, BlobMatches* result);

  // The same result as ScanFull(content), computed from the base's: lines that lie wholly within a
  // copied run (in base and target) inherit, all others are scanned (docs/delta-scan.md says why this
  // is exact). `base` must be the result for the base under the same detector. Replaces *result.
  void ScanDelta(std::string_view content, std::span<const CopyRun> copies, uint64_t base_bytes,
                 const BlobMatches& base, BlobMatches* result);

  const ScannerStats& stats() const { return stats_; }

  // Counts costs from here on. Rules that have the same names share what is looked for: the first of them has it all.
  void CountCosts();
  std::span<const RuleCost> costs() const { return costs_; }  // by rule of the ruleset; empty: not counted

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
  ScannerStats stats_;
  std::vector<RuleCost> costs_;
};

}  // namespace unsprawl
