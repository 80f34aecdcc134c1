// The packed form of weights: what the kernels read.
//
// A panel holds 16 rows. Unit: 32 columns of the 16 rows ("block"); the formats with super-blocks put their
// 256 columns' scales first and then 8 blocks. All offsets in bytes; lane r is row r of the panel.
//
//   nibbles (256): four vectors of 16 x u32; vector j, lane r, byte i holds column 4j+i in its low and column
//                  16+4j+i in its high four bits.
//   fifth bits (64): eight u64; bit 4r+i of word s is bit 4 of column 4s+i of row r.
//   third bits (64): the same with bit 2.
//   pairs (128): two vectors; vector h, lane r, byte i, bits 2j..2j+1 are bits 0..1 of column 16h+4j+i.
//   upper pairs (128): the same with bits 4..5.
//   bytes (512): eight vectors; vector s, lane r, byte i is column 4s+i.
//
//   Q4_0  d f16[16], nibbles                                  value = d * (q - 8)
//   Q4_1  d f16[16], m f16[16], nibbles                       value = d * q + m
//   Q5_0  d f16[16], fifth bits, nibbles                      value = d * (q - 16)
//   Q5_1  d f16[16], m f16[16], fifth bits, nibbles           value = d * q + m
//   Q8_0  d f16[16], bytes (q + 128)                          value = d * q
//   Q4_K  d f16[16], dmin f16[16], scale u8[8][16], min u8[8][16], 8 x nibbles
//   Q5_K  the same, 8 x (fifth bits, nibbles)                 value = d * scale * q - dmin * min
//   Q6_K  d f16[16], scale i8[16][16], 8 x (nibbles, upper pairs)    value = d * scale * (q - 32)
//   Q2_K  d f16[16], dmin f16[16], scale (low four bits) and min (high) u8[16][16], 8 x pairs
//                                                             value = d * scale * q - dmin * min
//   Q3_K  d f16[16], scale i8[16][16], 8 x (third bits, pairs)       value = d * scale * (q - 4)
//   IQ4_NL  d f16[16], nibbles                                value = d * table[q]
//   IQ4_XS  d f16[16], scale i8[8][16], 8 x nibbles           value = d * scale * table[q]
//   MXFP4   exponent u8[16], nibbles                          value = 2^(exponent - 128) * table[q]
//   F32, F16, BF16   [column][16]
//
// Rows beyond the matrix are zero. A packed matrix is as large as its file form (Q4_K 2.8 %, Q5_K 2.3 %,
// Q3_K 3.6 % and IQ4_XS 1.5 % larger) and position-independent, so
// load/packed_file.h keeps it in a file and maps it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "base/result.h"
#include "engine/quant/format.h"

namespace cresset::engine {

// Raised when the packed form of any format changes: what was kept in files is then packed again
// (packed_test.cc holds the form to it).
inline constexpr uint32_t kPackedVersion = 1;
inline constexpr size_t kPackedAlignment = 64;

// Bytes of one panel, and columns of a row that are packed together: whole multiples of them are needed.
size_t panel_bytes(Format format, size_t columns);
size_t packed_columns(Format format);

class PackedMatrix {
 public:
  PackedMatrix() = default;
  // Room for rows x columns, zero, aligned to 64. `columns` must be whole blocks of the format.
  PackedMatrix(Format format, size_t rows, size_t columns);
  // A view of a matrix that was packed before; `packed` holds exactly its bytes, aligned to 64, and outlives
  // this.
  PackedMatrix(Format format, size_t rows, size_t columns, std::span<const std::byte> packed);
  PackedMatrix(PackedMatrix&& other) noexcept;
  PackedMatrix& operator=(PackedMatrix&& other) noexcept;
  ~PackedMatrix();

  Format format() const { return format_; }
  size_t rows() const { return rows_; }
  size_t columns() const { return columns_; }
  size_t panels() const { return (rows_ + 15) / 16; }
  size_t bytes() const { return bytes_; }
  size_t panel_bytes() const { return panel_bytes_; }
  const unsigned char* panel(size_t index) const { return data_ + index * panel_bytes_; }
  std::span<const std::byte> data() const { return {reinterpret_cast<const std::byte*>(data_), bytes_}; }

  // Fills panels [first, end) from a matrix in its file form, row after row. `file` holds all rows.
  // Safe from several threads on disjoint ranges. Not for a view.
  void pack(std::span<const std::byte> file, Format file_format, size_t first_panel, size_t end_panel);

 private:
  Format format_ = Format::kF32;
  size_t rows_ = 0, columns_ = 0, panel_bytes_ = 0, bytes_ = 0;
  const unsigned char* data_ = nullptr;
  unsigned char* own_ = nullptr;  // data_ where this is no view
};

}  // namespace cresset::engine
