// How a piece of text looks: random, a word, a digest. Pure functions over bytes; thread-safe.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace unsprawl {

// Shannon entropy of the bytes, in bits per byte: 0 for empty text, at most 8.
double Entropy(std::string_view text);

// Whether `text` reads as words, names or identifiers rather than as something drawn at random:
// "correctHorse", "user_name", "Passwort", "max-retries-2". Judged by how common its letter pairs are
// in English text and program sources (kPairs in text_shape.cc). Text with fewer than 3 letters does not.
bool IsWordLike(std::string_view text);

// Whether `text` looks like a password that a person chose: letters with two digits, a digit and a sign, or a digit
// among them, in one piece. It may read as words: "sommer2019", "Tr0ub4dor&3". Names that end with a number
// ("sha256", "user12") do not.
bool IsChosen(std::string_view text);

// Whether the letters of `text`, 8 and more, follow each other as in no words: "bblvafkuy_hlcz".
bool IsDrawn(std::string_view text);

// Whether `text` may be shown as a name: word-like pieces, no long runs of digits, no mix that looks
// drawn. A value must not leave the scanner disguised as the name of its neighbour.
bool IsShowableName(std::string_view text);

// All hexadecimal digits of one case, of a length that a digest has (32, 40, 56, 64, 96, 128).
bool IsDigestShape(std::string_view text);

// 8-4-4-4-12 hexadecimal digits.
bool IsUuidShape(std::string_view text);

// ASCII only; other bytes are kept.
std::string LowerAscii(std::string_view text);

// Whether one of `parts` is in `text`, as it is written.
bool ContainsAny(std::string_view text, std::span<const std::string_view> parts);
bool StartsWithAny(std::string_view text, std::span<const std::string_view> parts);
bool EndsWithAny(std::string_view text, std::span<const std::string_view> parts);

inline bool IsDigit(char c) { return c >= '0' && c <= '9'; }
inline bool IsUpper(char c) { return c >= 'A' && c <= 'Z'; }
inline bool IsLower(char c) { return c >= 'a' && c <= 'z'; }
inline bool IsAlpha(char c) { return IsUpper(c) || IsLower(c); }
inline bool IsAlnum(char c) { return IsAlpha(c) || IsDigit(c); }

}  // namespace unsprawl
