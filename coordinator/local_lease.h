// Leases of a run whose ledger and forges are in this process.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "coordinator/blob_recorder.h"
#include "coordinator/fetch_queue.h"
#include "coordinator/fork_networks.h"
#include "coordinator/occurrence_writer.h"
#include "coordinator/organization.h"
#include "coordinator/run_resources.h"
#include "coordinator/skip_tally.h"
#include "worker/lease.h"
#include "worker/pipeline.h"

namespace unsprawl {

// One repository's work: answers from the ledger and from the forge's API, records what is said, and adds how it
// ended to the run's totals.
class LocalLease : public Lease {
 public:
  // Of a repository on this machine, opened in place.
  LocalLease(const RepositoryTarget& target, const RunResources& run);
  // Of a shard that a worker holds.
  struct Shard {
    ShardLease fence;        // nothing is recorded for it once it is stale
    bool part = false;       // of a repository that was cut: nothing but `only` is scanned, and nothing located
    std::string only;        // ScanShard::only
    uint64_t cut_bytes = 0;  // ScanShard::cut_bytes
  };
  // `target` and `run` outlive it. `dropped_asked` counts RunResources::max_dropped_commits. `shard`: nullopt in a
  // run of this process.
  LocalLease(const RemoteTarget& target, const RunResources& run, std::atomic<uint64_t>* dropped_asked,
             std::optional<Shard> shard = std::nullopt);

  absl::StatusOr<v1::KnownTarget> LookUp() override;
  absl::StatusOr<std::vector<std::string>> Authorizations() override;
  absl::Status RenewTokens() override;
  absl::StatusOr<std::string> AskForge() override;
  absl::StatusOr<v1::DroppedCommits> ListDropped(const v1::FetchNote& before) override;
  absl::StatusOr<std::string> Lender() override { return ""; }
  void EndFetch() override {}

  absl::StatusOr<v1::PassBegun> Begin(const v1::PassBeginning& beginning) override;
  absl::StatusOr<v1::LookupAnswer> Lookup(const v1::LookupRequest& request) override;
  absl::Status TakeBlobs(v1::BlobBatch* batch) override;
  absl::Status TakePiece(const v1::Piece& piece) override;
  absl::Status Cut() override;
  absl::StatusOr<std::optional<v1::LocateShard>> CompleteScan(const v1::ScanCompleted& completed) override;
  absl::Status TakeCommits(const v1::CommitBatch& commits) override;
  absl::Status TakePlaces(const v1::PlaceBatch& places) override;
  absl::StatusOr<std::optional<v1::LocateShard>> CompleteLocate(const v1::LocateCompleted& completed) override;

  void Say(const char* event, const absl::Status& why) override;

  // FailedPrecondition: of SCANNED, that there was no whole pass under this lease; it is not ended.
  absl::Status End(const v1::TargetEnd& end) override;

 private:
  LocalLease(v1::LentTarget lent, const RemoteTarget* target, const std::set<v1::SkipReason>& accepted,
             const RunResources& run, std::atomic<uint64_t>* dropped_asked, std::optional<Shard> shard);
  const ShardLease* fence() const { return shard_ ? &shard_->fence : nullptr; }
  absl::Status WriteNote(v1::MirrorNote note);
  // What is said of a blob that is known under a list of rules.
  struct KnownUnder {
    static constexpr char kNoAnswer = static_cast<char>(0xff);
    char answer = kNoAnswer;  // LookupAnswer's; kNoAnswer: not asked for yet
    uint32_t traits = 0;
  };
  absl::StatusOr<KnownUnder> AnswerFor(RuleListId list, v1::LookupAnswer* answer);
  absl::StatusOr<RuleListId> ListFor(const v1::BlobBatch& batch);
  void TallyTraits(uint32_t traits, std::string_view blob);
  absl::Status CheckPart(const v1::BlobBatch& batch) const;
  void AddHit(const ObjectId& blob);
  void SortHits();
  absl::Status FinishRecorder();
  absl::StatusOr<std::optional<v1::LocateShard>> NextLocate();
  absl::Status Record();
  absl::Status NoteScanned(const v1::TargetEnd& end);
  void AddScanned(const absl::Status& noted, const std::string& gone);
  void AddGone(const std::string& why);
  void SetGone(const std::string& why);
  absl::Status AddFailure(const v1::TargetEnd& end);

  const RemoteTarget* const remote_;  // null: on this machine
  const std::set<v1::SkipReason> accepted_;
  const RunResources& run_;
  std::atomic<uint64_t>* const dropped_asked_;
  const std::optional<Shard> shard_;
  v1::RepositoryRecord record_;
  bool current_ = false;              // KnownTarget::current
  PassCounters counters_;
  RepositoryOutcome outcome_;

  // Of the current pass.
  bool whole_ = false;                // everything was said and recorded
  v1::PassBeginning beginning_;
  std::string watermark_;             // once it is whole
  std::vector<std::vector<uint64_t>> rules_run_;  // by BlobBatch::rules
  std::map<std::pair<uint32_t, uint32_t>, RuleListId> lists_;  // by BlobBatch's rules and traits: to record it under
  std::vector<std::vector<uint64_t>> rule_keys_;  // of the ledger's lists, by RuleListId
  std::vector<KnownUnder> known_under_;           // by RuleListId
  std::vector<ObjectId> hits_;                    // sorted and distinct when the scan is complete
  size_t compact_hits_at_ = 0;
  std::vector<ObjectId> only_;                    // Shard::only, sorted
  SkipTally tally_;
  uint64_t blobs_skipped_ = 0;
  std::optional<BlobRecorder> recorder_;
  std::optional<OccurrenceWriter> writer_;
  std::unique_ptr<Ledger::Recording> recording_;
  uint32_t locate_shards_ = 0, locate_number_ = 0;
  v1::LocateCompleted located_;       // what the first locate shard said
};

// Hands out the repositories of a run in the order in which FetchQueue has them, forks after the first of their
// network.
class LocalLeases : public LeaseSource {
 public:
  // `run` outlives it. `jobs`, `beside_large`: FetchQueue's.
  LocalLeases(std::vector<RemoteTarget> targets, const RunResources& run, std::filesystem::path mirrors_dir,
              size_t jobs, size_t beside_large, const std::atomic<bool>* stop);

  size_t width() const override { return queue_.width(); }
  std::unique_ptr<Lease> Take() override;

 private:
  class Fetched;

  const RunResources& run_;
  ForkNetworks networks_;
  FetchQueue queue_;
  std::atomic<uint64_t> dropped_asked_ = 0;
};

}  // namespace unsprawl
