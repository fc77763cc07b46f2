#include "coordinator/run_config.h"

#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_format.h"
#include "engine/base/status.h"
#include "engine/base/toml.h"

namespace unsprawl {
namespace {

namespace fs = std::filesystem;

// Reads one table: each key has a reader, and a key without one is an error.
class Reader {
 public:
  Reader(const std::string& file, const toml::table& table) : file_(file), table_(table) {}

  Reader& Text(const char* key, std::string* value) {
    return On(key, [=, this](const toml::node& node) -> absl::Status {
      if (!node.is_string()) return Wrong(node, key, "a string");
      *value = **node.as_string();
      return absl::OkStatus();
    });
  }
  Reader& Path(const char* key, std::string* value) {
    return On(key, [=, this](const toml::node& node) -> absl::Status {
      if (!node.is_string()) return Wrong(node, key, "a path");
      ASSIGN_OR_RETURN(*value, Resolved(node, **node.as_string()));
      return absl::OkStatus();
    });
  }
  Reader& Path(const char* key, fs::path* value) {
    return On(key, [=, this](const toml::node& node) -> absl::Status {
      if (!node.is_string()) return Wrong(node, key, "a path");
      ASSIGN_OR_RETURN(*value, Resolved(node, **node.as_string()));
      return absl::OkStatus();
    });
  }
  Reader& Texts(const char* key, const std::function<absl::Status(const toml::node&, std::string)>& add) {
    return On(key, [=, this](const toml::node& node) -> absl::Status {
      const toml::array* list = node.as_array();
      if (list == nullptr) return Wrong(node, key, "a list of strings");
      for (const toml::node& entry : *list) {
        if (!entry.is_string()) return Wrong(entry, key, "a list of strings");
        RETURN_IF_ERROR(add(entry, **entry.as_string()));
      }
      return absl::OkStatus();
    });
  }
  Reader& Texts(const char* key, std::vector<std::string>* values) {
    return Texts(key, [=](const toml::node&, std::string text) {
      values->push_back(std::move(text));
      return absl::OkStatus();
    });
  }
  Reader& Texts(const char* key, std::set<std::string>* values) {
    return Texts(key, [=](const toml::node&, std::string text) {
      values->insert(std::move(text));
      return absl::OkStatus();
    });
  }
  Reader& Paths(const char* key, std::vector<std::string>* values) {
    return Texts(key, [=, this](const toml::node& node, const std::string& text) -> absl::Status {
      ASSIGN_OR_RETURN(std::string path, Resolved(node, text));
      values->push_back(std::move(path));
      return absl::OkStatus();
    });
  }
  Reader& Flag(const char* key, bool* value) {
    return On(key, [=, this](const toml::node& node) -> absl::Status {
      if (!node.is_boolean()) return Wrong(node, key, "true or false");
      *value = **node.as_boolean();
      return absl::OkStatus();
    });
  }
  template <typename T>
  Reader& Number(const char* key, T* value, int64_t least, int64_t most) {
    return On(key, [=, this](const toml::node& node) -> absl::Status {
      const auto* number = node.as_integer();
      if (number == nullptr || **number < least || **number > most) {
        return Wrong(node, key, absl::StrFormat("a number from %d to %d", least, most).c_str());
      }
      *value = static_cast<T>(**number);
      return absl::OkStatus();
    });
  }
  Reader& Fraction(const char* key, double* value) {
    return On(key, [=, this](const toml::node& node) -> absl::Status {
      const std::optional<double> number = node.value<double>();
      if (!number || !(*number >= 0 && *number <= 1)) return Wrong(node, key, "a number from 0 to 1");
      *value = *number;
      return absl::OkStatus();
    });
  }
  // "500GB", "64MiB", or a number of bytes.
  Reader& Size(const char* key, const std::function<void(uint64_t)>& set, uint64_t least = 0,
               uint64_t most = UINT64_MAX) {
    return On(key, [=, this](const toml::node& node) -> absl::Status {
      const std::optional<uint64_t> bytes = Bytes(node);
      if (!bytes) return Wrong(node, key, "a size (\"500GB\", \"64MiB\")");
      if (*bytes < least || *bytes > most) {
        return Wrong(node, key, absl::StrFormat("from %d to %d bytes", least, most).c_str());
      }
      set(*bytes);
      return absl::OkStatus();
    });
  }
  template <typename T>
  Reader& Choice(const char* key, const std::map<std::string, T>& choices, const std::function<void(T)>& set) {
    return On(key, [=, this](const toml::node& node) -> absl::Status {
      const auto found = choices.find(node.value_or(std::string()));
      if (found == choices.end()) {
        std::string names;
        for (const auto& [name, ignored] : choices) names += (names.empty() ? "" : ", ") + name;
        return Wrong(node, key, ("one of " + names).c_str());
      }
      set(found->second);
      return absl::OkStatus();
    });
  }
  Reader& Day(const char* key, int64_t* seconds) {
    return On(key, [=, this](const toml::node& node) -> absl::Status {
      const absl::StatusOr<int64_t> begin = SecondsAtDay(node.value_or(std::string()));
      if (!begin.ok()) return Wrong(node, key, "a day (\"2025-01-31\")");
      *seconds = *begin;
      return absl::OkStatus();
    });
  }
  Reader& Skip(const char* key) {
    return On(key, [](const toml::node&) { return absl::OkStatus(); });
  }

  absl::Status Read() const {
    for (const auto& [key, node] : table_) {
      const auto reader = readers_.find(key.str());
      if (reader == readers_.end()) {
        return absl::InvalidArgumentError(
            absl::StrFormat("%s:%d: unknown key %s", file_, node.source().begin.line, std::string(key.str())));
      }
      RETURN_IF_ERROR(reader->second(node));
    }
    return absl::OkStatus();
  }

 private:
  Reader& On(const char* key, std::function<absl::Status(const toml::node&)> reader) {
    readers_[key] = std::move(reader);
    return *this;
  }
  absl::Status Wrong(const toml::node& node, const char* key, const char* wanted) const {
    return absl::InvalidArgumentError(
        absl::StrFormat("%s:%d: %s must be %s", file_, node.source().begin.line, key, wanted));
  }

  absl::StatusOr<std::string> Resolved(const toml::node& node, const std::string& text) const {
    std::string path;
    for (size_t i = 0; i < text.size();) {
      const size_t end = text.compare(i, 2, "${") == 0 ? text.find('}', i) : std::string::npos;
      if (end == std::string::npos) {
        path += text[i++];
        continue;
      }
      const std::string name = text.substr(i + 2, end - i - 2);
      const char* value = std::getenv(name.c_str());
      if (value == nullptr) {
        return absl::InvalidArgumentError(
            absl::StrFormat("%s:%d: the variable %s is not set", file_, node.source().begin.line, name));
      }
      path += value;
      i = end + 1;
    }
    if (path.empty() || path[0] == '/' || path == ":memory:") return path;
    return (fs::path(file_).parent_path() / path).native();
  }

  static std::optional<uint64_t> Bytes(const toml::node& node) {
    if (const auto* number = node.as_integer()) {
      return **number < 0 ? std::nullopt : std::optional<uint64_t>(static_cast<uint64_t>(**number));
    }
    const std::string text = node.value_or(std::string());
    uint64_t count = 0;
    const char* end = text.data() + text.size();
    const auto [rest, error] = std::from_chars(text.data(), end, count);
    if (error != std::errc()) return std::nullopt;
    static const std::map<std::string, uint64_t> kUnits = {
        {"", 1},           {"B", 1},          {"kB", 1000},      {"KB", 1000},       {"MB", 1'000'000},
        {"GB", 1'000'000'000}, {"TB", 1'000'000'000'000}, {"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30},
        {"TiB", uint64_t{1} << 40}};
    const auto unit = kUnits.find(std::string(rest, end));
    if (unit == kUnits.end() || count > UINT64_MAX / unit->second) return std::nullopt;
    return count * unit->second;
  }

  const std::string& file_;
  const toml::table& table_;
  std::map<std::string, std::function<absl::Status(const toml::node&)>, std::less<>> readers_;
};

absl::Status ReadScope(const std::string& file, const toml::table& table, TargetGroup* group) {
  ForgeOptions& forge = group->forge;
  Selection& selection = forge.selection;
  RETURN_IF_ERROR(Reader(file, table)
                      .Texts("targets", &group->targets)
                      .Path("targets_from", &group->targets_from)
                      .Path("policy", &group->policy)
                      .Text("api_url", &forge.api_url)
                      .Paths("token_files", &forge.token_files)
                      .Text("app_id", &forge.app_id)
                      .Path("app_key_file", &forge.app_key_file)
                      .Texts("include_repos", &selection.include)
                      .Texts("exclude_repos", &selection.exclude)
                      .Flag("forks", &selection.forks)
                      .Flag("archived", &selection.archived)
                      .Texts("visibility",
                             [&](const toml::node& node, std::string name) -> absl::Status {
                               if (name != "public" && name != "private" && name != "internal") {
                                 return absl::InvalidArgumentError(
                                     absl::StrFormat("%s:%d: visibility is public, private or internal, not %s", file,
                                                     node.source().begin.line, name));
                               }
                               selection.visibilities.insert(std::move(name));
                               return absl::OkStatus();
                             })
                      .Texts("topics", &selection.topics)
                      .Size("max_repo_size", [&](uint64_t bytes) { selection.max_size_kb = bytes / 1024; })
                      .Day("pushed_since", &selection.pushed_since)
                      .Number("wikis", &forge.max_wikis, 0, INT64_MAX)
                      .Number("gists", &forge.max_gists, 0, INT64_MAX)
                      .Read());
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<int64_t> SecondsAtDay(const std::string& day) {
  absl::Time time;
  std::string error;
  if (!absl::ParseTime("%Y-%m-%d", day, &time, &error)) return absl::InvalidArgumentError(error);
  return absl::ToUnixSeconds(time);
}

absl::StatusOr<ScanOptions> LoadRunConfig(const std::string& file, ScanOptions defaults) {
  std::ifstream opened(file);
  if (!opened) return absl::NotFoundError(absl::StrFormat("%s: cannot be read", file));
  const std::string text{std::istreambuf_iterator<char>(opened), {}};
  const toml::parse_result parsed = toml::parse(text);
  if (!parsed) {
    return absl::InvalidArgumentError(absl::StrFormat("%s:%d: %s", file, parsed.error().source().begin.line,
                                                      std::string_view(parsed.error().description())));
  }
  ScanOptions options = std::move(defaults);
  PipelineOptions& pipeline = options.pipeline;
  int audit_days = 7;
  int64_t stall_seconds = absl::ToInt64Seconds(options.network.stall_timeout);
  RETURN_IF_ERROR(
      Reader(file, parsed.table())
          .Path("store", &options.store_dir)
          .Path("output", &options.output_dir)
          .Path("mirrors", &pipeline.mirrors_dir)
          .Path("key_file", &options.key_file)
          .Path("rules", &options.config)
          .Path("ca_file", &options.network.ca_file)
          .Path("client_cert", &options.network.client_cert)
          .Path("client_key", &options.network.client_key)
          .Text("webhook", &options.webhook.url)
          .Path("webhook_secret_file", &options.webhook.secret_file)
          .Size("mirrors_budget", [&](uint64_t bytes) { pipeline.mirrors_budget_bytes = bytes; })
          .Size("max_mirror_size", [&](uint64_t bytes) { pipeline.fetch.max_mirror_bytes = bytes; })
          .Number("stall_timeout", &stall_seconds, 1, 86400)
          .Size("max_object_size", [&](uint64_t bytes) { options.max_object_bytes = bytes; }, uint64_t{1} << 10,
                uint64_t{1} << 31)
          .Size("memory_limit", [&](uint64_t bytes) { options.memory_bytes = bytes; })
          .Number("jobs", &options.threads, 1, 256)
          .Number("fetch_jobs", &options.fetch_jobs, 1, 64)
          .Number("max_pull_requests", &pipeline.fetch.max_pull_requests, 0, INT64_MAX)
          .Number("dropped_commits", &options.max_dropped_commits, 0, INT64_MAX)
          .Number("audit_days", &audit_days, 0, 10000)
          .Choice<bool>("scan_mode", {{"delta", false}, {"full", true}}, [&](bool full) { options.full_mode = full; })
          .Flag("archives", &options.archives)
          .Flag("sandbox", &options.sandbox)
          .Fraction("min_confidence", &options.min_confidence)
          .Paths("ignore_files", &options.ignores.ignore_files)
          .Paths("baselines", &options.ignores.baselines)
          .Flag("trust_repo_ignores", &options.trust_repo_ignores)
          .Choice<FetchBackend>("fetch_backend", {{"git", FetchBackend::kGit}, {"libgit2", FetchBackend::kLibgit2}},
                                [&](FetchBackend backend) { pipeline.fetch.backend = backend; })
          .Choice<int>("fail_on", FailOnNames(), [&](int number) { options.fail_on = FailOnOf(number); })
          .Skip("scope")
          .Read());
  options.audit_every = absl::Hours(24 * audit_days);
  options.network.stall_timeout = absl::Seconds(stall_seconds);
  options.groups.clear();
  const toml::array* scopes = parsed.table()["scope"].as_array();
  if (scopes == nullptr || scopes->empty()) {
    return absl::InvalidArgumentError(absl::StrFormat("%s: no [[scope]]: name what to scan", file));
  }
  for (const toml::node& scope : *scopes) {
    if (!scope.is_table()) return absl::InvalidArgumentError(absl::StrFormat("%s: write [[scope]]", file));
    RETURN_IF_ERROR(ReadScope(file, *scope.as_table(), &options.groups.emplace_back()));
  }
  return options;
}

}  // namespace unsprawl
