#include "engine/judge/examine.h"

#include <algorithm>

#include "engine/judge/checksum.h"
#include "engine/judge/structure.h"
#include "engine/judge/text_shape.h"
#include "engine/judge/value_shape.h"
#include "engine/match/escapes.h"
#include "engine/match/inner.h"
#include "engine/match/named.h"
#include "engine/match/ruleset_filters.h"

namespace unsprawl {
namespace {

// The three texts that an allowlist may speak of.
struct Texts {
  std::string_view secret, match;
  std::string_view before, behind;  // of the match
  std::string lower_secret;
  uint64_t start = 0, end = 0;  // of the match
  Lines* lines = nullptr;
};

std::string_view TargetOf(const Allowlist& list, const Texts& texts) {
  switch (list.target) {
    case Allowlist::Target::kSecret: return texts.secret;
    case Allowlist::Target::kMatch: return texts.match;
    case Allowlist::Target::kLine: return texts.lines->Around(texts.start, texts.end);
  }
  return texts.secret;
}

// Whether the criteria about values hold: any of those defined, or, with AND, all of them.
bool ValuesHold(const Allowlist& list, const CompiledAllowlist& compiled, const Texts& texts) {
  const bool has_regexes = !list.regexes.empty(), has_stopwords = !list.stopwords.empty();
  const bool regex = has_regexes && MatchesAny(compiled.regexes, TargetOf(list, texts));
  const bool stopword =
      has_stopwords && std::any_of(list.stopwords.begin(), list.stopwords.end(), [&texts](const auto& word) {
        return texts.lower_secret.find(word) != std::string::npos;
      });
  if (!has_regexes && !has_stopwords) return false;
  return list.all ? (regex || !has_regexes) && (stopword || !has_stopwords) : regex || stopword;
}

uint32_t AllowlistFlags(std::span<const Allowlist> lists, const std::vector<CompiledAllowlist>& compiled,
                        const Rule& rule, const Texts& texts, int* bit) {
  uint32_t flags = 0;
  for (size_t i = 0; i < lists.size(); ++i) {
    const Allowlist& list = lists[i];
    if (!list.has_values()) continue;
    const uint32_t flag = list.is_joined() ? uint32_t{kPathAllowlist} << (*bit)++ : uint32_t{kAllowlisted};
    if (list.AppliesTo(rule.id) && ValuesHold(list, compiled[i], texts)) flags |= flag;
  }
  return flags;
}

uint32_t CheckFlags(const Rule& rule, const Texts& texts, int64_t now) {
  uint32_t flags = 0;
  if (const ChecksumFunction checksum = FindChecksum(rule.checksum); checksum != nullptr) {
    const Check check = checksum(texts.secret);
    if (check == Check::kOk) flags |= kChecksumOk;
    if (check == Check::kBad) flags |= kChecksumBad;
  }
  if (const StructureFunction structure = FindStructure(rule.structure); structure != nullptr) {
    const Check check = structure(texts.secret, texts.match, now);
    if (check == Check::kOk) flags |= kStructureOk;
    if (check == Check::kBad) flags |= kStructureBad;
    if (check == Check::kDead) flags |= kStructurallyDead;
  }
  return flags;
}

// Whether what stands directly before a value says that it names a commit, a file's content or a thing.
bool SaysDigest(std::string_view lead) {
  static constexpr std::string_view kWords[] = {"commit", "sha1", "sha256", "checksum", "md5", "digest", "hash", "tree/", "blob/",
                                                "integrity", "etag", "revision", "guid", "uuid", "keyed by", "credentials(",
                                                "version", ".tgz#"};
  const std::string lower = LowerAscii(lead);
  return lower.ends_with('{') || ContainsAny(lower, kWords);
}

// Whether a value is called a digest by what it follows: "sha256=" of a list of installed files, "sha512-" of a lock file.
bool IsNamedDigest(std::string_view lead) {
  static constexpr std::string_view kNames[] = {"sha1", "sha224", "sha256", "sha384", "sha512", "md5"};
  if (lead.empty() || std::string_view("=-:").find(lead.back()) == std::string_view::npos) return false;
  lead.remove_suffix(1);
  return EndsWithAny(LowerAscii(lead), kNames);
}

// How a keyword rule came to its value.
// `lead`: what stands before the secret, in its line and some before.
uint32_t NamedFlags(const Texts& texts, std::string_view identifier, std::string_view lead, const NamedTarget& target) {
  if (target.values.empty()) return 0;
  uint32_t flags = HasDocumentedShape(texts.secret, target.values) ? 0 : uint32_t{kUndocumented};
  const std::string around = LowerAscii(texts.before) + ' ' + LowerAscii(texts.behind) + ' ' + LowerAscii(identifier);
  const bool kind = std::any_of(target.kind.begin(), target.kind.end(), [&around](const std::string& word) {
    return around.find(word) != std::string::npos;  // what this provider calls it: "certificate", "DSN"
  });
  if (!kind && !AsksForCredential(around)) flags |= kNothingAsked;
  if (texts.before.find('\n') != std::string_view::npos) flags |= kOtherLine;
  if (SaysDigest(lead) && (IsDigestShape(texts.secret) || IsUuidShape(texts.secret))) flags |= kDigestLike;
  return flags;
}

// The lines that ask scanners to pass them over, ascending: found once, however many matches a line has.
std::vector<uint32_t> AllowedLines(std::string_view content) {
  constexpr std::string_view kAllow = ":allow";
  std::vector<uint32_t> allowed;
  uint32_t line = 1;
  size_t counted = 0;  // the newlines before it are in `line`
  for (size_t at = content.find(kAllow); at != std::string_view::npos; at = content.find(kAllow, at + 1)) {
    const std::string_view before = content.substr(0, at);
    if (!before.ends_with("gitleaks") && !before.ends_with("unsprawl")) continue;
    line += static_cast<uint32_t>(std::count(content.begin() + static_cast<ptrdiff_t>(counted),
                                             content.begin() + static_cast<ptrdiff_t>(at), '\n'));
    counted = at;
    allowed.push_back(line);
  }
  return allowed;
}

std::string PreviewOf(const Rule& rule, std::string_view secret) {
  std::string_view best;
  for (const std::string& prefix : rule.prefixes) {
    if (prefix.size() > best.size() && secret.substr(0, prefix.size()) == prefix) best = prefix;
  }
  return std::string(best);
}

}  // namespace

std::string NormaliseValue(const Rule&, std::string_view secret) {
  if (secret.find("-----BEGIN ") == std::string_view::npos) return std::string(secret);
  const auto is_layout = [](char c) {
    return c == '\n' || c == '\r' || c == ' ' || c == '\t' || c == '"' || c == '\'';
  };
  std::string value;
  value.reserve(secret.size());
  for (size_t i = 0; i < secret.size(); ++i) {
    const char c = secret[i];
    const char next = i + 1 < secret.size() ? secret[i + 1] : '\n';
    if (is_layout(c)) continue;
    if (c == '\\') {
      // \n, \r and \" of a literal; a backslash before a line's end joins lines.
      if (next == 'n' || next == 'r' || next == '"') ++i;
      continue;
    }
    // A plus that stands alone joins literals; one within a line is base64.
    if (c == '+' && i > 0 && is_layout(secret[i - 1]) && is_layout(next)) continue;
    value.push_back(c);
  }
  return value;
}

SecretId PathFingerprint(const SecretKey& key, std::string_view rule_id, std::string_view blob) {
  std::string identity = std::string("path") + '\0';
  identity.append(rule_id).append(1, '\0').append(blob);
  return Fingerprint(key, SecretView(identity));
}

namespace {

// `allowed`: AllowedLines of the content.
MatchFeatures ExamineOne(const Ruleset& ruleset, const RawMatch& match, Lines& lines, std::span<const uint32_t> allowed,
                         const SecretKey& key, int64_t now) {
  const Rule& rule = ruleset.rules()[match.rule];
  const RulesetFilters& filters = ruleset.filters();
  const std::string_view content = lines.content();
  const bool embedded = match.inner.embedding != Embedding::kNone;
  // What the match was found in, and where it is there.
  const std::string decoded = InnermostText(content, match);
  const std::string_view text = embedded ? std::string_view(decoded) : content;
  const uint64_t start = embedded ? match.inner.start : match.start, end = embedded ? match.inner.end : match.end;
  const uint64_t secret_start = embedded ? match.inner.secret_start : match.secret_start;
  const uint64_t secret_end = embedded ? match.inner.secret_end : match.secret_end;
  const std::string value = ValueOf(text, secret_start, secret_end);
  Texts texts;
  texts.secret = value;
  texts.match = text.substr(start, end - start);
  texts.before = text.substr(start, secret_start - start), texts.behind = text.substr(secret_end, end - secret_end);
  texts.start = match.start, texts.end = match.end;
  texts.lines = &lines;
  texts.lower_secret = LowerAscii(texts.secret);

  MatchFeatures features;
  features.secret = Fingerprint(key, SecretView(NormaliseValue(rule, texts.secret)));
  features.entropy = static_cast<float>(Entropy(texts.secret));
  features.identifier = IdentifierBefore(text, secret_start);
  features.preview = PreviewOf(rule, texts.secret);
  const Lines::Position first = lines.At(match.secret_start), last = lines.At(match.secret_end);
  features.start_line = first.line, features.start_column = first.column;
  features.end_line = last.line, features.end_column = last.column;
  constexpr uint64_t kLeadBytes = 16;
  const std::string_view lead = text.substr(secret_start - std::min(secret_start, kLeadBytes), std::min(secret_start, kLeadBytes));
  const uint32_t named = NamedFlags(texts, features.identifier, lead, filters.rules[match.rule].named);
  const bool documented = rule.is_named() && (named & kUndocumented) == 0;
  const ValueContext context = {.identifier = features.identifier.empty() ? texts.before : std::string_view(features.identifier),
                                .before = texts.before,
                                .behind = texts.behind,
                                .documented = documented};
  features.flags = CheckFlags(rule, texts, now) | named | ShapeOfValue(texts.secret, context, rule);
  if (rule.rule_class != RuleClass::kDistinctive && IsNamedDigest(lead)) features.flags |= kDigestLike;
  const auto next_allowed = std::lower_bound(allowed.begin(), allowed.end(), lines.At(match.start).line);
  if (next_allowed != allowed.end() && *next_allowed <= lines.At(match.end).line) features.flags |= kInlineAllowed;
  int bit = 0;
  features.flags |=
      AllowlistFlags(rule.allowlists, filters.rules[match.rule].allowlists, rule, texts, &bit);
  features.flags |= AllowlistFlags(ruleset.allowlists(), filters.global, rule, texts, &bit);
  return features;
}

// Whether one lies as near to another as `required` wants. Distances are between where both begin.
bool IsNear(const MatchFeatures& a, const MatchFeatures& b, const RequiredRule& required) {
  const auto apart = [](uint32_t x, uint32_t y) { return x > y ? x - y : y - x; };
  return (!required.within_lines || apart(a.start_line, b.start_line) <= *required.within_lines) &&
         (!required.within_columns || apart(a.start_column, b.start_column) <= *required.within_columns);
}

// Whether a match says something at all, wherever it lies.
bool Counts(const Rule& rule, const MatchFeatures& features) {
  return (features.flags & (kAllowlisted | kChecksumBad)) == 0 && (rule.min_entropy == 0 || features.entropy > rule.min_entropy);
}

// Flags the matches of which a rule that theirs requires has none near. Matches are in order of rules.
void FlagUnmet(const Ruleset& ruleset, std::span<const RawMatch> matches, std::span<MatchFeatures> features) {
  const auto any_near = [&](size_t i, uint32_t rule, const RequiredRule& required) {
    const auto by_rule = [](const RawMatch& match, uint32_t wanted) { return match.rule < wanted; };
    const auto first = std::lower_bound(matches.begin(), matches.end(), rule, by_rule);
    for (auto at = first; at != matches.end() && at->rule == rule; ++at) {
      const MatchFeatures& other = features[static_cast<size_t>(at - matches.begin())];
      if (Counts(ruleset.rules()[rule], other) && IsNear(features[i], other, required)) return true;
    }
    return false;
  };
  for (size_t i = 0; i < matches.size(); ++i) {
    const std::vector<RequiredRule>& required = ruleset.rules()[matches[i].rule].required;
    for (size_t k = 0; k < required.size(); ++k) {
      const uint32_t rule = ruleset.filters().rules[matches[i].rule].required[k];
      if (ruleset.rules()[rule].is_path_only()) continue;  // met by the path: Judge knows it
      if (!any_near(i, rule, required[k])) features[i].flags |= kRequiredMissing;
    }
  }
}

}  // namespace

std::vector<MatchFeatures> Examine(const Ruleset& ruleset, std::span<const RawMatch> matches, std::string_view content,
                                   const SecretKey& key, int64_t now) {
  if (matches.empty()) return {};
  Lines lines(content);
  const std::vector<uint32_t> allowed = AllowedLines(content);
  std::vector<MatchFeatures> features;
  features.reserve(matches.size());
  for (const RawMatch& match : matches) features.push_back(ExamineOne(ruleset, match, lines, allowed, key, now));
  FlagUnmet(ruleset, matches, features);
  return features;
}

}  // namespace unsprawl
