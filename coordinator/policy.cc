#include "coordinator/policy.h"

#include <fstream>
#include <iterator>
#include <optional>
#include <string_view>

#include "absl/strings/str_format.h"
#include "coordinator/report/coverage.h"
#include "engine/base/toml.h"

namespace unsprawl {
namespace {

std::optional<v1::SkipReason> ReasonByName(std::string_view name) {
  for (int value = v1::SkipReason_MIN + 1; value <= v1::SkipReason_MAX; ++value) {
    const auto reason = static_cast<v1::SkipReason>(value);
    if (v1::SkipReason_IsValid(value) && Name(reason) == name) return reason;
  }
  return std::nullopt;
}

}  // namespace

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
          "%s:%d: \"%s\" is not a reason for a skip. Known: missing, io, damaged, base-missing, "
          "poison, broken-file, truncated, unobtainable, too-large, submodule, lfs-pointer, not-fetched, archive, "
          "archive-part, git-data",
          file, node.source().begin.line, name));
    }
    policy.accepted.insert(*reason);
  }
  return policy;
}

}  // namespace unsprawl
