#pragma once

#include <condition_variable>
#include <cstdint>
#include <map>
#include <string>
#include <thread>

#include "absl/time/time.h"
#include "engine/base/mutex.h"

namespace unsprawl {

// Tells a person on stderr how far a run is: one line kept up to date on a terminal, a line every few
// seconds elsewhere. Thread-safe. Prints nothing after Stop or the destructor.
class Progress {
 public:
  enum class Style : uint8_t { kTerminal, kLines, kQuiet };

  explicit Progress(Style style);
  ~Progress();

  void StartRepository(const std::string& name);   // raw bytes; escaped when printed. Idempotent
  // Cumulative figures of the pass over `name` that is under way.
  void Update(const std::string& name, const char* phase, uint64_t objects_done,
              uint64_t objects_total, uint64_t bytes_done, uint64_t matches);
  void FinishRepository(const std::string& name);
  // What was last said of `name`; empty phase: it is not under way.
  struct Figures {
    const char* phase = "";
    uint64_t objects_done = 0, objects_total = 0, bytes_done = 0, matches = 0;
  };
  Figures Of(const std::string& name);
  void ExpectRepositories(uint64_t repositories);
  // What is shown while no repository is under way, before them and after; empty: nothing.
  void StartStep(std::string step);
  // A line of its own that stays: warnings, failures.
  void Say(const std::string& line);
  void Stop();

 private:
  void Run();
  std::string Line() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Style style_;
  const absl::Time start_;
  Mutex mutex_;
  uint64_t repositories_ ABSL_GUARDED_BY(mutex_) = 0;
  std::condition_variable_any stopped_;
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  bool line_shown_ ABSL_GUARDED_BY(mutex_) = false;
  std::map<std::string, Figures> active_ ABSL_GUARDED_BY(mutex_);
  std::string step_ ABSL_GUARDED_BY(mutex_);
  uint64_t finished_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t bytes_finished_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t matches_finished_ ABSL_GUARDED_BY(mutex_) = 0;
  std::thread thread_;
};

}  // namespace unsprawl
