#include "worker/locate_shard.h"

#include <algorithm>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "engine/base/status.h"
#include "engine/history/locate.h"

namespace unsprawl {
namespace {

constexpr int kBatchPlaces = 1024;
constexpr size_t kBatchBytes = 4 << 20;

// All but the co-authors.
void SetCommit(const CommitRow& row, v1::Commit* commit) {
  commit->set_id(row.id.bytes.data(), row.id.bytes.size());
  commit->set_author_time(row.author_time);
  commit->set_committer_time(row.committer_time);
  commit->set_author_offset(row.author_offset);
  commit->set_author_name(row.author_name);
  commit->set_author_email(row.author_email);
}
void SetWholeCommit(const CommitRow& row, v1::Commit* commit) {
  SetCommit(row, commit);
  for (const std::string& name : row.co_authors) commit->add_co_authors(name);
}

std::vector<LocateTarget> Targets(const v1::LocateShard& shard) {
  std::vector<LocateTarget> targets;
  targets.reserve(static_cast<size_t>(shard.targets_size()));
  for (const v1::LocateShard::Target& target : shard.targets()) {
    if (target.blob().size() != ObjectId::kBytes) continue;
    targets.push_back({.blob = ObjectId::FromRaw(target.blob().data()),
                       .secrets = {target.secrets().begin(), target.secrets().end()}});
  }
  return targets;
}

absl::Status SendPlaces(const LocateResult& result, FrameChannel& channel) {
  v1::ShardEvent event;
  v1::PlaceBatch* batch = event.mutable_places();
  size_t bytes = 0;
  for (const Place& place : result.places) {
    v1::PlaceBatch::Place* row = batch->add_places();
    row->set_secret(place.secret);
    row->set_target(place.target);
    for (const std::string& path : place.paths) row->add_paths(path);
    if (place.commit != UINT32_MAX) SetWholeCommit(result.commits[place.commit], row->mutable_commit());
    for (const uint32_t removal : place.removals) {
      SetCommit(result.commits[removal], row->add_removals());
    }
    row->set_presence(static_cast<v1::Presence>(place.presence));
    bytes += row->ByteSizeLong();
    if (batch->places_size() >= kBatchPlaces || bytes >= kBatchBytes) {
      RETURN_IF_ERROR(channel.Send(event));
      batch->Clear();
      bytes = 0;
    }
  }
  return batch->places_size() > 0 ? channel.Send(event) : absl::OkStatus();
}

bool IsAscii(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return static_cast<uint8_t>(c) < 0x80; });
}

void SetIgnores(const LocateResult& result, v1::HeadFacts* head) {
  for (const LocateResult::Ignore& ignore : result.head_ignores) {
    v1::Ignore* row = head->add_ignores();
    if (ignore.commit) row->set_commit(std::string(ignore.commit->raw()));
    row->set_path(ignore.path);
    row->set_rule(ignore.rule);
    row->set_line(ignore.line);
    row->set_introduced_by(ignore.introduced_by + 1);  // 0: not known
  }
  for (const CommitRow& commit : result.head_ignore_commits) SetCommit(commit, head->add_ignore_commits());
}

v1::LocateCompleted Completed(const LocateResult& result) {
  v1::LocateCompleted completed;
  completed.set_commits(result.commits_reachable);
  completed.set_submodules(result.submodules);
  for (const ObjectSkip& skip : result.skips) *completed.add_skips() = ToProto(skip, false);
  if (result.skips_total > result.skips.size()) {  // What is beyond the list is of absent objects.
    v1::Skip* beyond = completed.add_skips();
    beyond->set_reason(v1::SKIP_REASON_MISSING);
    beyond->set_count(result.skips_total - result.skips.size());
  }
  auto& files_by_extension = *completed.mutable_head()->mutable_files_by_extension();
  for (const auto& [extension, files] : result.head_extensions) {
    // A message's map wants UTF-8 keys; extensions that are not ASCII are too rare to name.
    files_by_extension[IsAscii(extension) ? extension : "other"] += files;
  }
  completed.mutable_head()->set_codeowners_path(result.head_codeowners_path);
  SetIgnores(result, completed.mutable_head());
  return completed;
}

}  // namespace

absl::Status LocateShard(const v1::LocateShard& shard, const RepositoryState& state,
                         const ShardResources& resources) {
  const absl::Time start = absl::Now();
  const std::vector<LocateTarget> targets = Targets(shard);
  const std::vector<ObjectNumber> avoid =
      ValidAvoid(shard.avoid(), shard.avoid_objects(), *resources.store);
  LocateOptions options;
  options.walk.threads = resources.threads;
  options.walk.current_object = resources.current_object;
  options.avoid = avoid;

  v1::ShardEvent commits;
  absl::Status sent;
  const auto on_commits = [&](std::span<const CommitRow> rows) {
    if (shard.without_commits()) return;
    v1::CommitBatch* batch = commits.mutable_commits();
    size_t bytes = 0;
    for (const CommitRow& row : rows) {
      v1::Commit* commit = batch->add_commits();
      SetWholeCommit(row, commit);
      bytes += commit->ByteSizeLong();
      if (bytes < kBatchBytes && &row != &rows.back()) continue;
      sent.Update(resources.channel->Send(commits));
      batch->Clear();
      bytes = 0;
    }
  };
  ASSIGN_OR_RETURN(const LocateResult result,
                   Locate(*resources.store, state, targets, options, on_commits));
  RETURN_IF_ERROR(sent);
  RETURN_IF_ERROR(SendPlaces(result, *resources.channel));
  v1::ShardEvent event;
  *event.mutable_locate_completed() = Completed(result);
  event.mutable_locate_completed()->set_locate_seconds(absl::ToDoubleSeconds(absl::Now() - start));
  return resources.channel->Send(event);
}

}  // namespace unsprawl
