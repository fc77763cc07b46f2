// The processes of this machine.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string>
#include <vector>

namespace unsprawl {

struct Process {
  pid_t id = 0, parent = 0, group = 0;
  std::string name;
  std::string network;  // its namespace, as NetworkOf says
};

// All that run, but for those that have ended and are not waited for yet.
std::vector<Process> Processes();
// Of them, `ancestor` and all that came of it.
std::vector<Process> ProcessesOf(pid_t ancestor);

// "net:[4026531840]": of which network namespace a file of /proc is; empty: there is no such file.
std::string NetworkOf(const std::filesystem::path& file);

}  // namespace unsprawl
