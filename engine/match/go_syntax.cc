#include "engine/match/go_syntax.h"

#include <re2/re2.h>

#include <algorithm>
#include <bitset>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <vector>

#include "engine/base/utf8.h"
#include "engine/match/regex_syntax.h"

namespace unsprawl {
namespace {

// Of one atom: what takes more is read as bytes. The blocks of accented letters have 128.
constexpr size_t kMostCharacters = 256;
constexpr uint32_t kFirstBeyondAscii = 0x80, kFirstFar = 0x40000;
// RE2 of 2022 takes the bytes that the alternatives at its beginning have in common for characters of UTF-8, and looks
// for the wrong ones, unless something stands before them.
constexpr std::string_view kGuard = "(?:)";
constexpr std::string_view kNothing = "[^\\s\\S]";
constexpr std::string_view kSpaces = "\t\n\f\r ";  // \s

bool IsBeyondAscii(char byte) { return static_cast<unsigned char>(byte) >= kFirstBeyondAscii; }

size_t CharacterLength(std::string_view text, size_t pos) {
  size_t end = pos + 1;
  while (end < text.size() && (text[end] & 0xc0) == 0x80) ++end;
  return end - pos;
}

void AppendRange(uint32_t first, uint32_t end, std::string* out) {
  for (uint32_t c = first; c < end; ++c) AppendUtf8(c, out);
}

// Characters beyond ASCII, one behind the other: those of the planes that Unicode has begun, 1 MB; and the rest, which
// few expressions name, 3.4 MB. Made when they are needed for the first time.
const std::string& BegunPlanes() {
  static const std::string* const characters = [] {
    auto* all = new std::string;
    AppendRange(kFirstBeyondAscii, 0xd800, all);
    AppendRange(0xe000, kFirstFar, all);  // Surrogates are no characters.
    AppendRange(0xe0000, 0xe1000, all);
    return all;
  }();
  return *characters;
}
const std::string& FarPlanes() {
  static const std::string* const characters = [] {
    auto* all = new std::string;
    AppendRange(kFirstFar, 0xe0000, all);
    AppendRange(0xe1000, 0x110000, all);
    return all;
  }();
  return *characters;
}

// What the escape stands for; the first character beyond ASCII for \p, which may have some; 0 for other groups.
uint32_t ValueOf(std::string_view escape) {
  if (escape.size() < 2) return 0;
  if (escape[1] == 'p' || escape[1] == 'P') return kFirstBeyondAscii;
  const bool hexadecimal = escape[1] == 'x';
  if (!hexadecimal && (escape[1] < '0' || escape[1] > '7')) return 0;
  const std::string digits(escape.substr(!hexadecimal ? 1 : escape.substr(2, 1) == "{" ? 3 : 2));
  return static_cast<uint32_t>(std::min(std::strtoul(digits.c_str(), nullptr, hexadecimal ? 16 : 8), 0xfffffffful));
}

// What an atom names, as a whole or by its members.
struct Names {
  bool beyond_ascii = false;
  bool beyond_bytes = false;  // by an escape, which RE2 refuses in Latin-1
  bool far = false;
};

Names NamesOf(std::string_view atom) {
  Names names;
  for (size_t pos = 0, length = 1; pos < atom.size(); pos += length) {
    length = atom[pos] == '\\' ? EscapeLength(atom, pos) : 1;
    const uint32_t value = length > 1 ? ValueOf(atom.substr(pos, length)) : 0;
    names.beyond_ascii |= value >= kFirstBeyondAscii || IsBeyondAscii(atom[pos]);
    names.beyond_bytes |= value > 0xff;
    names.far |= value >= kFirstFar || static_cast<unsigned char>(atom[pos]) > 0xf0;
  }
  return names;
}

// The class with the characters themselves in place of escapes for such as are beyond ASCII.
std::string WithoutEscapes(std::string_view atom) {
  std::string plain;
  for (size_t pos = 0, length = 1; pos < atom.size(); pos += length) {
    length = atom[pos] == '\\' ? EscapeLength(atom, pos) : 1;
    const std::string_view member = atom.substr(pos, length);
    if (length > 1 && !IsGroupEscape(member) && ValueOf(member) >= kFirstBeyondAscii) {
      AppendUtf8(ValueOf(member), &plain);
    } else {
      plain += member;
    }
  }
  return plain;
}

// What an atom takes.
struct Characters {
  std::bitset<256> ascii;
  std::vector<std::string> beyond;
  bool too_many = false;
};

// As RE2 itself answers; nullopt: RE2 refuses the atom.
std::optional<Characters> CharactersOf(const std::string& atom, bool ignore_case, bool far) {
  RE2::Options options;
  options.set_log_errors(false);
  const RE2 re((ignore_case ? "(?i)" : "") + atom, options);
  if (!re.ok()) return std::nullopt;
  Characters characters;
  for (uint32_t byte = 0; byte < kFirstBeyondAscii; ++byte) {
    const char c = static_cast<char>(byte);
    characters.ascii[byte] = RE2::FullMatch(re2::StringPiece(&c, 1), re);
  }
  const auto add = [&](re2::StringPiece all) {
    re2::StringPiece found;
    for (size_t at = 0; !characters.too_many && re.Match(all, at, all.size(), RE2::UNANCHORED, &found, 1);) {
      characters.too_many = characters.beyond.size() == kMostCharacters;
      characters.beyond.emplace_back(found);
      at = static_cast<size_t>(found.end() - all.begin());
    }
  };
  add(BegunPlanes());
  if (far) add(FarPlanes());
  return characters;
}

// A class that takes these bytes. A newline that the author did not name stays unnamed (HsPattern::names_newline).
std::string AsciiClass(std::bitset<256> ascii, const std::string& atom) {
  std::string written;
  const bool spaces = std::all_of(kSpaces.begin(), kSpaces.end(), [&](char c) { return ascii[static_cast<size_t>(c)]; });
  const std::string named = atom[0] == '[' && atom[1] != '^' ? OnlyNamedMembers(atom) : "";
  if (spaces && !(!named.empty() && RE2::FullMatch("\n", RE2(named, RE2::Quiet)))) {
    for (const char c : kSpaces) ascii.reset(static_cast<size_t>(c));
    written = "\\s";
  }
  if (ascii.none()) return written;
  if (!written.empty()) written += '|';
  AppendSet(ascii, &written);
  return written;
}

class Rewriter {
 public:
  explicit Rewriter(std::string_view text) : text_(text) {}

  // nullopt: syntax that is not known here.
  std::optional<std::string> Run() {
    while (pos_ < text_.size()) {
      if (!Step()) return std::nullopt;
    }
    return std::move(out_);
  }

 private:
  bool Step() {
    switch (text_[pos_]) {
      case '\\':
        if (text_.substr(pos_, 2) == "\\Q") return Quoted();
        return Atom(EscapeLength(text_, pos_));
      case '[': {
        const size_t length = ClassLength(text_, pos_);
        return length > 0 && Atom(length);
      }
      case '(': return OpenGroup();
      case ')':
        if (outer_.empty()) return false;
        flags_ = outer_.back();
        outer_.pop_back();
        return Copy(1);
      default: return Atom(CharacterLength(text_, pos_));
    }
  }

  bool Copy(size_t length) {
    out_.append(text_.substr(pos_, length));
    pos_ += length;
    return true;
  }

  bool Atom(size_t length) {
    const std::string atom(text_.substr(pos_, length));
    pos_ += length;
    Write(atom, pos_ < text_.size() && std::string_view("*+?{").find(text_[pos_]) != std::string_view::npos);
    return true;
  }

  void Write(const std::string& atom, bool repeated) {
    const Names names = NamesOf(atom);
    const bool stands_together = IsBeyondAscii(atom[0]) && !repeated && !flags_.ignore_case;
    if (!names.beyond_ascii || stands_together) {
      out_ += atom;
      return;
    }
    const auto characters = CharactersOf(atom, flags_.ignore_case, names.far);
    if (!characters || characters->too_many) {
      out_ += characters && names.beyond_bytes ? WithoutEscapes(atom) : atom;
      return;
    }
    std::string choices = AsciiClass(characters->ascii, atom);
    for (const std::string& character : characters->beyond) {
      if (!choices.empty()) choices += '|';
      choices += character;
    }
    if (choices.empty()) choices = kNothing;
    out_ += "(?-i:" + choices + ")";
  }

  // \Q…\E: what is in it is written out where it goes beyond ASCII.
  bool Quoted() {
    const size_t end = std::min(text_.find("\\E", pos_), text_.size());
    const std::string_view quoted = text_.substr(pos_, end - pos_);
    const size_t length = std::min(end + 2, text_.size()) - pos_;
    if (std::none_of(quoted.begin(), quoted.end(), IsBeyondAscii)) return Copy(length);
    for (size_t at = 2, size = 0; at < quoted.size(); at += size) {
      size = CharacterLength(quoted, at);
      const std::string character(quoted.substr(at, size));
      Write(IsBeyondAscii(character[0]) ? character : RE2::QuoteMeta(character), /*repeated=*/at + size == quoted.size());
    }
    pos_ += length;
    return true;
  }

  bool OpenGroup() {
    const std::string_view head = text_.substr(pos_, 4);
    if (head.size() == 4 && head.substr(0, 3) == "(?<" && head[3] != '=' && head[3] != '!') {
      outer_.push_back(flags_);
      out_ += "(?P<";
      pos_ += 3;
      return true;
    }
    const auto group = ReadGroupHead(text_, pos_, flags_);
    if (!group) return false;
    if (group->opens) outer_.push_back(flags_);
    flags_ = group->flags;
    return Copy(group->length);
  }

  const std::string_view text_;
  size_t pos_ = 0;
  std::string out_;
  RegexFlags flags_;
  std::vector<RegexFlags> outer_;
};

}  // namespace

std::string FromGoSyntax(std::string_view expression) {
  std::string ours = Rewriter(expression).Run().value_or(std::string(expression));
  const bool repeat = !ours.empty() && (std::string_view("*+?").find(ours[0]) != std::string_view::npos ||
                                        (ours[0] == '{' && RepeatLength(ours, 0) > 0));
  if (repeat || ours.starts_with(kGuard) || std::none_of(ours.begin(), ours.end(), IsBeyondAscii)) return ours;
  return std::string(kGuard) + ours;
}

}  // namespace unsprawl
