#include "engine/match/embedded.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "engine/judge/structure.h"
#include "engine/judge/text_shape.h"
#include "engine/match/escapes.h"

namespace unsprawl {
namespace {

constexpr uint64_t kPeekBytes = 24;        // of a run that are decoded to see whether the rest is worth it
constexpr uint64_t kLeadBytes = 64;        // before a run that goes on from the line above: indentation, quotes, signs
constexpr uint64_t kTrailBytes = 16;       // behind one
constexpr uint64_t kBytesBetweenMarks = 512;
constexpr uint8_t kNoValue = 64;

// What a byte is worth in base64.
constexpr std::array<uint8_t, 256> kValues = [] {
  std::array<uint8_t, 256> values = {};
  for (size_t c = 0; c < 256; ++c) {
    values[c] = static_cast<uint8_t>(c >= 'A' && c <= 'Z'   ? c - 'A'
                                     : c >= 'a' && c <= 'z' ? c - 'a' + 26
                                     : c >= '0' && c <= '9' ? c - '0' + 52
                                     : c == '+' || c == '-' ? 62
                                     : c == '/' || c == '_' ? 63
                                                            : kNoValue);
  }
  return values;
}();

uint8_t ValueAt(std::string_view run, uint64_t at) { return kValues[static_cast<unsigned char>(run[at])]; }
bool IsRunByte(char c) { return kValues[static_cast<unsigned char>(c)] != kNoValue; }

bool IsControl(unsigned char c) { return c < ' ' ? c != '\n' && c != '\r' && c != '\t' : c == 0x7f; }

// Text that a person or a program wrote: no control bytes but those of lines, few bytes beyond ASCII.
bool IsReadable(std::string_view bytes) {
  size_t foreign = 0;
  for (const char c : bytes) {
    if (IsControl(static_cast<unsigned char>(c))) return false;
    foreign += static_cast<unsigned char>(c) >= 0x80 ? 1 : 0;
  }
  return foreign * 8 <= bytes.size();
}

// The same of what the first characters of a run decode to.
bool PeekIsReadable(std::string_view run) {
  const uint64_t peek = std::min<uint64_t>(run.size(), kPeekBytes) / 4 * 4;
  uint64_t foreign = 0;
  for (uint64_t at = 0; at < peek; at += 4) {
    const uint32_t bits = static_cast<uint32_t>(ValueAt(run, at)) << 18 | static_cast<uint32_t>(ValueAt(run, at + 1)) << 12 |
                          static_cast<uint32_t>(ValueAt(run, at + 2)) << 6 | ValueAt(run, at + 3);
    for (const int shift : {16, 8, 0}) {
      const auto c = static_cast<unsigned char>(bits >> shift);
      if (IsControl(c)) return false;
      if (c >= 0x80 && ++foreign * 8 > peek / 4 * 3) return false;
    }
  }
  return true;
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

// All whole bytes of `run`; padding is left out.
std::string FromBase64(std::string_view run) {
  while (!run.empty() && run.back() == '=') run.remove_suffix(1);
  if (run.size() % 4 == 1) run.remove_suffix(1);
  return DecodeBase64(run).value_or("");
}

// Whether all of text[at, at + 16) are bytes of runs.
bool AreRunBytes(const char* at) {
  typedef uint8_t Sixteen __attribute__((vector_size(16)));
  Sixteen bytes;
  std::memcpy(&bytes, at, sizeof(bytes));
  const Sixteen letters = (bytes | 0x20) - 'a', digits = bytes - '/';  // '/' stands before '0'
  const auto hits = (letters < 26) | (digits < 11) | (bytes == '+') | (bytes == '-') | (bytes == '_');  // all ones where one is
  uint64_t halves[2];
  std::memcpy(halves, &hits, sizeof(hits));
  return (halves[0] & halves[1]) == ~uint64_t{0};
}

// The first run of at least kLeastEmbeddedBytes at `from` or later. `begin` == `end`: there is none. Each holds sixteen
// bytes that begin at a multiple of sixteen from `from`: all that is scanned comes by here.
std::pair<uint64_t, uint64_t> NextRun(std::string_view text, uint64_t from) {
  constexpr uint64_t kBlock = 16;
  static_assert(kLeastEmbeddedBytes >= 2 * kBlock - 1);
  for (uint64_t at = from; at + kBlock <= text.size(); at += kBlock) {
    if (!AreRunBytes(text.data() + at)) continue;
    uint64_t begin = at, end = at + kBlock;
    while (begin > from && IsRunByte(text[begin - 1])) --begin;
    while (end < text.size() && IsRunByte(text[end])) ++end;
    if (end - begin >= kLeastEmbeddedBytes) return {begin, end};
    at += (end - at) / kBlock * kBlock - kBlock;
  }
  return {text.size(), text.size()};
}

uint64_t SkipPadding(std::string_view text, uint64_t at) {
  const uint64_t limit = std::min<uint64_t>(text.size(), at + 2);
  while (at < limit && text[at] == '=') ++at;
  return at;
}

// Whether nothing follows in the line but what closes a literal or joins it with the next one: "AAAA\n" +
bool EndsLine(std::string_view text, uint64_t at) {
  const uint64_t limit = std::min<uint64_t>(text.size(), at + kTrailBytes);
  while (at < limit) {
    const char c = text[at];
    if (c == '\n') return true;
    const bool escape = c == '\\' && at + 1 < limit && (text[at + 1] == 'n' || text[at + 1] == 'r');
    if (!escape && std::string_view(" \t\r\"'`\\+.,;)]}&").find(c) == std::string_view::npos) return false;
    at += escape ? 2 : 1;
  }
  return at == text.size();
}

// Whether a run that begins at `at` is all there is up to it in its line, but for indentation, quotes and signs.
bool BeginsLine(std::string_view text, uint64_t at) {
  const uint64_t limit = at - std::min(at, kLeadBytes);
  while (at > limit && text[at - 1] != '\n') {
    if (IsAlnum(text[--at])) return false;
  }
  return at == 0 || text[at - 1] == '\n';
}

// The run that a line is made of, which begins at `at`; empty where it is made of more.
EncodedRange RunOfLine(std::string_view text, uint64_t at) {
  const uint64_t limit = std::min<uint64_t>(text.size(), at + kLeadBytes);
  uint64_t begin = at;
  while (begin < limit && text[begin] != '\n' && !IsAlnum(text[begin])) ++begin;
  if (begin == limit || text[begin] == '\n') return {at, at};
  uint64_t end = begin;
  while (begin > at && IsRunByte(text[begin - 1])) --begin;
  while (end < text.size() && IsRunByte(text[end])) ++end;
  return EndsLine(text, SkipPadding(text, end)) ? EncodedRange{begin, end} : EncodedRange{at, at};
}

uint64_t LineEnd(std::string_view text, uint64_t at) { return std::min<uint64_t>(text.find('\n', at), text.size()); }

// The text's size where `at` is in the last one.
uint64_t NextLine(std::string_view text, uint64_t at) { return std::min<uint64_t>(LineEnd(text, at) + 1, text.size()); }

// Runs of a wrapped text, without its layout and padding.
std::vector<EncodedRange> RunsOf(std::string_view encoded) {
  uint64_t end = 0;
  while (end < encoded.size() && IsRunByte(encoded[end])) ++end;
  std::vector<EncodedRange> runs = {{0, end}};
  for (uint64_t line = NextLine(encoded, end); line < encoded.size(); line = NextLine(encoded, runs.back().end)) {
    const EncodedRange run = RunOfLine(encoded, line);
    if (run.begin == run.end) break;
    runs.push_back(run);
  }
  return runs;
}

std::string FromBase64Lines(std::string_view encoded) {
  const std::vector<EncodedRange> runs = RunsOf(encoded);
  if (runs.size() == 1) return FromBase64(encoded.substr(0, runs[0].end));
  std::string joined;
  joined.reserve(encoded.size());
  for (const EncodedRange& run : runs) joined += encoded.substr(run.begin, run.end - run.begin);
  return FromBase64(joined);
}

std::optional<EmbeddedText> HexText(std::string_view text, uint64_t begin, uint64_t end) {
  std::string decoded = FromHex(text.substr(begin, end - begin));
  if (!IsReadable(decoded)) return std::nullopt;
  return EmbeddedText{begin, end, Embedding::kHex, std::move(decoded)};
}

std::optional<EmbeddedText> Base64Text(std::string_view text, uint64_t begin, uint64_t end) {
  const uint64_t padded = SkipPadding(text, end);
  const bool ends = EndsLine(text, padded);
  const uint64_t shifts = ends && BeginsLine(text, begin) ? 4 : 1;
  for (uint64_t shift = 0; shift < shifts; ++shift) {
    const std::string_view run = text.substr(begin + shift, end - begin - shift);
    if (!PeekIsReadable(run)) continue;
    std::string decoded = FromBase64(run);
    if (!IsReadable(decoded)) continue;
    return EmbeddedText{begin + shift, padded, ends ? Embedding::kBase64Lines : Embedding::kBase64, std::move(decoded)};
  }
  return std::nullopt;
}

}  // namespace

std::string_view EmbeddingName(Embedding embedding) {
  switch (embedding) {
    case Embedding::kNone: break;
    case Embedding::kBase64:
    case Embedding::kBase64Lines: return "base64";
    case Embedding::kHex: return "hexadecimal digits";
    case Embedding::kEscapes: return "escapes";
  }
  return "";
}

std::string DecodeEmbedded(std::string_view encoded, Embedding embedding) {
  switch (embedding) {
    case Embedding::kNone: break;
    case Embedding::kBase64: return FromBase64(encoded);
    case Embedding::kHex: return FromHex(encoded);
    case Embedding::kBase64Lines: return FromBase64Lines(encoded);
    case Embedding::kEscapes: return Unescape(encoded, kAllEscapes);
  }
  return "";
}

std::optional<EmbeddedText> FindEmbedded(std::string_view text, uint64_t from) {
  for (;;) {
    const auto [begin, end] = NextRun(text, from);
    if (begin == end) return std::nullopt;
    const bool hex = IsHexOfOneCase(text.substr(begin, end - begin));
    if (auto found = hex ? HexText(text, begin, end) : Base64Text(text, begin, end)) return found;
    from = end;
  }
}

EmbeddedText FindWrapped(std::string_view text, std::span<const uint64_t> starts, size_t* lines) {
  EmbeddedText wrapped{starts[0], starts[0], Embedding::kBase64Lines, ""};
  uint64_t end = starts[0];
  while (end < text.size() && IsRunByte(text[end])) ++end;
  *lines = 1;
  for (;;) {
    wrapped.end = SkipPadding(text, end);
    if (wrapped.end != end) break;  // padding is the end
    const uint64_t line = NextLine(text, end);
    const EncodedRange run = line < text.size() ? RunOfLine(text, line) : EncodedRange{line, line};
    if (run.begin == run.end) break;
    const bool is_next = *lines < starts.size() && starts[*lines] >= run.begin && starts[*lines] < run.end;
    if (!is_next && run.end - run.begin >= kLeastEmbeddedBytes) break;  // unreadable
    end = run.end;
    if (!is_next) {
      wrapped.end = SkipPadding(text, end);
      break;
    }
    ++*lines;
  }
  wrapped.decoded = DecodeEmbedded(text.substr(wrapped.start, wrapped.end - wrapped.start), wrapped.embedding);
  return wrapped;
}

EncodedPlaces::EncodedPlaces(std::string_view encoded, Embedding embedding) : encoded_(encoded), embedding_(embedding) {
  marks_.push_back({0, 0});
  if (embedding == Embedding::kBase64Lines) {
    uint64_t plain = 0;
    for (const EncodedRange& run : RunsOf(encoded)) {
      if (run.begin > 0) marks_.push_back({plain, run.begin});
      plain += run.end - run.begin;
    }
  } else if (embedding == Embedding::kEscapes) {
    Mark at = {0, 0};
    while (at.encoded < encoded.size()) {
      if (at.plain >= marks_.back().plain + kBytesBetweenMarks) marks_.push_back(at);
      const EscapeToken token = EscapeTokenAt(encoded, at.encoded, kAllEscapes);
      at.plain += token.decoded_bytes();
      at.encoded += token.bytes;
    }
  }
}

const EncodedPlaces::Mark& EncodedPlaces::MarkOf(uint64_t plain) const {
  const auto after = [](uint64_t value, const Mark& mark) { return value < mark.plain; };
  return *(std::upper_bound(marks_.begin(), marks_.end(), plain, after) - 1);
}

// Where the index-th character of the runs is.
uint64_t EncodedPlaces::CharacterAt(uint64_t index) const {
  const Mark& mark = MarkOf(index);
  return std::min<uint64_t>(mark.encoded + (index - mark.plain), encoded_.size());
}

// What is decoded to some bytes as a whole, one of which is `byte`.
EncodedPlaces::Part EncodedPlaces::TokenOf(uint64_t byte) const {
  if (embedding_ == Embedding::kHex) return {2 * byte, 2 * byte + 2, byte};
  if (embedding_ != Embedding::kEscapes) {
    const uint64_t first = byte / 3 * 4;
    return {CharacterAt(first), std::min<uint64_t>(CharacterAt(first + 3) + 1, encoded_.size()), byte / 3 * 3};
  }
  Mark at = MarkOf(byte);
  while (at.encoded < encoded_.size()) {
    const EscapeToken token = EscapeTokenAt(encoded_, at.encoded, kAllEscapes);
    if (byte < at.plain + token.decoded_bytes()) return {at.encoded, at.encoded + token.bytes, at.plain};
    at.plain += token.decoded_bytes();
    at.encoded += token.bytes;
  }
  return {encoded_.size(), encoded_.size(), at.plain};
}

EncodedRange EncodedPlaces::From(uint64_t begin, uint64_t end) const {
  if (embedding_ == Embedding::kHex || embedding_ == Embedding::kEscapes) return {TokenOf(begin).begin, TokenOf(end - 1).end};
  const uint64_t last = (end - 1) / 3 * 4 + (end - 1) % 3 + 1;
  return {CharacterAt(begin / 3 * 4 + begin % 3), std::min<uint64_t>(CharacterAt(last) + 1, encoded_.size())};
}

EncodedPlaces::Part EncodedPlaces::Around(uint64_t begin, uint64_t end) const {
  const Part first = TokenOf(begin), last = TokenOf(end - 1);
  if (embedding_ != Embedding::kBase64Lines) return {first.begin, last.end, first.decoded_begin};
  // Some more of the line, so that its run is told from what stands before it as in the whole.
  const std::string_view rest = encoded_.substr(last.end, kLeadBytes);
  return {first.begin, last.end + LineEnd(rest, 0), first.decoded_begin};
}

}  // namespace unsprawl
