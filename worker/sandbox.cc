#include "worker/sandbox.h"

#include <fcntl.h>
#include <linux/landlock.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>

#include "absl/strings/str_format.h"

namespace unsprawl {
namespace {

// Returns an empty string, or why not.
std::string RestrictFiles(std::span<const std::filesystem::path> readable) {
  const long abi =
      syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
  if (abi < 1) return "Landlock is not available in this kernel";
  constexpr uint64_t kRead = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
  landlock_ruleset_attr attributes = {};
  // Every right known to the first version of Landlock, the one that Debian 12's header describes.
  attributes.handled_access_fs = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1;
  const int ruleset = static_cast<int>(
      syscall(SYS_landlock_create_ruleset, &attributes, sizeof(attributes), 0));
  if (ruleset < 0) return absl::StrFormat("Landlock refused: %s", std::strerror(errno));
  for (const std::filesystem::path& path : readable) {
    landlock_path_beneath_attr beneath = {};
    beneath.allowed_access = kRead;
    beneath.parent_fd = open(path.c_str(), O_PATH | O_CLOEXEC);
    if (beneath.parent_fd < 0) continue;  // Not there: nothing to allow.
    syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &beneath, 0);
    close(beneath.parent_fd);
  }
  const long restricted = syscall(SYS_landlock_restrict_self, ruleset, 0);
  const int error = errno;
  close(ruleset);
  return restricted == 0 ? "" : absl::StrFormat("Landlock refused: %s", std::strerror(error));
}

// What a process needs that maps files, runs threads, and talks over a socket it already has.
constexpr int kAllowedCalls[] = {
    SCMP_SYS(read),           SCMP_SYS(write),         SCMP_SYS(readv),
    SCMP_SYS(writev),         SCMP_SYS(pread64),       SCMP_SYS(sendto),
    SCMP_SYS(sendmsg),        SCMP_SYS(recvfrom),      SCMP_SYS(recvmsg),
    SCMP_SYS(poll),           SCMP_SYS(ppoll),         SCMP_SYS(openat),
    SCMP_SYS(open),           SCMP_SYS(close),         SCMP_SYS(fstat),
    SCMP_SYS(stat),           SCMP_SYS(lstat),         SCMP_SYS(newfstatat),
    SCMP_SYS(statx),          SCMP_SYS(statfs),        SCMP_SYS(fstatfs),
    SCMP_SYS(access),         SCMP_SYS(faccessat),     SCMP_SYS(faccessat2),
    SCMP_SYS(readlink),       SCMP_SYS(readlinkat),    SCMP_SYS(getdents64),
    SCMP_SYS(lseek),          SCMP_SYS(fcntl),         SCMP_SYS(fadvise64),
    SCMP_SYS(readahead),      SCMP_SYS(getcwd),        SCMP_SYS(mmap),
    SCMP_SYS(munmap),         SCMP_SYS(mremap),        SCMP_SYS(mprotect),
    SCMP_SYS(madvise),        SCMP_SYS(brk),           SCMP_SYS(futex),
    SCMP_SYS(set_robust_list), SCMP_SYS(rseq),         SCMP_SYS(exit),
    SCMP_SYS(exit_group),     SCMP_SYS(rt_sigaction),  SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigreturn),   SCMP_SYS(sigaltstack),   SCMP_SYS(restart_syscall),
    SCMP_SYS(sched_yield),    SCMP_SYS(sched_getaffinity), SCMP_SYS(getpid),
    SCMP_SYS(gettid),         SCMP_SYS(getuid),
    SCMP_SYS(geteuid),        SCMP_SYS(getgid),        SCMP_SYS(getegid),
    SCMP_SYS(clock_gettime),  SCMP_SYS(clock_nanosleep), SCMP_SYS(nanosleep),
    SCMP_SYS(gettimeofday),   SCMP_SYS(getrandom),     SCMP_SYS(getrusage),
    SCMP_SYS(sysinfo),        SCMP_SYS(uname),
    SCMP_SYS(membarrier),     SCMP_SYS(prctl),         SCMP_SYS(sched_getparam),
    SCMP_SYS(sched_getscheduler), SCMP_SYS(mincore),   SCMP_SYS(getppid),
#if defined(UNSPRAWL_ASAN)
    SCMP_SYS(pipe),           SCMP_SYS(pipe2),  // how UBSan finds out what is readable
#endif
};

struct SeccompRelease {
  void operator()(void* filter) const { seccomp_release(filter); }
};

std::string RestrictCalls() {
  const std::unique_ptr<void, SeccompRelease> filter(seccomp_init(SCMP_ACT_ERRNO(EPERM)));
  if (filter == nullptr) return "seccomp is not available";
  for (const int call : kAllowedCalls) {
    if (seccomp_rule_add(filter.get(), SCMP_ACT_ALLOW, call, 0) != 0) {
      return absl::StrFormat("seccomp does not know system call %d", call);
    }
  }
  // Threads, but no processes; clone3 hides its flags from filters, and glibc goes on with clone.
  const int threads = seccomp_rule_add(
      filter.get(), SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
      SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));
  // Of signals and limits its own only; abort() is a signal to itself.
  const int signals = seccomp_rule_add(filter.get(), SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
                                       SCMP_A0(SCMP_CMP_EQ, static_cast<scmp_datum_t>(getpid()), 0));
  const int limits = seccomp_rule_add(filter.get(), SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), 1,
                                      SCMP_A0(SCMP_CMP_EQ, 0, 0));
  if (signals != 0 || limits != 0) return "seccomp refused the rules for signals";
  const int no_clone3 = seccomp_rule_add(filter.get(), SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
  if (threads != 0 || no_clone3 != 0) return "seccomp refused the rules for threads";
  const int loaded = seccomp_load(filter.get());
  return loaded == 0 ? "" : absl::StrFormat("seccomp refused: %s", std::strerror(-loaded));
}

}  // namespace

SandboxResult EnterSandbox(std::span<const std::filesystem::path> readable, uint64_t memory_bytes) {
  SandboxResult result;
  // A core dump of this process would hold raw secrets.
  const rlimit no_core = {.rlim_cur = 0, .rlim_max = 0};
  setrlimit(RLIMIT_CORE, &no_core);
  prctl(PR_SET_DUMPABLE, 0);
#if !defined(UNSPRAWL_ASAN) && !defined(UNSPRAWL_TSAN)
  const rlimit memory = {.rlim_cur = memory_bytes, .rlim_max = memory_bytes};
  setrlimit(RLIMIT_DATA, &memory);
#else
  (void)memory_bytes;  // The sanitizers reserve terabytes of shadow.
#endif
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
    result.note = absl::StrFormat("no_new_privs refused: %s", std::strerror(errno));
    return result;
  }
  const std::string files = RestrictFiles(readable);
  const std::string calls = RestrictCalls();
  result.note = files;
  if (!calls.empty()) result.note += (files.empty() ? "" : "; ") + calls;
  result.complete = result.note.empty();
  return result;
}

}  // namespace unsprawl
