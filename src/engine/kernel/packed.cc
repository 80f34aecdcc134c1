#include "engine/kernel/packed.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "base/check.h"
#include "engine/kernel/kernels.h"

namespace cresset::engine {
namespace {

constexpr size_t kRows = kPanelRows;

// Bytes of `columns` columns (one block or super-block) of 16 rows.
struct Unit {
  size_t columns, bytes;
};

Unit unit_of(Format format) {
  switch (format) {
    case Format::kF32:
      return {1, 64};
    case Format::kF16:
    case Format::kBF16:
      return {1, 32};
    case Format::kQ4_0:
      return {32, 32 + 256};
    case Format::kQ4_1:
      return {32, 64 + 256};
    case Format::kQ5_0:
      return {32, 32 + 64 + 256};
    case Format::kQ5_1:
      return {32, 64 + 64 + 256};
    case Format::kQ8_0:
      return {32, 32 + 512};
    case Format::kQ4_K:
      return {256, 64 + 256 + 8 * 256};
    case Format::kQ5_K:
      return {256, 64 + 256 + 8 * (64 + 256)};
    case Format::kQ6_K:
      return {256, 32 + 256 + 8 * (256 + 128)};
    case Format::kQ2_K:
      return {256, 64 + 256 + 8 * 128};
    case Format::kQ3_K:
      return {256, 32 + 256 + 8 * (64 + 128)};
    case Format::kIQ4_NL:
      return {32, 32 + 256};
    case Format::kIQ4_XS:
      return {256, 32 + 128 + 8 * 256};
    case Format::kMXFP4:
      return {32, 16 + 256};
  }
  CHECK(false);
}

// Each writes its bits of the 32 quants (each below 64) of row `r`.
void put_nibbles(unsigned char* out, size_t r, const uint8_t* q) {
  for (size_t c = 0; c < 16; ++c) {
    out[(c / 4) * 64 + r * 4 + c % 4] = static_cast<unsigned char>((q[c] & 15) | (q[c + 16] & 15) << 4);
  }
}
void put_bits(unsigned char* out, size_t r, const uint8_t* q, unsigned bit) {
  for (size_t s = 0; s < 8; ++s) {
    uint64_t word;
    std::memcpy(&word, out + s * 8, 8);
    for (size_t i = 0; i < 4; ++i) word |= static_cast<uint64_t>(q[4 * s + i] >> bit & 1) << (4 * r + i);
    std::memcpy(out + s * 8, &word, 8);
  }
}
void put_pairs(unsigned char* out, size_t r, const uint8_t* q, unsigned bit) {
  for (size_t h = 0; h < 2; ++h) {
    for (size_t i = 0; i < 4; ++i) {
      unsigned byte = 0;
      for (size_t j = 0; j < 4; ++j)
        byte |= static_cast<unsigned>(q[16 * h + 4 * j + i] >> bit & 3) << (2 * j);
      out[h * 64 + r * 4 + i] = static_cast<unsigned char>(byte);
    }
  }
}
void put_half(unsigned char* out, size_t r, const uint8_t* half) {
  std::memcpy(out + 2 * r, half, 2);
}

// The eight 6-bit scales and minima of Q4_K and Q5_K.
void read_scales(const uint8_t* packed, uint8_t* scale, uint8_t* minimum) {
  for (size_t j = 0; j < 4; ++j) {
    scale[j] = packed[j] & 63;
    minimum[j] = packed[j + 4] & 63;
    scale[j + 4] = static_cast<uint8_t>((packed[j + 8] & 15) | (packed[j] >> 6) << 4);
    minimum[j + 4] = static_cast<uint8_t>((packed[j + 8] >> 4) | (packed[j + 4] >> 6) << 4);
  }
}

// One block (or super-block) of one row, from its file form into lane r of `out`.
void pack_legacy(Format format, const uint8_t* in, unsigned char* out, size_t r) {
  put_half(out, r, in);
  in += 2;
  out += 32;
  if (format == Format::kQ4_1 || format == Format::kQ5_1) {
    put_half(out, r, in);
    in += 2;
    out += 32;
  }
  uint8_t q[32];
  if (format == Format::kQ8_0) {
    for (size_t c = 0; c < 32; ++c)
      out[(c / 4) * 64 + r * 4 + c % 4] = static_cast<unsigned char>(in[c] ^ 0x80);
    return;
  }
  uint32_t fifth = 0;
  const bool has_fifth = format == Format::kQ5_0 || format == Format::kQ5_1;
  if (has_fifth) {
    std::memcpy(&fifth, in, 4);
    in += 4;
  }
  for (size_t c = 0; c < 16; ++c) {
    q[c] = static_cast<uint8_t>((in[c] & 15) | (fifth >> c & 1) << 4);
    q[c + 16] = static_cast<uint8_t>((in[c] >> 4) | (fifth >> (c + 16) & 1) << 4);
  }
  if (has_fifth) {
    put_bits(out, r, q, 4);
    out += 64;
  }
  put_nibbles(out, r, q);
}

void pack_q45_k(Format format, const uint8_t* in, unsigned char* out, size_t r) {
  const bool has_fifth = format == Format::kQ5_K;
  put_half(out, r, in);
  put_half(out + 32, r, in + 2);
  uint8_t scale[8], minimum[8];
  read_scales(in + 4, scale, minimum);
  for (size_t j = 0; j < 8; ++j) {
    out[64 + j * kRows + r] = scale[j];
    out[192 + j * kRows + r] = minimum[j];
  }
  const uint8_t* high = in + 16;
  const uint8_t* low = has_fifth ? in + 48 : in + 16;
  unsigned char* block = out + 320;
  for (size_t j = 0; j < 8; ++j) {
    uint8_t q[32];
    for (size_t c = 0; c < 32; ++c) {
      const uint8_t nibbles = low[(j / 2) * 32 + c];
      q[c] = j % 2 == 0 ? nibbles & 15 : nibbles >> 4;
      if (has_fifth) q[c] = static_cast<uint8_t>(q[c] | (high[c] >> j & 1) << 4);
    }
    if (has_fifth) {
      put_bits(block, r, q, 4);
      block += 64;
    }
    put_nibbles(block, r, q);
    block += 256;
  }
}

void pack_q6_k(const uint8_t* in, unsigned char* out, size_t r) {
  const uint8_t* low = in;
  const uint8_t* high = in + 128;
  put_half(out, r, in + 208);
  for (size_t j = 0; j < 16; ++j) out[32 + j * kRows + r] = in[192 + j];
  for (size_t b = 0; b < 8; ++b) {
    // Half n of 128: sub-block s in 0..3 of 32 columns; low nibbles of ql[32 (s%2) ..], upper for s >= 2.
    const size_t n = b / 4, s = b % 4;
    uint8_t q[32];
    for (size_t c = 0; c < 32; ++c) {
      const uint8_t nibbles = low[n * 64 + (s % 2) * 32 + c];
      const uint8_t nibble = s < 2 ? nibbles & 15 : nibbles >> 4;
      q[c] = static_cast<uint8_t>(nibble | (high[n * 32 + c] >> (2 * s) & 3) << 4);
    }
    unsigned char* block = out + 288 + b * 384;
    put_nibbles(block, r, q);
    put_pairs(block + 256, r, q, 4);
  }
}

// The two low bits of the 32 quants of block b, out of the 64 bytes of Q2_K and Q3_K.
void read_pairs(const uint8_t* pairs, size_t b, uint8_t* q) {
  for (size_t c = 0; c < 32; ++c) q[c] = pairs[32 * (b / 4) + c] >> (2 * (b % 4)) & 3;
}

void pack_q2_k(const uint8_t* in, unsigned char* out, size_t r) {
  put_half(out, r, in + 80);
  put_half(out + 32, r, in + 82);
  for (size_t j = 0; j < 16; ++j) out[64 + j * kRows + r] = in[j];
  for (size_t b = 0; b < 8; ++b) {
    uint8_t q[32];
    read_pairs(in + 16, b, q);
    put_pairs(out + 320 + b * 128, r, q, 0);
  }
}

void pack_q3_k(const uint8_t* in, unsigned char* out, size_t r) {
  const uint8_t* scales = in + 96;
  put_half(out, r, in + 108);
  for (size_t j = 0; j < 16; ++j) {
    const int low = scales[j % 8] >> (j < 8 ? 0 : 4) & 15, high = scales[8 + j % 4] >> (2 * (j / 4)) & 3;
    out[32 + j * kRows + r] = static_cast<unsigned char>((low | high << 4) - 32);
  }
  for (size_t b = 0; b < 8; ++b) {
    uint8_t q[32];
    read_pairs(in + 32, b, q);
    for (size_t c = 0; c < 32; ++c) q[c] = static_cast<uint8_t>(q[c] | (in[c] >> b & 1) << 2);
    unsigned char* block = out + 288 + b * 192;
    put_bits(block, r, q, 2);
    put_pairs(block + 64, r, q, 0);
  }
}

// 16 bytes with value c in the low and value c + 16 in the high four bits.
void pack_nibbles(const uint8_t* in, unsigned char* out, size_t r) {
  uint8_t q[32];
  for (size_t c = 0; c < 16; ++c) {
    q[c] = in[c] & 15;
    q[c + 16] = in[c] >> 4;
  }
  put_nibbles(out, r, q);
}

void pack_iq4_xs(const uint8_t* in, unsigned char* out, size_t r) {
  put_half(out, r, in);
  const unsigned high = in[2] | static_cast<unsigned>(in[3]) << 8;
  for (size_t b = 0; b < 8; ++b) {
    const unsigned scale = (in[4 + b / 2] >> (4 * (b % 2)) & 15u) | (high >> (2 * b) & 3) << 4;
    out[32 + b * kRows + r] = static_cast<unsigned char>(scale - 32);
    pack_nibbles(in + 8 + 16 * b, out + 160 + b * 256, r);
  }
}

void pack_unit(Format format, const uint8_t* in, unsigned char* out, size_t r) {
  switch (format) {
    case Format::kF32:
      std::memcpy(out + 4 * r, in, 4);
      return;
    case Format::kF16:
    case Format::kBF16:
      std::memcpy(out + 2 * r, in, 2);
      return;
    case Format::kQ4_K:
    case Format::kQ5_K:
      return pack_q45_k(format, in, out, r);
    case Format::kQ6_K:
      return pack_q6_k(in, out, r);
    case Format::kQ2_K:
      return pack_q2_k(in, out, r);
    case Format::kQ3_K:
      return pack_q3_k(in, out, r);
    case Format::kIQ4_NL:
      put_half(out, r, in);
      return pack_nibbles(in + 2, out + 32, r);
    case Format::kIQ4_XS:
      return pack_iq4_xs(in, out, r);
    case Format::kMXFP4:
      out[r] = in[0];
      return pack_nibbles(in + 1, out + 16, r);
    default:
      return pack_legacy(format, in, out, r);
  }
}

}  // namespace

size_t panel_bytes(Format format, size_t columns) {
  const Unit unit = unit_of(format);
  const size_t bytes = columns / unit.columns * unit.bytes;
  return (bytes + 63) / 64 * 64;
}

size_t packed_columns(Format format) {
  return unit_of(format).columns;
}

PackedMatrix::PackedMatrix(Format format, size_t rows, size_t columns)
    : format_(format), rows_(rows), columns_(columns), panel_bytes_(engine::panel_bytes(format, columns)) {
  CHECK(columns % unit_of(format).columns == 0);
  bytes_ = panels() * panel_bytes_;
  if (bytes_ == 0) return;
  void* data = ::mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(data != MAP_FAILED);
  ::madvise(data, bytes_, MADV_HUGEPAGE);  // where the system has none, nothing is lost
  data_ = own_ = static_cast<unsigned char*>(data);
}

PackedMatrix::PackedMatrix(Format format, size_t rows, size_t columns, std::span<const std::byte> packed)
    : format_(format), rows_(rows), columns_(columns), panel_bytes_(engine::panel_bytes(format, columns)) {
  CHECK(columns % unit_of(format).columns == 0);
  bytes_ = panels() * panel_bytes_;
  CHECK(packed.size() == bytes_ && reinterpret_cast<uintptr_t>(packed.data()) % kPackedAlignment == 0);
  data_ = reinterpret_cast<const unsigned char*>(packed.data());
}

PackedMatrix::PackedMatrix(PackedMatrix&& other) noexcept {
  *this = std::move(other);
}

PackedMatrix& PackedMatrix::operator=(PackedMatrix&& other) noexcept {
  std::swap(format_, other.format_);
  std::swap(rows_, other.rows_);
  std::swap(columns_, other.columns_);
  std::swap(panel_bytes_, other.panel_bytes_);
  std::swap(bytes_, other.bytes_);
  std::swap(data_, other.data_);
  std::swap(own_, other.own_);
  return *this;
}

PackedMatrix::~PackedMatrix() {
  if (own_ != nullptr) ::munmap(own_, bytes_);
}

void PackedMatrix::pack(std::span<const std::byte> file, Format file_format, size_t first_panel,
                        size_t end_panel) {
  const Unit unit = unit_of(format_);
  const size_t row_size = row_bytes(file_format, columns_).value_or(0);
  CHECK(file.size() == row_size * rows_ && own_ != nullptr);
  const bool same = file_format == format_;
  CHECK(same || format_ == Format::kF32);
  const size_t in_unit = traits(format_).block_bytes;
  std::vector<float> floats(same ? 0 : columns_);
  for (size_t p = first_panel; p < end_panel; ++p) {
    unsigned char* out = own_ + p * panel_bytes_;
    const size_t rows = std::min(kRows, rows_ - p * kRows);
    for (size_t r = 0; r < rows; ++r) {
      const std::span<const std::byte> row = file.subspan((p * kRows + r) * row_size, row_size);
      const uint8_t* in = reinterpret_cast<const uint8_t*>(row.data());
      if (!same) {
        dequantise_row(file_format, row, floats);
        in = reinterpret_cast<const uint8_t*>(floats.data());
      }
      for (size_t u = 0; u < columns_ / unit.columns; ++u)
        pack_unit(format_, in + u * in_unit, out + u * unit.bytes, r);
    }
  }
}

}  // namespace cresset::engine
