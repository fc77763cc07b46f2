// Opening a repository: where its objects are, its refs, HEAD, shallow boundary.
//
// Source: git's Documentation/gitrepository-layout. Only files of the repository itself are read: no
// system or global configuration, no included one, no check of who owns what; nothing here runs a
// hook, a filter or a program named in a configuration. A repository without HEAD is one all the same.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/base/object_id.h"

namespace unsprawl {

struct Ref {
  std::string name;  // raw bytes, as stored: "refs/heads/main"
  ObjectId target;   // not peeled: may name a tag object, or an object that is missing
};

// The directories of a repository, found without parsing anything but three small text files. Used
// before the sandbox is entered, to know what to allow.
struct RepositoryPaths {
  std::filesystem::path git_dir;      // of this worktree ("…/.git/worktrees/x" for a linked one)
  std::filesystem::path common_dir;   // where refs and objects are; == git_dir but for linked worktrees
  std::vector<std::filesystem::path> object_dirs;  // common_dir/objects, then its alternates
};

// Finds the repository at `path`: bare, a worktree with a .git directory, or a linked worktree or
// submodule with a .git file. Does not look in parent directories.
// NotFound: there is none at `path`. DataLoss: a .git file or commondir that cannot be followed.
absl::StatusOr<RepositoryPaths> FindRepository(const std::filesystem::path& path);

// What the refs say, read at one moment.
struct RepositoryState {
  std::vector<Ref> refs;      // sorted by name; all of refs/**, symbolic ones resolved; without HEAD.
                              // refs/replace/* are left out (grafts and replacements are ignored)
  std::string head_ref;       // "refs/heads/main", born or not; empty when detached or broken
  std::string head_target;    // raw 20 bytes of HEAD's object; empty for an unborn or missing HEAD
  bool is_shallow = false;    // "shallow" names a commit
  bool is_partial = false;    // promisor remote configured
  std::vector<ObjectId> shallow;           // boundary commits, sorted
  // Sorted names of refs that cannot be resolved or that no git would make, "HEAD" among them. Not a
  // symbolic ref to a ref that does not exist (git passes over it; nothing is lost).
  std::vector<std::string> broken_refs;
};

// Reads refs and configuration. FailedPrecondition: a SHA-256 repository, or refs in a reftable (not
// supported; says what to do). DataLoss: configuration or refs that make no sense, naming the file.
// PermissionDenied, Unavailable: files that the operating system does not give.
absl::StatusOr<RepositoryState> ReadRepositoryState(const RepositoryPaths& paths);

// SHA-256 over refs, HEAD, shallow: equal digests mean that nothing moved since.
std::string TipsDigest(const RepositoryState& state);

// On disk, of the packs of the repository at `path`; 0 if there are none.
uint64_t PackBytes(const std::filesystem::path& path);

}  // namespace unsprawl
