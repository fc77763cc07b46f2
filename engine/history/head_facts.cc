#include "engine/history/head_facts.h"

#include <algorithm>
#include <array>

#include "absl/container/flat_hash_map.h"
#include "engine/history/tree_entry.h"

namespace unsprawl {
namespace {

constexpr size_t kMaxFolders = 300'000;
constexpr uint64_t kMaxTreeBytes = 64 << 20;
constexpr size_t kMaxExtensions = 200;
constexpr size_t kMaxExtensionBytes = 16;
constexpr std::string_view kOther = "other";
// In the order in which they win.
constexpr std::array<std::string_view, 4> kCodeownersFolders = {".github", "", "docs", ".gitlab"};

std::string ExtensionOf(std::string_view name) {
  const size_t dot = name.rfind('.');
  if (dot == std::string_view::npos || dot == 0 || dot + 1 == name.size()) return "";
  std::string extension(name.substr(dot + 1));
  if (extension.size() > kMaxExtensionBytes) return std::string(kOther);
  for (char& c : extension) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    const bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '+';
    if (!plain) return std::string(kOther);
  }
  return extension;
}

std::vector<std::pair<std::string, uint64_t>> MostFrequent(
    const absl::flat_hash_map<std::string, uint64_t>& counts) {
  std::vector<std::pair<std::string, uint64_t>> all(counts.begin(), counts.end());
  std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) {
    return a.second != b.second ? a.second > b.second : a.first < b.first;
  });
  uint64_t other = 0;
  std::erase_if(all, [&](const auto& row) {
    if (row.first != kOther) return false;
    other += row.second;
    return true;
  });
  for (size_t i = kMaxExtensions; i < all.size(); ++i) other += all[i].second;
  if (all.size() > kMaxExtensions) all.resize(kMaxExtensions);
  if (other > 0) all.emplace_back(kOther, other);
  std::sort(all.begin(), all.end());
  return all;
}

}  // namespace

HeadFacts ReadHeadFacts(const ObjectStore& store, ObjectNumber root) {
  struct Folder {
    ObjectNumber tree;
    int codeowners_rank;  // in kCodeownersFolders, or -1
    bool is_root;
  };
  HeadFacts facts;
  absl::flat_hash_map<std::string, uint64_t> counts;
  size_t best_rank = kCodeownersFolders.size();
  std::vector<Folder> open = {{root, 1, true}};
  uint64_t bytes = 0;
  for (size_t read = 0; !open.empty() && read < kMaxFolders && bytes < kMaxTreeBytes; ++read) {
    const Folder folder = open.back();
    open.pop_back();
    const absl::StatusOr<std::string> content = store.Read(folder.tree);
    if (!content.ok()) continue;
    bytes += content->size();
    ParsedTreeEntry entry;
    for (size_t at = 0; at < content->size() && ParseTreeEntry(*content, at, entry); at = entry.next) {
      if (entry.IsGitlink()) continue;
      if (!entry.IsFolder()) {
        ++counts[ExtensionOf(entry.name)];
        if (folder.codeowners_rank >= 0 && entry.name == "CODEOWNERS") {
          best_rank = std::min(best_rank, static_cast<size_t>(folder.codeowners_rank));
        }
        if (folder.is_root && entry.name == ".mailmap" &&
            (entry.mode & ParsedTreeEntry::kTypeMask) != ParsedTreeEntry::kSymlink) {
          facts.mailmap = store.Find(ObjectId::FromRaw(entry.id));
        }
        continue;
      }
      const std::optional<ObjectNumber> tree = store.Find(ObjectId::FromRaw(entry.id));
      if (!tree || store.type(*tree) != ObjectType::kTree) continue;
      const auto rank = std::find(kCodeownersFolders.begin(), kCodeownersFolders.end(), entry.name);
      const bool looked_at = folder.is_root && rank != kCodeownersFolders.end() && !entry.name.empty();
      open.push_back({*tree, looked_at ? static_cast<int>(rank - kCodeownersFolders.begin()) : -1, false});
    }
  }
  facts.extensions = MostFrequent(counts);
  if (best_rank < kCodeownersFolders.size()) {
    const std::string_view folder = kCodeownersFolders[best_rank];
    facts.codeowners_path = std::string(folder) + (folder.empty() ? "" : "/") + "CODEOWNERS";
  }
  return facts;
}

}  // namespace unsprawl
