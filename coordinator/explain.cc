#include "coordinator/explain.h"

#include <algorithm>
#include <tuple>

#include "absl/strings/str_format.h"
#include "engine/archive/archive.h"
#include "engine/base/escape.h"
#include "engine/base/status.h"
#include "engine/git/small_file.h"
#include "engine/judge/judge.h"
#include "engine/match/decode.h"
#include "engine/match/ruleset_filters.h"

namespace unsprawl {
namespace {

constexpr uint64_t kMaxFileBytes = UINT32_MAX - 1;  // what BlobScanner takes
constexpr uint64_t kMaxDecodedBytes = 64 << 20;
constexpr int64_t kNow = 1767225600;  // 1 January 2026: the same answer on any day

struct Judged {
  const Rule* rule;
  RawMatch match;
  MatchFeatures features;
  Verdict verdict;
  std::vector<JudgeStep> steps;
  const Rule* better = nullptr;  // what names the same bytes instead
};

// A match at the beginning for each rule of paths alone that asks for `path`.
void AddPathMatches(const Ruleset& ruleset, std::string_view path, std::vector<Judged>* all) {
  for (uint32_t i = 0; i < ruleset.rules().size(); ++i) {
    const Rule& rule = ruleset.rules()[i];
    if (!rule.is_path_only() || !Finds(*ruleset.filters().rules[i].path, path)) continue;
    Judged& one = all->emplace_back();
    one.rule = &rule;
    one.match = {.rule = i, .start = 0, .end = 0, .secret_start = 0, .secret_end = 0, .inner = {}};
    one.features.start_line = one.features.start_column = one.features.end_line = one.features.end_column = 1;
  }
}

std::vector<Judged> JudgeAll(const Detector& detector, std::string_view path, std::string_view text, bool* too_much) {
  const Ruleset& ruleset = detector.ruleset();
  BlobScanner scanner(detector);
  BlobMatches matches;
  scanner.ScanFull(text, &matches);
  *too_much = matches.too_much;
  std::vector<Judged> all(matches.matches.size());
  std::vector<MatchFeatures> features = Examine(ruleset, matches.matches, text, SecretKey{}, kNow);
  for (size_t i = 0; i < all.size(); ++i) {
    all[i].match = matches.matches[i];
    all[i].rule = &ruleset.rules()[all[i].match.rule];
    all[i].features = std::move(features[i]);
  }
  AddPathMatches(ruleset, path, &all);
  std::sort(all.begin(), all.end(), [](const Judged& a, const Judged& b) {
    return std::tie(a.match.secret_start, a.match.secret_end, a.match.rule) <
           std::tie(b.match.secret_start, b.match.secret_end, b.match.rule);
  });
  std::vector<std::vector<uint64_t>> overlapping(all.size());
  const auto meet = [&](size_t a, size_t b) {
    const Rule& other = *all[b].rule;
    if (&other == all[a].rule) return;
    overlapping[a].push_back(other.key);
    if (Beats(other, *all[a].rule) && (all[a].better == nullptr || Beats(other, *all[a].better))) all[a].better = &other;
  };
  for (size_t i = 0; i < all.size(); ++i) {
    for (size_t j = i + 1; j < all.size() && all[j].match.secret_start < all[i].match.secret_end; ++j) {
      meet(i, j);
      meet(j, i);
    }
  }
  for (size_t i = 0; i < all.size(); ++i) {
    Judged& one = all[i];
    one.verdict = Judge(ruleset, *one.rule, one.features.flags, one.features.entropy, {.path = path}, overlapping[i], &one.steps);
  }
  return all;
}

// " in base64 in escapes", from the inside out.
std::string WrittenIn(const RawMatch::Inner& inner) {
  if (inner.embedding == Embedding::kNone) return "";
  std::string text = absl::StrFormat(" in %s", std::string(EmbeddingName(inner.embedding)));
  for (const RawMatch::Inner::Step& step : inner.deeper) {
    if (step.embedding == Embedding::kNone) break;
    text = absl::StrFormat(" in %s%s", std::string(EmbeddingName(step.embedding)), text);
  }
  return text;
}

bool IsShown(const Judged& one, double min_confidence) {
  return one.better == nullptr && one.verdict.report && one.verdict.confidence >= min_confidence;
}

void WriteMatch(std::string_view path, const Judged& one, const ExplainOptions& options, std::ostream& out) {
  const MatchFeatures& features = one.features;
  const bool shown = IsShown(one, options.min_confidence);
  out << absl::StrFormat("%s:%d:%d  %s  %.2f  %s\n", EscapeForTerminal(path), features.start_line, features.start_column,
                         EscapeForTerminal(one.rule->id), one.verdict.confidence,
                         shown                    ? "reported"
                         : one.better != nullptr  ? absl::StrFormat("not reported: %s names it better", EscapeForTerminal(one.better->id))
                         : one.verdict.report     ? absl::StrFormat("not reported: below %.2f", options.min_confidence)
                                                  : absl::StrFormat("not reported: %s", std::string(one.verdict.reason)));
  if (!options.steps) return;
  const RawMatch::Inner& inner = one.match.inner;
  const bool embedded = inner.embedding != Embedding::kNone;
  out << absl::StrFormat("    %s\n", EscapeForTerminal(one.rule->description));
  if (one.rule->is_path_only()) {
    out << "    the file, by its path alone\n";
  } else {
    out << absl::StrFormat("    %d characters%s%s, entropy %.1f bits a character%s\n",
                           embedded ? inner.secret_end - inner.secret_start : one.match.secret_end - one.match.secret_start,
                           WrittenIn(inner),
                           features.preview.empty() ? "" : absl::StrFormat(" that begin with %s", EscapeForTerminal(features.preview)),
                           features.entropy,
                           features.identifier.empty() ? "" : absl::StrFormat(", assigned to %s", EscapeForTerminal(features.identifier)));
  }
  for (const JudgeStep& step : one.steps) out << absl::StrFormat("      %.2f  %s\n", step.confidence, std::string(step.what));
}

// `path`, or all files in it.
absl::Status ListFiles(const std::filesystem::path& path, std::vector<std::filesystem::path>* files) {
  std::error_code error;
  const std::filesystem::file_status status = std::filesystem::status(path, error);
  if (std::filesystem::is_regular_file(status)) {
    files->push_back(path);
    return absl::OkStatus();
  }
  if (!std::filesystem::is_directory(status)) {
    return absl::NotFoundError(absl::StrFormat("%s: there is no such file or folder", path.string()));
  }
  const size_t first = files->size();
  auto at = std::filesystem::recursive_directory_iterator(path, std::filesystem::directory_options::skip_permission_denied, error);
  for (; !error && at != std::filesystem::recursive_directory_iterator(); at.increment(error)) {
    if (at->path().filename() == ".git") {
      if (at->is_directory(error)) at.disable_recursion_pending();
    } else if (at->is_regular_file(error) && !at->is_symlink(error)) {
      files->push_back(at->path());
    }
  }
  if (error) return absl::NotFoundError(absl::StrFormat("%s: cannot be listed: %s", path.string(), error.message()));
  std::sort(files->begin() + static_cast<ptrdiff_t>(first), files->end());
  return absl::OkStatus();
}

// Returns what could not be read.
uint32_t ExplainArchive(const Detector& detector, const std::string& path, std::string_view content,
                        const ExplainOptions& options, std::ostream& out, int* shown) {
  return VisitMembers(content, {.max_bytes = kMaxDecodedBytes}, [&](const ArchiveMember& member) {
    if (member.is_archive) return;  // Its members came before.
    std::string decoded;
    const bool is_decoded = DecodeText(member.content, kMaxDecodedBytes, &decoded) == Decoding::kDecoded;
    const std::string place = member.path.empty() ? path : absl::StrFormat("%s!%s", path, member.path);
    *shown += ExplainText(detector, place, is_decoded ? decoded : member.content, options, out);
  });
}

}  // namespace

int ExplainText(const Detector& detector, std::string_view path, std::string_view text, const ExplainOptions& options,
                std::ostream& out) {
  int shown = 0;
  bool too_much = false;
  for (const Judged& one : JudgeAll(detector, path, text, &too_much)) {
    if (options.line && one.features.start_line != *options.line) continue;
    const bool is_shown = IsShown(one, options.min_confidence);
    shown += is_shown ? 1 : 0;
    if (is_shown || options.steps) WriteMatch(path, one, options, out);
  }
  if (too_much) {
    out << absl::StrFormat("%s: not all was looked at: it is made so that this takes too long; a scan skips it and says so\n",
                           EscapeForTerminal(path));
  }
  return shown;
}

absl::StatusOr<int> ExplainFiles(const Detector& detector, const std::vector<std::string>& paths,
                                 const ExplainOptions& options, std::ostream& out) {
  std::vector<std::filesystem::path> files;
  for (const std::string& path : paths) RETURN_IF_ERROR(ListFiles(path, &files));
  int shown = 0;
  for (const std::filesystem::path& file : files) {
    ASSIGN_OR_RETURN(const std::string content, ReadSmallFile(file, kMaxFileBytes));
    std::string decoded;
    const bool is_decoded = DecodeText(content, kMaxDecodedBytes, &decoded) == Decoding::kDecoded;
    if (options.archives && IsArchive(KindOfArchive(content, is_decoded ? std::string_view(decoded) : std::string_view()))) {
      const uint32_t gaps = ExplainArchive(detector, file.string(), content, options, out, &shown);
      if (gaps == 0) continue;
      out << absl::StrFormat("%s: not all of this archive could be read; a scan counts it\n", EscapeForTerminal(file.string()));
    }
    shown += ExplainText(detector, file.string(), is_decoded ? decoded : content, options, out);
  }
  return shown;
}

}  // namespace unsprawl
