#include "engine/git/config_file.h"

#include <algorithm>
#include <cctype>

#include "absl/strings/str_format.h"
#include "engine/base/status.h"

namespace unsprawl {
namespace {

char Lower(char c) { return static_cast<char>(std::tolower(static_cast<unsigned char>(c))); }
bool IsSpace(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f'; }
bool IsKeyChar(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-'; }

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {
    if (text_.substr(0, 3) == "\xef\xbb\xbf") at_ = 3;
  }

  absl::StatusOr<std::vector<ConfigEntry>> Parse() {
    for (SkipBlank(); at_ < text_.size(); SkipBlank()) {
      if (text_[at_] == '#' || text_[at_] == ';') {
        SkipLine();
      } else if (text_[at_] == '[') {
        RETURN_IF_ERROR(ReadSection());
      } else {
        RETURN_IF_ERROR(ReadEntry());
      }
    }
    return std::move(entries_);
  }

 private:
  absl::Status Bad(std::string_view what) const {
    const auto line = 1 + std::count(text_.begin(), text_.begin() + static_cast<ptrdiff_t>(
                                                        std::min(at_, text_.size())), '\n');
    return absl::DataLossError(absl::StrFormat("line %d: %s", line, what));
  }

  // The next byte, or '\n' at the end of the text, so that every loop over a line ends.
  char Peek() const { return at_ < text_.size() ? text_[at_] : '\n'; }

  void SkipBlank() {
    while (at_ < text_.size() && (IsSpace(text_[at_]) || text_[at_] == '\n')) ++at_;
  }
  void SkipLine() {
    while (Peek() != '\n') ++at_;
  }

  absl::Status ReadSection() {
    ++at_;
    section_.clear();
    while (IsKeyChar(Peek()) || Peek() == '.') section_ += Lower(text_[at_++]);
    while (IsSpace(Peek())) ++at_;
    if (Peek() == '"') {
      section_ += '.';
      for (++at_; Peek() != '"'; ++at_) {
        if (Peek() == '\\') ++at_;
        if (Peek() == '\n') return Bad("a subsection without its closing quote");
        section_ += text_[at_];
      }
      ++at_;
    }
    if (section_.empty() || Peek() != ']') return Bad("a section header that does not end in ]");
    ++at_;
    return absl::OkStatus();
  }

  absl::Status ReadEntry() {
    if (section_.empty()) return Bad("a key before the first section");
    if (!std::isalpha(static_cast<unsigned char>(Peek()))) return Bad("not a key");
    ConfigEntry entry{.name = section_ + '.', .value = "true"};
    while (IsKeyChar(Peek())) entry.name += Lower(text_[at_++]);
    while (IsSpace(Peek())) ++at_;
    if (Peek() == '=') {
      ++at_;
      ASSIGN_OR_RETURN(entry.value, ReadValue());
    } else if (Peek() != '\n' && Peek() != '#' && Peek() != ';') {
      return Bad("a key that is followed by neither = nor the end of its line");
    }
    entries_.push_back(std::move(entry));
    return absl::OkStatus();
  }

  absl::StatusOr<std::string> ReadValue() {
    while (IsSpace(Peek())) ++at_;
    std::string value;
    size_t trimmed = 0;  // length without trailing blanks outside quotes
    bool quoted = false;
    for (; Peek() != '\n'; ++at_) {
      const char c = text_[at_];
      if (!quoted && (c == '#' || c == ';')) {
        SkipLine();
        break;
      }
      if (c == '"') {
        quoted = !quoted;
        trimmed = value.size();
        continue;
      }
      if (c == '\\') {
        ++at_;
        RETURN_IF_ERROR(AppendEscaped(value));
      } else if (c != '\r' || (at_ + 1 < text_.size() && text_[at_ + 1] != '\n')) {
        value += c;
      }
      if (quoted || !IsSpace(c)) trimmed = value.size();
    }
    if (quoted) return Bad("a value without its closing quote");
    value.resize(trimmed);
    return value;
  }

  // `at_` is on the byte after the backslash, and stays on the last byte consumed.
  absl::Status AppendEscaped(std::string& value) {
    if (at_ + 1 < text_.size() && text_[at_] == '\r' && text_[at_ + 1] == '\n') ++at_;
    if (at_ >= text_.size()) return Bad("a backslash at the end of the file");
    switch (text_[at_]) {
      case '\n': return absl::OkStatus();  // the value goes on in the next line
      case 'n': value += '\n'; break;
      case 't': value += '\t'; break;
      case 'b': value += '\b'; break;
      case '\\':
      case '"': value += text_[at_]; break;
      default: return Bad("an unknown escape in a value");
    }
    return absl::OkStatus();
  }

  const std::string_view text_;
  size_t at_ = 0;
  std::string section_;
  std::vector<ConfigEntry> entries_;
};

}  // namespace

absl::StatusOr<std::vector<ConfigEntry>> ParseConfig(std::string_view text) {
  return Parser(text).Parse();
}

bool ConfigIsTrue(std::string_view value) {
  std::string lower(value);
  std::transform(lower.begin(), lower.end(), lower.begin(), Lower);
  if (lower == "true" || lower == "yes" || lower == "on") return true;
  return !lower.empty() && lower.find_first_not_of("-+0123456789kmg") == std::string::npos &&
         lower.find_first_of("123456789") != std::string::npos;
}

}  // namespace unsprawl
