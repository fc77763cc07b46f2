#include "coordinator/cluster/status_text.h"

#include <unistd.h>

#include <cstdio>

#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "engine/base/escape.h"

namespace unsprawl {
namespace {

constexpr int64_t kLineEverySeconds = 5;
constexpr size_t kNameColumns = 48;
constexpr int64_t kMicros = 1'000'000;

const char* Word(v1::RunState state) {
  switch (state) {
    case v1::RUN_STATE_QUEUED: return "queued";
    case v1::RUN_STATE_LISTING: return "listing";
    case v1::RUN_STATE_SCANNING: return "scanning";
    case v1::RUN_STATE_REPORTING: return "writing the report";
    case v1::RUN_STATE_DONE: return "done";
    case v1::RUN_STATE_FAILED: return "failed";
    case v1::RUN_STATE_CANCELLED: return "cancelled";
    default: return "unknown";
  }
}

std::string Duration(double seconds) {
  return seconds < 1 ? "less than 1s" : absl::FormatDuration(absl::Seconds(static_cast<int64_t>(seconds)));
}

// "1 worker", "2 workers".
std::string Count(uint64_t number, const char* what) {
  return absl::StrFormat("%d %s%s", number, what, number == 1 ? "" : "s");
}

std::string Name(const std::string& name) { return ShortenMiddle(EscapeForTerminal(name), kNameColumns); }

std::string TimeLeft(const v1::ClusterStatus& status) {
  return status.seconds_left() < 0 || status.run().state() != v1::RUN_STATE_SCANNING
             ? ""
             : absl::StrFormat(", about %s left", Duration(status.seconds_left()));
}

// "8, of them 5 unchanged, 1 done, 2 to do".
std::string Text(const v1::RepositoryCounts& repositories) {
  std::string text = absl::StrFormat("%d, of them %d unchanged, %d done, %d to do", repositories.all(),
                                     repositories.unchanged(), repositories.done(), repositories.to_do());
  if (repositories.parked() > 0) text += absl::StrFormat(", %d parked", repositories.parked());
  if (repositories.cancelled() > 0) text += absl::StrFormat(", %d cancelled", repositories.cancelled());
  return text;
}

// Rows of runs that are over.
void AddLast(const v1::ClusterStatus& status, std::string* text) {
  if (status.last().empty()) return;
  *text += absl::StrFormat("other runs:\n  %6s  %-9s  %-20s  %-8s  %16s  %9s\n", "run", "state", "ended", "complete",
                           "repositories", "incidents");
  for (const v1::ClusterRun& run : status.last()) {
    const bool done = run.state() == v1::RUN_STATE_DONE;
    const v1::RepositoryCounts& repositories = run.repositories();
    *text += absl::StrFormat(
        "  %6d  %-9s  %-20s  %-8s  %16s  %9s\n", run.id(), Word(run.state()), FormatUtc(run.ended() / kMicros),
        !done ? "-" : run.complete() ? "yes" : "NO",
        run.has_repositories() ? absl::StrFormat("%d of %d", repositories.unchanged() + repositories.done(),
                                                 repositories.all())
                               : "-",
        done ? absl::StrFormat("%d", run.incidents()) : "-");
  }
}

void AddWorker(const v1::ClusterStatus::Worker& worker, int64_t now, std::string* text) {
  *text += absl::StrFormat("  %s: ", EscapeForTerminal(worker.name()));
  *text += worker.seen() == 0 ? "not heard of since the coordinator started\n"
                              : absl::StrFormat("%s, %s done, seen %s ago\n", Count(worker.threads(), "thread"),
                                                Count(worker.shards_done(), "shard"),
                                                Duration(static_cast<double>(now - worker.seen()) / 1e6));
  for (const v1::ClusterStatus::Lease& lease : worker.leases()) {
    *text += absl::StrFormat("    %s", Name(lease.repository()));
    if (!lease.phase().empty()) *text += ": " + EscapeForTerminal(lease.phase());
    if (lease.progress().objects_total() > 0) {
      *text += absl::StrFormat(" %d %%", 100 * lease.progress().objects_done() / lease.progress().objects_total());
    }
    if (lease.credentials()) *text += lease.unscoped() ? " (has a token for more than it)" : " (has a token for it alone)";
    *text += '\n';
  }
}

}  // namespace

bool IsOver(v1::RunState state) {
  return state == v1::RUN_STATE_DONE || state == v1::RUN_STATE_FAILED || state == v1::RUN_STATE_CANCELLED;
}

std::string OneLine(const v1::ClusterStatus& status) {
  const v1::ClusterRun& run = status.run();
  if (run.state() == v1::RUN_STATE_LISTING && !status.step().empty()) return EscapeForTerminal(status.step());
  std::string line = absl::StrFormat("run %d: %s", run.id(), Word(run.state()));
  if (run.state() == v1::RUN_STATE_SCANNING) {
    const uint64_t all = status.pending() + status.leased() + status.done() + status.parked_count();
    line += absl::StrFormat(", %d of %d shards done, %d under way on %s", status.done(), all, status.leased(),
                            Count(static_cast<uint64_t>(status.workers_size()), "worker"));
    if (status.parked_count() > 0) line += absl::StrFormat(", %d parked", status.parked_count());
    if (status.workers().empty()) line += " (waiting for workers: unsprawl worker --coordinator …)";
  }
  return line + TimeLeft(status);
}

std::string WholeText(const v1::ClusterStatus& status) {
  std::string text;
  if (!status.has_run()) {
    text = "no run yet\n";
  } else {
    const v1::ClusterRun& run = status.run();
    text = absl::StrFormat("run %d: %s%s%s%s\n", run.id(), Word(run.state()),
                           run.ended() == 0 ? "" : ", " + FormatUtc(run.ended() / kMicros),
                           run.error().empty() ? "" : ": " + EscapeForTerminal(run.error()), TimeLeft(status));
    if (!status.step().empty()) text += "  " + EscapeForTerminal(status.step()) + "\n";
    if (run.has_repositories()) text += "  repositories: " + Text(run.repositories()) + "\n";
    text += absl::StrFormat("  shards: %d pending, %d leased, %d done, %d parked, %d cancelled\n", status.pending(),
                            status.leased(), status.done(), status.parked_count(), status.cancelled());
    if (!IsOver(run.state())) {
      text += absl::StrFormat("  last minute: %.1f shards and %s a second\n", status.shards_per_second(),
                              HumanBytes(static_cast<uint64_t>(status.bytes_per_second())));
    }
    if (run.state() == v1::RUN_STATE_DONE) {
      text += absl::StrFormat("  %s, %s\n", Count(run.incidents(), "incident"), 
                              run.complete() ? "complete" : "NOT complete: its report names what is missing, and why");
    }
  }
  for (const v1::ClusterRun& run : status.queued()) text += absl::StrFormat("run %d: queued\n", run.id());
  text += Count(static_cast<uint64_t>(status.workers_size()), "worker") + "\n";
  for (const v1::ClusterStatus::Worker& worker : status.workers()) AddWorker(worker, status.now(), &text);
  if (!status.parked().empty()) {
    text += IsOver(status.run().state()) ? "parked (the next run tries them again):\n"
                                         : "parked (unsprawl retry tries them again):\n";
  }
  for (const v1::ClusterStatus::Parked& parked : status.parked()) {
    text += absl::StrFormat("  %s, after %s: %s\n", Name(parked.repository()), Count(parked.attempts(), "attempt"),
                            EscapeForTerminal(parked.reason()));
  }
  AddLast(status, &text);
  return text;
}

LiveText::LiveText(bool quiet) : quiet_(quiet), terminal_(isatty(STDERR_FILENO) != 0) {}

LiveText::~LiveText() {
  if (shown_) std::fputs("\r\x1b[K", stderr);
}

void LiveText::Show(const std::string& line) {
  if (quiet_) return;
  const int64_t now = absl::ToUnixSeconds(absl::Now());
  if (terminal_) {
    std::fprintf(stderr, "\r\x1b[K%s", ShortenEnd(line, 100).c_str());
    std::fflush(stderr);
    shown_ = true;
  } else if (now - last_ >= kLineEverySeconds) {
    std::fprintf(stderr, "%s\n", line.c_str());
    last_ = now;
  }
}

void LiveText::Replace(const std::string& text) {
  if (isatty(STDOUT_FILENO) != 0) std::fputs("\x1b[H\x1b[2J", stdout);
  std::fputs(text.c_str(), stdout);
  std::fflush(stdout);
}

}  // namespace unsprawl
