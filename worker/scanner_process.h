// Processes that parse what strangers wrote: one per repository, sandboxed, forked from a small
// single-threaded parent that holds nothing but the compiled rules.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/base/mutex.h"
#include "engine/match/detector.h"
#include "unsprawl/v1/shard.pb.h"
#include "worker/frame_channel.h"

namespace unsprawl {

inline constexpr int kMaxScanThreads = 256;

// Memory shared with a scanner: what each of its threads is working on, readable after it died.
struct SharedNotes {
  std::atomic<uint32_t> current_object[kMaxScanThreads];  // WalkOptions::current_object
};

// One live scanner, and the channel to it. Killed by the destructor. Not thread-safe.
class Scanner {
 public:
  Scanner(int fd, SharedNotes* notes) : channel_(fd), notes_(notes) {}
  ~Scanner();
  Scanner(const Scanner&) = delete;
  Scanner& operator=(const Scanner&) = delete;

  FrameChannel& channel() { return channel_; }
  const SharedNotes& notes() const { return *notes_; }
  const v1::ScannerReady& ready() const { return ready_; }
  // Call once, before the scanner is told to read anything.
  void SetReady(v1::ScannerReady ready);

 private:
  FrameChannel channel_;
  SharedNotes* notes_;
  v1::ScannerReady ready_;
  int process_ = -1;  // a pidfd: unlike its number it never comes to mean another process
};

// Forks scanners. Thread-safe.
class ScannerSource {
 public:
  struct Options {
    bool sandbox = true;
    uint64_t memory_bytes = uint64_t{4} << 30;  // per scanner, private memory
  };

  // Forks the process that will fork the scanners. Call while this process has one thread and before
  // it opens anything that a scanner must not inherit. `detector` must outlive it.
  static absl::StatusOr<std::unique_ptr<ScannerSource>> Start(const Detector& detector,
                                                              const Options& options);
  ~ScannerSource();

  // A new scanner that may read below `readable` only. Waits until it is ready.
  absl::StatusOr<std::unique_ptr<Scanner>> Spawn(std::span<const std::filesystem::path> readable);
  // Whether the process that forks them is there; else no Spawn will ever succeed.
  bool alive() const;

 private:
  friend class ScannerLauncher;
  // `nursery`: -1: another process waits for it.
  ScannerSource(int control, pid_t nursery) : control_(control), nursery_(nursery) {}

  Mutex mutex_;
  const int control_;
  const pid_t nursery_;
};

// Starts ScannerSources in a process that has threads by now, for rules that it learnt meanwhile: through a process
// that was forked before. Thread-safe.
class ScannerLauncher {
 public:
  // Call while this process has one thread and before it opens anything that a scanner must not inherit.
  static absl::StatusOr<std::unique_ptr<ScannerLauncher>> Start(const ScannerSource::Options& options,
                                                                const std::filesystem::path& cache_dir);
  ~ScannerLauncher();

  // Compiles `rules` (a serialised RulesetText; its program's own if it has no files) in the new process.
  // InvalidArgument: they cannot be read.
  absl::StatusOr<std::unique_ptr<ScannerSource>> Launch(const std::string& rules);

 private:
  ScannerLauncher(int control, pid_t launcher) : control_(control), launcher_(launcher) {}

  Mutex mutex_;
  const int control_;
  const pid_t launcher_;
};

}  // namespace unsprawl
