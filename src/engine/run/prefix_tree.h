// PrefixTree: the pages that sequences share. One tree over all sequences, first by namespace (a tenant: what
// one has written is never found by another), then by token ids, a page of positions at a time.
//
// A page in the tree is full, never written again, and has the same bits whoever computed it (kernels.h), so
// a sequence that takes it answers as if it had computed it. A page that a sequence is computing now may be
// claimed, so that others who need the same one wait for it instead of computing it again. The last,
// unfinished page of a sequence that ended is kept as a leaf and only ever copied from, up to where the
// tokens part; full pages serve for that too. Every page counts against the KvCache's budget; those that no
// sequence references are given back to make room, the longest unused first, leaves before what they hang
// on.
//
// A node is a page border, so whatever else must be kept at one (the state of a recurrent layer) belongs
// beside its page. Owned by the engine's leader.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/run/kv_cache.h"
#include "engine/token/vocabulary.h"

namespace cresset::engine {

class PrefixTree {
  struct Node;

 public:
  // A sequence's way down from its namespace: the pages that it has taken or stored, which stay while the
  // path is open, then those that it has claimed.
  class Path {
   public:
    Path() = default;
    ~Path();  // CHECKs that it is closed
    Path(const Path&) = delete;
    Path& operator=(const Path&) = delete;
    bool is_open() const { return root_ != nullptr; }
    size_t pages() const { return stored_; }
    size_t claims() const { return nodes_.size() - stored_; }

   private:
    friend class PrefixTree;
    Node* root_ = nullptr;
    std::vector<Node*> nodes_;
    size_t stored_ = 0;
  };

  enum class Next {
    kAbsent,
    kStored,   // take() it
    kClaimed,  // another path computes it, or one that it will pay to copy from
  };

  explicit PrefixTree(KvCache& cache) : cache_(cache) {}
  ~PrefixTree();
  PrefixTree(const PrefixTree&) = delete;
  PrefixTree& operator=(const PrefixTree&) = delete;

  void open(Path& path, std::string_view space);
  // References go; claims that nobody else has filled are dropped.
  void close(Path& path);

  // What there is of the page that follows the path. `tokens`: the next ones, at most a page; fewer are
  // never kStored. The path has no claims.
  Next look(const Path& path, std::span<const Token> tokens) const;
  KvPage* take(Path& path, std::span<const Token> tokens);
  // A page of the path's own that begins as `tokens` do for `positions` of them, and at most that many: moved
  // or copied from the nearest in the tree. Null: too few agree, or there is no page free for a copy.
  std::unique_ptr<KvPage> begin_page(const Path& path, std::span<const Token> tokens, size_t& positions);
  // The next page will be computed by this path; false where another has claimed or stored it meanwhile.
  bool claim(Path& path, std::span<const Token> tokens);
  // The next page has been computed: from now on the tree's. Where it has one already, `page` is given back.
  // Returns the one to read.
  KvPage* store(Path& path, std::span<const Token> tokens, std::unique_ptr<KvPage> page);
  // Keeps the unfinished page that follows the path, and drops its claims.
  void keep_partial(Path& path, std::span<const Token> tokens, std::unique_ptr<KvPage> page);

  // Gives pages back until the cache has `pages` free; false when it cannot.
  bool make_room(uint64_t pages);
  uint64_t pages_idle() const { return pages_idle_; }  // that no path references
  uint64_t pages_stored() const { return pages_stored_; }
  uint64_t pages_available() const { return cache_.pages_free() + pages_idle_; }
  // CHECKs what must hold between calls; for tests.
  void check() const;

 private:
  struct Less {
    using is_transparent = void;
    bool operator()(std::span<const Token> a, std::span<const Token> b) const;
  };
  using Children = std::map<std::vector<Token>, std::unique_ptr<Node>, Less>;
  struct Node {
    Node* parent = nullptr;
    const std::vector<Token>* tokens = nullptr;  // its key among its siblings; fewer than a page: partial
    const std::string* space = nullptr;          // of a root
    std::unique_ptr<KvPage> page;                // null: a root, or claimed
    Children children;
    size_t references = 0;
    uint64_t last_use = 0;
  };
  struct Nearest {
    Node* node = nullptr;
    size_t common = 0;  // tokens
  };

  static Node& end_of(const Path& path);
  // Of the stored (or claimed) children, the one that agrees longest.
  static Nearest find_nearest(const Node& parent, std::span<const Token> tokens, bool is_stored);
  Node& add_child(Node& parent, std::span<const Token> tokens);
  void drop_claims(Path& path);
  void reference(Node& node);
  void unreference(Node& node);
  void set_idle(Node& node);
  void erase(Node& node);
  void erase_root_if_unused(Node& root);
  void check(const Node& node, uint64_t& stored, uint64_t& idle) const;

  KvCache& cache_;
  std::map<std::string, std::unique_ptr<Node>, std::less<>> roots_;
  std::map<uint64_t, Node*> leaves_;  // idle and without children, by last use
  uint64_t pages_idle_ = 0, pages_stored_ = 0, uses_ = 0;
};

}  // namespace cresset::engine
