// `unsprawl explain` and `unsprawl rules test`: what the rules say of a file on disk, and why. Values are not shown.
#pragma once

#include <filesystem>
#include <optional>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/match/detector.h"

namespace unsprawl {

struct ExplainOptions {
  double min_confidence = 0.5;      // what a report shows
  std::optional<uint32_t> line = {};  // only what begins in this line, from 1
  bool archives = false;            // look into them, as a scan would
  bool steps = true;                // everything that counted; else a line a match, of what is reported
};

// Writes every match in `text` and how it is judged, in the order of places. `path` is what a rule or allowlist of
// paths sees. Returns the number of matches that a report shows. Deterministic.
int ExplainText(const Detector& detector, std::string_view path, std::string_view text, const ExplainOptions& options,
                std::ostream& out);

// The same for files, and for all files in folders (sorted; .git is left out). Of archives the members, if that is asked
// for, and the bytes of the archive itself where not all could be read.
// NotFound (also what is neither file nor folder), PermissionDenied, Unavailable, ResourceExhausted (4 GiB and more): names it.
absl::StatusOr<int> ExplainFiles(const Detector& detector, const std::vector<std::string>& paths,
                                 const ExplainOptions& options, std::ostream& out);

}  // namespace unsprawl
