#pragma once

#include <string>
#include <string_view>

namespace unsprawl {

// The page's style and script, exactly as they stand between their tags.
extern const std::string_view kReportStyle;
extern const std::string_view kReportScript;

// "sha256-…": `text` as a Content-Security-Policy source (CSP Level 3, "hash-source").
std::string CspHash(std::string_view text);

}  // namespace unsprawl
