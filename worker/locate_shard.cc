#include "worker/locate_shard.h"

#include <algorithm>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <re2/re2.h>

#include "absl/functional/function_ref.h"
#include "absl/time/clock.h"
#include "engine/base/status.h"
#include "engine/history/locate.h"
#include "engine/judge/examine.h"
#include "engine/match/ruleset_filters.h"

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

// All but what is found there.
void SetPlace(const LocateResult& result, const Place& place, v1::PlaceBatch::Place* row) {
  for (const std::string& path : place.paths) row->add_paths(path);
  if (place.commit != UINT32_MAX) SetWholeCommit(result.commits[place.commit], row->mutable_commit());
  for (const uint32_t removal : place.removals) SetCommit(result.commits[removal], row->add_removals());
  row->set_presence(static_cast<v1::Presence>(place.presence));
}

// Sends places in batches.
class PlaceSender {
 public:
  explicit PlaceSender(FrameChannel& channel) : channel_(channel), batch_(event_.mutable_places()) {}

  v1::PlaceBatch::Place* Add() { return batch_->add_places(); }
  // The place that was added last is whole.
  absl::Status Added() {
    bytes_ += batch_->places(batch_->places_size() - 1).ByteSizeLong();
    return batch_->places_size() >= kBatchPlaces || bytes_ >= kBatchBytes ? Flush() : absl::OkStatus();
  }
  absl::Status Finish() { return batch_->places_size() > 0 ? Flush() : absl::OkStatus(); }

 private:
  absl::Status Flush() {
    RETURN_IF_ERROR(channel_.Send(event_));
    batch_->Clear();
    bytes_ = 0;
    return absl::OkStatus();
  }

  FrameChannel& channel_;
  v1::ShardEvent event_;
  v1::PlaceBatch* const batch_;
  size_t bytes_ = 0;
};

absl::Status SendPlaces(const LocateResult& result, FrameChannel& channel) {
  PlaceSender sender(channel);
  for (const Place& place : result.places) {
    v1::PlaceBatch::Place* row = sender.Add();
    row->set_secret(place.secret);
    row->set_target(place.target);
    SetPlace(result, place, row);
    RETURN_IF_ERROR(sender.Added());
  }
  return sender.Finish();
}

// The rules of paths alone of a set.
class PathRules {
 public:
  explicit PathRules(const Ruleset& ruleset) {
    for (size_t i = 0; i < ruleset.rules().size(); ++i) {
      const Rule& rule = ruleset.rules()[i];
      if (rule.is_path_only()) rules_.push_back({&rule, ruleset.filters().rules[i].path.get()});
    }
  }

  // Calls `found` for each rule that one of `paths` matches.
  void ForEach(std::span<const std::string> paths, absl::FunctionRef<void(const Rule&)> found) const {
    for (const auto& [rule, expression] : rules_) {
      const RE2& wanted = *expression;
      if (std::any_of(paths.begin(), paths.end(), [&wanted](const auto& path) { return Finds(wanted, path); })) found(*rule);
    }
  }

 private:
  std::vector<std::pair<const Rule*, const RE2*>> rules_;
};

absl::Status SendPathMatches(const LocateResult& result, const std::vector<LocateTarget>& blobs, const PathRules& rules,
                             const SecretKey& key, FrameChannel& channel) {
  PlaceSender sender(channel);
  for (const Place& place : result.places) {
    const std::string_view blob = blobs[place.target].blob.raw();
    absl::Status sent;
    rules.ForEach(place.paths, [&](const Rule& rule) {
      v1::PlaceBatch::Place* row = sender.Add();
      SetPlace(result, place, row);
      row->set_blob(blob.data(), blob.size());
      row->mutable_match()->set_rule(rule.key);
      row->mutable_match()->set_secret(std::string(PathFingerprint(key, rule.id, blob).raw()));
      sent.Update(sender.Added());
    });
    RETURN_IF_ERROR(sent);
  }
  return sender.Finish();
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

// Finds the files that rules of paths alone ask for, among all that are stored, and sends them. *completed: what of
// them is not listed.
absl::Status LocatePaths(const RepositoryState& state, const LocateOptions& all_options, const ShardResources& resources,
                         v1::LocateCompleted* completed) {
  if (!resources.key) return absl::InvalidArgumentError("paths to be located before a shard was scanned");
  const PathRules rules(resources.detector->ruleset());
  std::vector<LocateTarget> blobs;
  for (const ObjectNumber blob : StoredBlobs(*resources.store)) {
    blobs.push_back({.blob = resources.store->id(blob), .secrets = {static_cast<uint32_t>(blobs.size())}});
  }
  LocateOptions options = all_options;
  options.keep = [&rules](std::span<const std::string> paths) {
    bool any = false;
    rules.ForEach(paths, [&any](const Rule&) { any = true; });
    return any;
  };
  ASSIGN_OR_RETURN(const LocateResult result, Locate(*resources.store, state, blobs, options, [](auto) {}));
  RETURN_IF_ERROR(SendPathMatches(result, blobs, rules, *resources.key, *resources.channel));
  for (const ObjectSkip& skip : result.skips) {
    if (skip.fault != ObjectFault::kTruncated) continue;  // the others were said
    v1::Skip* truncated = completed->add_skips();
    *truncated = ToProto(skip, false);
    truncated->set_detail("rules of paths alone: " + truncated->detail());
  }
  return absl::OkStatus();
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
  v1::ShardEvent event;
  {
    ASSIGN_OR_RETURN(const LocateResult result, Locate(*resources.store, state, targets, options, on_commits));
    RETURN_IF_ERROR(sent);
    RETURN_IF_ERROR(SendPlaces(result, *resources.channel));
    *event.mutable_locate_completed() = Completed(result);
  }
  if (shard.path_rules()) {
    RETURN_IF_ERROR(LocatePaths(state, options, resources, event.mutable_locate_completed()));
  }
  event.mutable_locate_completed()->set_locate_seconds(absl::ToDoubleSeconds(absl::Now() - start));
  return resources.channel->Send(event);
}

}  // namespace unsprawl
