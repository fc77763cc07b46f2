#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "unsprawl/v1/cluster.pb.h"
#include "unsprawl/v1/shard_table.pb.h"
#include "worker/metrics.h"

namespace unsprawl {

// "LOST"
std::string ErrorWord(v1::ErrorClass error);

// What a coordinator counts of what it is asked and told. (What is at the moment: RunKeeper::Collect.) Thread-safe.
class ClusterMetrics {
 public:
  ClusterMetrics();

  const std::shared_ptr<prometheus::Registry>& registry() const { return registry_; }
  RpcMetrics& rpc() { return rpc_; }

  void Lent() { lent_.Increment(); }
  void Completed() { completed_.Increment(); }
  // A lease that is over, for how long since it was given (or taken up again after a restart).
  void Held(absl::Duration time) { held_seconds_.Observe(absl::ToDoubleSeconds(time)); }
  // `scoped`: GivenToken::scoped.
  void GaveToken(const absl::Status& scoped);
  // `parked`: that was its last attempt.
  void Failed(v1::ErrorClass error, bool parked);
  void Looked(const v1::LookupAnswer& answer);
  // What an event brings.
  struct Content {
    uint64_t blobs = 0, bytes = 0, commits = 0, places = 0;
  };
  static Content Of(const v1::ShardEvent& event);
  void Took(const Content& content);

 private:
  const std::shared_ptr<prometheus::Registry> registry_ = std::make_shared<prometheus::Registry>();
  RpcMetrics rpc_{*registry_, "unsprawl_coordinator_rpc_seconds"};
  prometheus::Family<prometheus::Counter>&failed_, &parked_, &tokens_;
  prometheus::Counter &lent_, &completed_, &asked_, &known_, &blobs_, &bytes_, &commits_, &places_;
  prometheus::Histogram& held_seconds_;
};

}  // namespace unsprawl
