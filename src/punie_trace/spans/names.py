"""Every span, attribute, event and metric name that this project writes, and nothing else.

GenAI semantic conventions (open-telemetry/semantic-conventions-genai, all in development status) where they have a
name; `punie.*` for the rest.
"""

from __future__ import annotations

from typing import Final

SERVICE: Final = "punie-trace"
SERVER_SERVICE: Final = "punie-trace-serve"  # the server of ours, beside whoever measures it

# Resource
RUN_ID: Final = "punie.run.id"
GENERATOR: Final = "punie.generator"  # which part of a run on several generators
HOST_NAME: Final = "host.name"
CLOCK_UNCERTAINTY: Final = "punie.clock.uncertainty_ns"  # of spans of another host, how sure their place in time is

# Spans of ours
SPAN_RUN: Final = "run"
SPAN_QUERY: Final = "query"  # followed by the query's name
SPAN_TURN: Final = "turn"  # of a session, below its query; followed by the turn's number
SPAN_POST: Final = "POST"
SPAN_GENERATE: Final = "generate"  # the in-process path, which has no POST

# Spans of our server, below the POST that it answers
SPAN_SERVER: Final = "server"  # followed by the operation
SPAN_QUEUE: Final = "queue"
SPAN_TOKENIZE: Final = "tokenize"
SPAN_PREFILL: Final = "prefill"
SPAN_DECODE: Final = "decode"
SPAN_SPECULATION: Final = "speculation"
EVENT_ROUND: Final = "round"
BATCHED: Final = "punie.server.batched"
CLOCK_HEADER: Final = "Punie-Clock"
"""The header of fetched spans: the anchors of the server's clock, 'wall ns,monotonic ns'."""

# Attributes of the query span
CONFIGURATION: Final = "punie.configuration"
QUERY_NAME: Final = "punie.query.name"
QUERY_SEQ: Final = "punie.query.seq"
QUERY_CATEGORY: Final = "punie.query.category"
ROUND: Final = "punie.round"
PATH: Final = "punie.path"
VERDICT: Final = "punie.verdict"
SENT_NS: Final = "punie.sent_ns"
TURNS: Final = "punie.turns"  # of a session: how many it has
CLOCK_SHIFT: Final = "punie.clock.shift_ns"  # their clock minus the run's: what was taken off all times of the query
WARM_UP: Final = "punie.warm_up"
ASKED_BEFORE: Final = "punie.asked_before"  # how often what answers had been asked this very question
LEFT_PROCESSES: Final = "punie.program.left"  # names of what a program left running, which was ended
TOOLS_UNSEEN: Final = "punie.tools_unseen"  # its tools made no spans: they cannot be told from the rest
LEDGER_WALL: Final = "punie.ledger.wall_ns"
LEDGER_CLIENT_QUEUE: Final = "punie.ledger.client_queue_ns"
LEDGER_GENERATION: Final = "punie.ledger.generation_ns"
LEDGER_TOOL: Final = "punie.ledger.tool_ns"
LEDGER_FRAMEWORK: Final = "punie.ledger.framework_ns"
TOOL_WORK: Final = "punie.tool_work_ns"
SANDBOX: Final = "punie.sandbox_ns"  # code mode, where there is any: of the tool line, what no tool took
TOOL_HIDDEN: Final = "punie.tool_hidden_ns"  # where there is any: tools at work while a generation was open

RUN_CODE: Final = "run_code"  # the one tool of an agent in code mode

# Attributes of a turn span: as of the query, under names of their own, so that nobody takes a turn for a query
TURN_NUMBER: Final = "punie.turn.number"  # from 1
TURN_VERDICT: Final = "punie.turn.verdict"
TURN_SENT_NS: Final = "punie.turn.sent_ns"
TURN_LEDGER_WALL: Final = "punie.turn.ledger.wall_ns"
TURN_LEDGER_CLIENT_QUEUE: Final = "punie.turn.ledger.client_queue_ns"
TURN_LEDGER_GENERATION: Final = "punie.turn.ledger.generation_ns"
TURN_LEDGER_TOOL: Final = "punie.turn.ledger.tool_ns"
TURN_LEDGER_FRAMEWORK: Final = "punie.turn.ledger.framework_ns"
TURN_TOOL_WORK: Final = "punie.turn.tool_work_ns"
TURN_SANDBOX: Final = "punie.turn.sandbox_ns"
TURN_TOOL_HIDDEN: Final = "punie.turn.tool_hidden_ns"

# Attributes of a generation span
SEGMENT: Final = "punie.segment"
SEGMENT_GENERATION: Final = "generation"
SEGMENT_ELSEWHERE: Final = "elsewhere"  # a request for tokens that did not go through the endpoint: no generation
GENERATION_INDEX: Final = "punie.generation.index"
CHUNKS: Final = "punie.generation.chunks"
CONNECT_NS: Final = "punie.generation.connect_ns"
UNPARSED_CALL: Final = "punie.generation.unparsed_call"
UNUSABLE_CALL: Final = "punie.generation.unusable_call"  # why a call that the model wrote cannot be used
TOOL_CALLS: Final = "punie.generation.tool_calls"  # how many calls the server sent
WRITTEN_CALLS: Final = "punie.generation.calls"  # JSON: a list of {"id", "name", "arguments"}
SERVER_TIMINGS: Final = "punie.generation.timings"  # JSON: the numbers of the server's own `timings` object
ANSWERED_CALLS: Final = "punie.generation.answered_calls"  # JSON: [{"id", "ok"}], calls whose results it brings
PROGRAM_MODEL: Final = "punie.generation.program_model"  # the program's own name for the model, where it was replaced
USAGE_ASKED: Final = "punie.generation.usage_asked"  # true: token counts were asked for in the program's place
RESENT: Final = "punie.generation.resent"  # how often it was sent again, because a kept connection had been closed
LEFT_OPEN: Final = "punie.generation.left_open"  # true: the stream did not end after its finish reason, and was left
ERROR_TEXT: Final = "punie.generation.error"  # the beginning of what the server or the transport said
FINGERPRINT: Final = "openai.response.system_fingerprint"

# Events of a generation span
EVENT_RESENT: Final = "resent"
EVENT_FIRST_BYTE: Final = "first_byte"
EVENT_PREFILL_END: Final = "prefill_end"
EVENT_FIRST_CHUNK: Final = "first_chunk"
EVENT_LAST_CHUNK: Final = "last_chunk"

# GenAI and HTTP semantic conventions
GEN_AI_OPERATION: Final = "gen_ai.operation.name"
OPERATION_EXECUTE_TOOL: Final = "execute_tool"
OPERATION_CHAT: Final = "chat"
OPERATION_INVOKE_AGENT: Final = "invoke_agent"
GEN_AI_REQUEST_MODEL: Final = "gen_ai.request.model"
GEN_AI_RESPONSE_MODEL: Final = "gen_ai.response.model"
GEN_AI_FINISH_REASONS: Final = "gen_ai.response.finish_reasons"
GEN_AI_INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
GEN_AI_OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
GEN_AI_CACHED_TOKENS: Final = "gen_ai.usage.cache_read.input_tokens"
GEN_AI_TOOL_CALL_ID: Final = "gen_ai.tool.call.id"
GEN_AI_TOOL_DEFINITIONS: Final = "gen_ai.tool.definitions"
GEN_AI_AGENT_NAME: Final = "gen_ai.agent.name"
GEN_AI_TOOL_NAME: Final = "gen_ai.tool.name"
GEN_AI_TOOL_ARGUMENTS: Final = "gen_ai.tool.call.arguments"
GEN_AI_TOOL_RESULT: Final = "gen_ai.tool.call.result"
TOOL_REFUSED: Final = "punie.tool.refused"  # why a call was not executed: an unknown tool, arguments that do not fit
PYDANTIC_AI_TOOL_FAILURE: Final = "pydantic_ai.tool.failure_stage"  # 'validation': the tool was not entered
HTTP_METHOD: Final = "http.request.method"
HTTP_STATUS: Final = "http.response.status_code"
URL_FULL: Final = "url.full"
SERVER_ADDRESS: Final = "server.address"
SERVER_PORT: Final = "server.port"
GEN_AI_PROVIDER: Final = "gen_ai.provider.name"
GEN_AI_TOKEN_TYPE: Final = "gen_ai.token.type"  # noqa: S105
ERROR_TYPE: Final = "error.type"

# Values of error.type that are ours; others are the name of an exception or an HTTP status
ERROR_ABANDONED: Final = "abandoned"  # nobody read it to its end before the query was over
ERROR_CANCELLED: Final = "cancelled"
ERROR_CUT_STREAM: Final = "cut_stream"  # the server ended with neither [DONE] nor a finish reason
ERROR_MALFORMED_CHUNK: Final = "malformed_chunk"
ERROR_TOO_LONG: Final = "too_long"  # an event or an answer beyond what is read
ERROR_NO_DESCRIPTORS: Final = "no_descriptors"  # ours: no file or socket could be opened
ERROR_STALE_CONNECTION: Final = "stale_connection"  # ours: a kept connection that the server had closed, twice
ERROR_IN_STREAM: Final = "error_chunk"  # the server reported an error within a stream that began well

# Resource, besides the run's id
SERVICE_NAME: Final = "service.name"
SERVICE_VERSION: Final = "service.version"
SERVICE_INSTANCE: Final = "service.instance.id"

# What speculative decoding did, on any span of a query whose server tells it: tokens drafted, of these accepted, rounds
SPECULATION_DRAFTED: Final = "punie.speculation.drafted"
SPECULATION_ACCEPTED: Final = "punie.speculation.accepted"
SPECULATION_ROUNDS: Final = "punie.speculation.rounds"
# How speculative decoding was asked for, who drafted, and what the sums mean (K is tokens drafted a round)
SPECULATION_MODE: Final = "punie.speculation.mode"
SPECULATION_DRAFTER: Final = "punie.speculation.drafter"
SPECULATION_K: Final = "punie.speculation.k"
SPECULATION_MEAN_K: Final = "punie.speculation.mean_k"
SPECULATION_ACCEPTANCE: Final = "punie.speculation.acceptance"
SPECULATION_LENGTH: Final = "punie.speculation.mean_length"
SPECULATION_FALLBACK: Final = "punie.speculation.fallback"
SPECULATION_DRAFT_NS: Final = "punie.speculation.draft_ns"
SPECULATION_VERIFY_NS: Final = "punie.speculation.verify_ns"

# Metrics, by the conventions
METRIC_OPERATION_DURATION: Final = "gen_ai.client.operation.duration"
METRIC_TIME_TO_FIRST_CHUNK: Final = "gen_ai.client.operation.time_to_first_chunk"
METRIC_TOKEN_USAGE: Final = "gen_ai.client.token.usage"  # noqa: S105
METRIC_TOOL_DURATION: Final = "gen_ai.execute_tool.duration"
METRIC_AGENT_DURATION: Final = "gen_ai.invoke_agent.duration"
METRIC_AGENT_INFERENCE_CALLS: Final = "gen_ai.invoke_agent.inference_calls"
METRIC_AGENT_TOOL_CALLS: Final = "gen_ai.invoke_agent.tool_calls"
METRIC_TIME_PER_OUTPUT_CHUNK: Final = "gen_ai.client.operation.time_per_output_chunk"

# Metrics of ours
METRIC_QUERY_DURATION: Final = "punie.query.duration"
METRIC_QUERY_OUTCOMES: Final = "punie.query.outcomes"
METRIC_TURN_DURATION: Final = "punie.turn.duration"
METRIC_CACHED_TOKENS: Final = "punie.generation.cached_tokens"
METRIC_MEMORY_PEAK: Final = "punie.server.memory.peak"
METRIC_ENERGY_PER_RIGHT: Final = "punie.energy.per_right"
METRIC_ENERGY_PER_TOKENS: Final = "punie.energy.per_1000_output_tokens"
METRIC_GPU_UTILIZATION: Final = "punie.gpu.utilization"
METRIC_DRAFT_TOKENS: Final = "punie.speculation.draft_tokens"  # K as it was asked for
METRIC_DRAFTED: Final = "punie.speculation.drafted_tokens"
METRIC_ACCEPTED: Final = "punie.speculation.accepted_tokens"
METRIC_ROUNDS: Final = "punie.speculation.verifications"

# Attributes of metric points only
LEDGER_LINE: Final = "punie.ledger.line"  # wall, client_queue, generation, tool, framework
GENERATION_OUTPUT: Final = "punie.generation.output"  # tool_call or text
ASK: Final = "punie.ask"  # first or again; absent where that is not known
