// Writes JSON (RFC 8259) straight into a string: rows by the million and documents to read.
//
// Not a validator: the caller opens and closes in order. Numbers never depend on the locale. Bytes
// from strangers go in as Bytes(), which keeps them unambiguous when they are not UTF-8.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace unsprawl {

// `bytes` as the inside of a JSON string, appended to `out`: quotes, backslashes and controls escaped,
// each byte of invalid UTF-8 replaced by U+FFFD. U+2028, U+2029, bidi marks and other invisible
// characters are written as \u escapes, so that a row is safe to look at.
void AppendJsonEscaped(std::string_view bytes, std::string* out);

class JsonWriter {
 public:
  enum class Style { kOneLine, kIndented };
  // Appends to `out`, which must outlive this object.
  JsonWriter(Style style, std::string* out) : indented_(style == Style::kIndented), out_(out) {}

  // An object or array: as a member with a key, or without (the top, or an array's element).
  void BeginObject() { Begin('{'); }
  void BeginObject(std::string_view key) { Key(key), Open('{'); }
  void BeginArray(std::string_view key) { Key(key), Open('['); }
  void EndObject() { Close('}'); }
  void EndArray() { Close(']'); }

  // Members. `key` is plain ASCII of ours.
  void String(std::string_view key, std::string_view value);
  void Unsigned(std::string_view key, uint64_t value);
  void Signed(std::string_view key, int64_t value);
  void Bool(std::string_view key, bool value);
  void Null(std::string_view key);
  // `value` with `digits` (0 to 6) digits after the point, trailing zeros left out. Must be finite.
  void Decimal(std::string_view key, double value, int digits);
  // A string of foreign bytes; when they are not valid UTF-8, a member `<key>_hex` with all of them
  // follows.
  void Bytes(std::string_view key, std::string_view value);
  // A time in UTC, or null when it cannot be written as RFC 3339.
  void Time(std::string_view key, int64_t seconds);

  // An element of an array.
  void StringElement(std::string_view value);

 private:
  void Begin(char bracket) { Separate(), Open(bracket); }
  void Open(char bracket) { out_->push_back(bracket), ++depth_, first_ = true; }
  void Close(char bracket);
  void Separate();
  void Key(std::string_view key);
  void Quoted(std::string_view value);

  const bool indented_;
  std::string* const out_;
  int depth_ = 0;
  bool first_ = true;
};

}  // namespace unsprawl
