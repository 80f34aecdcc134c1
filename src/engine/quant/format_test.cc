#include "engine/quant/format.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <fstream>
#include <limits>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "testing/paths.h"

namespace cresset::engine {
namespace {

std::vector<std::byte> from_hex(const std::string& hex) {
  std::vector<std::byte> out;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) {
    out.push_back(static_cast<std::byte>(std::stoul(hex.substr(i, 2), nullptr, 16)));
  }
  return out;
}

const FormatTraits* find_format(const std::string& name) {
  for (const FormatTraits& f : all_formats()) {
    if (f.name == name) return &f;
  }
  return nullptr;
}

TEST(Format, MeansWhatTheReferenceSaysBitForBit) {
  std::ifstream golden(testing::source_path("testing/golden/dequant.txt"));
  ASSERT_TRUE(golden) << "testing/golden/dequant.txt is missing";
  std::map<std::string, int> blocks_seen;
  for (std::string line; std::getline(golden, line);) {
    if (line.starts_with('#')) continue;
    std::string name, block, bits;
    ASSERT_TRUE(std::istringstream(line) >> name >> block >> bits) << line;
    const FormatTraits* f = find_format(name);
    ASSERT_NE(f, nullptr) << name;
    const std::vector<std::byte> in = from_hex(block);
    ASSERT_EQ(in.size(), f->block_bytes) << name;
    ASSERT_EQ(bits.size(), 8 * f->block_items) << name;
    std::vector<float> out(f->block_items);
    dequantise_row(f->format, in, out);
    for (size_t i = 0; i < out.size(); ++i) {
      const auto expected = static_cast<uint32_t>(std::stoul(bits.substr(8 * i, 8), nullptr, 16));
      SCOPED_TRACE(name + " block " + std::to_string(blocks_seen[name]) + " value " + std::to_string(i));
      if (std::isnan(std::bit_cast<float>(expected))) {
        ASSERT_TRUE(std::isnan(out[i]));  // which NaN is not the format's affair
      } else {
        ASSERT_EQ(std::bit_cast<uint32_t>(out[i]), expected);
      }
    }
    ++blocks_seen[name];
  }
  EXPECT_EQ(blocks_seen.size(), static_cast<size_t>(kFormatCount - 1))
      << "every format but F32 has a golden block";
}

TEST(Format, ReadsBlocksOneAfterAnotherAtAnyAddress) {
  for (const FormatTraits& f : all_formats()) {
    std::vector<std::byte> bytes(1 + 3 * f.block_bytes);
    for (size_t i = 0; i < bytes.size(); ++i)
      bytes[i] = static_cast<std::byte>(i * 7 % 64);  // no NaN among them
    const auto rows = std::span(bytes).subspan(1);
    std::vector<float> together(3 * f.block_items), alone(f.block_items);
    dequantise_row(f.format, rows, together);
    for (size_t block = 0; block < 3; ++block) {
      dequantise_row(f.format, rows.subspan(block * f.block_bytes, f.block_bytes), alone);
      EXPECT_TRUE(std::equal(alone.begin(), alone.end(), together.begin() + block * f.block_items)) << f.name;
    }
  }
}

TEST(Format, F32IsItself) {
  const std::vector<float> in = {0.0F, -0.0F, 1.5F, -3.25e-41F, std::numeric_limits<float>::infinity()};
  std::vector<float> out(in.size());
  dequantise_row(Format::kF32, std::as_bytes(std::span(in)), out);
  for (size_t i = 0; i < in.size(); ++i) {
    EXPECT_EQ(std::bit_cast<uint32_t>(out[i]), std::bit_cast<uint32_t>(in[i]));
  }
}

TEST(Format, AnMxfp4ExponentScalesByItsPowerOfTwoDownToTheSubnormals) {
  for (int e = 0; e < 256; ++e)
    EXPECT_EQ(mxfp4_scale(static_cast<uint8_t>(e)), std::ldexp(1.0F, e - 128)) << e;
}

TEST(Format, IsFoundByTheNumberInTheFile) {
  for (const FormatTraits& f : all_formats()) {
    EXPECT_EQ(&traits(f.format), &f);
    EXPECT_EQ(format_of_ggml(f.ggml_id), f.format);
    EXPECT_EQ(ggml_type_name(f.ggml_id), f.name);
  }
  EXPECT_EQ(format_of_ggml(16), std::nullopt);
  EXPECT_EQ(ggml_type_name(16), "IQ2_XXS");
  EXPECT_EQ(ggml_type_name(29), "IQ1_M");
  EXPECT_EQ(ggml_type_name(39), "MXFP4");
  EXPECT_EQ(format_of_ggml(0xFFFF'FFFF), std::nullopt);
  EXPECT_EQ(ggml_type_name(0xFFFF'FFFF), "");
}

TEST(Format, ARowIsAWholeNumberOfBlocks) {
  EXPECT_EQ(row_bytes(Format::kF16, 3).value(), 6u);
  EXPECT_EQ(row_bytes(Format::kQ4_0, 64).value(), 36u);
  EXPECT_EQ(row_bytes(Format::kQ6_K, 512).value(), 420u);
  const auto broken = row_bytes(Format::kQ4_K, 576);
  ASSERT_FALSE(broken);
  EXPECT_EQ(broken.error().code, Code::kInvalid);
  EXPECT_EQ(broken.error().what, "a row of 576 values is not a whole number of Q4_K blocks of 256");
  EXPECT_FALSE(row_bytes(Format::kF32, uint64_t{1} << 62));
  EXPECT_FALSE(row_bytes(Format::kF32, std::numeric_limits<uint64_t>::max()));
  EXPECT_TRUE(row_bytes(Format::kQ4_0, (uint64_t{1} << 63)));
}

// The definition of binary16, slowly and in double, where every half is exact.
double half_by_definition(uint16_t half) {
  const int exponent = half >> 10 & 0x1F;
  const int fraction = half & 0x3FF;
  const double magnitude =
      exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1.0 + fraction / 1024.0, exponent - 15);
  return (half & 0x8000) != 0 ? -magnitude : magnitude;
}

bool is_nan_half(uint16_t half) {
  return (half & 0x7C00) == 0x7C00 && (half & 0x3FF) != 0;
}

TEST(Half, EveryOneBecomesItsExactFloatAndComesBack) {
  for (uint32_t i = 0; i <= 0xFFFF; ++i) {
    const auto half = static_cast<uint16_t>(i);
    const float value = half_to_float(half);
    ASSERT_EQ(std::signbit(value), (half & 0x8000) != 0) << half;
    if (is_nan_half(half)) {
      ASSERT_TRUE(std::isnan(value)) << half;
      ASSERT_EQ(float_to_half(value), half | 0x200) << "a NaN keeps its payload, made quiet";
      continue;
    }
    if ((half & 0x7FFF) == 0x7C00) {
      ASSERT_TRUE(std::isinf(value)) << half;
    } else {
      ASSERT_EQ(static_cast<double>(value), half_by_definition(half)) << half;
    }
    ASSERT_EQ(float_to_half(value), half);
  }
}

TEST(Half, FloatsRoundToTheNearestAndTiesToEven) {
  // Between each two neighbours: the middle, and the floats right beside it.
  for (uint16_t low = 0; low < 0x7C00; ++low) {
    const auto high = static_cast<uint16_t>(low + 1);
    // The neighbour of the largest half is where the next one would be, 2^16: half of the way is already
    // infinite.
    const double above = high == 0x7C00 ? 65536.0 : half_by_definition(high);
    const auto middle = static_cast<float>((half_by_definition(low) + above) / 2);  // exact
    const uint16_t even = low % 2 == 0 ? low : high;
    ASSERT_EQ(float_to_half(middle), even) << low;
    ASSERT_EQ(float_to_half(std::nextafter(middle, 0.0F)), low) << low;
    ASSERT_EQ(float_to_half(std::nextafter(middle, 1e9F)), high) << low;
    ASSERT_EQ(float_to_half(-middle), 0x8000 | even) << low;
  }
  EXPECT_EQ(float_to_half(std::numeric_limits<float>::denorm_min()), 0);
  EXPECT_EQ(float_to_half(-std::numeric_limits<float>::denorm_min()), 0x8000);
  EXPECT_EQ(float_to_half(std::numeric_limits<float>::max()), 0x7C00);
  EXPECT_EQ(float_to_half(-std::numeric_limits<float>::infinity()), 0xFC00);
  EXPECT_TRUE(is_nan_half(float_to_half(std::numeric_limits<float>::quiet_NaN())));
}

TEST(Half, ABfloatIsTheUpperHalfOfAFloat) {
  EXPECT_EQ(bfloat_to_float(0x3F80), 1.0F);
  EXPECT_EQ(bfloat_to_float(0xC049), -3.140625F);
  EXPECT_EQ(bfloat_to_float(0x0001), std::ldexp(1.0F, -133));
  EXPECT_EQ(bfloat_to_float(0xFF80), -std::numeric_limits<float>::infinity());
  EXPECT_TRUE(std::isnan(bfloat_to_float(0x7FC0)));
}

}  // namespace
}  // namespace cresset::engine
