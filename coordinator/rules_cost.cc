#include "coordinator/rules_cost.h"

#include <algorithm>
#include <ctime>
#include <iterator>
#include <memory>
#include <numeric>
#include <string_view>

#include "absl/strings/str_format.h"
#include "coordinator/example_text.h"
#include "coordinator/named_examples.h"
#include "engine/base/escape.h"
#include "engine/base/status.h"
#include "engine/match/literal.h"

namespace unsprawl {
namespace {

constexpr size_t kSampleBytes = 4 << 20;
constexpr size_t kFileBytes = 32 << 10;
constexpr size_t kDearest = 10;
constexpr int kLinesPerExample = 40;

// What most files are made of; %w is a word, %x forty hexadecimal digits, %u a UUID, %b some base 64, %d a number.
constexpr std::string_view kLines[] = {
    "  if (%w->%w_%w == nullptr || %w.size() > %d) return %w(%w, %d);",
    "    self.%w_%w = kwargs.get('%w', %d)",
    "  \"%w\": {\"%w\": \"%w-%d\", \"url\": \"https://%w.example.com/%w/%d\"},",
    "%w_%w: ${%w_%w:-%w}",
    "// %w the %w of each %w before the %w is %w, see #%d",
    "2024-03-0%d 12:%d:07 INFO %w.%w - %w %w done in %d ms",
    "import %w.%w.%w as %w",
    "commit %x",
    "    \"integrity\": \"sha512-%b\",",
    "  <a class=\"%w-%w\" href=\"/%w/%w?%w=%d\">%w %w</a>",
    "\tid = \"%u\"",
    "",
    "export const %w = (%w, %w) => %w.%w(%w => %w.%w[%w]);",
    "UPDATE %w SET %w = '%w' WHERE %w_id = %d;",
};
constexpr std::string_view kWords[] = {
    "value", "config", "user",  "token",  "key",   "name", "client", "request", "response", "secret", "index", "blob", "data",
    "Node",  "result", "error", "handle", "path",  "line", "buffer", "session", "account",  "access", "get",   "set",  "map",
    "test",  "build",  "cloud", "server", "query", "auth", "state",  "password", "callback", "hash",  "stream", "page", "list"};

// Draws the same numbers everywhere.
class Draw {
 public:
  uint64_t Below(uint64_t bound) { return HashText("cost", count_++) % bound; }

 private:
  uint64_t count_ = 0;
};

absl::StatusOr<std::string> MadeUpLine(Draw& draw) {
  const std::string_view shape = kLines[draw.Below(std::size(kLines))];
  std::string line;
  for (size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] != '%' || i + 1 == shape.size()) {
      line += shape[i];
      continue;
    }
    switch (shape[++i]) {
      case 'w': line += kWords[draw.Below(std::size(kWords))]; break;
      case 'd': line += std::to_string(draw.Below(60)); break;
      case 'x': line += "{hex:40}"; break;
      case 'u': line += "{uuid}"; break;
      case 'b': line += "{b64:86}=="; break;
    }
  }
  return ExpandExample(line + "\n", draw.Below(UINT32_MAX));
}

std::vector<std::string> ExamplesOf(const Ruleset& ruleset) {
  std::vector<std::string> examples;
  for (const Rule& rule : ruleset.rules()) {
    const std::vector<std::string> own = rule.is_named() ? NamedExamples(rule) : rule.examples;
    if (!own.empty()) examples.push_back(own.front());
  }
  return examples;
}

void WriteDearest(const Ruleset& ruleset, const std::vector<RuleCost>& costs, std::ostream& out) {
  std::vector<size_t> order(costs.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return costs[a].nanoseconds > costs[b].nanoseconds; });
  out << absl::StrFormat("%-40s %12s %12s %10s\n", "took longest", "candidates", "confirms", "ms");
  for (size_t i = 0; i < std::min(kDearest, order.size()); ++i) {
    const RuleCost& cost = costs[order[i]];
    if (cost.candidates == 0) break;
    out << absl::StrFormat("%-40s %12d %12d %10.1f\n", EscapeForTerminal(ruleset.rules()[order[i]].id), cost.candidates,
                           cost.confirms, static_cast<double>(cost.nanoseconds) / 1e6);
  }
}

}  // namespace

absl::StatusOr<std::vector<std::string>> CostSample(size_t bytes) {
  ASSIGN_OR_RETURN(const Ruleset builtin, Ruleset::Builtin());
  const std::vector<std::string> examples = ExamplesOf(builtin);
  Draw draw;
  std::vector<std::string> files;
  size_t made = 0, example = 0;
  while (made < bytes) {
    std::string& file = files.emplace_back();
    while (file.size() < kFileBytes) {
      for (int i = 0; i < kLinesPerExample; ++i) {
        ASSIGN_OR_RETURN(const std::string line, MadeUpLine(draw));
        file += line;
      }
      ASSIGN_OR_RETURN(const std::string text, ExpandExample(examples[example % examples.size()], example));
      file += text + "\n";
      ++example;
    }
    made += file.size();
  }
  return files;
}

std::vector<RuleCost> MeasureCosts(const Detector& detector, const std::vector<std::string>& sample) {
  BlobScanner scanner(detector);
  BlobMatches matches;
  scanner.ScanFull("", &matches);
  scanner.CountCosts();
  for (const std::string& file : sample) scanner.ScanFull(file, &matches);
  return {scanner.costs().begin(), scanner.costs().end()};
}

std::string DearByNature(const Rule& rule, const RuleScan& scan) {
  if (scan.kind == RuleScan::Kind::kNone || scan.kind == RuleScan::Kind::kNamed) return "";
  std::string why;
  const auto add = [&why](std::string_view reason) { why.append(why.empty() ? "" : "; ").append(reason); };
  if (scan.kind == RuleScan::Kind::kWide) {
    add("may go over lines, so that every version of a file is read whole for it: give it an anchor");
  }
  if (scan.prefiltered) add("too large or too odd for Hyperscan, which only guesses: RE2 reads every file that looks like it");
  if (!RuleHasLiteral(rule.anchor.empty() ? rule.regex : rule.anchor)) {
    add(absl::StrFormat("no literal of %d bytes is in every match, so that it is tried everywhere", kLiteralBytes));
  }
  return why;
}

absl::Status RulesCost(const Ruleset& ruleset, std::ostream& out) {
  ASSIGN_OR_RETURN(const std::unique_ptr<Detector> detector, Detector::Create(ruleset, {}, {}));
  ASSIGN_OR_RETURN(const std::vector<std::string> sample, CostSample(kSampleBytes));
  (void)MeasureCosts(*detector, sample);  // compiles what RE2 needs
  const std::clock_t start = std::clock();  // of CPU; there is but this thread
  const std::vector<RuleCost> costs = MeasureCosts(*detector, sample);
  const double seconds = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
  double confirming = 0, megabytes = 0;
  for (const RuleCost& cost : costs) confirming += static_cast<double>(cost.nanoseconds) / 1e9;
  for (const std::string& file : sample) megabytes += static_cast<double>(file.size()) / 1e6;
  out << absl::StrFormat("a sample of %.1f MB takes %.0f ms of CPU with all rules, %.0f of them beside Hyperscan\n",
                         megabytes, 1e3 * seconds, 1e3 * confirming);
  WriteDearest(ruleset, costs, out);
  for (size_t i = 0; i < costs.size(); ++i) {
    const std::string why = DearByNature(ruleset.rules()[i], detector->scans()[i]);
    if (!why.empty()) out << absl::StrFormat("%s: dear: %s\n", EscapeForTerminal(ruleset.rules()[i].id), why);
  }
  return absl::OkStatus();
}

}  // namespace unsprawl
