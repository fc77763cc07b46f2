// What a path says about the file: a test, an example, something generated.
#pragma once

#include <cstdint>
#include <string_view>

namespace unsprawl {

enum class PathClass : uint8_t {
  kOrdinary,
  kTest,       // tests, mocks, specifications
  kFixture,    // folders of nothing but what tests read
  kExample,    // examples, samples, documentation, templates
  kGenerated,  // lock files, minified code, source maps, translations: what nobody wrote by hand, or for a program
};

// By the names of the folders and the file, without regard to case. Takes any bytes; "" is kOrdinary.
PathClass ClassifyPath(std::string_view path);

}  // namespace unsprawl
