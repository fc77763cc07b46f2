// What the programs of a cluster say on stderr while they run: one line an event, of key=value (logfmt) and of nothing
// else. docs/metrics.md lists them.
#pragma once

#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"

namespace unsprawl {

enum class LogLevel : uint8_t { kDebug, kInfo, kWarning, kError };

// A value of a line. Text may be a stranger's: Log escapes and quotes it. Not for secrets, which stay what they are.
struct LogField {
  LogField(const char* name, std::string_view text) : key(name), value(text) {}
  LogField(const char* name, const char* text) : LogField(name, std::string_view(text)) {}
  LogField(const char* name, const std::string& text) : LogField(name, std::string_view(text)) {}
  template <std::integral Number>
  LogField(const char* name, Number number) : LogField(name, std::to_string(number)) {}
  LogField(const char* name, double seconds);  // to the millisecond
  LogField(const char* name, const absl::Status& why) : LogField(name, std::string(why.message())) {}

  const char* key;
  std::string value;
};

// From now on Log writes what is of `level` ("debug", "info", "warning", "error") or worse, and what gRPC complains of
// goes the same way; before, nothing is written. To be called while the process has one thread. A line that a terminal
// keeps up to date (Progress) gives way.
void StartLog(const std::string& level);

// "time=… level=… event=`event` key=value …". Thread-safe.
void Log(LogLevel level, const char* event, const std::vector<LogField>& fields);

// A value as it stands in a line: as it is where it is one plain word, else in quotes, with \" and \\ for what would
// end them, and what is invisible as EscapeForTerminal shows it.
std::string LogValue(std::string_view text);

}  // namespace unsprawl
