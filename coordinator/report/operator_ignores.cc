#include "coordinator/report/operator_ignores.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "absl/strings/str_format.h"
#include "engine/base/object_id.h"
#include "engine/base/secret.h"
#include "engine/base/status.h"
#include "engine/history/ignore_file.h"
#include "engine/judge/examine.h"

namespace unsprawl {
namespace {

using nlohmann::json;

constexpr size_t kSecretIdDigits = 2 * sizeof(SecretId::bytes);

std::string PlaceKey(std::string_view path, uint32_t line) {
  std::string key(path);
  key += '\0';
  return key += std::to_string(line);
}

absl::StatusOr<std::string> ReadWhole(const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  if (!in) return absl::NotFoundError(absl::StrFormat("%s: cannot be read", file));
  std::string text;
  char buffer[1 << 16];
  while (in.read(buffer, sizeof(buffer)) || in.gcount() > 0) text.append(buffer, static_cast<size_t>(in.gcount()));
  if (in.bad()) return absl::NotFoundError(absl::StrFormat("%s: cannot be read", file));  // a folder
  return text;
}

size_t LineAt(std::string_view text, size_t byte) {
  const std::string_view before = text.substr(0, std::min(byte, text.size()));
  return 1 + static_cast<size_t>(std::count(before.begin(), before.end(), '\n'));
}

// What the parser says of what it read is not passed on: it may be a secret.
absl::StatusOr<json> ParseJson(const std::string& file, std::string_view text, size_t first_line) {
  size_t byte = 0;
  try {
    return json::parse(text.begin(), text.end());
  } catch (const json::parse_error& error) {  // The library's own: it tells positions in no other way.
    byte = error.byte == 0 ? 0 : error.byte - 1;
  } catch (const json::exception&) {  // a number that is too large
  }
  const size_t line = first_line - 1 + LineAt(text, byte);
  return absl::InvalidArgumentError(
      absl::StrFormat("%s:%d: is no JSON: wanted is a JSON report of gitleaks, or incidents.jsonl", file, line));
}

// Nullopt: it has no such member, or of another type.
std::optional<std::string> TextOf(const json& object, const char* name) {
  const auto member = object.find(name);
  if (member == object.end() || !member->is_string()) return std::nullopt;
  return member->get<std::string>();
}

// gitleaks --redact: all of it, or (--redact=60) what is behind its beginning.
bool IsRedacted(std::string_view secret) {
  return secret == "REDACTED" || secret.find("...") != std::string_view::npos ||
         secret.find_first_not_of('*') == std::string_view::npos;
}

}  // namespace

void NamedFindings::Add(std::string_view path, uint32_t line, Row row) {
  rows_[PlaceKey(path, line)].push_back(std::move(row));
}

const NamedFindings::Row* NamedFindings::Find(const v1::Occurrence& occurrence, const Rule& rule) const {
  if (rows_.empty()) return nullptr;
  for (const std::string& path : occurrence.paths()) {
    const auto rows = rows_.find(PlaceKey(path, occurrence.match().start_line()));
    if (rows == rows_.end()) continue;
    for (const Row& row : rows->second) {
      if (!row.rule.empty() && row.rule != rule.id) continue;
      if (row.commit.empty() || row.commit == occurrence.commit().id()) return &row;
    }
  }
  return nullptr;
}

// Reads one file after the other.
class OperatorIgnores::Loader {
 public:
  Loader(const Ruleset& ruleset, const KeyRing& keys) : ruleset_(ruleset), keys_(keys) {}

  absl::Status AddIgnoreFile(const std::string& file) {
    ASSIGN_OR_RETURN(const std::string text, ReadWhole(file));
    const IgnoreFile parsed = ParseIgnoreFile(text, std::numeric_limits<size_t>::max());
    if (parsed.bad_line > 0) {
      return absl::InvalidArgumentError(
          absl::StrFormat("%s:%d: neither path:rule-id:line nor commit:path:rule-id:line", file, parsed.bad_line));
    }
    for (const IgnoreEntry& entry : parsed.entries) {
      const std::string rule(entry.rule);
      if (ruleset_.FindById(rule) == nullptr) {
        ++ignores_.unknown_rules_;
      } else {
        ignores_.ignored_.Add(entry.path, entry.line,
                              {.rule = rule, .commit = entry.commit ? std::string(entry.commit->raw()) : ""});
      }
    }
    return absl::OkStatus();
  }

  absl::Status AddBaseline(std::string file) {
    std::error_code error;
    if (std::filesystem::is_directory(file, error)) file = std::filesystem::path(file) / "incidents.jsonl";
    ASSIGN_OR_RETURN(const std::string text, ReadWhole(file));
    const size_t start = text.find_first_not_of(" \t\r\n");
    return start != std::string::npos && text[start] == '[' ? AddGitleaks(file, text) : AddIncidents(file, text);
  }

  OperatorIgnores Take() { return std::move(ignores_); }

 private:
  absl::Status AddIncidents(const std::string& file, std::string_view text) {
    for (size_t line = 1; !text.empty(); ++line) {
      const size_t end = std::min(text.find('\n'), text.size());
      const std::string_view row = text.substr(0, end);
      text.remove_prefix(std::min(end + 1, text.size()));
      if (row.find_first_not_of(" \t\r") == std::string_view::npos) continue;
      ASSIGN_OR_RETURN(const json incident, ParseJson(file, row, line));
      const std::optional<std::string> id = incident.is_object() ? TextOf(incident, "id") : std::nullopt;
      const std::optional<std::string> raw = id ? RawId(*id) : std::nullopt;
      if (!raw) {
        return absl::InvalidArgumentError(absl::StrFormat(
            "%s:%d: neither a row of incidents.jsonl nor a report of gitleaks (an array of findings)", file, line));
      }
      ignores_.incidents_.insert(*raw);
    }
    return absl::OkStatus();
  }

  static std::optional<std::string> RawId(std::string_view digits) {
    std::string raw;
    if (digits.size() != kSecretIdDigits) return std::nullopt;
    for (size_t i = 0; i < digits.size(); i += 2) {
      uint8_t byte = 0;
      const auto [end, error] = std::from_chars(digits.data() + i, digits.data() + i + 2, byte, 16);
      if (error != std::errc() || end != digits.data() + i + 2) return std::nullopt;
      raw += static_cast<char>(byte);
    }
    return raw;
  }

  absl::Status AddGitleaks(const std::string& file, std::string_view text) {
    ASSIGN_OR_RETURN(const json report, ParseJson(file, text, 1));
    for (size_t i = 0; i < report.size(); ++i) {
      const char* const wrong = AddFinding(report[i]);
      if (wrong != nullptr) {
        return absl::InvalidArgumentError(
            absl::StrFormat("%s: finding %d of the array has no %s as gitleaks writes it", file, i + 1, wrong));
      }
    }
    return absl::OkStatus();
  }

  // Returns what it lacks; null: nothing.
  const char* AddFinding(const json& finding) {
    if (!finding.is_object()) return "members";
    const std::optional<std::string> rule_id = TextOf(finding, "RuleID"), path = TextOf(finding, "File");
    if (!rule_id) return "RuleID";
    if (!path) return "File";
    const Rule* const rule = ruleset_.FindById(*rule_id);
    const std::optional<std::string> secret = TextOf(finding, "Secret");
    if (secret && !IsRedacted(*secret)) {
      AddValue(rule, *secret, *path);
      return nullptr;
    }
    const auto line = finding.find("StartLine");
    if (line == finding.end() || !line->is_number_unsigned() || line->get<uint64_t>() > UINT32_MAX) return "StartLine";
    const std::string commit = TextOf(finding, "Commit").value_or("");
    const std::optional<ObjectId> id = ObjectId::FromHex(commit);
    if (!id && !commit.empty()) return "Commit";
    ignores_.baseline_.Add(*path, line->get<uint32_t>(),
                           {.rule = rule != nullptr ? rule->id : "", .commit = id ? std::string(id->raw()) : ""});
    return nullptr;
  }

  void AddValue(const Rule* rule, std::string_view secret, const std::string& path) {
    const std::string value = NormaliseValue(rule != nullptr ? *rule : Rule(), secret);
    const auto add = [&](const SecretKey& key) {
      ignores_.values_.insert(std::string(Fingerprint(key, SecretView(value)).raw()) + path);
    };
    add(keys_.current);
    for (const SecretKey& key : keys_.previous) add(key);
  }

  const Ruleset& ruleset_;
  const KeyRing& keys_;
  OperatorIgnores ignores_;
};

absl::StatusOr<OperatorIgnores> OperatorIgnores::Load(const IgnoreFiles& files, const Ruleset& ruleset, const KeyRing& keys) {
  Loader loader(ruleset, keys);
  for (const std::string& file : files.ignore_files) RETURN_IF_ERROR(loader.AddIgnoreFile(file));
  for (const std::string& file : files.baselines) RETURN_IF_ERROR(loader.AddBaseline(file));
  return loader.Take();
}

bool OperatorIgnores::IsInBaseline(const v1::Occurrence& occurrence, const Rule& rule) const {
  if (!values_.empty()) {
    for (const std::string& path : occurrence.paths()) {
      if (values_.contains(occurrence.secret() + path)) return true;
    }
  }
  return baseline_.Find(occurrence, rule) != nullptr;
}

}  // namespace unsprawl
