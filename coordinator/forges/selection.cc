#include "coordinator/forges/selection.h"

#include <fnmatch.h>

#include <algorithm>

namespace unsprawl {
namespace {

bool Matches(const std::vector<std::string>& globs, const std::string& full_name) {
  const std::string name = full_name.substr(full_name.rfind('/') + 1);
  return std::any_of(globs.begin(), globs.end(), [&](const std::string& glob) {
    const std::string& compared = glob.find('/') == std::string::npos ? name : full_name;
    return fnmatch(glob.c_str(), compared.c_str(), FNM_CASEFOLD) == 0;
  });
}

}  // namespace

int64_t LastActive(const v1::ForgeRepository& repository) {
  return repository.pushed_at() > 0 ? repository.pushed_at() : repository.updated_at();
}

const char* WhyNot(const Selection& selection, const v1::ForgeRepository& repository) {
  if (!selection.include.empty() && !Matches(selection.include, repository.full_name())) return "not included";
  if (Matches(selection.exclude, repository.full_name())) return "excluded";
  if (repository.fork() && !selection.forks) return "a fork";
  if (repository.archived() && !selection.archived) return "archived";
  if (!selection.visibilities.empty() && selection.visibilities.count(repository.visibility()) == 0) {
    return "of another visibility";
  }
  if (!selection.topics.empty() &&
      std::none_of(repository.topics().begin(), repository.topics().end(),
                   [&](const std::string& topic) { return selection.topics.count(topic) > 0; })) {
    return "without the topic";
  }
  if (selection.max_size_kb > 0 && repository.size_kb() > selection.max_size_kb) return "too large";
  const int64_t active = LastActive(repository);
  if (selection.pushed_since > 0 && active > 0 && active < selection.pushed_since) return "not pushed to since";
  return nullptr;
}

}  // namespace unsprawl
