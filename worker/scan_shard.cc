#include "worker/scan_shard.h"

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "engine/base/status.h"
#include "engine/git/cut.h"
#include "engine/git/walk.h"
#include "engine/judge/examine.h"
#include "engine/judge/place.h"
#include "engine/match/decode.h"
#include "re2/re2.h"
#include "worker/scanner_process.h"

namespace unsprawl {
namespace {

constexpr size_t kLookupObjects = 1 << 16;     // 1.3 MB a question
constexpr size_t kPieceObjects = (1 << 20) / ObjectId::kBytes;  // of one message
constexpr int kBatchBlobs = 1 << 13;
constexpr size_t kBatchMatches = 1 << 13;      // about 1 MB
constexpr absl::Duration kProgressInterval = absl::Milliseconds(100);
constexpr size_t kLfsPointerMaxBytes = 1024;   // git-lfs: a pointer file is smaller than this
// git-lfs, docs/spec.md. Anything else may hold more than a pointer, and is scanned.
constexpr char kLfsPointer[] =
    R"(version https://git-lfs\.github\.com/spec/v1\n(ext-[0-9]-[a-z0-9-]{1,32} sha256:[0-9a-f]{64}\n){0,9})"
    R"(oid sha256:[0-9a-f]{64}\nsize [0-9]{1,19}\n)";

// What all threads of a shard add to, and who last said so.
struct SharedProgress {
  uint64_t total = 0;
  std::atomic<uint64_t> objects{0}, bytes{0}, matches{0};
  std::atomic<int64_t> last_sent_us{0};

  // At most one thread per interval sends.
  absl::Status MaybeSend(FrameChannel& channel) {
    const int64_t now = absl::GetCurrentTimeNanos() / 1000;
    int64_t last = last_sent_us.load(std::memory_order_relaxed);
    if (now - last < absl::ToInt64Microseconds(kProgressInterval) ||
        !last_sent_us.compare_exchange_strong(last, now)) {
      return absl::OkStatus();
    }
    v1::ShardEvent event;
    v1::Progress* progress = event.mutable_progress();
    progress->set_objects_done(objects);
    progress->set_objects_total(total);
    progress->set_bytes_done(bytes);
    progress->set_matches(matches);
    return channel.Send(event);
  }
};

struct VisitOptions {
  bool full_mode = false;
  uint32_t rules = 0;  // BlobBatch::rules
  SecretKey key;
  int64_t now = 0;
  std::span<const ObjectNumber> avoid;
};

// Matches and examines the blobs of one thread, and sends them in batches.
class ScanVisitor : public WalkVisitor {
 public:
  ScanVisitor(const ShardResources& resources, const Detector& detector,
              const VisitOptions& options, SharedProgress& progress)
      : resources_(resources),
        detector_(detector),
        options_(options),
        progress_(progress),
        scanner_(detector) {
    batch_ = event_.mutable_blobs();
    batch_->set_rules(options.rules);
  }

  void Visit(const WalkedObject& object) override {
    if (object.slot >= slots_.size()) slots_.resize(object.slot + 1);
    slots_[object.slot].scanned = false;
    if (!object.wanted || !status_.ok()) return;
    if (IsLfsPointer(object.content)) {
      AddSkip(object.number, SKIP_LFS);
    } else {
      ScanAndRecord(object);
    }
    progress_.objects.fetch_add(1, std::memory_order_relaxed);
    progress_.bytes.fetch_add(object.content.size(), std::memory_order_relaxed);
    if ((++visited_ & 63) == 0) status_.Update(progress_.MaybeSend(*resources_.channel));
    if (batch_->clean_bytes_size() >= kBatchBlobs || batch_matches_ >= kBatchMatches) Flush();
  }

  void Skip(ObjectNumber object, const ObjectSkip& skip) override {
    const bool poison =
        std::binary_search(options_.avoid.begin(), options_.avoid.end(), object);
    *batch_->add_skips() = ToProto(skip, poison);
    progress_.objects.fetch_add(1, std::memory_order_relaxed);
    if (batch_->skips_size() >= kBatchBlobs) Flush();
  }

  // Sends what is left. Call on the shard's thread after the walk.
  absl::Status Finish() {
    if (batch_->clean_bytes_size() + batch_->hits_size() + batch_->skips_size() > 0) Flush();
    return status_;
  }

  uint64_t bytes_scanned() const { return scanner_.stats().bytes_scanned; }
  uint64_t blobs_recorded() const { return blobs_recorded_; }

 private:
  static constexpr v1::SkipReason SKIP_LFS = v1::SKIP_REASON_LFS_POINTER;

  // What deltas built upon the object in this slot inherit.
  struct Slot {
    BlobMatches matches;
    bool scanned = false;
  };

  static bool IsLfsPointer(std::string_view content) {
    static const RE2 pointer(kLfsPointer);
    return content.size() < kLfsPointerMaxBytes && content.substr(0, 8) == "version " &&
           RE2::FullMatch(re2::StringPiece(content.data(), content.size()), pointer);
  }

  void ScanAndRecord(const WalkedObject& object) {
    // What is decoded is scanned in full, and so is what is built upon it: a delta speaks of the bytes.
    switch (DecodeText(object.content, resources_.max_object_bytes, &decoded_)) {
      case Decoding::kNone:
        Scan(object);
        return Record(object, object.content);
      case Decoding::kDecoded:
        scanner_.ScanFull(decoded_, &slots_[object.slot].matches);
        return Record(object, decoded_);
      case Decoding::kTooLarge: return AddSkip(object.number, v1::SKIP_REASON_TOO_LARGE);
    }
  }

  void Scan(const WalkedObject& object) {
    Slot& slot = slots_[object.slot];
    const bool inherits = !options_.full_mode && object.base_slot >= 0 &&
                          slots_[static_cast<size_t>(object.base_slot)].scanned;
    if (inherits) {
      scanner_.ScanDelta(object.content, object.copies, object.base_bytes,
                         slots_[static_cast<size_t>(object.base_slot)].matches, &slot.matches);
    } else {
      scanner_.ScanFull(object.content, &slot.matches);
    }
    slot.scanned = true;
  }

  // `text`: what was scanned.
  void Record(const WalkedObject& object, std::string_view text) {
    // Not recorded, so that it is said again in the next run: what was not found is not clean.
    if (slots_[object.slot].matches.too_much) return AddSkip(object.number, v1::SKIP_REASON_TRUNCATED);
    const std::vector<RawMatch>& all = slots_[object.slot].matches.matches;
    const std::span<const RawMatch> matches = all.size() > kMaxMatchesOfBlob ? SomeOfEachRule(all) : all;
    const ObjectId id = resources_.store->id(object.number);
    ++blobs_recorded_;
    batch_->set_bytes_resolved(batch_->bytes_resolved() + object.content.size());
    if (matches.empty()) return AddClean(id, object.content.size());
    v1::BlobHit* hit = batch_->add_hits();
    hit->set_object_id(id.bytes.data(), id.bytes.size());
    hit->set_object_bytes(object.content.size());
    const std::vector<MatchFeatures> features = Examine(detector_.ruleset(), matches, text, options_.key, options_.now);
    for (size_t i = 0; i < matches.size(); ++i) {
      if (detector_.wanted(matches[i].rule)) AddMatch(matches[i], features[i], hit->add_matches());
    }
    if (hit->matches_size() == 0) {  // what others require is there, and they are not
      batch_->mutable_hits()->RemoveLast();
      return AddClean(id, object.content.size());
    }
    std::sort(hit->mutable_matches()->begin(), hit->mutable_matches()->end(),
              [](const v1::Match& a, const v1::Match& b) {
                return std::make_tuple(a.offset(), a.length(), a.rule()) <
                       std::make_tuple(b.offset(), b.length(), b.rule());
              });
    batch_matches_ += matches.size();
    progress_.matches.fetch_add(matches.size(), std::memory_order_relaxed);
  }

  void AddClean(const ObjectId& id, uint64_t bytes) {
    batch_->mutable_clean()->append(id.raw());
    batch_->add_clean_bytes(bytes);
  }

  // kMaxMatchesOfBlob + 1 of them, as many of each rule as of any other that has them.
  std::span<const RawMatch> SomeOfEachRule(std::span<const RawMatch> all) {
    std::vector<std::span<const RawMatch>> rules;  // matches are sorted by rule
    for (size_t begin = 0, end = 0; begin < all.size(); begin = end) {
      while (end < all.size() && all[end].rule == all[begin].rule) ++end;
      rules.push_back(all.subspan(begin, end - begin));
    }
    some_.clear();
    for (size_t round = 0; some_.size() <= kMaxMatchesOfBlob; ++round) {
      for (const std::span<const RawMatch> rule : rules) {
        if (round < rule.size() && some_.size() <= kMaxMatchesOfBlob) some_.push_back(rule[round]);
      }
    }
    std::sort(some_.begin(), some_.end());
    return some_;
  }

  void AddMatch(const RawMatch& raw, const MatchFeatures& features, v1::Match* match) {
    match->set_rule(detector_.ruleset().rules()[raw.rule].key);
    match->set_offset(raw.secret_start);
    match->set_length(static_cast<uint32_t>(raw.secret_end - raw.secret_start));
    match->set_secret(features.secret.bytes.data(), features.secret.bytes.size());
    match->set_flags(features.flags);
    match->set_entropy(features.entropy);
    match->set_identifier(features.identifier);
    match->set_preview(features.preview);
    match->set_start_line(features.start_line);
    match->set_start_column(features.start_column);
    match->set_end_line(features.end_line);
    match->set_end_column(features.end_column);
  }

  void AddSkip(ObjectNumber object, v1::SkipReason reason) {
    v1::Skip* skip = batch_->add_skips();
    skip->set_reason(reason);
    const ObjectId id = resources_.store->id(object);
    skip->set_object_id(id.bytes.data(), id.bytes.size());
  }

  void Flush() {
    status_.Update(resources_.channel->Send(event_));
    batch_->Clear();
    batch_->set_rules(options_.rules);
    batch_matches_ = 0;
  }

  const ShardResources& resources_;
  const Detector& detector_;
  const VisitOptions& options_;
  SharedProgress& progress_;
  BlobScanner scanner_;
  std::vector<Slot> slots_;
  std::string decoded_;         // the text of the blob at hand, if it had to be decoded
  std::vector<RawMatch> some_;  // what is recorded of a blob with too many
  v1::ShardEvent event_;
  v1::BlobBatch* batch_;
  size_t batch_matches_ = 0;
  uint64_t visited_ = 0;
  uint64_t blobs_recorded_ = 0;
  absl::Status status_;
};

// The blobs of a shard by what they still need: [0] all rules, [1 + i] those that older set i lacks.
struct Plan {
  std::vector<std::vector<uint64_t>> missing;  // rule keys, by older set
  std::vector<std::vector<ObjectNumber>> groups;
  uint64_t blobs_stored = 0;
};

// Those of `ids` that are stored here and are blobs.
std::vector<ObjectNumber> BlobsAmong(std::span<const ObjectId> ids, const ObjectStore& store) {
  std::vector<ObjectNumber> blobs;
  for (const ObjectId& id : ids) {
    const std::optional<ObjectNumber> object = store.Find(id);
    if (object && store.type(*object) == ObjectType::kBlob) blobs.push_back(*object);
  }
  std::sort(blobs.begin(), blobs.end());
  blobs.erase(std::unique(blobs.begin(), blobs.end()), blobs.end());
  return blobs;
}

// Asks the ledger about `blobs` and sorts them into `plan`.
absl::Status AskLedger(std::span<const ObjectNumber> blobs, const ShardResources& resources,
                       Plan* plan) {
  v1::ShardEvent event;
  v1::ShardCommand command;
  for (size_t start = 0; start < blobs.size(); start += kLookupObjects) {
    const auto part = blobs.subspan(start, std::min(kLookupObjects, blobs.size() - start));
    std::string* ids = event.mutable_lookup()->mutable_blobs();
    ids->clear();
    for (const ObjectNumber blob : part) ids->append(resources.store->id(blob).raw());
    RETURN_IF_ERROR(resources.channel->Send(event));
    RETURN_IF_ERROR(resources.channel->Receive(&command));
    for (const auto& known : command.lookup().known()) {
      plan->missing.emplace_back(known.missing().begin(), known.missing().end());
      plan->groups.emplace_back();
    }
    const std::string& answers = command.lookup().answers();
    if (!command.has_lookup() || answers.size() != part.size()) {
      return absl::InternalError("a lookup was answered with something else");
    }
    for (size_t i = 0; i < part.size(); ++i) {
      const auto answer = static_cast<uint8_t>(answers[i]);
      if (answer == 1) continue;  // Known under all current rules.
      const size_t group = answer == 0 ? 0 : answer - 1;
      if (group >= plan->groups.size()) return absl::InternalError("an answer out of range");
      plan->groups[group].push_back(part[i]);
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<Plan> MakePlan(const v1::ScanShard& shard, const ShardResources& resources) {
  Plan plan;
  plan.groups.resize(1);
  if (shard.only().size() % ObjectId::kBytes != 0) {
    return absl::InvalidArgumentError("a shard came with a part of an id");
  }
  std::vector<ObjectNumber> blobs = shard.only().empty()
                                        ? StoredBlobs(*resources.store)
                                        : BlobsAmong(UnpackObjectIds(shard.only()), *resources.store);
  plan.blobs_stored = blobs.size();
  if (shard.ledger_empty()) {
    plan.groups[0] = std::move(blobs);
  } else {
    RETURN_IF_ERROR(AskLedger(blobs, resources, &plan));
  }
  return plan;
}

std::vector<Piece> Cut(const Plan& plan, uint64_t piece_bytes, const ObjectStore& store) {
  std::vector<ObjectNumber> blobs;
  for (const auto& group : plan.groups) blobs.insert(blobs.end(), group.begin(), group.end());
  return CutIntoPieces(store, blobs, piece_bytes);
}

absl::Status SendPieces(std::span<const Piece> pieces, const ShardResources& resources) {
  v1::ShardEvent event;
  uint64_t blobs = 0;
  for (size_t number = 0; number < pieces.size(); ++number) {
    const std::span<const ObjectNumber> objects = pieces[number].objects;
    v1::Piece* piece = event.mutable_piece();
    piece->set_number(static_cast<uint32_t>(number));
    piece->set_bytes(pieces[number].bytes);
    for (size_t start = 0; start < objects.size(); start += kPieceObjects) {
      piece->clear_blobs();
      for (const ObjectNumber blob : objects.subspan(start, std::min(kPieceObjects, objects.size() - start))) {
        piece->mutable_blobs()->append(resources.store->id(blob).raw());
      }
      RETURN_IF_ERROR(resources.channel->Send(event));
    }
    blobs += objects.size();
  }
  event.mutable_scan_cut()->set_pieces(static_cast<uint32_t>(pieces.size()));
  event.mutable_scan_cut()->set_blobs(blobs);
  return resources.channel->Send(event);
}

struct GroupTotals {
  uint64_t blobs = 0, bytes_resolved = 0, bytes_scanned = 0;
};

absl::Status ScanGroup(std::span<const ObjectNumber> blobs, const Detector& detector,
                       const VisitOptions& options, const ShardResources& resources,
                       SharedProgress& progress, GroupTotals* totals) {
  std::vector<std::unique_ptr<WalkVisitor>> visitors;
  for (int i = 0; i < resources.threads; ++i) {
    visitors.push_back(std::make_unique<ScanVisitor>(resources, detector, options, progress));
  }
  const WalkStats stats = Walk(*resources.store, blobs, options.avoid,
                               {.threads = resources.threads,
                                .current_object = resources.current_object},
                               visitors);
  totals->bytes_resolved += stats.bytes_resolved;
  for (const auto& visitor : visitors) {
    auto& scan = static_cast<ScanVisitor&>(*visitor);
    RETURN_IF_ERROR(scan.Finish());
    totals->blobs += scan.blobs_recorded();
    totals->bytes_scanned += scan.bytes_scanned();
  }
  return absl::OkStatus();
}

// The detector for a group: all rules, or those that blobs known under an older ruleset still need.
absl::StatusOr<const Detector*> DetectorFor(const Plan& plan, size_t group, const Detector& all,
                                            std::unique_ptr<Detector>* own) {
  if (group == 0) return &all;
  ASSIGN_OR_RETURN(*own, Detector::Create(all.ruleset(), plan.missing[group - 1], {}));
  return own->get();
}

void AddStoreSkips(const ObjectStore& store, v1::ScanCompleted* completed) {
  for (const std::string& broken : store.broken_files()) {
    v1::Skip* skip = completed->add_skips();
    skip->set_reason(v1::SKIP_REASON_BROKEN_FILE);
    skip->set_detail(broken);
  }
  for (const ObjectSkip& skip : store.skips()) *completed->add_skips() = ToProto(skip, false);
}

}  // namespace

absl::StatusOr<SecretKey> KeyOf(const v1::ScanShard& shard) {
  SecretKey key;
  if (shard.key().size() != key.bytes.size()) {
    return absl::InvalidArgumentError("a shard came without the key for its ids");
  }
  std::copy(shard.key().begin(), shard.key().end(), key.bytes.begin());
  return key;
}

std::vector<ObjectNumber> StoredBlobs(const ObjectStore& store) {
  std::vector<ObjectNumber> blobs;
  for (ObjectNumber object = 0; object < store.size(); ++object) {
    if (store.type(object) == ObjectType::kBlob) blobs.push_back(object);
  }
  return blobs;
}

std::vector<ObjectNumber> ValidAvoid(const google::protobuf::RepeatedField<uint32_t>& avoid,
                                     uint32_t avoid_objects, const ObjectStore& store) {
  std::vector<ObjectNumber> numbers;
  if (avoid_objects == store.size()) numbers.assign(avoid.begin(), avoid.end());
  std::sort(numbers.begin(), numbers.end());
  return numbers;
}

v1::Skip ToProto(const ObjectSkip& skip, bool poison) {
  v1::Skip proto;
  switch (skip.fault) {
    case ObjectFault::kMissing: proto.set_reason(v1::SKIP_REASON_MISSING); break;
    case ObjectFault::kDamaged: proto.set_reason(v1::SKIP_REASON_DAMAGED); break;
    case ObjectFault::kBaseMissing: proto.set_reason(v1::SKIP_REASON_BASE_MISSING); break;
    case ObjectFault::kTooLarge: proto.set_reason(v1::SKIP_REASON_TOO_LARGE); break;
    case ObjectFault::kTruncated: proto.set_reason(v1::SKIP_REASON_TRUNCATED); break;
  }
  if (poison) proto.set_reason(v1::SKIP_REASON_POISON);
  if (skip.id != ObjectId()) proto.set_object_id(skip.id.bytes.data(), skip.id.bytes.size());
  proto.set_object_bytes(skip.object_bytes);
  proto.set_detail(poison ? "the scanning process died on this object" : skip.detail);
  return proto;
}

absl::Status ScanShard(const v1::ScanShard& shard, double open_seconds,
                       const ShardResources& resources) {
  const std::vector<ObjectNumber> avoid =
      ValidAvoid(shard.avoid(), shard.avoid_objects(), *resources.store);
  VisitOptions options;
  options.full_mode = shard.full_mode();
  options.now = shard.now();
  options.avoid = avoid;
  ASSIGN_OR_RETURN(options.key, KeyOf(shard));

  ASSIGN_OR_RETURN(const Plan plan, MakePlan(shard, resources));
  SharedProgress progress;
  for (const auto& group : plan.groups) progress.total += group.size();
  v1::ShardEvent event;
  event.mutable_planned()->set_objects(resources.store->size());
  event.mutable_planned()->set_blobs(static_cast<uint32_t>(progress.total));
  RETURN_IF_ERROR(resources.channel->Send(event));

  if (shard.cut_bytes() > 0) {
    const std::vector<Piece> pieces = Cut(plan, shard.cut_bytes(), *resources.store);
    if (pieces.size() > 1) return SendPieces(pieces, resources);
  }
  const absl::Time start = absl::Now();
  GroupTotals totals;
  for (size_t group = 0; group < plan.groups.size(); ++group) {
    if (plan.groups[group].empty()) continue;
    options.rules = static_cast<uint32_t>(group);
    std::unique_ptr<Detector> own;
    ASSIGN_OR_RETURN(const Detector* detector,
                     DetectorFor(plan, group, *resources.detector, &own));
    RETURN_IF_ERROR(
        ScanGroup(plan.groups[group], *detector, options, resources, progress, &totals));
  }
  v1::ScanCompleted* completed = event.mutable_scan_completed();
  completed->set_blobs(plan.blobs_stored);
  completed->set_blobs_scanned(totals.blobs);
  completed->set_bytes_resolved(totals.bytes_resolved);
  completed->set_bytes_scanned(totals.bytes_scanned);
  completed->set_open_seconds(open_seconds);
  completed->set_scan_seconds(absl::ToDoubleSeconds(absl::Now() - start));
  if (shard.only().empty()) AddStoreSkips(*resources.store, completed);
  return resources.channel->Send(event);
}

}  // namespace unsprawl
