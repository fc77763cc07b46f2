#include "worker/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <utility>

#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "coordinator/report/report.h"
#include "engine/base/escape.h"

namespace unsprawl {
namespace {

constexpr std::chrono::milliseconds kTerminalInterval{150};
constexpr std::chrono::milliseconds kLineInterval{5000};
constexpr size_t kNameColumns = 40;

size_t TerminalColumns() {
  winsize size = {};
  const bool known = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  return known ? size.ws_col : 80;
}

std::string TimeLeft(double done_share, absl::Duration elapsed) {
  if (done_share <= 0.02) return "";
  const double seconds = absl::ToDoubleSeconds(elapsed) * (1 - done_share) / done_share;
  if (seconds < 1) return "";
  if (seconds < 90) return absl::StrFormat(", about %.0f s left", seconds);
  return absl::StrFormat(", about %.0f min left", seconds / 60);
}

}  // namespace

Progress::Progress(Style style)
    : style_(style), start_(absl::Now()), thread_([this] { Run(); }) {}

Progress::~Progress() { Stop(); }

void Progress::StartRepository(const std::string& name) {
  MutexLock lock(mutex_);
  active_.try_emplace(name, Figures{.phase = "opening"});
}

void Progress::Update(const std::string& name, const char* phase, uint64_t objects_done,
                      uint64_t objects_total, uint64_t bytes_done, uint64_t matches) {
  MutexLock lock(mutex_);
  active_[name] = {phase, objects_done, objects_total, bytes_done, matches};
}

void Progress::FinishRepository(const std::string& name) {
  MutexLock lock(mutex_);
  const auto found = active_.find(name);
  if (found == active_.end()) return;
  ++finished_;
  bytes_finished_ += found->second.bytes_done;
  matches_finished_ += found->second.matches;
  active_.erase(found);
}

Progress::Figures Progress::Of(const std::string& name) {
  MutexLock lock(mutex_);
  const auto found = active_.find(name);
  return found == active_.end() ? Figures() : found->second;
}

void Progress::ExpectRepositories(uint64_t repositories) {
  MutexLock lock(mutex_);
  repositories_ = repositories;
}

void Progress::StartStep(std::string step) {
  MutexLock lock(mutex_);
  step_ = std::move(step);
}

void Progress::Say(const std::string& line) {
  MutexLock lock(mutex_);
  if (line_shown_) std::fputs("\r\033[K", stderr);
  line_shown_ = false;
  std::fprintf(stderr, "%s\n", line.c_str());
}

void Progress::Stop() {
  {
    MutexLock lock(mutex_);
    stop_ = true;
    stopped_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

std::string Progress::Line() {
  if (active_.empty()) return step_;
  const absl::Duration elapsed = absl::Now() - start_;
  uint64_t bytes = bytes_finished_, matches = matches_finished_;
  double share = static_cast<double>(finished_);
  std::string current;
  bool scanning = false;  // whether `current` is of one that is being scanned
  for (const auto& [name, figures] : active_) {
    bytes += figures.bytes_done;
    matches += figures.matches;
    const double part = figures.objects_total == 0 ? 0
                                                   : static_cast<double>(figures.objects_done) /
                                                         static_cast<double>(figures.objects_total);
    share += part;
    // One name is enough for one line: of one at work rather than of one that waits.
    if (!current.empty() && (scanning || figures.objects_total == 0)) continue;
    scanning = figures.objects_total > 0;
    current = absl::StrFormat("%s: %s", ShortenMiddle(EscapeForTerminal(name), kNameColumns),
                              figures.phase);
    if (figures.objects_total > 0) {
      current += absl::StrFormat(" %d/%d objects", figures.objects_done, figures.objects_total);
    }
  }
  const double seconds = std::max(absl::ToDoubleSeconds(elapsed), 1e-3);
  // A worker does not know how many will come.
  const std::string of = repositories_ > 0 ? absl::StrFormat("/%d", repositories_) : "";
  return absl::StrFormat("[%d%s] %s, %.0f MB/s, %d matches%s", finished_, of, current,
                         static_cast<double>(bytes) / 1e6 / seconds, matches,
                         TimeLeft(share / static_cast<double>(std::max<uint64_t>(repositories_, 1)),
                                  elapsed));
}

void Progress::Run() {
  MutexLock lock(mutex_);
  while (!stop_) {
    stopped_.wait_for(mutex_, style_ == Style::kTerminal ? kTerminalInterval : kLineInterval);
    if (stop_ || style_ == Style::kQuiet || (active_.empty() && step_.empty())) continue;
    if (style_ == Style::kTerminal) {
      // A line that wraps could not be overwritten.
      std::fprintf(stderr, "\r\033[K%s", ShortenEnd(Line(), TerminalColumns() - 1).c_str());
      std::fflush(stderr);
      line_shown_ = true;
    } else {
      std::fprintf(stderr, "%s\n", Line().c_str());
    }
  }
  if (line_shown_) std::fputs("\r\033[K", stderr);
  line_shown_ = false;
}

}  // namespace unsprawl
