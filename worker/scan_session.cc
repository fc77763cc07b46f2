#include "worker/scan_session.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "absl/time/clock.h"
#include "engine/base/status.h"
#include "engine/git/object_store.h"
#include "engine/git/repository.h"
#include "engine/history/reach.h"
#include "unsprawl/v1/shard.pb.h"
#include "worker/locate_shard.h"
#include "worker/scan_shard.h"
#include "worker/scanner_process.h"

namespace unsprawl {
namespace {

// The state of one session: what `open` found, and the object store once it is needed.
class Session {
 public:
  Session(FrameChannel& channel, const Detector& detector, std::atomic<uint32_t>* current_object)
      : channel_(channel), detector_(detector), current_object_(current_object) {}

  absl::Status Answer(const v1::ShardCommand& command) {
    switch (command.command_case()) {
      case v1::ShardCommand::kOpen: return Open(command.open());
      case v1::ShardCommand::kScan: return Scan(command.scan());
      case v1::ShardCommand::kLocate: return LocateTargets(command.locate());
      default: return absl::InvalidArgumentError("a command out of order");
    }
  }

 private:
  absl::Status Open(const v1::OpenRepository& request) {
    open_ = request;
    ASSIGN_OR_RETURN(paths_, FindRepository(request.path()));
    ASSIGN_OR_RETURN(state_, ReadRepositoryState(paths_));
    v1::ShardEvent event;
    v1::RepositoryOpened* opened = event.mutable_opened();
    opened->set_tips_digest(TipsDigest(state_));
    opened->set_head_ref(state_.head_ref);
    opened->set_refs(state_.refs.size());
    opened->set_shallow(state_.is_shallow);
    opened->set_partial(state_.is_partial);
    for (const std::string& name : state_.broken_refs) {
      v1::Skip* skip = opened->add_skips();
      skip->set_reason(v1::SKIP_REASON_BROKEN_FILE);
      skip->set_detail("ref cannot be resolved: " + name);
    }
    return channel_.Send(event);
  }

  absl::Status Scan(const v1::ScanShard& shard) {
    ASSIGN_OR_RETURN(key_, KeyOf(shard));
    RETURN_IF_ERROR(OpenObjects(shard));
    return ScanShard(shard, open_seconds_, Resources());
  }

  absl::Status LocateTargets(const v1::LocateShard& shard) {
    RETURN_IF_ERROR(OpenObjects(shard));
    return LocateShard(shard, state_, Resources());
  }

  // `shard`: the first of either kind.
  template <typename Shard>
  absl::Status OpenObjects(const Shard& shard) {
    if (store_ != nullptr) return absl::OkStatus();
    const absl::Time start = absl::Now();
    ASSIGN_OR_RETURN(store_, ObjectStore::Open(paths_.common_dir / "objects",
                                               {.max_object_bytes = open_.max_object_bytes(),
                                                .threads = threads()}));
    if (open_.borrows()) {
      ASSIGN_OR_RETURN(std::vector<bool> own,
                       ReachedObjects(*store_, state_, UnpackObjectIds(open_.lost_tips()),
                                      ValidAvoid(shard.avoid(), shard.avoid_objects(), *store_),
                                      {.threads = threads(), .current_object = current_object_}));
      store_->KeepOnly(std::move(own));
    }
    open_seconds_ = absl::ToDoubleSeconds(absl::Now() - start);
    return absl::OkStatus();
  }

  int threads() const { return std::clamp<int>(static_cast<int>(open_.threads()), 1, kMaxScanThreads); }

  ShardResources Resources() const {
    return {.channel = &channel_,
            .store = store_.get(),
            .detector = &detector_,
            .current_object = current_object_,
            .threads = threads(),
            .max_object_bytes = open_.max_object_bytes(),
            .key = key_};
  }

  FrameChannel& channel_;
  const Detector& detector_;
  std::atomic<uint32_t>* const current_object_;
  v1::OpenRepository open_;
  std::optional<SecretKey> key_;  // of the last scan shard
  RepositoryPaths paths_;
  RepositoryState state_;
  std::unique_ptr<ObjectStore> store_;
  double open_seconds_ = 0;
};

}  // namespace

void ServeRepository(FrameChannel& channel, const Detector& detector,
                     std::atomic<uint32_t>* current_object) {
  Session session(channel, detector, current_object);
  v1::ShardCommand command;
  while (channel.Receive(&command).ok()) {
    const absl::Status answered = session.Answer(command);
    if (answered.ok()) continue;
    v1::ShardEvent event;
    event.mutable_failure()->set_code(static_cast<int>(answered.code()));
    event.mutable_failure()->set_message(std::string(answered.message()));
    (void)channel.Send(event);  // If the other side is gone there is nobody left to tell.
    return;
  }
}

}  // namespace unsprawl
