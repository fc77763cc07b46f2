// Hands calls of a coordinator on, and some of them twice.
#pragma once

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/server.h>

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <random>
#include <string>

#include "absl/time/time.h"
#include "engine/base/mutex.h"
#include "worker/certificate.h"

namespace unsprawl {

// Stands between one worker and its coordinator, as a network may that sends again what has arrived. Thread-safe.
class DuplicatingProxy {
 public:
  // Listens on loopback with a coordinator's certificate, and calls the one at `address` with the worker's: by that it
  // is known there. `seed`: of what becomes of which call.
  DuplicatingProxy(std::string address, const CertificateFiles& coordinator, CertificateFiles worker, uint32_t seed);
  ~DuplicatingProxy();  // Waits for what is under way.

  int port() const { return port_; }
  // Until then the same bytes go to the coordinator twice: both at once, the second after the answer to the first
  // (the worker gets either's), or only when up to 20 later calls have been made; then it may come after `end`.
  void DuplicateUntil(absl::Time end) ABSL_LOCKS_EXCLUDED(mutex_);
  // Calls by a new connection from now on: a certificate is shown once in each.
  void Reconnect() ABSL_LOCKS_EXCLUDED(mutex_);

  // Calls of a method ("Begin") that came in.
  uint64_t calls(const std::string& method) const ABSL_LOCKS_EXCLUDED(mutex_);
  struct Duplicates {
    int at_once = 0, in_turn = 0, late = 0;
  };
  Duplicates duplicates() const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  class Call;
  class Service;
  using Answer = std::function<void(const grpc::Status&, const grpc::ByteBuffer&)>;
  struct Late {
    std::string method;
    grpc::ByteBuffer request;
    uint32_t calls_before = 0;
  };

  void HandOn(const std::string& method, const grpc::ByteBuffer& request, const Answer& answer)
      ABSL_LOCKS_EXCLUDED(mutex_);
  void Send(const std::string& method, const grpc::ByteBuffer& request, const Answer& answer)
      ABSL_LOCKS_EXCLUDED(mutex_);

  const std::string address_;
  const CertificateFiles worker_;
  mutable Mutex mutex_;
  std::condition_variable_any changed_;
  std::shared_ptr<grpc::GenericStub> stub_ ABSL_GUARDED_BY(mutex_);
  std::mt19937 random_ ABSL_GUARDED_BY(mutex_);
  absl::Time until_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
  std::list<Late> late_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, uint64_t> calls_ ABSL_GUARDED_BY(mutex_);  // by "/unsprawl.v1.WorkerService/Begin"
  Duplicates duplicates_ ABSL_GUARDED_BY(mutex_);
  size_t under_way_ ABSL_GUARDED_BY(mutex_) = 0;  // calls to the coordinator
  std::unique_ptr<Service> service_;
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace unsprawl
