# Writes OUTPUT: a C++ source with the content of each of FILES (sorted by name) as a string literal.
# Declared in engine/match/builtin_rules.h.
set(text "#include \"engine/match/builtin_rules.h\"\n\nnamespace unsprawl {\n\n")
string(APPEND text "const BuiltinRuleFile kBuiltinRuleFiles[] = {\n")
foreach(file ${FILES})
  get_filename_component(name ${file} NAME)
  file(READ ${file} hex HEX)
  # Bytes as a brace list: no limit on literal length, no escaping to get wrong.
  string(REGEX REPLACE "(..)" "0x\\1," bytes "${hex}")
  string(MAKE_C_IDENTIFIER ${name} id)
  string(PREPEND text "static const unsigned char ${id}[] = {${bytes}0};\n")
  string(APPEND text "    {\"rules/${name}\", reinterpret_cast<const char*>(${id}), sizeof(${id}) - 1},\n")
endforeach()
string(APPEND text "};\nconst size_t kBuiltinRuleFileCount = sizeof(kBuiltinRuleFiles) / sizeof(kBuiltinRuleFiles[0]);\n\n}  // namespace unsprawl\n")
file(WRITE ${OUTPUT} "${text}")
