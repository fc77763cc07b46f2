#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace unsprawl {

// `objects_dir` and its alternates, depth first as info/alternates lists them, followed to a depth of 5,
// each directory once (git: gitrepository-layout, objects/info/alternates). Relative lines are relative
// to the objects directory whose file they stand in. Lines that lead nowhere add a sentence to
// *problems.
std::vector<std::filesystem::path> ListObjectDirs(const std::filesystem::path& objects_dir,
                                                  std::vector<std::string>* problems);

// The path in one line of an alternates file; empty for a comment or an empty line. A line that begins
// with a double quote is quoted as in C (git config core.quotePath).
std::string ParseAlternate(const std::string& line);

}  // namespace unsprawl
