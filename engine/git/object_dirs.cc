#include "engine/git/object_dirs.h"

#include <algorithm>
#include <string>
#include <system_error>

#include "absl/strings/str_format.h"
#include "engine/git/small_file.h"

namespace unsprawl {
namespace {

constexpr int kMaxDepth = 5;        // as git
constexpr size_t kMaxDirs = 255;    // LooseObjects counts them in a byte
constexpr size_t kMaxLines = 4096;  // of one file
constexpr uint64_t kMaxFileBytes = 1 << 20;

// Whether `dir` looks as git makes it: what lies in it becomes readable to a scanner, so an alternate must
// not name just anything.
bool IsObjectDir(const std::filesystem::path& dir) {
  std::error_code ignored;
  return dir.native().find('\0') == std::string::npos && dir.has_relative_path() &&
         (std::filesystem::is_directory(dir / "pack", ignored) ||
          std::filesystem::is_directory(dir / "info", ignored));
}

bool IsOctal(char c) { return c >= '0' && c <= '7'; }

// What the letter after a backslash stands for.
char Unescape(char letter) {
  switch (letter) {
    case 'a': return '\a';
    case 'b': return '\b';
    case 'f': return '\f';
    case 'n': return '\n';
    case 'r': return '\r';
    case 't': return '\t';
    case 'v': return '\v';
    default: return letter;
  }
}

void Follow(const std::filesystem::path& dir, int depth, std::vector<std::filesystem::path>* dirs,
            std::vector<std::filesystem::path>* seen, std::vector<std::string>* problems) {
  const std::filesystem::path file = dir / "info" / "alternates";
  const absl::StatusOr<std::string> text = ReadSmallFile(file, kMaxFileBytes);
  if (absl::IsNotFound(text.status())) return;
  if (!text.ok()) {
    problems->emplace_back(text.status().message());
    return;
  }
  size_t count = 0;
  for (size_t at = 0; at < text->size();) {
    const size_t end = std::min(text->find('\n', at), text->size());
    const std::filesystem::path named = ParseAlternate(text->substr(at, end - at));
    at = end + 1;
    if (named.empty()) continue;
    if (++count > kMaxLines) {
      problems->push_back(absl::StrFormat("%s: has more than %d lines", file.string(), kMaxLines));
      return;
    }
    std::error_code error;
    const std::filesystem::path target = std::filesystem::canonical(dir / named, error);
    if (error || !IsObjectDir(target)) {
      problems->push_back(absl::StrFormat("%s: names %s, which is no directory of objects", file.string(),
                                          named.string()));
      continue;
    }
    if (std::find(seen->begin(), seen->end(), target) != seen->end()) continue;
    if (depth == kMaxDepth || dirs->size() == kMaxDirs) {
      problems->push_back(absl::StrFormat("%s: alternates are followed to a depth of %d and a number "
                                          "of %d; %s is not read", file.string(), kMaxDepth, kMaxDirs,
                                          named.string()));
      continue;
    }
    seen->push_back(target);
    dirs->push_back(target);
    Follow(target, depth + 1, dirs, seen, problems);
  }
}

}  // namespace

std::string ParseAlternate(const std::string& line) {
  if (line.empty() || line[0] == '#') return "";
  if (line[0] != '"') return line;
  std::string path;
  for (size_t i = 1; i < line.size(); ++i) {
    if (line[i] == '"') return path;
    if (line[i] != '\\' || i + 1 == line.size()) {
      path += line[i];
    } else if (i + 3 < line.size() && line[i + 1] <= '3' && IsOctal(line[i + 1]) &&
               IsOctal(line[i + 2]) && IsOctal(line[i + 3])) {
      path += static_cast<char>((line[i + 1] - '0') * 64 + (line[i + 2] - '0') * 8 + line[i + 3] - '0');
      i += 3;
    } else {
      path += Unescape(line[++i]);
    }
  }
  return line;  // The quote is never closed: git takes such a line as it stands.
}

std::vector<std::filesystem::path> ListObjectDirs(const std::filesystem::path& objects_dir,
                                                  std::vector<std::string>* problems) {
  std::vector<std::filesystem::path> dirs = {objects_dir}, seen;
  std::error_code error;
  seen.push_back(std::filesystem::canonical(objects_dir, error));
  Follow(objects_dir, 0, &dirs, &seen, problems);
  return dirs;
}

}  // namespace unsprawl
