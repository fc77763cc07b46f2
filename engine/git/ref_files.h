// Reads refs as files: packed-refs and the loose ones (git: Documentation/gitrepository-layout, "refs",
// "packed-refs"; gitglossary "symref"; git-check-ref-format for names).
//
// libgit2 1.5 needs 121 ms for its iterator over 100,000 packed refs and 750 ms over as many loose ones.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/git/repository.h"

namespace unsprawl {

// Where a ref leads: to an object, or by name to another ref.
struct RefValue {
  std::string symbolic;  // name of the ref it stands for; empty: it holds `target`
  ObjectId target;
};

// All refs of a repository, symbolic ones not yet resolved. Not thread-safe.
class RefFiles {
 public:
  // Reads the loose refs, then packed-refs (in this order nothing is missed while git packs them).
  // Of a linked worktree, refs/bisect, refs/rewritten and refs/worktree are its own, all else is shared.
  // DataLoss: a packed-refs file that is no such file. Unavailable, PermissionDenied: unreadable.
  static absl::StatusOr<RefFiles> Read(const RepositoryPaths& paths);

  // The object that `name` leads to, through at most five symbolic refs, and the last ref's name.
  struct Resolved {
    enum Kind { kObject, kDangling, kBroken } kind = kBroken;
    std::string name;
    ObjectId target;
  };
  Resolved Resolve(const RefValue& value, std::string_view name) const;

  // Appends all refs sorted by name, without refs/replace, and the names that cannot be resolved.
  // A symbolic ref to a ref that does not exist is neither: git passes over it too, and nothing is lost.
  void List(std::vector<Ref>& refs, std::vector<std::string>& broken) const;

 private:
  struct Entry {
    std::string name;
    RefValue value;
  };

  absl::Status ReadLooseFolder(const std::filesystem::path& dir, const std::string& prefix, int depth);
  void ReadLooseFile(int folder, const char* file, std::string name);
  void ReadSymlink(int folder, const char* file, std::string name);
  absl::Status ReadPacked(const std::filesystem::path& file);
  void Sort();
  const Entry* Find(std::string_view name) const;

  std::vector<Entry> entries_;  // sorted by name, once each
  std::vector<std::string> broken_;
};

// The value in the file of a loose ref or of HEAD; nullopt: neither "ref: <name>" nor 40 digits.
std::optional<RefValue> ParseRefValue(std::string_view content);

// Whether git would make a ref of this name ("refs/…" only).
bool IsRefName(std::string_view name);

}  // namespace unsprawl
