#include "engine/run/prefix_tree.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

namespace cresset::engine {
namespace {

constexpr KvShape kShape{.layers = 1, .kv_heads = 1, .head_size = 4};
constexpr size_t kPage = kPagePositions;
using Tokens = std::vector<Token>;
using Next = PrefixTree::Next;

KvCache make_cache(uint64_t pages) {
  return KvCache(kShape, pages * kShape.page_bytes());
}

// A page's worth of tokens; equal seeds, equal pages.
Tokens page_of(int seed, size_t count = kPage) {
  Tokens out(count);
  for (size_t i = 0; i < count; ++i) out[i] = static_cast<Token>(seed * 1000 + static_cast<int>(i));
  return out;
}
std::unique_ptr<KvPage> page_with(KvCache& cache, unsigned char mark) {
  auto page = cache.take();
  page->data()[0] = mark;
  return page;
}

struct OpenPath {
  PrefixTree& tree;
  PrefixTree::Path path;
  OpenPath(PrefixTree& t, std::string_view space) : tree(t) { tree.open(path, space); }
  ~OpenPath() { tree.close(path); }
  OpenPath(const OpenPath&) = delete;
  OpenPath& operator=(const OpenPath&) = delete;
};

TEST(PrefixTree, FindsWhatAnotherStoredWhileItRunsAndAfterwards) {
  KvCache cache = make_cache(8);
  PrefixTree tree(cache);
  KvPage* stored = nullptr;
  {
    OpenPath first(tree, "a"), second(tree, "a");
    EXPECT_EQ(tree.look(second.path, page_of(1)), Next::kAbsent);
    stored = tree.store(first.path, page_of(1), page_with(cache, 7));
    ASSERT_EQ(tree.look(second.path, page_of(1)), Next::kStored);
    EXPECT_EQ(tree.take(second.path, page_of(1)), stored);
    EXPECT_EQ(tree.look(second.path, page_of(1)), Next::kAbsent);  // the next page is another
    EXPECT_EQ(tree.pages_idle(), 0u);
  }
  EXPECT_EQ(tree.pages_idle(), 1u);
  OpenPath third(tree, "a");
  EXPECT_EQ(tree.take(third.path, page_of(1)), stored);
  EXPECT_EQ(stored->data()[0], 7);
}

TEST(PrefixTree, ANamespaceSeesNothingOfAnother) {
  KvCache cache = make_cache(8);
  PrefixTree tree(cache);
  OpenPath a(tree, "a"), b(tree, "b"), none(tree, "");
  static_cast<void>(tree.store(a.path, page_of(1), cache.take()));
  size_t positions = 0;
  for (const auto* other : {&b.path, &none.path}) {
    EXPECT_EQ(tree.look(*other, page_of(1)), Next::kAbsent);
    EXPECT_EQ(tree.begin_page(*other, page_of(1), positions), nullptr);
  }
  EXPECT_TRUE(tree.claim(b.path, page_of(1)));
}

TEST(PrefixTree, AClaimedPageIsWaitedForAndFreedWhenItsSequenceLeaves) {
  KvCache cache = make_cache(8);
  PrefixTree tree(cache);
  OpenPath waits(tree, "a");
  {
    OpenPath computes(tree, "a");
    EXPECT_TRUE(tree.claim(computes.path, page_of(1)));
    EXPECT_TRUE(tree.claim(computes.path, page_of(2)));
    EXPECT_EQ(tree.look(waits.path, page_of(1)), Next::kClaimed);
    EXPECT_FALSE(tree.claim(waits.path, page_of(1)));
    static_cast<void>(tree.store(computes.path, page_of(1), cache.take()));
    ASSERT_EQ(tree.look(waits.path, page_of(1)), Next::kStored);
    static_cast<void>(tree.take(waits.path, page_of(1)));
    EXPECT_EQ(tree.look(waits.path, page_of(2)), Next::kClaimed);
  }
  EXPECT_EQ(tree.look(waits.path, page_of(2)), Next::kAbsent);
  EXPECT_TRUE(tree.claim(waits.path, page_of(2)));
  tree.check();
}

TEST(PrefixTree, TwoThatComputedTheSamePageKeepOne) {
  KvCache cache = make_cache(8);
  PrefixTree tree(cache);
  OpenPath a(tree, "t"), b(tree, "t");
  EXPECT_TRUE(tree.claim(a.path, page_of(1)));
  auto of_a = page_with(cache, 1), of_b = page_with(cache, 2);
  KvPage* read_by_b = tree.store(b.path, page_of(1), std::move(of_b));
  EXPECT_EQ(tree.store(a.path, page_of(1), std::move(of_a)), read_by_b);
  EXPECT_EQ(cache.pages_max() - cache.pages_free(), 1u);
  tree.check();
}

TEST(PrefixTree, APageBeginsAsTheNearestDoes) {
  KvCache cache = make_cache(8);
  PrefixTree tree(cache);
  {
    OpenPath a(tree, "t");
    static_cast<void>(tree.store(a.path, page_of(1), page_with(cache, 11)));
  }
  Tokens branched = page_of(1);
  branched[40] = -5;
  OpenPath b(tree, "t");
  EXPECT_EQ(tree.look(b.path, branched), Next::kAbsent);
  size_t positions = 0;
  auto page = tree.begin_page(b.path, branched, positions);
  ASSERT_NE(page, nullptr);
  EXPECT_EQ(positions, 40u);
  EXPECT_EQ(page->data()[0], 11);
  page->data()[0] = 99;  // a copy
  static_cast<void>(tree.store(b.path, branched, std::move(page)));
  OpenPath c(tree, "t");
  EXPECT_EQ(tree.take(c.path, page_of(1))->data()[0], 11);
  OpenPath d(tree, "t");
  EXPECT_EQ(tree.begin_page(d.path, page_of(3), positions), nullptr);
}

TEST(PrefixTree, AnUnfinishedPageIsContinuedByWhoeverComesNext) {
  KvCache cache = make_cache(8);
  PrefixTree tree(cache);
  {
    OpenPath a(tree, "t");
    static_cast<void>(tree.store(a.path, page_of(1), cache.take()));
    tree.keep_partial(a.path, page_of(2, 20), page_with(cache, 5));
  }
  OpenPath b(tree, "t");
  static_cast<void>(tree.take(b.path, page_of(1)));
  EXPECT_EQ(tree.look(b.path, page_of(2)), Next::kAbsent);
  size_t positions = 0;
  auto page = tree.begin_page(b.path, page_of(2), positions);
  ASSERT_NE(page, nullptr);
  EXPECT_EQ(positions, 20u);
  EXPECT_EQ(page->data()[0], 5);
  EXPECT_EQ(tree.pages_stored(), 1u);  // moved, not copied
  cache.give_back(std::move(page));
  tree.check();
}

TEST(PrefixTree, AFollowerWaitsForAPageThatItWillMostlyShare) {
  KvCache cache = make_cache(8);
  PrefixTree tree(cache);
  OpenPath a(tree, "t"), b(tree, "t");
  EXPECT_TRUE(tree.claim(a.path, page_of(1)));
  Tokens branched = page_of(1);
  branched[46] = -1;
  EXPECT_EQ(tree.look(b.path, branched), Next::kClaimed);
  branched[5] = -1;
  EXPECT_EQ(tree.look(b.path, branched), Next::kAbsent);
}

TEST(PrefixTree, GivesBackTheLongestUnusedLeafFirstAndNeverOneInUse) {
  KvCache cache = make_cache(4);
  PrefixTree tree(cache);
  {
    OpenPath old(tree, "t");
    static_cast<void>(tree.store(old.path, page_of(1), cache.take()));
    static_cast<void>(tree.store(old.path, page_of(2), cache.take()));
  }
  OpenPath used(tree, "t");
  static_cast<void>(tree.store(used.path, page_of(3), cache.take()));
  {
    OpenPath newer(tree, "t");
    static_cast<void>(tree.store(newer.path, page_of(4), cache.take()));
  }
  EXPECT_TRUE(tree.make_room(1));
  {
    OpenPath look(tree, "t");
    ASSERT_EQ(tree.look(look.path, page_of(1)), Next::kStored);
    static_cast<void>(tree.take(look.path, page_of(1)));
    EXPECT_EQ(tree.look(look.path, page_of(2)), Next::kAbsent);
  }
  EXPECT_TRUE(tree.make_room(3));
  EXPECT_FALSE(tree.make_room(4));
  OpenPath look(tree, "t");
  EXPECT_EQ(tree.look(look.path, page_of(3)), Next::kStored);
  tree.check();
}

// ---- against a model that is too simple to be wrong

// Sequences over a small alphabet of pages, so that they meet often. What a page holds is a digest of all the
// tokens before its end in its namespace: a wrong page is seen at once.
class Walk {
 public:
  Walk(uint64_t seed, uint64_t pages) : random_(seed), cache_(make_cache(pages)), tree_(cache_) {}
  ~Walk() {
    for (auto& s : sequences_) close(*s);
  }

  void step() {
    const size_t choice = random_() % 10;
    if (sequences_.size() < 3 || (choice == 0 && sequences_.size() < 6)) return begin();
    Sequence& s = *sequences_[random_() % sequences_.size()];
    if (choice == 1) {
      close(s);
      std::erase_if(sequences_, [&](const auto& other) { return other.get() == &s; });
    } else if (choice == 2 && s.claimed.empty()) {
      keep_partial(s);
    } else if (!s.claimed.empty()) {
      store(s);
    } else {
      advance(s);
    }
    tree_.check();
    uint64_t own = 0;
    for (const auto& other : sequences_) own += other->pages.size();
    ASSERT_LE(tree_.pages_stored() - tree_.pages_idle(), own);
    ASSERT_EQ(cache_.pages_max() - cache_.pages_free(), tree_.pages_stored());
    for (const auto& other : sequences_) {
      for (size_t p = 0; p < other->pages.size(); ++p)
        ASSERT_EQ(read(*other->pages[p]), digest(*other, p + 1)) << "a wrong page";
    }
  }

 private:
  struct Sequence {
    std::string space;
    PrefixTree::Path path;
    std::vector<Tokens> tokens;
    std::vector<const KvPage*> pages;
    std::vector<Tokens> claimed;
  };

  static uint64_t digest(const Sequence& s, size_t pages) {
    std::string all = s.space + "/";
    for (size_t p = 0; p < pages; ++p)
      all += std::to_string(s.tokens[p][0]) + "," + std::to_string(s.tokens[p][kPage - 1]) + ";";
    return std::hash<std::string>()(all);
  }
  static uint64_t read(const KvPage& page) {
    uint64_t value = 0;
    std::memcpy(&value, page.data(), sizeof(value));
    return value;
  }
  // Pages that differ at their first token, or only at their last.
  Tokens random_page() {
    Tokens page = page_of(static_cast<int>(random_() % 3));
    page[kPage - 1] = static_cast<Token>(random_() % 2);
    return page;
  }

  void begin() {
    auto s = std::make_unique<Sequence>();
    s->space = std::string(random_() % 3, 'x');
    tree_.open(s->path, s->space);
    sequences_.push_back(std::move(s));
  }
  void close(Sequence& s) { tree_.close(s.path); }

  void advance(Sequence& s) {
    const Tokens page = random_page();
    switch (tree_.look(s.path, page)) {
      case Next::kStored:
        s.tokens.push_back(page);
        s.pages.push_back(tree_.take(s.path, page));
        break;
      case Next::kClaimed:
        ++waits_;
        break;
      case Next::kAbsent:
        for (size_t i = 1 + random_() % 2; i > 0; --i) {
          const Tokens next = s.claimed.empty() ? page : random_page();
          if (tree_.claim(s.path, next)) s.claimed.push_back(next);
        }
        break;
    }
  }
  void store(Sequence& s) {
    if (!tree_.make_room(1)) {
      ++refusals_;
      ASSERT_EQ(tree_.pages_idle(), 0u);
      return;
    }
    auto page = cache_.take();
    s.tokens.push_back(s.claimed.front());
    s.claimed.erase(s.claimed.begin());
    const uint64_t value = digest(s, s.tokens.size());
    std::memcpy(page->data(), &value, sizeof(value));
    s.pages.push_back(tree_.store(s.path, s.tokens.back(), std::move(page)));
  }
  // What is kept is found again by who goes on with it.
  void keep_partial(Sequence& s) {
    if (!tree_.make_room(1)) return;
    Tokens page = random_page();
    page.resize(5 + random_() % 50);
    tree_.keep_partial(s.path, page, page_with(cache_, 0));
    if (!tree_.make_room(1)) return;
    size_t positions = 0;
    page.resize(page.size() + 1, -9);
    if (auto begun = tree_.begin_page(s.path, page, positions)) {
      EXPECT_GE(positions, 4u);
      EXPECT_LE(positions, page.size());
      cache_.give_back(std::move(begun));
    }
  }

  std::mt19937_64 random_;
  KvCache cache_;
  PrefixTree tree_;
  std::vector<std::unique_ptr<Sequence>> sequences_;
  size_t waits_ = 0, refusals_ = 0;
};

TEST(PrefixTree, HoldsInAnyOrderOfEvents) {
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Walk walk(seed, 3 + seed % 30);
    for (int i = 0; i < 1000; ++i) {
      walk.step();
      if (::testing::Test::HasFatalFailure()) return;
    }
  }
}

}  // namespace
}  // namespace cresset::engine
