// Codec: one dialect's way to say things. Between the bytes of a dialect and the vocabulary of chat/ stands
// exactly one of these; nothing above it knows a field name, nothing below it knows a dialect.
//
// A codec is stateless and const: any thread. An encoder of one stream belongs to whoever made it. Codecs do
// no input or output, keep no clock and make no ids: what varies comes in as AnswerIdentity.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "chat/event.h"
#include "chat/request.h"
#include "wire/answer.h"
#include "wire/fault.h"

namespace cresset::wire {

// What an answer says about itself beside its events.
struct AnswerIdentity {
  std::string id;  // with the dialect's prefix: "chatcmpl-…"
  int64_t created_unix_s = 0;
  std::string model;        // as the client named it
  std::string fingerprint;  // of the engine that answers
};

// Events to the bytes of one stream, framing included.
class StreamEncoder {
 public:
  virtual ~StreamEncoder() = default;
  // Appends what `event` says. The Finished of the last choice also ends the stream (usage, "[DONE]"); a
  // Failed ends it as an error, in the dialect's shape.
  virtual void encode(const chat::Event& event, std::string& out) = 0;
};

class Codec {
 public:
  virtual ~Codec() = default;
  virtual std::string_view name() const = 0;       // "openai_chat"
  virtual std::string_view id_prefix() const = 0;  // "chatcmpl-"

  // Every parameter of the dialect is honoured or refused by name; none is silently dropped.
  virtual Decoded<chat::Request> decode_request(std::string_view body) const = 0;
  // The inverse: decode_request(encode_request(x)) = x.
  virtual std::string encode_request(const chat::Request& request) const = 0;

  virtual std::string encode_answer(const chat::Request& request, const Answer& answer,
                                    const AnswerIdentity& identity) const = 0;
  virtual std::unique_ptr<StreamEncoder> make_stream_encoder(const chat::Request& request,
                                                             AnswerIdentity identity) const = 0;
  virtual std::string encode_error(const Fault& fault) const = 0;
  virtual std::string_view stream_content_type() const = 0;
  // What keeps a stream open while there is nothing to say, and means nothing; empty: the dialect has none.
  virtual std::string_view ping() const = 0;
};

// Answers that a request asks for: prompts (or the one chat) times choices.
int count_choices(const chat::Request& request);

}  // namespace cresset::wire
