#include "wire/tool_members.h"

#include "wire/lenient.h"

namespace cresset::wire {

Checked take_tool_member(const Field& member, const JsonMember& m, std::string_view schema_name,
                         chat::Tool& tool) {
  if (m.first == "description") return take_string(member, kToolTextBytesMax, tool.description);
  if (m.first == "strict") return take_boolean(member, tool.is_strict.emplace(false));
  if (schema_name.empty() || m.first != schema_name) {
    keep(tool.extras, m);
    return {};
  }
  Checked ok = check_object(member);
  tool.schema = m.second;
  return ok;
}

}  // namespace cresset::wire
