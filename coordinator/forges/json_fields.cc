#include "coordinator/forges/json_fields.h"

#include <cctype>

#include "absl/strings/str_format.h"
#include "absl/time/time.h"

namespace unsprawl {
namespace {

const Json* Find(const Json& object, std::string_view name) {
  if (!object.is_object()) return nullptr;
  const auto found = object.find(name);
  return found == object.end() ? nullptr : &*found;
}

}  // namespace

std::string TextField(const Json& object, std::string_view name) {
  const Json* field = Find(object, name);
  return field != nullptr && field->is_string() ? field->get<std::string>() : "";
}

std::string IdField(const Json& object, std::string_view name) {
  const Json* field = Find(object, name);
  if (field != nullptr && field->is_number_integer()) return std::to_string(field->get<int64_t>());
  return TextField(object, name);
}

uint64_t NumberField(const Json& object, std::string_view name) {
  const Json* field = Find(object, name);
  return field != nullptr && field->is_number_unsigned() ? field->get<uint64_t>() : 0;
}

bool FlagField(const Json& object, std::string_view name) {
  const Json* field = Find(object, name);
  return field != nullptr && field->is_boolean() && field->get<bool>();
}

int64_t TimeField(const Json& object, std::string_view name) {
  absl::Time time;
  std::string error;
  if (!absl::ParseTime(absl::RFC3339_full, TextField(object, name), &time, &error)) return 0;
  return absl::ToUnixSeconds(time);
}

const Json& Child(const Json& object, std::string_view name) {
  static const Json kNothing = Json::object();
  const Json* field = Find(object, name);
  return field != nullptr && field->is_structured() ? *field : kNothing;
}

void AddTexts(const Json& object, std::string_view name, google::protobuf::RepeatedPtrField<std::string>* texts) {
  for (const Json& text : Child(object, name)) {
    if (text.is_string()) texts->Add(text.get<std::string>());
  }
}

absl::StatusOr<Json> ParseBody(const HttpResponse& response) {
  Json json = Json::parse(response.body, nullptr, false);
  if (json.is_discarded()) {
    return absl::FailedPreconditionError(absl::StrFormat(
        "%s answered with something that is not JSON: is the API's address right?", OriginOf(response.url)));
  }
  return json;
}

std::string NextLink(const HttpResponse& response) {
  for (const auto& [name, value] : response.headers) {
    if (name != "link") continue;
    std::string_view rest = value;
    while (true) {
      const size_t open = rest.find('<');
      if (open == std::string_view::npos) break;
      const size_t close = rest.find('>', open);
      if (close == std::string_view::npos) break;
      const size_t end = std::min(rest.find('<', close), rest.size());
      const std::string_view parameters = rest.substr(close + 1, end - close - 1);
      if (parameters.find("rel=\"next\"") != std::string_view::npos ||
          parameters.find("rel=next") != std::string_view::npos) {
        return std::string(rest.substr(open + 1, close - open - 1));
      }
      rest.remove_prefix(end);
    }
  }
  return "";
}

std::string PercentEncoded(std::string_view text) {
  std::string encoded;
  for (const char c : text) {
    const bool plain = std::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '.' || c == '_' || c == '~';
    encoded += plain ? std::string(1, c) : absl::StrFormat("%%%02X", static_cast<uint8_t>(c));
  }
  return encoded;
}

}  // namespace unsprawl
