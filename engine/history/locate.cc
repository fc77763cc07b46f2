#include "engine/history/locate.h"

#include <algorithm>
#include <chrono>
#include <thread>
#include <tuple>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_format.h"
#include "engine/base/status.h"
#include "engine/history/commit_diff.h"
#include "engine/history/commit_graph.h"
#include "engine/history/head_facts.h"
#include "engine/history/history_walk.h"
#include "engine/history/ignore_history.h"
#include "engine/history/lifetimes.h"
#include "engine/history/mailmap.h"
#include "engine/history/presence.h"

namespace unsprawl {
namespace {

constexpr size_t kReportedCommits = 4096;    // at a time
constexpr int kMaxTagDepth = 100;           // tags of tags
constexpr uint64_t kMaxMailmapBytes = 4 << 20;
constexpr size_t kMaxIgnoreCommitBytes = 2 << 20;

using Clock = std::chrono::steady_clock;

// Adds the time since the last call to one of LocateTimes.
class Stopwatch {
 public:
  void Lap(double* seconds) {
    const Clock::time_point now = Clock::now();
    if (seconds != nullptr) *seconds += std::chrono::duration<double>(now - last_).count();
    last_ = now;
  }

 private:
  Clock::time_point last_ = Clock::now();
};

std::vector<ObjectId> BlobsOf(std::span<const LocateTarget> targets) {
  std::vector<ObjectId> blobs;
  blobs.reserve(targets.size());
  for (const LocateTarget& target : targets) blobs.push_back(target.blob);
  return blobs;
}

// Makes CommitRows of what the walk noted, with names from the mailmap.
class RowMaker {
 public:
  RowMaker(const ObjectStore& store, const NodeTable& nodes, const HistoryLog& log,
           const CommitGraph& graph, const Mailmap& mailmap)
      : store_(store), nodes_(nodes), log_(log), graph_(graph) {
    for (const ThreadLog& thread : log.threads) {
      std::vector<Person>& people = people_.emplace_back(thread.identities.size());
      for (uint32_t i = 0; i < people.size(); ++i) {
        const std::string_view both = thread.identities.at(i);
        const size_t zero = both.rfind('\0');
        people[i] = {std::string(both.substr(0, zero)), std::string(both.substr(zero + 1))};
        mailmap.Resolve(people[i].name, people[i].email);
      }
    }
  }

  void Fill(uint32_t commit, CommitRow& row) const {
    const HistoryLog::Commit& noted = log_.commits[commit];
    const std::vector<Person>& people = people_[noted.thread];
    row.id = store_.id(nodes_.commit(commit));
    row.author_time = noted.author_time;
    row.committer_time = noted.committer_time;
    row.author_offset = noted.author_offset;
    row.author_name = people[noted.author].name;
    row.author_email = people[noted.author].email;
    row.co_authors.clear();
    for (const uint32_t who : log_.CoAuthors(commit)) {
      row.co_authors.push_back(absl::StrFormat("%s <%s>", people[who].name, people[who].email));
    }
    row.reachable = graph_.reachable(commit);
  }

 private:
  struct Person {
    std::string name, email;
  };
  const ObjectStore& store_;
  const NodeTable& nodes_;
  const HistoryLog& log_;
  const CommitGraph& graph_;
  std::vector<std::vector<Person>> people_;  // by thread, identity
};

// One call of Locate: what its steps share.
class Locator {
 public:
  Locator(const ObjectStore& store, const RepositoryState& state,
          std::span<const LocateTarget> targets, const LocateOptions& options)
      : store_(store),
        state_(state),
        targets_(targets),
        options_(options),
        nodes_(store, BlobsOf(targets), options.walk.threads),
        log_(nodes_, options.walk.threads) {
    for (const LocateTarget& target : targets) secrets_.emplace_back(target.secrets);
  }

  absl::StatusOr<LocateResult> Run(absl::FunctionRef<void(std::span<const CommitRow>)> on_commits) {
    LocateTimes* const times = options_.times;
    Stopwatch watch;
    RETURN_IF_ERROR(WalkHistory(store_, nodes_, state_.shallow, options_.avoid, options_.walk, log_));
    CollectCounts();
    FindTips();
    nodes_.ReleaseIndex();
    const CommitGraph graph(log_, tip_commits_);
    const RowMaker rows(store_, nodes_, log_, graph, ReadHead());
    watch.Lap(times ? &times->walk : nullptr);

    // The rows take the receiver as long as all that follows takes here.
    std::jthread reporter;
    if (options_.walk.threads > 1) {
      reporter = std::jthread([&] { ReportCommits(graph, rows, on_commits); });
    } else {
      ReportCommits(graph, rows, on_commits);
    }
    const MarkedTrees trees(log_, static_cast<uint32_t>(targets_.size()));
    watch.Lap(times ? &times->mark : nullptr);

    Events events = DiffCommits(log_, graph, trees, secrets_, nodes_, store_,
                                {.threads = options_.walk.threads,
                                 .stop = options_.walk.stop,
                                 .max_events_per_commit = options_.max_events_per_commit});
    if (Stopped()) return absl::CancelledError("stopped");
    std::vector<Life> lives = FollowEvents(events, log_, graph, trees, secrets_);
    watch.Lap(times ? &times->diff : nullptr);

    const TipPresence presence = FindAtTips(head_ ? &*head_ : nullptr, tips_, log_, trees, secrets_,
                                            {.max_places = options_.max_places}, events.paths);
    MakePlaces(lives, events, graph, rows, presence);
    ReadIgnoreFile(graph, rows);
    AddHomelessTargets(events, presence);
    result_.skips = skips_.List();
    result_.skips_total = skips_.CountDistinct();
    AddTruncations(events, presence);
    if (reporter.joinable()) reporter.join();
    watch.Lap(times ? &times->rest : nullptr);
    return std::move(result_);
  }

 private:
  bool Stopped() const { return options_.walk.stop != nullptr && options_.walk.stop->load(); }

  void CollectCounts() {
    std::vector<uint64_t> gitlinks;
    for (ThreadLog& thread : log_.threads) {
      skips_.Merge(std::move(thread.skips));
      gitlinks.insert(gitlinks.end(), thread.gitlinks.begin(), thread.gitlinks.end());
      thread.gitlinks = {};
    }
    std::sort(gitlinks.begin(), gitlinks.end());
    result_.submodules = static_cast<uint64_t>(
        std::unique(gitlinks.begin(), gitlinks.end()) - gitlinks.begin());
  }

  // Follows tags from `id` to what they name. Nullopt: a blob that is no target, or nothing usable.
  std::optional<Tip> Peel(ObjectId id) {
    for (int depth = 0; depth < kMaxTagDepth; ++depth) {
      const ObjectNumber object = nodes_.Find(id);
      if (object == kNoObject) {
        skips_.Add(id, ObjectType::kUnknown, ObjectFault::kMissing,
                   "named by a ref or a tag, stored nowhere");
        return std::nullopt;
      }
      const Node node = nodes_.at(object);
      switch (node.kind) {
        case NodeKind::kCommit: return Tip{Tip::kCommit, node.index};
        case NodeKind::kTree: return Tip{Tip::kTree, node.index};
        case NodeKind::kTarget: return Tip{Tip::kTarget, node.index};
        case NodeKind::kOther: return std::nullopt;
        case NodeKind::kTag: break;
      }
      if (!log_.tag_read[node.index]) return std::nullopt;
      id = log_.tag_targets[node.index];
    }
    return std::nullopt;
  }

  void FindTips() {
    if (state_.head_target.size() == ObjectId::kBytes) {
      head_ = Peel(ObjectId::FromRaw(state_.head_target.data()));
      if (head_ && head_->kind == Tip::kCommit) tip_commits_.push_back(head_->index);
    }
    for (const Ref& ref : state_.refs) {
      const std::optional<Tip> tip = Peel(ref.target);
      if (!tip) continue;
      tips_.push_back(*tip);
      if (tip->kind == Tip::kCommit) tip_commits_.push_back(tip->index);
    }
  }

  // Fills the facts at HEAD; returns its mailmap.
  Mailmap ReadHead() {
    if (!head_ || head_->kind != Tip::kCommit) return Mailmap();
    const uint32_t tree = log_.commits[head_->index].tree;
    if (tree == kNone) return Mailmap();
    HeadFacts facts = ReadHeadFacts(store_, nodes_.tree(tree));
    result_.head_extensions = std::move(facts.extensions);
    result_.head_codeowners_path = std::move(facts.codeowners_path);
    if (!facts.mailmap) return Mailmap();
    const absl::StatusOr<std::string> text = store_.Read(*facts.mailmap);
    if (!text.ok() || text->size() > kMaxMailmapBytes) return Mailmap();
    return Mailmap(*text);
  }

  void ReadIgnoreFile(const CommitGraph& graph, const RowMaker& rows) {
    const uint32_t tree = head_ && head_->kind == Tip::kCommit ? log_.commits[head_->index].tree : kNone;
    if (tree == kNone) return;
    const std::optional<ObjectNumber> file = FindIgnoreFile(store_, nodes_.tree(tree));
    if (!file) return;
    const IgnoreLimits limits;
    const absl::StatusOr<std::string> text = store_.Read(*file);
    if (!text.ok() || text->size() > limits.max_file_bytes) return;
    const std::vector<IgnoreEntry> entries = ParseIgnoreFile(*text, limits.max_entries).entries;
    const std::vector<uint32_t> by = FindIntroductions(entries, head_->index, store_, nodes_, log_, graph, limits);
    absl::flat_hash_map<uint32_t, uint32_t> numbers;  // of commits, in result_
    size_t bytes = 0;
    for (size_t i = 0; i < entries.size(); ++i) {
      LocateResult::Ignore& row = result_.head_ignores.emplace_back();
      row.commit = entries[i].commit;
      row.path = entries[i].path, row.rule = entries[i].rule, row.line = entries[i].line;
      if (by[i] == kNone) continue;
      const auto known = numbers.find(by[i]);
      if (known != numbers.end()) {
        row.introduced_by = known->second;
      } else if (bytes < kMaxIgnoreCommitBytes) {
        numbers[by[i]] = row.introduced_by = static_cast<uint32_t>(result_.head_ignore_commits.size());
        CommitRow& commit = result_.head_ignore_commits.emplace_back();
        rows.Fill(by[i], commit);
        commit.co_authors.clear();
        bytes += sizeof(commit) + commit.author_name.size() + commit.author_email.size();
      }
    }
  }

  void ReportCommits(const CommitGraph& graph, const RowMaker& rows,
                     absl::FunctionRef<void(std::span<const CommitRow>)> on_commits) {
    std::vector<CommitRow> batch(kReportedCommits);
    size_t filled = 0;
    for (uint32_t commit = 0; commit < graph.size(); ++commit) {
      if (!graph.reachable(commit)) continue;
      ++result_.commits_reachable;
      rows.Fill(commit, batch[filled++]);
      if (filled < batch.size()) continue;
      on_commits(batch);
      filled = 0;
    }
    if (filled > 0) on_commits(std::span(batch).first(filled));
  }

  // Numbers the commits that lives name, in order of (committer_time, id), and makes their rows.
  absl::flat_hash_map<uint32_t, uint32_t> MakeCommitRows(const std::vector<Life>& lives,
                                                         const RowMaker& rows) {
    std::vector<uint32_t> named;
    for (const Life& life : lives) {
      named.push_back(life.commit);
      named.insert(named.end(), life.removals.begin(), life.removals.end());
    }
    std::sort(named.begin(), named.end());
    named.erase(std::unique(named.begin(), named.end()), named.end());
    std::sort(named.begin(), named.end(), [&](uint32_t a, uint32_t b) {
      const int64_t s = log_.commits[a].committer_time, t = log_.commits[b].committer_time;
      return s != t ? s < t : store_.id(nodes_.commit(a)) < store_.id(nodes_.commit(b));
    });
    absl::flat_hash_map<uint32_t, uint32_t> numbers;
    result_.commits.resize(named.size());
    for (uint32_t i = 0; i < named.size(); ++i) {
      numbers[named[i]] = i;
      rows.Fill(named[i], result_.commits[i]);
    }
    return numbers;
  }

  Presence PresenceOf(const Life& life, const CommitGraph& graph, const TipPresence& tips) const {
    Presence best = graph.reachable(life.commit) ? Presence::kHistory : Presence::kUnreachable;
    if (tips.is_tip[life.target]) best = std::min(best, Presence::kBranch);
    for (const uint32_t path : life.paths) {
      const auto found = tips.locations.find(uint64_t{life.secret} << 32 | path);
      if (found != tips.locations.end()) best = std::min(best, found->second);
    }
    return best;
  }

  // Starts the places that are in the result, with their paths; lives are then those of the places.
  void RenderPlaces(std::vector<Life>& lives, const Events& events) {
    uint64_t text_bytes = 0;
    for (Life& life : lives) {
      const bool full = result_.places.size() >= options_.max_places || text_bytes > options_.max_path_text_bytes;
      if (full && !options_.keep) {
        ++places_dropped_;
        continue;
      }
      Place place;
      uint64_t place_bytes = 0;
      bool cut = false;
      for (const uint32_t path : life.paths) {
        cut = place_bytes > options_.max_place_bytes;
        if (cut) break;
        place_bytes += place.paths.emplace_back(events.paths.Render(path, log_.names)).size();
      }
      if (options_.keep && !options_.keep(place.paths)) continue;
      if (full) {
        ++places_dropped_;
        continue;
      }
      places_cut_ += cut ? 1 : 0;
      text_bytes += place_bytes;
      if (Life& kept = lives[result_.places.size()]; &kept != &life) kept = std::move(life);
      result_.places.push_back(std::move(place));
    }
    lives.resize(result_.places.size());
  }

  void MakePlaces(std::vector<Life>& lives, const Events& events, const CommitGraph& graph,
                  const RowMaker& rows, const TipPresence& tips) {
    RenderPlaces(lives, events);
    const absl::flat_hash_map<uint32_t, uint32_t> numbers = MakeCommitRows(lives, rows);
    for (size_t i = 0; i < lives.size(); ++i) {
      const Life& life = lives[i];
      Place& place = result_.places[i];
      place.secret = life.secret;
      place.target = life.target;
      place.commit = numbers.at(life.commit);
      for (const uint32_t commit : life.removals) place.removals.push_back(numbers.at(commit));
      std::sort(place.removals.begin(), place.removals.end());
      place.removals.erase(std::unique(place.removals.begin(), place.removals.end()),
                           place.removals.end());
      CutRemovals(place);
      place.presence = PresenceOf(life, graph, tips);
    }
    // Rows are in order of (committer_time, id), so their numbers stand for both.
    std::stable_sort(result_.places.begin(), result_.places.end(), [](const Place& a, const Place& b) {
      return std::tie(a.secret, a.commit, a.paths, a.target) <
             std::tie(b.secret, b.commit, b.paths, b.target);
    });
  }

  // The last ones stay: the last is when it was gone from everywhere.
  void CutRemovals(Place& place) {
    uint64_t bytes = 0;
    for (size_t i = place.removals.size(); i > 0; --i) {
      const CommitRow& row = result_.commits[place.removals[i - 1]];
      bytes += sizeof(row.id) + row.author_name.size() + row.author_email.size();
      if (bytes <= options_.max_place_bytes) continue;
      place.removals.erase(place.removals.begin(), place.removals.begin() + static_cast<ptrdiff_t>(i));
      ++places_cut_;
      return;
    }
  }

  // Targets that no commit's tree holds, dangling or named by a ref; and secrets whose places were all
  // beyond a limit, so that nobody can hide one behind a million others.
  void AddHomelessTargets(const Events& events, const TipPresence& tips) {
    if (options_.keep && !options_.keep({})) return;
    const bool cut = places_dropped_ > 0 || !events.truncated.empty();
    absl::flat_hash_set<uint32_t> placed;
    if (cut) {
      for (const Place& place : result_.places) placed.insert(place.secret);
    }
    bool added = false;
    for (uint32_t target = 0; target < targets_.size(); ++target) {
      const bool homeless = !tips.in_commit[target];
      if (!homeless && !cut) continue;
      const ObjectNumber object = nodes_.Find(targets_[target].blob);
      if (object == kNoObject || nodes_.at(object).kind != NodeKind::kTarget) continue;
      for (const uint32_t secret : targets_[target].secrets) {
        if (!homeless && !placed.insert(secret).second) continue;
        Place& place = result_.places.emplace_back();
        place.secret = secret;
        place.target = target;
        place.presence = tips.at_tip[target] ? Presence::kBranch
                         : homeless          ? Presence::kUnreachable
                                             : Presence::kHistory;
        added = true;
      }
    }
    if (!added) return;
    std::stable_sort(result_.places.begin(), result_.places.end(), [](const Place& a, const Place& b) {
      return std::tie(a.secret, a.commit) < std::tie(b.secret, b.commit);
    });
  }

  void AddTruncations(const Events& events, const TipPresence& tips) {
    const auto add = [&](const ObjectId& id, ObjectType type, std::string detail) {
      result_.skips.push_back({.id = id, .type = type, .fault = ObjectFault::kTruncated,
                               .object_bytes = 0, .detail = std::move(detail)});
    };
    std::vector<ObjectId> truncated;
    for (const uint32_t commit : events.truncated) truncated.push_back(store_.id(nodes_.commit(commit)));
    std::sort(truncated.begin(), truncated.end());
    if (truncated.size() > SkipLog::kMaxListed) truncated.resize(SkipLog::kMaxListed);
    for (const ObjectId& id : truncated) {
      add(id, ObjectType::kCommit,
          absl::StrFormat("the commit changes secrets at more than %d paths, or at paths longer than "
                          "%d bytes; the rest is not listed",
                          options_.max_events_per_commit, PathTable::kMaxPathBytes));
    }
    if (tips.truncated) {
      add({}, ObjectType::kTree, "the trees of the tips have too many paths; presence is not complete");
    }
    if (places_dropped_ > 0) {
      add({}, ObjectType::kUnknown,
          absl::StrFormat("%d places beyond the first %d are not listed", places_dropped_,
                          result_.places.size()));
    }
    if (places_cut_ > 0) {
      add({}, ObjectType::kUnknown,
          absl::StrFormat("%d places have moved, or were removed, more often than is listed", places_cut_));
    }
  }

  const ObjectStore& store_;
  const RepositoryState& state_;
  const std::span<const LocateTarget> targets_;
  const LocateOptions& options_;
  NodeTable nodes_;
  HistoryLog log_;
  std::vector<std::span<const uint32_t>> secrets_;  // of each target
  SkipLog skips_;
  std::optional<Tip> head_;
  std::vector<Tip> tips_;
  std::vector<uint32_t> tip_commits_;
  uint64_t places_dropped_ = 0;
  size_t places_cut_ = 0;  // their paths or removals
  LocateResult result_;
};

}  // namespace

absl::StatusOr<LocateResult> Locate(const ObjectStore& store, const RepositoryState& state,
                                    std::span<const LocateTarget> targets,
                                    const LocateOptions& options,
                                    absl::FunctionRef<void(std::span<const CommitRow>)> on_commits) {
  RETURN_IF_ERROR(CheckLocatable(store));
  return Locator(store, state, targets, options).Run(on_commits);
}

}  // namespace unsprawl
