#include "coordinator/named_examples.h"

#include <algorithm>
#include <iterator>
#include <span>

#include "coordinator/example_text.h"
#include "engine/judge/text_shape.h"

namespace unsprawl {
namespace {

constexpr FileKind kFileKinds[] = {
    {"dotenv", "APP_ENV=production\n%ENV%=%V%\nLOG_LEVEL=info\n"},
    {"yaml", "server:\n  port: 8080\n%snake%: \"%V%\"\n"},
    {"json", "{\n  \"region\": \"eu-west-1\",\n  \"%camel%\": \"%V%\",\n  \"retries\": 3\n}\n"},
    {"shell", "#!/bin/sh\nset -eu\nexport %ENV%='%V%'\nexec ./serve\n"},
    {"python", "import os\n\n%ENV% = \"%V%\"\n\ndef client():\n    return connect(%ENV%)\n"},
    {"javascript", "const http = require('http');\nconst %camel% = '%V%';\nmodule.exports = { %camel% };\n"},
    {"typescript", "export const environment = {\n  production: true,\n  %camel%: '%V%',\n};\n"},
    {"java", "public final class Settings {\n  private static final String %ENV% = \"%V%\";\n}\n"},
    {"kotlin", "object Keys {\n    const val %ENV% = \"%V%\"\n}\n"},
    {"csharp", "class Settings {\n    public string %Pascal% { get; } = \"%V%\";\n}\n"},
    {"go", "package main\n\nconst %camel% = \"%V%\"\n"},
    {"rust", "fn main() {\n    let %snake% = \"%V%\";\n    run(%snake%);\n}\n"},
    {"ruby", "%Service%.configure do |config|\n  config.%snake% = '%V%'\nend\n"},
    {"php", "<?php\ndefine('%ENV%', '%V%');\n$%snake% = getenv('%ENV%');\n"},
    {"properties", "app.name=shop\n%dot%=%V%\nspring.jpa.show-sql=false\n"},
    {"toml", "[server]\nport = 8080\n%snake% = \"%V%\"\n"},
    {"ini", "[%service%]\nenabled = true\n%snake% = %V%\n"},
    {"xml", "<configuration>\n  <appSettings>\n    <add key=\"%Pascal%\" value=\"%V%\" />\n  </appSettings>\n</configuration>\n"},
    {"terraform", "variable \"%snake%\" {\n  type    = string\n  default = \"%V%\"\n}\n%snake% = \"%V%\"\n"},
    {"dockerfile", "FROM debian:12\nENV %ENV%=%V%\nCMD [\"/app\"]\n"},
    {"compose", "services:\n  web:\n    image: shop\n    environment:\n      - %ENV%=%V%\n"},
    {"kubernetes", "env:\n  - name: %ENV%\n    value: \"%V%\"\n"},
    {"ci", "jobs:\n  build:\n    env:\n      %ENV%: %V%\n"},
    {"commandline", "# deploy\n./deploy --%kebab%=%V% --region eu\n"},
    {"curl", "curl -s -H \"X-%Service%-Key: %V%\" https://example.org/v1/items\n"},
    {"sdk", "client = %Service%(%kind%=\"%V%\", timeout=30)\n"},
    {"notebook", "  \"source\": [\n    \"%snake% = '%V%'\\n\"\n  ]\n"},
    {"markdown", "## Staging\n\nThe %text% is `%V%`, ask Ann for the other one.\n"},
    {"sql", "INSERT INTO settings (name, value) VALUES ('%snake%', '%V%');\n"},
    {"log", "2024-05-02 10:11:12 DEBUG %Service% %kind%=%V% status=200\n"},
    {"nested-yaml", "%service%:\n  %kindKebab%: %V%\n  timeout: 30\n"},
    {"nested-json", "{\n  \"%service%\": {\n    \"%kindCamel%\": \"%V%\"\n  }\n}\n"},
};

std::string Capital(std::string word) {
  if (!word.empty() && IsLower(word[0])) word[0] = static_cast<char>(word[0] - 'a' + 'A');
  return word;
}

std::string Upper(std::string text) {
  for (char& c : text) c = IsLower(c) ? static_cast<char>(c - 'a' + 'A') : c;
  return text;
}

std::string Join(const std::vector<std::string>& words, std::string_view joint) {
  std::string text;
  for (const std::string& word : words) {
    if (!text.empty()) text += joint;
    text += word;
  }
  return text;
}

std::string Humps(const std::vector<std::string>& words, bool first) {
  std::string text;
  for (const std::string& word : words) text += first || !text.empty() ? Capital(word) : word;
  return text;
}

std::string NameOf(std::string_view variable, const NamedPlace& place) {
  std::vector<std::string> all = place.service;
  all.insert(all.end(), place.kind.begin(), place.kind.end());
  if (variable == "ENV") return Upper(Join(all, "_"));
  if (variable == "snake") return Join(all, "_");
  if (variable == "kebab") return Join(all, "-");
  if (variable == "dot") return Join(all, ".");
  if (variable == "text") return Capital(Join(all, " "));
  if (variable == "camel") return Humps(all, false);
  if (variable == "Pascal") return Humps(all, true);
  if (variable == "Service") return Humps(place.service, true);
  if (variable == "service") return Join(place.service, "_");
  if (variable == "kind") return Join(place.kind, "_");
  if (variable == "kindCamel") return Humps(place.kind, false);
  if (variable == "kindKebab") return Join(place.kind, "-");
  return "";
}

std::vector<std::string> Words(std::string_view text) {
  std::vector<std::string> words(1);
  for (const char c : LowerAscii(text)) {
    if (IsAlnum(c)) {
      words.back() += c;
    } else if (!words.back().empty()) {
      words.emplace_back();
    }
  }
  if (words.back().empty()) words.pop_back();
  return words;
}

}  // namespace

std::span<const FileKind> FileKinds() { return kFileKinds; }

NamedPlace PlaceOf(const Rule& rule) {
  constexpr size_t kMostKindWords = 3;
  NamedPlace place;
  if (rule.is_named()) place.service = Words(rule.names[0]);
  place.kind = Words(rule.kind);
  if (place.kind.size() > kMostKindWords) place.kind.erase(place.kind.begin(), place.kind.end() - kMostKindWords);
  // "abstract api" and "API key" make abstract_api_key.
  while (place.kind.size() > 1 &&
         std::find(place.service.begin(), place.service.end(), place.kind.front()) != place.service.end()) {
    place.kind.erase(place.kind.begin());
  }
  return place;
}

std::string FillSnippet(std::string_view snippet, const NamedPlace& place, std::string_view value) {
  std::string text;
  while (!snippet.empty()) {
    const size_t open = snippet.find('%');
    const size_t close = open == std::string_view::npos ? open : snippet.find('%', open + 1);
    text += snippet.substr(0, open);
    if (close == std::string_view::npos) break;
    const std::string_view variable = snippet.substr(open + 1, close - open - 1);
    text += variable == "V" ? std::string(value) : NameOf(variable, place);
    snippet.remove_prefix(close + 1);
  }
  return text;
}

std::vector<std::string> NamedExamples(const Rule& rule) {
  constexpr size_t kExamples = 3;
  const NamedPlace place = PlaceOf(rule);
  std::vector<std::string> examples;
  const uint64_t hash = HashText(rule.id, 0);
  for (size_t i = 0; i < kExamples; ++i) {
    const FileKind& kind = kFileKinds[(hash + i * 11) % std::size(kFileKinds)];
    examples.push_back(FillSnippet(kind.snippet, place, rule.values[i % rule.values.size()]));
  }
  return examples;
}

std::vector<std::string> NamedNegatives(const Rule& rule) {
  const NamedPlace place = PlaceOf(rule);
  std::vector<std::string> negatives;
  for (const std::string_view snippet : {"%ENV%=${%ENV%}\n", "%snake%: \"<your-%kebab%>\"\n", "const %camel% = process.env.%ENV%;\n",
                                         "\"%camel%\": \"%camel%\",\n", "%ENV%=xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n"}) {
    negatives.push_back(FillSnippet(snippet, place, ""));
  }
  return negatives;
}

}  // namespace unsprawl
