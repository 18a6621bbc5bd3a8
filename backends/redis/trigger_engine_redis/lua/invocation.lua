-- Returns one invocation. ARGV: log id, invocation id.
local log = load_log()
local row = load_row(ARGV[2])
return row and describe(log, ARGV[2], row)
