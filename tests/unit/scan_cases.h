// Rules, texts and edits for tests of the detector. Everything is made from a seed; nothing that looks
// like a secret is written down.
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/copy_run.h"

namespace unsprawl {

// Rules of every kind and shape: short and long, dense ends, unbounded, word boundaries, line anchors,
// classes that hold a newline, keywords, groups, spans of lines, whole-text rules.
inline constexpr std::string_view kScanRules = R"(
[[rules]]
id = "fixed"
regex = '''\b(fix_[0-9A-Za-z]{8})\b'''
[[rules]]
id = "tail"
regex = '''(?m)(tai_[0-9a-z]{4,9})(?:[^0-9A-Za-z_-]|$)'''
[[rules]]
id = "head"
regex = '''(?m)^[ \t]{0,4}hea[dD]=([^'"]{3,12})'''
[[rules]]
id = "assign"
regex = '''(?i)(?:secret|passw)[a-z_]{0,8}\s{0,3}[:=]\s{0,3}["']?([^"'\s;]{4,20})'''
[[rules]]
id = "dense"
regex = '''den[a-z]{3,}'''
[[rules]]
id = "greedy"
regex = '''gre.*y!'''
[[rules]]
id = "lazy"
regex = '''laz.{0,30}?y(?:1|12)'''
[[rules]]
id = "overlap"
regex = '''aba'''
[[rules]]
id = "keyed"
regex = '''(?:id|no)[:=]([0-9]{4})'''
keywords = ["acme", "key"]
[[rules]]
id = "group-two"
regex = '''(u:)?(p:)([a-z0-9]{2,6})@'''
secretGroup = 3
[[rules]]
id = "boundary"
regex = '''\Bnot[\W_]{1,3}(yes|no)\b'''
[[rules]]
id = "latin"
regex = '''(?i)stra[ßx]e[^\x00-\x7f]{1,2}'''
[[rules]]
id = "wide-newline"
regex = '''(?s)<<(.{2,12}?)>>'''
[[rules]]
id = "wide-end"
regex = '''last:([a-z]{3,5})$'''
[[rules]]
id = "wide-unbounded"
regex = '''open\n(?:[a-z]+\n)+shut'''
[[rules]]
id = "block"
anchor = '''--BEG [A-Z]{0,6}KEY'''
regex = '''--BEG ([A-Z]{0,6}KEY)--\n([0-9a-z\n]{4,90})--END'''
span_bytes = 120
secretGroup = 2
[[rules]]
id = "block-open"
anchor = '''(?i)note[:=]'''
regex = '''note[:=][^#]{1,40}#(.{0,10})'''
span_bytes = 50
keywords = ["key", "it"]
[[rules]]
id = "named-key"
names = ["zorg api", "zorg"]
values = ["zk-{hex:6}", "{alnum:9-11}"]
kind = "key"
[[rules]]
id = "named-secret"
names = ["zorg api", "zorg"]
values = ["{alnum:9-11}", "{any}"]
kind = "secret"
[[rules]]
id = "named-beside"
names = ["moop+", "big moop"]
values = ["{up36:5}-{digits:2-3}"]
)";

using Random = std::mt19937;

inline uint32_t Below(Random& random, uint32_t limit) {
  return static_cast<uint32_t>(random() % limit);
}

// Pieces that say something once they are decoded, and parts of such.
inline std::vector<std::string> EncodedPieces() {
  return {
      // base64 over several lines of "xx fix_aB3dE6gH; secret = 'abcdef' and denxyz more, p:abc@ then zorg key 0a1b2c3d4e and
      // --BEG KEY--\n0123abcd\n--END.\n"
      "\neHggZml4X2FCM2RFNmdIOyBzZWNyZXQgPSAnYWJj\n", "ZGVmJyBhbmQgZGVueHl6IG1vcmUsIHA6YWJjQCB0\n",
      "  \"aGVuIHpvcmcga2V5IDBhMWIyYzNkNGUgYW5kIC0t\" +\n", "QkVHIEtFWS0tCjAxMjNhYmNkCi0tRU5ELgo=\n", "  'ZGVmJwo='\n",
      "key: eHggZml4X2FCM2RFNmdIOyBzZWNyZXQgPSAnYWJj\n",
      "\neHggZml4X2FCM2RFNmdIOyBzZWNyZXQgPSAnYWJj\nZGVmJyBhbmQgZGVueHl6IG1vcmUsIHA6YWJjQCB0\n"
      "aGVuIHpvcmcga2V5IDBhMWIyYzNkNGUgYW5kIC0t\nQkVHIEtFWS0tCjAxMjNhYmNkCi0tRU5ELgo=\n",
      // base64 of base64 of "note: fix_aB3dE6gH and u:p:abc@\n"
      "Ym05MFpUb2dabWw0WDJGQ00yUkZObWRJSUdGdVpDQjFPbkE2WVdKalFBbz0=",
      "{\\\"secret\\\": \\\"abcdef\\\"}", "\\u0066ix_" "aB3dE6gH ", "fix_" "%61B3dE6gH%3A", "p:a%62c%40", "p%3Aabc%40", "%", "\\", "&",
      "&quot;passw&quot;:&quot;hunter2&quot;", "\\nhead=abcd\\n", "&#102;ix_" "12345678 ", "secret=a%26bcdef%3Dg ", "zorg%3A%20zk-012abc",
      "{\\\\\\\"secret\\\\\\\":\\\\\\\"abcdef\\\\\\\"}"};
}

// A piece of text: plants matches and near misses of kScanRules, breaks lines, or is noise.
inline std::string RandomPiece(Random& random) {
  static const std::vector<std::string> pieces = {
      "fix_" "aB3dE6gH", "fix_" "aB3dE6g", " fix_" "12345678 ", "fix_" "123456789", "tai_" "abc12", "tai_" "abc_",
      "tai_" "a1b2c3d4e5f", "head=", "heaD=quoted", "head='", "   head=spaces in it", "secret", "SECRET = ",
      "passw_x:\"", "Password= '" "hunter2\"", "den", "denabc", "denzzzzzzzzzzzzzzzzzzzzzzzz", "gre", "y!", "great y! y!",
      "laz", "y1", "y12", "lazy y12", "aba", "ababa", "abababab", "id:1234", "no=12345", "acme", "KEY", "u:", "p:",
      "u:p:abc@", "p:zz@", "not", "knot  yes", "not_no", "stra\xc3\x9f" "e", "STRA\xe1\xba\x9e" "E\xe4", "\xc3\x9f", "<<", ">>",
      "<<ab>>", "<<a\nb>>", "last:", "last:abc", "open\n", "open\nab\ncd\nshut", "shut", "--BEG ", "KEY--\n",
      "--BEG RSAKEY--\n0123abcd\n--END", "--END", "--BEG KEY", "note:", "NOTE=it #x", "#", "\n", "\n", "\n", "\n\n",
      "\r\n", " ", "\t", ";", "\"", "'", std::string(1, '\0'), "\x1b", "line of plain text\n", "abc", "0", "Z", "zorg", "ZorgApi", "zorg_api_", "ZORG-API", "xzorg", "zorgon", "zk-012abc",
      "zk-012abcd", "0a1b2c3d4e", " q9w8e7r6t ", "d41Xz8f00B2x04e98Pq0wZ", "moop", "moop_key", "moop_key=A1B2C-12", "moopToken: \"", "MOOP token", "BigMoop", "A1B2C-12",
      "A1B2C-1234", ": ", "=", "/",
      // base64 of "xx fix_aB3dE6gH; secret = 'abcdef'\n", and hexadecimal digits of "tai_abc12 and zorg: zk-012abc"
      "eHggZml4X2FCM2RFNmdIOyBzZWNyZXQgPSAnYWJjZGVmJwo=", "7461695f616263313220616e64207a6f72673a207a6b2d303132616263"};
  static const std::vector<std::string> encoded = EncodedPieces();
  const uint32_t choice = Below(random, 100);
  if (choice < 6) return encoded[Below(random, static_cast<uint32_t>(encoded.size()))];
  if (choice < 80) return pieces[Below(random, static_cast<uint32_t>(pieces.size()))];
  if (choice < 90) return std::string(1 + Below(random, 12), static_cast<char>('a' + Below(random, 3)));
  if (choice < 92) return std::string(Below(random, 3) == 0 ? 5000 : 80, static_cast<char>('x' + Below(random, 3)));
  std::string noise(1 + Below(random, 6), ' ');
  for (char& c : noise) c = static_cast<char>(random());
  return noise;
}

inline std::string RandomText(Random& random, uint32_t pieces) {
  std::string text;
  for (uint32_t i = 0; i < pieces; ++i) text += RandomPiece(random);
  return text;
}

// A text made of copies of a base and of new bytes, as a delta describes it.
struct EditedText {
  std::string content;
  std::vector<CopyRun> copies;  // merged, ascending

  void AddNew(std::string_view bytes) { content += bytes; }
  void AddCopy(std::string_view base, uint64_t base_offset, uint64_t length) {
    if (length == 0) return;
    CopyRun* last = copies.empty() ? nullptr : &copies.back();
    if (last != nullptr && last->offset + last->length == content.size() &&
        last->base_offset + last->length == base_offset) {
      last->length += length;
    } else {
      copies.push_back({.base_offset = base_offset, .offset = content.size(), .length = length});
    }
    content += base.substr(base_offset, length);
  }
};

// Random edits of `base`: keeps, drops, repeats and moves stretches, cut at lines or anywhere, with new
// text between them.
inline EditedText RandomEdit(Random& random, std::string_view base) {
  EditedText edited;
  const auto cut = [&](uint64_t at) {
    if (Below(random, 2) == 0) return at;
    const size_t newline = base.find('\n', at);
    return newline == std::string_view::npos ? uint64_t{base.size()} : uint64_t{newline} + 1;
  };
  const auto size = static_cast<uint32_t>(base.size());
  uint64_t at = Below(random, 3) == 0 ? cut(Below(random, size + 1)) : 0;
  for (uint32_t left = Below(random, 9); left > 0; --left) {
    switch (Below(random, 4)) {
      case 0:
        edited.AddNew(RandomText(random, 1 + Below(random, 6)));
        break;
      case 1:
        at = cut(Below(random, size + 1));  // skip forward, or go back and repeat
        break;
      default: {
        const uint64_t end = cut(at + Below(random, static_cast<uint32_t>(size - at) + 1));
        edited.AddCopy(base, at, end - at);
        at = end;
      }
    }
  }
  if (Below(random, 3) != 0) edited.AddCopy(base, at, base.size() - at);
  return edited;
}

}  // namespace unsprawl
