// Repositories for tests, made by the real git.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace unsprawl {

// A folder of its own under the system's temporary folder, removed with everything in it at the end.
class TempDir {
 public:
  TempDir();
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

// Runs a command without a shell in `dir`; returns its output. Fails the test on a non-zero exit.
std::string Run(const std::filesystem::path& dir, const std::vector<std::string>& command,
                std::string_view stdin_bytes = "");

// A fresh worktree repository with a fixed identity and clock: the same calls make the same ids.
class GitRepo {
 public:
  // `path` must not exist yet, or be an empty folder.
  explicit GitRepo(std::filesystem::path path, const std::vector<std::string>& init_options = {});

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path objects() const { return path_ / ".git" / "objects"; }

  // Runs git in the repository; returns its output without the last newline.
  std::string Git(const std::vector<std::string>& arguments, std::string_view stdin_bytes = "");
  void Write(const std::string& file, std::string_view content);  // makes folders as needed
  void Remove(const std::string& file);
  // Commits everything in the worktree, one minute after the last commit; returns its id.
  std::string Commit(const std::string& message = "a commit");

 private:
  std::filesystem::path path_;
  int commits_ = 0;
};

}  // namespace unsprawl
