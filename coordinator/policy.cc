#include "coordinator/policy.h"

#define TOML_EXCEPTIONS 0
#define TOML_HEADER_ONLY 1
#include <toml++/toml.h>

#include <algorithm>
#include <cctype>
#include <fstream>
#include <iterator>
#include <optional>
#include <string_view>

#include "absl/strings/str_format.h"

namespace unsprawl {
namespace {

constexpr std::string_view kReasonPrefix = "SKIP_REASON_";

std::optional<v1::SkipReason> ReasonByName(std::string name) {
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  v1::SkipReason reason;
  if (!v1::SkipReason_Parse(std::string(kReasonPrefix) + name, &reason) ||
      reason == v1::SKIP_REASON_UNSPECIFIED) {
    return std::nullopt;
  }
  return reason;
}

}  // namespace

std::string SkipReasonName(v1::SkipReason reason) {
  std::string name = v1::SkipReason_Name(reason).substr(kReasonPrefix.size());
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return name;
}

absl::StatusOr<Policy> LoadPolicy(const std::string& file) {
  std::ifstream opened(file);
  if (!opened) return absl::NotFoundError(absl::StrFormat("%s: cannot be read", file));
  const std::string text{std::istreambuf_iterator<char>(opened), {}};
  const toml::parse_result parsed = toml::parse(text);
  if (!parsed) {
    return absl::InvalidArgumentError(
        absl::StrFormat("%s:%d: %s", file, parsed.error().source().begin.line,
                        std::string_view(parsed.error().description())));
  }
  Policy policy;
  const toml::array* skips = parsed.table()["accept"]["skips"].as_array();
  if (skips == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrFormat("%s: no list `skips` in a table [accept]", file));
  }
  for (const toml::node& node : *skips) {
    const std::string name = node.value_or(std::string());
    const std::optional<v1::SkipReason> reason = ReasonByName(name);
    if (!reason.has_value()) {
      return absl::InvalidArgumentError(absl::StrFormat(
          "%s:%d: \"%s\" is not a reason for a skip. Known: missing, io, damaged, base_missing, "
          "poison, broken_file, too_large, submodule, lfs_pointer",
          file, node.source().begin.line, name));
    }
    policy.accepted.insert(*reason);
  }
  return policy;
}

}  // namespace unsprawl
