#include "worker/scanner_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/functional/function_ref.h"
#include "absl/strings/str_format.h"
#include "engine/archive/archive.h"
#include "engine/base/status.h"
#include "engine/match/ruleset.h"
#include "unsprawl/v1/cluster.pb.h"
#include "worker/sandbox.h"
#include "worker/scan_session.h"

namespace unsprawl {
namespace {

constexpr size_t kMaxRequestBytes = 1 << 17;  // paths: a repository and at most a few alternates
constexpr int kRequestFds = 2;                // the scanner's end of the channel; the notes

std::string ErrnoText(const char* doing) {
  return absl::StrFormat("%s: %s", doing, std::strerror(errno));
}

SharedNotes* MapNotes(int fd) {
  void* map = mmap(nullptr, sizeof(SharedNotes), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  return map == MAP_FAILED ? nullptr : static_cast<SharedNotes*>(map);
}

// Sends a request: the readable paths, each ended by NUL, and two file descriptors.
absl::Status SendRequest(int control, const std::string& paths, const int (&fds)[kRequestFds]) {
  iovec data = {.iov_base = const_cast<char*>(paths.data()), .iov_len = paths.size()};
  alignas(cmsghdr) char ancillary[CMSG_SPACE(sizeof(fds))] = {};
  msghdr message = {};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = ancillary;
  message.msg_controllen = sizeof(ancillary);
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(fds));
  std::memcpy(CMSG_DATA(header), fds, sizeof(fds));
  if (sendmsg(control, &message, MSG_NOSIGNAL) < 0) {
    return absl::UnavailableError(ErrnoText("asking for a scanner"));
  }
  return absl::OkStatus();
}

// False: the asking process has ended.
bool ReceiveRequest(int control, std::string* paths, int (&fds)[kRequestFds]) {
  paths->resize(kMaxRequestBytes);
  iovec data = {.iov_base = paths->data(), .iov_len = paths->size()};
  alignas(cmsghdr) char ancillary[CMSG_SPACE(sizeof(fds))] = {};
  msghdr message = {};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = ancillary;
  message.msg_controllen = sizeof(ancillary);
  ssize_t n;
  do {
    n = recvmsg(control, &message, MSG_CMSG_CLOEXEC);
  } while (n < 0 && errno == EINTR);
  const cmsghdr* header = CMSG_FIRSTHDR(&message);
  if (n <= 0 || header == nullptr || header->cmsg_len != CMSG_LEN(sizeof(fds))) return false;
  std::memcpy(fds, CMSG_DATA(header), sizeof(fds));
  paths->resize(static_cast<size_t>(n));
  return true;
}

std::vector<std::filesystem::path> SplitPaths(const std::string& paths) {
  std::vector<std::filesystem::path> result;
  for (size_t start = 0; start < paths.size();) {
    const size_t end = paths.find('\0', start);
    result.emplace_back(paths.substr(start, end - start));
    start = end == std::string::npos ? paths.size() : end + 1;
  }
  return result;
}

// The scanner's whole life.
[[noreturn]] void RunScanner(const Detector& detector, const ScannerSource::Options& options,
                             const std::string& paths, const int (&fds)[kRequestFds]) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  SharedNotes* notes = MapNotes(fds[1]);
  close(fds[1]);
  if (notes == nullptr) _exit(1);
  v1::ShardEvent hello;
  v1::ScannerReady* ready = hello.mutable_ready();
  ready->set_pid(getpid());
  if (options.sandbox) {
    const SandboxResult sandbox = EnterSandbox(SplitPaths(paths), options.memory_bytes);
    ready->set_sandboxed(sandbox.complete);
    ready->set_note(sandbox.note);
  } else {
    ready->set_note("switched off (--no-sandbox)");
  }
  FrameChannel channel(fds[0]);
  if (channel.Send(hello).ok()) ServeRepository(channel, detector, notes->current_object);
  _exit(0);
}

using Request = void (const std::string& paths, const int (&fds)[kRequestFds]);

// Forks a process for each request, which `run` ends, until the asking process ends.
[[noreturn]] void ForkForRequests(int control, absl::FunctionRef<Request> run) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  // Ctrl-C goes to the whole foreground group; the coordinator alone decides what ends when.
  signal(SIGINT, SIG_IGN);
  signal(SIGTERM, SIG_IGN);
  PrepareArchives();
  std::string paths;
  int fds[kRequestFds];
  while (ReceiveRequest(control, &paths, fds)) {
    // Waited for, not ignored: so their processor time counts as this program's.
    while (waitpid(-1, nullptr, WNOHANG) > 0) {
    }
    if (fork() == 0) {
      close(control);
      run(paths, fds);
      _exit(1);
    }
    for (const int fd : fds) close(fd);
  }
  while (waitpid(-1, nullptr, 0) > 0) {
  }
  _exit(0);
}

// Forks a scanner for each request.
[[noreturn]] void RunNursery(int control, const Detector& detector, const ScannerSource::Options& options) {
  ForkForRequests(control, [&](const std::string& paths, const int (&fds)[kRequestFds]) {
    RunScanner(detector, options, paths, fds);
  });
}

// A nursery for rules that come in a file. Says on `control` whether it is ready.
[[noreturn]] void RunLaunched(int control, int rules_fd, const ScannerSource::Options& options,
                              const std::filesystem::path& cache_dir) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  v1::RulesetText text;
  const bool parsed = text.ParseFromFileDescriptor(rules_fd);
  close(rules_fd);
  std::vector<RuleFile> files;
  for (v1::RulesetText::File& file : *text.mutable_files()) {
    files.push_back({std::move(*file.mutable_origin()), std::move(*file.mutable_text())});
  }
  const absl::StatusOr<Ruleset> rules = !parsed ? absl::InvalidArgumentError("unreadable rules")
                                        : files.empty() ? Ruleset::Builtin() : Ruleset::FromFiles(files);
  absl::StatusOr<std::unique_ptr<Detector>> detector = absl::InvalidArgumentError("");
  std::string problem;
  if (rules.ok()) {
    detector = Detector::Create(*rules, {}, {.cache_dir = cache_dir});
    if (!detector.ok()) problem = std::string(detector.status().message());
    if (rules->id() != text.id()) {
      problem = absl::StrFormat("this program makes ruleset %s of what the coordinator calls %s: they are of different "
                                "versions; install the same unsprawl on both", rules->id(), text.id());
    }
  } else {
    problem = std::string(rules.status().message());
  }
  problem.insert(problem.begin(), problem.empty() ? 'r' : 'e');
  if (send(control, problem.data(), problem.size(), MSG_NOSIGNAL) < 0 || problem[0] != 'r') _exit(1);
  RunNursery(control, **detector, options);
}

struct ForkedProcess {
  int control;  // of a socket pair with it
  pid_t id;
};

// Forks a process in which `run` has the other end of the socket pair, and does not return.
absl::StatusOr<ForkedProcess> ForkWithControl(absl::FunctionRef<void(int control)> run) {
  int sockets[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) != 0) {
    return absl::ResourceExhaustedError(ErrnoText("making a socket pair"));
  }
  const pid_t id = fork();
  if (id < 0) return absl::ResourceExhaustedError(ErrnoText("starting a process"));
  if (id == 0) {
    close(sockets[0]);
    run(sockets[1]);
    _exit(1);
  }
  close(sockets[1]);
  return ForkedProcess{sockets[0], id};
}

}  // namespace

Scanner::~Scanner() {
  if (process_ >= 0) {
    syscall(SYS_pidfd_send_signal, process_, SIGKILL, nullptr, 0);
    close(process_);
  }
  munmap(notes_, sizeof(SharedNotes));
}

void Scanner::SetReady(v1::ScannerReady ready) {
  ready_ = std::move(ready);
  process_ = static_cast<int>(syscall(SYS_pidfd_open, ready_.pid(), 0));
}

absl::StatusOr<std::unique_ptr<ScannerSource>> ScannerSource::Start(const Detector& detector,
                                                                    const Options& options) {
  ASSIGN_OR_RETURN(const ForkedProcess nursery,
                   ForkWithControl([&](int control) { RunNursery(control, detector, options); }));
  return std::unique_ptr<ScannerSource>(new ScannerSource(nursery.control, nursery.id));
}

ScannerSource::~ScannerSource() {
  close(control_);
  if (nursery_ > 0) waitpid(nursery_, nullptr, 0);
}

bool ScannerSource::alive() const {
  pollfd end = {.fd = control_, .events = 0, .revents = 0};
  return poll(&end, 1, 0) == 0;
}

absl::StatusOr<std::unique_ptr<Scanner>> ScannerSource::Spawn(
    std::span<const std::filesystem::path> readable) {
  std::string paths;
  for (const std::filesystem::path& path : readable) {
    paths += path.native();
    paths.push_back('\0');
  }
  if (paths.empty() || paths.size() > kMaxRequestBytes) {
    return absl::InvalidArgumentError(
        absl::StrFormat("%d bytes of paths for one scanner", paths.size()));
  }
  const int notes_fd = memfd_create("unsprawl-notes", MFD_CLOEXEC);
  int sockets[2] = {-1, -1};
  if (notes_fd < 0 || ftruncate(notes_fd, sizeof(SharedNotes)) != 0 ||
      socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) != 0) {
    const std::string error = ErrnoText("making a channel to a scanner");
    if (notes_fd >= 0) close(notes_fd);
    return absl::ResourceExhaustedError(error);
  }
  SharedNotes* notes = MapNotes(notes_fd);
  CHECK(notes != nullptr);
  auto scanner = std::make_unique<Scanner>(sockets[0], notes);
  absl::Status asked;
  {
    MutexLock lock(mutex_);
    asked = SendRequest(control_, paths, {sockets[1], notes_fd});
  }
  close(sockets[1]);
  close(notes_fd);
  RETURN_IF_ERROR(asked);
  v1::ShardEvent hello;
  RETURN_IF_ERROR(scanner->channel().Receive(&hello, absl::Seconds(30)));
  if (!hello.has_ready()) return absl::InternalError("a scanner did not say that it is ready");
  scanner->SetReady(hello.ready());
  return scanner;
}

absl::StatusOr<std::unique_ptr<ScannerLauncher>> ScannerLauncher::Start(const ScannerSource::Options& options,
                                                                        const std::filesystem::path& cache_dir) {
  ASSIGN_OR_RETURN(const ForkedProcess launcher, ForkWithControl([&](int control) {
                     ForkForRequests(control, [&](const std::string&, const int (&fds)[kRequestFds]) {
                       RunLaunched(fds[0], fds[1], options, cache_dir);
                     });
                   }));
  return std::unique_ptr<ScannerLauncher>(new ScannerLauncher(launcher.control, launcher.id));
}

ScannerLauncher::~ScannerLauncher() {
  close(control_);
  waitpid(launcher_, nullptr, 0);
}

absl::StatusOr<std::unique_ptr<ScannerSource>> ScannerLauncher::Launch(const std::string& rules) {
  const int rules_fd = memfd_create("unsprawl-rules", MFD_CLOEXEC);
  int sockets[2] = {-1, -1};
  const bool written = rules_fd >= 0 && write(rules_fd, rules.data(), rules.size()) == static_cast<ssize_t>(rules.size()) &&
                       lseek(rules_fd, 0, SEEK_SET) == 0;
  if (!written || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) != 0) {
    const std::string error = ErrnoText("passing rules on");
    if (rules_fd >= 0) close(rules_fd);
    return absl::ResourceExhaustedError(error);
  }
  absl::Status asked;
  {
    MutexLock lock(mutex_);
    asked = SendRequest(control_, "rules", {sockets[1], rules_fd});
  }
  close(sockets[1]);
  close(rules_fd);
  auto source = std::unique_ptr<ScannerSource>(new ScannerSource(sockets[0], -1));
  RETURN_IF_ERROR(asked);
  std::string answer(kMaxRequestBytes, '\0');
  const ssize_t n = recv(sockets[0], answer.data(), answer.size(), 0);
  if (n <= 0) return absl::UnavailableError("the process that compiles rules has ended");
  answer.resize(static_cast<size_t>(n));
  if (answer[0] != 'r') return absl::InvalidArgumentError(answer.substr(1));
  return source;
}

}  // namespace unsprawl
