#include "engine/match/embedded.h"

#include <algorithm>
#include <array>

#include "engine/judge/structure.h"
#include "engine/judge/text_shape.h"

namespace unsprawl {
namespace {

constexpr uint64_t kPeekBytes = 24;  // of a run that are decoded to see whether the rest is worth it

constexpr std::array<bool, 256> kRunBytes = [] {
  std::array<bool, 256> bytes = {};
  for (int c = 0; c < 256; ++c) {
    bytes[static_cast<size_t>(c)] = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '+' ||
                                    c == '/' || c == '-' || c == '_';
  }
  return bytes;
}();

bool IsRunByte(char c) { return kRunBytes[static_cast<unsigned char>(c)]; }

// Text that a person or a program wrote: no control bytes but those of lines, few bytes beyond ASCII.
bool IsReadable(std::string_view bytes) {
  size_t foreign = 0;
  for (const char c : bytes) {
    if (static_cast<unsigned char>(c) >= 0x80) {
      ++foreign;
    } else if (c < ' ' ? c != '\n' && c != '\r' && c != '\t' : c == 0x7f) {
      return false;
    }
  }
  return foreign * 8 <= bytes.size();
}

bool IsHexOfOneCase(std::string_view run) {
  bool lower = false, upper = false;
  for (const char c : run) {
    if (c >= 'a' && c <= 'f') {
      lower = true;
    } else if (c >= 'A' && c <= 'F') {
      upper = true;
    } else if (!IsDigit(c)) {
      return false;
    }
  }
  return !(lower && upper) && run.size() % 2 == 0;
}

std::string FromHex(std::string_view run) {
  const auto digit = [](char c) { return IsDigit(c) ? c - '0' : (c | 0x20) - 'a' + 10; };
  std::string bytes;
  bytes.reserve(run.size() / 2);
  for (size_t i = 0; i + 1 < run.size(); i += 2) bytes.push_back(static_cast<char>(digit(run[i]) << 4 | digit(run[i + 1])));
  return bytes;
}

// The first run of at least kLeastEmbeddedBytes at `from` or later: looks at every 32nd byte, and back where it may be
// inside one. `begin` == `end`: there is none.
std::pair<uint64_t, uint64_t> NextRun(std::string_view text, uint64_t from) {
  uint64_t begin = from;  // no run byte that is known not to belong to a long run lies at or behind it
  while (begin + kLeastEmbeddedBytes <= text.size()) {
    uint64_t at = begin + kLeastEmbeddedBytes;
    while (at > begin && IsRunByte(text[at - 1])) --at;
    if (at > begin) {
      begin = at;
      continue;
    }
    uint64_t end = begin + kLeastEmbeddedBytes;
    while (end < text.size() && IsRunByte(text[end])) ++end;
    return {begin, end};
  }
  return {text.size(), text.size()};
}

}  // namespace

std::string DecodeEmbedded(std::string_view encoded, Embedding embedding) {
  if (embedding == Embedding::kHex) return FromHex(encoded);
  return DecodeBase64(encoded).value_or("");
}

std::optional<EmbeddedText> FindEmbedded(std::string_view text, uint64_t from) {
  for (;;) {
    const auto [begin, end] = NextRun(text, from);
    if (begin == end) return std::nullopt;
    from = end;
    const std::string_view run = text.substr(begin, end - begin);
    if (IsHexOfOneCase(run)) {
      std::string decoded = FromHex(run);
      if (IsReadable(decoded)) return EmbeddedText{begin, end, Embedding::kHex, std::move(decoded)};
      continue;
    }
    const std::optional<std::string> peek = DecodeBase64(run.substr(0, kPeekBytes));
    if (!peek || !IsReadable(*peek)) continue;
    uint64_t padded = end;
    while (padded < text.size() && padded < end + 2 && text[padded] == '=') ++padded;
    const std::optional<std::string> decoded = DecodeBase64(text.substr(begin, padded - begin));
    if (decoded && IsReadable(*decoded)) return EmbeddedText{begin, padded, Embedding::kBase64, *decoded};
  }
}

EncodedRange EncodedFrom(uint64_t begin, uint64_t end, Embedding embedding) {
  if (embedding == Embedding::kHex) return {2 * begin, 2 * end};
  return {begin / 3 * 4 + begin % 3, (end / 3 * 4) + (end % 3 == 0 ? 0 : end % 3 + 1)};
}

}  // namespace unsprawl
