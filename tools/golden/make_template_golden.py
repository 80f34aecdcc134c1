#!/usr/bin/env python3
"""Makes testing/golden/templates.json: chat templates, inputs, and what the real Jinja2 renders.

Usage: make_template_golden.py > testing/golden/templates.json        (pip install jinja2==3.1.6)

The environment is set up as transformers does it: ImmutableSandboxedEnvironment, trim_blocks, lstrip_blocks, loop
controls, its own tojson, raise_exception, strftime_now (here at a fixed time). The templates are ours, written in
the manner of the model families that they are named after; snippets check one feature each.
"""
import datetime
import json

import jinja2
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

UNIX_TIME = 1721990645  # 2024-07-26 10:44:05 UTC


class Generation(Extension):
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_same"), [], [], body).set_lineno(line)

    def _same(self, caller):
        return caller()


def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


ENV = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols])
ENV.filters["tojson"] = tojson
ENV.globals["raise_exception"] = raise_exception
ENV.globals["strftime_now"] = lambda f: datetime.datetime.fromtimestamp(UNIX_TIME, datetime.timezone.utc).strftime(f)

TEMPLATES = {}

TEMPLATES["smollm2"] = """{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system
You are a helpful keeper of the light<|im_end|>
' }}{% endif %}{{'<|im_start|>' + message['role'] + '
' + message['content'] + '<|im_end|>' + '
'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant
' }}{% endif %}
"""

TEMPLATES["llama3"] = """{% set loop_messages = messages %}{% for message in loop_messages %}{% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>

'+ message['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>

' }}{% endif %}"""

TEMPLATES["llama3.1-tools"] = """{{- bos_token }}
{%- if custom_tools is defined %}
    {%- set tools = custom_tools %}
{%- endif %}
{%- if not tools_in_user_message is defined %}
    {%- set tools_in_user_message = true %}
{%- endif %}
{%- if not date_string is defined %}
    {%- if strftime_now is defined %}
        {%- set date_string = strftime_now("%d %b %Y") %}
    {%- else %}
        {%- set date_string = "26 Jul 2024" %}
    {%- endif %}
{%- endif %}
{%- if not tools is defined %}
    {%- set tools = none %}
{%- endif %}

{#- The system message comes first, always. #}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}

{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}
{%- if tools is not none %}
    {{- "Environment: ipython\\n" }}
{%- endif %}
{{- "Today Date: " + date_string + "\\n\\n" }}
{%- if tools is not none and not tools_in_user_message %}
    {{- "You may call these functions.\\n\\n" }}
    {%- for t in tools %}
        {{- t | tojson(indent=4) }}
        {{- "\\n\\n" }}
    {%- endfor %}
{%- endif %}
{{- system_message }}
{{- "<|eot_id|>" }}

{%- if tools_in_user_message and not tools is none %}
    {%- if messages | length != 0 %}
        {%- set first_user_message = messages[0]['content']|trim %}
        {%- set messages = messages[1:] %}
    {%- else %}
        {{- raise_exception("Cannot put tools in the first user message when there's none!") }}
    {%- endif %}
    {{- '<|start_header_id|>user<|end_header_id|>\\n\\n' -}}
    {{- "Given these functions, answer with a JSON call.\\n\\n" }}
    {%- for t in tools %}
        {{- t | tojson(indent=4) }}
        {{- "\\n\\n" }}
    {%- endfor %}
    {{- first_user_message + "<|eot_id|>"}}
{%- endif %}

{%- for message in messages %}
    {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'+ message['content'] | trim + '<|eot_id|>' }}
    {%- elif 'tool_calls' in message %}
        {%- if not message.tool_calls|length == 1 %}
            {{- raise_exception("This model only supports single tool-calls at once!") }}
        {%- endif %}
        {%- set tool_call = message.tool_calls[0].function %}
        {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' -}}
        {{- '{"name": "' + tool_call.name + '", ' }}
        {{- '"parameters": ' }}
        {{- tool_call.arguments | tojson }}
        {{- "}" }}
        {{- "<|eot_id|>" }}
    {%- elif message.role == "tool" or message.role == "ipython" %}
        {{- "<|start_header_id|>ipython<|end_header_id|>\\n\\n" }}
        {%- if message.content is mapping or message.content is iterable %}
            {{- message.content | tojson }}
        {%- else %}
            {{- message.content }}
        {%- endif %}
        {{- "<|eot_id|>" }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
"""

TEMPLATES["qwen2.5"] = """{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages[0]['role'] == 'system' %}
        {{- messages[0]['content'] }}
    {%- else %}
        {{- 'You are a lamp. You help.' }}
    {%- endif %}
    {{- "\\n\\n# Tools\\n\\nSignatures within <tools></tools>:\\n<tools>" }}
    {%- for tool in tools %}
        {{- "\\n" }}
        {{- tool | tojson }}
    {%- endfor %}
    {{- "\\n</tools>\\n\\nAnswer within <tool_call></tool_call>:\\n<tool_call>\\n{\\"name\\": <function-name>, \\"arguments\\": <args-json-object>}\\n</tool_call><|im_end|>\\n" }}
{%- else %}
    {%- if messages[0]['role'] == 'system' %}
        {{- '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' }}
    {%- else %}
        {{- '<|im_start|>system\\nYou are a lamp. You help.<|im_end|>\\n' }}
    {%- endif %}
{%- endif %}
{%- for message in messages %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) or (message.role == "assistant" and not message.tool_calls) %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "assistant" %}
        {{- '<|im_start|>' + message.role }}
        {%- if message.content %}
            {{- '\\n' + message.content }}
        {%- endif %}
        {%- for tool_call in message.tool_calls %}
            {%- if tool_call.function is defined %}
                {%- set tool_call = tool_call.function %}
            {%- endif %}
            {{- '\\n<tool_call>\\n{"name": "' }}
            {{- tool_call.name }}
            {{- '", "arguments": ' }}
            {{- tool_call.arguments | tojson }}
            {{- '}\\n</tool_call>' }}
        {%- endfor %}
        {{- '<|im_end|>\\n' }}
    {%- elif message.role == "tool" %}
        {%- if (loop.index0 == 0) or (messages[loop.index0 - 1].role != "tool") %}
            {{- '<|im_start|>user' }}
        {%- endif %}
        {{- '\\n<tool_response>\\n' }}
        {{- message.content }}
        {{- '\\n</tool_response>' }}
        {%- if loop.last or (messages[loop.index0 + 1].role != "tool") %}
            {{- '<|im_end|>\\n' }}
        {%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""

TEMPLATES["qwen3"] = """{%- set ns = namespace(multi_step_tool=true, last_query_index=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.multi_step_tool and message.role == "user" and message.content is string and not(message.content.startswith('<tool_response>') and message.content.endswith('</tool_response>')) %}
        {%- set ns.multi_step_tool = false %}
        {%- set ns.last_query_index = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.content is string %}
        {%- set content = message.content %}
    {%- else %}
        {%- set content = '' %}
    {%- endif %}
    {%- if message.role == "assistant" %}
        {%- set reasoning_content = '' %}
        {%- if message.reasoning_content is string %}
            {%- set reasoning_content = message.reasoning_content %}
        {%- else %}
            {%- if '</think>' in content %}
                {%- set reasoning_content = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
                {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
            {%- endif %}
        {%- endif %}
        {%- if loop.index0 > ns.last_query_index %}
            {%- if loop.last or (not loop.last and reasoning_content) %}
                {{- '<|im_start|>' + message.role + '\\n<think>\\n' + reasoning_content.strip('\\n') + '\\n</think>\\n\\n' + content.lstrip('\\n') }}
            {%- else %}
                {{- '<|im_start|>' + message.role + '\\n' + content }}
            {%- endif %}
        {%- else %}
            {{- '<|im_start|>' + message.role + '\\n' + content }}
        {%- endif %}
        {%- if message.tool_calls %}
            {%- for tool_call in message.tool_calls %}
                {%- if (loop.first and content) or (not loop.first) %}
                    {{- '\\n' }}
                {%- endif %}
                {%- if tool_call.function %}
                    {%- set tool_call = tool_call.function %}
                {%- endif %}
                {{- '<tool_call>\\n{"name": "' }}
                {{- tool_call.name }}
                {{- '", "arguments": ' }}
                {%- if tool_call.arguments is string %}
                    {{- tool_call.arguments }}
                {%- else %}
                    {{- tool_call.arguments | tojson }}
                {%- endif %}
                {{- '}\\n</tool_call>' }}
            {%- endfor %}
        {%- endif %}
        {{- '<|im_end|>\\n' }}
    {%- else %}
        {{- '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>' + '\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}"""

TEMPLATES["mistral"] = """{%- if messages[0]["role"] == "system" %}
    {%- set system_message = messages[0]["content"] %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set loop_messages = messages %}
{%- endif %}
{%- set user_messages = loop_messages | selectattr("role", "equalto", "user") | list %}
{%- set ns = namespace(index=0) %}
{%- for message in loop_messages %}
    {%- if not (message.role == "tool" or message.role == "tool_results" or (message.tool_calls is defined and message.tool_calls is not none)) %}
        {%- if (message["role"] == "user") != (ns.index % 2 == 0) %}
            {{- raise_exception("After the optional system message, conversation roles must alternate user/assistant/user/assistant/...") }}
        {%- endif %}
        {%- set ns.index = ns.index + 1 %}
    {%- endif %}
{%- endfor %}
{{- bos_token }}
{%- for message in loop_messages %}
    {%- if message["role"] == "user" %}
        {%- if tools is not none and (message == user_messages[-1]) %}
            {{- "[AVAILABLE_TOOLS] [" }}
            {%- for tool in tools %}
                {%- set tool = tool.function %}
                {{- '{"type": "function", "function": {' }}
                {%- for key, val in tool.items() if key != "return" %}
                    {%- if val is string %}
                        {{- '"' + key + '": "' + val + '"' }}
                    {%- else %}
                        {{- '"' + key + '": ' + val|tojson }}
                    {%- endif %}
                    {%- if not loop.last %}
                        {{- ", " }}
                    {%- endif %}
                {%- endfor %}
                {{- "}}" }}
                {%- if not loop.last %}
                    {{- ", " }}
                {%- else %}
                    {{- "]" }}
                {%- endif %}
            {%- endfor %}
            {{- "[/AVAILABLE_TOOLS]" }}
        {%- endif %}
        {%- if loop.last and system_message is defined %}
            {{- "[INST] " + system_message + "\\n\\n" + message["content"] + "[/INST]" }}
        {%- else %}
            {{- "[INST] " + message["content"] + "[/INST]" }}
        {%- endif %}
    {%- elif message.tool_calls is defined and message.tool_calls is not none %}
        {{- "[TOOL_CALLS] [" }}
        {%- for tool_call in message.tool_calls %}
            {%- set out = tool_call.function|tojson %}
            {{- out[:-1] }}
            {%- if not tool_call.id is defined or tool_call.id|length != 9 %}
                {{- raise_exception("Tool call IDs should be alphanumeric strings with length 9!") }}
            {%- endif %}
            {{- ', "id": "' + tool_call.id + '"}' }}
            {%- if not loop.last %}
                {{- ", " }}
            {%- else %}
                {{- "]" + eos_token }}
            {%- endif %}
        {%- endfor %}
    {%- elif message["role"] == "assistant" %}
        {{- " " + message["content"]|trim + eos_token}}
    {%- elif message["role"] == "tool" %}
        {{- '[TOOL_RESULTS] {"content": ' + message.content|string + "}[/TOOL_RESULTS]" }}
    {%- else %}
        {{- raise_exception("Only user and assistant roles are supported!") }}
    {%- endif %}
{%- endfor %}
"""

TEMPLATES["gemma"] = """{{ bos_token }}
{%- if messages[0]['role'] == 'system' -%}
    {%- if messages[0]['content'] is string -%}
        {%- set first_user_prefix = messages[0]['content'] + '\\n\\n' -%}
    {%- else -%}
        {%- set first_user_prefix = messages[0]['content'][0]['text'] + '\\n\\n' -%}
    {%- endif -%}
    {%- set loop_messages = messages[1:] -%}
{%- else -%}
    {%- set first_user_prefix = "" -%}
    {%- set loop_messages = messages -%}
{%- endif -%}
{%- for message in loop_messages -%}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}
        {{ raise_exception("Conversation roles must alternate user/assistant/user/assistant/...") }}
    {%- endif -%}
    {%- if (message['role'] == 'assistant') -%}
        {%- set role = "model" -%}
    {%- else -%}
        {%- set role = message['role'] -%}
    {%- endif -%}
    {{ '<start_of_turn>' + role + '\\n' + (first_user_prefix if loop.first else "") }}
    {%- if message['content'] is string -%}
        {{ message['content'] | trim }}
    {%- elif message['content'] is iterable -%}
        {%- for item in message['content'] -%}
            {%- if item['type'] == 'image' -%}
                {{ '<start_of_image>' }}
            {%- elif item['type'] == 'text' -%}
                {{ item['text'] | trim }}
            {%- endif -%}
        {%- endfor -%}
    {%- else -%}
        {{ raise_exception("Invalid content type") }}
    {%- endif -%}
    {{ '<end_of_turn>\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{'<start_of_turn>model\\n'}}
{%- endif -%}
"""

TEMPLATES["deepseek"] = """{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}{% set ns = namespace(is_first=false, is_tool=false, is_output_first=true, system_prompt='', is_first_sp=true) %}{%- for message in messages %}{%- if message['role'] == 'system' %}{%- if ns.is_first_sp %}{% set ns.system_prompt = ns.system_prompt + message['content'] %}{% set ns.is_first_sp = false %}{%- else %}{% set ns.system_prompt = ns.system_prompt + '\\n\\n' + message['content'] %}{%- endif %}{%- endif %}{%- endfor %}{{ bos_token }}{{ ns.system_prompt }}{%- for message in messages %}{%- if message['role'] == 'user' %}{%- set ns.is_tool = false -%}{{'<｜User｜>' + message['content']}}{%- endif %}{%- if message['role'] == 'assistant' and 'tool_calls' in message %}{%- set ns.is_tool = false -%}{%- for tool in message['tool_calls'] %}{%- if not ns.is_first %}{%- if message['content'] is none %}{{'<｜Assistant｜><｜tool▁calls▁begin｜><｜tool▁call▁begin｜>' + tool['type'] + '<｜tool▁sep｜>' + tool['function']['name'] + '\\n' + '```json' + '\\n' + tool['function']['arguments']|tojson + '\\n' + '```' + '<｜tool▁call▁end｜>'}}{%- endif %}{%- set ns.is_first = true -%}{%- else %}{{'\\n' + '<｜tool▁call▁begin｜>' + tool['type'] + '<｜tool▁sep｜>' + tool['function']['name']}}{%- endif %}{%- endfor %}{{'<｜tool▁calls▁end｜><｜end▁of▁sentence｜>'}}{%- endif %}{%- if message['role'] == 'assistant' and 'tool_calls' not in message %}{% set content = message['content'] %}{% if '</think>' in content %}{% set content = content.split('</think>')[-1] %}{% endif %}{{'<｜Assistant｜>' + content + '<｜end▁of▁sentence｜>'}}{%- endif %}{%- if message['role'] == 'tool' %}{%- set ns.is_tool = true -%}{{'<｜tool▁output▁begin｜>' + message['content'] + '<｜tool▁output▁end｜>'}}{%- endif %}{%- endfor -%}{% if ns.is_tool %}{{'<｜tool▁outputs▁end｜>'}}{% endif %}{% if add_generation_prompt and not ns.is_tool %}{{'<｜Assistant｜><think>\\n'}}{% endif %}"""

TEMPLATES["phi"] = """{% for message in messages %}{% if message['role'] == 'system' and 'tools' in message and message['tools'] is not none %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|tool|>' + message['tools'] + '<|/tool|>' + '<|end|>' }}{% else %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% else %}{{ eos_token }}{% endif %}"""

TEMPLATES["harmony-types"] = """{%- macro render_type(spec, level) -%}
    {%- if spec.type == "array" -%}
        {{- render_type(spec["items"], level) + "[]" -}}
    {%- elif spec.type is defined and spec.type is iterable and spec.type is not string -%}
        {{- spec.type | join(" | ") -}}
    {%- elif spec.type == "string" -%}
        {%- if spec.enum -%}{{- '"' + spec.enum|join('" | "') + '"' -}}{%- else -%}{{- "string" -}}{%- endif -%}
    {%- elif spec.type == "object" -%}
        {{- "{\\n" -}}
        {%- for name, prop in spec.properties.items() -%}
            {{- "  " * level + name -}}
            {%- if name not in (spec.required or []) -%}{{- "?" -}}{%- endif -%}
            {{- ": " + render_type(prop, level + 1) -}}
            {{- ",\\n" if not loop.last else "\\n" -}}
        {%- endfor -%}
        {{- "  " * (level - 1) + "}" -}}
    {%- else -%}
        {{- spec.type|default("any") -}}
    {%- endif -%}
{%- endmacro -%}
{%- for tool in tools or [] %}
{{ tool.function.name }}(_: {{ render_type(tool.function.parameters, 1) }})
{%- if tool.function.description %} // {{ tool.function.description | capitalize }}{% endif %}

{% endfor %}
{% for m in messages %}<|start|>{{ m.role }}<|message|>{% generation %}{{ m.content }}{% endgeneration %}<|end|>{% endfor %}"""

TOOLS = [
    {"type": "function", "function": {"name": "get_tide", "description": "the tide at a PLACE, \"high\" or 'low'", "parameters": {
        "type": "object", "properties": {"place": {"type": "string", "description": "a harbour <b>&amp;</b> é"},
                                         "when": {"type": "array", "items": {"type": "number"}},
                                         "unit": {"type": "string", "enum": ["m", "ft"]}, "deep": {"type": ["boolean", "null"]}},
        "required": ["place"]}}},
    {"type": "function", "function": {"name": "ring", "parameters": {"type": "object", "properties": {}}}},
]
PLAIN = [{"role": "user", "content": "What is 2+2?"}]
CHAT = [{"role": "system", "content": "  Keep it short. "}, {"role": "user", "content": " Hello\n\n<|im_end|> 你好 🎉 "},
        {"role": "assistant", "content": "<think>\nhmm\n</think>\n\nHi!"}, {"role": "user", "content": "Bye </s>"}]
CALLS = [{"role": "user", "content": "The tide?"},
         {"role": "assistant", "content": None, "tool_calls": [
             {"id": "abcdefghi", "type": "function", "function": {"name": "get_tide", "arguments": {"place": "Ñ <x>", "n": [1, 2.5, None, True]}}}]},
         {"role": "tool", "content": "{\"h\": 3}"}]
PARTS = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": " what? "}]}, {"role": "assistant", "content": "a cat"},
         {"role": "user", "content": "sure?"}]
BAD = [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]

CASES = []


def case(name, template, messages=PLAIN, tools=None, prompt=True, **extra):
    CASES.append({"name": name, "template": template, "messages": messages, "tools": tools, "add_generation_prompt": prompt, "extra": extra})


for family in TEMPLATES:
    case(family + "/plain", TEMPLATES[family])
    case(family + "/chat", TEMPLATES[family], CHAT, prompt=False)
    case(family + "/calls", TEMPLATES[family], CALLS, TOOLS)
    case(family + "/parts", TEMPLATES[family], PARTS)
    case(family + "/bad", TEMPLATES[family], BAD, TOOLS)
case("qwen3/no-thinking", TEMPLATES["qwen3"], CHAT, enable_thinking=False)
case("llama3.1/system-tools", TEMPLATES["llama3.1-tools"], CHAT, TOOLS, tools_in_user_message=False)
case("llama3.1/date", TEMPLATES["llama3.1-tools"], PLAIN, date_string="1 Jan 1970")

SNIPPETS = r"""
whitespace	  {% if true %}  a  {% endif %}  |{%- if true -%}  b  {%- endif -%}|{{ 'c' }}  {#- d -#}  e{%+ if true %} f {% endif +%}
blocks	  {% for i in [1,2] %}~    {% set x = i %}~  {{ x }}~{# c #}~x{% endfor %}~end~
newline-kept	{{ 1 }}~{{ 2 }}~~
raw	{% raw %}{{ a }} {% b %}{% endraw %}|{%- raw -%}  {# x #}  {%- endraw -%}|
arithmetic	{{ 7 // 2 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 7 / 2 }} {{ 2 ** 10 }} {{ 2 ** -1 }} {{ 1 + 2 * 3 - 4 }} {{ 10 / 5 }} {{ 7.5 // 2 }} {{ 1e3 }} {{ 5 % -3 }} {{ -2 ** 2 }}
compare	{{ 1 < 2 < 3 }} {{ 1 == 1.0 }} {{ true == 1 }} {{ 'a' < 'b' }} {{ [1,2] < [1,3] }} {{ 'b' not in 'abc' }} {{ 2 in [1,2] }} {{ 'k' in {'k': 1} }} {{ none is none }} {{ 3 != 3 }}
concat	{{ 1 ~ 'a' ~ none ~ true ~ 1.5 ~ [1,'x'] }} {{ 'a' 'b' }} {{ 'x' * 3 }} {{ [0] * 3 }} {{ [1] + [2] }}
precedence	{{ not true or true }} {{ 1 ~ 2 + 'x' }} {{ -1|abs }} {{ 2 * 3|string|length }} {{ 'a' if false else 'b' if false else 'c' }} {{ ('x' if false) }}|
and-or	{{ 0 or 'x' }} {{ 'a' and 'b' }} {{ '' or none or [] }} {{ 1 and 0 }}
repr	{{ [1, 2.0, 'a\'b', "q\"", none, true, {'k': 'v\n'}] }} {{ (1,) }} {{ () }} {{ {} }} {{ 1e20 }} {{ 1e-7 }} {{ 0.1 }} {{ 123456789.125 }}
slices	{{ 'abcdef'[1:4] }} {{ 'abcdef'[::-1] }} {{ 'abcdef'[-3:] }} {{ 'abcdef'[:-1] }} {{ [1,2,3,4,5][::2] }} {{ [1,2,3,4,5][3:0:-1] }} {{ 'héllo'[1] }} {{ 'a'[5:] }}| {{ [1,2,3][-1] }} {{ 'añb'[-2] }} {{ [1,2][10:] }}
loop-vars	{% for i in 'abc' %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.previtem }}{{ loop.nextitem }}{{ loop.cycle('x','y') }} {% endfor %}
loop-else	{% for i in [] %}x{% else %}none{% endfor %} {% for i in [1] %}x{% else %}none{% endfor %}
loop-if	{% for i in range(10) if i is odd and i > 2 %}{{ i }}/{{ loop.length }}{{ ',' if not loop.last }}{% endfor %}
loop-control	{% for i in range(10) %}{% if i == 2 %}{% continue %}{% endif %}{% if i == 5 %}{% break %}{% endif %}{{ i }}{% endfor %}
loop-scope	{% set x = 1 %}{% for i in [1,2] %}{{ x }}{% set x = i + 10 %}{{ x }} {% endfor %}{{ x }}
loop-unpack	{% for a, (b, c) in [(1, (2, 3)), (4, (5, 6))] %}{{ a }}{{ b }}{{ c }} {% endfor %}{% for k, v in {'x': 1, 'y': 2}.items() %}{{ k }}={{ v }};{% endfor %}{% for k in {'p': 1} %}{{ k }}{% endfor %}
loop-changed	{% for i in [1,1,2] %}{{ loop.changed(i) }} {% endfor %}
namespace	{% set ns = namespace(a=1, b='x') %}{% for i in range(3) %}{% set ns.a = ns.a + i %}{% endfor %}{{ ns.a }}{{ ns.b }}{{ ns.c is defined }}
block-set	{% set x %}  a {{ 1 + 1 }}~  {% endset %}[{{ x }}]{% set y | upper | trim %} abc {% endset %}[{{ y }}]
macro	{% macro m(a, b='d', c=none) %}({{ a }}{{ b }}{{ c }}){% endmacro %}{{ m(1) }}{{ m(1, 2) }}{{ m(a=3, c='z') }}{{ m() }}{{ m('x')|upper }}
macro-recursion	{% macro f(n) %}{{ n }}{% if n > 0 %}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(5) }}
macro-scope	{% set g = 'G' %}{% macro m() %}{{ g }}{{ l is defined }}{% endmacro %}{% for l in [1] %}{{ m() }}{% endfor %}
with	{% with a = 1, b = 2 %}{{ a + b }}{% endwith %}{{ a is defined }}
filter-block	{% filter upper %}abc {{ 'd' }}{% endfilter %}
strings	{{ ' a '.strip() }}|{{ 'xxaxx'.strip('x') }}|{{ 'xxa'.lstrip('x') }}|{{ 'a\n'.rstrip() }}|{{ 'a-b-c'.split('-') }}|{{ 'a b  c'.split() }}|{{ 'a-b-c'.split('-', 1) }}|{{ 'a-b-c'.rsplit('-', 1) }}|{{ ' a b c '.split(none, 1) }}|{{ 'a\nb\r\nc'.splitlines() }}
strings-2	{{ 'abc'.startswith('ab') }}{{ 'abc'.endswith('c') }}{{ 'abc'.startswith(('x', 'a')) }}|{{ 'aXbX'.replace('X', '--') }}|{{ 'aaa'.replace('a', 'b', 2) }}|{{ 'ab'.replace('', '.') }}|{{ "it's a dog".title() }}|{{ "it's a-dog (x)"|title }}|{{ 'ÉCOLE'.lower() }}|{{ 'élan'.capitalize() }}|{{ 'ab'.find('b') }}{{ 'ab'.find('z') }}{{ 'abab'.count('ab') }}|{{ '-'.join(['a','b']) }}|{{ 'prefix'.removeprefix('pre') }}
filters	{{ [3,1,2]|sort }}{{ [3,1,2]|sort(reverse=true) }}{{ ['b','A','c']|sort }}{{ [1,2,1]|unique|list }}{{ ['a','A']|unique|list }}{{ [1,2,3]|reverse|list }}{{ 'abc'|reverse }}{{ [1,2]|first }}{{ [1,2]|last }}{{ [1,2]|sum }}{{ [4,2]|min }}{{ [4,2]|max }}
filters-2	{{ 'a'|default('b') }}{{ x|default('b') }}{{ ''|default('b', true) }}{{ none|default('c') }}{{ x|d }}|{{ '42'|int + 1 }}{{ 'x'|int(7) }}{{ '3.9'|int }}{{ 3.7|int }}{{ '1.5'|float }}|{{ 'a b'|wordcount }}|{{ 2.5|round }}{{ 2.567|round(2) }}{{ 2.1|round(0, 'ceil') }}|{{ 'x'|length }}{{ {'a':1}|length }}{{ 'é🎉'|length }}
filters-3	{{ [{'n':'a','v':1},{'n':'b','v':0}]|map(attribute='n')|join(',') }}|{{ ['a','b']|map('upper')|list }}|{{ [1,2,3]|select('odd')|list }}|{{ [1,2,3]|reject('equalto', 2)|list }}|{{ [{'n':'a','v':1},{'n':'b'}]|selectattr('v')|map(attribute='n')|list }}|{{ [{'n':'a'},{'n':'b'}]|rejectattr('n','eq','a')|list }}|{{ [{'v':2},{'v':1}]|sort(attribute='v') }}|{{ [{'a':{'b':1}}]|map(attribute='a.b')|list }}|{{ [{}]|map(attribute='q', default='z')|list }}
filters-4	{{ {'b':1,'a':2}|dictsort }}{{ {'b':1,'a':2}|dictsort(by='value') }}{{ {'b':1}|items|list }}|{{ 'a~b~~c'|indent }}|{{ 'a~b'|indent(2, true) }}|{{ 'a~~b'|indent(width=1, blank=true) }}|{{ 'a~b'|indent('> ') }}|{{ "%s-%d"|format('a', 3) }}|{{ '%s%%' % 5 }}|{{ [1,2,3,4,5]|batch(2)|list }}|{{ '<a href="x">'|e }}|{{ '<b>'|safe }}
filters-5	{{ 'Hello World'|replace('o', '0') }}{{ 'aaa'|replace('a','b',1) }}|{{ '  x '|trim }}|{{ 'xxaxx'|trim('x') }}|{{ ['a',1,none]|join('-') }}|{{ 'abc'|list }}|{{ 5|string + 'x' }}|{{ 'a'|upper|lower|capitalize }}
tojson	{{ {'a': [1, 2.5, none, true], 'b': 'é"\\\n<&>\u2028'}|tojson }}|{{ {'a': [1], 'e': [], 'o': {}}|tojson(indent=2) }}|{{ {'b':1,'a':2}|tojson(sort_keys=true) }}|{{ 'é🎉'|tojson(ensure_ascii=true) }}|{{ [1,2]|tojson(separators=(',', ':')) }}|{{ {1: 2}|tojson }}
tests	{{ 1 is number }}{{ '1' is string }}{{ {} is mapping }}{{ [] is iterable }}{{ 'a' is sequence }}{{ x is undefined }}{{ none is none }}{{ true is true }}{{ 1 is true }}{{ 1 is integer }}{{ 1.0 is float }}{{ true is integer }}{{ true is boolean }}{{ 4 is even }}{{ 9 is divisibleby 3 }}{{ 1 is in [1] }}{{ 1 is eq 1 }}{{ 1 is ne(2) }}{{ 3 is gt 2 }}{{ 'a' is lower }}{{ 'A' is upper }}{{ 1 is sameas 1 }}{{ range is callable }}{{ none is not none }}{{ 'x' is not string }}{{ true is number }}
undefined	{{ x }}|{{ 'yes' if x is defined else 'no' }}|{{ messages[5] is defined }}|{{ messages[0].nope }}|{% for i in x %}a{% endfor %}|{{ x == y }}|{{ x|length }}|{{ 'a' in x }}
undefined-attribute	{{ x.y }}
undefined-add	{{ x + 'a' }}
none-add	{{ 'a' + none }}
int-add	{{ 'a' + 1 }}
not-callable	{{ messages() }}
raise	{{ raise_exception('no: ' ~ messages|length) }}
division	{{ 1 // 0 }}
dict-methods	{{ {'a':1}.get('a') }}{{ {'a':1}.get('b') }}{{ {'a':1}.get('b', 2) }}{{ {'a':1,'b':2}.keys()|list }}{{ {'a':1}.values()|list }}{{ {'items':5}['items'] }}{{ {'x':1}.x }}{{ dict(a=1) }}
strftime	{{ strftime_now('%d %B %Y, %A %H:%M:%S %j %y %m %b %a %I %p %%') }}
escapes	{{ 'tab\there\x41\u00e9\\n \' " \q' }}
comments	a{# one {{ x }} {% y %} #}b~   {# line #}~c
numbers	{{ 1_000 }} {{ 1.5e-3 }} {{ 0 }} {{ 12345678901234 }} {{ 1.0 }} {{ 3.0 * 2 }} {{ 10 // 3.0 }}
if-chain	{% if 0 %}a{% elif '' %}b{% elif [] %}c{% elif {} %}d{% elif none %}e{% elif x %}f{% else %}g{% endif %}
ternary-chain	{{ 'a' if 1 == 2 else ('b' if 2 == 2 else 'c') }}{{ ('x' ~ 'y') if messages else '' }}
nested-set	{% set a, b = 1, 2 %}{{ a }}{{ b }}{% set (c, d) = 'xy' %}{{ c }}{{ d }}{% set t = 1, 2 %}{{ t }}
message-attribute	{{ messages[0].content }}{{ messages[0]['content'] }}{{ messages.0.role }}{{ messages|map(attribute='role')|list }}{{ messages[-1]['content'][:4] }}
generation	{% generation %}a{{ 1 }}{% endgeneration %}b
mutation	{{ [1].append(2) }}
join-attribute	{{ [{'a': 1}, {'a': 2}]|join('; ', attribute='a') }}
""".strip().split("\n")
for line in SNIPPETS:
    name, source = line.split("\t", 1)
    case("snippet/" + name, source.replace("~", "\n") if name not in ("concat", "precedence", "ternary-chain", "raise") else source)


def render(c):
    inputs = {"messages": c["messages"], "tools": c["tools"], "documents": None, "add_generation_prompt": c["add_generation_prompt"],
              "bos_token": "<BOS>", "eos_token": "<EOS>", **c["extra"]}
    try:
        return {"output": ENV.from_string(c["template"]).render(**inputs)}
    except Exception as e:  # the kind of failure is ours to word; that there is one is the golden fact
        message = str(e) if type(e) is jinja2.exceptions.TemplateError else ""
        return {"error": message}


def main():
    cases = [{**c, **render(c)} for c in CASES]
    for c in cases:
        family = next((name for name, t in TEMPLATES.items() if t == c["template"]), None)
        if family is not None:
            c["family"] = family
            del c["template"]
    print(json.dumps({"made_by": "tools/golden/make_template_golden.py, jinja2 " + jinja2.__version__, "unix_time_s": UNIX_TIME,
                      "families": TEMPLATES, "cases": cases}, ensure_ascii=False, indent=1))


main()
