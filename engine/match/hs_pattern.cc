#include "engine/match/hs_pattern.h"

#include <re2/re2.h>

#include <cctype>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_format.h"

namespace unsprawl {
namespace {

bool IsLetter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool IsAsciiAlnum(int c) {
  return (c >= '0' && c <= '9') || (c < 128 && IsLetter(static_cast<char>(c)));
}
bool IsOctal(char c) { return c >= '0' && c <= '7'; }

void AppendByte(int byte, std::string* out) {
  if (IsAsciiAlnum(byte)) {
    out->push_back(static_cast<char>(byte));
  } else {
    out->append(absl::StrFormat("\\x%02x", byte));
  }
}

void AppendSet(const std::bitset<256>& set, std::string* out) {
  if (set.none()) {
    out->append("[^\\x00-\\xff]");
    return;
  }
  std::string ranges;
  for (int low = 0; low < 256; ++low) {
    if (!set[low]) continue;
    int high = low;
    while (high < 255 && set[high + 1]) ++high;
    AppendByte(low, &ranges);
    if (high > low + 1) ranges.push_back('-');
    if (high > low) AppendByte(high, &ranges);
    low = high;
  }
  if (set.count() == 1) {
    out->append(ranges);
  } else {
    out->append("[").append(ranges).append("]");
  }
}

// The length of the POSIX class ("[:alpha:]") that starts at `pos`, or 0.
size_t PosixClassLength(std::string_view text, size_t pos) {
  if (text.substr(pos, 2) != "[:") return 0;
  const size_t end = text.find(":]", pos + 2);
  return end == std::string_view::npos ? 0 : end + 2 - pos;
}

// The length of the escape that starts at `pos` (text[pos] is the backslash).
size_t EscapeLength(std::string_view text, size_t pos) {
  if (pos + 1 >= text.size()) return 1;
  const char c = text[pos + 1];
  if (c == 'x' || c == 'p' || c == 'P') {
    if (text.substr(pos + 2, 1) == "{") {
      const size_t end = text.find('}', pos);
      return end == std::string_view::npos ? text.size() - pos : end + 1 - pos;
    }
    return c == 'x' ? 4 : 3;
  }
  if (!IsOctal(c)) return 2;
  size_t length = 2;
  while (length < 4 && pos + length < text.size() && IsOctal(text[pos + length])) ++length;
  return length;
}

// True for an escape that stands for a group of bytes: a newline among them was not named.
bool IsGroupEscape(std::string_view escape) {
  return escape.size() >= 2 && std::string_view("dDwWsSpP").find(escape[1]) != std::string_view::npos;
}

// The class without its groups: "[\s\n;]" becomes "[\n;]"; empty if nothing is left.
std::string OnlyNamedMembers(std::string_view text) {
  std::string named;
  for (size_t pos = 1; pos + 1 < text.size();) {
    size_t length = 1;
    bool group = false;
    if (const size_t posix = PosixClassLength(text, pos); posix > 0) {
      length = posix, group = true;
    } else if (text[pos] == '\\') {
      length = EscapeLength(text, pos);
      group = IsGroupEscape(text.substr(pos, length));
    }
    if (!group) named.append(text.substr(pos, length));
    pos += length;
  }
  return named.empty() ? named : "[" + named + "]";
}

class Translator {
 public:
  Translator(std::string_view text, bool lines, ByteSets& sets)
      : text_(text), lines_(lines), sets_(sets) {}

  absl::StatusOr<HsPattern> Run() {
    while (pos_ < text_.size()) {
      if (!Step()) {
        return absl::InvalidArgumentError(
            absl::StrFormat("cannot rewrite for Hyperscan, at byte %d: %s", pos_, text_));
      }
    }
    return std::move(pattern_);
  }

 private:
  struct Flags {
    bool ignore_case = false, multi_line = false, dot_newline = false;
  };

  bool Step() {
    switch (text_[pos_]) {
      case '\\': return Escape();
      case '[': return Class();
      case '(': return Group();
      case ')': return CloseGroup();
      case '.': return Dot();
      case '^': return Anchor("^", "\\A");
      case '$': return Anchor("$", "\\z");
      case '|': return Copy(1);
      case '*':
      case '+':
      case '?': return Copy(1) && SkipLazyMark();
      case '{':
        if (const size_t length = RepeatLength(); length > 0) return Copy(length) && SkipLazyMark();
        return Literal(text_[pos_++]);
      default: return Literal(text_[pos_++]);
    }
  }

  bool Copy(size_t length) {
    Out().append(text_.substr(pos_, length));
    pos_ += length;
    return true;
  }

  // Hyperscan reports every end anyway.
  bool SkipLazyMark() {
    if (pos_ < text_.size() && text_[pos_] == '?') ++pos_;
    return true;
  }

  // {n}, {n,} or {n,m}; anything else after a brace is a literal brace.
  size_t RepeatLength() const {
    size_t end = pos_ + 1;
    const auto digits = [&] {
      const size_t from = end;
      while (end < text_.size() && std::isdigit(static_cast<unsigned char>(text_[end]))) ++end;
      return end > from;
    };
    if (!digits()) return 0;
    if (end < text_.size() && text_[end] == ',') {
      ++end;
      digits();
    }
    return end < text_.size() && text_[end] == '}' ? end + 1 - pos_ : 0;
  }

  bool Literal(char c) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '\n') pattern_.names_newline = true;
    std::bitset<256> set;
    set.set(byte);
    if (flags_.ignore_case && IsLetter(c)) {
      set.set(byte ^ 0x20);
    } else if (flags_.ignore_case && byte >= 128) {
      set = sets_.Of(absl::StrFormat("\\x%02x", byte), true);
    }
    return Emit(set);
  }

  bool Emit(std::bitset<256> set) {
    if (lines_) set.reset('\n');
    AppendSet(set, &Out());
    return true;
  }

  bool Dot() {
    ++pos_;
    std::bitset<256> set;
    set.set();
    if (flags_.dot_newline) {
      pattern_.names_newline = true;
    } else {
      set.reset('\n');
    }
    return Emit(set);
  }

  bool Anchor(const char* line, const char* text) {
    ++pos_;
    (flags_.multi_line ? pattern_.line_anchors : pattern_.text_anchors) = true;
    Out().append(flags_.multi_line ? line : text);
    return true;
  }

  bool Escape() {
    if (pos_ + 1 >= text_.size()) return false;
    const char c = text_[pos_ + 1];
    if (c == 'Q') return Quoted();
    if (c == 'b' || c == 'B') return Copy(2);
    if (c == 'A' || c == 'z') {
      pattern_.text_anchors = true;
      return Copy(2);
    }
    if (c == 'C') {
      pos_ += 2;
      pattern_.names_newline = true;
      return Emit(std::bitset<256>().set());
    }
    const std::string atom(text_.substr(pos_, EscapeLength(text_, pos_)));
    pos_ += atom.size();
    const std::bitset<256>& set = sets_.Of(atom, flags_.ignore_case);
    if (set['\n'] && !IsGroupEscape(atom)) pattern_.names_newline = true;
    return Emit(set);
  }

  bool Quoted() {
    pos_ += 2;
    while (pos_ < text_.size() && text_.substr(pos_, 2) != "\\E") Literal(text_[pos_++]);
    if (pos_ < text_.size()) pos_ += 2;
    return true;
  }

  bool Class() {
    size_t end = pos_ + 1;
    const bool negated = end < text_.size() && text_[end] == '^';
    if (negated) ++end;
    if (end < text_.size() && text_[end] == ']') ++end;  // A first bracket is a member.
    while (end < text_.size() && text_[end] != ']') {
      const size_t posix = PosixClassLength(text_, end);
      end += posix > 0 ? posix : text_[end] == '\\' ? EscapeLength(text_, end) : 1;
    }
    if (end >= text_.size()) return false;
    const std::string atom(text_.substr(pos_, end + 1 - pos_));
    pos_ = end + 1;
    const std::bitset<256> set = sets_.Of(atom, flags_.ignore_case);
    if (set.all() || (!negated && NamesNewline(atom))) pattern_.names_newline = true;
    return Emit(set);
  }

  bool NamesNewline(const std::string& atom) {
    const std::string named = OnlyNamedMembers(atom);
    return !named.empty() && sets_.Of(named, false)['\n'];
  }

  bool Group() {
    if (text_.substr(pos_, 2) != "(?") {
      ++pos_;
      return OpenGroup(flags_);
    }
    if (text_.substr(pos_, 4) == "(?P<") {
      const size_t end = text_.find('>', pos_);
      if (end == std::string_view::npos) return false;
      pos_ = end + 1;
      return OpenGroup(flags_);
    }
    Flags flags = flags_;
    bool value = true;
    for (pos_ += 2; pos_ < text_.size(); ++pos_) {
      switch (text_[pos_]) {
        case '-': value = false; break;
        case 'i': flags.ignore_case = value; break;
        case 'm': flags.multi_line = value; break;
        case 's': flags.dot_newline = value; break;
        case 'U': break;  // greediness only
        case ':': ++pos_; return OpenGroup(flags);
        case ')': ++pos_; flags_ = flags; return true;
        default: return false;
      }
    }
    return false;
  }

  bool OpenGroup(Flags flags) {
    outer_.push_back(flags_);
    flags_ = flags;
    Out().append("(?:");
    return true;
  }

  bool CloseGroup() {
    if (outer_.empty()) return false;
    flags_ = outer_.back();
    outer_.pop_back();
    return Copy(1);
  }

  std::string& Out() { return pattern_.expression; }

  const std::string_view text_;
  const bool lines_;
  ByteSets& sets_;
  size_t pos_ = 0;
  Flags flags_;
  std::vector<Flags> outer_;
  HsPattern pattern_;
};

}  // namespace

const std::bitset<256>& ByteSets::Of(const std::string& atom, bool ignore_case) {
  const std::string regex = (ignore_case ? "(?i)" : "") + atom;
  const auto [found, is_new] = known_.try_emplace(regex);
  if (!is_new) return found->second;
  RE2::Options options(RE2::Latin1);
  options.set_log_errors(false);
  const RE2 re(regex, options);
  if (!re.ok()) return found->second;
  for (int byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    found->second[byte] = RE2::FullMatch(re2::StringPiece(&c, 1), re);
  }
  return found->second;
}

absl::StatusOr<HsPattern> TranslateForHyperscan(std::string_view regex, bool lines, ByteSets& sets) {
  return Translator(regex, lines, sets).Run();
}

}  // namespace unsprawl
