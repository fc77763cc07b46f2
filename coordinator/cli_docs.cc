#include "coordinator/cli_docs.h"

#include <cstdio>
#include <memory>
#include <utility>

#include "coordinator/scan_command.h"

namespace unsprawl {
namespace {

std::vector<std::string> Split(std::string_view text, char separator) {
  std::vector<std::string> words;
  for (;;) {
    const size_t end = text.find(separator);
    words.emplace_back(text.substr(0, end));
    if (end == std::string_view::npos) return words;
    text.remove_prefix(end + 1);
  }
}

// The members in "TEXT:{a,b}", the form in which CLI::IsMember describes itself.
std::string_view Members(std::string_view type) {
  const size_t start = type.find(":{"), end = type.rfind('}');
  if (start == std::string_view::npos || end == std::string_view::npos) return {};
  const std::string_view members = type.substr(start + 2, end - start - 2);
  return members.find("->") == std::string_view::npos ? members : std::string_view();
}

void DescribeValue(const CLI::Option& option, OptionDoc* doc) {
  const std::string type = option.get_type_name();
  const std::string& text = option.get_option_text();
  doc->value_name = text.empty() ? type.substr(0, type.find(':')) : text;
  doc->value = OptionDoc::Value::kOther;
  const std::string_view members = Members(type);
  if (text.find('|') != std::string::npos && text.find_first_of(" []<>") == std::string::npos) {
    doc->choices = Split(text, '|');
  } else if (text.empty() && !members.empty()) {
    doc->choices = Split(members, ',');
    doc->value_name.clear();
    for (const std::string& choice : doc->choices) {
      doc->value_name += (doc->value_name.empty() ? "" : "|") + choice;
    }
  } else if (doc->value_name == "FILE" || doc->value_name == "PATH" || doc->value_name == "TEXT") {
    doc->value = OptionDoc::Value::kFile;
  } else if (doc->value_name == "DIR") {
    doc->value = OptionDoc::Value::kFolder;
  }
  if (!doc->choices.empty()) doc->value = OptionDoc::Value::kChoice;
}

OptionDoc Describe(const CLI::Option& option) {
  OptionDoc doc;
  for (const std::string& name : option.get_snames()) doc.names.push_back("-" + name);
  for (const std::string& name : option.get_lnames()) doc.names.push_back("--" + name);
  if (doc.names.empty()) doc.names.push_back(option.get_name(true));
  if (option.get_items_expected_max() > 0) DescribeValue(option, &doc);
  doc.description = option.get_description();
  doc.default_text = option.get_default_str();
  doc.variable = option.get_envname();
  doc.required = option.get_required();
  doc.repeated = option.get_items_expected_max() > 1;
  return doc;
}

void DescribeInto(const CLI::App& app, CommandDoc* doc) {
  for (const CLI::Option* option : app.get_options()) {
    if (option->get_group().empty()) continue;
    (option->get_positional() ? doc->positionals : doc->options).push_back(Describe(*option));
  }
  for (const CLI::App* command : app.get_subcommands(nullptr)) {
    if (command->get_group().empty()) continue;
    if (command->get_name().empty()) {  // a group of options
      DescribeInto(*command, doc);
      continue;
    }
    CommandDoc& added = doc->commands.emplace_back();
    added.path = doc->path + (doc->path.empty() ? "" : " ") + command->get_name();
    added.description = command->get_description();
    DescribeInto(*command, &added);
  }
}

}  // namespace

CommandDoc DescribeCommands(const CLI::App& app) {
  CommandDoc program;
  program.description = app.get_description();
  DescribeInto(app, &program);
  return program;
}

void AddDocsCommands(CLI::App& app, int* exit_code) {
  CLI::App* man = app.add_subcommand("man", "print the man page")->group("");
  man->callback([&app] {
    std::fputs(ManPage(DescribeCommands(app), app.version()).c_str(), stdout);
  });
  CLI::App* completion = app.add_subcommand("completion", "print a completion script")->group("");
  const auto shell = std::make_shared<std::string>();
  completion->add_option("SHELL", *shell, "bash, zsh or fish")->required();
  completion->callback([&app, shell, exit_code] {
    const absl::StatusOr<std::string> script = CompletionScript(DescribeCommands(app), *shell);
    if (script.ok()) {
      std::fputs(script->c_str(), stdout);
      return;
    }
    std::fprintf(stderr, "unsprawl: %s\n", std::string(script.status().message()).c_str());
    *exit_code = kExitUsage;
  });
}

}  // namespace unsprawl
