#include "store/models.h"

#include <gtest/gtest.h>

#include "sys/crypto.h"
#include "testing/sim_env.h"

namespace cresset::store {
namespace {

using testing::SimEnv;

std::string digest_of(const std::string& bytes) {
  return sys::to_hex(sys::sha256(bytes));
}

Addition addition(std::string name, std::string source = "/in/a.gguf") {
  Addition out;
  out.name = std::move(name);
  out.source = std::move(source);
  out.check = [](const std::string&) -> Result<Json> { return Json::object({{"has_chat_template", true}}); };
  return out;
}

std::unique_ptr<ModelStore> open_store(SimEnv& env) {
  auto store = ModelStore::open(env, "/data");
  EXPECT_TRUE(store) << store.error().message();
  return store ? std::move(*store) : nullptr;
}

// Every name leads to bytes with its digest. What a user may rely on at any moment.
void expect_sound(SimEnv& env, const ModelStore& store) {
  std::vector<Error> damaged;
  const auto records = store.list(&damaged);
  ASSERT_TRUE(records);
  EXPECT_TRUE(damaged.empty()) << damaged.front().message();
  for (const ModelRecord& record : *records) {
    const auto bytes = env.read_file(store.path_of(record), 1u << 30);
    ASSERT_TRUE(bytes) << record.name << " has no bytes";
    EXPECT_EQ(digest_of(*bytes), record.digest) << record.name;
    EXPECT_EQ(bytes->size(), record.size);
  }
}

TEST(ModelStore, AnImportedFileIsFoundByNameWithItsDigest) {
  SimEnv env(1);
  env.put_file("/in/a.gguf", "some bytes");
  const auto store = open_store(env);
  const auto record = store->import_file("/in/a.gguf", addition("smollm2:135m"));
  ASSERT_TRUE(record) << record.error().message();
  EXPECT_EQ(record->digest, digest_of("some bytes"));
  const auto found = store->find("smollm2:135m");
  ASSERT_TRUE(found);
  EXPECT_EQ(*env.read_file(store->path_of(*found), 100), "some bytes");
  EXPECT_EQ(store->find("smollm2").error().code, Code::kNotFound);
}

TEST(ModelStore, ABareNameAndItsLatestTagMeanTheSame) {
  SimEnv env(1);
  env.put_file("/in/a.gguf", "a");
  env.put_file("/in/b.gguf", "b");
  const auto store = open_store(env);
  ASSERT_TRUE(store->import_file("/in/a.gguf", addition("one")));
  ASSERT_TRUE(store->import_file("/in/b.gguf", addition("two:latest")));
  EXPECT_EQ(store->find("one:latest")->name, "one");
  EXPECT_EQ(store->find("two")->name, "two:latest");
}

TEST(ModelStore, NamesThatCouldLeaveTheFolderAreRefused) {
  for (const char* name :
       {"", "../x", "a/b", "A", ".hidden", "-flag", "a:b:c", "a:", ":b", "default", "a b", "a\n"}) {
    EXPECT_FALSE(check_model_name(name)) << name;
  }
  for (const char* name : {"a", "smollm2-135m-instruct", "llama3.2:1b", "q4_k"})
    EXPECT_TRUE(check_model_name(name)) << name;
}

TEST(ModelStore, RemovingTheLastNameFreesTheBytesAndNotBefore) {
  SimEnv env(1);
  env.put_file("/in/a.gguf", "shared bytes");
  const auto store = open_store(env);
  ASSERT_TRUE(store->import_file("/in/a.gguf", addition("one")));
  ASSERT_TRUE(store->import_file("/in/a.gguf", addition("two")));
  EXPECT_EQ(store->remove("one")->bytes_freed, 0u);
  expect_sound(env, *store);
  EXPECT_EQ(store->remove("two")->bytes_freed, 12u);
  EXPECT_TRUE(env.list("/data/blobs/sha256")->empty());
  EXPECT_EQ(store->remove("two").error().code, Code::kNotFound);
}

TEST(ModelStore, ATakenNameKeepsItsModel) {
  SimEnv env(1);
  env.put_file("/in/a.gguf", "a");
  env.put_file("/in/b.gguf", "b");
  const auto store = open_store(env);
  ASSERT_TRUE(store->import_file("/in/a.gguf", addition("one")));
  EXPECT_TRUE(store->import_file("/in/a.gguf", addition("one")));
  EXPECT_EQ(store->import_file("/in/b.gguf", addition("one")).error().code, Code::kExists);
  EXPECT_EQ(store->find("one")->digest, digest_of("a"));
  EXPECT_TRUE(env.list("/data/partial")->empty());
}

TEST(ModelStore, AWrongDigestOrARefusedFileLeavesEverythingAsItWas) {
  SimEnv env(1);
  env.put_file("/in/a.gguf", "a");
  env.put_file("/in/b.gguf", "b");
  const auto store = open_store(env);
  ASSERT_TRUE(store->import_file("/in/a.gguf", addition("one")));
  const auto before = env.files();
  Addition wrong = addition("two");
  wrong.expected_sha256 = digest_of("c");
  EXPECT_EQ(store->import_file("/in/b.gguf", wrong).error().code, Code::kCorrupt);
  Addition refused = addition("two");
  refused.check = [](const std::string& path) -> Result<Json> {
    return fail(Code::kCorrupt, "not a model", path);
  };
  EXPECT_EQ(store->import_file("/in/b.gguf", refused).error().code, Code::kCorrupt);
  EXPECT_EQ(env.files(), before);
  Addition upper = addition("two");
  upper.expected_sha256 = digest_of("b");
  for (char& c : upper.expected_sha256) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  EXPECT_TRUE(store->import_file("/in/b.gguf", upper));
}

TEST(ModelStore, AFullDiskIsSaidBeforeACopyIsBegun) {
  SimEnv env(1);
  env.put_file("/in/a.gguf", "a");
  env.set_free_bytes(1000);
  const auto store = open_store(env);
  EXPECT_EQ(store->import_file("/in/a.gguf", addition("one")).error().code, Code::kLimit);
}

TEST(ModelStore, TheDefaultIsTheFirstImportedInstructionModel) {
  SimEnv env(1);
  env.put_file("/in/a.gguf", "a");
  env.put_file("/in/b.gguf", "b");
  env.put_file("/in/c.gguf", "c");
  const auto store = open_store(env);
  EXPECT_EQ(store->find_default().error().code, Code::kNotFound);
  Addition base = addition("a-base");
  base.check = [](const std::string&) -> Result<Json> {
    return Json::object({{"has_chat_template", false}});
  };
  ASSERT_TRUE(store->import_file("/in/a.gguf", base));
  env.advance(std::chrono::milliseconds(5));
  ASSERT_TRUE(store->import_file("/in/b.gguf", addition("z-first")));
  env.advance(std::chrono::milliseconds(5));
  ASSERT_TRUE(store->import_file("/in/c.gguf", addition("b-second")));
  EXPECT_EQ(store->find_default()->name, "z-first");
}

TEST(ModelStore, ADamagedRecordIsReportedAndTheOthersServe) {
  SimEnv env(1);
  env.put_file("/in/a.gguf", "a");
  const auto store = open_store(env);
  ASSERT_TRUE(store->import_file("/in/a.gguf", addition("one")));
  env.put_file("/data/models/bad.json", "{\"name\":\"bad\"");
  std::vector<Error> damaged;
  EXPECT_EQ(store->list(&damaged)->size(), 1u);
  ASSERT_EQ(damaged.size(), 1u);
  EXPECT_EQ(damaged[0].where, "/data/models/bad.json");
  EXPECT_EQ(store->find("bad").error().code, Code::kCorrupt);
}

// At every step of an import and of a removal: the disk says no once, or the power goes.
TEST(ModelStore, NoFaultAtAnyStepBreaksANameOrLosesAGoodOne) {
  for (const bool crash : {false, true}) {
    for (uint64_t seed = 1; seed <= 6; ++seed) {
      size_t n = 1;
      for (bool reached = true; reached; ++n) {
        ASSERT_LT(n, 100u);
        SimEnv env(seed * 1000 + n);
        env.put_file("/in/a.gguf", std::string(9000, 'a'));
        env.put_file("/in/b.gguf", std::string(5000, 'b'));
        auto store = open_store(env);
        ASSERT_TRUE(store->import_file("/in/a.gguf", addition("kept")));
        ASSERT_TRUE(store->import_file("/in/b.gguf", addition("gone")));
        env.put_file("/in/c.gguf", std::string(7000, 'c'));
        const size_t before = env.operations();
        crash ? env.crash_operation(n) : env.fail_operation(n);
        const bool imported = store->import_file("/in/c.gguf", addition("new")).has_value();
        const bool removed = store->remove("gone").has_value();
        reached = env.operations() - before >= n;
        env.fail_operation(0);
        env.crash_operation(0);
        if (env.has_crashed()) {
          env.restart();
          store = open_store(env);
        }
        expect_sound(env, *store);
        EXPECT_TRUE(store->find("kept")) << "crash " << crash << " seed " << seed << " step " << n;
        EXPECT_TRUE(!imported || store->find("new"));
        EXPECT_TRUE(!removed || !store->find("gone"));
        // Trying again heals it, and nothing is left over once the leavings are old.
        env.advance(std::chrono::hours(48));
        EXPECT_TRUE(store->import_file("/in/c.gguf", addition("new")));
        (void)store->remove("gone");
        EXPECT_TRUE(store->remove("new"));
        expect_sound(env, *store);
        EXPECT_EQ(env.list("/data/blobs/sha256")->size(), 1u)
            << "crash " << crash << " seed " << seed << " step " << n;
        EXPECT_TRUE(env.list("/data/partial")->empty());
      }
      EXPECT_GT(n, 5u);
    }
  }
}

TEST(ModelStore, WhatTheEngineDerivedGoesWithTheBytes) {
  SimEnv env(1);
  const auto store = open_store(env);
  env.put_file("/in/a.gguf", "aaaa");
  env.put_file("/in/b.gguf", "bbbb");
  const auto a = store->import_file("/in/a.gguf", addition("a"));
  ASSERT_TRUE(a);
  ASSERT_TRUE(store->import_file("/in/a.gguf", addition("also-a")));
  ASSERT_TRUE(store->import_file("/in/b.gguf", addition("b")));
  EXPECT_EQ(digest_of_path("/data", store->path_of(*a)), a->digest);
  EXPECT_EQ(digest_of_path("/data", "/in/a.gguf"), "");
  EXPECT_EQ(digest_of_path("/data", "/data/blobs/sha256/short"), "");
  const std::string folder = packed_directory("/data");
  const std::string kept = folder + "/" + a->digest + ".packed", stale = kept + ".0a1b2c3d.tmp",
                    nobodys = folder + "/" + std::string(64, 'f') + ".packed";
  ASSERT_TRUE(env.make_directories(folder));
  env.put_file(kept, "123456");
  EXPECT_EQ(store->packed_bytes(*a), 6u);
  EXPECT_EQ(store->remove("also-a")->bytes_freed, 0u);
  EXPECT_TRUE(env.exists(kept)) << "another name means the same bytes";
  env.put_file(stale, "12");
  EXPECT_EQ(store->remove("a")->bytes_freed, 4u + 6u + 2u);
  EXPECT_FALSE(env.exists(kept));
  EXPECT_FALSE(env.exists(stale));
  env.put_file(nobodys, "1");
  ASSERT_TRUE(store->remove("b"));
  EXPECT_FALSE(env.exists(nobodys)) << "of a model that is gone";
}

TEST(Download, ContinuesWhereItStopped) {
  SimEnv env(1);
  const auto store = open_store(env);
  {
    auto download = store->open_download("https://models.test/a.gguf");
    ASSERT_TRUE(download);
    ASSERT_TRUE((*download)->begin(false, "\"v1\"", 10));
    ASSERT_TRUE((*download)->append("01234"));
    ASSERT_TRUE((*download)->keep());
  }
  EXPECT_EQ(store->list_partial().size(), 1u);
  auto download = store->open_download("https://models.test/a.gguf");
  ASSERT_TRUE(download);
  EXPECT_EQ((*download)->size(), 5u);
  EXPECT_EQ((*download)->etag(), "\"v1\"");
  ASSERT_TRUE((*download)->begin(true, "\"v1\"", 10));
  ASSERT_TRUE((*download)->append("56789"));
  EXPECT_TRUE((*download)->is_complete());
  const auto record = store->publish(std::move(*download), addition("a", "https://models.test/a.gguf"));
  ASSERT_TRUE(record) << record.error().message();
  EXPECT_EQ(record->digest, digest_of("0123456789"));
  EXPECT_TRUE(store->list_partial().empty());
}

TEST(Download, TwoPullsOfOneUrlDoNotMix) {
  SimEnv env(1);
  const auto store = open_store(env);
  const auto first = store->open_download("https://models.test/a.gguf");
  ASSERT_TRUE(first);
  EXPECT_EQ(store->open_download("https://models.test/a.gguf").error().code, Code::kUnavailable);
  EXPECT_TRUE(store->open_download("https://models.test/b.gguf"));
}

TEST(Download, AfterAPowerCutOnlySureBytesAreKept) {
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    SimEnv env(seed);
    auto store = open_store(env);
    {
      auto download = store->open_download("https://models.test/a.gguf");
      ASSERT_TRUE((*download)->begin(false, "e", 20));
      ASSERT_TRUE((*download)->append("0123456789"));
      ASSERT_TRUE((*download)->keep());
      env.crash_operation(1 + seed % 3);
      (void)(*download)->append("abcde");
      (void)(*download)->append("fghij");
      (void)(*download)->keep();
    }
    env.restart();
    store = open_store(env);
    auto download = store->open_download("https://models.test/a.gguf");
    ASSERT_TRUE(download) << download.error().message();
    ASSERT_GE((*download)->size(), 10u);
    EXPECT_EQ(*env.read_file((*download)->path(), 100),
              std::string("0123456789abcdefghij").substr(0, (*download)->size()));
  }
}

}  // namespace
}  // namespace cresset::store
