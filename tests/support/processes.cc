#include "tests/support/processes.h"

#include <cstdio>
#include <set>
#include <system_error>

#include "tests/support/cli.h"

namespace unsprawl {

namespace fs = std::filesystem;

std::vector<Process> Processes() {
  std::vector<Process> all;
  std::error_code error;
  for (fs::directory_iterator entries("/proc", error); !error && entries != fs::directory_iterator();
       entries.increment(error)) {
    const std::string id = entries->path().filename();
    if (id.find_first_not_of("0123456789") != std::string::npos) continue;
    const std::string stat = ReadFile(entries->path() / "stat");
    const size_t open = stat.find('('), close = stat.rfind(')');
    if (close == std::string::npos || stat.size() < close + 4) continue;  // It has ended meanwhile.
    Process process;
    process.id = std::stoi(id);
    process.name = stat.substr(open + 1, close - open - 1);
    process.network = NetworkOf(entries->path() / "ns" / "net");
    char state = 0;
    if (std::sscanf(stat.c_str() + close + 2, "%c %d %d", &state, &process.parent, &process.group) != 3) continue;
    if (state != 'Z') all.push_back(process);
  }
  return all;
}

std::vector<Process> ProcessesOf(pid_t ancestor) {
  std::vector<Process> all = Processes();
  std::set<pid_t> ids = {ancestor};
  for (size_t before = 0; before < ids.size();) {
    before = ids.size();
    for (const Process& process : all) {
      if (ids.contains(process.parent)) ids.insert(process.id);
    }
  }
  std::erase_if(all, [&](const Process& process) { return !ids.contains(process.id); });
  return all;
}

std::string NetworkOf(const fs::path& file) {
  std::error_code error;
  return fs::read_symlink(file, error).native();
}

}  // namespace unsprawl
