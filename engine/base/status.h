// Errors: a failed operation is an absl::Status that names the thing and the number in it. A damaged
// object is not an error but a skip (proto/unsprawl/v1/types.proto). A bug of ours is a CHECK.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#define UNSPRAWL_CONCAT_INNER(a, b) a##b
#define UNSPRAWL_CONCAT(a, b) UNSPRAWL_CONCAT_INNER(a, b)
// Names are numbered, not fixed: `expr` may hold a lambda with the same macro in it.
#define UNSPRAWL_RETURN_IF_ERROR(status, expr)                            \
  do {                                                                    \
    if (absl::Status status = (expr); !status.ok()) return status;        \
  } while (false)
#define UNSPRAWL_ASSIGN_OR_RETURN(result, lhs, expr) \
  auto result = (expr);                              \
  if (!result.ok()) return result.status();          \
  lhs = std::move(result).value()

// Returns from the enclosing function when `expr` (an absl::Status) is not OK.
#define RETURN_IF_ERROR(expr) UNSPRAWL_RETURN_IF_ERROR(UNSPRAWL_CONCAT(status_, __COUNTER__), expr)

// Evaluates `expr` (an absl::StatusOr<T>); returns its status, or assigns its value to `lhs`.
#define ASSIGN_OR_RETURN(lhs, expr) \
  UNSPRAWL_ASSIGN_OR_RETURN(UNSPRAWL_CONCAT(status_or_, __COUNTER__), lhs, expr)

// Ends the process when `condition` is false: for what only a bug in unsprawl can break.
#define CHECK(condition)                                                                  \
  do {                                                                                    \
    if (!(condition)) {                                                                   \
      std::fprintf(stderr, "%s:%d: CHECK failed: %s\n", __FILE__, __LINE__, #condition);  \
      std::abort();                                                                       \
    }                                                                                     \
  } while (false)
