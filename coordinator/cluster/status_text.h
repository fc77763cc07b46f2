#pragma once

#include <string>

#include "unsprawl/v1/cluster.pb.h"

namespace unsprawl {

// Nothing becomes of a run in this state any more.
bool IsOver(v1::RunState state);

// A status for a person: in one line, and whole. Names are escaped.
std::string OneLine(const v1::ClusterStatus& status);
std::string WholeText(const v1::ClusterStatus& status);

// Text on stderr that is kept up to date on a terminal; elsewhere a line every few seconds. Not thread-safe.
class LiveText {
 public:
  explicit LiveText(bool quiet);
  ~LiveText();
  void Show(const std::string& line);
  // The whole screen, on stdout.
  void Replace(const std::string& text);

 private:
  const bool quiet_, terminal_;
  bool shown_ = false;
  int64_t last_ = 0;  // seconds
};

}  // namespace unsprawl
