// What two reports are compared by: lines that say the same when the scans have found the same, wherever the
// repositories came from. Sorted.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "tests/support/cli.h"

namespace unsprawl {

// What a repository is called in both of the reports, from what it is called in one.
using Names = std::function<std::string(const std::string&)>;

// A line for each row of occurrences.jsonl.
std::vector<std::string> Places(const Cli& cli, const Names& name);
// A line for each incident: all that does not depend on when and how often there were scans.
std::vector<std::string> Incidents(const Cli& cli);
// A line for each repository of the manifest.
std::vector<std::string> Coverage(const Cli& cli, const Names& name);

// What only one of two of them has: short enough to be read when a test fails.
std::vector<std::string> Differences(const std::vector<std::string>& a, const std::vector<std::string>& b);

// The first repository or line in which two reports differ, of both; of all files, by name.
std::string FirstDifference(const std::map<std::string, std::string>& report,
                            const std::map<std::string, std::string>& expected);

}  // namespace unsprawl
