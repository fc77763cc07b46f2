#include "coordinator/cluster/lent_shard.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_format.h"
#include "engine/base/object_id.h"
#include "engine/base/status.h"
#include "engine/git/cut.h"
#include "worker/log.h"

namespace unsprawl {
namespace {

// A repository takes a few. Its worker cannot use up what all others need.
constexpr int kMaxAsked = 30;
// Of a lease: scanners may die of a repository 64 times.
constexpr size_t kMaxPasses = 100;
// Of the ids in all pieces of a repository: as many as the largest have.
constexpr size_t kMaxPiecesBytes = size_t{1} << 30;

v1::Failure ToFailure(const absl::Status& status) {
  v1::Failure failure;
  failure.set_code(static_cast<int>(status.code()));
  failure.set_message(std::string(status.message()));
  return failure;
}

}  // namespace

std::vector<LogField> LeaseFields(uint64_t run, const ShardLease& lease, std::initializer_list<LogField> more) {
  std::vector<LogField> fields = {
      {"run", run}, {"shard", lease.shard}, {"worker", lease.worker}, {"epoch", lease.epoch}};
  fields.insert(fields.end(), more);
  return fields;
}

LentShard::LentShard(std::shared_ptr<ActiveRun> run, RemoteTarget target, std::string lender,
                     LocalLease::Shard shard)
    : run_(std::move(run)),
      target_(std::move(target)),
      lease_id_(shard.fence),
      part_(shard.part),
      may_cut_(shard.cut_bytes > 0),
      lender_(std::move(lender)),
      since_(run_->clock().Now()),
      lease_(target_, run_->resources(), run_->dropped_asked(), std::move(shard)) {}

absl::Status LentShard::CheckRepository(const std::string& key) const {
  if (key.empty() || key == target_.key) return absl::OkStatus();
  return absl::AbortedError(absl::StrFormat("shard %d is of another repository by now", lease_id_.shard));
}

std::string LentShard::MayHaveMore(const v1::PassBeginning& beginning) {
  const bool lacks = std::any_of(beginning.skips().begin(), beginning.skips().end(), [](const v1::Skip& skip) {
    return skip.reason() == v1::SKIP_REASON_UNOBTAINABLE;
  });
  MutexLock lock(mutex_);
  const std::string& home = known_.note().worker();
  return lacks && home != lease_id_.worker ? home : "";
}

absl::Status LentShard::LookUp() {
  MutexLock lock(mutex_);
  ASSIGN_OR_RETURN(known_, lease_.LookUp());
  return absl::OkStatus();
}

absl::StatusOr<v1::LentShard> LentShard::ToProto() {
  MutexLock lock(mutex_);
  v1::LentShard lent;
  lent.mutable_lease()->set_worker(lease_id_.worker);
  lent.mutable_lease()->set_shard(lease_id_.shard);
  lent.mutable_lease()->set_epoch(lease_id_.epoch);
  *lent.mutable_target() = lease_.target();
  *lent.mutable_known() = known_;
  const absl::StatusOr<std::vector<GivenToken>> tokens = AuthorizationsToGive(target_);
  if (absl::IsCancelled(tokens.status())) return tokens.status();
  RETURN_IF_ERROR(Give(tokens, &lent));
  lent.set_lender(lender_);
  return lent;
}

template <typename Message>
absl::Status LentShard::Give(const absl::StatusOr<std::vector<GivenToken>>& tokens, Message* message) {
  if (!tokens.ok()) {
    *message->mutable_refused() = ToFailure(tokens.status());
    return absl::OkStatus();
  }
  v1::Credentials given = v1::CREDENTIALS_NONE;
  for (const GivenToken& token : *tokens) {
    message->add_authorizations(token.value);
    if (token.value.empty()) continue;
    given = std::max(given, token.scoped.ok() ? v1::CREDENTIALS_SCOPED : v1::CREDENTIALS_UNSCOPED);
    run_->metrics().GaveToken(token.scoped);
    if (token.scoped.ok()) continue;
    if (absl::IsUnimplemented(token.scoped)) continue;  // As it is for every lease of its scope.
    Log(LogLevel::kWarning, "unscoped_token",
        LeaseFields(run_->id(), lease_id_,
                    {{"repository", target_.key}, {"name", target_.name},
                     {"code", CodeName(static_cast<int>(token.scoped.code()))}, {"error", token.scoped}}));
  }
  if (given == v1::CREDENTIALS_NONE) return absl::OkStatus();
  return run_->resources().ledger->shards().Give(lease_id_, given, run_->clock().Now());
}

absl::Status LentShard::MayAsk() const {
  if (asked_ < kMaxAsked) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrFormat("its forge was asked %d times for one lease", kMaxAsked));
}

bool LentShard::IsAnswer(const absl::Status& status) {
  if (absl::IsCancelled(status)) return false;
  const absl::Time now = run_->clock().Now();
  if (absl::IsDeadlineExceeded(status)) {
    if (waits_since_ == absl::InfiniteFuture()) {
      waits_since_ = now;
      Log(LogLevel::kInfo, "limited",
          LeaseFields(run_->id(), lease_id_, {{"name", target_.name}, {"error", status}}));
    }
    if (now - waits_since_ < kMaxLimitWait) return false;
  }
  waits_since_ = absl::InfiniteFuture();
  ++asked_;
  return true;
}

absl::StatusOr<v1::ForgeReply> LentShard::AskForge() {
  MutexLock lock(mutex_);
  v1::ForgeReply reply;
  const absl::Status may = MayAsk();
  const absl::StatusOr<std::string> url = may.ok() ? lease_.AskForge() : may;
  if (!IsAnswer(url.status())) return url.status();
  if (url.ok()) {
    reply.set_url(*url);
  } else {
    *reply.mutable_failure() = ToFailure(url.status());
  }
  return reply;
}

absl::StatusOr<v1::TokensReply> LentShard::RenewTokens() {
  MutexLock lock(mutex_);
  v1::TokensReply reply;
  absl::Status given = MayAsk();
  if (given.ok()) given = lease_.RenewTokens();
  if (given.ok()) {
    reply.set_renewed(true);
    const absl::StatusOr<std::vector<GivenToken>> tokens = AuthorizationsToGive(target_);
    RETURN_IF_ERROR(Give(tokens, &reply));
    given = tokens.status();
  }
  if (!IsAnswer(given)) return given;
  return reply;
}

absl::StatusOr<v1::DroppedCommits> LentShard::ListDropped(const v1::FetchNote& before) {
  MutexLock lock(mutex_);
  RETURN_IF_ERROR(MayAsk());
  const absl::StatusOr<v1::DroppedCommits> dropped = lease_.ListDropped(before);
  if (IsAnswer(dropped.status()) && absl::IsDeadlineExceeded(dropped.status())) return v1::DroppedCommits();
  return dropped;
}

absl::StatusOr<v1::BeginReply> LentShard::Begin(const v1::BeginRequest& request) {
  MutexLock lock(mutex_);
  if (request.nonce() == nonce_) return begun_;  // Sent again.
  // Late: it would undo what came after it.
  if (std::find(passes_.begin(), passes_.end(), request.nonce()) != passes_.end()) {
    return absl::AbortedError("a pass that is over");
  }
  nonce_ = 0;
  pieces_.clear();
  pieces_bytes_ = 0;
  ASSIGN_OR_RETURN(*begun_.mutable_begun(), lease_.Begin(request.beginning()));
  nonce_ = request.nonce();
  sequence_ = 0;
  passes_.push_back(nonce_);
  if (passes_.size() > kMaxPasses) passes_.pop_front();
  return begun_;
}

absl::StatusOr<v1::TellReply> LentShard::Tell(v1::TellRequest* request) {
  MutexLock lock(mutex_);
  v1::TellReply reply;
  if (request->nonce() == nonce_ && request->sequence() == sequence_ && sequence_ > 0) return last_;  // Sent again.
  if (nonce_ == 0 || request->nonce() != nonce_ || request->sequence() != sequence_ + 1) {
    reply.set_begin_again(true);
    return reply;
  }
  // What fails half way was taken half way: only another pass mends that.
  const uint64_t nonce = std::exchange(nonce_, 0);
  const ClusterMetrics::Content content = ClusterMetrics::Of(request->event());
  ASSIGN_OR_RETURN(*reply.mutable_command(), Answer(request->mutable_event()));
  run_->metrics().Took(content);
  nonce_ = nonce;
  sequence_ = request->sequence();
  last_ = reply;
  return reply;
}

absl::StatusOr<v1::ShardCommand> LentShard::Answer(v1::ShardEvent* event) {
  v1::ShardCommand command;
  std::optional<v1::LocateShard> locate;
  switch (event->event_case()) {
    case v1::ShardEvent::kLookup: {
      ASSIGN_OR_RETURN(*command.mutable_lookup(), lease_.Lookup(event->lookup()));
      run_->metrics().Looked(command.lookup());
      break;
    }
    case v1::ShardEvent::kBlobs: RETURN_IF_ERROR(lease_.TakeBlobs(event->mutable_blobs())); break;
    case v1::ShardEvent::kCommits: RETURN_IF_ERROR(lease_.TakeCommits(event->commits())); break;
    case v1::ShardEvent::kPlaces: RETURN_IF_ERROR(lease_.TakePlaces(event->places())); break;
    case v1::ShardEvent::kPiece: RETURN_IF_ERROR(TakePiece(event->mutable_piece())); break;
    case v1::ShardEvent::kScanCut: RETURN_IF_ERROR(CutUp()); break;
    case v1::ShardEvent::kScanCompleted: {
      ASSIGN_OR_RETURN(locate, lease_.CompleteScan(event->scan_completed()));
      break;
    }
    case v1::ShardEvent::kLocateCompleted: {
      ASSIGN_OR_RETURN(locate, lease_.CompleteLocate(event->locate_completed()));
      break;
    }
    default: return absl::InvalidArgumentError("an event that is none of a pass");
  }
  if (locate) *command.mutable_locate() = *std::move(locate);
  return command;
}

absl::Status LentShard::TakePiece(v1::Piece* said) {
  pieces_bytes_ += said->blobs().size();
  if (!may_cut_ || said->number() >= kMaxPieces || said->blobs().size() % ObjectId::kBytes != 0 ||
      pieces_bytes_ > kMaxPiecesBytes) {
    return absl::InvalidArgumentError(absl::StrFormat("piece %d of %d bytes of ids, which nobody asked for",
                                                      said->number(), said->blobs().size()));
  }
  ShardTable::Piece& piece = pieces_[said->number()];
  piece.size = said->bytes();
  piece.payload += said->blobs();
  return absl::OkStatus();
}

absl::Status LentShard::CutUp() {
  std::vector<ShardTable::Piece> pieces;
  for (auto& [number, piece] : pieces_) {
    v1::ShardPayload payload;
    payload.set_blobs(std::move(piece.payload));
    pieces.push_back({.size = piece.size, .payload = payload.SerializeAsString()});
  }
  pieces_.clear();
  RETURN_IF_ERROR(run_->resources().ledger->shards().Cut(lease_id_, pieces, run_->clock().Now()));
  Log(LogLevel::kInfo, "cut", LeaseFields(run_->id(), lease_id_, {{"parts", pieces.size()}}));
  return absl::OkStatus();
}

absl::Status LentShard::End(const v1::TargetEnd& end) {
  MutexLock lock(mutex_);
  if (ended_) return *ended_;  // Two calls say so at once.
  const absl::Status ended = lease_.End(end);
  if (!absl::IsFailedPrecondition(ended)) ended_ = ended;
  return ended;
}

}  // namespace unsprawl
