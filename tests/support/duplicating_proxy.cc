#include "tests/support/duplicating_proxy.h"

#include <grpcpp/server_builder.h>
#include <gtest/gtest.h>

#include <chrono>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "worker/coordinator_client.h"
#include "worker/transport.h"

namespace unsprawl {
namespace {

constexpr std::chrono::seconds kDeadline{100};  // a worker's
constexpr uint32_t kLatest = 20;                // calls before a duplicate

}  // namespace

// One of the worker's, from its first byte to its answer.
class DuplicatingProxy::Call final : public grpc::ServerGenericBidiReactor {
 public:
  Call(DuplicatingProxy& proxy, std::string method) : proxy_(proxy), method_(std::move(method)) {
    StartRead(&request_);
  }

  void OnReadDone(bool ok) override {
    if (!ok) return Finish(grpc::Status(grpc::StatusCode::CANCELLED, "a call without a message"));
    proxy_.HandOn(method_, request_, [this](const grpc::Status& status, const grpc::ByteBuffer& reply) {
      if (!status.ok()) return Finish(status);
      reply_ = reply;
      StartWriteAndFinish(&reply_, {}, status);
    });
  }
  void OnDone() override { delete this; }

 private:
  DuplicatingProxy& proxy_;
  const std::string method_;
  grpc::ByteBuffer request_, reply_;
};

class DuplicatingProxy::Service final : public grpc::CallbackGenericService {
 public:
  explicit Service(DuplicatingProxy& proxy) : proxy_(proxy) {}
  grpc::ServerGenericBidiReactor* CreateReactor(grpc::GenericCallbackServerContext* context) override {
    return new Call(proxy_, context->method());  // It ends itself.
  }

 private:
  DuplicatingProxy& proxy_;
};

DuplicatingProxy::DuplicatingProxy(std::string address, const CertificateFiles& coordinator, CertificateFiles worker,
                                   uint32_t seed)
    : address_(std::move(address)),
      worker_(std::move(worker)),
      random_(seed),
      service_(std::make_unique<Service>(*this)) {
  Reconnect();
  const auto credentials = ServerCredentials("127.0.0.1:0", coordinator, absl::Now());
  EXPECT_TRUE(credentials.ok()) << credentials.status();
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", credentials.value(), &port_);
  builder.RegisterCallbackGenericService(service_.get());
  builder.SetMaxReceiveMessageSize(kMaxMessageBytes);
  builder.SetMaxSendMessageSize(kMaxAnswerBytes);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 10'000);  // as a coordinator
  server_ = builder.BuildAndStart();
}

DuplicatingProxy::~DuplicatingProxy() {
  server_->Shutdown(std::chrono::system_clock::now());
  MutexLock lock(mutex_);
  while (under_way_ > 0) changed_.wait(mutex_);
}

void DuplicatingProxy::Reconnect() {
  grpc::ChannelArguments arguments = ChannelArguments();
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);  // A worker's own pauses are long enough.
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 200);
  const auto channel = OpenChannel(address_, worker_, absl::Now(), arguments);
  EXPECT_TRUE(channel.ok()) << channel.status();
  MutexLock lock(mutex_);
  stub_ = std::make_shared<grpc::GenericStub>(channel.value());
}

void DuplicatingProxy::DuplicateUntil(absl::Time end) {
  MutexLock lock(mutex_);
  until_ = end;
}

uint64_t DuplicatingProxy::calls(const std::string& method) const {
  MutexLock lock(mutex_);
  const auto found = calls_.find("/unsprawl.v1.WorkerService/" + method);
  return found == calls_.end() ? 0 : found->second;
}

DuplicatingProxy::Duplicates DuplicatingProxy::duplicates() const {
  MutexLock lock(mutex_);
  return duplicates_;
}

void DuplicatingProxy::HandOn(const std::string& method, const grpc::ByteBuffer& request, const Answer& answer) {
  std::vector<Late> due;
  enum class How { kOnce, kAtOnce, kInTurn } how = How::kOnce;
  bool second = false;  // its answer is the worker's
  {
    MutexLock lock(mutex_);
    ++calls_[method];
    for (auto late = late_.begin(); late != late_.end();) {
      if (--late->calls_before > 0) {
        ++late;
      } else {
        due.push_back(std::move(*late));
        late = late_.erase(late);
      }
    }
    if (absl::Now() < until_) {
      second = random_() % 2 == 0;
      switch (random_() % 3) {
        case 0: how = How::kAtOnce; ++duplicates_.at_once; break;
        case 1: how = How::kInTurn; ++duplicates_.in_turn; break;
        default: late_.push_back({method, request, 1 + static_cast<uint32_t>(random_() % kLatest)});
      }
    }
    duplicates_.late += static_cast<int>(due.size());
  }
  const Answer nobody = [](const grpc::Status&, const grpc::ByteBuffer&) {};
  for (const Late& late : due) Send(late.method, late.request, nobody);
  switch (how) {
    case How::kOnce: Send(method, request, answer); break;
    case How::kAtOnce:
      Send(method, request, second ? nobody : answer);
      Send(method, request, second ? answer : nobody);
      break;
    case How::kInTurn:
      Send(method, request, [=, this](const grpc::Status& status, const grpc::ByteBuffer& reply) {
        if (!second) answer(status, reply);
        Send(method, request, second ? answer : nobody);
      });
  }
}

void DuplicatingProxy::Send(const std::string& method, const grpc::ByteBuffer& request, const Answer& answer) {
  struct Sent {
    grpc::ClientContext context;
    grpc::ByteBuffer request, reply;
  };
  const auto sent = std::make_shared<Sent>();
  sent->request = request;
  sent->context.set_deadline(std::chrono::system_clock::now() + kDeadline);
  std::shared_ptr<grpc::GenericStub> stub;
  {
    MutexLock lock(mutex_);
    ++under_way_;
    stub = stub_;
  }
  stub->UnaryCall(&sent->context, method, {}, &sent->request, &sent->reply, [this, sent, answer](grpc::Status status) {
    answer(status, sent->reply);
    MutexLock lock(mutex_);
    --under_way_;
    changed_.notify_all();
  });
}

}  // namespace unsprawl
