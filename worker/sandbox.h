#pragma once

#include <filesystem>
#include <span>
#include <string>

namespace unsprawl {

// What EnterSandbox achieved. `note` names what the kernel did not allow; empty when all is in place.
struct SandboxResult {
  bool complete = false;
  std::string note;
};

// Gives up, for this process and for good, every right that reading a repository does not need:
// the file system is readable below `readable` only and writable nowhere (Landlock), no sockets, no
// new programs, no tracing (seccomp), no core dumps, at most `memory_bytes` of private memory.
//
// Must be called while the process has one thread. Whatever the kernel lacks is left out and noted;
// the rest still applies.
SandboxResult EnterSandbox(std::span<const std::filesystem::path> readable, uint64_t memory_bytes);

}  // namespace unsprawl
