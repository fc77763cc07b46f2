#include "engine/history/mailmap.h"

#include <algorithm>

#include "engine/history/commit_parser.h"

namespace unsprawl {
namespace {

std::string Lower(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return lower;
}

std::string_view Trim(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t\r\v\f");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\r\v\f") + 1 - begin);
}

// Cuts "Name <address>" off the front of `text`. False: there is none.
bool TakePerson(std::string_view& text, std::string_view& name, std::string_view& email) {
  const size_t open = text.find('<');
  if (open == std::string_view::npos) return false;
  const size_t close = text.find('>', open + 1);
  if (close == std::string_view::npos) return false;
  name = Trim(text.substr(0, open));
  email = text.substr(open + 1, close - open - 1);
  text.remove_prefix(close + 1);
  return true;
}

}  // namespace

Mailmap::Mailmap(std::string_view text) {
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    AddLine(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

void Mailmap::AddLine(std::string_view line) {
  std::string_view name, email, old_name, old_email;
  if (line.empty() || line[0] == '#' || !TakePerson(line, name, email) || email.empty()) return;
  if (!TakePerson(line, old_name, old_email)) {
    old_name = {};
    old_email = email;  // "Real Name <address>" is about that address
    email = {};
  }
  name = name.substr(0, Identity::kMaxBytes);
  email = email.substr(0, Identity::kMaxBytes);
  Address& address = addresses_[Lower(old_email)];
  if (!old_name.empty()) {
    address.named[Lower(old_name)] = {std::string(name), std::string(email)};
    return;
  }
  if (!name.empty()) address.any.name = name;
  if (!email.empty()) address.any.email = email;
}

void Mailmap::Resolve(std::string& name, std::string& email) const {
  const auto address = addresses_.find(Lower(email));
  if (address == addresses_.end()) return;
  const auto named = address->second.named.find(Lower(name));
  const Person& person = named != address->second.named.end() ? named->second : address->second.any;
  if (!person.name.empty()) name = person.name;
  if (!person.email.empty()) email = person.email;
}

}  // namespace unsprawl
