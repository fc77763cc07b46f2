// A coordinator and workers report what one machine does, byte for byte.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_format.h"
#include "tests/support/cluster.h"
#include "tests/support/small_organization.h"

namespace unsprawl {
namespace {

using testing::HasSubstr;

class ClusterTest : public SmallOrganization {
 protected:
  // Of the coordinator, and of workers, beside what Cluster gives.
  std::vector<std::string> AtForge() const { return {"--api-url", forge_.ApiUrl(), "--ca-file", forge_.CaFile()}; }
  std::vector<std::string> Fetching() const { return {"--ca-file", forge_.CaFile()}; }

  ForgeServer forge_{Settings()};
};

TEST_F(ClusterTest, ReportsWhatOneMachineDoes) {
  const CliResult alone = SmallOrganization::Scan(forge_, {"github:acme", "--ca-file", forge_.CaFile()});
  ASSERT_EQ(alone.exit_code, 1) << alone.err;
  const auto report = cli_.ReportFiles();
  for (const int workers : {1, 2, 4}) {
    SCOPED_TRACE(workers);
    std::filesystem::remove_all(home_.path() / "cluster");
    Cluster cluster(cli_, AtForge(), Fetching());
    for (int i = 0; i < workers; ++i) cluster.StartWorker(absl::StrFormat("w%d", i));
    const CliResult together = cluster.Scan({"github:acme"});
    ASSERT_EQ(together.exit_code, 1) << together.err << cluster.coordinator().err() << cluster.worker("w0").err();
    EXPECT_EQ(cli_.ReportFiles(), report);
    // Again: nothing has changed.
    ASSERT_EQ(cluster.Scan({"github:acme"}).exit_code, 1);
    EXPECT_EQ(cli_.ReportFiles(), report);
  }
}

}  // namespace
}  // namespace unsprawl
