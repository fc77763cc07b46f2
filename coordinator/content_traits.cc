#include "coordinator/content_traits.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "absl/strings/str_format.h"
#include "engine/base/sha256.h"

namespace unsprawl {
namespace {

// A trait is its own key: numbers as small as these are no hash of a rule. Looked into is told by InsideKey.
constexpr uint32_t kMarks[] = {v1::CONTENT_TRAIT_ARCHIVE, v1::CONTENT_TRAIT_ENCRYPTED, v1::CONTENT_TRAIT_DAMAGED,
                               v1::CONTENT_TRAIT_UNREAD, v1::CONTENT_TRAIT_GIT_DATA};

bool Has(std::span<const uint64_t> list, uint64_t key) { return std::binary_search(list.begin(), list.end(), key); }

// The key of having run a rule inside an archive, all of it (`max_bytes` 0) or as far as `max_bytes` of it.
uint64_t InsideKey(uint64_t rule, uint64_t max_bytes) {
  const std::string hash = Sha256(absl::StrFormat("inside archives, %d %d", rule, max_bytes));
  uint64_t key = 0;
  std::memcpy(&key, hash.data(), sizeof(key));
  return key;
}

bool RanInside(uint64_t rule, std::span<const uint64_t> list, uint64_t max_bytes) {
  return Has(list, InsideKey(rule, 0)) || Has(list, InsideKey(rule, max_bytes));
}

}  // namespace

std::vector<uint64_t> KeysWithTraits(std::span<const uint64_t> rules, uint32_t traits, uint64_t max_object_bytes) {
  std::vector<uint64_t> keys(rules.begin(), rules.end());
  for (const uint32_t mark : kMarks) {
    if (traits & mark) keys.push_back(mark);
  }
  if (traits & v1::CONTENT_TRAIT_LOOKED_INTO) {
    const uint64_t bound = traits & v1::CONTENT_TRAIT_BEYOND ? max_object_bytes : 0;
    for (const uint64_t rule : rules) keys.push_back(InsideKey(rule, bound));
  }
  std::sort(keys.begin(), keys.end());
  keys.erase(std::unique(keys.begin(), keys.end()), keys.end());
  return keys;
}

std::vector<uint64_t> StillNeeded(std::span<const uint64_t> rules, std::span<const uint64_t> list, bool archives,
                                  uint64_t max_object_bytes) {
  const bool inside = archives && Has(list, v1::CONTENT_TRAIT_ARCHIVE);
  std::vector<uint64_t> needed;
  for (const uint64_t rule : rules) {
    if (!Has(list, rule) || (inside && !RanInside(rule, list, max_object_bytes))) needed.push_back(rule);
  }
  return needed;
}

uint32_t TraitsUnder(std::span<const uint64_t> rules, std::span<const uint64_t> list, uint64_t max_object_bytes) {
  uint32_t traits = 0;
  for (const uint32_t mark : kMarks) traits |= Has(list, mark) ? mark : 0;
  if ((traits & v1::CONTENT_TRAIT_ARCHIVE) == 0) return traits;
  bool looked_into = true, beyond = false;
  for (const uint64_t rule : rules) {
    looked_into &= RanInside(rule, list, max_object_bytes);
    beyond |= !Has(list, InsideKey(rule, 0));
  }
  if (!looked_into) return v1::CONTENT_TRAIT_ARCHIVE;
  return traits | v1::CONTENT_TRAIT_LOOKED_INTO | (beyond ? v1::CONTENT_TRAIT_BEYOND : 0);
}

std::optional<v1::Skip> SkipFor(uint32_t traits) {
  v1::Skip skip;
  const bool archive = traits & v1::CONTENT_TRAIT_ARCHIVE;
  if (archive && (traits & v1::CONTENT_TRAIT_LOOKED_INTO) == 0) {
    skip.set_reason(v1::SKIP_REASON_ARCHIVE);
    return skip;
  }
  std::string gaps;
  const auto add = [&](uint32_t trait, const char* what) {
    if (traits & trait) gaps += (gaps.empty() ? "" : ", ") + std::string(what);
  };
  add(v1::CONTENT_TRAIT_ENCRYPTED, "encrypted");
  add(v1::CONTENT_TRAIT_DAMAGED, "damaged");
  add(v1::CONTENT_TRAIT_BEYOND, "too large, too many members, or too deep");
  add(v1::CONTENT_TRAIT_UNREAD, "of a kind that is not read");
  if (archive && !gaps.empty()) {
    skip.set_reason(v1::SKIP_REASON_ARCHIVE_PART);
    skip.set_detail(gaps);
    return skip;
  }
  if ((traits & v1::CONTENT_TRAIT_GIT_DATA) == 0) return std::nullopt;
  skip.set_reason(v1::SKIP_REASON_GIT_DATA);
  return skip;
}

}  // namespace unsprawl
