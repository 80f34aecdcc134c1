// For tests of what must not change an answer.
#pragma once

#include <gtest/gtest.h>

#include <bit>
#include <cstdint>
#include <string>

#include "testing/tiny_engine.h"

namespace cresset::testing {

// Fails where two finished answers differ in anything: texts, reasons, counts, and the reported tokens to the
// bit. Log-probabilities are made of all logits, so equal ones at every token mean equal logits.
inline void expect_same_answer(const GatheredAnswer& a, const GatheredAnswer& b) {
  const auto as_bits = [](double x) { return std::bit_cast<uint64_t>(x); };  // a prompt's first token has NaN
  ASSERT_FALSE(a.error()) << a.error()->message();
  ASSERT_FALSE(b.error()) << b.error()->message();
  ASSERT_FALSE(a.choices().empty());
  ASSERT_EQ(a.choices().size(), b.choices().size());
  for (const auto& [index, x] : a.choices()) {
    SCOPED_TRACE("choice " + std::to_string(index));
    const GatheredAnswer::Choice& y = b.choice(index);
    ASSERT_EQ(x.text, y.text);
    ASSERT_EQ(x.finished->reason, y.finished->reason);
    ASSERT_EQ(x.finished->usage.completion_tokens, y.finished->usage.completion_tokens);
    ASSERT_EQ(x.tokens.size(), y.tokens.size());
    for (size_t i = 0; i < x.tokens.size(); ++i) {
      const chat::TokenReport &p = x.tokens[i], &q = y.tokens[i];
      ASSERT_EQ(p.chosen.token, q.chosen.token) << "token " << i;
      ASSERT_EQ(as_bits(p.chosen.logprob), as_bits(q.chosen.logprob)) << "token " << i;
      ASSERT_EQ(p.top.size(), q.top.size());
      for (size_t k = 0; k < p.top.size(); ++k) {
        ASSERT_EQ(p.top[k].token, q.top[k].token) << "token " << i;
        ASSERT_EQ(as_bits(p.top[k].logprob), as_bits(q.top[k].logprob)) << "token " << i;
      }
    }
  }
}

}  // namespace cresset::testing
