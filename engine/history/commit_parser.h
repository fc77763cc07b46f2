// Reads the bytes of commits and annotated tags (git: Documentation/gitformat-signature for the header's
// shape, git-interpret-trailers for "Co-authored-by:"). Whatever is malformed reads as absent.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "engine/base/object_id.h"

namespace unsprawl {

// Views point into the content that was parsed.
struct Identity {
  std::string_view name, email;  // at most kMaxBytes each; longer ones are cut
  static constexpr size_t kMaxBytes = 512;
};

struct ParsedCommit {
  std::optional<ObjectId> tree;
  std::vector<ObjectId> parents;  // in order, each once
  Identity author;
  int64_t author_time = 0;     // seconds since the epoch; 0 when malformed
  int64_t committer_time = 0;
  int32_t author_offset = 0;   // minutes east of UTC, within a day
  std::vector<Identity> co_authors;  // at most kMaxCoAuthors
  static constexpr size_t kMaxCoAuthors = 32;
  absl::flat_hash_set<ObjectId> many_parents;  // the parser's own: all parents, once there are many
};

// Parses into `commit`, whose vectors' capacity is reused.
void ParseCommit(std::string_view content, ParsedCommit& commit);

// The object that an annotated tag names.
std::optional<ObjectId> ParseTagTarget(std::string_view content);

// "Name <mail>" or "Name <mail> 1700000000 +0100" as git splits it; without brackets all is name.
Identity ParseIdentity(std::string_view line);

}  // namespace unsprawl
