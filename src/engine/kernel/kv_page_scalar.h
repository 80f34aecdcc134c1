// The readable truth of the kernels for pages in 8 and 4 bits: part of the scalar table.
#pragma once

#include "engine/kernel/kernels.h"

namespace cresset::engine {

template <size_t kKeyBits, size_t kValueBits>
void scalar_store_kv(const float* k, const float* v, size_t head_size, size_t slot, unsigned char* page);
template <size_t kKeyBits, size_t kValueBits>
void scalar_expand_kv(const unsigned char* page, size_t head_size, uint16_t* out);
void scalar_spread(float* x, size_t n);

}  // namespace cresset::engine
