#include "engine/history/commit_parser.h"

#include <strings.h>

#include <algorithm>
#include <charconv>

namespace unsprawl {
namespace {

constexpr std::string_view kCoAuthoredBy = "Co-authored-by:";

bool StartsWith(std::string_view text, std::string_view prefix) {
  return text.substr(0, prefix.size()) == prefix;
}

std::string_view Trim(std::string_view text) {
  constexpr std::string_view kBlank(" \t\r\n\0", 5);
  const size_t begin = text.find_first_not_of(kBlank);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlank) + 1 - begin);
}

// Cuts the next line, without its newline, off the front of `text`.
std::string_view TakeLine(std::string_view& text) {
  const size_t end = std::min(text.find('\n'), text.size());
  const std::string_view line = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return line;
}

int64_t ParseNumber(std::string_view text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && (end == text.data() + text.size() || *end == ' ') ? value : 0;
}

// "+0530" -> 330. Zero for what is no offset within a day.
int32_t ParseOffset(std::string_view text) {
  if (text.size() != 5 || (text[0] != '+' && text[0] != '-')) return 0;
  uint32_t digits = 0;  // unsigned: no second sign
  const auto [end, error] = std::from_chars(text.data() + 1, text.data() + 5, digits);
  if (error != std::errc() || end != text.data() + 5) return 0;
  const int32_t minutes = static_cast<int32_t>(digits / 100 * 60 + digits % 100);
  if (minutes > 24 * 60) return 0;
  return text[0] == '-' ? -minutes : minutes;
}

// Of "Name <mail> <seconds> <offset>".
void ParseDate(std::string_view line, int64_t& seconds, int32_t& offset) {
  const size_t bracket = line.rfind('>');
  if (bracket == std::string_view::npos) return;
  const std::string_view date = Trim(line.substr(bracket + 1));
  seconds = ParseNumber(date);
  const size_t space = date.find(' ');
  if (space != std::string_view::npos) offset = ParseOffset(Trim(date.substr(space)));
}

// Once each. An octopus has a dozen; a forged commit may have a million.
void AddParent(const ObjectId& id, ParsedCommit& commit) {
  constexpr size_t kFew = 32;
  if (commit.parents.size() < kFew) {
    if (std::find(commit.parents.begin(), commit.parents.end(), id) != commit.parents.end()) return;
  } else {
    if (commit.parents.size() == kFew) commit.many_parents = {commit.parents.begin(), commit.parents.end()};
    if (!commit.many_parents.insert(id).second) return;
  }
  commit.parents.push_back(id);
}

void ReadHeader(std::string_view line, ParsedCommit& commit, bool& has_author, bool& has_committer) {
  if (StartsWith(line, "tree ")) {
    if (!commit.tree) commit.tree = ObjectId::FromHex(line.substr(5));
  } else if (StartsWith(line, "parent ")) {
    const std::optional<ObjectId> id = ObjectId::FromHex(line.substr(7));
    if (id) AddParent(*id, commit);
  } else if (StartsWith(line, "author ") && !has_author) {
    has_author = true;
    commit.author = ParseIdentity(line.substr(7));
    ParseDate(line, commit.author_time, commit.author_offset);
  } else if (StartsWith(line, "committer ") && !has_committer) {
    has_committer = true;
    int32_t unused = 0;
    ParseDate(line, commit.committer_time, unused);
  }
}

void ReadCoAuthors(std::string_view message, ParsedCommit& commit) {
  while (!message.empty() && commit.co_authors.size() < ParsedCommit::kMaxCoAuthors) {
    const std::string_view line = TakeLine(message);
    if (line.size() <= kCoAuthoredBy.size() || (line[0] | 0x20) != 'c' ||
        strncasecmp(line.data(), kCoAuthoredBy.data(), kCoAuthoredBy.size()) != 0) {
      continue;
    }
    const Identity who = ParseIdentity(line.substr(kCoAuthoredBy.size()));
    if (!who.name.empty() || !who.email.empty()) commit.co_authors.push_back(who);
  }
}

}  // namespace

Identity ParseIdentity(std::string_view line) {
  Identity who;
  const size_t open = line.find('<');
  who.name = Trim(line.substr(0, open));
  if (open != std::string_view::npos) {
    const std::string_view rest = line.substr(open + 1);
    who.email = Trim(rest.substr(0, rest.find('>')));
  }
  who.name = who.name.substr(0, Identity::kMaxBytes);
  who.email = who.email.substr(0, Identity::kMaxBytes);
  return who;
}

void ParseCommit(std::string_view content, ParsedCommit& commit) {
  commit.tree.reset();
  commit.parents.clear();
  commit.co_authors.clear();
  commit.author = {};
  commit.author_time = commit.committer_time = 0;
  commit.author_offset = 0;
  bool has_author = false, has_committer = false;
  while (!content.empty()) {
    const std::string_view line = TakeLine(content);
    if (line.empty()) break;  // the message follows
    ReadHeader(line, commit, has_author, has_committer);
  }
  ReadCoAuthors(content, commit);
}

std::optional<ObjectId> ParseTagTarget(std::string_view content) {
  if (!StartsWith(content, "object ")) return std::nullopt;
  return ObjectId::FromHex(TakeLine(content).substr(7));
}

}  // namespace unsprawl
