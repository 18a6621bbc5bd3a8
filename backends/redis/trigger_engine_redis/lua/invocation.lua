-- One invocation. ARGV: log id, invocation id.
local log = load_log()
local row = load_row(ARGV[2])
return row and told(log, ARGV[2], row)
