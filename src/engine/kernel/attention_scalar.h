// The readable truth of attention: part of the scalar table.
#pragma once

#include "engine/kernel/kernels.h"

namespace cresset::engine {

// The sum of 16 lanes as a vector unit folds them: halves onto each other. Changes them.
float scalar_fold_sum(float* lanes);
void scalar_attend(const AttentionArguments& arguments);
void scalar_merge(const AttentionSums& total, const AttentionSums& part, size_t queries, size_t head_size);
void scalar_attend_float(const AttentionArguments& arguments);

}  // namespace cresset::engine
