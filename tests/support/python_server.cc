#include "tests/support/python_server.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>

namespace unsprawl {

std::string PythonServer::Start(const std::string& script, const std::vector<std::string>& arguments) {
  Kill();
  std::vector<std::string> words = {"python3", "-Wignore", UNSPRAWL_SOURCE_DIR "/tests/support/" + script};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  int out[2];
  if (pipe2(out, O_CLOEXEC) != 0) return "";
  child_ = fork();
  if (child_ == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(out[1], 1);
    execv("/usr/bin/python3", argv.data());
    _exit(127);
  }
  close(out[1]);
  FILE* output = fdopen(out[0], "r");
  char line[256] = "";
  if (fgets(line, sizeof line, output) == nullptr) line[0] = 0;
  fclose(output);
  return line;
}

void PythonServer::Kill() {
  if (child_ <= 0) return;
  kill(child_, SIGKILL);
  waitpid(child_, nullptr, 0);
  child_ = 0;
}

}  // namespace unsprawl
