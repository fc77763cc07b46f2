#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <span>
#include <utility>
#include <vector>

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
    const std::string_view text(file.text, file.bytes), name = file.name;
    ASSIGN_OR_RETURN(RuleDocument document, name.ends_with(".tsv") ? ParseServiceTable(text, name)
                                                                   : ParseRuleDocument(text, name));
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

// Reads `path` and all that it extends, each before what it extends.
absl::Status ReadFile(const std::filesystem::path& path, std::vector<RuleFile>* files) {
  ASSIGN_OR_RETURN(std::string text, ReadRuleFile(path));
  files->push_back({path.string(), std::move(text)});
  ASSIGN_OR_RETURN(const RuleDocument document, ParseRuleDocument(files->back().text, path.string()));
  if ((document.extend_default || !document.extend_path.empty()) && files->size() > kMaxExtendDepth) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "%s: extend: goes more than %d files deep; put the rules together", path.string(), kMaxExtendDepth));
  }
  if (document.extend_path.empty()) return absl::OkStatus();
  // gitleaks resolves it against the working folder; ours against the file, which is where it is
  // found in practice and does not depend on where one stands.
  return ReadFile(path.parent_path() / document.extend_path, files);
}

// Adds the first of `files`, and before it all that it extends.
absl::Status AddFiles(std::span<const RuleFile> files, RulesetBuilder* builder) {
  ASSIGN_OR_RETURN(RuleDocument document, ParseRuleDocument(files[0].text, files[0].origin));
  if (document.extend_default) RETURN_IF_ERROR(AddBuiltin(builder));
  if (!document.extend_path.empty()) {
    if (files.size() == 1) {
      return absl::InvalidArgumentError(absl::StrFormat("%s: what it extends is not here", files[0].origin));
    }
    RETURN_IF_ERROR(AddFiles(files.subspan(1), builder));
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

absl::StatusOr<std::vector<RuleFile>> Ruleset::ReadFiles(const std::string& file) {
  std::vector<RuleFile> files;
  RETURN_IF_ERROR(ReadFile(file, &files));
  return files;
}

absl::StatusOr<Ruleset> Ruleset::FromFiles(std::span<const RuleFile> files) {
  if (files.empty()) return absl::InvalidArgumentError("no rule files");
  RulesetBuilder builder;
  RETURN_IF_ERROR(AddFiles(files, &builder));
  return std::move(builder).Finish(/*compile_regexes=*/true);
}

absl::StatusOr<Ruleset> Ruleset::Load(const std::string& file) {
  ASSIGN_OR_RETURN(const std::vector<RuleFile> files, ReadFiles(file));
  return FromFiles(files);
}

}  // namespace unsprawl
