// Completion scripts. Each finds the command in the words typed so far (a word that names one goes one
// level down, everything else stays), then offers what DescribeCommands knows of it.
#include <functional>

#include "absl/status/status.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "coordinator/cli_docs.h"

namespace unsprawl {
namespace {

constexpr char kFirstLine[] = "completion for unsprawl(1); made by `unsprawl completion %s`";

// One word that the shell takes literally. zsh and bash read this; fish's quotes differ.
std::string Quoted(std::string_view text) {
  return "'" + absl::StrReplaceAll({text.data(), text.size()}, {{"'", "'\\''"}}) + "'";
}

std::string Joined(const std::vector<std::string>& words, const char* separator) {
  std::string text;
  for (size_t i = 0; i < words.size(); ++i) text += (i == 0 ? "" : separator) + words[i];
  return text;
}

void ForEachCommand(const CommandDoc& command, const std::function<void(const CommandDoc&)>& visit) {
  visit(command);
  for (const CommandDoc& sub : command.commands) ForEachCommand(sub, visit);
}

// Every command's path, quoted, but the program's.
std::vector<std::string> Paths(const CommandDoc& program) {
  std::vector<std::string> paths;
  ForEachCommand(program, [&](const CommandDoc& command) {
    if (!command.path.empty()) paths.push_back(Quoted(command.path));
  });
  return paths;
}

// --- bash ---

// Assignments that say what to offer for a value.
std::string BashValue(const OptionDoc& option) {
  switch (option.value) {
    case OptionDoc::Value::kChoice:
      return "offer=words words=" + Quoted(Joined(option.choices, " "));
    case OptionDoc::Value::kFile: return "offer=files";
    case OptionDoc::Value::kFolder: return "offer=folders";
    default: return "offer=nothing";
  }
}

// One case for every option that takes a value: 'scan --store' after the word before.
std::string BashValueCases(const CommandDoc& program) {
  std::string cases;
  ForEachCommand(program, [&](const CommandDoc& command) {
    for (const OptionDoc& option : command.options) {
      if (option.value == OptionDoc::Value::kNone) continue;
      std::vector<std::string> patterns;
      for (const std::string& name : option.names) {
        patterns.push_back(Quoted(command.path + " " + name));
      }
      cases += absl::StrFormat("    %s) %s ;;\n", Joined(patterns, " | "), BashValue(option));
    }
  });
  return cases;
}

// One case for every command: its options, and its commands or its first argument.
std::string BashCommandCases(const CommandDoc& program) {
  std::string cases;
  ForEachCommand(program, [&](const CommandDoc& command) {
    std::vector<std::string> options, commands;
    for (const OptionDoc& option : command.options) {
      options.insert(options.end(), option.names.begin(), option.names.end());
    }
    for (const CommandDoc& sub : command.commands) commands.push_back(sub.name());
    std::string argument = "offer=words words=" + Quoted(Joined(commands, " "));
    if (!command.positionals.empty()) argument = BashValue(command.positionals[0]);
    cases += absl::StrFormat("        %s) options=%s %s ;;\n", Quoted(command.path),
                             Quoted(Joined(options, " ")), argument);
  });
  return cases;
}

std::string Bash(const CommandDoc& program) {
  return "# bash " + absl::StrFormat(kFirstLine, "bash") + R"(

_unsprawl() {
  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
  local path='' options='' offer='' words='' word
  COMPREPLY=()
  # Readline splits --option=value at the sign.
  if [[ $current == '=' ]]; then
    current=''
  elif [[ $previous == '=' ]]; then
    previous=${COMP_WORDS[COMP_CWORD - 2]}
  fi
  for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "${path:+$path }$word" in
      )" + Joined(Paths(program), " | ") + R"() path="${path:+$path }$word" ;;
    esac
  done
  case "$path $previous" in
)" + BashValueCases(program) + R"(    *)
      case "$path" in
)" + BashCommandCases(program) + R"(      esac
      if [[ $current == -* ]]; then offer=words words=$options; fi ;;
  esac
  case $offer in
    words) mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current") ;;
    files) mapfile -t COMPREPLY < <(compgen -f -- "$current") ;;
    folders) mapfile -t COMPREPLY < <(compgen -d -- "$current") ;;
  esac
  if [[ $offer != words ]]; then compopt -o filenames 2>/dev/null; fi
}

complete -F _unsprawl unsprawl
)";
}

// --- zsh ---

// Text within a specification of _arguments or _describe, where a colon ends a field.
std::string ZshText(std::string_view text) {
  return absl::StrReplaceAll({text.data(), text.size()},
                             {{"\\", "\\\\"}, {":", "\\:"}, {"[", "\\["}, {"]", "\\]"}});
}

// ":message:action" of a value.
std::string ZshValue(const OptionDoc& option, const std::string& message) {
  std::string action = " ";
  if (option.value == OptionDoc::Value::kChoice) action = "(" + Joined(option.choices, " ") + ")";
  if (option.value == OptionDoc::Value::kFile) action = "_files";
  if (option.value == OptionDoc::Value::kFolder) action = "_files -/";
  return ":" + ZshText(message) + ":" + action;
}

std::string ZshOptions(const CommandDoc& command) {
  std::string lines;
  for (const OptionDoc& option : command.options) {
    const bool flag = option.value == OptionDoc::Value::kNone;
    for (const std::string& name : option.names) {
      std::string spec = "(" + Joined(option.names, " ") + ")" + name;
      if (!flag && name.starts_with("--")) spec += "=";
      spec += "[" + ZshText(option.description) + "]" + (flag ? "" : ZshValue(option, option.value_name));
      lines += " \\\n    " + Quoted(spec);
    }
  }
  return lines;
}

// One function a command, named after its path.
std::string ZshFunction(const CommandDoc& command) {
  const auto function_name = [](const CommandDoc& of) {
    return "_unsprawl" + (of.path.empty() ? "" : "_" + absl::StrReplaceAll(of.path, {{" ", "_"}, {"-", "_"}}));
  };
  std::string text = function_name(command) + "() {\n";
  if (command.commands.empty()) {
    text += "  _arguments -s" + ZshOptions(command);
    for (const OptionDoc& positional : command.positionals) {
      text += " \\\n    " + Quoted((positional.repeated ? "*" : "") + ZshValue(positional, positional.names[0]));
    }
    return text + "\n}\n\n";
  }
  text += "  local state line curcontext=$curcontext\n  _arguments -C" + ZshOptions(command) +
          " \\\n    '1: :->command' '*:: :->rest'\n  case $state in\n    command)\n      local -a commands=(";
  for (const CommandDoc& sub : command.commands) {
    text += "\n        " + Quoted(sub.name() + ":" + ZshText(sub.description));
  }
  text += "\n      )\n      _describe command commands ;;\n    rest)\n      case $line[1] in\n";
  for (const CommandDoc& sub : command.commands) {
    text += absl::StrFormat("        %s) %s ;;\n", sub.name(), function_name(sub));
  }
  return text + "      esac ;;\n  esac\n}\n\n";
}

std::string Zsh(const CommandDoc& program) {
  std::string script = "#compdef unsprawl\n# zsh " + absl::StrFormat(kFirstLine, "zsh") + "\n\n";
  ForEachCommand(program, [&](const CommandDoc& command) { script += ZshFunction(command); });
  // Works as an autoloaded file of $fpath, and sourced.
  return script + "if [[ $funcstack[1] == _unsprawl ]]; then\n  _unsprawl \"$@\"\nelse\n"
                  "  compdef _unsprawl unsprawl\nfi\n";
}

// --- fish ---

std::string FishQuoted(std::string_view text) {
  return "'" + absl::StrReplaceAll({text.data(), text.size()}, {{"\\", "\\\\"}, {"'", "\\'"}}) + "'";
}

std::string FishValue(const OptionDoc& option) {
  switch (option.value) {
    case OptionDoc::Value::kNone: return "";
    case OptionDoc::Value::kChoice: return " -x -a " + FishQuoted(Joined(option.choices, " "));
    case OptionDoc::Value::kFile: return " -r -F";
    case OptionDoc::Value::kFolder: return " -x -a '(__fish_complete_directories)'";
    case OptionDoc::Value::kOther: return " -x";
  }
  return "";
}

std::string FishLines(const CommandDoc& command) {
  const std::string start =
      absl::StrFormat("complete -c unsprawl -n %s", FishQuoted("__unsprawl_in " + command.path));
  std::string lines;
  for (const CommandDoc& sub : command.commands) {
    lines += absl::StrFormat("%s -a %s -d %s\n", start, sub.name(), FishQuoted(sub.description));
  }
  for (const OptionDoc& positional : command.positionals) {
    if (positional.value == OptionDoc::Value::kFile) lines += start + " -F\n";
    if (positional.value == OptionDoc::Value::kFolder) {
      lines += start + " -a '(__fish_complete_directories)'\n";
    }
    if (positional.value == OptionDoc::Value::kChoice) {
      lines += start + " -a " + FishQuoted(Joined(positional.choices, " ")) + "\n";
    }
  }
  for (const OptionDoc& option : command.options) {
    lines += start;
    for (const std::string& name : option.names) {
      lines += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
    }
    lines += FishValue(option) + " -d " + FishQuoted(option.description) + "\n";
  }
  return lines;
}

std::string Fish(const CommandDoc& program) {
  std::string script = "# fish " + absl::StrFormat(kFirstLine, "fish") + R"(

# Whether the words typed so far lead to this command.
function __unsprawl_in
    set -l path
    set -l words (commandline -opc)
    set -e words[1]
    for word in $words
        if contains -- (string join -- ' ' $path $word) )" + Joined(Paths(program), " ") + R"(
            set -a path $word
        end
    end
    test (string join -- ' ' $path '') = (string join -- ' ' $argv '')
end

complete -c unsprawl -f
)";
  ForEachCommand(program, [&](const CommandDoc& command) { script += FishLines(command); });
  return script;
}

}  // namespace

absl::StatusOr<std::string> CompletionScript(const CommandDoc& program, std::string_view shell) {
  if (shell == "bash") return Bash(program);
  if (shell == "zsh") return Zsh(program);
  if (shell == "fish") return Fish(program);
  return absl::InvalidArgumentError(
      absl::StrFormat("no completions for \"%s\": bash, zsh and fish are known", shell));
}

}  // namespace unsprawl
