#pragma once

#include <sched.h>
#include <sys/mount.h>
#include <sys/statvfs.h>

#include <cstdint>
#include <filesystem>
#include <utility>

#include "absl/strings/str_format.h"

namespace unsprawl {

// A folder with a disk of its own that can be filled up without filling anything: made smaller. Takes root.
class SmallDisk {
 public:
  explicit SmallDisk(std::filesystem::path dir) : dir_(std::move(dir)) {
    std::filesystem::create_directories(dir_);
    // In a namespace of this process: it goes with it, however that ends.
    static const bool apart = unshare(CLONE_NEWNS) == 0 && mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
    mounted_ = apart && mount("none", dir_.c_str(), "tmpfs", 0, "size=2g") == 0;
  }
  ~SmallDisk() {
    if (mounted_) umount2(dir_.c_str(), MNT_DETACH);
  }
  bool mounted() const { return mounted_; }
  // Leaves so many bytes.
  bool Fill(uint64_t left) const {
    struct statvfs now = {};
    if (!mounted_ || statvfs(dir_.c_str(), &now) != 0) return false;
    return Resize((now.f_blocks - now.f_bfree) * now.f_frsize + left);
  }
  void Empty() const { (void)Resize(uint64_t{2} << 30); }

 private:
  bool Resize(uint64_t bytes) const {
    return mount("none", dir_.c_str(), "tmpfs", MS_REMOUNT, absl::StrFormat("size=%d", bytes).c_str()) == 0;
  }
  const std::filesystem::path dir_;
  bool mounted_ = false;
};

}  // namespace unsprawl
