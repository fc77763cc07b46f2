#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "absl/strings/str_format.h"
#include "engine/base/status.h"
#include "engine/match/builtin_rules.h"
#include "engine/match/ruleset.h"
#include "engine/match/ruleset_builder.h"
#include "engine/match/ruleset_document.h"

namespace unsprawl {
namespace {

constexpr int kMaxExtendDepth = 2;             // as gitleaks
constexpr uintmax_t kMaxFileBytes = 16 << 20;  // a rule file is text that people wrote

absl::Status AddBuiltin(RulesetBuilder* builder) {
  for (size_t i = 0; i < kBuiltinRuleFileCount; ++i) {
    const BuiltinRuleFile& file = kBuiltinRuleFiles[i];
    ASSIGN_OR_RETURN(RuleDocument document,
                     ParseRuleDocument(std::string_view(file.text, file.bytes), file.name));
    RETURN_IF_ERROR(builder->Add(std::move(document)));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> ReadRuleFile(const std::filesystem::path& path) {
  std::error_code error;
  const uintmax_t bytes = std::filesystem::file_size(path, error);
  if (error == std::errc::no_such_file_or_directory) {
    return absl::NotFoundError(absl::StrFormat("%s: there is no such rule file", path.string()));
  }
  if (error) {
    return absl::InvalidArgumentError(
        absl::StrFormat("%s: not a readable rule file: %s", path.string(), error.message()));
  }
  if (bytes > kMaxFileBytes) {
    return absl::InvalidArgumentError(absl::StrFormat("%s: is %d bytes long; a rule file has at most %d",
                                                      path.string(), bytes, kMaxFileBytes));
  }
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    return absl::PermissionDeniedError(
        absl::StrFormat("%s: cannot be read: %s", path.string(), std::strerror(errno)));
  }
  return std::string(std::istreambuf_iterator<char>(file), {});
}

// Adds `path` and first all that it extends.
absl::Status AddFile(const std::filesystem::path& path, int depth, RulesetBuilder* builder) {
  ASSIGN_OR_RETURN(const std::string text, ReadRuleFile(path));
  ASSIGN_OR_RETURN(RuleDocument document, ParseRuleDocument(text, path.string()));
  if ((document.extend_default || !document.extend_path.empty()) && depth >= kMaxExtendDepth) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "%s: extend: goes more than %d files deep; put the rules together", path.string(), kMaxExtendDepth));
  }
  if (document.extend_default) RETURN_IF_ERROR(AddBuiltin(builder));
  if (!document.extend_path.empty()) {
    // gitleaks resolves it against the working folder; ours against the file, which is where it is
    // found in practice and does not depend on where one stands.
    const std::filesystem::path base = path.parent_path() / document.extend_path;
    RETURN_IF_ERROR(AddFile(base, depth + 1, builder));
  }
  return builder->Add(std::move(document));
}

}  // namespace

absl::StatusOr<Ruleset> Ruleset::Parse(std::string_view toml, std::string_view origin) {
  ASSIGN_OR_RETURN(RuleDocument document, ParseRuleDocument(toml, origin));
  if (!document.extend_path.empty()) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "%s: extend: path: only a rule file on disk can extend another; use useDefault or a file", origin));
  }
  RulesetBuilder builder;
  if (document.extend_default) RETURN_IF_ERROR(AddBuiltin(&builder));
  RETURN_IF_ERROR(builder.Add(std::move(document)));
  return std::move(builder).Finish(/*compile_regexes=*/true);
}

absl::StatusOr<Ruleset> Ruleset::Builtin() {
  RulesetBuilder builder;
  RETURN_IF_ERROR(AddBuiltin(&builder));
  return std::move(builder).Finish(/*compile_regexes=*/false);
}

absl::StatusOr<Ruleset> Ruleset::Load(const std::string& file) {
  RulesetBuilder builder;
  RETURN_IF_ERROR(AddFile(file, 0, &builder));
  return std::move(builder).Finish(/*compile_regexes=*/true);
}

}  // namespace unsprawl
