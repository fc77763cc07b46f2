// Keyword rules: a service is named in a line, and near its name stands a value of a known shape.
//
// One law for all of them, so that hundreds of services cost one automaton of names and one search for
// values: where a name stands, the first value after it in its line is taken, else the last one before
// it, else the first one in the next lines under a word that asks for a credential. Where several names
// claim one value, the best claim has it (Claim).
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/match/value_pattern.h"

namespace unsprawl {

// How far a value may be from its name, bytes: what a Claim depends on lies within these.
inline constexpr uint64_t kNamedAfterBytes = 160;   // in the line of the name
inline constexpr uint64_t kNamedBeforeBytes = 120;  // in the line of the name
inline constexpr uint64_t kNamedBelowBytes = 200;   // in the lines after it
inline constexpr int kNamedBelowLines = 3;

// The expression (RE2, one line) that finds any of `names`: lower-case words between single spaces,
// which stand for every way to join them (abstract_api, AbstractApi, abstract-api). A name that ends
// with '+' counts only before a word such as key, token or api (box_api_key, BoxToken).
// InvalidArgument: a name that is empty, too short (docs/rules.md) or has other bytes.
absl::StatusOr<std::string> NamesExpression(const std::vector<std::string>& names);

// Whether text[start, end), which the expression matched, is a name and not a part of another word.
bool StandsAlone(std::string_view text, uint64_t start, uint64_t end);

// Whether `text` has a word that asks for a credential: key, token, secret, auth, pass ...
bool AsksForCredential(std::string_view text);

// What a keyword rule looks for beside its names. Immutable, thread-safe.
struct NamedTarget {
  std::vector<ValuePattern> values;
  std::vector<std::string> kind;  // words of Rule::kind, lower-case
};

// A value found beside a name.
struct NamedValue {
  // Of several claims on the same bytes the greatest has them.
  struct Claim {
    bool documented = false;   // the value has the shape that the provider documents
    bool same_line = false;
    int64_t nearness = 0;      // minus the bytes between value and the word with the name in it
    uint64_t name_bytes = 0;   // the longer name says more: "azure openai" and "openai"
    int64_t kind = 0;          // words of the rule's kind that stand there, less those that do not
    auto operator<=>(const Claim&) const = default;
  };
  uint64_t start = 0, end = 0;   // of the value
  // From the word with the name in it to the value, or the other way round.
  uint64_t match_start = 0, match_end = 0;
  Claim claim;
};

// The value that the name at content[name_start, name_end) stands beside. Depends on nothing but the
// bytes around it (the constants above). *work grows by the bytes that were compared: some hundreds as a rule, but a
// stranger may write a text that costs many thousands for each name.
std::optional<NamedValue> FindNamedValue(std::string_view content, uint64_t name_start, uint64_t name_end,
                                         const NamedTarget& target, uint64_t* work);

// Whether all of `value` has one of the documented shapes.
bool HasDocumentedShape(std::string_view value, const std::vector<ValuePattern>& patterns);

}  // namespace unsprawl
