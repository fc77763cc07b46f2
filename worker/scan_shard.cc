#include "worker/scan_shard.h"

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "engine/archive/archive.h"
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
constexpr size_t kBatchBlobs = 1 << 13;
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
  bool archives = false;  // look into them
  uint32_t rules = 0;  // BlobBatch::rules
  SecretKey key;
  int64_t now = 0;
  std::span<const ObjectNumber> avoid;
};

// kMaxMatchesOfBlob + 1 of them if there are more, as many of each rule as of any other that has them, in their order.
template <typename Match, typename RuleOf>
void KeepSomeOfEachRule(std::vector<Match>* all, RuleOf rule_of) {
  if (all->size() <= kMaxMatchesOfBlob) return;
  std::map<uint64_t, std::vector<size_t>> by_rule;
  for (size_t i = 0; i < all->size(); ++i) by_rule[rule_of((*all)[i])].push_back(i);
  std::vector<size_t> kept;
  for (size_t round = 0; kept.size() <= kMaxMatchesOfBlob && round < all->size(); ++round) {
    for (const auto& [rule, of_rule] : by_rule) {
      if (round < of_rule.size() && kept.size() <= kMaxMatchesOfBlob) kept.push_back(of_rule[round]);
    }
  }
  std::sort(kept.begin(), kept.end());
  std::vector<Match> some;
  for (const size_t i : kept) some.push_back(std::move((*all)[i]));
  *all = std::move(some);
}

uint32_t TraitsOfGaps(uint32_t gaps) {
  return (gaps & kGapEncrypted ? v1::CONTENT_TRAIT_ENCRYPTED : 0) | (gaps & kGapDamaged ? v1::CONTENT_TRAIT_DAMAGED : 0) |
         (gaps & kGapBeyond ? v1::CONTENT_TRAIT_BEYOND : 0) | (gaps & kGapUnread ? v1::CONTENT_TRAIT_UNREAD : 0) |
         (gaps & kGapGitData ? v1::CONTENT_TRAIT_GIT_DATA : 0);
}

// Matches and examines the blobs of one thread, and sends them in batches.
class ScanVisitor : public WalkVisitor {
 public:
  ScanVisitor(const ShardResources& resources, const Detector& detector,
              const VisitOptions& options, SharedProgress& progress)
      : resources_(resources),
        detector_(detector),
        options_(options),
        progress_(progress),
        scanner_(detector) {}

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
    if (batch_blobs_ >= kBatchBlobs || batch_matches_ >= kBatchMatches) Flush();
  }

  void Skip(ObjectNumber object, const ObjectSkip& skip) override {
    const bool poison =
        std::binary_search(options_.avoid.begin(), options_.avoid.end(), object);
    *BatchOf(0).add_skips() = ToProto(skip, poison);
    progress_.objects.fetch_add(1, std::memory_order_relaxed);
    if (++batch_blobs_ >= kBatchBlobs) Flush();
  }

  // Sends what is left. Call on the shard's thread after the walk.
  absl::Status Finish() {
    Flush();
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
    const Decoding decoding = DecodeText(object.content, resources_.max_object_bytes, &decoded_);
    const bool is_decoded = decoding == Decoding::kDecoded;
    const ArchiveKind kind = KindOfArchive(object.content, is_decoded ? std::string_view(decoded_) : std::string_view());
    const bool enters = options_.archives && IsArchive(kind);
    if (decoding == Decoding::kTooLarge && !enters) return AddSkip(object.number, v1::SKIP_REASON_TOO_LARGE);
    if (is_decoded) {
      scanner_.ScanFull(decoded_, &slots_[object.slot].matches);
    } else {
      Scan(object);
    }
    BlobMatches& matches = slots_[object.slot].matches;
    const std::string_view text = is_decoded ? decoded_ : object.content;
    if (enters) return EnterAndRecord(object, text, matches);
    if (matches.too_much) return SkipTooMuch(object);
    found_.clear();
    AddMatches(matches, text, {}, &found_);
    Record(object, IsArchive(kind)                 ? v1::CONTENT_TRAIT_ARCHIVE
                   : kind == ArchiveKind::kGitData ? v1::CONTENT_TRAIT_GIT_DATA
                                                   : v1::CONTENT_TRAIT_NONE);
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

  // Not recorded, so that it is said again in the next run: what was not found is not clean.
  void SkipTooMuch(const WalkedObject& object) { AddSkip(object.number, v1::SKIP_REASON_TRUNCATED); }

  // Where in a blob a text stands: Match::member, and what Match::offset begins with.
  struct Place {
    std::string_view member = {};
    uint64_t offset = 0;
  };

  // An archive whose own bytes, `text`, have `matches`. What a member holds stands in the archive's bytes as well where
  // they are not compressed: of equal secrets the innermost are kept.
  void EnterAndRecord(const WalkedObject& object, std::string_view text, const BlobMatches& matches) {
    found_.clear();
    std::vector<v1::Match> of_archives;
    absl::flat_hash_set<std::pair<uint64_t, std::string>> in_members;
    AddMatches(matches, text, {}, &of_archives);
    bool too_much = matches.too_much;
    Place place = {.offset = text.size() + 1};
    BlobMatches inner;
    const uint32_t gaps = VisitMembers(
        object.content, {.max_bytes = resources_.max_object_bytes}, [&](const ArchiveMember& member) {
          std::string decoded;
          const bool is_decoded = DecodeText(member.content, resources_.max_object_bytes, &decoded) == Decoding::kDecoded;
          const std::string_view shown = is_decoded ? decoded : member.content;
          scanner_.ScanFull(shown, &inner);
          too_much |= inner.too_much;
          place.member = member.path;
          std::vector<v1::Match>& into = member.is_archive ? of_archives : found_;
          const size_t before = into.size();
          AddMatches(inner, shown, place, &into);
          for (size_t i = before; !member.is_archive && i < into.size(); ++i) {
            in_members.emplace(into[i].rule(), into[i].secret());
          }
          if (into.size() > 2 * kMaxMatchesOfBlob) KeepSomeOfEachRule(&into, [](const v1::Match& m) { return m.rule(); });
          place.offset += shown.size() + 1;
        });
    if (too_much) return SkipTooMuch(object);
    for (v1::Match& match : of_archives) {
      if (!in_members.contains(std::make_pair(match.rule(), match.secret()))) found_.push_back(std::move(match));
    }
    Record(object, v1::CONTENT_TRAIT_ARCHIVE | v1::CONTENT_TRAIT_LOOKED_INTO | TraitsOfGaps(gaps));
  }

  // Some of each rule where there are many.
  void AddMatches(const BlobMatches& matches, std::string_view text, const Place& place, std::vector<v1::Match>* found) {
    if (matches.matches.empty()) return;
    std::span<const RawMatch> all = matches.matches;
    if (all.size() > kMaxMatchesOfBlob) {
      some_.assign(all.begin(), all.end());
      KeepSomeOfEachRule(&some_, [](const RawMatch& match) { return match.rule; });
      all = some_;
    }
    const std::vector<MatchFeatures> features = Examine(detector_.ruleset(), all, text, options_.key, options_.now);
    for (size_t i = 0; i < all.size(); ++i) {
      if (!detector_.wanted(all[i].rule)) continue;
      v1::Match& added = found->emplace_back();
      AddMatch(all[i], features[i], &added);
      added.set_offset(added.offset() + place.offset);
      added.set_member(std::string(place.member));
    }
  }

  // With the matches in found_.
  void Record(const WalkedObject& object, uint32_t traits) {
    const ObjectId id = resources_.store->id(object.number);
    v1::BlobBatch& batch = BatchOf(traits);
    ++blobs_recorded_;
    ++batch_blobs_;
    batch.set_bytes_resolved(batch.bytes_resolved() + object.content.size());
    if (found_.empty()) {
      batch.mutable_clean()->append(id.raw());
      batch.add_clean_bytes(object.content.size());
      return;
    }
    KeepSomeOfEachRule(&found_, [](const v1::Match& match) { return match.rule(); });
    std::sort(found_.begin(), found_.end(), [](const v1::Match& a, const v1::Match& b) {
      return std::make_tuple(a.offset(), a.length(), a.rule()) < std::make_tuple(b.offset(), b.length(), b.rule());
    });
    v1::BlobHit* hit = batch.add_hits();
    hit->set_object_id(id.bytes.data(), id.bytes.size());
    hit->set_object_bytes(object.content.size());
    for (v1::Match& match : found_) *hit->add_matches() = std::move(match);
    batch_matches_ += found_.size();
    progress_.matches.fetch_add(found_.size(), std::memory_order_relaxed);
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
    v1::Skip* skip = BatchOf(0).add_skips();
    ++batch_blobs_;
    skip->set_reason(reason);
    const ObjectId id = resources_.store->id(object);
    skip->set_object_id(id.bytes.data(), id.bytes.size());
  }

  // What is sent next of blobs with these traits.
  v1::BlobBatch& BatchOf(uint32_t traits) {
    v1::BlobBatch& batch = *batches_[traits].mutable_blobs();
    batch.set_rules(options_.rules);
    batch.set_traits(traits);
    return batch;
  }

  void Flush() {
    for (auto& [traits, event] : batches_) {
      const v1::BlobBatch& batch = event.blobs();
      if (batch.clean_bytes_size() + batch.hits_size() + batch.skips_size() == 0) continue;
      status_.Update(resources_.channel->Send(event));
      event.mutable_blobs()->Clear();
    }
    batch_blobs_ = batch_matches_ = 0;
  }

  const ShardResources& resources_;
  const Detector& detector_;
  const VisitOptions& options_;
  SharedProgress& progress_;
  BlobScanner scanner_;
  std::vector<Slot> slots_;
  std::string decoded_;         // the text of the blob at hand, if it had to be decoded
  std::vector<v1::Match> found_;  // in the blob at hand
  std::vector<RawMatch> some_;  // what is recorded of a text with too many
  std::map<uint32_t, v1::ShardEvent> batches_;  // by traits
  size_t batch_blobs_ = 0, batch_matches_ = 0;
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
  options.archives = shard.archives();
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
