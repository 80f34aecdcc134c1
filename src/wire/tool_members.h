// What a tool says of itself beside its name, in every dialect that writes it as members of an object.
#pragma once

#include <string_view>

#include "chat/request.h"
#include "wire/fault.h"
#include "wire/field.h"

namespace cresset::wire {

constexpr size_t kToolTextBytesMax = 1u << 20;

// Takes "description", "strict" and the schema, which is the member `schema_name` (empty: this tool has
// none); anything else goes along in extras.
Checked take_tool_member(const Field& member, const JsonMember& m, std::string_view schema_name,
                         chat::Tool& tool);

}  // namespace cresset::wire
