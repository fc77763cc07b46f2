#include "worker/log.h"

#include <grpc/support/log.h>
#include <unistd.h>

#include <algorithm>
#include <memory>

#include "absl/strings/str_format.h"
#include "engine/base/escape.h"
#include "spdlog/sinks/stdout_sinks.h"
#include "spdlog/spdlog.h"

namespace unsprawl {
namespace {

// Null: the log was not started.
std::shared_ptr<spdlog::logger>& Logger() {
  static std::shared_ptr<spdlog::logger> logger;
  return logger;
}

spdlog::level::level_enum ToSpdlog(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug: return spdlog::level::debug;
    case LogLevel::kInfo: return spdlog::level::info;
    case LogLevel::kWarning: return spdlog::level::warn;
    default: return spdlog::level::err;
  }
}

// What it calls an error is mostly one connection's.
void LogGrpc(gpr_log_func_args* said) { Log(LogLevel::kWarning, "grpc", {{"error", said->message}}); }

bool IsPlain(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         std::string_view("_-./:@+,").find(c) != std::string_view::npos;
}

}  // namespace

LogField::LogField(const char* name, double seconds) : LogField(name, absl::StrFormat("%.3f", seconds)) {}

std::string LogValue(std::string_view text) {
  if (!text.empty() && std::all_of(text.begin(), text.end(), IsPlain)) return std::string(text);
  std::string quoted = "\"";
  for (const char c : EscapeForTerminal(text)) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return quoted + '"';
}

void StartLog(const std::string& level) {
  const auto logger = std::make_shared<spdlog::logger>("unsprawl", std::make_shared<spdlog::sinks::stderr_sink_mt>());
  const std::string clear_line = isatty(STDERR_FILENO) != 0 ? "\r\033[K" : "";
  logger->set_pattern(clear_line + "time=%Y-%m-%dT%H:%M:%S.%eZ level=%l event=%v", spdlog::pattern_time_type::utc);
  logger->set_level(spdlog::level::from_str(level));
  logger->flush_on(spdlog::level::debug);
  Logger() = logger;
  gpr_set_log_function(LogGrpc);
}

void Log(LogLevel level, const char* event, const std::vector<LogField>& fields) {
  const std::shared_ptr<spdlog::logger>& logger = Logger();
  if (logger == nullptr || !logger->should_log(ToSpdlog(level))) return;
  std::string line = event;
  for (const LogField& field : fields) absl::StrAppendFormat(&line, " %s=%s", field.key, LogValue(field.value));
  logger->log(ToSpdlog(level), spdlog::string_view_t(line));
}

}  // namespace unsprawl
