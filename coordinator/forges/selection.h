#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "unsprawl/v1/forge.pb.h"

namespace unsprawl {

// Which of a forge's repositories are wanted. By default all.
struct Selection {
  std::vector<std::string> include;      // globs ("acme/web-*", "legacy-*"); empty: all
  std::vector<std::string> exclude;
  bool forks = true;
  bool archived = true;                  // their secrets live
  std::set<std::string> visibilities;    // "public", "private", "internal"; empty: all
  std::set<std::string> topics;          // any of them; empty: all
  uint64_t max_size_kb = 0;              // 0: any
  int64_t pushed_since = 0;              // seconds since the epoch; 0: any
};

// When it was pushed to, or else last changed in any way: it was not pushed to later. 0: its forge says neither.
int64_t LastActive(const v1::ForgeRepository& repository);

// Why `repository` is not wanted, in a few words; nullptr if it is. A glob with a '/' is compared with the
// full name, another with the last part; case does not matter, as on the forges. What a forge does not
// say (size, time of push) excludes nothing.
const char* WhyNot(const Selection& selection, const v1::ForgeRepository& repository);

}  // namespace unsprawl
