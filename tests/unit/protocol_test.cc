// The services stay what programs of before know: the descriptors of today against those that were saved.
#include <gmock/gmock.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_format.h"
#include "tests/support/cli.h"
#include "unsprawl/v1/cluster.pb.h"
#include "worker/coordinator_client.h"

namespace unsprawl {
namespace {

namespace pb = google::protobuf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// A file and all that it imports, each after its imports.
void AddTo(const pb::FileDescriptor& file, std::set<std::string>* seen, pb::FileDescriptorSet* set) {
  if (!seen->insert(file.name()).second) return;
  for (int i = 0; i < file.dependency_count(); ++i) AddTo(*file.dependency(i), seen, set);
  file.CopyTo(set->add_file());
}

pb::FileDescriptorSet Today() {
  pb::FileDescriptorSet set;
  std::set<std::string> seen;
  AddTo(*v1::JoinRequest::descriptor()->file(), &seen, &set);
  return set;
}

// Says what a program that was made with `before` would misunderstand of `now`.
class Comparison {
 public:
  Comparison(const pb::FileDescriptorSet& before, const pb::FileDescriptorSet& now) {
    for (const pb::FileDescriptorProto& file : now.file()) now_.BuildFile(file);
    for (const pb::FileDescriptorProto& proto : before.file()) {
      const pb::FileDescriptor* const file = before_.BuildFile(proto);
      for (int i = 0; i < file->message_type_count(); ++i) Compare(*file->message_type(i));
      for (int i = 0; i < file->enum_type_count(); ++i) Compare(*file->enum_type(i));
      for (int i = 0; i < file->service_count(); ++i) Compare(*file->service(i));
    }
  }
  const std::vector<std::string>& faults() const { return faults_; }

 private:
  void Fault(const std::string& name, const char* what) { faults_.push_back(absl::StrFormat("%s: %s", name, what)); }

  void Compare(const pb::Descriptor& before) {
    const pb::Descriptor* const now = now_.FindMessageTypeByName(before.full_name());
    if (now == nullptr) return Fault(before.full_name(), "is gone");
    for (int i = 0; i < before.field_count(); ++i) {
      const pb::FieldDescriptor& field = *before.field(i);
      const pb::FieldDescriptor* const same = now->FindFieldByNumber(field.number());
      if (same != nullptr) {
        Compare(field, *same);
      } else if (!now->IsReservedNumber(field.number())) {
        Fault(field.full_name(), "is gone, and its number is not reserved");
      }
    }
    for (int i = 0; i < now->field_count(); ++i) {
      if (before.IsReservedNumber(now->field(i)->number())) Fault(now->field(i)->full_name(), "has a reserved number");
    }
    for (int i = 0; i < before.nested_type_count(); ++i) Compare(*before.nested_type(i));
    for (int i = 0; i < before.enum_type_count(); ++i) Compare(*before.enum_type(i));
  }

  static std::string TypeName(const pb::FieldDescriptor& field) {
    if (field.message_type() != nullptr) return field.message_type()->full_name();
    return field.enum_type() != nullptr ? field.enum_type()->full_name() : "";
  }

  void Compare(const pb::FieldDescriptor& before, const pb::FieldDescriptor& now) {
    if (before.type() != now.type() || TypeName(before) != TypeName(now)) Fault(before.full_name(), "has another type");
    if (before.is_repeated() != now.is_repeated()) Fault(before.full_name(), "is repeated, or is no longer");
    const auto choice = [](const pb::FieldDescriptor& field) {
      return field.real_containing_oneof() == nullptr ? "" : field.real_containing_oneof()->name();
    };
    if (choice(before) != choice(now)) Fault(before.full_name(), "is in another oneof");
  }

  void Compare(const pb::EnumDescriptor& before) {
    const pb::EnumDescriptor* const now = now_.FindEnumTypeByName(before.full_name());
    if (now == nullptr) return Fault(before.full_name(), "is gone");
    for (int i = 0; i < before.value_count(); ++i) {
      const int number = before.value(i)->number();
      if (now->FindValueByNumber(number) == nullptr && !now->IsReservedNumber(number)) {
        Fault(before.value(i)->full_name(), "is gone, and its number is not reserved");
      }
    }
  }

  void Compare(const pb::ServiceDescriptor& before) {
    const pb::ServiceDescriptor* const now = now_.FindServiceByName(before.full_name());
    if (now == nullptr) return Fault(before.full_name(), "is gone");
    for (int i = 0; i < before.method_count(); ++i) {
      const pb::MethodDescriptor& method = *before.method(i);
      const pb::MethodDescriptor* const same = now->FindMethodByName(method.name());
      if (same == nullptr) {
        Fault(method.full_name(), "is gone");
      } else if (method.input_type()->full_name() != same->input_type()->full_name() ||
                 method.output_type()->full_name() != same->output_type()->full_name() ||
                 method.client_streaming() != same->client_streaming() ||
                 method.server_streaming() != same->server_streaming()) {
        Fault(method.full_name(), "takes or gives something else");
      }
    }
  }

  pb::DescriptorPool before_, now_;
  std::vector<std::string> faults_;
};

// One file for each version. UPDATE_GOLDEN=1 writes that of today; those before stay what they were.
TEST(ProtocolTest, TheServicesAreCompatibleWithThoseOfEveryMinorVersion) {
  const auto file = [](uint32_t minor) {
    return absl::StrFormat("%s/tests/unit/golden/services-%d.%d.pb", UNSPRAWL_SOURCE_DIR, kProtocolMajor, minor);
  };
  for (uint32_t minor = 0; minor <= kProtocolMinor; ++minor) {  // Of its own there is none yet when it is new.
    pb::FileDescriptorSet before;
    ASSERT_TRUE(before.ParseFromString(ReadFile(file(minor))));
    ASSERT_TRUE(before.file_size() > 0 || minor == kProtocolMinor) << file(minor);
    EXPECT_THAT(Comparison(before, Today()).faults(), IsEmpty()) << file(minor);
  }
  if (std::getenv("UPDATE_GOLDEN") != nullptr) WriteFile(file(kProtocolMinor), Today().SerializeAsString());
  EXPECT_TRUE(ReadFile(file(kProtocolMinor)) == Today().SerializeAsString())
      << "Something was changed: raise kProtocolMinor if this version is in use, and run this with UPDATE_GOLDEN=1.";
}

// What must be a fault is one, and what must not is none.
TEST(ProtocolTest, WhatAProgramOfBeforeWouldMisunderstandIsAFault) {
  const auto faults = [](const std::function<void(pb::DescriptorProto*, pb::FileDescriptorProto*)>& change) {
    pb::FileDescriptorSet changed = Today();
    pb::FileDescriptorProto& file = *changed.mutable_file(changed.file_size() - 1);
    EXPECT_EQ(file.name(), "unsprawl/v1/cluster.proto");
    for (pb::DescriptorProto& message : *file.mutable_message_type()) {
      if (message.name() == "JoinRequest") change(&message, &file);
    }
    return Comparison(Today(), changed).faults();
  };
  using Message = pb::DescriptorProto*;
  using File = pb::FileDescriptorProto*;
  EXPECT_THAT(faults([](Message, File) {}), IsEmpty());
  EXPECT_THAT(faults([](Message message, File) { message->mutable_field(3)->set_type(pb::FieldDescriptorProto::TYPE_STRING); }),
              ElementsAre("unsprawl.v1.JoinRequest.threads: has another type"));
  EXPECT_THAT(faults([](Message message, File) { message->mutable_field()->RemoveLast(); }),
              ElementsAre(HasSubstr("threads: is gone, and its number")));
  EXPECT_THAT(faults([](Message message, File) {
                message->mutable_field()->RemoveLast();
                pb::DescriptorProto::ReservedRange& range = *message->add_reserved_range();
                range.set_start(4);
                range.set_end(5);
              }),
              IsEmpty());
  EXPECT_THAT(faults([](Message message, File) { message->mutable_field(3)->set_name("cores"); }), IsEmpty());
  EXPECT_THAT(faults([](Message message, File) {
                message->mutable_field(3)->set_label(pb::FieldDescriptorProto::LABEL_REPEATED);
              }),
              ElementsAre(HasSubstr("threads: is repeated")));
  EXPECT_THAT(faults([](Message message, File) {
                *message->add_field() = message->field(3);
                message->mutable_field(4)->set_name("more");
                message->mutable_field(4)->set_number(5);
              }),
              IsEmpty());
  EXPECT_THAT(faults([](Message, File file) { file->mutable_service(0)->mutable_method()->RemoveLast(); }),
              ElementsAre("unsprawl.v1.WorkerService.Release: is gone"));
  EXPECT_THAT(faults([](Message, File file) { file->mutable_service(0)->mutable_method(0)->set_server_streaming(true); }),
              ElementsAre(HasSubstr("Join: takes or gives something else")));
  EXPECT_THAT(faults([](Message, File file) { file->mutable_enum_type(0)->mutable_value()->RemoveLast(); }),
              ElementsAre(HasSubstr("RUN_STATE_CANCELLED: is gone")));
}

TEST(ProtocolTest, ProgramsOneMinorVersionApartWorkTogether) {
  const auto check = [](uint32_t major, uint32_t minor) {
    v1::ProtocolVersion version;
    version.set_major(major);
    version.set_minor(minor);
    return CheckVersion(version, "the worker", "the coordinator");
  };
  EXPECT_TRUE(check(kProtocolMajor, kProtocolMinor).ok());
  EXPECT_TRUE(check(kProtocolMajor, kProtocolMinor + 1).ok());
  if (kProtocolMinor > 0) {
    EXPECT_TRUE(check(kProtocolMajor, kProtocolMinor - 1).ok());
  }
  for (const auto& [major, minor] : {std::pair(kProtocolMajor, kProtocolMinor + 2), {kProtocolMajor, UINT32_MAX},
                                     {kProtocolMajor + 1, kProtocolMinor}, {kProtocolMajor - 1, kProtocolMinor}, {0U, 0U}}) {
    EXPECT_THAT(std::string(check(major, minor).message()), HasSubstr("install the same unsprawl on both"))
        << major << "." << minor;
  }
}

}  // namespace
}  // namespace unsprawl
