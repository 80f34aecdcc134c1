#include "engine/run/prefix_tree.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/check.h"

namespace cresset::engine {
namespace {

constexpr size_t kCopyMin = 4;       // positions: below, a copied page costs more than computing them
constexpr size_t kWaitGainMin = 16;  // positions more than there are now, to wait for another's page

size_t common_prefix(std::span<const Token> a, std::span<const Token> b) {
  const size_t most = std::min(a.size(), b.size());
  size_t n = 0;
  while (n < most && a[n] == b[n]) ++n;
  return n;
}

}  // namespace

PrefixTree::Path::~Path() {
  CHECK(!is_open());
}

PrefixTree::~PrefixTree() {
  CHECK(make_room(cache_.pages_free() + pages_stored_));
}

bool PrefixTree::Less::operator()(std::span<const Token> a, std::span<const Token> b) const {
  return std::lexicographical_compare(a.begin(), a.end(), b.begin(), b.end());
}

PrefixTree::Node& PrefixTree::end_of(const Path& path) {
  CHECK(path.is_open());
  return path.nodes_.empty() ? *path.root_ : *path.nodes_.back();
}

void PrefixTree::open(Path& path, std::string_view space) {
  CHECK(!path.is_open());
  auto found = roots_.find(space);
  if (found == roots_.end()) {
    found = roots_.emplace(std::string(space), std::make_unique<Node>()).first;
    found->second->space = &found->first;
  }
  path.root_ = found->second.get();
  ++path.root_->references;
}

void PrefixTree::close(Path& path) {
  if (!path.is_open()) return;
  drop_claims(path);
  while (!path.nodes_.empty()) {
    unreference(*path.nodes_.back());
    path.nodes_.pop_back();
  }
  path.stored_ = 0;
  Node& root = *std::exchange(path.root_, nullptr);
  --root.references;
  erase_root_if_unused(root);
}

PrefixTree::Nearest PrefixTree::find_nearest(const Node& parent, std::span<const Token> tokens,
                                             bool is_stored) {
  // In lexical order those that agree longest stand next to where `tokens` would.
  Nearest nearest;
  const auto consider = [&](const Children::value_type& child) {
    if ((child.second->page != nullptr) != is_stored) return false;
    const size_t common = common_prefix(child.first, tokens);
    if (common > nearest.common) nearest = {child.second.get(), common};
    return true;
  };
  const auto at = parent.children.lower_bound(tokens);
  for (auto it = at; it != parent.children.end() && !consider(*it);) ++it;
  for (auto it = at; it != parent.children.begin() && !consider(*std::prev(it));) --it;
  return nearest;
}

PrefixTree::Next PrefixTree::look(const Path& path, std::span<const Token> tokens) const {
  CHECK(path.claims() == 0 && tokens.size() <= kPagePositions);
  const Node& parent = end_of(path);
  if (tokens.size() == kPagePositions) {
    const auto exact = parent.children.find(tokens);
    if (exact != parent.children.end()) return exact->second->page ? Next::kStored : Next::kClaimed;
  }
  const size_t claimed = find_nearest(parent, tokens, false).common;
  if (claimed < kWaitGainMin) return Next::kAbsent;
  const size_t stored = find_nearest(parent, tokens, true).common;
  return claimed >= stored + kWaitGainMin ? Next::kClaimed : Next::kAbsent;
}

KvPage* PrefixTree::take(Path& path, std::span<const Token> tokens) {
  CHECK(path.claims() == 0 && tokens.size() == kPagePositions);
  const Node& parent = end_of(path);
  const auto found = parent.children.find(tokens);
  CHECK(found != parent.children.end() && found->second->page != nullptr);
  Node& node = *found->second;
  reference(node);
  path.nodes_.push_back(&node);
  ++path.stored_;
  return node.page.get();
}

std::unique_ptr<KvPage> PrefixTree::begin_page(const Path& path, std::span<const Token> tokens,
                                               size_t& positions) {
  CHECK(path.claims() == 0);
  const Nearest nearest = find_nearest(end_of(path), tokens, true);
  positions = nearest.common;
  if (nearest.common < kCopyMin) return nullptr;
  Node& source = *nearest.node;
  if (source.tokens->size() < kPagePositions && nearest.common == source.tokens->size()) {
    // This path continues it: a copy would leave behind what nobody needs.
    std::unique_ptr<KvPage> page = std::move(source.page);
    --pages_stored_;
    --pages_idle_;
    erase(source);
    return page;
  }
  reference(source);  // while room is made
  std::unique_ptr<KvPage> page;
  if (make_room(1)) {
    page = cache_.take();
    std::memcpy(page->data(), source.page->data(), cache_.shape().page_bytes());
  }
  unreference(source);
  return page;
}

bool PrefixTree::claim(Path& path, std::span<const Token> tokens) {
  CHECK(tokens.size() == kPagePositions);
  Node& parent = end_of(path);
  if (parent.children.contains(tokens)) return false;
  Node& node = add_child(parent, tokens);
  ++node.references;
  path.nodes_.push_back(&node);
  return true;
}

KvPage* PrefixTree::store(Path& path, std::span<const Token> tokens, std::unique_ptr<KvPage> page) {
  CHECK(page != nullptr && tokens.size() == kPagePositions);
  Node* node = nullptr;
  if (path.claims() > 0) {
    node = path.nodes_[path.stored_];
    CHECK(std::equal(tokens.begin(), tokens.end(), node->tokens->begin(), node->tokens->end()));
  } else {
    Node& parent = end_of(path);
    const auto found = parent.children.find(tokens);
    node = found != parent.children.end() ? found->second.get() : &add_child(parent, tokens);
    reference(*node);
    path.nodes_.push_back(node);
  }
  ++path.stored_;
  if (node->page != nullptr) {
    cache_.give_back(std::move(page));
  } else {
    node->page = std::move(page);
    ++pages_stored_;
  }
  return node->page.get();
}

void PrefixTree::keep_partial(Path& path, std::span<const Token> tokens, std::unique_ptr<KvPage> page) {
  CHECK(tokens.size() < kPagePositions);
  drop_claims(path);
  Node& parent = end_of(path);
  if (tokens.size() < kCopyMin || find_nearest(parent, tokens, true).common == tokens.size()) {
    cache_.give_back(std::move(page));
    return;
  }
  Node& node = add_child(parent, tokens);
  node.page = std::move(page);
  ++pages_stored_;
  ++pages_idle_;
  set_idle(node);
}

void PrefixTree::drop_claims(Path& path) {
  while (path.claims() > 0) {
    unreference(*path.nodes_.back());
    path.nodes_.pop_back();
  }
}

PrefixTree::Node& PrefixTree::add_child(Node& parent, std::span<const Token> tokens) {
  const auto [it, is_new] =
      parent.children.emplace(std::vector<Token>(tokens.begin(), tokens.end()), std::make_unique<Node>());
  CHECK(is_new);
  it->second->parent = &parent;
  it->second->tokens = &it->first;
  return *it->second;
}

void PrefixTree::reference(Node& node) {
  if (node.references++ > 0 || node.page == nullptr) return;
  --pages_idle_;
  leaves_.erase(node.last_use);
}

void PrefixTree::unreference(Node& node) {
  CHECK(node.references > 0);
  if (--node.references > 0) return;
  if (node.page == nullptr) {  // a claim that is given up
    erase(node);
    return;
  }
  ++pages_idle_;
  set_idle(node);
}

void PrefixTree::set_idle(Node& node) {
  node.last_use = ++uses_;
  if (node.children.empty()) leaves_.emplace(node.last_use, &node);
}

void PrefixTree::erase(Node& node) {
  CHECK(node.children.empty() && node.references == 0);
  leaves_.erase(node.last_use);
  Node& parent = *node.parent;
  const auto found = parent.children.find(std::span<const Token>(*node.tokens));
  CHECK(found != parent.children.end());
  parent.children.erase(found);
  if (!parent.children.empty() || parent.references > 0) return;
  if (parent.parent == nullptr) {
    erase_root_if_unused(parent);
  } else {
    leaves_.emplace(parent.last_use, &parent);
  }
}

void PrefixTree::erase_root_if_unused(Node& root) {
  if (root.references > 0 || !root.children.empty()) return;
  const auto found = roots_.find(*root.space);
  CHECK(found != roots_.end());
  roots_.erase(found);
}

bool PrefixTree::make_room(uint64_t pages) {
  while (cache_.pages_free() < pages) {
    if (leaves_.empty()) return false;
    Node& node = *leaves_.begin()->second;
    cache_.give_back(std::move(node.page));
    --pages_stored_;
    --pages_idle_;
    erase(node);
  }
  return true;
}

void PrefixTree::check() const {
  uint64_t stored = 0, idle = 0;
  for (const auto& [space, root] : roots_) {
    CHECK(root->space == &space && (root->references > 0 || !root->children.empty()));
    check(*root, stored, idle);
  }
  CHECK(stored == pages_stored_ && idle == pages_idle_);
}

void PrefixTree::check(const Node& node, uint64_t& stored, uint64_t& idle) const {
  const bool is_root = node.parent == nullptr;
  if (node.page != nullptr) {
    ++stored;
    if (node.references == 0) ++idle;
    const auto leaf = leaves_.find(node.last_use);
    const bool is_listed = leaf != leaves_.end() && leaf->second == &node;
    CHECK(is_listed == (node.references == 0 && node.children.empty()));
  } else {
    CHECK(node.references > 0 || is_root);
  }
  if (node.tokens != nullptr && node.tokens->size() < kPagePositions)
    CHECK(node.children.empty() && node.references == 0 && node.page != nullptr);
  size_t below = 0;
  for (const auto& [tokens, child] : node.children) {
    CHECK(child->parent == &node && child->tokens == &tokens);
    if (child->references > 0) ++below;
    check(*child, stored, idle);
  }
  CHECK(below == 0 || node.references > 0);
}

}  // namespace cresset::engine
