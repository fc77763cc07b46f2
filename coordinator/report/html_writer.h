// Pieces of a page. What is not a literal of this program can only get in through Text(), escaped.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "coordinator/report/report_folder.h"
#include "engine/base/escape.h"

namespace unsprawl {

class HtmlWriter {
 public:
  // Appends to `file`, which must outlive this object.
  explicit HtmlWriter(OutputFile* file) : file_(file) {}

  // Markup: a string literal.
  template <size_t kBytes>
  HtmlWriter& Raw(const char (&literal)[kBytes]) {
    file_->Append(std::string_view(literal, kBytes - 1));
    return *this;
  }
  // Any bytes, as text or inside a quoted attribute.
  HtmlWriter& Text(std::string_view bytes) {
    file_->Append(EscapeForHtml(bytes));
    return *this;
  }
  // Text of foreign origin, cut in its middle to `columns`.
  HtmlWriter& Short(std::string_view bytes, size_t columns) {
    return Text(ShortenMiddle(EscapeForTerminal(bytes), columns));
  }
  HtmlWriter& Number(uint64_t number) { return Text(WithThousands(number)); }
  // Digits only, for attributes that the script sorts by.
  HtmlWriter& Digits(uint64_t number) { return Text(std::to_string(number)); }

 private:
  OutputFile* const file_;
};

}  // namespace unsprawl
