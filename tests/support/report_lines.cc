#include "tests/support/report_lines.h"

#include <algorithm>
#include <iterator>
#include <sstream>

#include "absl/strings/str_format.h"

namespace unsprawl {
namespace {

using nlohmann::json;

std::vector<std::string> Sorted(std::vector<std::string> lines) {
  std::sort(lines.begin(), lines.end());
  return lines;
}

}  // namespace

std::vector<std::string> Places(const Cli& cli, const Names& name) {
  std::vector<std::string> lines;
  for (json row : cli.Rows("occurrences.jsonl")) {
    row["repository"] = name(row["repository"].get<std::string>());
    lines.push_back(row.dump());
  }
  return Sorted(lines);
}

std::vector<std::string> Incidents(const Cli& cli) {
  std::vector<std::string> lines;
  for (const json& row : cli.Rows("incidents.jsonl")) {
    json kept;
    for (const char* field : {"id", "rule", "state", "presence", "repositories", "occurrences", "introductions",
                              "locations", "authors"}) {
      kept[field] = row.at(field);
    }
    lines.push_back(kept.dump());
  }
  return Sorted(lines);
}

std::vector<std::string> Coverage(const Cli& cli, const Names& name) {
  std::vector<std::string> lines;
  const json manifest = cli.Json("manifest.json");
  for (const json& row : manifest["repositories"]) {
    json kept = {{"name", name(row["name"].get<std::string>())}};
    for (const char* field : {"status", "refs", "commits", "blobs", "blobs_scanned", "bytes", "submodules"}) {
      kept[field] = row.at(field);
    }
    lines.push_back(kept.dump());
  }
  return Sorted(lines);
}

std::vector<std::string> Differences(const std::vector<std::string>& a, const std::vector<std::string>& b) {
  std::vector<std::string> lines;
  std::set_symmetric_difference(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(lines));
  return lines;
}

std::string FirstDifference(const std::map<std::string, std::string>& report,
                            const std::map<std::string, std::string>& expected) {
  const auto rows = [](const std::map<std::string, std::string>& files) {
    const auto manifest = files.find("manifest.json");
    return manifest == files.end() ? json() : json::parse(manifest->second, nullptr, false)["repositories"];
  };
  if (const json had = rows(report), wanted = rows(expected); had != wanted) {
    for (size_t i = 0; i < std::min(had.size(), wanted.size()); ++i) {
      if (had[i] != wanted[i]) return absl::StrFormat("%s\ninstead of\n%s", had[i].dump(), wanted[i].dump());
    }
  }
  for (const auto& [name, text] : expected) {
    const auto found = report.find(name);
    if (found == report.end()) return name + " is missing";
    std::istringstream lines(found->second), wanted(text);
    for (std::string line, want; line = want = "", std::getline(lines, line), std::getline(wanted, want);) {
      if (line != want) return absl::StrFormat("%s:\n%s\ninstead of\n%s", name, line, want);
    }
    if (found->second != text) return name + " is longer";
  }
  return report.size() == expected.size() ? "" : "a file too many";
}

}  // namespace unsprawl
