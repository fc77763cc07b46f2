// What the command line says about itself, in the forms that other programs read: a man page, and
// completions for three shells. All of it is made by walking the CLI::App, so that a new command or
// option appears by itself. The build runs `unsprawl man` and `unsprawl completion SHELL` (deploy/).
#pragma once

#include <CLI/App.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace unsprawl {

// An option, or a positional argument.
struct OptionDoc {
  // What a shell offers in the value's place.
  enum class Value { kNone, kChoice, kFile, kFolder, kOther };

  std::vector<std::string> names;    // as typed: "-o", "--output"; a positional's only name
  std::string value_name;            // "DIR"; empty for a flag
  Value value = Value::kNone;        // kNone for a flag
  std::vector<std::string> choices;  // kChoice
  std::string description;
  std::string default_text;  // empty: none, or not worth saying
  std::string variable;      // the environment variable that stands in for it; may be empty
  bool required = false;
  bool repeated = false;  // takes any number of values
};

struct CommandDoc {
  std::string path;  // without the program's name: "rules check"; the program's is empty
  std::string description;
  std::vector<OptionDoc> options, positionals;
  std::vector<CommandDoc> commands;

  std::string name() const { return path.substr(path.rfind(' ') + 1); }
};

// Hidden commands and options (those of the empty group) are left out. A value is a file or a folder
// when its option's type_name is FILE or DIR; plain text may be a file as well. Option texts and
// CLI::IsMember of the form a|b|c are choices.
CommandDoc DescribeCommands(const CLI::App& app);

// unsprawl(1), in man(7) macros. `version`: "unsprawl 1.2.3".
std::string ManPage(const CommandDoc& program, std::string_view version);

// The completion script for `shell`. InvalidArgument: not one of bash, zsh, fish.
absl::StatusOr<std::string> CompletionScript(const CommandDoc& program, std::string_view shell);

// Adds the hidden commands `man` and `completion SHELL`, which print these of `app`. Call after all
// other commands were added, for the help's order only. `app` and `exit_code` must outlive parsing.
void AddDocsCommands(CLI::App& app, int* exit_code);

}  // namespace unsprawl
