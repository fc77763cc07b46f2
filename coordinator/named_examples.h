// Where people keep a service's credential: a snippet of each kind of file, to put a made-up value in.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/match/ruleset.h"

namespace unsprawl {

// What a snippet needs to know of a credential.
struct NamedPlace {
  std::vector<std::string> service;  // words, lower-case: "abstract", "api"
  std::vector<std::string> kind;     // words, lower-case: "api", "key"
};

// The first name of a keyword rule and its kind, without repeating words that both have.
NamedPlace PlaceOf(const Rule& rule);

struct FileKind {
  std::string_view name;      // "yaml"
  std::string_view snippet;   // in the language of FillSnippet
};
std::span<const FileKind> FileKinds();

// Puts names and `value` into a snippet, where %V% stands for the value, and service and kind together are
// %ENV% (ABSTRACT_API_KEY), %snake%, %kebab%, %camel%, %Pascal%, %dot% (abstract.api.key) and %text%
// (Abstract api key); of the service alone there are %Service% and %service% (joined by _); of the kind
// alone %kind% (joined by _), %kindCamel% and %kindKebab%.
std::string FillSnippet(std::string_view snippet, const NamedPlace& place, std::string_view value);

// Templates for ExpandExample: values of `rule`, a keyword rule, in three kinds of files; the same at all times.
std::vector<std::string> NamedExamples(const Rule& rule);
// The same with what is no value: variables, placeholders.
std::vector<std::string> NamedNegatives(const Rule& rule);

}  // namespace unsprawl
