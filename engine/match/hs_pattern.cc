#include "engine/match/hs_pattern.h"

#include <re2/re2.h>

#include <tuple>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_format.h"
#include "engine/match/regex_syntax.h"

namespace unsprawl {
namespace {

bool IsLetter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

class Translator {
 public:
  Translator(std::string_view text, bool lines, ByteSets& sets, bool loose)
      : text_(text), lines_(lines), loose_(loose), sets_(sets) {}

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
      case '?': return Repeat(1);
      case '{':
        if (const size_t length = RepeatLength(text_, pos_); length > 0) return Repeat(length);
        return Literal(text_[pos_++]);
      default: return Literal(text_[pos_++]);
    }
  }

  bool Copy(size_t length) {
    Out().append(text_.substr(pos_, length));
    pos_ += length;
    return true;
  }

  bool Repeat(size_t length) {
    // Between two repeats of one thing there may be flags, which leave nothing here: a+(?i)* is (?:a+)*.
    if (Out().size() == repeated_end_) Out().insert(last_, "(?:").push_back(')');
    const std::string_view repeat = text_.substr(pos_, length);
    const bool never = repeat == "{0}" || repeat == "{0,0}";
    Out().append(loose_ && never ? "?" : repeat);
    repeated_end_ = Out().size();
    pos_ += length;
    if (pos_ < text_.size() && text_[pos_] == '?') ++pos_;  // Lazy: Hyperscan reports every end anyway.
    return true;
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
    if (loose_ && set.none()) set.set();
    last_ = Out().size();
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
    return Assert(flags_.multi_line ? line : text);
  }

  bool Assert(std::string_view assertion) {
    last_ = Out().size();
    Out().append(loose_ ? "(?:)" : assertion);
    return true;
  }

  bool Escape() {
    if (pos_ + 1 >= text_.size()) return false;
    const char c = text_[pos_ + 1];
    if (c == 'Q') return Quoted();
    if (c == 'b' || c == 'B' || c == 'A' || c == 'z') {
      pattern_.text_anchors |= c == 'A' || c == 'z';
      pos_ += 2;
      return Assert(text_.substr(pos_ - 2, 2));
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
    const size_t length = ClassLength(text_, pos_);
    if (length == 0) return false;
    const std::string atom(text_.substr(pos_, length));
    pos_ += length;
    const std::bitset<256> set = sets_.Of(atom, flags_.ignore_case);
    if (set.all() || (atom[1] != '^' && NamesNewline(atom))) pattern_.names_newline = true;
    return Emit(set);
  }

  bool NamesNewline(const std::string& atom) {
    const std::string named = OnlyNamedMembers(atom);
    return !named.empty() && sets_.Of(named, false)['\n'];
  }

  bool Group() {
    const auto head = ReadGroupHead(text_, pos_, flags_);
    if (!head) return false;
    pos_ += head->length;
    if (head->opens) {
      outer_.emplace_back(flags_, Out().size());
      Out().append("(?:");
    }
    flags_ = head->flags;
    return true;
  }

  bool CloseGroup() {
    if (outer_.empty()) return false;
    std::tie(flags_, last_) = outer_.back();
    outer_.pop_back();
    return Copy(1);
  }

  std::string& Out() { return pattern_.expression; }

  const std::string_view text_;
  const bool lines_, loose_;
  ByteSets& sets_;
  size_t pos_ = 0;
  RegexFlags flags_;
  std::vector<std::pair<RegexFlags, size_t>> outer_;  // of each group that is open: flags around it, where it begins
  size_t last_ = 0;                                   // where what a repeat is of begins
  size_t repeated_end_ = std::string::npos;           // where the last repeat ends
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

absl::StatusOr<HsPattern> TranslateForHyperscan(std::string_view regex, bool lines, ByteSets& sets, bool loose) {
  return Translator(regex, lines, sets, loose).Run();
}

}  // namespace unsprawl
