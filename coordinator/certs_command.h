// `unsprawl certs`: a certificate authority for one installation, and the certificates of its coordinator,
// workers and admins.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace unsprawl {

struct CertsOptions {
  std::filesystem::path dir;                   // made if it is not there
  std::vector<std::string> coordinator_hosts;  // names and addresses by which it is reached; empty: not asked for
  int workers = 0;                             // as many, named 1, 2, 3…
  std::vector<std::string> worker_names, pool_names, admin_names;
  int days = 365;      // how long what is made is valid; never longer than the authority is
  bool renew = false;  // what is named and there already gets a new certificate, for the same key
};

// Makes what is named and missing; returns the text to print. The files are ca.pem and ca.key, then
// coordinator, worker-NAME, pool-NAME and admin-NAME with .pem and .key each. A key is never replaced, a certificate only
// with `renew`, at once: whoever watches the files never sees two that do not fit. A key without its certificate
// (an interrupted run left it) is used. Stops at the first error; what was made until then stays.
//
// InvalidArgument: nothing is named, a name that cannot be, a damaged file. FailedPrecondition: what is there
// cannot be used: expired, for other hosts, of another authority, with another key, in a folder that others can
// write to, without ca.key. PermissionDenied: a key that others can read. Unavailable: cannot be written.
absl::StatusOr<std::string> MakeCerts(const CertsOptions& options, absl::Time now);

}  // namespace unsprawl
