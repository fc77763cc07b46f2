#include "engine/match/decode.h"

#include <zlib.h>

#include <algorithm>
#include <utility>

#include "engine/base/utf8.h"

namespace unsprawl {
namespace {

constexpr int kMostLayers = 3;             // text in UTF-16 in gzip in gzip
constexpr size_t kSampleBytes = 2048;      // that tell text without a byte order mark
constexpr size_t kFewestSampleBytes = 16;

// How a text of wide units is written.
struct Wide {
  size_t unit = 0;  // bytes; 0: it is none
  bool big = false;
  size_t mark = 0;  // bytes of the byte order mark
};

// Of ASCII in UTF-16 every other byte is zero, of UTF-32 three of four; in a binary file they are not.
Wide GuessWide(std::string_view content) {
  const std::string_view sample = content.substr(0, kSampleBytes);
  if (sample.size() < kFewestSampleBytes || content.size() % 2 != 0) return {};
  if (sample.find('\0') == std::string_view::npos) return {};  // as nearly all: every blob comes by here
  size_t zeros[4] = {};
  for (size_t i = 0; i < sample.size(); ++i) zeros[i % 4] += sample[i] == '\0' ? 1 : 0;
  const size_t units = sample.size() / 4;
  const auto full = [units](size_t count) { return count * 10 >= units * 9; };
  const auto empty = [units](size_t count) { return count * 20 <= units; };
  if (content.size() % 4 == 0) {
    if (empty(zeros[0]) && full(zeros[1]) && full(zeros[2]) && full(zeros[3])) return {4, false, 0};
    if (full(zeros[0]) && full(zeros[1]) && full(zeros[2]) && empty(zeros[3])) return {4, true, 0};
  }
  if (empty(zeros[0]) && full(zeros[1]) && empty(zeros[2]) && full(zeros[3])) return {2, false, 0};
  if (full(zeros[0]) && empty(zeros[1]) && full(zeros[2]) && empty(zeros[3])) return {2, true, 0};
  return {};
}

Wide WideOf(std::string_view content) {
  if (content.starts_with(std::string_view("\xff\xfe\0\0", 4))) return {4, false, 4};
  if (content.starts_with(std::string_view("\0\0\xfe\xff", 4))) return {4, true, 4};
  if (content.starts_with("\xff\xfe")) return {2, false, 2};
  if (content.starts_with("\xfe\xff")) return {2, true, 2};
  return GuessWide(content);
}

uint32_t UnitAt(std::string_view content, size_t at, const Wide& wide) {
  uint32_t unit = 0;
  for (size_t i = 0; i < wide.unit; ++i) {
    const size_t byte = wide.big ? i : wide.unit - 1 - i;
    unit = unit << 8 | static_cast<unsigned char>(content[at + byte]);
  }
  return unit;
}

void FromWide(std::string_view content, const Wide& wide, std::string* text) {
  text->reserve(content.size() / wide.unit + 16);
  for (size_t at = wide.mark; at + wide.unit <= content.size(); at += wide.unit) {
    uint32_t point = UnitAt(content, at, wide);
    const bool pair = wide.unit == 2 && point >= 0xd800 && point < 0xdc00 && at + 4 <= content.size();
    if (pair) {
      const uint32_t low = UnitAt(content, at + 2, wide);
      if (low >= 0xdc00 && low < 0xe000) {
        point = 0x10000 + ((point - 0xd800) << 10) + (low - 0xdc00);
        at += 2;
      }
    }
    AppendUtf8(point, text);
  }
}

// All members of a gzip file, one behind the other.
Decoding FromGzip(std::string_view content, uint64_t max_bytes, std::string* text) {
  constexpr int kGzipOnly = 15 + 16;
  char chunk[16 << 10];
  z_stream stream = {};
  if (inflateInit2(&stream, kGzipOnly) != Z_OK) return Decoding::kNone;
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(content.data()));
  stream.avail_in = static_cast<uInt>(content.size());  // a blob is shorter than 4 GiB
  Decoding result = Decoding::kNone;
  for (;;) {
    stream.next_out = reinterpret_cast<Bytef*>(chunk);
    stream.avail_out = sizeof(chunk);
    const int status = inflate(&stream, Z_NO_FLUSH);
    text->append(chunk, sizeof(chunk) - stream.avail_out);
    if (text->size() > max_bytes) {
      result = Decoding::kTooLarge;
      break;
    }
    if (status == Z_STREAM_END) {
      result = Decoding::kDecoded;
      // Another member, or padding, which is no text.
      if (stream.avail_in < 2 || stream.next_in[0] != 0x1f || inflateReset(&stream) != Z_OK) break;
    } else if (status != Z_OK) {
      if (result == Decoding::kDecoded) break;  // what follows the first member is none
      text->clear();
      break;
    }
  }
  inflateEnd(&stream);
  return result;
}

// One layer; *text is empty before.
Decoding DecodeOnce(std::string_view content, uint64_t max_bytes, std::string* text) {
  if (content.starts_with("\x1f\x8b\x08")) return FromGzip(content, max_bytes, text);
  const Wide wide = WideOf(content);
  if (wide.unit == 0) return Decoding::kNone;
  if (content.size() / 2 * 3 > max_bytes) return Decoding::kTooLarge;  // UTF-8 is at most half as long again
  FromWide(content, wide, text);
  return Decoding::kDecoded;
}

}  // namespace

Decoding DecodeText(std::string_view content, uint64_t max_bytes, std::string* text) {
  text->clear();
  Decoding result = DecodeOnce(content, max_bytes, text);
  std::string inner;
  for (int layer = 1; layer < kMostLayers && result == Decoding::kDecoded; ++layer) {
    inner.clear();
    const Decoding again = DecodeOnce(*text, max_bytes, &inner);
    if (again == Decoding::kNone) break;
    result = again;
    std::swap(*text, inner);
  }
  if (result == Decoding::kDecoded) {
    text->push_back('\n');
    text->append(content);
  }
  return result;
}

}  // namespace unsprawl
