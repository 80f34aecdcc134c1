// The loops of peaks.h over a `Unit` of one instruction set, which the including file has defined:
//   Int, Float           registers
//   keep(v)              makes the compiler forget what v holds, and hold it in a register
//   load(p), either(a, b), total(v)
//   Int8, Float32        loops: Vector, kOperations of a step, start(), step(sum, x) -> sum
// Included once by each peaks_*.cc, inside files compiled for that set.
#pragma once

#include <utility>

namespace cresset::engine {
namespace {

// Sums in registers: every step is one operation on each of the chains. `x` is forgotten before each
// operation, so that no part of it is computed once for all.
template <class Loop, size_t... kChain>
uint64_t multiply_chains(uint64_t steps, std::index_sequence<kChain...>) {
  typename Loop::Vector x = Loop::start();
  typename Loop::Vector sums[sizeof...(kChain)] = {};
  for (uint64_t i = 0; i < steps; ++i) {
    ((Unit::keep(x), sums[kChain] = Loop::step(sums[kChain], x)), ...);
    (Unit::keep(sums[kChain]), ...);
  }
  uint64_t total = 0;
  ((total += Unit::total(sums[kChain])), ...);
  return total;
}

template <class Loop>
uint64_t run_loop(uint64_t steps) {
  return multiply_chains<Loop>(steps, std::make_index_sequence<kPeakChains>());
}

template <class Loop>
constexpr PeakLoop kLoop{run_loop<Loop>, kPeakChains* Loop::kOperations};

uint64_t read_all(const unsigned char* p, size_t bytes) {
  constexpr size_t kStep = sizeof(Unit::Int);
  Unit::Int a = {}, b = {}, c = {}, d = {};
  for (size_t at = 0; at < bytes; at += 4 * kStep) {
    a = Unit::either(a, Unit::load(p + at));
    b = Unit::either(b, Unit::load(p + at + kStep));
    c = Unit::either(c, Unit::load(p + at + 2 * kStep));
    d = Unit::either(d, Unit::load(p + at + 3 * kStep));
  }
  return Unit::total(Unit::either(Unit::either(a, b), Unit::either(c, d)));
}

}  // namespace
}  // namespace cresset::engine
