#include "engine/git/object_dirs.h"

#include <algorithm>
#include <fstream>
#include <system_error>

#include "absl/strings/str_format.h"

namespace unsprawl {
namespace {

constexpr int kMaxDepth = 5;        // as git
constexpr size_t kMaxDirs = 255;    // LooseObjects counts them in a byte
constexpr size_t kMaxLines = 4096;  // of one file

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
  std::ifstream lines(file);
  std::string line;
  for (size_t count = 0; count < kMaxLines && std::getline(lines, line); ++count) {
    const std::filesystem::path named = ParseAlternate(line);
    if (named.empty()) continue;
    std::error_code error;
    const std::filesystem::path target = std::filesystem::canonical(dir / named, error);
    if (error || !std::filesystem::is_directory(target, error)) {
      problems->push_back(absl::StrFormat("%s: names %s, which is not a directory", file.string(),
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
