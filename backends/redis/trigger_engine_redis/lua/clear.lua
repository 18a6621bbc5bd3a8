-- Empties the app; its log gets a new identity, its positions go on rising. ARGV: the new log id, that of the log to
-- empty: when the call is made again, what came meanwhile stays.
local log = load_log()
if log.id ~= ARGV[2] then
    return log.id
end
log.stirred = log.stirred + 1
call('UNLINK', ENTRIES, IDS, USED, TERMS, INVOCATIONS, READY, DELAYED, HELD, KEPT, LEASES, CHECKPOINTS)
call('HSET', META, 'log_id', ARGV[1], 'last', '', 'trimmed', decimal(log.tail), 'stirred', decimal(log.stirred))
ring(log)
return ARGV[1]
