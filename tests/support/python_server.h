// A server of the tests that is written in Python, as a child process.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace unsprawl {

// Ends (SIGKILL) with this, and with the test.
class PythonServer {
 public:
  PythonServer() = default;
  ~PythonServer() { Kill(); }
  PythonServer(const PythonServer&) = delete;
  PythonServer& operator=(const PythonServer&) = delete;

  // Runs tests/support/`script`; returns the line that it prints when it is ready, or "" where it is never.
  std::string Start(const std::string& script, const std::vector<std::string>& arguments);
  void Kill();

 private:
  pid_t child_ = 0;
};

}  // namespace unsprawl
