// Reading what strangers call JSON: a field that is missing, null or of another type reads as nothing.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "google/protobuf/repeated_field.h"
#include "worker/http_client.h"

namespace unsprawl {

using Json = nlohmann::json;

std::string TextField(const Json& object, std::string_view name);
// A string or a number, as text: ids are numbers here and UUIDs there.
std::string IdField(const Json& object, std::string_view name);
uint64_t NumberField(const Json& object, std::string_view name);  // negative and fractional: 0
bool FlagField(const Json& object, std::string_view name);
// RFC 3339 ("2024-05-01T12:00:00Z") as seconds since the epoch; 0 if it is not.
int64_t TimeField(const Json& object, std::string_view name);
// The object or list in `name`; an empty object if there is none.
const Json& Child(const Json& object, std::string_view name);

// Appends the strings of the list in `name`.
void AddTexts(const Json& object, std::string_view name, google::protobuf::RepeatedPtrField<std::string>* texts);

// The body as JSON. FailedPrecondition: it is not (a login page, a proxy's error).
absl::StatusOr<Json> ParseBody(const HttpResponse& response);

// The URL of the page that follows: rel="next" of the Link headers (RFC 8288); empty if there is none.
std::string NextLink(const HttpResponse& response);

// `text` with everything but unreserved characters percent-encoded; '/' as well.
std::string PercentEncoded(std::string_view text);

}  // namespace unsprawl
