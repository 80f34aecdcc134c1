// The exponential that every kernel uses, as constants and as plain code: the vector forms follow it step by
// step. exp(x) = 2^n * e^r with n = nearest(x / ln 2), r = x - n ln 2 in two parts (Cody and Waite), e^r by
// its Taylor polynomial of degree 6 on |r| <= 0.35: relative error below 2.5e-7. Below kExpLowest: 0. Above
// kExpHighest: that value.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

namespace cresset::engine {

constexpr float kExpLowest = -87.0f;
constexpr float kExpHighest = 88.0f;
constexpr float kLog2E = 1.44269504f;
constexpr float kLn2High = 0.693359375f;    // 0x1.63p-1: exact times small integers
constexpr float kLn2Low = -2.12194440e-4f;  // ln 2 - kLn2High
constexpr float kExpTerms[] = {1.0f / 720, 1.0f / 120, 1.0f / 24, 1.0f / 6, 0.5f, 1.0f, 1.0f};

// 2^x for the attention's weights: n = nearest(x), 2^(x-n) by a polynomial of degree 4 with the value 1 at 0,
// relative error below 3e-6 (the weights are rounded to bfloat16 afterwards). At kExp2Lowest and below: 0.
constexpr float kExp2Lowest = -126.0f;
constexpr float kExp2Terms[] = {0.009582853f, 0.055906426f, 0.24024099f, 0.69312418f, 1.0f};

// 2 sqrt(2/pi) and that times 0.044715.
constexpr float kGeluLinear = 1.5957691216f;
constexpr float kGeluCubic = 0.0713548162726f;

#ifndef CRESSET_KERNEL_FILE
inline float exp_approximation(float x) {
  if (!(x > kExpLowest)) return 0.0f;
  if (x > kExpHighest) x = kExpHighest;
  const float n = std::nearbyint(x * kLog2E);
  float r = std::fma(n, -kLn2High, x);
  r = std::fma(n, -kLn2Low, r);
  float p = kExpTerms[0];
  for (int i = 1; i < 7; ++i) p = std::fma(p, r, kExpTerms[i]);
  const uint32_t bits = static_cast<uint32_t>(static_cast<int32_t>(n) + 127) << 23;
  float power;
  std::memcpy(&power, &bits, 4);
  return p * power;
}
inline float exp2_approximation(float x) {
  if (!(x > kExp2Lowest)) return 0.0f;
  const float n = std::nearbyint(x), r = x - n;
  float p = kExp2Terms[0];
  for (int i = 1; i < 5; ++i) p = std::fma(p, r, kExp2Terms[i]);
  const uint32_t bits = static_cast<uint32_t>(static_cast<int32_t>(n) + 127) << 23;
  float power;
  std::memcpy(&power, &bits, 4);
  return p * power;
}
#endif

}  // namespace cresset::engine
