#include "coordinator/report/json_writer.h"

#include <array>
#include <charconv>
#include <cmath>

#include "absl/strings/str_format.h"
#include "engine/base/escape.h"
#include "engine/base/object_id.h"

namespace unsprawl {
namespace {

// Appends a \u escape, as a surrogate pair above U+FFFF.
void AppendUnicodeEscape(uint32_t value, std::string* out) {
  if (value > 0xFFFF) {
    value -= 0x10000;
    absl::StrAppendFormat(out, "\\u%04x\\u%04x", 0xD800 + (value >> 10), 0xDC00 + (value & 0x3FF));
  } else {
    absl::StrAppendFormat(out, "\\u%04x", value);
  }
}

void AppendCodePoint(CodePoint point, std::string_view bytes, std::string* out) {
  if (!point.valid) {
    *out += "\xEF\xBF\xBD";  // U+FFFD
  } else if (point.value == '"' || point.value == '\\') {
    out->push_back('\\');
    out->push_back(static_cast<char>(point.value));
  } else if (point.value == '\n') {
    *out += "\\n";
  } else if (point.value == '\t') {
    *out += "\\t";
  } else if (IsInvisible(point.value)) {
    AppendUnicodeEscape(point.value, out);
  } else {
    out->append(bytes.substr(0, point.bytes));
  }
}

// True for the ASCII that goes into a JSON string as it is.
bool IsPlain(char c) { return c >= 0x20 && c < 0x7F && c != '"' && c != '\\'; }

template <typename Number>
void AppendNumber(Number value, std::string* out) {
  std::array<char, 32> buffer;
  std::to_chars_result end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value);
  out->append(buffer.data(), end.ptr);
}

}  // namespace

void AppendJsonEscaped(std::string_view bytes, std::string* out) {
  while (!bytes.empty()) {
    size_t plain = 0;
    while (plain < bytes.size() && IsPlain(bytes[plain])) ++plain;
    out->append(bytes.substr(0, plain));
    bytes.remove_prefix(plain);
    if (bytes.empty()) return;
    CodePoint point = DecodeFront(bytes);
    AppendCodePoint(point, bytes, out);
    bytes.remove_prefix(point.bytes);
  }
}

void JsonWriter::Separate() {
  if (!first_) out_->push_back(',');
  if (indented_ && depth_ > 0) {
    out_->push_back('\n');
    out_->append(2 * static_cast<size_t>(depth_), ' ');
  }
  first_ = false;
}

void JsonWriter::Close(char bracket) {
  --depth_;
  if (indented_ && !first_) {
    out_->push_back('\n');
    out_->append(2 * static_cast<size_t>(depth_), ' ');
  }
  out_->push_back(bracket);
  first_ = false;
}

void JsonWriter::Quoted(std::string_view value) {
  out_->push_back('"');
  AppendJsonEscaped(value, out_);
  out_->push_back('"');
}

void JsonWriter::Key(std::string_view key) {
  Separate();
  out_->push_back('"');
  out_->append(key);
  out_->append(indented_ ? "\": " : "\":");
}

void JsonWriter::String(std::string_view key, std::string_view value) { Key(key), Quoted(value); }

void JsonWriter::Unsigned(std::string_view key, uint64_t value) {
  Key(key), AppendNumber(value, out_);
}

void JsonWriter::Signed(std::string_view key, int64_t value) {
  Key(key), AppendNumber(value, out_);
}

void JsonWriter::Bool(std::string_view key, bool value) {
  Key(key);
  *out_ += value ? "true" : "false";
}

void JsonWriter::Null(std::string_view key) {
  Key(key);
  *out_ += "null";
}

void JsonWriter::Decimal(std::string_view key, double value, int digits) {
  Key(key);
  if (!std::isfinite(value)) value = 0;  // JSON has no word for it, and a scanner may say anything.
  std::string text = absl::StrFormat("%.*f", digits, value);
  if (digits > 0) {
    text.erase(text.find_last_not_of('0') + 1);
    if (text.back() == '.') text.pop_back();
  }
  *out_ += text;
}

void JsonWriter::Bytes(std::string_view key, std::string_view value) {
  String(key, value);
  if (IsValidUtf8(value)) return;
  std::string hex_key(key);
  hex_key += "_hex";
  String(hex_key, ToHex(value));
}

void JsonWriter::Time(std::string_view key, int64_t seconds) {
  std::string text = FormatUtc(seconds);
  if (text.empty()) return Null(key);
  String(key, text);
}

void JsonWriter::StringElement(std::string_view value) { Separate(), Quoted(value); }

}  // namespace unsprawl
