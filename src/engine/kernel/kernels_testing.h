// What the kernels' tests share: the tables that this machine can run, inputs, and equality of bits.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <random>
#include <vector>

#include "engine/kernel/dispatch.h"
#include "engine/kernel/kernels.h"
#include "sys/cpu.h"

namespace cresset::engine {

// The vector tables that this machine can run; empty where it has none.
inline std::vector<const Kernels*> fast_kernels() {
  std::vector<const Kernels*> out;
  const sys::CpuFeatures cpu = sys::read_cpu_features();
  if (kAvx2Kernels != nullptr && cpu.avx2) out.push_back(kAvx2Kernels);
  if (kAvx512Kernels != nullptr && cpu.avx512_vnni) out.push_back(kAvx512Kernels);
  if (kAvx512Bf16Kernels != nullptr && cpu.avx512_vnni && cpu.avx512_bf16) out.push_back(kAvx512Bf16Kernels);
  return out;
}

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

// The same bits, or both NaN: which NaN depends on the order of an instruction's operands.
inline bool same_values(const std::vector<float>& a, const std::vector<float>& b) {
  const auto same = [](float x, float y) {
    return std::bit_cast<uint32_t>(x) == std::bit_cast<uint32_t>(y) || (std::isnan(x) && std::isnan(y));
  };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), same);
}

inline std::vector<float> random_floats(size_t n, uint64_t seed, float size = 1.0f) {
  std::mt19937_64 random(seed);
  std::vector<float> out(n);
  for (float& v : out) v = size * (static_cast<float>(random() % 20001) / 10000.0f - 1.0f);
  return out;
}

enum class ActivationMood { kRandom, kAllHigh, kAllLow, kZero, kOutlier, kHuge, kTiny };
constexpr ActivationMood kActivationMoods[] = {
    ActivationMood::kRandom,  ActivationMood::kAllHigh, ActivationMood::kAllLow, ActivationMood::kZero,
    ActivationMood::kOutlier, ActivationMood::kHuge,    ActivationMood::kTiny};

inline std::vector<float> activations(size_t n, ActivationMood mood, uint64_t seed) {
  std::vector<float> x = random_floats(n, seed);
  switch (mood) {
    case ActivationMood::kRandom:
      break;
    case ActivationMood::kAllHigh:
      std::fill(x.begin(), x.end(), 0.7f);
      break;
    case ActivationMood::kAllLow:
      std::fill(x.begin(), x.end(), -0.7f);
      break;
    case ActivationMood::kZero:
      std::fill(x.begin(), x.end(), 0.0f);
      break;
    case ActivationMood::kOutlier:
      x[seed % n] = 9000.0f;
      break;
    case ActivationMood::kHuge:
      for (float& v : x) v *= 1e20f;
      break;
    case ActivationMood::kTiny:  // subnormal: 127 divided by them is infinite
      for (float& v : x) v *= 1e-39f;
      break;
  }
  return x;
}

}  // namespace cresset::engine
