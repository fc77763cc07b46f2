// The parts of an expression in RE2's syntax, for what rewrites expressions. `pos` is where a part starts.
#pragma once

#include <bitset>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace unsprawl {

// The length of the POSIX class ("[:alpha:]"), or 0.
size_t PosixClassLength(std::string_view text, size_t pos);
// The length of the escape; text[pos] is the backslash. \Q is but two.
size_t EscapeLength(std::string_view text, size_t pos);
// The length of the class; text[pos] is its bracket. 0: it does not end.
size_t ClassLength(std::string_view text, size_t pos);
// The length of {n}, {n,} or {n,m}; 0: the brace is a literal.
size_t RepeatLength(std::string_view text, size_t pos);

// True for an escape that stands for a group of characters: what is among them was not named.
bool IsGroupEscape(std::string_view escape);
// The class without its groups: "[\s\n;]" becomes "[\n;]"; empty if nothing is left.
std::string OnlyNamedMembers(std::string_view text);
// Appends a class, or the one byte, of RE2's and Hyperscan's syntax that takes these bytes.
void AppendSet(const std::bitset<256>& set, std::string* out);

// What is in force where an atom stands.
struct RegexFlags {
  bool ignore_case = false, multi_line = false, dot_newline = false;
};
struct GroupHead {
  size_t length = 0;   // of "(", "(?P<name>", "(?i:", "(?i)"
  bool opens = true;   // false for the last: its flags hold until the group around it ends
  RegexFlags flags;    // after it
};
// Of the group whose parenthesis is at `pos`, where `flags` are in force; nullopt: unknown syntax.
std::optional<GroupHead> ReadGroupHead(std::string_view text, size_t pos, RegexFlags flags);

}  // namespace unsprawl
