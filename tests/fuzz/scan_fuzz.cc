// Any text, edited in any way: a delta scan of the result finds what a full scan of it finds.
//
// Input: number of edits; five bytes for each (kind, two 16-bit numbers); the rest is the base's text.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "engine/base/status.h"
#include "engine/match/detector.h"
#include "tests/unit/scan_cases.h"

namespace {

using unsprawl::BlobMatches;
using unsprawl::BlobScanner;
using unsprawl::Detector;
using unsprawl::EditedText;
using unsprawl::Ruleset;

const Detector& TheDetector() {
  static const Ruleset* const ruleset = [] {
    auto parsed = Ruleset::Parse(unsprawl::kScanRules, "fuzz");
    CHECK(parsed.ok());
    return new Ruleset(*std::move(parsed));
  }();
  static const Detector* const detector = [] {
    auto created = Detector::Create(*ruleset, {}, {});
    CHECK(created.ok());
    return created->release();
  }();
  return *detector;
}

EditedText Edit(std::string_view edits, std::string_view base) {
  EditedText edited;
  for (; edits.size() >= 5; edits.remove_prefix(5)) {
    const auto number = [&](size_t at) {
      return static_cast<size_t>(static_cast<uint8_t>(edits[at]) << 8 | static_cast<uint8_t>(edits[at + 1]));
    };
    const size_t begin = base.empty() ? 0 : number(1) % base.size();
    const size_t length = base.empty() ? 0 : number(3) % (base.size() - begin + 1);
    if (edits[0] & 1) {
      edited.AddCopy(base, begin, length);
    } else {
      edited.AddNew(base.substr(begin, length % 64));
    }
  }
  return edited;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static BlobScanner* const scanner = new BlobScanner(TheDetector());
  if (size == 0 || size > 1 << 16) return 0;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t edits_bytes = std::min<size_t>(size - 1, 5 * (data[0] % 32));
  const std::string_view base = input.substr(1 + edits_bytes);
  const EditedText edited = Edit(input.substr(1, edits_bytes), base);
  BlobMatches of_base, delta, full;
  scanner->ScanFull(base, &of_base);
  scanner->ScanDelta(edited.content, edited.copies, base.size(), of_base, &delta);
  scanner->ScanFull(edited.content, &full);
  CHECK(delta.matches == full.matches);
  CHECK(delta.anchors == full.anchors);
  return 0;
}
