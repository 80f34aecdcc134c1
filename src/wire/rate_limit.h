// Rate limits as providers' headers state them: OpenAI's x-ratelimit-*, Anthropic's anthropic-ratelimit-*,
// Retry-After in seconds or as a date, retry-after-ms. Pure functions.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace cresset::wire {

using HeaderList = std::vector<std::pair<std::string, std::string>>;

// The headers about what may still be asked, as they came: a client that knows them reads them, whoever sent
// them. At most 32.
HeaderList pick_rate_limits(const HeaderList& headers);

// After how many seconds to ask again, rounded up; 0: not stated. A date is not used (it needs a clock).
int read_retry_after_s(const HeaderList& headers);

// A Go duration ("2m30s", "6ms", "1h") in seconds; < 0: it is none.
double read_go_duration_s(std::string_view text);

}  // namespace cresset::wire
